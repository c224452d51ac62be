//! Some complete files of a folder, while a download brings more of the folder to the same place.

use super::error::PartError;
use super::paths::PartPaths;
use super::removal::{open_beneath, remove_listed};
use super::sidecar::{PartLabel, Sidecar};
use crate::client::storage::file_stamp::{Stamps, StampsDigest};
use crate::client::storage::selection::Selection;
use crate::model::manifest::{FileEntry, Manifest};
use crate::sys::files;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Downloaded files of a folder, and their stamps.
#[derive(Debug, Clone)]
pub struct HeldFiles {
    pub selection: Arc<Selection>,
    pub stamps: StampsDigest,
}

impl HeldFiles {
    /// Whether the files lie there unchanged.
    pub fn are_at(&self, path: &Path) -> bool {
        Stamps::take(path, self.selection.manifest().files()).is_ok_and(|now| now.digest() == self.stamps)
    }

    /// The other files of a part.
    fn others<'a>(&'a self, part: &'a Manifest) -> impl Iterator<Item = &'a FileEntry> {
        let own: HashSet<&str> = self.selection.manifest().files().iter().map(|entry| entry.path.as_str()).collect();
        part.files().iter().filter(move |entry| !own.contains(entry.path.as_str()))
    }

    /// Gives the folder the name of an unfinished download of these files and more. The sidecar notes this first, so
    /// one of the two names is known after any crash.
    ///
    /// # Errors
    /// `Exists` if something has that name, or the place of a missing file. `NoFolder`, `DiskFull`, `Io`. The folder
    /// then has its former name.
    pub(super) fn take_back(&self, sidecar: &mut Sidecar, part: &Manifest, label: &PartLabel) -> Result<(), PartError> {
        self.check_room(sidecar.paths(), part)?;
        let failed = |paths: &PartPaths, error| PartError::Io(paths.destination(), "rename", error);
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let own = sidecar.paths().id(&sidecar.paths().name)?.ok_or_else(|| failed(sidecar.paths(), gone()))?;
        sidecar.write_taken(label, own)?;
        let paths = sidecar.paths();
        files::rename_noreplace(&paths.folder, &paths.name, &paths.part_name).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PartError::Exists(paths.part_path()),
            _ => failed(paths, error),
        })?;
        files::sync_folder(&paths.folder).map_err(|error| PartError::Io(paths.part_path(), "write to the disk", error))
    }

    /// Fails if something lies in the place of a missing file, because it is the user's own.
    fn check_room(&self, paths: &PartPaths, part: &Manifest) -> Result<(), PartError> {
        let path = paths.destination();
        let failed = |error| PartError::Io(path.clone(), "look at", error);
        let root = files::open_folder_in(&paths.folder, &paths.name).map_err(failed)?;
        for entry in self.others(part) {
            let below = entry.path.below_root().unwrap_or_default();
            let (folder, name) = below.rsplit_once('/').unwrap_or(("", below));
            match open_beneath(&root, folder).and_then(|within| files::stat_in(&within, name.as_ref())) {
                Ok(None) => {}
                Ok(Some(_)) => return Err(PartError::Exists(path.join(below))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return Err(PartError::Exists(path.join(folder))),
            }
        }
        Ok(())
    }

    /// Gives the folder its former name back, without the other files of the part.
    ///
    /// # Errors
    /// `Exists` if something has that name meanwhile, `Io`.
    pub(super) fn give_back(&self, paths: &PartPaths, part: &Manifest) -> Result<(), PartError> {
        let failed = |error| PartError::Io(paths.part_path(), "give its name back to", error);
        let root = files::open_folder_in(&paths.folder, &paths.part_name).map_err(failed)?;
        remove_listed(&root, self.others(part)).map_err(failed)?;
        // The reservation of room has changed the times.
        let manifest = self.selection.manifest();
        for (entry, attributes) in manifest.files().iter().zip(manifest.attributes()) {
            let below = entry.path.below_root().unwrap_or_default();
            let (folder, name) = below.rsplit_once('/').unwrap_or(("", below));
            let open = |within| files::open_in(&within, name.as_ref(), files::Open::Write);
            if let Ok(file) = open_beneath(&root, folder).and_then(open) {
                let _ = files::set_modified(&file, attributes.modified.seconds, attributes.modified.nanoseconds());
            }
        }
        files::rename_noreplace(&paths.folder, &paths.part_name, &paths.name).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PartError::Exists(paths.destination()),
            _ => failed(error),
        })?;
        files::sync_folder(&paths.folder).map_err(failed)
    }

    /// Removes the border bytes of these files, unless the complete part has them in their own place. A file that
    /// cannot be removed takes up room but does no harm.
    pub(super) fn remove_borders(&self, paths: &PartPaths, part: &Manifest) {
        let own: HashSet<&str> = part.files().iter().map(|entry| entry.path.as_str()).collect();
        let borders = self.selection.borders().filter(|entry| !own.contains(entry.path.as_str()));
        let _ = files::open_folder_in(&paths.folder, &paths.name).and_then(|root| remove_listed(&root, borders));
    }
}
