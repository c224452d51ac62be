//! The part: an unfinished download on the disk, from its first byte to its final name.

mod beginning;
mod body;
mod copy;
mod each_file;
mod error;
mod paths;
mod removal;
mod replaced;
mod reservation;
mod sidecar;
mod take_back;
mod taken;
mod written;

use super::file_map::{FileMap, Stretch};
use super::piece_source::{PieceSource, SourceError};
use crate::client::hash::zeros::ZeroPieces;
use crate::client::storage::part::paths::PartPaths;
use crate::client::storage::part::sidecar::{Note, Sidecar};
use crate::client::storage::shared_files::SharedFiles;
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::manifest::{FileAttributes, Manifest};
use crate::model::piece::{Layout, PieceIndex};
use crate::sys::file_id::{self, FileId};
use crate::sys::vectored::{ScatteredBytes, ScatteredRoom};
use crate::sys::{self, files, space};
use crate::wire::stretches::Stretches;
use beginning::{begin, id_of};
use body::{Body, RoomMaker, overwrite_with_zeros};
use each_file::{any_file, for_each_file};
use removal::remove_own;
use replaced::{hand_over, keep_modes};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use taken::source_of;
use written::pieces_with_data;

pub use crate::client::storage::part::error::{Foreign, PartError};
pub use crate::client::storage::part::paths::resolve_destination;
pub use crate::client::storage::part::removal::LeftAlone;
pub use crate::client::storage::part::replaced::{PartPlan, PartRecord, Replaced};
pub use crate::client::storage::part::sidecar::PartLabel;
pub use crate::client::storage::part::take_back::HeldFiles;
pub use crate::client::storage::part::taken::Taken;

/// After this many written bytes the disk starts to write, so that the fsync at the end has little to do.
const WRITE_BACK_LEN: u64 = 8 << 20;

/// What lies at a destination.
#[derive(Debug)]
pub enum OpenedPart {
    /// A download to begin or to resume.
    Part(Part),
    /// Something already has the final name. It may be the complete download.
    Taken(Taken),
}

/// An unfinished download: `<destination>.part`, a file or a folder, locked for this process.
///
/// Invariants: Every file has its full length. No symbolic link is followed to read, write, rename or remove. Many
/// threads may write and read pieces at a time. After a drop the part stays on the disk for the next run.
pub struct Part {
    manifest: Arc<Manifest>,
    map: FileMap,
    zeros: ZeroPieces,
    body: Body,
    fresh: AtomicBool,
    written: AtomicU64,
    writing_back: AtomicBool,
    /// The old version that has the final name until then.
    replaces: Option<Box<Replaced>>,
    /// The files that were complete before the rest began.
    held: Option<Box<HeldFiles>>,
    sidecar: Sidecar,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("destination", &self.destination()).finish_non_exhaustive()
    }
}

impl Part {
    /// Begins a download, or takes up one of an earlier run. Reserves all the room it needs; on a file system in memory
    /// a thread does so from here on. `destination` comes from `resolve_destination`.
    ///
    /// # Errors
    /// Every kind there is. Existing files are then unchanged, and nothing new stays behind.
    pub fn open(
        destination: &Path,
        manifest: Arc<Manifest>,
        label: &PartLabel,
        plan: impl Into<PartPlan>,
    ) -> Result<OpenedPart, PartError> {
        let maker = RoomMaker { allocate: space::allocate_range, is_slow: space::reserves_by_writing };
        Self::open_with(destination, manifest, label, plan.into(), maker)
    }

