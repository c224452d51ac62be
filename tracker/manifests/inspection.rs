//! The report of `tracker --check` on the folder of manifests, and the files that `tracker --repair` sets aside.

use super::facts::{begins_as_older, read_facts};
use super::folder::{FolderContents, ManifestsError};
use crate::model::digest::InfoHash;
use crate::sys::files;
use crate::wire::refusal::Code;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a folder of manifests holds.
#[derive(Debug)]
pub(crate) struct ManifestsInspection {
    /// The content, line by line.
    pub(crate) lines: Vec<String>,
    /// The missing or damaged manifests, each with its file.
    pub(crate) faults: Vec<String>,
    /// The files whose bytes do not match their names.
    damaged: Vec<PathBuf>,
    folder: PathBuf,
}

/// Reads the `listed` manifests, and looks for files that a tracker removes. The `known` ones are those of former
/// shares. Changes nothing.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn inspect(
    folder: &Path,
    known: &HashSet<InfoHash>,
    listed: &HashSet<InfoHash>,
) -> Result<ManifestsInspection, ManifestsError> {
    let found = FolderContents::of(folder)?;
    let mut inspection = ManifestsInspection {
        lines: Vec::new(),
        faults: Vec::new(),
        damaged: Vec::new(),
        folder: folder.to_path_buf(),
    };
    let (mut sound, mut awaited) = (0, 0);
    // In an order that is the same for every call.
    let mut listed: Vec<InfoHash> = listed.iter().copied().collect();
    listed.sort_unstable();
    for info_hash in listed {
        if found.awaits(info_hash) {
            awaited += 1;
        } else if inspection.is_sound(info_hash) {
            sound += 1;
        }
    }
    inspection.lines.push(format!("manifests of live shares that are sound: {sound}"));
    if awaited > 0 {
        inspection.lines.push(format!("manifests not here yet: {awaited}; a start asks the other trackers for them"));
    }
    let superfluous = found.there.difference(known).count();
    if superfluous > 0 {
        inspection.lines.push(format!("manifests of no share: {superfluous}; the tracker removes them while it runs"));
    }
    for path in &found.unfinished {
        inspection.lines.push(format!("{} is of no use; a start removes it", path.display()));
    }
    Ok(inspection)
}

impl ManifestsInspection {
    /// Moves the damaged files to a new folder, and returns their number.
    ///
    /// # Errors
    /// The disk does not allow it.
    pub(crate) fn set_aside(&self, to: &Path) -> Result<usize, ManifestsError> {
        if self.damaged.is_empty() {
            return Ok(0);
        }
        DirBuilder::new().mode(0o700).create(to).map_err(ManifestsError::of(to, "make the folder"))?;
        for path in &self.damaged {
            let name = path.file_name().unwrap_or_default();
            fs::rename(path, to.join(name)).map_err(ManifestsError::of(path, "set aside"))?;
        }
        [to, &self.folder].into_iter().try_for_each(|folder| {
            let synced = files::open_folder(folder).and_then(|handle| files::sync_folder(&handle));
            synced.map_err(ManifestsError::of(folder, "fsync the folder"))
        })?;
        Ok(self.damaged.len())
    }

    /// Checks the manifest of a visible share, and takes note of what is wrong with it.
    fn is_sound(&mut self, info_hash: InfoHash) -> bool {
        let path = self.folder.join(info_hash.to_string());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.faults.push(format!("{} is missing; a start asks the other trackers for it", path.display()));
                return false;
            }
            Err(error) => {
                self.faults.push(format!("{} cannot be read: {}", path.display(), crate::sys::reason(&error)));
                return false;
            }
        };
        let Err(refusal) = read_facts(&file, info_hash, || Ok(())) else { return true };
        if refusal.code != Code::BadManifest {
            self.faults.push(format!("{} cannot be read: {}", path.display(), refusal.about));
        } else if begins_as_older(&file) {
            self.faults.push(format!("{} cannot be used: {}", path.display(), refusal.about));
        } else {
            self.faults.push(format!("{} is damaged: {}", path.display(), refusal.about));
            self.damaged.push(path);
        }
        false
    }
}
