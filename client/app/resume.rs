//! Resumes downloads: after a pause, and those of earlier logins after a login. The latter wait until the client
//! reaches a tracker that knows them.

use super::announce::{find_made, is_unheard};
use super::download::{DownloadOrder, Update, fail, go_on, newer, tracked};
use super::download_list::{DownloadPhase, Tracked};
use super::login_session::LoginSession;
use super::parts;
use crate::client::command::failure::{Cause, Failure};
use crate::client::download::error::DownloadError;
use crate::client::output::event::Event;
use crate::client::output::report::Report;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::{find_again, is_superseded};
use crate::client::state::record::DownloadRecord;
use crate::client::storage::part::PartRecord;
use crate::model::id::ShareRef;
use crate::model::name::{FileName, GroupId};
use std::sync::Arc;
use std::time::Instant;

/// Resumes a download that is paused, waits or has failed.
pub(super) fn resume(session: &Arc<LoginSession>, group: &GroupId, name: &FileName) -> Result<Report, Failure> {
    let Tracked { id, phase, destination, .. } = tracked(session, group, name)?;
    if matches!(phase, DownloadPhase::Complete) {
        return Err("The download is complete".into());
    }
    let before = session.downloads().restart(id).ok_or("The download runs already")?;
    let went_on = match session.slot().download(group, name) {
        Some(record) => take_up(session, id, &record, PartRecord::Begun),
        None => {
            let update = replacing();
            go_on(session, DownloadOrder { id, group, name, to: destination, record: PartRecord::Begun, update })
        }
    };
    went_on.inspect_err(|_| session.downloads().put_back(id, before))
}

/// Only an update has the place of the old version as its destination.
fn replacing() -> Update {
    Update { replaces: true, ..Update::default() }
}

/// Lets a starting download go on from its record, under the current group and name of its share. If that fails, the
/// download stays in the phase `Starting`.
fn take_up(
    session: &Arc<LoginSession>,
    id: u64,
    remembered: &DownloadRecord,
    record: PartRecord,
) -> Result<Report, Failure> {
    let DownloadRecord { group, name, destination, share, .. } = remembered;
    let order = DownloadOrder { id, group, name, to: destination.clone(), record, update: replacing() };
    let went_on = go_on(session, order);
    let may_be_moved = went_on.as_ref().is_err_and(|failure| match failure.cause {
        Cause::Refused(code) => code.is_gone(),
        Cause::OtherVersion => true,
        Cause::NoTracker | Cause::Other => false,
    });
    if !may_be_moved {
        return went_on;
    }
    let node = session.node();
    let Some((to_group, to_name)) = find_again(&node.link, &node.keyring.names(), *share, name)? else {
        let is_newer = went_on.as_ref().is_err_and(|failure| matches!(failure.cause, Cause::OtherVersion));
        return match is_newer && is_superseded(&node.link, *share)? {
            true => newer::go_on_newer(session, id, (remembered, record)),
            false => went_on,
        };
    };
    session.downloads().rename(id, &to_group, &to_name);
    let order =
        DownloadOrder { id, group: &to_group, name: &to_name, to: destination.clone(), record, update: replacing() };
    let went_on = go_on(session, order);
    let went_on = went_on.inspect_err(|_| session.downloads().rename(id, group, name))?;
    // By now the client has a record under the new name.
    session.remembered(session.slot().remove_download(group, name), ToString::to_string);
    Ok(went_on)
}

/// Takes in the downloads of earlier logins. They wait for `resume_waiting`, and so does the command `wait`.
pub(super) fn take_in(session: &LoginSession) {
    let downloads = session.downloads();
    let (held, unfinished): (Vec<_>, _) = session.slot().downloads().into_iter().partition(DownloadRecord::is_held);
    held.into_iter().for_each(|record| parts::take_in(session, record));
    for DownloadRecord { group, name, destination, content, paused, part, .. } in unfinished {
        let patterns = part.map(|part| part.patterns).unwrap_or_default();
        // A download that the user has begun meanwhile already runs.
        if let Ok(id) = downloads.begin((&group, &name), destination.clone(), patterns) {
            downloads.settle(id, destination, (&content, content.layout.size()));
            let phase =
                if paused { DownloadPhase::Paused { done: None } } else { DownloadPhase::Waiting { since: None } };
            downloads.put_back(id, phase);
        }
    }
}

/// Resumes the downloads that wait for a tracker that knows them. Tells of those that cannot go on.
pub(super) fn resume_waiting(session: &Arc<LoginSession>) {
    let downloads = session.downloads();
    for record in session.slot().downloads() {
        let waiting = downloads.find(&record.group, &record.name).filter(|tracked| tracked.phase.is_waiting());
        let Some(id) = waiting.map(|tracked| tracked.id) else { continue };
        let Some(before) = downloads.restart(id) else { continue };
        let went_on = take_up(session, id, &record, PartRecord::Awaited);
        let Some(Tracked { group, name, .. }) = downloads.get(id) else { continue };
        match went_on {
            Ok(_) => {
                session.event(&Event::DownloadContinued { group, file: name });
            }
            Err(_) if session.is_over() => return,
            Err(Failure { why, cause }) if can_wait(session, record.share, &group, &name, cause) => {
                session.announce_again();
                if matches!(before, DownloadPhase::Waiting { since: Some(_) }) {
                    downloads.put_back(id, before);
                } else {
                    downloads.put_back(id, DownloadPhase::Waiting { since: Some(Instant::now()) });
                    session.event(&Event::DownloadWaits { group, file: name, why });
                }
            }
            Err(Failure { why, .. }) => {
                // If the file comes back, the user can resume the download then.
                downloads.put_back(id, DownloadPhase::Paused { done: None });
                session.event(&Event::DownloadLost { group, file: name, why });
            }
        }
    }
}

/// Gives up each download that has waited for a tracker longer than its patience. A patience of zero gives up at once.
pub(super) fn give_up(session: &LoginSession, now: Instant) {
    let Some(patience) = session.node().engine_options.patience else { return };
    for tracked in session.downloads().list() {
        let late = |since: Instant| now.duration_since(since) >= patience;
        if matches!(tracked.phase, DownloadPhase::Waiting { since: Some(since) } if late(since)) {
            fail(session, tracked.id, &DownloadError::NoTracker);
        }
    }
}

/// Whether the obstacle to a download passes by itself.
fn can_wait(session: &LoginSession, share: ShareRef, group: &GroupId, name: &FileName, cause: Cause) -> bool {
    match cause {
        Cause::NoTracker => true,
        Cause::Refused(code) if code.is_gone() => {
            let made = find_made(session, share, group, name);
            !matches!(made, Err(RpcError::Refused(_)))
        }
        // The other version may be an older one, if the tracker has not heard of this one yet.
        Cause::OtherVersion => is_unheard(session, share),
        Cause::Refused(_) | Cause::Other => false,
    }
}
