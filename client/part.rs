//! The part: an unfinished download on the disk, from its first byte to its final name.

use super::file_stream::{FileMap, OpenFiles};
use super::place::Place;
use super::sidecar::Sidecar;
use super::source::{PieceSource, SourceError};
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::manifest::Manifest;
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use crate::sys::{self, Open};
use rustix::fs::{FileType, Stat};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use super::part_error::{Foreign, PartError};
pub use super::place::resolve_destination;
pub use super::sidecar::PartLabel;

/// After how many written bytes the disk is set to work on them, so that the fsync at the end finds little to do.
const WRITE_BACK_LEN: u64 = 8 << 20;
/// Files of a folder up to this length get their room when they are written; that there is room for all is checked
/// by their sum.
const SMALL_LEN: u64 = 64 * 1024;
/// Permissions of what a download makes, less the umask.
const MODE: u32 = 0o666;

/// Reserves room for a file; passed in so that a test can have a full disk.
type Allocate = fn(&File, u64) -> io::Result<()>;

/// What is found at a destination.
#[derive(Debug)]
pub enum Opened {
    /// A download to begin or to go on with.
    Part(Part),
    /// The same download had come to its end, but whoever ran it had no time to say so.
    Finished(Finished),
}

/// The traces of a download that had come to its end: complete, verified and under its final name. The last of them
/// goes when this is dropped, so record the end first.
#[derive(Debug)]
pub struct Finished {
    sidecar: Sidecar,
}

impl Finished {
    /// Where the download lies.
    pub fn destination(&self) -> &Path {
        &self.sidecar.place().destination
    }
}

/// An unfinished download: `<destination>.part`, a file or a folder, locked for this process.
///
/// Invariants: every file has its full length; nothing is read, written, renamed or removed through a symbolic link;
/// pieces may be written and read by many threads at a time. Dropped, it stays on the disk for the next run.
pub struct Part {
    manifest: Arc<Manifest>,
    map: FileMap,
    body: Body,
    fresh: bool,
    written: AtomicU64,
    writing_back: AtomicBool,
    sidecar: Sidecar,
}

enum Body {
    File(Arc<File>),
    Folder(File, OpenFiles),
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("destination", &self.destination()).finish_non_exhaustive()
    }
}

impl Part {
    /// Begins a download, or takes up one that an earlier run left. All the room it needs is reserved here.
    /// `destination` comes from `resolve_destination`.
    ///
    /// # Errors
    /// Every kind there is. What was there before is then as it was, and nothing new is left behind.
    pub fn open(destination: &Path, manifest: Arc<Manifest>, label: &PartLabel) -> Result<Opened, PartError> {
        Self::open_with(destination, manifest, label, sys::allocate)
    }

