//! The files of a share on the disk of a member that shares it, as a source of pieces.

use super::file_map::FileMap;
use super::file_stamp;
use super::file_stamp::{FileStamp, Stamps, may_read};
use super::holes::for_each_with_data;
use super::local_name::locate;
use super::open_files::{OpenFiles, open_with_room};
use super::piece_source::{PieceSource, SourceError};
use super::sighting::{Sight, Sighting};
use crate::client::hash::piece_hash::PieceRead;
use crate::model::bitfield::Bitfield;
use crate::model::manifest::FileEntry;
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use crate::sys::files::{look_unlinked, open_unlinked};
use crate::sys::vectored::ScatteredRoom;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a share on the disk of a member that shares it.
///
/// A file is opened at its first read, and stays open while it is in use. After each read, the path must still lead to
/// the inode, size and time of last write that were seen when the file was hashed. Otherwise the read bytes are not
/// given out. No symbolic link is followed on the way.
pub struct SharedFiles {
    root: PathBuf,
    files: Box<[FileEntry]>,
    /// `None` for a file that cannot be read.
    stamps: Box<[Option<FileStamp>]>,
    map: FileMap,
    layout: Layout,
    open: OpenFiles,
}

impl SharedFiles {
    /// The source for a file or folder at an absolute path, with the stamps of its files when they were hashed.
    ///
    /// # Panics
    /// Unless there is one stamp per file.
    pub fn new(root: PathBuf, files: &[FileEntry], layout: Layout, stamps: Stamps) -> Self {
        Self::with(root, files, layout, stamps.0.into_iter().map(Some).collect())
    }

    /// The source for the readable files of a share.
    ///
    /// # Panics
    /// Unless each file was looked at.
    pub fn seen(root: PathBuf, files: &[FileEntry], layout: Layout, sighting: &Sighting) -> Self {
        Self::with(root, files, layout, sighting.0.iter().map(Sight::stamp).collect())
    }

    /// The source for the files that lie in these places now, with any lengths. A missing or unreadable file has length
    /// 0. `None` if all files together are longer than a share may be.
    pub fn as_they_are(root: PathBuf, files: &[FileEntry]) -> Option<Self> {
        let look = |file: &FileEntry| {
            let path = locate(&root, &file.path);
            let found = look_unlinked(&path).ok().filter(|found| found.is_file() && may_read(&path).is_ok());
            let stamp = found.as_ref().map(FileStamp::of);
            (FileEntry { len: stamp.map_or(0, |stamp| stamp.size), ..file.clone() }, stamp)
        };
        let (files, stamps): (Vec<_>, Vec<_>) = files.iter().map(look).unzip();
        let layout = Layout::new(files.iter().map(|file| file.len).sum())?;
        Some(Self::with(root, &files, layout, stamps.into()))
    }

    /// The beginning of each file in the stream.
    pub fn starts(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.files.len()).map(|file| self.map.start(file))
    }

    fn with(root: PathBuf, files: &[FileEntry], layout: Layout, stamps: Box<[Option<FileStamp>]>) -> Self {
        assert_eq!(files.len(), stamps.len(), "one stamp per file");
        let map = FileMap::new(files);
        Self { root, files: files.into(), stamps, map, layout, open: OpenFiles::default() }
    }

    /// The stamp of a file, if it can be read.
    pub fn stamp(&self, file: usize) -> Option<FileStamp> {
        self.stamps[file]
    }

    /// The numbers of the files, from 0, with bytes in a piece.
    pub fn files_of(&self, piece: PieceIndex) -> impl Iterator<Item = usize> + '_ {
        let len = self.layout.len(piece) as usize;
        self.map.stretches(self.layout.offset(piece), len).map(|stretch| stretch.file)
    }

    /// Checks every file, even those that no thread reads now.
    ///
    /// # Errors
    /// `Changed`, `Link`, `Gone` or `Io`, for the first such file.
    pub fn check_all(&self) -> Result<(), SourceError> {
        (0..self.files.len()).try_for_each(|file| {
            let path = self.path(file);
            file_stamp::check(&path, &self.bears(file, &path)?)?;
            may_read(&path).map_err(|error| SourceError::from_io(path, error))
        })
    }

    /// The pieces in holes, which are zeros. Empty if the file system does not tell.
    pub fn holes(&self) -> Bitfield {
        let mut holes = Bitfield::all(self.layout);
        for (number, entry) in self.files.iter().enumerate() {
            let start = self.map.start(number);
            let stretch = start..start + entry.len;
            // For a short file, a read is faster than a look for holes.
            let is_told = entry.len >= u64::from(PIECE_LEN) && self.exclude_data(number, &mut holes).is_ok();
            if !is_told {
                self.layout.touched_by(stretch).for_each(|piece| {
                    holes.remove(piece);
                });
            }
        }
        holes
    }

    /// Removes the pieces with data of a file from the set.
    fn exclude_data(&self, number: usize, holes: &mut Bitfield) -> Result<(), SourceError> {
        let path = self.path(number);
        let file = self.file(number, &path)?;
        let start = self.map.start(number);
        let looked = for_each_with_data(self.layout, &file, start..start + self.files[number].len, |piece| {
            holes.remove(piece);
        });
        looked.map_err(|error| SourceError::from_io(path.clone(), error))?;
        file_stamp::check(&path, &self.bears(number, &path)?)
    }

    /// Reads a piece, unless it is in `holes`.
    ///
    /// # Errors
    /// Those of `read_at`.
    pub fn read_unless_hole(
        &self,
        holes: &Bitfield,
        piece: PieceIndex,
        buffer: &mut [u8],
    ) -> Result<PieceRead, SourceError> {
        if holes.has(piece) {
            return Ok(PieceRead::Zeros);
        }
        self.read_piece(piece, buffer).map(|()| PieceRead::Bytes)
    }

    /// The stamp that a file must have to be read.
    fn bears(&self, file: usize, path: &Path) -> Result<FileStamp, SourceError> {
        self.stamps[file].ok_or_else(|| SourceError::Gone(path.to_path_buf()))
    }

    /// The path of a file.
    pub fn path(&self, file: usize) -> PathBuf {
        locate(&self.root, &self.files[file].path)
    }

    fn file(&self, file: usize, path: &Path) -> Result<Arc<File>, SourceError> {
        self.open.get(file, || {
            let opened = open_with_room(|| open_unlinked(path));
            let opened = opened.map_err(|error| SourceError::from_io(path.to_path_buf(), error))?;
            file_stamp::compare(path, &self.bears(file, path)?, opened.metadata())?;
            Ok(opened)
        })
    }
}

