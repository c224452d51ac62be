//! The part: an unfinished download on the disk, from its first byte to its final name.

mod body;
mod error;
mod paths;
mod sidecar;
mod taken;

use super::file_map::FileMap;
use super::piece_source::{PieceSource, SourceError};
use crate::client::storage::part::paths::PartPaths;
use crate::client::storage::part::sidecar::Sidecar;
use crate::model::bitfield::Bitfield;
use crate::model::digest::InfoHash;
use crate::model::manifest::Manifest;
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use crate::sys::{self, files, space};
use body::{Allocate, Body};
use rustix::fs::FileType;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use crate::client::storage::part::error::{Foreign, PartError};
pub use crate::client::storage::part::paths::resolve_destination;
pub use crate::client::storage::part::sidecar::PartLabel;
pub use crate::client::storage::part::taken::Taken;

/// After how many written bytes the disk is set to work on them, so that the fsync at the end finds little to do.
const WRITE_BACK_LEN: u64 = 8 << 20;

/// What is found at a destination.
#[derive(Debug)]
pub enum OpenedPart {
    /// A download to begin or to go on with.
    Part(Part),
    /// Something has the final name already. It may be the complete download.
    Taken(Taken),
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
    pub fn open(destination: &Path, manifest: Arc<Manifest>, label: &PartLabel) -> Result<OpenedPart, PartError> {
        Self::open_with(destination, manifest, label, space::allocate)
    }

    fn open_with(
        destination: &Path,
        manifest: Arc<Manifest>,
        label: &PartLabel,
        allocate: Allocate,
    ) -> Result<OpenedPart, PartError> {
        let paths = PartPaths::of(destination)?;
        if paths.stat(&paths.name)?.is_some() {
            return Taken::look(paths, &manifest, label).map(OpenedPart::Taken);
        }
        let mut sidecar = Sidecar::lock(paths)?;
        let begun = begin(&mut sidecar, &manifest, label, allocate);
        if begun.is_err() && sidecar.label().is_none() {
            sidecar.remove_on_drop();
        }
        let (body, fresh) = begun?;
        let map = FileMap::new(manifest.files());
        let (written, writing_back) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(OpenedPart::Part(Self { manifest, map, body, fresh, written, writing_back, sidecar }))
    }

    /// Removes an unfinished download that is not open in this process. Does nothing if there is none, or if what is
    /// there belongs to something else.
    ///
    /// # Errors
    /// `Busy` if another download has it open; `Foreign`, `Io`.
    pub fn discard(destination: &Path, info_hash: &InfoHash) -> Result<(), PartError> {
        let paths = match PartPaths::of(destination) {
            Err(PartError::NoFolder(_)) => return Ok(()),
            paths => paths?,
        };
        if paths.stat(&paths.sidecar_name)?.is_none() {
            return Ok(());
        }
        let sidecar = Sidecar::lock(paths)?;
        match sidecar.label() {
            Some(found) if found.info_hash == *info_hash => {
                body::remove(sidecar.paths())?;
                sidecar.remove();
            }
            Some(_) => {}
            None => sidecar.remove(),
        }
        Ok(())
    }