    fn open_with(
        destination: &Path,
        manifest: Arc<Manifest>,
        label: &PartLabel,
        allocate: Allocate,
    ) -> Result<Opened, PartError> {
        let mut sidecar = Sidecar::lock(Place::of(destination)?)?;
        let begun = begin(&mut sidecar, &manifest, label, allocate);
        if matches!(begun, Ok(None)) || begun.is_err() && sidecar.label().is_none() {
            sidecar.remove_on_drop();
        }
        let Some((body, fresh)) = begun? else {
            return Ok(Opened::Finished(Finished { sidecar }));
        };
        let map = FileMap::new(manifest.files());
        let (written, writing_back) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Opened::Part(Self { manifest, map, body, fresh, written, writing_back, sidecar }))
    }

    /// Removes an unfinished download that is not open in this process. Does nothing if there is none, or if what is
    /// there belongs to something else.
    ///
    /// # Errors
    /// `Busy` if another client has it open; `Foreign`, `Io`.
    pub fn discard(destination: &Path, info_hash: &InfoHash) -> Result<(), PartError> {
        let place = match Place::of(destination) {
            Err(PartError::NoFolder(_)) => return Ok(()),
            place => place?,
        };
        if place.stat(&place.sidecar_name)?.is_none() {
            return Ok(());
        }
        let sidecar = Sidecar::lock(place)?;
        match sidecar.label() {
            Some(found) if found.info_hash == *info_hash => {
                remove_part(sidecar.place())?;
                sidecar.remove();
            }
            Some(_) => {}
            None => sidecar.remove(),
        }
        Ok(())
    }

    /// Where the download is to go.
    pub fn destination(&self) -> &Path {
        &self.sidecar.place().destination
    }

    /// What is downloaded.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Whether the download begins here, so that there is nothing to verify.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Writes a piece that has been verified to its place.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub fn write_piece(&self, piece: PieceIndex, data: &[u8]) -> Result<(), PartError> {
        let layout = self.manifest.layout();
        assert_eq!(data.len(), layout.len(piece) as usize, "a piece has exactly its length");
        let mut rest = data;
        for stretch in self.map.stretches(layout.offset(piece), data.len()) {
            let (now, later) = rest.split_at(stretch.len);
            let failed = |error| PartError::from_io(&self.file_path(stretch.file), "write", 0, error);
            let file = self.file(stretch.file).map_err(failed)?;
            file.write_all_at(now, stretch.offset).map_err(failed)?;
            self.start_write_back(&file, now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    /// Gives the complete download its final name: everything durable first, then the rename, then the rename durable.
    /// Whoever calls this has compared the SHA-1 of the whole. Pieces can still be read afterwards. The sidecar goes
    /// when the part is dropped, so record the end of the download first.
    ///
    /// # Errors
    /// `Exists` if something has taken the name meanwhile, `Foreign` if something else lies in the part's place, `Io`.
    /// The part is then kept.
    pub fn finish(&self) -> Result<(), PartError> {
        let place = self.sidecar.place();
        let path = place.part_path();
        let synced = match &self.body {
            Body::File(file) => file.sync_all(),
            // Once for all of its files, however many.
            Body::Folder(folder, _) => sys::sync_file_system(folder),
        };
        synced.map_err(|error| PartError::from_io(&path, "write to the disk", 0, error))?;
        self.check_in_place()?;
        sys::rename_noreplace(&place.folder, &place.part_name, &place.name).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PartError::Exists(place.destination.clone()),
            _ => PartError::Io(path, "rename", error),
        })?;
        sys::sync_folder(&place.folder)
            .map_err(|error| PartError::Io(place.destination.clone(), "write to the disk", error))?;
        self.sidecar.remove_on_drop();
        Ok(())
    }

    /// Removes the part and its sidecar: the user has cancelled the download. Another may take the place at once, even
    /// while threads still hold this value.
    ///
    /// # Errors
    /// `Foreign` if something else lies in the part's place, `Io`.
    pub fn abandon(&self) -> Result<(), PartError> {
        if self.sidecar.place().stat(&self.sidecar.place().part_name)?.is_some() {
            self.check_in_place()?;
            remove_part(self.sidecar.place())?;
        }
        self.sidecar.remove();
        Ok(())
    }

    /// Makes sure that the name of the part still means the part that is open.
    fn check_in_place(&self) -> Result<(), PartError> {
        let place = self.sidecar.place();
        let open = match &self.body {
            Body::File(file) => file.metadata(),
            Body::Folder(folder, _) => folder.metadata(),
        };
        let open = open.map_err(|error| PartError::Io(place.part_path(), "look at", error))?;
        match place.stat(&place.part_name)? {
            Some(found) if found.st_ino == open.ino() && found.st_dev == open.dev() => Ok(()),
            _ => Err(PartError::Foreign(place.part_path(), Foreign::Replaced)),
        }
    }

    fn file(&self, file: usize) -> io::Result<Arc<File>> {
        match &self.body {
            Body::File(only) => Ok(only.clone()),
            Body::Folder(folder, open) => {
                open.get(file, || sys::open_beneath(folder, self.below_root(file), Open::Write))
            }
        }
    }

    fn below_root(&self, file: usize) -> &str {
        self.manifest.files()[file].path.below_root().expect("a folder's paths have two components or more")
    }

    fn file_path(&self, file: usize) -> PathBuf {
        self.manifest.files()[file].path.placed_in(&self.sidecar.place().part_path())
    }

    fn start_write_back(&self, file: &File, len: u64) {
        let before = self.written.fetch_add(len, Ordering::Relaxed);
        let due = before / WRITE_BACK_LEN != (before + len) / WRITE_BACK_LEN;
        // The call waits while the disk's queue is full, which should not happen to all workers at a time.
        if due && !self.writing_back.swap(true, Ordering::Relaxed) {
            sys::start_write_back(file);
            self.writing_back.store(false, Ordering::Relaxed);
        }
    }

    /// The pieces of which any byte was ever written.
    pub fn pieces_with_data(&self) -> Bitfield {
        let layout = self.manifest.layout();
        let mut pieces = Bitfield::none(layout);
        for (number, entry) in self.manifest.files().iter().enumerate() {
            let start = self.map.start(number);
            let Ok(file) = self.file(number) else { continue };
            for range in sys::data_ranges(&file, entry.len).map_while(Result::ok) {
                let piece = |at: u64| (start + at) / u64::from(PIECE_LEN);
                for number in piece(range.start)..=piece(range.end - 1) {
                    // Below the number of pieces, which is a u32.
                    pieces.insert(layout.index(number as u32).expect("the data lies within the stream"));
                }
            }
        }
        pieces
    }
}

