//! An old version of a content on this disk, and the search for parts of a new version in it.

use super::block_index::BlockIndex;
use super::patch::Patch;
use super::rolling::BlockDigest;
use super::testimony::Digests;
use crate::client::storage::piece_source::{PieceSource, SourceError};
use crate::client::storage::shared_files::SharedFiles;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::Manifest;
use crate::model::piece::PieceIndex;
use crate::model::piece::block::BlockLen;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of bytes to search at a time.
const STEP_LEN: u64 = 4 << 20;
/// No place.
const NOWHERE: u64 = u64::MAX;

/// The digests of the blocks of a piece of the new version.
pub(super) type DescribedPiece = (PieceIndex, Digests);

/// An old version. The files may have changed since, so the caller verifies everything taken from it.
#[derive(Clone)]
pub struct OldVersion {
    source: Arc<dyn PieceSource>,
    manifest: Arc<Manifest>,
    /// The beginning of each file by the manifest and in the source. Empty if both agree.
    starts: Arc<[(u64, u64)]>,
}

impl fmt::Debug for OldVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OldVersion").finish_non_exhaustive()
    }
}

impl OldVersion {
    pub fn new(source: Arc<dyn PieceSource>, manifest: Arc<Manifest>) -> Self {
        Self { source, manifest, starts: Arc::new([]) }
    }

    /// As `new`, but from the files as they are now. Some of them may have another length.
    pub fn edited(source: SharedFiles, manifest: Arc<Manifest>) -> Self {
        let known = manifest.files().iter().scan(0, |start, file| Some(std::mem::replace(start, *start + file.len)));
        let starts = known.zip(source.starts()).collect();
        Self { source: Arc::new(source), manifest, starts }
    }

    fn size(&self) -> u64 {
        self.source.layout().size()
    }

    /// The place in the source of a place in the manifest's stream. The bytes there may differ.
    fn place_of(&self, offset: u64) -> u64 {
        let file = self.starts.partition_point(|(known, _)| *known <= offset);
        file.checked_sub(1).map_or(offset, |file| self.starts[file].1 + (offset - self.starts[file].0))
    }

    /// The pieces of the new version that the old one has whole, at any place, and where they begin there.
    pub fn equal_pieces(&self, new: &Manifest) -> Vec<(PieceIndex, u64)> {
        let (old, layout) = (self.manifest.layout(), new.layout());
        let places: HashMap<&Sha1Digest, PieceIndex> = self.manifest.pieces().iter().zip(old.indexes()).collect();
        let equal = layout.indexes().zip(new.pieces()).filter_map(|(piece, digest)| {
            let found = *places.get(digest)?;
            let (len, place) = (layout.len(piece), self.place_of(old.offset(found)));
            (old.len(found) == len && place + u64::from(len) <= self.size()).then_some((piece, place))
        });
        equal.collect()
    }

    /// Reads from a place of the source. All bytes must be within the source.
    ///
    /// # Errors
    /// Those of its source.
    pub fn read_at(&self, place: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.source.read_at(place, buffer)
    }

    /// Finds the blocks of these pieces, in one pass over everything. Skips unreadable parts.
    pub(super) fn search(
        &self,
        len: BlockLen,
        described: &[DescribedPiece],
        piece_len: impl Fn(PieceIndex) -> u32,
        is_over: impl Fn() -> bool + Sync,
    ) -> Vec<(PieceIndex, Patch)> {
        // A short block at the end of the stream comes from a member, because no window is that short.
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
        let size = self.size();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::difference::rolling::{DIGEST_LEN, describe};
    use crate::client::hash::piece_hash::sha1_of;
    use crate::model::manifest::FileEntry;
    use crate::model::path::RelPath;
    use crate::model::piece::{Layout, PIECE_LEN};
    use proptest::prelude::*;

    /// The length of the shortest blocks.
    const BLOCK: usize = 1024;

    struct Memory(Vec<u8>);

    impl PieceSource for Memory {
        fn layout(&self) -> Layout {
            Layout::new(self.0.len() as u64).expect("small")
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            Ok(())
        }
    }

    fn old_version(bytes: Vec<u8>) -> OldVersion {
        let entry = FileEntry { path: RelPath::parse("f").expect("a path"), len: bytes.len() as u64 };
        let pieces = bytes.chunks(PIECE_LEN as usize).map(sha1_of).collect();
        OldVersion::new(Arc::new(Memory(bytes)), Arc::new(Manifest::new(vec![entry], pieces).expect("a file")))
    }

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2) + 1;
        let next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    /// A change of a file. Places and lengths are cut to the file's length.
    #[derive(Debug, Clone)]
    enum Change {
        Insert(usize, usize),
        Cut(usize, usize),
        Overwrite(usize, usize),
        /// Two stretches of this length change places.
        Swap(usize, usize, usize),
        /// A copy of this stretch is inserted there.
        Repeat(usize, usize, usize),
    }

    /// The maximum number of stretches of the old version that begin or end by one change.
    const BORDERS: usize = 6;

