//! Something that already has the final name of a download, and may be the complete download.

use super::error::PartError;
use super::paths::PartPaths;
use super::removal::remove_own;
use super::replaced::Replaced;
use super::sidecar::{PartLabel, Sidecar};
use super::written::is_of_kind;
use crate::client::storage::file_stamp::Stamps;
use crate::client::storage::piece_source::SourceError;
use crate::client::storage::shared_files::SharedFiles;
use crate::model::manifest::Manifest;
use rustix::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The rest of the download, beside the complete file.
struct Traces {
    sidecar: Sidecar,
    manifest: Arc<Manifest>,
}

/// A file or folder of the right kind and size under the final name of a download. Its name and size prove nothing
/// about its content: the caller must verify every piece before it counts as complete.
pub struct Taken {
    destination: PathBuf,
    source: SharedFiles,
    traces: Option<Traces>,
    /// The old version that it has replaced, if the download is complete.
    replaces: Option<Replaced>,
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taken").field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl Taken {
    /// Looks at the file or folder with the final name.
    ///
    /// # Errors
    /// `OtherContent` if it cannot be the download, `Exists` if that is unknown, `Busy`, `Io`.
    pub(super) fn look(
        paths: PartPaths,
        manifest: &Arc<Manifest>,
        label: &PartLabel,
        replaces: Option<Replaced>,
    ) -> Result<Self, PartError> {
        let destination = paths.destination();
        let source = source_of(&paths, manifest)?;
        let sidecar = match paths.stat(&paths.sidecar_name)? {
            None => None,
            Some(_) => match Sidecar::lock(paths, false) {
                Ok(sidecar) => Some(sidecar).filter(|sidecar| sidecar.is_of(&label.info_hash)),
                Err(busy @ PartError::Busy(_)) => return Err(busy),
                // It is not the sidecar of this download.
                Err(_) => None,
            },
        };
        let traces = sidecar.map(|sidecar| Traces { sidecar, manifest: manifest.clone() });
        Ok(Self { destination, source, traces, replaces })
    }

    /// The final path.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Its bytes.
    pub fn source(&self) -> &SharedFiles {
        &self.source
    }

    /// Removes the traces of an earlier run of the download. The caller has found every piece right, and has recorded
    /// the end.
    ///
    /// # Errors
    /// `Io`.
    pub fn adopt(self) -> Result<(), PartError> {
        let Some(Traces { sidecar, manifest }) = self.traces else { return Ok(()) };
        if let Some(old) = &self.replaces {
            // An earlier run was killed after the exchange.
            old.remove(sidecar.paths(), &sidecar)?;
        }
        if let Some(own) = sidecar.note().and_then(|note| note.part) {
            remove_own(sidecar.paths(), &own, Some(&manifest))?;
        }
        sidecar.remove();
        Ok(())
    }
}

/// The file or folder with the final name, as a source of pieces.
///
/// # Errors
/// `OtherContent` if it cannot be the download, `Exists` if that is unknown, `Io`.
pub(super) fn source_of(paths: &PartPaths, manifest: &Manifest) -> Result<SharedFiles, PartError> {
    let destination = paths.destination();
    let kind = paths.stat(&paths.name)?.map(|stat| FileType::from_raw_mode(stat.st_mode));
    if !kind.is_some_and(|kind| is_of_kind(kind, manifest)) {
        return Err(PartError::OtherContent(destination));
    }
    match Stamps::take(&destination, manifest.files()) {
        Ok(stamps) => Ok(SharedFiles::new(destination, manifest.files(), manifest.layout(), stamps)),
        Err(SourceError::Io(..)) => Err(PartError::Exists(destination)),
        Err(_) => Err(PartError::OtherContent(destination)),
    }
}