    fn open_with(
        destination: &Path,
        manifest: Arc<Manifest>,
        label: &PartLabel,
        PartPlan { record, replaces, held }: PartPlan,
        maker: RoomMaker,
    ) -> Result<OpenedPart, PartError> {
        let paths = match (PartPaths::of(destination), record) {
            (Err(PartError::NoFolder(_)), record) if record.is_awaited() => {
                return Err(PartError::Missing(destination.to_path_buf()));
            }
            (paths, _) => paths?,
        };
        let is_old = |old: &Replaced| old.is_at(&paths.destination());
        let there = paths.stat(&paths.name)?.is_some();
        let taken_back = held.as_ref().filter(|held| there && held.are_at(&paths.destination()));
        let is_free = || replaces.as_ref().is_some_and(is_old) || record == PartRecord::Moving;
        if there && taken_back.is_none() && !is_free() {
            let is_update = replaces.is_some();
            let taken = Taken::look(paths, &manifest, label, replaces).map_err(|error| match error {
                PartError::OtherContent(path) if is_update => PartError::Edited(path),
                other => other,
            });
            return taken.map(OpenedPart::Taken);
        }
        let unfinished = paths.stat(&paths.part_name)?.is_some();
        if taken_back.is_some() && unfinished {
            return Err(PartError::Exists(paths.part_path()));
        }
        if record.is_awaited() && !unfinished && taken_back.is_none() {
            return Err(PartError::Missing(paths.part_path()));
        }
        let mut sidecar = Sidecar::lock(paths, record != PartRecord::Absent)?;
        let zeros = ZeroPieces::of(&manifest);
        let taken = taken_back.map(|held| held.take_back(&mut sidecar, &manifest, label).map(|()| held)).transpose();
        if taken.is_err() {
            sidecar.remove_on_drop();
        }
        let taken = taken?;
        let begun = begin(&mut sidecar, &manifest, label, record, (&zeros, maker));
        if let (Err(_), Some(held)) = (&begun, taken) {
            held.give_back(sidecar.paths(), &manifest)?;
            sidecar.remove_on_drop();
        }
        if begun.is_err() && sidecar.note().is_none() {
            sidecar.remove_on_drop();
        }
        let (body, fresh) = begun?;
        let fresh = AtomicBool::new(fresh);
        let map = FileMap::new(manifest.files());
        let (written, writing_back) = (AtomicU64::new(0), AtomicBool::new(false));
        let (replaces, held) = (replaces.map(Box::new), held.map(Box::new));
        let part = Self { manifest, map, zeros, body, fresh, written, writing_back, replaces, held, sidecar };
        // Files that were private stay private from the first byte on.
        part.keep_modes(|mode, _| mode & 0o666 | 0o600, 0o700);
        Ok(OpenedPart::Part(part))
    }

    /// Gives up an unfinished download that is not open in this process and that began with complete files. These files
    /// stay, under their former name.
    ///
    /// # Errors
    /// `Busy` if another download has it open; `Foreign`, `Exists`, `Io`.
    pub fn give_back(
        destination: &Path,
        label: &InfoHash,
        manifest: &Manifest,
        held: &HeldFiles,
    ) -> Result<(), PartError> {
        let sidecar = Sidecar::lock(PartPaths::of(destination)?, false)?;
        let paths = sidecar.paths();
        let is_own = |note: &Note| note.label.info_hash == *label && note.part.is_some();
        let own = sidecar.note().filter(|note| is_own(note)).and_then(|note| note.part);
        if own.is_some() && own == paths.id(&paths.part_name)? {
            held.give_back(paths, manifest)?;
        }
        if sidecar.note().is_none_or(is_own) {
            sidecar.remove();
        }
        Ok(())
    }

    /// Whether there is room for all of a download.
    ///
    /// # Errors
    /// `DiskFull`, `NoFolder`, `Io`.
    pub fn check_room(destination: &Path, manifest: &Manifest) -> Result<(), PartError> {
        let (paths, zeros) = (PartPaths::of(destination)?, ZeroPieces::of(manifest));
        body::check_room(&paths, manifest, &zeros)
    }

