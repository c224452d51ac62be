//! What a download is of: a content that members have, and what of it lies on the disk.

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

/// What a transfer begins with.
#[derive(Debug)]
pub struct TransferSetup {
    /// The number of the download, for this run of the client.
    pub id: u64,
    pub subject: Subject,
    pub part: Arc<Part>,
    pub verified: Verified,
    /// What is known of it by an old version.
    pub difference: Option<Arc<Difference>>,
    pub served: Arc<Served>,
    /// This client.
    pub client: ClientId,
    /// Seed of the random choices.
    pub seed: u64,
}

/// What a download is of, as the tracker tells it.
#[derive(Debug, Clone)]
pub struct Subject {
    pub group: GroupRef,
    pub share: ShareRef,
    pub name: FileName,
    pub content: Content,
    /// What lies on the disk: all of the content, or the files that are meant.
    pub manifest: Arc<Manifest>,
    /// Which files of a folder are meant, if not all.
    pub selection: Option<Arc<Selection>>,
}

impl Subject {
    /// The place of a piece on the disk; none for one that is not meant.
    pub(crate) fn inner(&self, piece: PieceIndex) -> Option<PieceIndex> {
        self.selection.as_ref().map_or(Some(piece), |selection| selection.inner(piece))
    }

    /// What members call the piece with this place on the disk.
    pub(crate) fn outer(&self, piece: PieceIndex) -> PieceIndex {
        self.selection.as_ref().map_or(piece, |selection| selection.outer(piece))
    }

    /// Those of a member's pieces that are meant, by their places on the disk.
    pub(super) fn inner_bits<'a>(&self, bits: &'a Bitfield) -> Cow<'a, Bitfield> {
        match &self.selection {
            Some(selection) => Cow::Owned(selection.inner_bits(bits)),
            None => Cow::Borrowed(bits),
        }
    }
}