impl PieceSource for Part {
    fn layout(&self) -> Layout {
        self.manifest.layout()
    }

    /// Gives whatever the part holds: the caller knows which pieces have been verified.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let mut rest = &mut *buffer;
        for stretch in self.map.stretches(offset, rest.len()) {
            let (now, later) = rest.split_at_mut(stretch.len);
            let read = self.file(stretch.file).and_then(|file| file.read_exact_at(now, stretch.offset));
            read.map_err(|error| SourceError::from_io(self.file_path(stretch.file), error))?;
            rest = later;
        }
        Ok(())
    }
}

/// What the names of a place say about a download to it.
enum State {
    Free,
    Resumable,
    Finished,
}

fn find_state(sidecar: &Sidecar, manifest: &Manifest, label: &PartLabel) -> Result<State, PartError> {
    let place = sidecar.place();
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    let expected = if manifest.is_folder() { FileType::Directory } else { FileType::RegularFile };
    let known = sidecar.label();
    let same = known.is_some_and(|known| known.info_hash == label.info_hash);
    match (place.stat(&place.name)?, place.stat(&place.part_name)?) {
        (Some(done), None)
            if same
                && kind(&done) == expected
                && (manifest.is_folder() || u64::try_from(done.st_size) == Ok(manifest.layout().size())) =>
        {
            Ok(State::Finished)
        }
        (Some(_), _) => Err(PartError::Exists(place.destination.clone())),
        // A sidecar that was left alone says nothing about anybody's data.
        (None, None) => Ok(State::Free),
        (None, Some(part)) => match known {
            _ if kind(&part) == FileType::Symlink => Err(PartError::Foreign(place.part_path(), Foreign::Link)),
            None => Err(PartError::Foreign(place.part_path(), Foreign::Unknown)),
            Some(other) if !same => Err(PartError::OtherDownload {
                part: place.part_path(),
                group: other.group.clone(),
                name: other.name.clone(),
            }),
            Some(_) if kind(&part) != expected => Err(PartError::Foreign(place.part_path(), Foreign::Kind)),
            Some(_) => Ok(State::Resumable),
        },
    }
}

/// The body of a download and whether it is fresh; `None` if the download is finished.
fn begin(
    sidecar: &mut Sidecar,
    manifest: &Manifest,
    label: &PartLabel,
    allocate: Allocate,
) -> Result<Option<(Body, bool)>, PartError> {
    let fresh = match find_state(sidecar, manifest, label)? {
        State::Finished => return Ok(None),
        State::Resumable => false,
        State::Free => true,
    };
    if fresh {
        sidecar.write(label)?;
    }
    let body = match manifest.is_folder() {
        false => open_file(sidecar.place(), manifest, fresh, allocate),
        true => open_folder(sidecar.place(), manifest, fresh, allocate),
    };
    if fresh && body.is_err() {
        sidecar.remove_on_drop();
    }
    body.map(|body| Some((body, fresh)))
}

fn open_file(place: &Place, manifest: &Manifest, fresh: bool, allocate: Allocate) -> Result<Body, PartError> {
    let path = place.part_path();
    let how = if fresh { Open::New(MODE) } else { Open::Write };
    let file = sys::open_in(&place.folder, &place.part_name, how);
    let file = file.map_err(|error| PartError::from_open(&path, "open", error))?;
    let ready = give_length(&file, manifest.layout().size(), &path, allocate);
    if fresh && ready.is_err() {
        // The first error is the one to tell.
        let _ = remove_part(place);
    }
    ready.map(|()| Body::File(Arc::new(file)))
}

