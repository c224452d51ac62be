//! Turns a download of an old version into one of the new version. The equal pieces of the old one stay.

use super::{DownloadOrder, Update, adopt, go_on, old_copy};
use crate::client::app::login_session::LoginSession;
use crate::client::command::failure::Failure;
use crate::client::download::transfer::Subject;
use crate::client::output::report::Report;
use crate::client::state::record::DownloadRecord;
use crate::client::storage::part::{OpenedPart, Part, PartError, PartLabel, PartPlan, PartRecord, Taken};
use crate::model::name::{FileName, GroupId};
use std::path::PathBuf;
use std::sync::Arc;

/// Lets a starting download go on whose record names an old version of the share.
///
/// # Errors
/// The download cannot go on now. The received pieces stay, unless the new version has already taken them over.
pub(in crate::client::app) fn go_on_newer(
    session: &Arc<LoginSession>,
    id: u64,
    (record, known): (&DownloadRecord, PartRecord),
) -> Result<Report, Failure> {
    let DownloadRecord { group, name, destination, .. } = record;
    let left = open_left(session, record, PartRecord::Awaited);
    go_on_from(session, (id, group, name), destination.clone(), (record, known, left))
}

/// The rest of an old version's download.
pub(super) enum Left {
    /// An unfinished part.
    Part(Arc<Part>),
    /// Something has its final name, and may be the complete file.
    Taken(Box<(Subject, Taken)>),
}

/// Goes on with the rest of an old download, as a download of the new version with the destination `to`.
pub(super) fn go_on_from(
    session: &Arc<LoginSession>,
    (id, group, name): (u64, &GroupId, &FileName),
    to: PathBuf,
    (old, known, left): (&DownloadRecord, PartRecord, Result<Left, PartError>),
) -> Result<Report, Failure> {
    let unfinished = match left {
        Ok(Left::Part(part)) => Some(part),
        Ok(Left::Taken(found)) => {
            let (subject, taken) = *found;
            session.downloads().settle(id, old.destination.clone(), (&old.content, old.content.layout.size()));
            session.help(format!("look-{id}"), move |session| adopt(session, id, &subject, taken));
            return Ok(Report::Downloading { group: group.clone(), file: name.clone(), destination: to });
        }
        // If the error concerns the new version too, that download finds the error itself.
        Err(_) => None,
    };
    // The old part gives its name up for the new version.
    let record = if unfinished.is_some() { PartRecord::Begun } else { known };
    let update = Update { replaces: true, is_newer: true, unfinished: unfinished.clone() };
    let went_on = go_on(session, DownloadOrder { id, group, name, to, record, update });
    went_on.inspect_err(|_| unfinished.iter().for_each(|part| part.release()))
}

/// Opens the rest of an old version's download.
pub(super) fn open_left(session: &LoginSession, of: &DownloadRecord, record: PartRecord) -> Result<Left, PartError> {
    let DownloadRecord { group, name, destination, content, share, .. } = of;
    let missing = || PartError::Missing(destination.clone());
    let manifest = session.slot().manifest(&content.info_hash).ok().flatten();
    let manifest = Arc::new(manifest.ok_or_else(missing)?);
    let label = PartLabel { group: group.clone(), name: name.clone(), info_hash: content.info_hash };
    let replaces = old_copy::find(session, &label, None).replaced_at(destination);
    let plan = PartPlan { record, replaces, held: None };
    match Part::open(destination, manifest.clone(), &label, plan)? {
        OpenedPart::Part(part) => Ok(Left::Part(Arc::new(part))),
        OpenedPart::Taken(taken) => {
            let group = session.node().keyring.group_named(group).ok_or_else(missing)?;
            let (name, content, share) = (name.clone(), *content, *share);
            let subject = Subject { group, share, name, content, manifest, selection: None };
            Ok(Left::Taken(Box::new((subject, taken))))
        }
    }
}
