//! What a share consists of: its files, and the SHA-1 of every piece of the byte stream they form.

use super::digest::{InfoHash, Sha1Digest};
use super::path::RelPath;
use super::piece::Layout;
use std::collections::BTreeSet;
use std::fmt;

/// Most files one share may have.
pub const FILES_MAX: usize = 1 << 20;
/// Most folders one share may have, with the shared one. Each folder holds a file somewhere below it.
pub const FOLDERS_MAX: usize = 1 << 20;

/// One file of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where the file lies. The first component is the name of the shared file or folder.
    pub path: RelPath,
    /// Its length in bytes.
    pub len: u64,
}

/// The time of a file's last write.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FileTime {
    /// Seconds since 1970, rounded down.
    pub seconds: i64,
    nanoseconds: u32,
}

impl FileTime {
    /// A time; `None` unless there are fewer than 10^9 nanoseconds.
    pub const fn new(seconds: i64, nanoseconds: u32) -> Option<Self> {
        if nanoseconds < 1_000_000_000 { Some(Self { seconds, nanoseconds }) } else { None }
    }

    /// Nanoseconds since the second, below 10^9.
    pub fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }
}

/// What travels beside a file and is no part of the content. The client that first sent the manifest has chosen these
/// values, so no program relies on them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FileAttributes {
    /// Whether the file is a program.
    pub executable: bool,
    /// When the file was last written.
    pub modified: FileTime,
}

/// The content of a share in full. The files, in the order given, form one byte stream, which is cut into pieces.
///
/// Invariants: paths are strictly ascending and share their first component. Either there is exactly one path of one
/// component (a shared file), or every path has at least two (a shared folder). No path is a folder of another. There
/// is exactly one digest per piece. Either all files have attributes, or none has. The info hash names files and pieces
/// only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    files: Vec<FileEntry>,
    pieces: Vec<Sha1Digest>,
    layout: Layout,
    attributes: Vec<FileAttributes>,
}

/// Why files and digests do not make a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestError {
    NoFile,
    /// There are more than `FILES_MAX` files.
    TooManyFiles,
    /// There are more than `FOLDERS_MAX` folders.
    TooManyFolders,
    /// The files together are longer than the longest share.
    TooLarge,
    /// The paths are not in ascending order, a path occurs twice, or a path is a folder of another.
    Order,
    /// The paths do not lie in one folder.
    Root,
    /// There is not exactly one digest per piece.
    PieceCount,
    /// The number of attributes differs from the number of files.
    AttributeCount,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ManifestError::NoFile => "it has no file",
            ManifestError::TooManyFiles => "it has more than 1,048,576 files",
            ManifestError::TooManyFolders => "it has more than 1,048,576 folders",
            ManifestError::TooLarge => "it is larger than 1 TiB",
            ManifestError::Order => "its paths are not in order",
            ManifestError::Root => "its paths do not lie in one folder",
            ManifestError::PieceCount => "its digests do not match its size",
            ManifestError::AttributeCount => "its attributes do not match its files",
        })
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Puts files and piece digests together after checking every invariant. The manifest has no attributes.
    pub fn new(files: Vec<FileEntry>, pieces: Vec<Sha1Digest>) -> Result<Self, ManifestError> {
        let layout = check_files(&files)?;
        if pieces.len() != layout.count() as usize {
            return Err(ManifestError::PieceCount);
        }
        Ok(Self { files, pieces, layout, attributes: Vec::new() })
    }

    /// A part of a folder as a content of its own, with its files in any order. It has no info hash, and no tracker
    /// knows it.
    pub fn of_part(
        files: Vec<FileEntry>,
        pieces: Vec<Sha1Digest>,
        attributes: Vec<FileAttributes>,
    ) -> Result<Self, ManifestError> {
        if files.is_empty() {
            return Err(ManifestError::NoFile);
        }
        let layout = Layout::new(files.iter().map(|file| file.len).sum()).ok_or(ManifestError::TooLarge)?;
        if pieces.len() != layout.count() as usize {
            return Err(ManifestError::PieceCount);
        }
        if !attributes.is_empty() && attributes.len() != files.len() {
            return Err(ManifestError::AttributeCount);
        }
        Ok(Self { files, pieces, layout, attributes })
    }

    /// The same content with these attributes, one for each file.
    pub fn with_attributes(mut self, attributes: Vec<FileAttributes>) -> Result<Self, ManifestError> {
        if attributes.len() != self.files.len() {
            return Err(ManifestError::AttributeCount);
        }
        self.attributes = attributes;
        Ok(self)
    }

    /// The attributes of all files, or an empty slice.
    pub fn attributes(&self) -> &[FileAttributes] {
        &self.attributes
    }

    /// The files, in stream order.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    pub fn pieces(&self) -> &[Sha1Digest] {
        &self.pieces
    }

    /// The SHA-1 of the complete stream, if there is at most one piece. Otherwise the pieces do not tell it.
    pub fn sha1(&self) -> Option<Sha1Digest> {
        match *self.pieces {
            [] => Some(Sha1Digest::OF_NOTHING),
            [only] => Some(only),
            _ => None,
        }
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// All folders by their paths below the shared one, outer folders first. The shared folder itself is the empty
    /// path. Empty for a single file.
    pub fn folders(&self) -> BTreeSet<&str> {
        let below = self.files.iter().filter_map(|entry| entry.path.below_root());
        below.flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]).chain([""])).collect()
    }

    /// Whether this is a folder rather than a single file.
    pub fn is_folder(&self) -> bool {
        self.files[0].path.below_root().is_some()
    }
}

