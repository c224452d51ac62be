//! Some files of a shared folder, as a content of its own. A download of a part has this content on the disk.
//!
//! Its stream consists of the pieces that have bytes of these files, one after the other. So each piece can be verified
//! and given to others. If such a piece has bytes of other files, these lie in files of their own, in a hidden folder
//! beside the wanted files.

use super::piece_source::{PieceSource, SourceError};
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::manifest::{FileAttributes, FileEntry, Manifest};
use crate::model::path::RelPath;
use crate::model::piece::{Layout, PieceIndex};
use crate::sys::vectored::ScatteredRoom;
use ring::digest::{Context, SHA256};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The folder for the bytes of other files in pieces at the borders.
const BORDERS: &str = ".groupshare-borders";

/// Some files of a shared folder.
pub struct Selection {
    /// The files, and the bytes at their borders.
    manifest: Arc<Manifest>,
    /// The layout of the whole folder.
    whole: Layout,
    /// The pieces in order, by their numbers in the whole folder.
    pieces: Box<[u32]>,
    /// The folder of the border bytes, below the shared folder, with a final slash.
    borders: String,
    /// The length of the files in bytes.
    len: u64,
    files: u32,
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection").field("files", &self.files).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Selection {
    /// The files of a folder for which `is_meant` returns true; it gets their paths below the folder. `None` if there
    /// is no such file.
    pub fn of(whole: &Manifest, is_meant: impl Fn(&str) -> bool) -> Option<Self> {
        let layout = whole.layout();
        let meant = |entry: &FileEntry| entry.path.below_root().is_some_and(&is_meant);
        let mut wanted = Bitfield::none(layout);
        let (mut start, mut len, mut files) = (0, 0, 0);
        for entry in whole.files() {
            if meant(entry) {
                layout.touched_by(start..start + entry.len).for_each(|piece| {
                    wanted.insert(piece);
                });
                (len, files) = (len + entry.len, files + 1);
            }
            start += entry.len;
        }
        let pieces: Box<[u32]> = wanted.iter(layout).map(PieceIndex::get).collect();
        let digests = wanted.iter(layout).map(|piece| whole.pieces()[piece.as_usize()]).collect();
        let (mut entries, mut attributes) = (Vec::new(), Vec::new());
        let borders = Borders::of(whole);
        start = 0;
        for (number, entry) in whole.files().iter().enumerate() {
            let stretch = start..start + entry.len;
            if meant(entry) {
                entries.push(entry.clone());
                attributes.push(whole.attributes().get(number).copied().unwrap_or_default());
            } else {
                for border in wanted_ends(layout, &wanted, stretch) {
                    entries.push(borders.entry(border)?);
                    attributes.push(FileAttributes::default());
                }
            }
            start += entry.len;
        }
        let attributes = if whole.attributes().is_empty() { Vec::new() } else { attributes };
        let manifest = Arc::new(Manifest::of_part(entries, digests, attributes).ok()?);
        let borders = borders.0.split_once('/').map_or(String::new(), |(_, below)| format!("{below}/"));
        (files > 0).then_some(Self { manifest, whole: layout, pieces, borders, len, files })
    }

