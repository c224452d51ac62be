//! From login to logout, and what ends with it: brings back what was shared and downloaded, and lets go of it again.

use super::download;
use super::login_session::Account;
use super::node::Node;
use super::resume;
use super::share;
use crate::client::command::failure::Failure;
use crate::client::download::engine::Engine;
use crate::client::output::event::Event;
use crate::client::rpc::error::RpcError;
use crate::model::id::{GroupRef, ShareRef};
use crate::model::name::{GroupId, UserId};
use crate::wire::client_tracker::{Password, Request};
use std::sync::Arc;

/// Logs in. What others say to the user waits for [`go_on`].
pub fn log_in(node: &Arc<Node>, user: UserId, password: Password) -> Result<Arc<Account>, Failure> {
    let request = Request::Login { client: node.client, user, password };
    let (user, login) = node.link.log_in(&request)?;
    let begun = begin(node, user, login);
    if begun.is_err() {
        node.link.log_out();
    }
    begun
}

/// Brings everything back that was there before the login: shares, and downloads that have not ended.
pub fn go_on(node: &Arc<Node>, account: &Arc<Account>) {
    resume::take_in(account);
    node.link.arrived();
    // Should the tracker be lost just now, this is done again when one is reached.
    if let Err(error) = announce_all(node, account) {
        node.reporter.event(&Event::Warning(error.to_string()));
    }
    let restore = node.clone();
    account.help("restore".into(), move |account| {
        share::restore(&restore, account);
        resume::go_on(&restore, account);
    });
}

fn begin(node: &Arc<Node>, user: UserId, login: u64) -> Result<Arc<Account>, Failure> {
    let fingerprint = node.link.fingerprint()?;
    let (slot, warnings) = node.state.take_slot(&fingerprint, &user).map_err(|error| error.to_string())?;
    warnings.into_iter().for_each(|warning| node.reporter.event(&Event::Warning(warning)));
    let engine =
        Engine::start(node.engine_options.clone(), node.keyring.clone(), user.clone(), node.engine_events.clone());
    let engine = engine.map_err(|error| format!("the download engine does not start: {error}"))?;
    let account = Account::new(user, login, engine, slot);
    node.set_account(Some(account.clone()));
    Ok(account)
}

/// Tells a tracker that has just been reached where this client listens, and all that it holds.
pub fn announce_all(node: &Node, account: &Arc<Account>) -> Result<(), RpcError> {
    node.announce()?;
    node.refresh_keys()?;
    share::hold_all(node, account)?;
    for download in account.downloads.running() {
        let told = download::hold(node, &download).and_then(|()| download::find_peers(node, account, &download));
        match told {
            Ok(()) => {}
            // One that is refused, as in a group that was left meanwhile, does not keep the others from being told.
            Err(RpcError::Refused(refusal)) => drop(share::note_refusal(account, &refusal)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends the login: sharing stops, downloads are kept for the next login.
pub fn log_out(node: &Node) {
    if end(node).is_some() {
        node.link.log_out();
    }
}

/// The login has ended without the user's doing, for this reason.
pub fn lose(node: &Node, why: String) {
    if let Some(account) = end(node) {
        node.reporter.event(&Event::LoggedOut { why });
        account.downloads.lose();
    }
}

/// Ends the login on this side; gives whose it was, nothing if nobody was logged in.
pub fn end(node: &Node) -> Option<Arc<Account>> {
    let account = node.set_account(None)?;
    account.finish();
    // Now that nobody begins anything any more.
    for download in account.downloads.running() {
        account.engine.remove(&download);
    }
    node.serving.clear();
    node.keyring.clear();
    // The steward may hold the account a little longer; the next login must find its shares all the same.
    account.slot.close();
    Some(account)
}

/// The user is no longer a member of a group: nothing is shared or downloaded there any more.
pub fn group_lost(node: &Node, account: &Arc<Account>, group: GroupRef, name: &GroupId) {
    // Under the name by which it is known here, should it have got another.
    let name = &node.keyring.name_of(group).unwrap_or_else(|| name.clone());
    node.keyring.remove(group);
    node.drop_connections(group);
    node.serving.remove_group(group);
    download::stop_group(node, account, name, "you are no longer a member of the group");
    share::forget_group(node, account, name);
}

/// The user has stopped sharing something, here or on another client.
pub fn share_ended(node: &Node, account: &Arc<Account>, share: ShareRef) {
    share::forget(node, account, |record| record.share == Some(share));
}
