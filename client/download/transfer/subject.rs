//! The subject of a download: content that members have, and the part of it that lies on the disk.

use crate::client::difference::gathering::Difference;
use crate::client::download::verify::Verified;
use crate::client::storage::part::Part;
use crate::client::storage::selection::Selection;
use crate::client::upload::served::Served;
use crate::model::bitfield::Bitfield;
use crate::model::id::{ClientId, GroupRef, ShareRef};
use crate::model::manifest::{Content, Manifest};
use crate::model::name::FileName;
use crate::model::piece::PieceIndex;
use std::borrow::Cow;
use std::sync::Arc;

/// The input of a new transfer.
#[derive(Debug)]
pub struct TransferSetup {
    /// The number of the download, for this run of the client.
    pub id: u64,
    pub subject: Subject,
    pub part: Arc<Part>,
    pub verified: Verified,
    /// The difference to an old version.
    pub difference: Option<Arc<Difference>>,
    pub served: Arc<Served>,
    /// This client.
    pub client: ClientId,
    /// Seed of the random choices.
    pub seed: u64,
}

/// The subject of a download, according to the tracker.
#[derive(Debug, Clone)]
pub struct Subject {
    pub group: GroupRef,
    pub share: ShareRef,
    pub name: FileName,
    pub content: Content,
    /// The content on the disk: everything, or the wanted files.
    pub manifest: Arc<Manifest>,
    /// The wanted files of a folder, if not all.
    pub selection: Option<Arc<Selection>>,
}

impl Subject {
    /// The index of a piece on the disk. `None` for an unwanted piece.
    pub(crate) fn inner(&self, piece: PieceIndex) -> Option<PieceIndex> {
        self.selection.as_ref().map_or(Some(piece), |selection| selection.inner(piece))
    }

    /// The index under which members know the piece with this index on the disk.
    pub(crate) fn outer(&self, piece: PieceIndex) -> PieceIndex {
        self.selection.as_ref().map_or(piece, |selection| selection.outer(piece))
    }

    /// The wanted pieces of a member, by their indexes on the disk.
    pub(super) fn inner_bits<'a>(&self, bits: &'a Bitfield) -> Cow<'a, Bitfield> {
        match &self.selection {
            Some(selection) => Cow::Owned(selection.inner_bits(bits)),
            None => Cow::Borrowed(bits),
        }
    }
}
