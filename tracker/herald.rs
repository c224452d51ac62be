//! Tells clients what has become durable: a thread that turns published batches into messages nobody asked for. It never
//! waits for a client.

use super::commit::Published;
use super::core::Core;
use super::effects::{Effect, Told, effects_of};
use super::state::State;
use crate::model::id::{GroupRef, UserRef};
use crate::wire::client_tracker::Reply;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Batches that may wait; behind that many, further changes wait too.
const BATCHES_MAX: usize = 1024;

/// Where the committer leaves its batches, and where the herald takes them. The herald ends when the committer does.
pub fn channel() -> (Sender<Published>, Receiver<Published>) {
    bounded(BATCHES_MAX)
}

/// Starts the thread.
///
/// Errors: no thread can be started.
pub fn start(core: Arc<Core>, batches: Receiver<Published>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("herald".into()).spawn(move || {
        for batch in batches {
            tell(&core, &batch);
        }
    })
}

/// Tells what follows from one batch.
fn tell(core: &Core, batch: &Published) {
    // Keys and passwords go by the newest state, which may be ahead of the batch: what is told last must hold.
    let newest = core.state();
    let mut new_keys = BTreeSet::new();
    for Effect { to, what } in effects_of(&batch.before, &batch.ops) {
        match what {
            Told::Joined { group } | Told::KeyChanged { group } => {
                new_keys.insert((group, to));
            }
            Told::Departed { group, .. } => {
                core.presence.drop_member(to, group);
                if let Some(name) = batch.after.group_name(group) {
                    push(core, to, &Reply::GroupLost { group, name });
                }
            }
            Told::ShareEnded { share, .. } => {
                core.presence.drop_sharer(to, share);
                push(core, to, &Reply::ShareEnded { share });
            }
            Told::PasswordChanged => end_sessions(core, &newest, to),
            Told::Requested { group, user } => {
                if let (Some(group), Some(account)) = (batch.after.group_name(group), batch.after.account(user)) {
                    push(core, to, &Reply::JoinRequested { group, user: account.name });
                }
            }
            Told::Noticed { order, notice } => {
                let reply = Reply::Noticed { order, notice };
                for sender in core.roster.to_notice(to, batch.after.op_count()) {
                    sender.push(&reply);
                }
            }
        }
    }
    tell_keys(core, &newest, &new_keys);
}

fn push(core: &Core, to: UserRef, reply: &Reply) {
    for sender in core.roster.senders(to) {
        sender.push(reply);
    }
}

/// Tells members the key that their group has now, once however often it changed.
fn tell_keys(core: &Core, newest: &State, new_keys: &BTreeSet<(GroupRef, UserRef)>) {
    let mut known: Option<(GroupRef, Reply)> = None;
    for &(group, user) in new_keys {
        if !newest.is_member(group, user) {
            continue;
        }
        if known.as_ref().is_none_or(|(of, _)| *of != group) {
            known = core.group_key(newest, group).map(|key| (group, Reply::NewKey { key }));
        }
        if let Some((_, reply)) = &known {
            push(core, user, reply);
        }
    }
}

/// Ends the logins of a user that were proved with a password which is no longer the one.
fn end_sessions(core: &Core, newest: &State, user: UserRef) {
    let Some(account) = newest.account(user) else {
        return;
    };
    for (ticket, sender) in core.roster.expire(user, account.password_set_by) {
        core.presence.leave(&ticket);
        sender.push(&Reply::SessionOver {});
    }
}