    /// Where the download is to go.
    pub fn destination(&self) -> &Path {
        &self.sidecar.paths().destination
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
        let paths = self.sidecar.paths();
        let path = paths.part_path();
        self.body.sync().map_err(|error| PartError::from_io(&path, "write to the disk", 0, error))?;
        self.check_in_place()?;
        files::rename_noreplace(&paths.folder, &paths.part_name, &paths.name).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PartError::Exists(paths.destination.clone()),
            _ => PartError::Io(path, "rename", error),
        })?;
        files::sync_folder(&paths.folder)
            .map_err(|error| PartError::Io(paths.destination.clone(), "write to the disk", error))?;
        self.sidecar.remove_on_drop();
        Ok(())
    }

    /// Removes the part and its sidecar: the user has cancelled the download. Another may take the place at once, even
    /// while threads still hold this value.
    ///
    /// # Errors
    /// `Foreign` if something else lies in the part's place, `Io`.
    pub fn abandon(&self) -> Result<(), PartError> {
        if self.sidecar.paths().stat(&self.sidecar.paths().part_name)?.is_some() {
            self.check_in_place()?;
            body::remove(self.sidecar.paths())?;
        }
        self.sidecar.remove();
        Ok(())
    }

    /// Makes sure that the name of the part still means the part that is open.
    fn check_in_place(&self) -> Result<(), PartError> {
        let paths = self.sidecar.paths();
        let open = self.body.metadata();
        let open = open.map_err(|error| PartError::Io(paths.part_path(), "look at", error))?;
        match paths.stat(&paths.part_name)? {
            Some(found) if found.st_ino == open.ino() && found.st_dev == open.dev() => Ok(()),
            _ => Err(PartError::Foreign(paths.part_path(), Foreign::Replaced)),
        }
    }

    /// The error for bytes that are not those that were written.
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
        // The call waits while the disk's queue is full, which should not happen to all workers at a time.
        if due && !self.writing_back.swap(true, Ordering::Relaxed) {
            sys::start_write_back(file);
            self.writing_back.store(false, Ordering::Relaxed);
        }
    }

    /// Whether there are bytes that were never written, or that the filesystem does not keep since they are zeros.
    pub fn has_holes(&self) -> bool {
        self.manifest.files().iter().enumerate().any(|(number, entry)| {
            let Ok(file) = self.file(number) else { return true };
            let written =
                space::data_ranges(&file, entry.len).map_while(Result::ok).map(|range| range.end - range.start);
            written.sum::<u64>() < entry.len
        })
    }

    /// The pieces of which any byte was ever written.
    pub fn pieces_with_data(&self) -> Bitfield {
        let layout = self.manifest.layout();
        let mut pieces = Bitfield::none(layout);
        for (number, entry) in self.manifest.files().iter().enumerate() {
            let start = self.map.start(number);
            let Ok(file) = self.file(number) else { continue };
            for range in space::data_ranges(&file, entry.len).map_while(Result::ok) {
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
            read.map_err(|error| match SourceError::from_io(self.file_path(stretch.file), error) {
                SourceError::Changed(_) | SourceError::Gone(_) => self.changed(),
                other => other,
            })?;
            rest = later;
        }
        Ok(())
    }
}

/// Whether a download goes on with the part in its place; false if it begins.
fn is_resumable(sidecar: &Sidecar, manifest: &Manifest, label: &PartLabel) -> Result<bool, PartError> {
    let paths = sidecar.paths();
    let expected = if manifest.is_folder() { FileType::Directory } else { FileType::RegularFile };
    // A sidecar that was left alone says nothing about anybody's data.
    let Some(part) = paths.stat(&paths.part_name)? else { return Ok(false) };
    let kind = FileType::from_raw_mode(part.st_mode);
    let foreign = |why| Err(PartError::Foreign(paths.part_path(), why));
    match sidecar.label() {
        _ if kind == FileType::Symlink => foreign(Foreign::Link),
        None => foreign(Foreign::Unknown),
        Some(other) if other.info_hash != label.info_hash => Err(PartError::OtherDownload {
            part: paths.part_path(),
            group: other.group.clone(),
            name: other.name.clone(),
        }),
        Some(_) if kind != expected => foreign(Foreign::Kind),
        Some(_) => Ok(true),
    }
}

/// The body of a download, and whether it is fresh.
fn begin(
    sidecar: &mut Sidecar,
    manifest: &Manifest,
    label: &PartLabel,
    allocate: Allocate,
) -> Result<(Body, bool), PartError> {
    let fresh = !is_resumable(sidecar, manifest, label)?;
    if fresh {
        sidecar.write(label)?;
    }
    let body = Body::open(sidecar.paths(), manifest, fresh, allocate);
    if fresh && body.is_err() {
        sidecar.remove_on_drop();
    }
    body.map(|body| (body, fresh))
}

#[cfg(test)]
mod tests;