/// Checks the files of a share before their content is read. Returns the layout of the stream that they form.
pub fn check_files(files: &[FileEntry]) -> Result<Layout, ManifestError> {
    let mut tree = TreeCheck::default();
    files.iter().try_for_each(|file| tree.add(file))?;
    tree.finish()
}

/// Checks the files of a share one after the other. Keeps only the last path, and reads each byte of a path a fixed
/// number of times.
#[derive(Debug, Default)]
pub struct TreeCheck {
    last: String,
    files: usize,
    folders: usize,
    /// The sum of the lengths.
    size: u64,
}

impl TreeCheck {
    /// Takes the next file.
    pub fn add(&mut self, file: &FileEntry) -> Result<(), ManifestError> {
        let path = file.path.as_str();
        let common = common_len(self.last.as_bytes(), path.as_bytes());
        if self.files > 0 {
            self.check_place(path, common)?;
        }
        if self.files >= FILES_MAX {
            return Err(ManifestError::TooManyFiles);
        }
        // Both paths lie in a folder if both have its whole name and the slash behind it.
        let folders = self.folders + path.as_bytes()[common..].iter().filter(|&&byte| byte == b'/').count();
        if folders > FOLDERS_MAX {
            return Err(ManifestError::TooManyFolders);
        }
        let size = self.size.checked_add(file.len).filter(|&size| Layout::new(size).is_some());
        self.size = size.ok_or(ManifestError::TooLarge)?;
        self.folders = folders;
        self.files += 1;
        self.last.clear();
        self.last.push_str(path);
        Ok(())
    }

    /// The layout of the stream that all of them form.
    pub fn finish(&self) -> Result<Layout, ManifestError> {
        if self.files == 0 {
            return Err(ManifestError::NoFile);
        }
        Layout::new(self.size).ok_or(ManifestError::TooLarge)
    }

    /// How many files the check has taken.
    pub fn files(&self) -> usize {
        self.files
    }

    /// The first component of every path so far.
    pub fn root(&self) -> &str {
        root_of(&self.last)
    }

    /// Whether a path may follow the last one: it lies in the same shared folder and sorts behind it. `common` is the
    /// number of bytes at the beginning that both share.
    fn check_place(&self, path: &str, common: usize) -> Result<(), ManifestError> {
        // The folder's whole name, with the slash behind it.
        if self.root().len() >= self.last.len().min(common) {
            return Err(ManifestError::Root);
        }
        // In an order by components a folder stands directly before its contents. So a slash is less than every other
        // byte, and the end of a path is less than a slash.
        let rank = |path: &str| path.as_bytes().get(common).map(|&byte| if byte == b'/' { 0 } else { byte });
        let (before, next) = (rank(&self.last), rank(path));
        let is_folder = before.is_none() && next == Some(0);
        if before < next && !is_folder { Ok(()) } else { Err(ManifestError::Order) }
    }
}

