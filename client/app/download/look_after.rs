//! Watches the share of a running download: new holders, a new version, or no holder at all.

use super::fail;
use crate::client::app::announce::{find_peers, take_part, withdraw};
use crate::client::app::download_list::Tracked;
use crate::client::app::login_session::LoginSession;
use crate::client::download::error::DownloadError;
use crate::client::download::transfer::{Subject, Transfer};
use crate::client::output::event::Event;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries::find;
use crate::model::id::ShareRef;
use crate::wire::refusal::Code;
use std::sync::Arc;
use std::time::Instant;

/// Asks the tracker for other holders, and checks the share if nobody delivers.
pub(in crate::client::app) fn look_after(session: &LoginSession, transfer: &Arc<Transfer>) {
    match find_peers(session, transfer) {
        Err(RpcError::Refused(refusal)) if refusal.code == Code::Forgotten => look_after_forgotten(session, transfer),
        Ok(Some(_)) => {
            superseded(session, transfer);
            look_after_stranded(session, transfer);
        }
        // The next call asks again after a lost tracker.
        _ => look_after_stranded(session, transfer),
    }
}

/// Tells the user once that a download's file has a new version. The download goes on as long as members have the old
/// one.
pub(in crate::client::app) fn superseded(session: &LoginSession, transfer: &Transfer) {
    let Some(Tracked { group, destination, .. }) = session.downloads().get(transfer.id()) else { return };
    // A followed group brings the new version by itself.
    if transfer.outdate() && !session.slot().folders().follows_into(&group, &destination) {
        session.event(&Event::DownloadOutdated { group, file: transfer.subject().name.clone() });
    }
}

/// Handles a download whose share the trackers have forgotten. If the same content is shared under its name, the
/// download moves to that share. Otherwise the download ends, and the received pieces stay on the disk.
fn look_after_forgotten(session: &LoginSession, transfer: &Arc<Transfer>) {
    let Subject { name, content, .. } = transfer.subject();
    let Some(Tracked { group, .. }) = session.downloads().get(transfer.id()) else { return };
    match find(&session.node().link, &group, name) {
        Ok(found) if found.content.info_hash == content.info_hash => return move_over(session, transfer, found.share),
        Err(RpcError::Refused(refusal)) if refusal.code == Code::NoSuchFile => {}
        Ok(_) => {}
        Err(_) => return,
    }
    session.engine().remove(transfer);
    if !transfer.is_finished() {
        fail(session, transfer.id(), &DownloadError::Forgotten);
    }
}

/// Moves a download from its withdrawn share to another share of the same file.
fn move_over(session: &LoginSession, transfer: &Arc<Transfer>, to: ShareRef) {
    let before = transfer.share();
    transfer.move_to(to);
    let _ = take_part(session, transfer);
    withdraw(session, before);
}

/// Checks the share of a download that has no connected peer. Tells the user once if the share is gone.
fn look_after_stranded(session: &LoginSession, transfer: &Arc<Transfer>) {
    let Subject { name, content, .. } = transfer.subject();
    let Some(Tracked { group, .. }) = session.downloads().get(transfer.id()) else {
        return;
    };
    if transfer.progress(Instant::now()).peers > 0 {
        return;
    }
    let why = match find(&session.node().link, &group, name) {
        Ok(found) if found.content.info_hash == content.info_hash => {
            transfer.strand(None);
            if found.share != transfer.share() {
                move_over(session, transfer, found.share);
            }
            return;
        }
        Ok(_) => "it is shared in another version now",
        Err(RpcError::Refused(refusal)) if refusal.code == Code::NoSuchFile => "it is not shared any more",
        Err(_) => return,
    };
    if transfer.strand(Some(why)) {
        session.event(&Event::DownloadStranded { group, file: name.clone(), why: why.to_owned() });
    }
}
