//! The body of a part: its file, or its folder with all files, on the disk.

use super::each_file::for_each_file;
use super::error::{Foreign, PartError};
use super::paths::PartPaths;
use super::removal::{open_beneath, remove_own};
use super::reservation::{Allocate, Need, Reservation, blocks_len};
use super::written::begins_with_data;
use crate::client::hash::zeros::ZeroPieces;
use crate::client::storage::file_map::FileMap;
use crate::client::storage::open_files::{OpenFiles, open_with_room};
use crate::model::manifest::{FileEntry, Manifest};
use crate::sys::file_id::{FileId, id_of};
use crate::sys::files::{self, Open};
use crate::sys::space::{self, FreeSpace};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Files of a folder up to this length get their room when they are written. A check of their sum shows whether all
/// have room.
pub(super) const SMALL_LEN: u64 = 64 * 1024;
/// The number of bytes to compare with zeros at a time.
pub(super) const ZEROS_LEN: usize = 128 * 1024;
/// The permissions of new files, less the umask.
const MODE: u32 = 0o666;

/// How to reserve room. A parameter, so that a test can have a full disk or one in memory.
#[derive(Clone, Copy)]
pub(super) struct RoomMaker {
    pub allocate: Allocate,
    /// Whether a reservation takes long on the file system of this folder. If so, a [`Reservation`] does it.
    pub is_slow: fn(&File) -> io::Result<bool>,
}

/// How the files of a part get their room.
pub(super) struct Reserve<'a> {
    /// Whether the part is new.
    pub fresh: bool,
    /// The pieces that need no room.
    pub zeros: &'a ZeroPieces,
    pub allocate: Allocate,
    /// Whether a reservation takes long. If so, a [`Reservation`] does it.
    pub later: bool,
}

impl Reserve<'_> {
    /// The stretches of a file that need room. `stretch` is the place of the file in the stream. An existing file must
    /// be one that a download may write to.
    fn needs(&self, file: &File, stretch: Range<u64>, path: &Path) -> Result<Vec<Range<u64>>, PartError> {
        let Range { start, end } = stretch;
        if !self.fresh {
            let found = file.metadata().map_err(|error| PartError::Io(path.to_path_buf(), "look at", error))?;
            if found.nlink() > 1 {
                return Err(PartError::Foreign(path.to_path_buf(), Foreign::ManyNames));
            }
            if found.len() > end - start {
                return Err(PartError::Foreign(path.to_path_buf(), Foreign::TooLong));
            }
        }
        Ok(self.zeros.gaps(start..end).into_iter().map(|gap| gap.start - start..gap.end - start).collect())
    }
}

/// The files of a download. Every one has its full length.
pub(super) struct Body {
    files: BodyFiles,
    /// The reservation that goes on beside the download.
    reservation: Mutex<Option<Reservation>>,
}

enum BodyFiles {
    /// The share is a single file.
    File(Arc<File>),
    /// The share is a folder, whose files are opened on demand.
    Folder(File, OpenFiles),
}

impl Body {
    /// Makes the body of a fresh download, or opens the existing one. Reserves all the room that it lacks. On a file
    /// system in memory, only checks that the room is there, and reserves it from then on.
    ///
    /// # Errors
    /// `DiskFull`, `Foreign`, `Io`. Nothing new then stays behind.
    pub(super) fn open(paths: &PartPaths, manifest: &Arc<Manifest>, reserve: &Reserve<'_>) -> Result<Self, PartError> {
        match manifest.is_folder() {
            false => open_file(paths, manifest, reserve),
            true => open_folder(paths, manifest, reserve),
        }
    }

    /// One of its files, by its number in the manifest.
    ///
    /// # Errors
    /// Those of opening it, which follows no symbolic link.
    pub(super) fn file(&self, manifest: &Manifest, number: usize) -> io::Result<Arc<File>> {
        match &self.files {
            BodyFiles::File(only) => Ok(only.clone()),
            BodyFiles::Folder(folder, open) => {
                let name = below_root(&manifest.files()[number]);
                open.get(number, || open_with_room(|| files::open_beneath(folder, name, Open::Write)))
            }
        }
    }

    /// Whether there is still room for all missing data, as far as is known.
    ///
    /// # Errors
    /// The lack of room.
    pub(super) fn check_room(&self) -> io::Result<()> {
        self.reservation.lock().as_ref().map_or(Ok(()), Reservation::check)
    }

