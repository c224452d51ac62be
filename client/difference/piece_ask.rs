//! A piece to request: all of it, or the blocks that the old version lacks.

use super::patch::Patch;
use crate::model::piece::{Layout, PieceIndex};
use crate::wire::codec::Blob;
use crate::wire::handshake::features::Features;
use crate::wire::peer::PeerRequest;
use std::sync::Arc;

/// A piece to request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceAsk {
    pub piece: PieceIndex,
    /// How to put the piece together, if only some blocks of it have to come.
    pub patch: Option<Arc<Patch>>,
}

impl From<PieceIndex> for PieceAsk {
    fn from(piece: PieceIndex) -> Self {
        Self { piece, patch: None }
    }
}

impl PieceAsk {
    /// The same request, but for the whole piece if the peer gives no blocks.
    pub fn of_peer(self, features: Features) -> Self {
        Self { patch: self.patch.filter(|_| features.has(Features::BLOCKS)), ..self }
    }

    /// The number of bytes that have to come.
    pub fn len(&self, layout: Layout) -> u32 {
        self.patch.as_ref().map_or(layout.len(self.piece), |patch| patch.missing_len())
    }

    /// The request for the piece.
    pub fn request(&self) -> PeerRequest {
        let piece = self.piece.get();
        let Some(patch) = &self.patch else { return PeerRequest::GetPiece { piece } };
        let blocks = Blob::new(patch.missing().as_bytes().to_vec()).expect("a bit for each block of a piece");
        PeerRequest::GetBlocks { piece, block_len: patch.block_len(), blocks }
    }
}
