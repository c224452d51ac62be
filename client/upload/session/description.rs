//! Digests of blocks on their way to a member. They are made a piece at a time, so that others have their turns between.

use super::piece_out::NotGiven;
use crate::client::difference::rolling::describe;
use crate::client::upload::served::Served;
use crate::model::piece::block::BlockLen;
use crate::model::piece::{PIECE_LEN, PieceIndex};
use crate::wire::codec::Blob;
use crate::wire::peer::{DIGESTS_LEN_MAX, PeerReply};

/// A piece is read and digested at the price of so many bytes that leave. So a limit on uploads bounds how often members
/// have that done, and a slow one does not keep them waiting.
const PRICE: usize = PIECE_LEN as usize / 256;

/// What a member is told of pieces.
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

    /// The piece that comes next.
    pub(super) fn next(&self) -> Option<PieceIndex> {
        self.pieces.get(self.described).copied()
    }

    /// Describes the next piece.
    ///
    /// # Errors
    /// It is not to be had.
    pub(super) fn go_on(&mut self, served: &Served) -> Result<(), NotGiven> {
        let Some(piece) = self.next() else { return Ok(()) };
        self.buffer.resize(served.layout().len(piece) as usize, 0);
        served.look(piece, &mut self.buffer).ok_or(NotGiven::NoSuchPiece)??;
        describe(&self.buffer, self.len, &mut self.digests);
        self.described += 1;
        Ok(())
    }

    /// For what it is paid: so many bytes.
    pub(super) fn price(&self) -> usize {
        self.digests.len() + PRICE * self.described
    }

    /// The answer.
    pub(super) fn answer(self) -> PeerReply {
        let digests: Option<Blob<DIGESTS_LEN_MAX>> = Blob::new(self.digests);
        PeerReply::Digests { digests: digests.expect("no more pieces than may be asked for") }
    }
}
