//! `update_file` fetches a new version of a file that is here or is being downloaded.

use super::newer::{Left, go_on_from, open_left};
use super::{DownloadOrder, Update, go_on, is_starting, let_go};
use crate::client::app::download_list::{DownloadPhase, Tracked};
use crate::client::app::login_session::LoginSession;
use crate::client::app::resume;
use crate::client::command::failure::Failure;
use crate::client::output::report::Report;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::{Found, find};
use crate::client::state::record::{DownloadRecord, ShareRecord};
use crate::client::storage::part::{PartError, PartRecord, Replaced, resolve_destination};
use crate::model::name::shared_path::SharedPath;
use crate::model::name::{FileName, GroupId};
use crate::wire::refusal::Code;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Begins to fetch the new version of a file, and returns; a helper thread does the rest beside the prompt. Without a
/// destination the new version replaces the old one.
pub(in crate::client::app) fn update(
    session: &Arc<LoginSession>,
    group: &GroupId,
    name: &FileName,
    typed: Option<&Path>,
) -> Result<Report, Failure> {
    let found = find(&session.node().link, group, name).map_err(|error| match &error {
        RpcError::Refused(refusal) if refusal.code == Code::NoSuchFile => {
            is_of_folder(session, group, name).unwrap_or_else(|| error.into())
        }
        _ => error.into(),
    });
    let Found { content, .. } = found?;
    // A failed download that keeps its received pieces has a record.
    let is_under_way = |tracked: &Tracked| match tracked.phase {
        DownloadPhase::Complete => false,
        DownloadPhase::Failed(_) => session.slot().download(group, name).is_some(),
        _ => true,
    };
    let under_way = session.downloads().find(group, name).filter(is_under_way);
    if let Some(tracked) = under_way {
        if !tracked.patterns.is_empty() {
            let how = format!("cancel_download {group} {name}, and download_file brings them in the new version");
            return Err(format!("Only some files of {name} are being downloaded: {how}").into());
        }
        return match tracked.info_hash {
            Some(old) if old != content.info_hash => go_over(session, &tracked, typed),
            _ => same_under_way(session, tracked, typed),
        };
    }
    let own = session.slot().share(group, name);
    let own = own.ok_or_else(|| none_yet(session, group, name))?;
    if own.content.info_hash == content.info_hash {
        return Ok(Report::Done("You have the latest version"));
    }
    let to = match typed {
        Some(typed) => resolve_destination(typed, name).map_err(|error| error.to_string())?,
        None => place_of(session, &own)?,
    };
    let id = session.downloads().begin((group, name), to.clone(), Vec::new()).map_err(|error| error.to_string())?;
    let update = Update { replaces: true, ..Update::default() };
    let order = DownloadOrder { id, group, name, to, record: PartRecord::Absent, update };
    go_on(session, order).inspect_err(|_| session.downloads().remove(id))
}

/// The refusal for a name of which nothing is here to update.
fn none_yet(session: &LoginSession, group: &GroupId, name: &FileName) -> Failure {
    if session.slot().download(group, name).is_some_and(|record| record.is_held()) {
        return part_elsewhere(group, name, &format!("{name}/<path>"));
    }
    format!("You have no {name} from {group} yet; download_file gets it").into()
}

/// The refusal that says what to type instead, if the path names a file in a folder that is here, in whole or in part.
fn is_of_folder(session: &LoginSession, group: &GroupId, path: &FileName) -> Option<Failure> {
    let typed = SharedPath::new(path.as_str()).ok()?;
    typed.readings().find_map(|(folder, _)| {
        if session.slot().share(group, &folder).is_some() {
            let how = format!("update_file {group} {folder} brings the new version of all of it");
            return Some(format!("{path} is a part of {folder}: {how}").into());
        }
        let held = session.slot().download(group, &folder).filter(DownloadRecord::is_held);
        held.map(|_| part_elsewhere(group, &folder, path.as_str()))
    })
}

/// The refusal to update a part: all files of a folder must be of one version.
fn part_elsewhere(group: &GroupId, folder: &FileName, path: &str) -> Failure {
    let how =
        format!("download_file {group} {path} <destination_path> brings the new version of a part to another place");
    format!("You have only some files of {folder}: {how}").into()
}

/// The place of the old version, if that is unchanged. The client does not replace the user's changes.
fn place_of(session: &LoginSession, own: &ShareRecord) -> Result<PathBuf, Failure> {
    let manifest = session.slot().manifest(&own.content.info_hash).ok().flatten();
    let replaced = manifest.map(|manifest| Replaced { manifest: Arc::new(manifest), stamps: own.stamps });
    match replaced {
        Some(replaced) if replaced.is_at(&own.path) => Ok(own.path.clone()),
        _ => Err(PartError::Edited(own.path.clone()).to_string().into()),
    }
}

/// Answers an update whose version is already being downloaded.
fn same_under_way(session: &Arc<LoginSession>, tracked: Tracked, typed: Option<&Path>) -> Result<Report, Failure> {
    let to = typed.map(|typed| resolve_destination(typed, &tracked.name)).transpose();
    let is_elsewhere = to.map_err(|error| error.to_string())?.is_some_and(|to| to != tracked.destination);
    let is_held = matches!(tracked.phase, DownloadPhase::Paused { .. } | DownloadPhase::Failed(_));
    if is_elsewhere && is_held {
        return go_over(session, &tracked, typed);
    }
    let Tracked { group, name, destination, .. } = tracked;
    match is_held {
        _ if is_elsewhere => Err(format!("{name} is being downloaded already, to {}", destination.display()).into()),
        true => resume::resume(session, &group, &name),
        false => Ok(Report::Downloading { group, file: name, destination }),
    }
}

/// Turns the download of an old version into one of the new version. The equal pieces of the old one stay.
fn go_over(session: &Arc<LoginSession>, tracked: &Tracked, typed: Option<&Path>) -> Result<Report, Failure> {
    let Tracked { id, group, name, destination, .. } = tracked;
    let to = match typed {
        Some(typed) => resolve_destination(typed, name).map_err(|error| error.to_string())?,
        None => destination.clone(),
    };
    let record = session.slot().download(group, name).ok_or_else(is_starting)?;
    let before = held_back(session, tracked)?;
    let left = match &tracked.phase {
        DownloadPhase::Running(transfer) => Ok(Left::Part(transfer.part().clone())),
        _ => open_left(session, &record, if to == *destination { PartRecord::Awaited } else { PartRecord::Moving }),
    };
    let went_on = go_on_from(session, (*id, group, name), to, (&record, PartRecord::Begun, left));
    went_on.inspect_err(|_| session.downloads().put_back(*id, before))
}

/// Holds a download, so that no other thread resumes it. Returns the phase to put back if the change to the new version
/// fails.
fn held_back(session: &LoginSession, tracked: &Tracked) -> Result<DownloadPhase, Failure> {
    let downloads = session.downloads();
    if let DownloadPhase::Running(transfer) = &tracked.phase {
        session.engine().remove(transfer);
        let done = transfer.progress(Instant::now()).done;
        let paused = DownloadPhase::Paused { done: Some(done) };
        if transfer.is_finished() || !downloads.advance(tracked.id, paused) {
            return Err("The download of the old version has just ended; try again".into());
        }
        let_go(session, transfer);
    }
    downloads.restart(tracked.id).ok_or_else(is_starting)
}