fn open_folder(place: &Place, manifest: &Manifest, fresh: bool, allocate: Allocate) -> Result<Body, PartError> {
    let path = place.part_path();
    if fresh {
        let size = manifest.layout().size();
        let free = sys::free_bytes(&place.folder).map_err(|error| PartError::Io(path.clone(), "make", error))?;
        if free.is_some_and(|free| free < size) {
            return Err(PartError::DiskFull(path, size));
        }
        sys::make_folder_in(&place.folder, &place.part_name)
            .map_err(|error| PartError::from_open(&path, "make", error))?;
    }
    let filled = sys::open_folder_in(&place.folder, &place.part_name)
        .map_err(|error| PartError::from_open(&path, "open", error))
        .and_then(|folder| fill_folder(folder, &path, manifest, fresh, allocate));
    if fresh && filled.is_err() {
        // The first error is the one to tell.
        let _ = remove_part(place);
    }
    filled
}

fn fill_folder(
    folder: File,
    path: &Path,
    manifest: &Manifest,
    fresh: bool,
    allocate: Allocate,
) -> Result<Body, PartError> {
    // Fresh, every file must be new: a file system that takes two names for one would mix their contents.
    let how = if fresh { Open::New(MODE) } else { Open::WriteOrNew(MODE) };
    for entry in manifest.files() {
        let path = entry.path.placed_in(path);
        let below_root = entry.path.below_root().expect("a folder's paths have two components or more");
        let file = sys::open_beneath(&folder, below_root, how);
        let file = file.map_err(|error| PartError::from_open(&path, "make", error))?;
        let allocate = if entry.len > SMALL_LEN { allocate } else { File::set_len };
        give_length(&file, entry.len, &path, allocate)?;
    }
    Ok(Body::Folder(folder, OpenFiles::default()))
}

/// Makes sure that a file is one that a download may write to, and gives it its full length.
fn give_length(file: &File, len: u64, path: &Path, allocate: Allocate) -> Result<(), PartError> {
    let found = file.metadata().map_err(|error| PartError::Io(path.to_path_buf(), "look at", error))?;
    if found.nlink() > 1 {
        return Err(PartError::Foreign(path.to_path_buf(), Foreign::ManyNames));
    }
    if found.len() > len {
        return Err(PartError::Foreign(path.to_path_buf(), Foreign::TooLong));
    }
    allocate(file, len).map_err(|error| PartError::from_io(path, "reserve room for", len, error))
}

/// Removes what lies in the part's place, unless it is nothing that a download makes.
fn remove_part(place: &Place) -> Result<(), PartError> {
    let path = place.part_path();
    let removed = match place.stat(&place.part_name)? {
        None => return Ok(()),
        Some(found) => match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => sys::remove_file_in(&place.folder, &place.part_name),
            FileType::Directory => fs::remove_dir_all(&path),
            _ => return Err(PartError::Foreign(path, Foreign::Kind)),
        },
    };
    removed.map_err(|error| PartError::Io(path, "remove", error))
}

#[cfg(test)]
mod tests {
    use super::super::piece_hash::sha1_of;
    use super::super::piece_hash::tests::noise;
    use super::super::verify::verify_existing;
    use super::*;
    use crate::model::digest::Sha1Digest;
    use crate::model::manifest::FileEntry;
    use crate::model::name::{FileName, GroupId};
    use crate::model::path::RelPath;
    use rustix::io::Errno;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    const PIECE: usize = PIECE_LEN as usize;

    /// A share in memory, and a folder to download it to.
    struct Bench {
        temp: TempDir,
        bytes: Vec<u8>,
        manifest: Arc<Manifest>,
        label: PartLabel,
    }

    impl Bench {
        fn new(files: &[(&str, usize)]) -> Self {
            let len = files.iter().map(|(_, len)| len).sum();
            let bytes = noise(len);
            let entry = |(path, len): &(&str, usize)| FileEntry {
                path: RelPath::parse(path).expect("a path"),
                len: *len as u64,
            };
            let pieces = bytes.chunks(PIECE).map(sha1_of).collect();
            let files = files.iter().map(entry).collect();
            let manifest = Arc::new(Manifest::new(files, pieces).expect("in order"));
            Self { temp: tempfile::tempdir().expect("a temporary folder"), bytes, manifest, label: label(1) }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.temp.path().join(name)
        }