    /// Ends the reservation, because no more room is needed. Returns after the last step.
    pub(super) fn end_reservation(&self) {
        self.reservation.lock().take();
    }

    /// The metadata of the file or of the folder itself.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        match &self.files {
            BodyFiles::File(file) => file.metadata(),
            BodyFiles::Folder(folder, _) => folder.metadata(),
        }
    }

    /// A folder of the share by its path below the share. An empty path is the share itself.
    ///
    /// # Errors
    /// Those of opening it, which follows no symbolic link.
    pub(super) fn folder(&self, path: &str) -> io::Result<File> {
        match &self.files {
            BodyFiles::File(_) => Err(io::ErrorKind::NotADirectory.into()),
            BodyFiles::Folder(folder, _) => open_beneath(folder, path),
        }
    }

    /// The id of the file or the folder.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn id(&self) -> io::Result<FileId> {
        match &self.files {
            BodyFiles::File(file) => id_of(file),
            BodyFiles::Folder(folder, _) => id_of(folder),
        }
    }

    /// Makes all written data durable.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sync(&self) -> io::Result<()> {
        match &self.files {
            BodyFiles::File(file) => file.sync_all(),
            // One call serves all files, however many.
            BodyFiles::Folder(folder, _) => files::sync_file_system(folder),
        }
    }
}

fn open_file(paths: &PartPaths, manifest: &Manifest, reserve: &Reserve<'_>) -> Result<Body, PartError> {
    let path = paths.part_path();
    let how = if reserve.fresh { Open::New(MODE) } else { Open::Write };
    let file = files::open_in(&paths.folder, &paths.part_name, how);
    let file = Arc::new(file.map_err(|error| PartError::from_open(&path, "open", error))?);
    let size = manifest.layout().size();
    let full = |error| PartError::from_io(&path, "reserve room for", size, error);
    let ready = reserve.needs(&file, 0..size, &path).and_then(|needs| {
        if !reserve.later {
            return give_room(&file, size, needs, reserve.allocate).map(|()| None).map_err(full);
        }
        let held = blocks_len(&file).and_then(|held| file.set_len(size).map(|()| held)).map_err(full)?;
        let (needs, same) = (needs.into_iter().map(|range| (0, range)).collect(), file.clone());
        let started = Reservation::start((&paths.folder, held), needs, move |_| Ok(same.clone()), reserve.allocate);
        started.map(Some).map_err(full)
    });
    if reserve.fresh && ready.is_err() {
        // The caller gets the first error.
        let _ = id_of(&file).map(|own| remove_own(paths, &own, Some(manifest)));
    }
    Ok(Body { reservation: Mutex::new(ready?), files: BodyFiles::File(file) })
}

fn open_folder(paths: &PartPaths, manifest: &Arc<Manifest>, reserve: &Reserve<'_>) -> Result<Body, PartError> {
    let path = paths.part_path();
    if reserve.fresh {
        check_room(paths, manifest, reserve.zeros)?;
        files::make_folder_in(&paths.folder, &paths.part_name)
            .map_err(|error| PartError::from_open(&path, "make", error))?;
    }
    let folder = files::open_folder_in(&paths.folder, &paths.part_name)
        .map_err(|error| PartError::from_open(&path, "open", error))?;
    let ready = fill_folder(&folder, &path, manifest, reserve).and_then(|(needs, held)| {
        if needs.is_empty() {
            return Ok(None);
        }
        let again = folder.try_clone().map_err(|error| PartError::Io(path.clone(), "open", error))?;
        let listed = manifest.clone();
        let open = move |number: usize| {
            let name = below_root(&listed.files()[number]);
            open_with_room(|| files::open_beneath(&again, name, Open::Write)).map(Arc::new)
        };
        let started = Reservation::start((&folder, held), needs, open, reserve.allocate);
        let size = manifest.layout().size();
        started.map(Some).map_err(|error| PartError::from_io(&path, "reserve room for", size, error))
    });
    if reserve.fresh && ready.is_err() {
        // The caller gets the first error.
        let _ = id_of(&folder).map(|own| remove_own(paths, &own, Some(manifest)));
    }
    Ok(Body { reservation: Mutex::new(ready?), files: BodyFiles::Folder(folder, OpenFiles::default()) })
}

