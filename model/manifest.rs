//! What a share consists of: its files, and the SHA-1 of every piece of the byte stream they form.

use super::digest::{InfoHash, Sha1Digest};
use super::path::RelPath;
use super::piece::Layout;
use std::fmt;

/// Most files one share may have.
pub const FILES_MAX: usize = 1 << 20;

/// One file of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it lies. The first component is the name of the shared file or folder.
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

/// What travels beside a file and is no part of the content. Whoever brought the manifest first has chosen it, so nobody
/// relies on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileAttributes {
    /// Whether it is a program.
    pub executable: bool,
    /// When it was last written.
    pub modified: FileTime,
}

/// The content of a share in full. The files in the order given, one after the other, form one byte stream that is cut
/// into pieces.
///
/// Invariants: paths are strictly ascending and share their first component; either there is exactly one path and it
/// has one component (a shared file), or every path has at least two (a shared folder); no path is a folder of
/// another; there is exactly one digest per piece; there are attributes of every file or of none. The info hash names
/// files and pieces only.
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
    /// The files together are longer than the longest share.
    TooLarge,
    /// The paths are not in ascending order, one is there twice, or one is a folder of another.
    Order,
    /// The paths do not lie in one folder.
    Root,
    /// There is not exactly one digest per piece.
    PieceCount,
    /// There are attributes of other than all files.
    AttributeCount,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ManifestError::NoFile => "it has no file",
            ManifestError::TooManyFiles => "it has more than 1,048,576 files",
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
    /// Puts files and piece digests together after checking every invariant. Nothing is told of attributes.
    pub fn new(files: Vec<FileEntry>, pieces: Vec<Sha1Digest>) -> Result<Self, ManifestError> {
        let layout = check_files(&files)?;
        if pieces.len() != layout.count() as usize {
            return Err(ManifestError::PieceCount);
        }
        Ok(Self { files, pieces, layout, attributes: Vec::new() })
    }

    /// The same content with these attributes, one for each file.
    pub fn with_attributes(mut self, attributes: Vec<FileAttributes>) -> Result<Self, ManifestError> {
        if attributes.len() != self.files.len() {
            return Err(ManifestError::AttributeCount);
        }
        self.attributes = attributes;
        Ok(self)
    }

    /// The attributes of all files, or nothing.
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

    /// The SHA-1 of the complete stream, where that follows from the pieces: there is none, or only one.
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

    /// Whether this is a folder rather than a single file.
    pub fn is_folder(&self) -> bool {
        self.files[0].path.below_root().is_some()
    }
}

/// Checks the files of a share before their content is read; gives the layout of the stream they form.
pub fn check_files(files: &[FileEntry]) -> Result<Layout, ManifestError> {
    let first = files.first().ok_or(ManifestError::NoFile)?;
    if files.len() > FILES_MAX {
        return Err(ManifestError::TooManyFiles);
    }
    let folder = first.path.below_root().is_some();
    let root = first.path.root();
    if (!folder && files.len() > 1)
        || files.iter().any(|f| f.path.root() != root || f.path.below_root().is_some() != folder)
    {
        return Err(ManifestError::Root);
    }
    // Compared component by component, a folder stands directly before what lies in it.
    let components = |entry: &FileEntry| entry.path.as_str().split('/').map(str::to_owned).collect::<Vec<_>>();
    for pair in files.windows(2) {
        let (a, b) = (components(&pair[0]), components(&pair[1]));
        if a >= b || b.starts_with(&a) {
            return Err(ManifestError::Order);
        }
    }
    let size = files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.len)).ok_or(ManifestError::TooLarge)?;
    Layout::new(size).ok_or(ManifestError::TooLarge)
}

/// What the trackers keep of a share's content in an op; the manifest itself is stored beside, under its info hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    pub layout: Layout,
    /// SHA-1 of the complete stream.
    pub sha1: Sha1Digest,
    /// SHA-256 of the files and pieces in the manifest's canonical encoding.
    pub info_hash: InfoHash,
    /// Number of files in the manifest; 0 for a single file whose size nobody has told yet. Its pieces then all count
    /// as full, in the layout and in the manifest.
    pub file_count: u32,
}

impl Content {
    /// Whether the size is known.
    pub fn is_sized(&self) -> bool {
        self.file_count > 0
    }

    /// Whether this is the same stream as another one: equal, or the same single file of which one tells the size.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_file = || self.file_count.max(other.file_count) == 1 && self.is_sized() != other.is_sized();
        let same_bytes = || self.sha1 == other.sha1 && self.layout.count() == other.layout.count();
        self == other || (same_file() && same_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_not_one_tree_is_refused() {
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