        fn open_with(&self, allocate: Allocate) -> Result<Opened, PartError> {
            Part::open_with(&self.path("f"), self.manifest.clone(), &self.label, allocate)
        }

        fn open(&self) -> Part {
            match self.open_with(sys::allocate) {
                Ok(Opened::Part(part)) => part,
                other => panic!("no part: {other:?}"),
            }
        }

        fn refusal(&self) -> PartError {
            self.open_with(sys::allocate).expect_err("it is refused")
        }

        fn piece(&self, number: u32) -> (PieceIndex, &[u8]) {
            let layout = self.manifest.layout();
            let piece = layout.index(number).expect("there");
            let at = layout.offset(piece) as usize;
            (piece, &self.bytes[at..at + layout.len(piece) as usize])
        }

        fn write(&self, part: &Part, numbers: impl IntoIterator<Item = u32>) {
            for number in numbers {
                let (piece, data) = self.piece(number);
                part.write_piece(piece, data).expect("written");
            }
        }

        fn write_all(&self, part: &Part) {
            self.write(part, (0..self.manifest.layout().count()).rev());
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.temp.path()).expect("there");
            let mut names: Vec<_> =
                entries.map(|entry| entry.expect("read").file_name().into_string().expect("UTF-8")).collect();
            names.sort();
            names
        }
    }

    fn label(byte: u8) -> PartLabel {
        let (group, name) = (GroupId::parse("lab").expect("a name"), FileName::parse("f.bin").expect("a name"));
        PartLabel { group, name, info_hash: InfoHash([byte; 32]) }
    }

    fn verified(part: &Part) -> Vec<u32> {
        let layout = part.layout();
        let mut last = 0;
        let progress = &mut |done, total| {
            assert!(done > last && done <= total);
            last = done;
        };
        let verified = verify_existing(part, &AtomicBool::new(false), progress).expect("nobody cancels");
        verified.have.iter(layout).map(PieceIndex::get).collect()
    }

    fn no_room(_: &File, _: u64) -> io::Result<()> {
        Err(Errno::NOSPC.into())
    }

    #[test]
    fn pieces_written_by_many_threads_in_any_order_become_the_file_and_nothing_else_stays() {
        let bench = Bench::new(&[("f", 40 * PIECE + 17)]);
        let part = bench.open();
        assert!(part.is_fresh());
        assert_eq!(bench.names(), ["f.part", "f.part.meta"]);
        assert_eq!(fs::metadata(bench.path("f.part")).expect("there").len(), bench.bytes.len() as u64);
        std::thread::scope(|scope| {
            for first in 0..4 {
                let (bench, part) = (&bench, &part);
                scope.spawn(move || bench.write(part, (first..41).step_by(4).rev()));
            }
        });
        let (piece, data) = bench.piece(40);
        let mut served = vec![0; data.len()];
        part.read_piece(piece, &mut served).expect("served while it is downloaded");
        assert_eq!(served, data);
        part.finish().expect("the name is free");
        part.read_piece(piece, &mut served).expect("served afterwards too");
        drop(part);
        assert_eq!(bench.names(), ["f"]);
        assert!(fs::read(bench.path("f")).expect("there") == bench.bytes);
    }

    #[test]
    fn only_what_is_right_on_the_disk_counts_when_a_download_is_resumed() {
        let bench = Bench::new(&[("f", 20 * PIECE + 1)]);
        let part = bench.open();
        bench.write(&part, [0, 3, 4, 11, 20]);
        drop(part);
        let file = fs::OpenOptions::new().write(true).open(bench.path("f.part")).expect("kept");
        file.write_all_at(b"damage", 4 * PIECE as u64 + 1000).expect("written");
        let part = bench.open();
        assert!(!part.is_fresh());
        assert_eq!(verified(&part), [0, 3, 11, 20]);
        assert!(verify_existing(&part, &AtomicBool::new(true), &mut |_, _| {}).is_none(), "cancelled");
        bench.write_all(&part);
        assert_eq!(verified(&part).len(), 21);
        part.finish().expect("the name is free");
    }

    #[test]
    fn a_part_cut_short_is_resumed() {
        let bench = Bench::new(&[("f", 3 * PIECE)]);
        let part = bench.open();
        bench.write_all(&part);
        drop(part);
        let file = fs::OpenOptions::new().write(true).open(bench.path("f.part")).expect("kept");
        file.set_len(2 * PIECE as u64 + 5).expect("cut");
        let part = bench.open();
        assert_eq!(verified(&part), [0, 1]);
        assert_eq!(fs::metadata(bench.path("f.part")).expect("there").len(), 3 * PIECE as u64);
    }

    #[test]
    fn a_symbolic_link_in_the_place_of_the_part_is_refused_and_its_target_untouched() {
        let bench = Bench::new(&[("f", 10)]);
        fs::write(bench.path("target"), "precious").expect("written");
        symlink("target", bench.path("f.part")).expect("made");
        assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::Link)));
        // The same with a sidecar that vouches for it.
        let mut sidecar = Sidecar::lock(Place::of(&bench.path("f")).expect("there")).expect("free");
        sidecar.write(&bench.label).expect("written");
        drop(sidecar);
        let error = bench.refusal();
        assert!(matches!(error, PartError::Foreign(_, Foreign::Link)), "{error}");
        assert!(Part::discard(&bench.path("f"), &bench.label.info_hash).is_err());
        assert_eq!(fs::read(bench.path("target")).expect("there"), b"precious");
        assert!(bench.path("f.part").is_symlink());
    }

    #[test]
    fn what_no_download_has_made_is_left_alone_and_no_trace_is_left_beside_it() {
        let bench = Bench::new(&[("f", 10)]);
        fs::write(bench.path("f.part"), "mine").expect("written");
        let error = bench.refusal();
        assert!(matches!(error, PartError::Foreign(_, Foreign::Unknown)), "{error}");
        assert_eq!(fs::read(bench.path("f.part")).expect("there"), b"mine");
        assert_eq!(bench.names(), ["f.part"]);
        Part::discard(&bench.path("f"), &bench.label.info_hash).expect("nothing of ours to remove");
        assert_eq!(bench.names(), ["f.part"]);
    }

    #[test]
    fn a_part_that_was_swapped_between_two_runs_is_refused() {
        let bench = Bench::new(&[("f", 10)]);
        drop(bench.open());
        let part = bench.path("f.part");
        fs::hard_link(&part, bench.path("twin")).expect("linked");
        assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::ManyNames)));
        fs::remove_file(bench.path("twin")).expect("removed");
        fs::write(&part, "longer than it should be").expect("written");
        assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::TooLong)));
        fs::remove_file(&part).expect("removed");
        fs::create_dir(&part).expect("made");
        assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::Kind)));
        fs::remove_dir(&part).expect("removed");
        assert!(bench.open().is_fresh(), "a sidecar alone is in nobody's way");
    }

    #[test]
    fn two_clients_cannot_download_to_one_destination() {
        let bench = Bench::new(&[("f", 10)]);
        let first = bench.open();
        let error = bench.refusal();
        assert!(matches!(error, PartError::Busy(_)), "{error}");
        assert!(matches!(Part::discard(&bench.path("f"), &bench.label.info_hash), Err(PartError::Busy(_))));
        bench.write_all(&first);
        first.finish().expect("unharmed");
    }

    #[test]
    fn the_unfinished_download_of_something_else_is_named_and_kept() {
        let mut bench = Bench::new(&[("f", 10)]);
        drop(bench.open());
        bench.label = label(2);
        let error = bench.refusal();
        assert!(error.to_string().contains("is the unfinished download of f.bin from lab"), "{error}");
        Part::discard(&bench.path("f"), &bench.label.info_hash).expect("nothing of ours to remove");
        bench.label = label(1);
        assert!(!bench.open().is_fresh());
    }

    #[test]
    fn a_file_that_took_the_destination_meanwhile_is_not_overwritten_and_the_part_is_kept() {
        let bench = Bench::new(&[("f", 10)]);
        let part = bench.open();
        bench.write_all(&part);
        fs::write(bench.path("f"), "mine").expect("written");
        let error = part.finish().expect_err("the name is taken");
        assert!(matches!(&error, PartError::Exists(path) if *path == bench.path("f")), "{error}");
        drop(part);
        assert_eq!(fs::read(bench.path("f")).expect("there"), b"mine");
        assert!(matches!(bench.refusal(), PartError::Exists(_)));
        fs::rename(bench.path("f"), bench.path("moved")).expect("moved");
        let part = bench.open();
        assert_eq!(verified(&part), [0]);
        part.finish().expect("the name is free again");
    }

    #[test]
    fn a_part_removed_or_replaced_during_the_download_does_not_become_the_file() {
        let bench = Bench::new(&[("f", 10)]);
        let part = bench.open();
        bench.write_all(&part);
        fs::remove_file(bench.path("f.part")).expect("removed");
        assert!(matches!(part.finish(), Err(PartError::Foreign(_, Foreign::Replaced))));
        fs::write(bench.path("f.part"), "0123456789").expect("written");
        assert!(matches!(part.finish(), Err(PartError::Foreign(_, Foreign::Replaced))));
        assert!(matches!(part.abandon(), Err(PartError::Foreign(_, Foreign::Replaced))));
        assert_eq!(fs::read(bench.path("f.part")).expect("there"), b"0123456789");
    }

    #[test]
    fn a_full_disk_is_told_before_the_first_byte_and_leaves_nothing() {
        for files in [&[("f", 10)][..], &[("d/a", 10), ("d/b", SMALL_LEN as usize + 1)]] {
            let bench = Bench::new(files);
            let error = bench.open_with(no_room).expect_err("no room");
            assert!(matches!(error, PartError::DiskFull(_, len) if len > 0), "{error}");
            assert!(bench.names().is_empty(), "{:?}", bench.names());
        }
    }

    #[test]
    fn a_full_disk_costs_no_byte_of_a_download_that_is_resumed() {
        let bench = Bench::new(&[("f", 3 * PIECE)]);
        let part = bench.open();
        bench.write(&part, [1]);
        drop(part);
        assert!(matches!(bench.open_with(no_room), Err(PartError::DiskFull(..))));
        assert_eq!(verified(&bench.open()), [1]);
    }

    #[test]
    fn cancelling_removes_everything_and_frees_the_place_at_once() {
        for files in [&[("f", 10)][..], &[("d/sub/a", 10), ("d/sub/b", 0)]] {
            let bench = Bench::new(files);
            let part = bench.open();
            bench.write_all(&part);
            part.abandon().expect("ours");
            assert!(bench.names().is_empty());
            let next = bench.open();
            drop(part);
            assert_eq!(bench.names(), ["f.part", "f.part.meta"], "the one given up takes nothing with it");
            drop(next);
            Part::discard(&bench.path("f"), &bench.label.info_hash).expect("ours");
            Part::discard(&bench.path("f"), &bench.label.info_hash).expect("done already");
            Part::discard(&bench.path("none/f"), &bench.label.info_hash).expect("nothing there");
            assert!(bench.names().is_empty());
        }
    }

    #[test]
    fn a_folder_is_restored_with_its_empty_files_and_in_one_rename() {
        let files = [("d/a", 10), ("d/e", 0), ("d/s/b", 2 * PIECE), ("d/s/t/c", 3), ("d/z/1", 0), ("d/z/2", 0)];
        let bench = Bench::new(&files);
        let part = bench.open();
        bench.write(&part, [1]);
        drop(part);
        assert_eq!(bench.names(), ["f.part", "f.part.meta"]);
        let part = bench.open();
        assert_eq!(verified(&part), [1]);
        bench.write(&part, [2, 0]);
        part.finish().expect("the name is free");
        let (piece, data) = bench.piece(2);
        let mut served = vec![0; data.len()];
        part.read_piece(piece, &mut served).expect("served afterwards too");
        assert_eq!(served, data);
        drop(part);
        assert_eq!(bench.names(), ["f"]);
        let stream: Vec<u8> = files
            .iter()
            .flat_map(|(path, len)| {
                let content = fs::read(RelPath::parse(path).expect("a path").placed_in(&bench.path("f")));
                let content = content.expect("restored");
                assert_eq!(content.len(), *len);
                content
            })
            .collect();
        assert!(stream == bench.bytes);
    }

    #[test]
    fn a_symbolic_link_inside_the_part_of_a_folder_leads_nowhere() {
        let bench = Bench::new(&[("d/s/a", 10)]);
        drop(bench.open());
        let outside = tempfile::tempdir().expect("a temporary folder");
        fs::write(outside.path().join("a"), "precious").expect("written");
        fs::remove_dir_all(bench.path("f.part/s")).expect("removed");
        symlink(outside.path(), bench.path("f.part/s")).expect("made");
        assert!(matches!(bench.refusal(), PartError::Foreign(..)));
        fs::remove_file(bench.path("f.part/s")).expect("removed");
        let part = bench.open();
        fs::rename(bench.path("f.part/s"), bench.path("f.part/t")).expect("renamed");
        symlink(outside.path(), bench.path("f.part/s")).expect("made");
        let (piece, data) = bench.piece(0);
        assert!(part.write_piece(piece, data).is_err());
        assert_eq!(fs::read(outside.path().join("a")).expect("there"), b"precious");
        part.abandon().expect("ours");
        assert_eq!(fs::read(outside.path().join("a")).expect("there"), b"precious");
    }

    #[test]
    fn an_empty_file_and_a_folder_of_empty_files_need_no_piece() {
        for files in [&[("f", 0)][..], &[("d/a", 0), ("d/b", 0)]] {
            let bench = Bench::new(files);
            let part = bench.open();
            assert!(verified(&part).is_empty());
            part.finish().expect("the name is free");
            drop(part);
            assert_eq!(bench.names(), ["f"]);
        }
    }

    #[test]
    fn a_download_that_ended_just_before_a_crash_is_known_to_be_finished() {
        for files in [&[("f", 10)][..], &[("d/a", 10)]] {
            let bench = Bench::new(files);
            let part = bench.open();
            bench.write_all(&part);
            drop(part);
            // As a crash between the rename and the removal of the sidecar leaves it.
            fs::rename(bench.path("f.part"), bench.path("f")).expect("renamed");
            let opened = bench.open_with(sys::allocate).expect("recognized");
            assert!(matches!(&opened, Opened::Finished(done) if done.destination() == bench.path("f")));
            assert_eq!(bench.names(), ["f", "f.part.meta"]);
            drop(opened);
            assert_eq!(bench.names(), ["f"]);
            assert!(matches!(bench.refusal(), PartError::Exists(_)));
            assert_eq!(bench.names(), ["f"]);
        }
    }

    #[test]
    fn a_piece_beyond_4_gib_is_written_found_again_and_read() {
        let bench = Bench::new(&[("f", 10)]);
        let layout = Layout::new((5 << 30) + 3).expect("fits");
        let mut pieces = vec![Sha1Digest([0; 20]); layout.count() as usize];
        *pieces.last_mut().expect("many") = sha1_of(b"end");
        let file = FileEntry { path: RelPath::parse("f").expect("a path"), len: layout.size() };
        let bench = Bench { manifest: Arc::new(Manifest::new(vec![file], pieces).expect("fits")), ..bench };
        let last = layout.indexes().last().expect("many");
        // Sparse, so that the test takes no room.
        let open = || match bench.open_with(File::set_len) {
            Ok(Opened::Part(part)) => part,
            other => panic!("no part: {other:?}"),
        };
        open().write_piece(last, b"end").expect("written");
        let part = open();
        assert_eq!(verified(&part), [last.get()]);
        let mut buffer = [0; 3];
        part.read_piece(last, &mut buffer).expect("read");
        assert_eq!(&buffer, b"end");
        part.finish().expect("the name is free");
        assert_eq!(fs::metadata(bench.path("f")).expect("there").len(), layout.size());
    }

    #[test]
    fn a_name_without_room_for_a_suffix_is_downloaded_all_the_same() {
        let bench = Bench::new(&[("f", 10)]);
        let destination = bench.path(&"ü".repeat(127));
        let Ok(Opened::Part(part)) = Part::open(&destination, bench.manifest.clone(), &bench.label) else {
            panic!("no part");
        };
        bench.write_all(&part);
        part.finish().expect("the name is free");
        drop(part);
        assert_eq!(fs::read(&destination).expect("there"), bench.bytes);
        assert_eq!(bench.names().len(), 1);
    }
}
