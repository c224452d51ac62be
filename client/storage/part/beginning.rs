//! Decides whether a download resumes the part in its place, and opens its body.

use super::body::{Body, Reserve, RoomMaker};
use super::error::{Foreign, PartError};
use super::paths::PartPaths;
use super::replaced::PartRecord;
use super::sidecar::{Note, PartLabel, Sidecar};
use super::written::{is_of_download, is_of_kind};
use crate::client::hash::zeros::ZeroPieces;
use crate::model::manifest::Manifest;
use crate::sys::file_id::FileId;
use rustix::fs::FileType;
use std::sync::Arc;

/// Whether a download resumes the part in its place. Returns false if it begins. A part is left alone if neither its
/// sidecar nor a piece shows that it is of this download.
fn is_resumable(
    sidecar: &Sidecar,
    manifest: &Manifest,
    label: &PartLabel,
    record: PartRecord,
) -> Result<bool, PartError> {
    let paths = sidecar.paths();
    // A sidecar without a part says nothing about the data of others.
    let Some(part) = paths.stat(&paths.part_name)? else { return Ok(false) };
    let kind = FileType::from_raw_mode(part.st_mode);
    let foreign = |why| Err(PartError::Foreign(paths.part_path(), why));
    let own = match sidecar.note() {
        _ if kind == FileType::Symlink => return foreign(Foreign::Link),
        _ if paths.is_of_another_user(part.st_uid) => return foreign(Foreign::Owner),
        None if record == PartRecord::Absent => return foreign(Foreign::Unknown),
        None => None,
        Some(Note { label: other, .. }) if other.info_hash != label.info_hash => {
            let (group, name) = (other.group.clone(), other.name.clone());
            return Err(PartError::OtherDownload { part: paths.part_path(), group, name });
        }
        Some(Note { part, .. }) => *part,
    };
    if !is_of_kind(kind, manifest) {
        return foreign(Foreign::Kind);
    }
    if own.is_some() && own == paths.id(&paths.part_name)? || is_of_download(paths, manifest)? {
        return Ok(true);
    }
    foreign(Foreign::Unknown)
}

/// The body of a download, and whether it is fresh.
pub(super) fn begin(
    sidecar: &mut Sidecar,
    manifest: &Arc<Manifest>,
    label: &PartLabel,
    record: PartRecord,
    (zeros, maker): (&ZeroPieces, RoomMaker),
) -> Result<(Body, bool), PartError> {
    let fresh = !is_resumable(sidecar, manifest, label, record)?;
    if fresh || !sidecar.is_of(&label.info_hash) {
        sidecar.write(label)?;
    }
    let look = |error| PartError::Io(sidecar.paths().part_path(), "make", error);
    let later = (maker.is_slow)(&sidecar.paths().folder).map_err(look)?;
    let reserve = Reserve { fresh, zeros, allocate: maker.allocate, later };
    let body = Body::open(sidecar.paths(), manifest, &reserve);
    if fresh && body.is_err() {
        sidecar.remove_on_drop();
    }
    let body = body?;
    // Without an entry in the sidecar, its pieces identify the part.
    let _ = id_of(&body, sidecar.paths()).and_then(|part| sidecar.write_part(label, part));
    Ok((body, fresh))
}

pub(super) fn id_of(body: &Body, paths: &PartPaths) -> Result<FileId, PartError> {
    body.id().map_err(|error| PartError::Io(paths.part_path(), "look at", error))
}