impl PieceSource for SharedFiles {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.scatter_at(offset, buffer.into())
    }

    fn scatter_at(&self, offset: u64, mut room: ScatteredRoom<'_>) -> Result<(), SourceError> {
        for stretch in self.map.stretches(offset, room.len()) {
            let path = self.path(stretch.file);
            let file = self.file(stretch.file, &path)?;
            let read = room.fill_from(&file, stretch.offset, stretch.len);
            read.map_err(|error| SourceError::from_io(path.clone(), error))?;
            // The open file had this stamp, and no other file gets its inode while it is open.
            file_stamp::check(&path, &self.bears(stretch.file, &path)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::check_files;
    use crate::model::path::RelPath;
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::time::SystemTime;

    fn entry(path: &str, len: u64) -> FileEntry {
        FileEntry { path: RelPath::parse(path).expect("a path"), len }
    }

    fn source(root: &Path, files: &[FileEntry]) -> SharedFiles {
        let layout = check_files(files).expect("in order");
        SharedFiles::new(root.to_path_buf(), files, layout, Stamps::take(root, files).expect("the files are there"))
    }

    fn single(content: &[u8]) -> (tempfile::TempDir, PathBuf, SharedFiles) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("f");
        fs::write(&path, content).expect("written");
        let source = source(&path, &[entry("f", content.len() as u64)]);
        (temp, path, source)
    }

    fn first_piece(source: &SharedFiles) -> Result<Vec<u8>, SourceError> {
        let piece = source.layout().index(0).expect("it has one");
        let mut buffer = vec![0; source.layout().len(piece) as usize];
        source.read_piece(piece, &mut buffer).map(|()| buffer)
    }

    #[test]
    fn a_piece_that_crosses_the_borders_of_files_is_read_whole() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let root = temp.path().join("d");
        fs::create_dir_all(root.join("sub")).expect("made");
        let long = vec![7; PIECE_LEN as usize];
        fs::write(root.join("a"), b"first").expect("written");
        fs::write(root.join("empty"), b"").expect("written");
        fs::write(root.join("sub/b"), &long).expect("written");
        let source = source(&root, &[entry("d/a", 5), entry("d/empty", 0), entry("d/sub/b", long.len() as u64)]);
        assert_eq!(first_piece(&source).expect("unchanged"), [b"first", &long[5..]].concat());
        let last = source.layout().index(1).expect("it has two");
        let mut rest = [0; 5];
        source.read_piece(last, &mut rest).expect("unchanged");
        assert_eq!(rest, [7; 5]);
    }

    #[test]
    fn a_file_written_to_is_no_longer_served() {
        let (_temp, path, source) = single(b"content");
        assert_eq!(first_piece(&source).expect("unchanged"), b"content");
        let file = OpenOptions::new().write(true).open(&path).expect("opened");
        file.write_all_at(b"CONTENT", 0).expect("written");
        // Sets the time itself, because the clock may stand still between two writes.
        file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
        let error = first_piece(&source).expect_err("it is another content");
        assert!(matches!(&error, SourceError::Changed(changed) if *changed == path), "{error}");
        assert!(source.check_all().is_err());
    }

    #[test]
    fn a_file_replaced_by_one_of_the_same_size_and_time_is_no_longer_served() {
        let (temp, path, source) = single(b"content");
        first_piece(&source).expect("unchanged");
        let modified = fs::metadata(&path).expect("there").modified().expect("known");
        let other = temp.path().join("other");
        fs::write(&other, b"CONTENT").expect("written");
        File::open(&other).expect("opened").set_modified(modified).expect("set");
        fs::rename(&other, &path).expect("replaced");
        assert!(matches!(first_piece(&source), Err(SourceError::Changed(_))));
    }

    #[test]
    fn a_file_cut_short_or_removed_or_swapped_for_a_pipe_is_an_error_that_names_it() {
        let (_temp, path, source) = single(b"content");
        OpenOptions::new().write(true).open(&path).expect("opened").set_len(3).expect("cut");
        assert!(matches!(first_piece(&source), Err(SourceError::Changed(_))));

        fs::remove_file(&path).expect("removed");
        let error = first_piece(&source).expect_err("it is gone");
        assert!(matches!(error, SourceError::Gone(_)));
        assert!(error.to_string().starts_with(&path.display().to_string()));

        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        assert!(matches!(first_piece(&source), Err(SourceError::Changed(_))));
    }

    #[test]
    fn other_permissions_or_another_name_beside_do_not_end_the_sharing() {
        let (temp, path, source) = single(b"content");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).expect("set");
        fs::hard_link(&path, temp.path().join("also")).expect("linked");
        assert_eq!(first_piece(&source).expect("unchanged"), b"content");
    }

    #[test]
    fn a_piece_beyond_4_gib_is_read() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let path = temp.path().join("f");
        let file = File::create(&path).expect("made");
        let size = (4 << 30) + u64::from(PIECE_LEN) + 3;
        file.set_len(size).expect("sparse");
        file.write_all_at(b"end", size - 3).expect("written");
        let source = source(&path, &[entry("f", size)]);
        let last = source.layout().indexes().last().expect("it has pieces");
        let mut buffer = [0; 3];
        source.read_piece(last, &mut buffer).expect("unchanged");
        assert_eq!(&buffer, b"end");
    }

    #[test]
    fn a_hole_is_not_read_unless_it_was_written_to_or_a_piece_of_it_has_data_of_another_file() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let root = temp.path().join("d");
        fs::create_dir(&root).expect("made");
        fs::write(root.join("a"), vec![0; 100]).expect("written");
        let sparse = File::create(root.join("b")).expect("made");
        let len = u64::from(PIECE_LEN);
        sparse.set_len(4 * len).expect("sparse");
        sparse.write_all_at(b"data", 3 * len + 1000).expect("written");
        let files = [entry("d/a", 100), entry("d/b", 4 * len), entry("d/c", 0)];
        fs::write(root.join("c"), b"").expect("written");
        let source = source(&root, &files);
        let holes = source.holes();
        if holes.is_empty() {
            // A file system without holes.
            return;
        }
        // The first piece has the end of "a", which is short. The fourth has the data, and the fifth has the rest.
        assert_eq!(holes.iter(source.layout()).map(PieceIndex::get).collect::<Vec<_>>(), [1, 2, 4]);
        let read = |number| {
            let piece = source.layout().index(number).expect("there");
            let mut buffer = vec![7; source.layout().len(piece) as usize];
            let read = source.read_unless_hole(&holes, piece, &mut buffer).expect("unchanged");
            (read, buffer[0])
        };
        assert_eq!((read(1), read(3)), ((PieceRead::Zeros, 7), (PieceRead::Bytes, 0)));
        sparse.set_modified(SystemTime::UNIX_EPOCH).expect("set");
        assert!(source.holes().is_empty(), "it may have changed");
    }

    #[test]
    fn stamps_tell_one_state_of_the_files_from_another() {
        let (_temp, path, source) = single(b"content");
        let files = [entry("f", 7)];
        let before = Stamps(Box::new([source.stamp(0).expect("there")])).digest();
        assert_eq!(Stamps::take(&path, &files).expect("there").digest(), before);
        File::open(&path).expect("opened").set_modified(SystemTime::UNIX_EPOCH).expect("set");
        assert_ne!(Stamps::take(&path, &files).expect("there").digest(), before);
        assert!(matches!(Stamps::take(&path, &[entry("f", 8)]), Err(SourceError::Changed(_))));
    }
}