    /// The files and the bytes at their borders, as a content of its own. The SHA-1 of all of it is unknown.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The length of the files in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.len
    }

    /// The number of files.
    pub fn file_count(&self) -> u32 {
        self.files
    }

    /// The bytes at the borders.
    pub(super) fn borders(&self) -> impl Iterator<Item = &FileEntry> {
        let is_border = |path: &str| path.starts_with(&*self.borders);
        self.manifest.files().iter().filter(move |entry| entry.path.below_root().is_some_and(is_border))
    }

    /// Whether this has all files of a folder.
    pub fn is_whole(&self, folder: &Manifest) -> bool {
        self.files as usize == folder.files().len()
    }

    /// The id of this part on a disk, which differs from that of the folder and of other parts.
    pub fn info_hash(&self, folder: InfoHash) -> InfoHash {
        let mut sha256 = Context::new(&SHA256);
        sha256.update(b"groupshare part of a folder 1");
        sha256.update(&folder.0);
        for entry in self.manifest.files() {
            sha256.update(entry.path.as_str().as_bytes());
            sha256.update(&[0]);
        }
        InfoHash(sha256.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The index in the part of a piece of the folder.
    pub fn inner(&self, piece: PieceIndex) -> Option<PieceIndex> {
        // At most the number of pieces, which is a u32.
        self.manifest.layout().index(self.pieces.binary_search(&piece.get()).ok()? as u32)
    }

    /// The index in the folder of a piece of the part.
    pub fn outer(&self, piece: PieceIndex) -> PieceIndex {
        self.whole.index(self.pieces[piece.as_usize()]).expect("a piece of the folder")
    }

    /// The pieces of the part among these pieces of the folder.
    pub fn inner_bits(&self, outer: &Bitfield) -> Bitfield {
        let layout = self.manifest.layout();
        let mut inner = Bitfield::none(layout);
        layout.indexes().filter(|piece| outer.has(self.outer(*piece))).for_each(|piece| {
            inner.insert(piece);
        });
        inner
    }

    /// The pieces of the folder for these pieces of the part.
    pub fn outer_bits(&self, inner: &Bitfield) -> Bitfield {
        let mut outer = Bitfield::none(self.whole);
        inner.iter(self.manifest.layout()).for_each(|piece| {
            outer.insert(self.outer(piece));
        });
        outer
    }

    /// The layout of the whole folder.
    pub fn whole(&self) -> Layout {
        self.whole
    }
}

/// The bytes of an unwanted file in wanted pieces: at its beginning, at its end, or all.
fn wanted_ends(layout: Layout, wanted: &Bitfield, file: Range<u64>) -> Vec<Range<u64>> {
    let within = |piece: PieceIndex| {
        let start = layout.offset(piece);
        start.max(file.start)..(start + u64::from(layout.len(piece))).min(file.end)
    };
    // A piece between the first and the last has only bytes of this file.
    let mut pieces = layout.touched_by(file.clone());
    let first = pieces.next();
    [first, pieces.last()].into_iter().flatten().filter(|piece| wanted.has(*piece)).map(within).collect()
}

/// The folder of the border bytes.
struct Borders(String);

impl Borders {
    /// A folder with a name that no folder of the share has.
    fn of(whole: &Manifest) -> Self {
        let root = whole.files()[0].path.root();
        let is_taken = |path: &str| {
            let begins = |entry: &FileEntry| {
                entry.path.as_str().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            whole.files().iter().any(begins)
        };
        let mut path = format!("{root}/{BORDERS}");
        while is_taken(&path) {
            path.push('_');
        }
        Self(path)
    }

    /// The file of a stretch of the folder's stream. `None` if the folder has taken all short names.
    fn entry(&self, stretch: Range<u64>) -> Option<FileEntry> {
        let path =
            RelPath::parse(&format!("{}/{:011x}-{:x}", self.0, stretch.start, stretch.end - stretch.start)).ok()?;
        Some(FileEntry { path, len: stretch.end - stretch.start })
    }
}

/// The pieces of a part under their indexes in the whole folder.
pub struct PartSource {
    inner: Arc<dyn PieceSource>,
    selection: Arc<Selection>,
}

impl PartSource {
    pub fn new(inner: Arc<dyn PieceSource>, selection: Arc<Selection>) -> Self {
        Self { inner, selection }
    }

    /// The place in the part's stream of a place in the folder's stream.
    fn place(&self, offset: u64, len: usize) -> u64 {
        let whole = self.selection.whole;
        let piece = whole.touched_by(offset..offset + 1).next().expect("within the stream");
        let within = offset - whole.offset(piece);
        assert!(within + len as u64 <= u64::from(whole.len(piece)), "one read stays within one piece");
        let inner = self.selection.inner(piece).expect("the reader has checked that the piece is held");
        self.selection.manifest.layout().offset(inner) + within
    }
}

impl PieceSource for PartSource {
    fn layout(&self) -> Layout {
        self.selection.whole
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.inner.read_at(self.place(offset, buffer.len()), buffer)
    }

    fn scatter_at(&self, offset: u64, room: ScatteredRoom<'_>) -> Result<(), SourceError> {
        self.inner.scatter_at(self.place(offset, room.len()), room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::hash::piece_hash::sha1_of;
    use crate::model::piece::PIECE_LEN;
    use proptest::prelude::*;

    const LEN: u64 = PIECE_LEN as u64;

    /// A folder of files with these lengths, and its stream.
    fn folder(lens: &[u64]) -> (Manifest, Vec<u8>) {
        let entry = |(number, len): (usize, &u64)| FileEntry {
            path: RelPath::parse(&format!("d/{number:03}")).expect("a path"),
            len: *len,
        };
        let files: Vec<_> = lens.iter().enumerate().map(entry).collect();
        let size: u64 = lens.iter().sum();
        let stream: Vec<u8> = (0..size).map(|at| (at / 997 + at % 251) as u8).collect();
        let pieces = stream.chunks(PIECE_LEN as usize).map(sha1_of).collect();
        (Manifest::new(files, pieces).expect("a manifest"), stream)
    }

    /// The stream of a selection, cut out of the folder's stream by the names of its files.
    fn cut(selection: &Selection, whole: &Manifest, stream: &[u8]) -> Vec<u8> {
        let start_of = |path: &RelPath| {
            let files = whole.files();
            let number = files.iter().position(|file| file.path == *path);
            number.map(|number| files[..number].iter().map(|file| file.len).sum())
        };
        let bytes = |entry: &FileEntry| {
            let start: u64 = start_of(&entry.path).unwrap_or_else(|| {
                let name = entry.path.as_str().rsplit_once('/').expect("in a folder").1;
                u64::from_str_radix(name.split_once('-').expect("a length").0, 16).expect("a number")
            });
            stream[start as usize..(start + entry.len) as usize].to_vec()
        };
        selection.manifest().files().iter().flat_map(bytes).collect()
    }

    #[test]
    fn bytes_of_other_files_in_border_pieces_are_kept_beside_the_selected_files() {
        let (whole, _) = folder(&[10, LEN, 5, 3 * LEN, 0, 7]);
        let selection = Selection::of(&whole, |path| path == "002").expect("a file");
        let files: Vec<_> = selection.manifest().files().iter().map(|file| (file.path.as_str(), file.len)).collect();
        let borders = "d/.groupshare-borders";
        let (before, behind) = (format!("{borders}/00000080000-a"), format!("{borders}/0000008000f-7fff1"));
        assert_eq!(files, [(before.as_str(), 10), ("d/002", 5), (behind.as_str(), LEN - 15)]);
        assert_eq!((selection.file_bytes(), selection.file_count(), selection.pieces.to_vec()), (5, 1, vec![1]));
        assert!(!selection.is_whole(&whole) && Selection::of(&whole, |_| true).expect("all").is_whole(&whole));
        assert!(Selection::of(&whole, |_| false).is_none());
        let empty = Selection::of(&whole, |path| path == "004").expect("an empty file");
        assert_eq!((empty.file_bytes(), empty.manifest().files().len(), empty.pieces.len()), (0, 1, 0));
    }

    #[test]
    fn no_share_can_take_the_place_of_the_borders() {
        let entry = |path: &str, len| FileEntry { path: RelPath::parse(path).expect("a path"), len };
        let files = vec![entry("d/.groupshare-borders", 9), entry("d/.groupshare-borders_/x", 9), entry("d/a", 9)];
        let whole = Manifest::new(files, vec![sha1_of(b"")]).expect("a manifest");
        let selection = Selection::of(&whole, |path| path == "a").expect("a file");
        let paths: Vec<_> = selection.manifest().files().iter().map(|file| file.path.as_str().to_owned()).collect();
        assert!(paths[0].starts_with("d/.groupshare-borders__/") && paths.len() == 3, "{paths:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn every_selection_is_the_stream_of_its_pieces(
            files in proptest::collection::vec((prop_oneof![Just(0), 1..40u64, LEN - 2..LEN + 3, 2 * LEN..2 * LEN + 9], any::<bool>()), 1..9)
        ) {
            let lens: Vec<u64> = files.iter().map(|(len, _)| *len).collect();
            let (whole, stream) = folder(&lens);
            let is_meant = |path: &str| files[path.parse::<usize>().expect("a number")].1;
            let Some(selection) = Selection::of(&whole, is_meant) else {
                prop_assert!(files.iter().all(|(_, meant)| !meant));
                return Ok(());
            };
            let bytes = cut(&selection, &whole, &stream);
            let layout = selection.manifest().layout();
            prop_assert_eq!(bytes.len() as u64, layout.size());
            for piece in layout.indexes() {
                let start = layout.offset(piece) as usize;
                let data = &bytes[start..start + layout.len(piece) as usize];
                prop_assert_eq!(sha1_of(data), selection.manifest().pieces()[piece.as_usize()]);
                prop_assert_eq!(selection.inner(selection.outer(piece)), Some(piece));
            }
            let all = selection.outer_bits(&Bitfield::all(layout));
            prop_assert_eq!(selection.inner_bits(&all), Bitfield::all(layout));
            prop_assert_eq!(all.held(), layout.count());
        }
    }
}
