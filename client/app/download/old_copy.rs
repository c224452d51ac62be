//! Old versions of a download on this machine: the user's share under its name, some files of a folder, or an
//! unfinished download.

use crate::client::app::login_session::LoginSession;
use crate::client::app::parts;
use crate::client::difference::gathering::Difference;
use crate::client::difference::old_version::OldVersion;
use crate::client::download::transfer::Subject;
use crate::client::download::verify::{Verified, fill_from_old};
use crate::client::storage::part::{Part, PartError, PartLabel, Replaced};
use crate::client::storage::piece_source::PieceSource;
use crate::client::storage::shared_files::SharedFiles;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// With fewer missing bytes than this the client asks for no difference: the description costs another round trip.
const SMALL: u64 = 16 * 1024;

/// The old versions on this machine.
#[derive(Default)]
pub(super) struct OldCopies {
    /// The most useful one first.
    pub versions: Vec<OldVersion>,
    /// The place of the complete old version, and the stamps of its files when they were right.
    place: Option<(PathBuf, Replaced)>,
}

impl OldCopies {
    /// The old version that a download to this path replaces.
    pub(super) fn replaced_at(&self, path: &Path) -> Option<Replaced> {
        self.place.as_ref().filter(|(at, _)| at == path).map(|(_, replaced)| replaced.clone())
    }
}

/// Finds the old versions of this label: the user's share, files of a folder, and the unfinished part. Nothing checks
/// them here. A changed file shows when its pieces are taken.
pub(super) fn find(session: &LoginSession, label: &PartLabel, unfinished: Option<&Arc<Part>>) -> OldCopies {
    let mut copies = shared(session, label).unwrap_or_default();
    copies.versions.extend(held(session, label));
    copies.versions.extend(unfinished.map(|part| OldVersion::new(part.clone(), part.manifest().clone())));
    copies
}

fn shared(session: &LoginSession, label: &PartLabel) -> Option<OldCopies> {
    let own = session.slot().share(&label.group, &label.name)?;
    if own.content.info_hash == label.info_hash {
        return None;
    }
    let manifest = Arc::new(session.slot().manifest(&own.content.info_hash).ok().flatten()?);
    let source = SharedFiles::as_they_are(own.path.clone(), manifest.files());
    let place = Some((own.path, Replaced { manifest: manifest.clone(), stamps: own.stamps }));
    let versions = source.map(|source| OldVersion::edited(source, manifest)).into_iter().collect();
    Some(OldCopies { versions, place })
}

/// The held files of a folder, if they are of an old version.
fn held(session: &LoginSession, label: &PartLabel) -> Option<OldVersion> {
    let record = session.slot().download(&label.group, &label.name)?;
    if !record.is_held() || record.content.info_hash == label.info_hash {
        return None;
    }
    let whole = session.slot().manifest(&record.content.info_hash).ok().flatten()?;
    let selection = parts::selection(&record.name, &whole, &record.part?.patterns).ok()??;
    let source = SharedFiles::as_they_are(record.destination, selection.manifest().files())?;
    Some(OldVersion::edited(source, selection.manifest().clone()))
}

/// Whether the new version inherits the part of the old one: a folder whose files stay in place does.
pub(super) fn is_inherited(unfinished: &Part, to: &Path, of: &Subject) -> bool {
    of.manifest.is_folder() && unfinished.manifest().is_folder() && unfinished.destination() == to
}

/// Hands the old part to the new version if the new version inherits it. Otherwise gives the old part up, so its name
/// becomes free.
pub(super) fn make_way(unfinished: &Part, to: &Path, of: &Subject, label: &PartLabel) -> Result<(), PartError> {
    if is_inherited(unfinished, to, of) {
        return unfinished.hand_over(&of.manifest, label);
    }
    Part::check_room(to, &of.manifest)?;
    unfinished.abandon().map(drop)
}

/// Takes over whole pieces that are equal. Returns the difference that is left to find, which is empty if little is
/// missing. Returns `None` without old versions.
pub(super) fn take_equal(
    session: &LoginSession,
    part: &Part,
    versions: Vec<OldVersion>,
    verified: &mut Verified,
) -> Option<Difference> {
    let taken = versions.iter().map(|old| fill_from_old(part, old, verified, session.over())).sum();
    let first = versions.into_iter().next()?;
    let layout = part.layout();
    let missing: Vec<_> = layout.indexes().filter(|piece| !verified.have.has(*piece)).collect();
    let missing_len: u64 = missing.iter().map(|piece| u64::from(layout.len(*piece))).sum();
    let little = missing_len < SMALL;
    Some(Difference::new(first, layout, if little { Vec::new() } else { missing }, taken))
}
