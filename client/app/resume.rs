//! Downloads of earlier logins, which wait until a tracker that knows of them is reached.

use super::download;
use super::download_list::{Phase, Tracked};
use super::login_session::Account;
use super::node::Node;
use super::share;
use crate::client::command::failure::{Cause, Failure};
use crate::client::output::event::Event;
use crate::client::rpc::error::RpcError;
use crate::client::state::record::DownloadRecord;
use crate::model::id::ShareRef;
use crate::model::name::{FileName, GroupId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Takes in the downloads of earlier logins. They wait, and so does who waits for downloads, until `go_on` goes
/// on with them.
pub(crate) fn take_in(account: &Account) {
    for DownloadRecord { group, name, destination, content, paused, .. } in account.slot.downloads() {
        // One that the user has begun meanwhile runs already.
        if let Ok(id) = account.downloads.begin(&group, &name, destination.clone()) {
            account.downloads.settle(id, destination, &content);
            let phase = if paused { Phase::Paused { done: None } } else { Phase::Waiting { since: None } };
            account.downloads.put_back(id, phase);
        }
    }
}

/// Goes on with the downloads that wait for a tracker that knows of them; tells of those that cannot go on.
pub(crate) fn go_on(node: &Arc<Node>, account: &Arc<Account>) {
    for record in account.slot.downloads() {
        let waiting = account.downloads.find(&record.group, &record.name).filter(|tracked| tracked.phase.is_waiting());
        let Some(id) = waiting.map(|tracked| tracked.id) else { continue };
        let Some(before) = account.downloads.restart(id) else { continue };
        let went_on = download::take_up(node, account, id, &record);
        let Some(Tracked { group, name, .. }) = account.downloads.get(id) else { continue };
        match went_on {
            Ok(_) => {
                node.reporter.event(&Event::DownloadContinued { group, file: name });
            }
            Err(_) if account.is_over() => return,
            Err(Failure { why, cause }) if can_wait(node, account, record.share, &group, &name, cause) => {
                account.unheard.store(true, Ordering::Relaxed);
                if matches!(before, Phase::Waiting { since: Some(_) }) {
                    account.downloads.put_back(id, before);
                } else {
                    account.downloads.put_back(id, Phase::Waiting { since: Some(Instant::now()) });
                    node.reporter.event(&Event::DownloadWaits { group, file: name, why });
                }
            }
            Err(Failure { why, .. }) => {
                // Should the file come back, the user can go on with it then.
                account.downloads.put_back(id, Phase::Paused { done: None });
                node.reporter.event(&Event::DownloadLost { group, file: name, why });
            }
        }
    }
}

/// Gives up what has waited for a tracker for as long as a script waits for a member.
pub(crate) fn give_up(node: &Node, account: &Account, now: Instant) {
    let Some(patience) = node.engine_options.patience else { return };
    for tracked in account.downloads.list() {
        let late = |since: Instant| now.duration_since(since) >= patience;
        if matches!(tracked.phase, Phase::Waiting { since: Some(since) } if late(since)) {
            download::fail(node, account, tracked.id, "no tracker that knows of it was reached");
        }
    }
}

/// Whether what keeps a download from going on passes by itself.
fn can_wait(node: &Node, account: &Account, share: ShareRef, group: &GroupId, name: &FileName, cause: Cause) -> bool {
    match cause {
        Cause::NoTracker => true,
        Cause::Refused(code) if code.is_gone() => {
            let made = share::find_made(node, account, share, group, name);
            !matches!(made, Err(RpcError::Refused(_)))
        }
        // That may be an older one, if the tracker has not heard of this one yet.
        Cause::OtherVersion => share::is_unheard(node, account, share),
        Cause::Refused(_) | Cause::Other => false,
    }
}
