//! `pause_download` and `cancel_download`.

use super::{follow, forget_record, is_starting, let_go, tracked};
use crate::client::app::download_list::DownloadPhase;
use crate::client::app::login_session::LoginSession;
use crate::client::app::parts;
use crate::client::command::failure::Failure;
use crate::client::output::event::Event;
use crate::client::storage::part::Part;
use crate::model::name::{FileName, GroupId};
use std::time::Instant;

/// Pauses a download until `resume_download`.
pub(in crate::client::app) fn pause(session: &LoginSession, group: &GroupId, name: &FileName) -> Result<(), Failure> {
    let tracked = tracked(session, group, name)?;
    let downloads = session.downloads();
    let ended = || Failure::from("The download has just ended");
    match &tracked.phase {
        DownloadPhase::Running(transfer) => {
            session.engine().remove(transfer);
            if transfer.is_finished() {
                return Err(ended());
            }
            let done = transfer.progress(Instant::now()).done;
            follow(session, transfer);
            if !downloads.advance(tracked.id, DownloadPhase::Paused { done: Some(done) }) {
                return Err(ended());
            }
            let_go(session, transfer);
            transfer.part().release();
        }
        DownloadPhase::Waiting { .. } if downloads.restart(tracked.id).is_some() => {
            downloads.put_back(tracked.id, DownloadPhase::Paused { done: None });
        }
        DownloadPhase::Starting | DownloadPhase::Waiting { .. } => return Err(is_starting()),
        DownloadPhase::Paused { .. } => return Err("The download is paused already".into()),
        DownloadPhase::Complete | DownloadPhase::Failed(_) => return Err("The download has ended".into()),
    }
    session.slot().set_paused(group, name, true).map(drop).map_err(|error| error.to_string().into())
}

/// Gives a download up and removes what came in so far.
pub(in crate::client::app) fn cancel(session: &LoginSession, group: &GroupId, name: &FileName) -> Result<(), Failure> {
    let complete = "The download is complete; remove the file yourself if you do not want it";
    let tracked = tracked(session, group, name)?;
    match &tracked.phase {
        DownloadPhase::Complete => return Err(complete.into()),
        DownloadPhase::Running(transfer) => {
            session.engine().remove(transfer);
            if transfer.is_finished() {
                return Err(complete.into());
            }
        }
        // From here on no other thread resumes it.
        _ if session.downloads().restart(tracked.id).is_some() => {}
        _ => return Err(is_starting()),
    }
    // Without the manifest the client cannot tell its own files of a folder from those of others.
    let manifest = tracked.info_hash.and_then(|info_hash| session.slot().manifest(&info_hash).ok().flatten());
    let record = session.slot().download(group, name);
    let before = record.zip(manifest.as_ref()).and_then(|(record, manifest)| {
        let files = parts::before(&record, manifest)?;
        Some((record, files))
    });
    if before.is_none() {
        forget_record(session, &tracked);
    }
    session.downloads().remove(tracked.id);
    if let DownloadPhase::Running(transfer) = &tracked.phase {
        let_go(session, transfer);
    }
    let left = match (&tracked.phase, tracked.info_hash) {
        (DownloadPhase::Running(transfer), _) => transfer.part().abandon(),
        (_, Some(info_hash)) => {
            let part = manifest.as_ref().and_then(|whole| parts::selection(name, whole, &tracked.patterns).ok()?);
            let of_disk = part.as_ref().map_or(info_hash, |part| part.info_hash(info_hash));
            let meant = part.as_ref().map(|part| &**part.manifest()).or(manifest.as_ref());
            match meant.zip(before.as_ref()) {
                Some((meant, (_, held))) => Part::give_back(&tracked.destination, &of_disk, meant, held).map(|()| None),
                None => Part::discard(&tracked.destination, &of_disk, meant),
            }
        }
        (_, None) => Ok(None),
    };
    if let Some(((record, files), manifest)) = before.zip(manifest.as_ref()) {
        forget_record(session, &tracked);
        parts::fall_back(session, record, manifest, &files);
    }
    if let Some(left) = left.map_err(|error| error.to_string())? {
        session.event(&Event::Warning(left.to_string()));
    }
    Ok(())
}
