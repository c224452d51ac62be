//! The names of the files in the folder of manifests, and the useless files of earlier runs.

use crate::model::digest::InfoHash;
use crate::sys;
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The suffix of an unfinished file.
pub(super) const TEMP_SUFFIX: &str = ".tmp";
/// The suffix of an empty file that stands for a manifest whose share came without it. So the tracker can tell what
/// the disk has lost from what it never had.
pub(super) const AWAITED_SUFFIX: &str = ".awaited";
/// A file with the names of all manifests that were missing when the tracker adopted the base of another one.
pub(super) const ADOPTED: &str = "adopted.awaited";

/// Why the folder of manifests cannot be used.
#[derive(Debug)]
pub struct ManifestsError {
    pub path: PathBuf,
    /// What failed.
    pub doing: &'static str,
    pub error: io::Error,
}

impl ManifestsError {
    pub(super) fn of(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self { path, doing, error }
    }
}

impl fmt::Display for ManifestsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.path.display(), sys::reason(&self.error))
    }
}

impl std::error::Error for ManifestsError {}

/// The content of a folder of manifests, by names.
#[derive(Debug, Default)]
pub(super) struct FolderContents {
    /// The manifests whose files are there.
    pub(super) there: HashSet<InfoHash>,
    /// The manifests that no tracker has given yet: those with a mark.
    awaited: HashSet<InfoHash>,
    /// Uploads that did not become whole.
    pub(super) unfinished: Vec<PathBuf>,
}

impl FolderContents {
    pub(super) fn of(folder: &Path) -> Result<Self, ManifestsError> {
        let mut contents = Self::default();
        for entry in fs::read_dir(folder).map_err(ManifestsError::of(folder, "read the folder"))? {
            let entry = entry.map_err(ManifestsError::of(folder, "read the folder"))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(TEMP_SUFFIX) {
                contents.unfinished.push(entry.path());
            } else if let Some(of) = name.strip_suffix(AWAITED_SUFFIX) {
                contents.awaited.extend(info_hash_of(of));
            } else {
                contents.there.extend(info_hash_of(&name));
            }
        }
        contents.unfinished.sort_unstable();
        let adopted = folder.join(ADOPTED);
        match fs::read_to_string(&adopted) {
            Ok(names) => contents.awaited.extend(names.lines().filter_map(info_hash_of)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ManifestsError::of(&adopted, "read")(error)),
        }
        Ok(contents)
    }

    pub(super) fn has(&self, info_hash: InfoHash) -> bool {
        self.there.contains(&info_hash)
    }

    /// Whether no tracker has given this manifest yet.
    pub(super) fn awaits(&self, info_hash: InfoHash) -> bool {
        !self.has(info_hash) && self.awaited.contains(&info_hash)
    }
}

/// The manifest with a file of this name. All other files in the folder are not the tracker's.
pub(super) fn info_hash_of(name: &str) -> Option<InfoHash> {
    InfoHash::from_hex(name).filter(|_| !name.bytes().any(|byte| byte.is_ascii_uppercase()))
}