    /// Removes an unfinished download that is not open in this process: the file or folder that the sidecar names. In a
    /// folder, removes only the files of the manifest. Returns what is left.
    ///
    /// # Errors
    /// `Busy` if another download has it open; `Foreign`, `Io`.
    pub fn discard(
        destination: &Path,
        info_hash: &InfoHash,
        manifest: Option<&Manifest>,
    ) -> Result<Option<LeftAlone>, PartError> {
        let paths = match PartPaths::of(destination) {
            Err(PartError::NoFolder(_)) => return Ok(None),
            paths => paths?,
        };
        let left = paths.stat(&paths.part_name)?.map(|_| LeftAlone::Other(paths.part_path()));
        if paths.stat(&paths.sidecar_name)?.is_none() {
            return Ok(left);
        }
        let sidecar = Sidecar::lock(paths, false)?;
        let left = match sidecar.note() {
            Some(note) if note.label.info_hash != *info_hash => return Ok(None),
            Some(Note { part: Some(own), .. }) => remove_own(sidecar.paths(), own, manifest)?,
            Some(_) | None => left,
        };
        sidecar.remove();
        Ok(left)
    }

    /// The destination of the download. Finds a folder again that was renamed meanwhile.
    pub fn destination(&self) -> PathBuf {
        self.sidecar.paths().destination()
    }

