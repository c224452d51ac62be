//! An old version of a content on this disk, and what of a new one is found in it.

use super::block_index::BlockIndex;
use super::patch::Patch;
use super::rolling::BlockDigest;
use crate::client::storage::piece_source::{PieceSource, SourceError};
use crate::model::digest::Sha1Digest;
use crate::model::manifest::Manifest;
use crate::model::piece::PieceIndex;
use crate::model::piece::block::BlockLen;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are searched at a time.
const STEP_LEN: u64 = 4 << 20;
/// No place.
const NOWHERE: u64 = u64::MAX;

/// The digests of the blocks of a piece of the new version.
pub(super) type DescribedPiece = (PieceIndex, Box<[BlockDigest]>);

/// An old version. What it holds may have changed since: whoever takes something of it verifies that.
#[derive(Clone)]
pub struct OldVersion {
    source: Arc<dyn PieceSource>,
    manifest: Arc<Manifest>,
}

impl fmt::Debug for OldVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OldVersion").finish_non_exhaustive()
    }
}

impl OldVersion {
    pub fn new(source: Arc<dyn PieceSource>, manifest: Arc<Manifest>) -> Self {
        Self { source, manifest }
    }

    /// The pieces of the new version that the old one has whole, wherever, and where they begin there.
    pub fn equal_pieces(&self, new: &Manifest) -> Vec<(PieceIndex, u64)> {
        let (old, layout) = (self.manifest.layout(), new.layout());
        let places: HashMap<&Sha1Digest, PieceIndex> = self.manifest.pieces().iter().zip(old.indexes()).collect();
        let equal = layout.indexes().zip(new.pieces()).filter_map(|(piece, digest)| {
            let found = *places.get(digest)?;
            (old.len(found) == layout.len(piece)).then(|| (piece, old.offset(found)))
        });
        equal.collect()
    }

    /// Reads from a place of its stream.
    ///
    /// # Errors
    /// Those of its source; `Changed` behind its end.
    pub fn read_at(&self, place: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.source.read_at(place, buffer)
    }

    /// Finds out which blocks of these pieces it has, in one pass over all of it. What cannot be read is passed over.
    pub(super) fn search(
        &self,
        len: BlockLen,
        described: &[DescribedPiece],
        piece_len: impl Fn(PieceIndex) -> u32,
        is_over: impl Fn() -> bool + Sync,
    ) -> Vec<(PieceIndex, Patch)> {
        // A short block at the end of the stream comes from a member: no window is that short.
        let blocks = |&(piece, ref digests): &DescribedPiece| {
            let full = piece_len(piece) / len.get();
            digests.iter().copied().take(full as usize).collect::<Vec<_>>()
        };
        let index = BlockIndex::new(len, described.iter().flat_map(blocks));
        let places = self.places(&index, len, is_over);
        let place_of = |digest: &BlockDigest| Some(places[index.entry(*digest)?]).filter(|place| *place != NOWHERE);
        let patched = described.iter().map(|described| {
            let (piece, digests) = described;
            let mut found: Box<[Option<u64>]> = blocks(described).iter().map(place_of).collect();
            if found.len() < digests.len() {
                found = found.into_iter().chain([None]).collect();
            }
            (*piece, Patch::new(len, piece_len(*piece), found))
        });
        patched.collect()
    }

    /// The first place of each entry.
    fn places(&self, index: &BlockIndex, len: BlockLen, is_over: impl Fn() -> bool + Sync) -> Vec<u64> {
        let places: Vec<AtomicU64> = (0..index.entries()).map(|_| AtomicU64::new(NOWHERE)).collect();
        let size = self.manifest.layout().size();
        (0..size.div_ceil(STEP_LEN)).into_par_iter().for_each_init(Vec::new, |buffer, step| {
            if is_over() {
                return;
            }
            let start = step * STEP_LEN;
            // The last window of a step begins with its last byte.
            let end = size.min(start + STEP_LEN + u64::from(len.get()) - 1);
            buffer.resize((end - start) as usize, 0);
            if self.read_at(start, buffer).is_err() {
                return;
            }
            index.scan(buffer, |entry, at| {
                let place = start + at as u64;
                if places[entry].load(Ordering::Relaxed) > place {
                    places[entry].fetch_min(place, Ordering::Relaxed);
                }
            });
        });
        places.into_iter().map(AtomicU64::into_inner).collect()
    }
}