/// How many bytes two paths have in common at their beginnings.
fn common_len(a: &[u8], b: &[u8]) -> usize {
    // Whole blocks first: neighbours in a sorted list have most of their bytes in common.
    let blocks = a.chunks_exact(64).zip(b.chunks_exact(64)).take_while(|(a, b)| a == b).count() * 64;
    blocks + a[blocks..].iter().zip(&b[blocks..]).take_while(|(a, b)| a == b).count()
}

fn root_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// What the trackers keep of a share's content in an op. The manifest itself is stored separately, under its info hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    pub layout: Layout,
    /// SHA-1 of the complete stream.
    pub sha1: Sha1Digest,
    /// SHA-256 of the files and pieces in the manifest's canonical encoding.
    pub info_hash: InfoHash,
    /// Number of files in the manifest; 0 for a single file of unknown size. Then every piece counts as full, in the
    /// layout and in the manifest.
    pub file_count: u32,
}

impl Content {
    /// Whether the size is known.
    pub fn is_sized(&self) -> bool {
        self.file_count > 0
    }

    /// Whether this is the same stream as another: both are equal, or both are the same single file and only one has
    /// its size.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_file = || self.file_count.max(other.file_count) == 1 && self.is_sized() != other.is_sized();
        let same_bytes = || self.sha1 == other.sha1 && self.layout.count() == other.layout.count();
        self == other || (same_file() && same_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::COMPONENTS_MAX;

    fn files(list: &[(&str, u64)]) -> Vec<FileEntry> {
        list.iter().map(|&(path, len)| FileEntry { path: RelPath::parse(path).expect(path), len }).collect()
    }

    #[test]
    fn a_single_file_and_a_folder_of_one_are_different_things() {
        let digest = vec![Sha1Digest([1; 20])];
        assert!(!Manifest::new(files(&[("a", 1)]), digest.clone()).expect("a file").is_folder());
        assert!(Manifest::new(files(&[("d/a", 1)]), digest).expect("a folder").is_folder());
    }

    #[test]
    fn a_file_is_the_same_whether_its_size_is_told_or_not() {
        let content = |size, sha1, file_count| {
            let layout = Layout::new(size).expect("small");
            Content { layout, sha1: Sha1Digest([sha1; 20]), info_hash: InfoHash([size as u8; 32]), file_count }
        };
        let piece = u64::from(crate::model::piece::PIECE_LEN);
        let (unsized_one, told) = (content(2 * piece, 1, 0), content(piece + 1, 1, 1));
        assert!(unsized_one.is_same(&told) && told.is_same(&unsized_one) && unsized_one.is_same(&unsized_one));
        assert!(!unsized_one.is_sized() && told.is_sized());
        for other in
            [content(piece + 2, 1, 1), content(piece, 1, 0), content(piece + 1, 2, 0), content(piece + 1, 1, 2)]
        {
            assert!(!told.is_same(&other), "{other:?}");
        }
        assert!(!unsized_one.is_same(&content(piece + 1, 1, 2)), "a folder is another thing");
    }

    #[test]
    fn a_manifest_that_is_not_one_tree_is_refused() {
        use ManifestError::*;
        for (list, error) in [
            (&[][..], NoFile),
            (&[("a", 1), ("b", 1)], Root),
            (&[("d/a", 1), ("e/b", 1)], Root),
            (&[("d/a", 1), ("d", 1)], Root),
            (&[("d/b", 1), ("d/a", 1)], Order),
            (&[("d/a", 1), ("d/a", 1)], Order),
            (&[("d/a", 1), ("d/a/b", 1)], Order),
            (&[("d/a", 1), ("d/a-b", 1), ("d/a/b", 1)], Order),
            (&[("a", u64::MAX)], TooLarge),
            (&[("d/a", u64::MAX), ("d/b", 2)], TooLarge),
        ] {
            assert_eq!(check_files(&files(list)), Err(error), "{list:?}");
        }
        assert_eq!(Manifest::new(files(&[("a", 0)]), vec![Sha1Digest([0; 20])]), Err(PieceCount));
        assert_eq!(Manifest::new(files(&[("a", 1)]), vec![]), Err(PieceCount));
    }

    /// The rule as docs/PROTOCOL.md states it, with paths as lists of components.
    fn is_tree(paths: &[String]) -> bool {
        let all: Vec<Vec<&str>> = paths.iter().map(|path| path.split('/').collect()).collect();
        let in_one_folder = all.len() < 2 || all.iter().all(|path| path.len() > 1 && path[0] == all[0][0]);
        in_one_folder && all.windows(2).all(|pair| pair[0] < pair[1] && !pair[1].starts_with(&pair[0]))
    }

    #[test]
    fn paths_are_compared_byte_by_byte_as_if_component_by_component() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let (mut right, mut wrong) = (0, 0);
        for _ in 0..20_000 {
            let count = 1 + random(3);
            let mut paths: Vec<String> = (0..count)
                .map(|_| {
                    let parts = 1 + random(3);
                    let names: Vec<&str> =
                        (0..parts).map(|_| ["a", "a-", "a0", "b", "é"][random(5) as usize]).collect();
                    format!("d/{}", names.join("/"))
                })
                .collect();
            if random(4) > 0 {
                paths.sort_by(|a, b| a.split('/').cmp(b.split('/')));
            }
            let list: Vec<_> = paths.iter().map(|path| (path.as_str(), 1)).collect();
            let is_right = check_files(&files(&list)).is_ok();
            assert_eq!(is_right, is_tree(&paths), "{paths:?}");
            *(if is_right { &mut right } else { &mut wrong }) += 1;
        }
        assert!(right > 1000 && wrong > 1000, "{right} {wrong}");
    }

