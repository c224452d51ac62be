//! What has the final name of a download already, and may be the complete download.

use super::error::PartError;
use super::paths::PartPaths;
use super::sidecar::{PartLabel, Sidecar};
use crate::client::storage::file_stamp::Stamps;
use crate::client::storage::piece_source::SourceError;
use crate::client::storage::shared_files::SharedFiles;
use crate::model::manifest::Manifest;
use rustix::fs::FileType;
use std::path::{Path, PathBuf};

/// A file or folder of the right kind and size under the final name of a download. Its name and its size say nothing
/// of its content: whoever opens it verifies every piece before calling it complete.
pub struct Taken {
    destination: PathBuf,
    source: SharedFiles,
    /// That of this download, where an earlier run has left it.
    sidecar: Option<Sidecar>,
    /// Whether the unfinished download lies beside it.
    has_part: bool,
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taken").field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl Taken {
    /// Looks at what has the final name.
    ///
    /// # Errors
    /// `OtherContent` if it cannot be the download, `Exists` if that cannot be told, `Busy`, `Io`.
    pub(super) fn look(paths: PartPaths, manifest: &Manifest, label: &PartLabel) -> Result<Self, PartError> {
        let destination = paths.destination.clone();
        let expected = if manifest.is_folder() { FileType::Directory } else { FileType::RegularFile };
        let kind = paths.stat(&paths.name)?.map(|stat| FileType::from_raw_mode(stat.st_mode));
        if kind != Some(expected) {
            return Err(PartError::OtherContent(destination));
        }
        let stamps = Stamps::take(&destination, manifest.files()).map_err(|error| match error {
            SourceError::Io(..) => PartError::Exists(destination.clone()),
            _ => PartError::OtherContent(destination.clone()),
        })?;
        let source = SharedFiles::new(destination.clone(), manifest.files(), manifest.layout(), stamps);
        let has_part = paths.stat(&paths.part_name)?.is_some();
        let sidecar = match paths.stat(&paths.sidecar_name)? {
            None => None,
            Some(_) => match Sidecar::lock(paths) {
                Ok(sidecar) => Some(sidecar).filter(|it| it.label().is_some_and(|it| it.info_hash == label.info_hash)),
                Err(busy @ PartError::Busy(_)) => return Err(busy),
                // Not that of this download.
                Err(_) => None,
            },
        };
        Ok(Self { destination, source, sidecar, has_part })
    }

    /// Where it lies.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Its bytes.
    pub fn source(&self) -> &SharedFiles {
        &self.source
    }

    /// Removes what an earlier run has left of the download. Every piece was right, and the end is recorded.
    pub fn adopt(self) {
        if let Some(sidecar) = self.sidecar.filter(|_| !self.has_part) {
            sidecar.remove();
        }
    }
}