    /// The content of the download.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Whether the download begins here, so that there is nothing to verify.
    pub fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
    }

    /// Writes a verified piece to its place.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub fn write_piece(&self, piece: PieceIndex, data: Stretches<'_>) -> Result<(), PartError> {
        let layout = self.manifest.layout();
        assert_eq!(data.len(), layout.len(piece) as usize, "a piece has exactly its length");
        let full = |error| PartError::from_io(&self.sidecar.paths().part_path(), "reserve room for", 0, error);
        self.body.check_room().map_err(full)?;
        let mut rest: ScatteredBytes<'_> = data.iter().collect();
        for stretch in self.map.stretches(layout.offset(piece), data.len()) {
            let failed = |error| PartError::from_io(&self.file_path(stretch.file), "write", 0, error);
            let file = self.file(stretch.file).map_err(failed)?;
            rest.write_to(&file, stretch.offset, stretch.len).map_err(failed)?;
            self.start_write_back(&file, stretch.len as u64);
        }
        Ok(())
    }

    /// Gives the complete download its attributes and its final name. All data are durable before the rename; then the
    /// rename becomes durable. The caller has compared the SHA-1 of the whole. Pieces can still be read afterwards. The
    /// sidecar goes when the part is dropped, so the caller must record the end of the download first.
    ///
    /// # Errors
    /// `Exists` if something has taken the name meanwhile. `Edited` or `NoExchange` if that is no longer the old
    /// version or cannot be replaced. `Foreign` if something else lies in the part's place or was added to it.
    /// `FolderGone`, `Io`. The part is then kept.
    pub fn finish(&self) -> Result<(), PartError> {
        let paths = self.sidecar.paths();
        let sync = |error| PartError::from_io(&paths.part_path(), "write to the disk", 0, error);
        // A later reservation would change the time of the last write.
        self.body.end_reservation();
        self.give_attributes()?;
        self.body.sync().map_err(sync)?;
        // If the user has given the part its final name by hand, the rest is already done.
        if !self.is_called(&paths.name)? {
            self.check_in_place()?;
            match &self.replaces {
                Some(old) if paths.stat(&paths.name)?.is_some() => old.exchange(paths)?,
                _ => paths.rename_noreplace()?,
            }
        }
        files::sync_folder(&paths.folder)
            .map_err(|error| PartError::Io(paths.destination(), "write to the disk", error))?;
        // Only now is the new version durable in its place.
        self.replaces.iter().try_for_each(|old| old.remove(paths, &self.sidecar))?;
        self.held.iter().for_each(|held| held.remove_borders(paths, &self.manifest));
        self.sidecar.remove_on_drop();
        Ok(())
    }

    /// Makes files executable as the manifest says, and sets the times of their last write. No step may come after this
    /// on the downloaded files. Files that others have added are left alone.
    fn give_attributes(&self) -> Result<(), PartError> {
        let umask = files::umask();
        for_each_file(&self.manifest, |number, entry| {
            let look = |error| PartError::Io(self.file_path(number), "look at", error);
            let file = self.file(number).map_err(look)?;
            if file.metadata().map_err(look)?.len() > entry.len {
                return Err(PartError::Foreign(self.file_path(number), Foreign::TooLong));
            }
            let Some(FileAttributes { executable, modified }) = self.manifest.attributes().get(number) else {
                return Ok(());
            };
            // A file system may keep neither, and no other code relies on them.
            if *executable {
                let _ = files::make_executable(&file, umask);
            }
            let _ = files::set_modified(&file, modified.seconds, modified.nanoseconds());
            Ok(())
        })?;
        self.keep_modes(|mode, executable| mode & 0o666 | if executable { (mode & 0o444) >> 2 } else { 0 }, 0);
        Ok(())
    }

    fn keep_modes(&self, of: impl Fn(u32, bool) -> u32 + Sync, of_folder: u32) {
        if self.replaces.is_some() {
            keep_modes(&self.body, &self.manifest, &self.destination(), (of, of_folder));
        }
    }

    /// The files that meanwhile have the final name, and that may be the complete download.
    ///
    /// # Errors
    /// `OtherContent` if they cannot be the download, `Exists` if that is unknown, `Io`.
    pub fn in_the_way(&self) -> Result<SharedFiles, PartError> {
        source_of(self.sidecar.paths(), &self.manifest)
    }

    /// Removes the part and its sidecar, because the user has cancelled the download. Another one may take the place at
    /// once, even while threads still hold this value. Files that were complete before stay under their own name.
    /// Returns what is left.
    ///
    /// # Errors
    /// `Io`.
    pub fn abandon(&self) -> Result<Option<LeftAlone>, PartError> {
        self.body.end_reservation();
        let paths = self.sidecar.paths();
        let left = if self.is_called(&paths.part_name)? {
            match &self.held {
                Some(held) => held.give_back(paths, &self.manifest).map(|()| None)?,
                None => remove_own(paths, &self.id()?, Some(&self.manifest))?,
            }
        } else if self.is_called(&paths.name)? {
            Some(LeftAlone::Named(paths.destination()))
        } else {
            paths.stat(&paths.part_name)?.map(|_| LeftAlone::Other(paths.part_path()))
        };
        self.sidecar.remove();
        Ok(left)
    }

    /// Turns the folder into the part of a newer version, which takes equal files in place. The download with `label`
    /// opens it next. This value writes nothing to the part any more.
    ///
    /// # Errors
    /// `Foreign` if something else lies in its place, `FolderGone`, `DiskFull`, `Io`.
    pub fn hand_over(&self, manifest: &Manifest, label: &PartLabel) -> Result<(), PartError> {
        self.body.end_reservation();
        self.check_in_place()?;
        let folder = self.body.folder("").map_err(|error| PartError::Io(self.destination(), "open", error))?;
        hand_over((&folder, self.id()?), (&self.manifest, manifest), (&self.sidecar, label))?;
        self.sidecar.release();
        Ok(())
    }

    /// Lets others open the part, even while threads still hold this value. This value writes nothing to the part any
    /// more.
    pub fn release(&self) {
        self.body.end_reservation();
        self.sidecar.release();
    }

    fn id(&self) -> Result<FileId, PartError> {
        id_of(&self.body, self.sidecar.paths())
    }

    /// Whether a name in the folder belongs to the open part.
    fn is_called(&self, name: &OsStr) -> Result<bool, PartError> {
        let paths = self.sidecar.paths();
        let open = self.body.metadata();
        let open = open.map_err(|error| PartError::Io(paths.part_path(), "look at", error))?;
        let found = paths.stat(name)?;
        Ok(found.is_some_and(|found| found.st_ino == open.ino() && found.st_dev == open.dev()))
    }

    /// Checks that the name of the part still belongs to the open part.
    fn check_in_place(&self) -> Result<(), PartError> {
        let paths = self.sidecar.paths();
        match self.is_called(&paths.part_name)? {
            true => Ok(()),
            false if file_id::is_removed(&paths.folder) => Err(PartError::FolderGone(paths.folder_path())),
            false => Err(PartError::Foreign(paths.part_path(), Foreign::Replaced)),
        }
    }

    /// The error for bytes that differ from the written ones.
    pub fn changed(&self) -> SourceError {
        SourceError::Unfinished(self.sidecar.paths().part_path())
    }

    fn file(&self, number: usize) -> io::Result<Arc<File>> {
        self.body.file(&self.manifest, number)
    }

    fn file_path(&self, file: usize) -> PathBuf {
        self.manifest.files()[file].path.placed_in(&self.sidecar.paths().part_path())
    }

    fn start_write_back(&self, file: &File, len: u64) {
        let before = self.written.fetch_add(len, Ordering::Relaxed);
        let due = before / WRITE_BACK_LEN != (before + len) / WRITE_BACK_LEN;
        // The call waits while the disk's queue is full. Only one worker at a time should wait.
        if due && !self.writing_back.swap(true, Ordering::Relaxed) {
            sys::start_write_back(file);
            self.writing_back.store(false, Ordering::Relaxed);
        }
    }

    /// The all-zero pieces.
    pub fn zeros(&self) -> &ZeroPieces {
        &self.zeros
    }

    /// Makes holes of the all-zero pieces. If the file system has no holes, writes zeros. Returns the pieces that are
    /// now zeros; members can deliver the others. Stops early if `cancel` is set.
    pub fn make_holes(&self, cancel: &AtomicBool) -> Bitfield {
        let layout = self.manifest.layout();
        let mut holes = Bitfield::none(layout);
        for run in self.zeros.runs() {
            let len = run.iter().map(|piece| layout.len(*piece) as usize).sum();
            if self.clear(layout.offset(run[0]), len, cancel).is_ok() {
                run.into_iter().for_each(|piece| {
                    holes.insert(piece);
                });
            }
        }
        holes
    }

    /// Fills a stretch of the stream with zeros.
    fn clear(&self, offset: u64, len: usize, cancel: &AtomicBool) -> io::Result<()> {
        for Stretch { file, offset, len } in self.map.stretches(offset, len) {
            let file = self.file(file)?;
            let range = offset..offset + len as u64;
            // A fresh file is zeros already.
            if !space::punch_hole(&file, range.clone())? && !self.is_fresh() {
                overwrite_with_zeros(&file, range, cancel)?;
            }
        }
        Ok(())
    }

    /// Whether there are bytes that were never written, or that the file system does not store because they are zeros.
    /// All-zero pieces do not count.
    pub fn has_holes(&self) -> bool {
        any_file(&self.manifest, |number, entry| {
            let Ok(file) = self.file(number) else { return true };
            let start = self.map.start(number);
            let lacks = |hole: Range<u64>| !self.zeros.cover(start + hole.start..start + hole.end);
            let mut at = 0;
            let mut data = space::data_ranges(&file, entry.len).map_while(Result::ok);
            data.any(|range| lacks(std::mem::replace(&mut at, range.end)..range.start)) || lacks(at..entry.len)
        })
    }

    /// The pieces with any byte that was ever written.
    pub fn pieces_with_data(&self) -> Bitfield {
        pieces_with_data(&self.manifest, |number| self.file(number).ok())
    }
}

impl PieceSource for Part {
    fn layout(&self) -> Layout {
        self.manifest.layout()
    }

    /// Returns the bytes of the part as they are. The caller knows which pieces are verified.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.scatter_at(offset, buffer.into())
    }

    fn scatter_at(&self, offset: u64, mut room: ScatteredRoom<'_>) -> Result<(), SourceError> {
        for stretch in self.map.stretches(offset, room.len()) {
            let file = self.file(stretch.file);
            let read = file.and_then(|file| room.fill_from(&file, stretch.offset, stretch.len));
            read.map_err(|error| match SourceError::from_io(self.file_path(stretch.file), error) {
                SourceError::Changed(_) | SourceError::Gone(_) => self.changed(),
                other => other,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
