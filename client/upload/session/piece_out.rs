//! A piece on its way to a member. The session reads, encrypts and sends it in parts: the whole piece if the socket
//! takes it, or single records if the socket is slow.

use crate::client::storage::piece_source::SourceError;
use crate::client::upload::leases::LeaseGuard;
use crate::client::upload::served::Served;
use crate::model::piece::PieceIndex;
use crate::model::piece::block::BlockSet;
use crate::sys::vectored::ScatteredRoom;
use crate::wire::codec::Payload;
use crate::wire::frame;
use crate::wire::peer::PeerReply;
use crate::wire::record_layer::{FrameRecords, RECORD_PLAIN_MAX};
use crate::wire::refusal::{Code, Refusal};

use super::kept_rests::KeptRest;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Why a piece is not given.
#[derive(Debug)]
pub(super) enum NotGiven {
    /// The uplink is scarce, and the piece is on its way to another member.
    OnItsWay,
    NoSuchPiece,
    /// This process, or the machine, has no descriptor left to open the file.
    NoDescriptor,
    /// The client cannot serve the content any more.
    Broken(SourceError),
}

impl From<SourceError> for NotGiven {
    fn from(error: SourceError) -> Self {
        if error.is_of_descriptors() { NotGiven::NoDescriptor } else { NotGiven::Broken(error) }
    }
}

impl NotGiven {
    /// The refusal for the peer.
    pub(super) fn refusal(&self, piece: u32) -> Refusal {
        match self {
            NotGiven::OnItsWay | NotGiven::NoDescriptor => Refusal::about(Code::OnItsWay, piece),
            NotGiven::NoSuchPiece => Refusal::about(Code::NoSuchPiece, piece),
            NotGiven::Broken(SourceError::Changed(_)) => Code::FileChanged.into(),
            NotGiven::Broken(_) => Code::NotServed.into(),
        }
    }
}

/// A requested piece, or some blocks of it.
#[derive(Debug, Clone)]
pub(super) struct WantedPiece {
    pub index: PieceIndex,
    /// `None` for the whole piece.
    pub blocks: Option<Arc<BlockSet>>,
    pub request: u32,
    /// When to check whether the piece is available now.
    pub look_at: Instant,
    /// The time at which the far side has to hear something.
    pub until: Instant,
}

/// A piece on its way.
pub(super) struct PieceOut {
    pub index: PieceIndex,
    pub request: u32,
    pub lease: Option<LeaseGuard>,
    /// The number of requested bytes.
    pub len: u32,
    /// The requested bytes of the piece, in order.
    ranges: Vec<Range<u32>>,
    front: Vec<u8>,
    /// How many bytes of the frame are encrypted.
    sealed: usize,
    /// Encrypted bytes that are not sent yet.
    pub rest: Option<KeptRest>,
    /// How many bytes the rate limiter allows.
    pub credit: usize,
}

impl PieceOut {
    pub(super) fn new(served: &Served, wanted: &WantedPiece, lease: Option<LeaseGuard>) -> Self {
        let WantedPiece { index, request, ref blocks, .. } = *wanted;
        let whole = || vec![Range { start: 0, end: served.layout().len(index) }];
        let ranges = blocks.as_ref().map_or_else(whole, |blocks| blocks.ranges().collect());
        let len = ranges.iter().map(|range| range.end - range.start).sum();
        let front = frame::front(request, &PeerReply::Piece { data: Payload { len } }, len as usize);
        Self { index, request, lease, len, ranges, front, sealed: 0, rest: None, credit: 0 }
    }

    /// Whether nothing of the piece is encrypted.
    pub(super) fn is_unbegun(&self) -> bool {
        self.sealed == 0
    }

    /// Whether all of the piece is encrypted.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed == self.frame_len()
    }

    fn frame_len(&self) -> usize {
        self.front.len() + self.len as usize
    }

    /// Collects this many of the next records, or as many as are left. Returns their length.
    pub(super) fn fill(
        &self,
        served: &Served,
        records_max: usize,
        records: &mut FrameRecords,
    ) -> Result<usize, NotGiven> {
        let len = (self.frame_len() - self.sealed).min(records_max * RECORD_PLAIN_MAX);
        let front = if self.is_unbegun() { &self.front[..] } else { &[] };
        // Less than a piece.
        let mut before = self.sealed.saturating_sub(self.front.len()) as u32;
        let mut room: ScatteredRoom<'_> = records.begin(front, len).collect();
        for range in &self.ranges {
            let from = range.end.min(range.start + before);
            before -= from - range.start;
            let now = ((range.end - from) as usize).min(room.len());
            if now > 0 {
                let read = served.read(self.index, from.into(), room.split_front(now)).ok_or(NotGiven::NoSuchPiece)?;
                read.map_err(NotGiven::from)?;
            }
        }
        Ok(len)
    }

    /// Notes that the collected records are encrypted.
    pub(super) fn pass(&mut self, len: usize) {
        self.sealed += len;
    }
}