    impl Change {
        /// Makes the change. Returns the number of new bytes.
        fn make(&self, bytes: &mut Vec<u8>, seed: u64) -> usize {
            let within = |at: usize, len: usize| at.min(bytes.len())..bytes.len().min(at.saturating_add(len));
            match *self {
                Change::Insert(at, len) => {
                    let at = within(at, 0).start;
                    bytes.splice(at..at, noise(len, seed));
                    len
                }
                Change::Cut(at, len) => {
                    bytes.drain(within(at, len));
                    0
                }
                Change::Overwrite(at, len) => {
                    let range = within(at, len);
                    bytes[range.clone()].copy_from_slice(&noise(range.len(), seed));
                    range.len()
                }
                Change::Swap(one, other, len) => {
                    let (one, other) = (one.min(other), one.max(other));
                    let len = len.min(other - one).min(bytes.len().saturating_sub(other));
                    (0..len).for_each(|at| bytes.swap(one + at, other + at));
                    0
                }
                Change::Repeat(from, len, to) => {
                    let copy = bytes[within(from, len)].to_vec();
                    let to = within(to, 0).start;
                    // The stretch may contain earlier bytes.
                    let len = copy.len();
                    bytes.splice(to..to, copy);
                    len
                }
            }
        }
    }

    fn change() -> impl Strategy<Value = Change> {
        let (place, len) = (0..1_300_000usize, 0..200_000usize);
        prop_oneof![
            (place.clone(), len.clone()).prop_map(|(at, len)| Change::Insert(at, len)),
            (place.clone(), len.clone()).prop_map(|(at, len)| Change::Cut(at, len)),
            (place.clone(), len.clone()).prop_map(|(at, len)| Change::Overwrite(at, len)),
            (place.clone(), place.clone(), len.clone()).prop_map(|(one, other, len)| Change::Swap(one, other, len)),
            (place.clone(), len, place).prop_map(|(from, len, to)| Change::Repeat(from, len, to)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn an_update_rebuilds_any_changed_file_from_its_equal_blocks_and_little_else(
            seed in any::<u64>(),
            len in 1..1_200_000usize,
            changes in prop::collection::vec(change(), 0..6),
        ) {
            let before = noise(len, seed);
            let mut after = before.clone();
            let fresh: usize = (1..).zip(&changes).map(|(salt, change)| change.make(&mut after, seed ^ salt)).sum();
            let layout = Layout::new(after.len() as u64).expect("small");
            let described: Vec<DescribedPiece> = layout.indexes().zip(after.chunks(PIECE_LEN as usize)).map(|(piece, bytes)| {
                let mut told = Vec::new();
                describe(bytes, BlockLen::SHORTEST, &mut told);
                let digests = told.as_chunks::<DIGEST_LEN>().0.iter().map(|told| BlockDigest::from_bytes(*told));
                (piece, digests.collect())
            }).collect();
            let old = old_version(before);
            let patches = old.search(BlockLen::SHORTEST, &described, |piece| layout.len(piece), || false);
            let (mut rebuilt, mut asked) = (Vec::new(), 0);
            for ((_, patch), piece) in patches.iter().zip(after.chunks(PIECE_LEN as usize)) {
                let missing = patch.missing();
                asked += missing.byte_count() as usize;
                let came = missing.ranges().map(|range| &piece[range.start as usize..range.end as usize]);
                let mut room = vec![0; piece.len()];
                let fits = patch.assemble(&mut room, |place, room| old.read_at(place, room), came).expect("in memory");
                prop_assert!(fits);
                rebuilt.extend(room);
            }
            prop_assert!(rebuilt == after);
            // A member has to send a block with a new byte, a block over a border, and the last one.
            let most = fresh + (1 + BORDERS * changes.len()) * BLOCK;
            prop_assert!(asked <= most, "{asked} of at most {most}");
        }
    }

    #[test]
    fn pieces_of_an_edited_file_are_where_its_files_begin_now() {
        let temp = tempfile::tempdir().expect("a folder");
        let root = std::fs::canonicalize(temp.path()).expect("there").join("d");
        std::fs::create_dir(&root).expect("made");
        let (len, bytes) = (PIECE_LEN as usize, noise(3 * PIECE_LEN as usize, 1));
        let entry = |path: &str, len: usize| FileEntry { path: RelPath::parse(path).expect("a path"), len: len as u64 };
        let pieces: Vec<_> = bytes.chunks(len).map(sha1_of).collect();
        let manifest = Manifest::new(vec![entry("d/a", len), entry("d/b", 2 * len)], pieces).expect("two files");
        // Both are longer now. "b" has changed only at its end.
        std::fs::write(root.join("a"), noise(len + 5, 2)).expect("written");
        std::fs::write(root.join("b"), [&bytes[len..], b"more"].concat()).expect("written");
        let source = SharedFiles::as_they_are(root.clone(), manifest.files()).expect("short");
        let old = OldVersion::edited(source, Arc::new(manifest.clone()));
        let mut found = vec![0; len];
        for (piece, place) in old.equal_pieces(&manifest) {
            old.read_at(place, &mut found).expect("there");
            assert_eq!(found == bytes[piece.as_usize() * len..][..len], piece.get() > 0, "{piece:?}");
        }
        assert_eq!(old.equal_pieces(&manifest).len(), 3);
        // Nothing is searched behind the end of a cut or missing file.
        std::fs::write(root.join("b"), &bytes[len..2 * len + 9]).expect("written");
        std::fs::remove_file(root.join("a")).expect("there");
        let source = SharedFiles::as_they_are(root, manifest.files()).expect("short");
        let places = OldVersion::edited(source, Arc::new(manifest.clone())).equal_pieces(&manifest);
        assert_eq!(places.iter().map(|(piece, place)| (piece.get(), *place)).collect::<Vec<_>>(), [(0, 0), (1, 0)]);
    }
}
