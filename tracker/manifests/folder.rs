//! The names of files in the folder of manifests, and what an earlier run has left there that is of no use.

use crate::model::digest::InfoHash;
use crate::sys;
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The suffix of a file that is not whole yet.
pub(super) const TEMP_SUFFIX: &str = ".tmp";
/// The suffix of an empty file that stands for a manifest whose share came without it. It tells apart what the disk has
/// lost and what it never had.
pub(super) const AWAITED_SUFFIX: &str = ".awaited";

/// Why the folder of manifests cannot be used.
#[derive(Debug)]
pub struct ManifestsError {
    pub path: PathBuf,
    /// What was tried.
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

/// What is in a folder of manifests, by names.
#[derive(Debug)]
pub(super) struct FolderContents {
    /// The names of the files that stay.
    there: HashSet<String>,
    /// Uploads that did not become whole, and what belongs to no share that ever was.
    pub(super) superfluous: Vec<PathBuf>,
}

impl FolderContents {
    /// Reads the names. Those that are `known` are of shares that were.
    pub(super) fn of(folder: &Path, known: &HashSet<InfoHash>) -> Result<Self, ManifestsError> {
        let known: HashSet<String> = known.iter().map(InfoHash::to_string).collect();
        let mut contents = Self { there: HashSet::new(), superfluous: Vec::new() };
        for entry in fs::read_dir(folder).map_err(ManifestsError::of(folder, "read the folder"))? {
            let entry = entry.map_err(ManifestsError::of(folder, "read the folder"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let of = name.strip_suffix(AWAITED_SUFFIX).unwrap_or(&name);
            if name.ends_with(TEMP_SUFFIX) || (is_info_hash(of) && !known.contains(of)) {
                contents.superfluous.push(entry.path());
            } else {
                contents.there.insert(name);
            }
        }
        contents.superfluous.sort_unstable();
        Ok(contents)
    }

    pub(super) fn has(&self, info_hash: InfoHash) -> bool {
        self.there.contains(&info_hash.to_string())
    }

    /// Whether no tracker has given this manifest yet.
    pub(super) fn awaits(&self, info_hash: InfoHash) -> bool {
        !self.has(info_hash) && self.there.contains(&format!("{info_hash}{AWAITED_SUFFIX}"))
    }
}

/// Whether a file is called like a manifest; anything else in the folder is somebody else's.
fn is_info_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
