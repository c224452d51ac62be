//! Removes an unfinished download: only the files that the download has made.

use super::error::PartError;
use super::paths::PartPaths;
use crate::model::escape::ShownPath;
use crate::model::manifest::{FileEntry, Manifest};
use crate::sys::file_id::FileId;
use crate::sys::files;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A file or folder that stays after the end of a download, because the download did not make it or did not name it.
#[derive(Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// Something else lies in the part's place.
    Other(PathBuf),
    /// The part has its final name, but another program or the user has given it.
    Named(PathBuf),
    /// The folder of the part holds something else too.
    Within(PathBuf),
}

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftAlone::Other(path) => {
                write!(f, "{} may not belong to the download and is left alone", ShownPath(path))
            }
            LeftAlone::Named(path) => {
                write!(f, "{} is the unfinished download under another name and is left alone", ShownPath(path))
            }
            LeftAlone::Within(path) => {
                write!(f, "{} holds other files and is left alone", ShownPath(path))
            }
        }
    }
}

/// Removes the part if it is this file or folder. In a folder, removes the files of the manifest and then the empty
/// folders.
///
/// # Errors
/// `Io`.
pub(super) fn remove_own(
    paths: &PartPaths,
    own: &FileId,
    manifest: Option<&Manifest>,
) -> Result<Option<LeftAlone>, PartError> {
    let path = paths.part_path();
    let Some(found) = paths.stat(&paths.part_name)? else { return Ok(None) };
    if paths.id(&paths.part_name)? != Some(*own) {
        return Ok(Some(LeftAlone::Other(path)));
    }
    let removed = match (FileType::from_raw_mode(found.st_mode), manifest) {
        (FileType::RegularFile, _) => files::remove_file_in(&paths.folder, &paths.part_name).map(|()| true),
        (FileType::Directory, Some(manifest)) => remove_folder(&paths.folder, &paths.part_name, manifest),
        _ => Ok(false),
    };
    match removed {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(LeftAlone::Within(path))),
        Err(error) => Err(PartError::Io(path, "remove", error)),
    }
}

/// Removes the entries of a folder that the manifest lists. Returns false if something is left.
fn remove_folder(parent: &File, name: &OsStr, manifest: &Manifest) -> io::Result<bool> {
    remove_listed(&files::open_folder_in(parent, name)?, manifest.files().iter())?;
    remove_empty(parent, name)
}

/// Removes these files from a folder, and then the empty folders in it.
pub(super) fn remove_listed<'a>(root: &File, entries: impl Iterator<Item = &'a FileEntry>) -> io::Result<()> {
    let mut folders = BTreeSet::new();
    for entry in entries {
        let path = entry.path.below_root().unwrap_or_default();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let own = |found: &rustix::fs::Stat| {
            let len = u64::try_from(found.st_size);
            FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && (len == Ok(entry.len) || len == Ok(0))
        };
        // An entry that cannot be examined stays, and its folder with it.
        let Ok(within) = open_beneath(root, folder) else { continue };
        if files::stat_in(&within, name.as_ref())?.is_some_and(|found| own(&found)) {
            files::remove_file_in(&within, name.as_ref())?;
        }
        folders.extend(path.match_indices('/').map(|(end, _)| &path[..end]));
    }
    // In this order, the entries of a folder come after the folder.
    for path in folders.into_iter().rev() {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Ok(within) = open_beneath(root, folder) {
            remove_empty(&within, name.as_ref())?;
        }
    }
    Ok(())
}

/// Opens a folder below another one. Never follows a symbolic link.
pub(super) fn open_beneath(root: &File, path: &str) -> io::Result<File> {
    let mut folder = root.try_clone()?;
    for component in path.split('/').filter(|component| !component.is_empty()) {
        folder = files::open_folder_in(&folder, component.as_ref())?;
    }
    Ok(folder)
}

/// Removes an empty folder. Returns false for a folder with entries, or for something else.
fn remove_empty(parent: &File, name: &OsStr) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
