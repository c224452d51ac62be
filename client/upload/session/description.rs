//! Digests of blocks on their way to a member. The session computes them one piece at a time, so others get their turns
//! between.

use super::piece_out::NotGiven;
use crate::client::difference::rolling::describe;
use crate::client::upload::served::Served;
use crate::model::piece::block::BlockLen;
use crate::model::piece::{PIECE_LEN, PieceIndex};
use crate::wire::codec::Blob;
use crate::wire::peer::{DIGESTS_LEN_MAX, PeerReply};

/// The rate limiter counts this many bytes for reading and digesting a piece. So a limit on uploads bounds how often
/// members cause this work, and a low limit does not make them wait long.
const PRICE: usize = PIECE_LEN as usize / 256;

/// The description of pieces for a member.
pub(super) struct Description {
    pub request: u32,
    len: BlockLen,
    /// In order.
    pieces: Vec<PieceIndex>,
    /// How many of them are described.
    described: usize,
    digests: Vec<u8>,
    buffer: Vec<u8>,
}

impl Description {
    pub(super) fn new(request: u32, len: BlockLen, pieces: Vec<PieceIndex>) -> Self {
        Self { request, len, pieces, described: 0, digests: Vec::new(), buffer: Vec::new() }
    }

    /// The next piece.
    pub(super) fn next(&self) -> Option<PieceIndex> {
        self.pieces.get(self.described).copied()
    }

    /// Describes the next piece.
    ///
    /// # Errors
    /// The piece is not available.
    pub(super) fn go_on(&mut self, served: &Served) -> Result<(), NotGiven> {
        let Some(piece) = self.next() else { return Ok(()) };
        self.buffer.resize(served.layout().len(piece) as usize, 0);
        served.look(piece, &mut self.buffer).ok_or(NotGiven::NoSuchPiece)??;
        describe(&self.buffer, self.len, &mut self.digests);
        self.described += 1;
        Ok(())
    }

    /// The price of the description in bytes.
    pub(super) fn price(&self) -> usize {
        self.digests.len() + PRICE * self.described
    }

    /// The answer.
    pub(super) fn answer(self) -> PeerReply {
        let digests: Option<Blob<DIGESTS_LEN_MAX>> = Blob::new(self.digests);
        PeerReply::Digests { digests: digests.expect("no more pieces than may be asked for") }
    }
}
