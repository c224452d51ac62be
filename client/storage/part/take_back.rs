//! Going on with a folder of which some files were downloaded.

use super::error::PartError;
use super::paths::PartPaths;
use crate::client::storage::selection::Selection;
use crate::sys::files;
use rustix::fs::AtFlags;
use std::fs::File;
use std::io;
use std::path::Path;

/// Gives a folder of which some files were downloaded the name of an unfinished download again: more of it is to come.
/// What lies at the borders of those files goes: the next part has others.
///
/// # Errors
/// `Exists` if something has that name, `NoFolder`, `Io`.
pub fn take_back(destination: &Path, before: &Selection) -> Result<(), PartError> {
    let paths = PartPaths::of(destination)?;
    files::rename_noreplace(&paths.folder, &paths.name, &paths.part_name).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => PartError::Exists(paths.part_path()),
        _ => PartError::Io(paths.destination(), "rename", error),
    })?;
    let failed = |error| PartError::Io(paths.part_path(), "look at", error);
    let root = files::open_folder_in(&paths.folder, &paths.part_name).map_err(failed)?;
    // What cannot be removed takes up room and harms nothing.
    let _ = remove_borders(&root, before);
    files::sync_folder(&paths.folder).map_err(|error| PartError::Io(paths.part_path(), "write to the disk", error))
}

/// Removes what lies at the borders of some files of a folder.
fn remove_borders(root: &File, of: &Selection) -> io::Result<()> {
    let Some(folder) = of.border_folder() else { return Ok(()) };
    let within = files::open_folder_in(root, folder.as_ref())?;
    of.border_names().try_for_each(|name| files::remove_file_in(&within, name.as_ref()))?;
    Ok(rustix::fs::unlinkat(root, folder, AtFlags::REMOVEDIR)?)
}
