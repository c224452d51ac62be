//! What becomes of the share of a running download: new holders, a new version, nobody who delivers.

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

/// Asks the tracker who else has pieces, and looks what has become of the share if nobody delivers.
pub(in crate::client::app) fn look_after(session: &LoginSession, transfer: &Arc<Transfer>) {
    match find_peers(session, transfer) {
        Err(RpcError::Refused(refusal)) if refusal.code == Code::Forgotten => look_after_forgotten(session, transfer),
        Ok(Some(_)) => {
            superseded(session, transfer);
            look_after_stranded(session, transfer);
        }
        // What does not reach a tracker now is asked again.
        _ => look_after_stranded(session, transfer),
    }
}

/// What a download fetches has a new version, which the user is told once. The download goes on as long as members have
/// the old one.
pub(in crate::client::app) fn superseded(session: &LoginSession, transfer: &Transfer) {
    let Some(Tracked { group, destination, .. }) = session.downloads().get(transfer.id()) else { return };
    // What follows a group has the new version come.
    if transfer.outdate() && !session.slot().folders().follows_into(&group, &destination) {
        session.event(&Event::DownloadOutdated { group, file: transfer.subject().name.clone() });
    }
}

/// The trackers have forgotten the share of a download. The download goes on with what has its name, if that is the same
/// file. Otherwise it ends, and what came in stays on the disk.
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

/// The share of a download was withdrawn, and its file is shared again as another one.
fn move_over(session: &LoginSession, transfer: &Arc<Transfer>, to: ShareRef) {
    let before = transfer.share();
    transfer.move_to(to);
    let _ = take_part(session, transfer);
    withdraw(session, before);
}

/// Looks what has become of the share of a download that nobody delivers; tells the user once when it is no more.
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