    #[test]
    fn every_folder_counts_once() {
        let list = [("d/a/b/1", 0), ("d/a/b/2", 0), ("d/a/c/1", 0), ("d/a-/c/1", 0), ("d/a-/c1", 0), ("d/b", 0)];
        let mut tree = TreeCheck::default();
        let mut counted = Vec::new();
        for file in files(&list) {
            tree.add(&file).expect("in order");
            counted.push(tree.folders);
        }
        assert_eq!(counted, [3, 3, 4, 6, 6, 6]);
    }

    #[test]
    fn a_share_has_so_many_folders_and_no_more() {
        let deep = "x/".repeat(COMPONENTS_MAX - 3);
        let mut tree = TreeCheck::default();
        let mut at = 0;
        let refused = loop {
            let path = format!("d/{at:08}/{deep}f");
            at += 1;
            let file = FileEntry { path: RelPath::parse(&path).expect("a path"), len: 0 };
            if let Err(error) = tree.add(&file) {
                break error;
            }
        };
        assert_eq!(refused, ManifestError::TooManyFolders);
        assert_eq!(
            (at - 1, tree.folders),
            ((FOLDERS_MAX - 1) / (COMPONENTS_MAX - 2), 1 + (at - 1) * (COMPONENTS_MAX - 2))
        );
    }

    #[test]
    fn attributes_are_those_of_all_files_or_of_none() {
        let manifest = Manifest::new(files(&[("d/a", 0), ("d/b", 0)]), vec![]).expect("two empty files");
        assert!(manifest.attributes().is_empty());
        let attributes = FileAttributes { executable: true, modified: FileTime::new(-1, 999_999_999).expect("a time") };
        for count in [0, 1, 3] {
            assert_eq!(manifest.clone().with_attributes(vec![attributes; count]), Err(ManifestError::AttributeCount));
        }
        let told = manifest.with_attributes(vec![attributes; 2]).expect("as many as files");
        assert_eq!(told.attributes(), [attributes; 2]);
        assert_eq!(FileTime::new(0, 1_000_000_000), None);
    }

    #[test]
    fn empty_files_belong_to_a_folder_without_taking_a_piece() {
        let manifest = Manifest::new(files(&[("d/a", 0), ("d/b", 0)]), vec![]).expect("two empty files");
        assert!(manifest.layout().is_empty());
    }
}
