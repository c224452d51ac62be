//! `update_file`: a new version of what is here, or of what is being downloaded.

use super::{DownloadOrder, Update, go_on, is_starting, let_go};
use crate::client::app::download_list::{DownloadPhase, Tracked};
use crate::client::app::login_session::LoginSession;
use crate::client::app::resume;
use crate::client::command::failure::Failure;
use crate::client::output::report::Report;
use crate::client::rpc::queries::{Found, find};
use crate::client::state::record::ShareRecord;
use crate::client::storage::part::{OpenedPart, Part, PartError, PartLabel, PartRecord, Replaced, resolve_destination};
use crate::model::name::{FileName, GroupId};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Begins to take the new version of a file, and returns; the rest happens beside the prompt. Without a destination it takes
/// the place of the old one.
pub(in crate::client::app) fn update(
    session: &Arc<LoginSession>,
    group: &GroupId,
    name: &FileName,
    typed: Option<&Path>,
) -> Result<Report, Failure> {
    let Found { content, .. } = find(&session.node().link, group, name)?;
    let under_way = session.downloads().find(group, name).filter(|tracked| !tracked.phase.has_ended());
    if let Some(tracked) = under_way {
        if !tracked.patterns.is_empty() {
            return Err(format!("Only some files of {name} are being downloaded; cancel_download that first").into());
        }
        return match tracked.info_hash {
            Some(old) if old != content.info_hash => go_over(session, &tracked, typed),
            _ => same_under_way(session, tracked, typed),
        };
    }
    let own = session.slot().share(group, name);
    let own = own.ok_or_else(|| format!("You have no {name} from {group} yet; download_file gets it"))?;
    if own.content.info_hash == content.info_hash {
        return Ok(Report::Done("You have the latest version"));
    }
    let to = match typed {
        Some(typed) => resolve_destination(typed, name).map_err(|error| error.to_string())?,
        None => place_of(session, &own)?,
    };
    let id = session.downloads().begin((group, name), to.clone(), Vec::new()).map_err(|error| error.to_string())?;
    let update = Update { replaces: true, unfinished: None };
    let order = DownloadOrder { id, group, name, to, record: PartRecord::Absent, update };
    go_on(session, order).inspect_err(|_| session.downloads().remove(id))
}

/// Where the old version lies, if it is as it was: what the user has changed is not replaced.
fn place_of(session: &LoginSession, own: &ShareRecord) -> Result<PathBuf, Failure> {
    let manifest = session.slot().manifest(&own.content.info_hash).ok().flatten();
    let replaced = manifest.map(|manifest| Replaced { manifest: Arc::new(manifest), stamps: own.stamps });
    match replaced {
        Some(replaced) if replaced.is_at(&own.path) => Ok(own.path.clone()),
        _ => Err(PartError::Edited(own.path.clone()).to_string().into()),
    }
}

/// The version that is asked for is being downloaded already.
fn same_under_way(session: &Arc<LoginSession>, tracked: Tracked, typed: Option<&Path>) -> Result<Report, Failure> {
    let Tracked { group, name, destination, phase, .. } = tracked;
    let to = typed.map(|typed| resolve_destination(typed, &name)).transpose().map_err(|error| error.to_string())?;
    if to.is_some_and(|to| to != destination) {
        return Err(format!("{name} is being downloaded already, to {}", destination.display()).into());
    }
    match phase {
        DownloadPhase::Paused { .. } => resume::resume(session, &group, &name),
        _ => Ok(Report::Downloading { group, file: name, destination }),
    }
}

/// The download of an old version becomes one of the new version. What came in of the old one is taken as far as it is
/// equal.
fn go_over(session: &Arc<LoginSession>, tracked: &Tracked, typed: Option<&Path>) -> Result<Report, Failure> {
    let Tracked { group, name, destination, .. } = tracked;
    let to = match typed {
        Some(typed) => resolve_destination(typed, name).map_err(|error| error.to_string())?,
        None => destination.clone(),
    };
    let unfinished = give_up(session, tracked)?;
    let id = session.downloads().begin((group, name), to.clone(), Vec::new()).map_err(|error| error.to_string())?;
    let update = Update { replaces: true, unfinished };
    let order = DownloadOrder { id, group, name, to, record: PartRecord::Absent, update };
    go_on(session, order).inspect_err(|_| session.downloads().remove(id))
}

/// Gives the download of an old version up. Gives what came in of it, which has no name any more. Its record stays until
/// that of the new version takes its place.
fn give_up(session: &LoginSession, tracked: &Tracked) -> Result<Option<Arc<Part>>, Failure> {
    let part = match &tracked.phase {
        DownloadPhase::Running(transfer) => {
            session.engine().remove(transfer);
            if transfer.is_finished() {
                return Err("The download of the old version has just ended; try again".into());
            }
            let_go(session, transfer);
            Some(transfer.part().clone())
        }
        // Nobody else goes on with it from here on.
        _ if session.downloads().restart(tracked.id).is_some() => open_left(session, tracked),
        _ => return Err(is_starting()),
    };
    session.downloads().remove(tracked.id);
    if let Some(part) = &part {
        part.abandon().map_err(|error| error.to_string())?;
    }
    Ok(part)
}

/// What an earlier run has left of a download, if that can be told.
fn open_left(session: &LoginSession, tracked: &Tracked) -> Option<Arc<Part>> {
    let Tracked { group, name, destination, info_hash, .. } = tracked;
    let info_hash = (*info_hash)?;
    let manifest = Arc::new(session.slot().manifest(&info_hash).ok().flatten()?);
    let label = PartLabel { group: group.clone(), name: name.clone(), info_hash };
    match Part::open(destination, manifest, &label, PartRecord::Awaited) {
        Ok(OpenedPart::Part(part)) => Some(Arc::new(part)),
        _ => None,
    }
}