/// Whether there is room for all files, as far as the file system tells.
pub(super) fn check_room(paths: &PartPaths, manifest: &Manifest, zeros: &ZeroPieces) -> Result<(), PartError> {
    let path = paths.part_path();
    let free = space::free_space(&paths.folder).map_err(|error| PartError::Io(path.clone(), "make", error))?;
    free.map_or(Ok(()), |free| ask_room(manifest.files(), zeros, free, &path))
}

/// Whether there is room for files in their folders. Each folder takes a block, and each file takes whole blocks, so
/// many small files take more than their length. Pieces of zeros take nothing.
fn ask_room(files: &[FileEntry], zeros: &ZeroPieces, free: FreeSpace, path: &Path) -> Result<(), PartError> {
    let map = FileMap::new(files);
    let blocks = |(number, file): (usize, &FileEntry)| {
        let gaps = zeros.gaps(map.start(number)..map.start(number) + file.len);
        gaps.into_iter().map(|gap| (gap.end - gap.start).div_ceil(free.block_len)).sum::<u64>()
    };
    let folders = folder_count(files);
    let size = files.iter().enumerate().map(blocks).sum::<u64>().saturating_add(folders) * free.block_len;
    if size > free.bytes {
        return Err(PartError::DiskFull(path.to_path_buf(), size));
    }
    if free.inodes.is_some_and(|inodes| inodes < folders + files.len() as u64) {
        return Err(PartError::Io(path.to_path_buf(), "make", Errno::NOSPC.into()));
    }
    Ok(())
}

/// The number of folders. The files of one folder are neighbours in the list.
fn folder_count(files: &[FileEntry]) -> u64 {
    let folders_of =
        |file: &FileEntry| file.path.as_str().rsplit_once('/').map_or("", |(folders, _)| folders).to_owned();
    let (mut before, mut count) = (String::new(), 0);
    for file in files {
        let folders = folders_of(file);
        let shared = before.split('/').zip(folders.split('/')).take_while(|(one, other)| one == other).count();
        count += (folders.split('/').count() - shared) as u64;
        before = folders;
    }
    count
}

/// Makes the files of a folder, or checks the existing ones. Returns the stretches that get their room later, and how
/// many bytes the files of these already take.
fn fill_folder(
    folder: &File,
    path: &Path,
    manifest: &Manifest,
    reserve: &Reserve<'_>,
) -> Result<(Vec<Need>, u64), PartError> {
    // Each file of a fresh download must be new. A file system that takes two names for one would mix their contents.
    let how = if reserve.fresh { Open::New(MODE) } else { Open::WriteOrNew(MODE) };
    let map = FileMap::new(manifest.files());
    let later = Mutex::new((Vec::new(), 0));
    for_each_file(manifest, |number, entry| {
        let path = entry.path.placed_in(path);
        let file = open_with_room(|| files::open_beneath(folder, below_root(entry), how));
        let file = file.map_err(|error| PartError::from_open(&path, "make", error))?;
        // There is no list of the files that a download has made. Each has its full length before anything is written
        // to it.
        if !reserve.fresh {
            let len = file.metadata().map_err(|error| PartError::Io(path.clone(), "look at", error))?.len();
            if (1..entry.len).contains(&len) && begins_with_data(&file) {
                return Err(PartError::Foreign(path, Foreign::Unknown));
            }
        }
        let start = map.start(number);
        let needs = reserve.needs(&file, start..start + entry.len, &path)?;
        let full = |error| PartError::from_io(&path, "reserve room for", entry.len, error);
        if entry.len <= SMALL_LEN {
            return file.set_len(entry.len).map_err(full);
        }
        if !reserve.later {
            return give_room(&file, entry.len, needs, reserve.allocate).map_err(full);
        }
        let held = blocks_len(&file).and_then(|held| file.set_len(entry.len).map(|()| held)).map_err(full)?;
        let mut later = later.lock();
        later.0.extend(needs.into_iter().map(|range| (number, range)));
        later.1 += held;
        Ok(())
    })?;
    let (mut needs, held) = later.into_inner();
    needs.sort_by_key(|(number, range): &Need| (*number, range.start));
    Ok((needs, held))
}

/// The path of a file within its folder.
fn below_root(entry: &FileEntry) -> &str {
    entry.path.below_root().expect("a folder's paths have two components or more")
}

/// Gives a file its full length, with room for these stretches of it.
fn give_room(file: &File, len: u64, needs: Vec<Range<u64>>, allocate: Allocate) -> io::Result<()> {
    if needs.len() > 1 {
        // Without a reservation, each stretch alone would seem to have room. So this checks their sum.
        space::ask_free(file, needs.iter().map(|range| range.end - range.start).sum())?;
    }
    needs.into_iter().try_for_each(|range| allocate(file, range))?;
    if file.metadata()?.len() < len { file.set_len(len) } else { Ok(()) }
}

/// Writes zeros over all other bytes of a stretch of a file.
pub(super) fn overwrite_with_zeros(file: &File, range: Range<u64>, cancel: &AtomicBool) -> io::Result<()> {
    let mut buffer = vec![0; ZEROS_LEN];
    let mut at = range.start;
    while at < range.end {
        if cancel.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = (range.end - at).min(ZEROS_LEN as u64) as usize;
        file.read_exact_at(&mut buffer[..len], at)?;
        if buffer[..len].iter().any(|byte| *byte != 0) {
            buffer[..len].fill(0);
            file.write_all_at(&buffer[..len], at)?;
        }
        at += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::hash::piece_hash::sha1_of;
    use crate::model::manifest::check_files;
    use crate::model::path::RelPath;
    use crate::model::piece::PIECE_LEN;

    fn files(paths: impl IntoIterator<Item = String>, len: u64) -> Vec<FileEntry> {
        let entry = |path: String| FileEntry { path: RelPath::parse(&path).expect("a path"), len };
        paths.into_iter().map(entry).collect()
    }

    fn none(files: &[FileEntry]) -> ZeroPieces {
        ZeroPieces::none(check_files(files).expect("in order"))
    }

    #[test]
    fn room_is_asked_for_a_block_of_each_folder_and_whole_blocks_of_each_file() {
        let needs = |files: &[FileEntry], free| match ask_room(files, &none(files), free, Path::new("d.part")) {
            Err(PartError::DiskFull(_, size)) => Some(size),
            other => other.map(|()| None).expect("no other error"),
        };
        let free = |blocks: u64| FreeSpace { bytes: blocks * 4096, block_len: 4096, inodes: None };
        // "d", and 10,000 folders in it with one empty file each.
        let empty = files((10_000..20_000).map(|number| format!("d/{number}/f")), 0);
        assert_eq!((needs(&empty, free(10_000)), needs(&empty, free(10_001))), (Some(10_001 * 4096), None));
        let short = files(["d/a", "d/b/c/x", "d/b/c/y", "d/b/d/x"].map(str::to_owned), 1);
        assert_eq!((needs(&short, free(7)), needs(&short, free(8))), (Some(8 * 4096), None), "four of each");
        let few = FreeSpace { inodes: Some(7), ..free(100) };
        let error = ask_room(&short, &none(&short), few, Path::new("d.part")).expect_err("eight are made").to_string();
        assert!(error.contains("No space left"), "{error}");
        assert!(ask_room(&short, &none(&short), FreeSpace { inodes: Some(8), ..few }, Path::new("d.part")).is_ok());
    }

    #[test]
    fn no_room_is_asked_for_pieces_of_zeros() {
        let len = u64::from(PIECE_LEN);
        let files = files(["d/a", "d/b"].map(str::to_owned), 10 * len);
        // All of the first file but its first piece, and the first half of the other.
        let digest = |piece| sha1_of(&vec![u8::from(piece == 0 || piece >= 15); PIECE_LEN as usize]);
        let manifest = Manifest::new(files.clone(), (0..20).map(digest).collect()).expect("a manifest");
        let free = |bytes: u64| FreeSpace { bytes, block_len: 4096, inodes: None };
        let ask = |bytes| ask_room(&files, &ZeroPieces::of(&manifest), free(bytes), Path::new("d.part"));
        assert!(ask(6 * len + 4096).is_ok(), "six pieces and the folder");
        assert!(matches!(ask(6 * len), Err(PartError::DiskFull(_, needed)) if needed == 6 * len + 4096));
    }
}
