//! The notifier: a thread that tells clients what has become durable. It turns settled batches into pushed messages
//! and into the replies owed for them. It never waits for a client.

use crate::model::id::{GroupRef, ShareRef, UserRef};
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::op::{Op, OpBody};
use crate::sys::owned_thread::OwnedThread;
use crate::tracker::commit::{Published, Settled};
use crate::tracker::core::Core;
use crate::tracker::push::followers::{GroupNews, ToldGroup};
use crate::tracker::push::push_channel::PushChannel;
use crate::tracker::state::effect::{Effect, Told};
use crate::tracker::state::{AccountStanding, State};
use crate::wire::client_tracker::Reply;
use crate::wire::codec::List;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many batches may wait. Beyond that, changes wait too.
const BATCHES_MAX: usize = 1024;

/// The pause before the notifier retries a socket that had no room.
const ROOM_PAUSE: Duration = Duration::from_millis(10);

/// The queue from the committer to the notifier. It ends with the committer.
pub(crate) fn channel() -> (Sender<Settled>, Receiver<Settled>) {
    bounded(BATCHES_MAX)
}

/// Starts the thread.
///
/// # Errors
/// No thread can be started.
pub(crate) fn start(core: Arc<Core>, batches: Receiver<Settled>) -> io::Result<OwnedThread> {
    OwnedThread::start("notifier", move || {
        let mut notifier = Notifier { core, queued: Vec::new() };
        loop {
            let room = (!notifier.core.slow_consumers.is_empty()).then_some(ROOM_PAUSE);
            let rest = notifier.core.followers.rest(Instant::now());
            let settled = match room.into_iter().chain(rest).min() {
                None => batches.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(pause) => batches.recv_timeout(pause),
            };
            notifier.core.slow_consumers.flush();
            notifier.tell_followers();
            let settled = match settled {
                Ok(settled) => settled,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if catch_unwind(AssertUnwindSafe(|| notifier.tell(settled))).is_err() {
                // The queued messages are lost. A client that logs in again is told the present state.
                notifier.queued.clear();
                notifier.core.logins.end_where(|_| true);
            }
        }
    })
}

/// A share with its names: of its group, its own, and of its author.
fn named(state: &State, share: ShareRef) -> Option<(ShareRef, GroupId, FileName, UserId)> {
    let info = state.share(share)?;
    let author = state.account(state.author(share)?)?.name;
    Some((info.share, state.group_name(info.group)?, info.name, author))
}

struct Notifier {
    core: Arc<Core>,
    /// The connections with messages to write.
    queued: Vec<Arc<dyn PushChannel>>,
}

impl Notifier {
    fn tell(&mut self, mut settled: Settled) {
        if let Some(batch) = settled.published.take() {
            self.queue_effects(batch);
        }
        // A message that is queued for a client with a pending reply leaves with that reply.
        settled.react();
        self.flush();
    }

    /// Queues the messages that follow from one batch.
    fn queue_effects(&mut self, mut batch: Published) {
        let core = self.core.clone();
        // Keys and passwords come from the newest state, which may be ahead of the batch: the last message must be up
        // to date.
        let newest = core.state();
        // Users choose how often an id becomes an alias, and replacing ids everywhere takes a while. So this checks
        // first.
        let is_share = |id| newest.share(ShareRef(id)).is_some();
        if core.presence.knows(&batch.aliased, is_share, |id| newest.file_count(GroupRef(id)) > 0) {
            core.presence.rekey(|id| newest.canonical(id));
        }
        // Users whose ids have become aliases log in again.
        batch.aliased.iter().for_each(|id| core.logins.end_user(UserRef(*id)));
        if !batch.aliased.is_empty() {
            core.followers.rekey(|id| newest.canonical(id));
        }
        batch.ops.iter().for_each(|op| self.note_share(&newest, op));
        let mut new_keys = BTreeSet::new();
        for Effect { to, what } in batch.effects.drain(..) {
            match what {
                Told::Joined { group } | Told::KeyChanged { group } => {
                    new_keys.insert((group, to));
                }
                Told::Departed { group } => {
                    new_keys.extend(newest.members(group).map(|member| (group, member)));
                    core.presence.drop_member(to, group);
                    if let Some(name) = batch.after.group_name(group) {
                        let lost = |id| Reply::GroupLost { group: GroupRef(id), name: name.clone() };
                        newest.ids_of(group.0).into_iter().for_each(|id| self.queue(to, &lost(id)));
                    }
                }
                // The user has shared it again since, and may have been told that.
                Told::ShareEnded { share } if newest.is_sharer(share, to) => {}
                Told::ShareEnded { share } => {
                    // A client knows the share under the id that it was given, so it is told with every id.
                    for share in newest.ids_of(share.0).into_iter().map(ShareRef) {
                        core.presence.drop_sharer(to, share);
                        self.queue(to, &Reply::ShareEnded { share });
                    }
                }
                Told::Superseded { old, .. } if newest.is_sharer(old, to) => {}
                Told::Superseded { old, new } => {
                    // The holders of the old version stay known: others may be in the middle of downloading it.
                    let Some((new, group, name, author)) = named(&newest, newest.newer(old).unwrap_or(new)) else {
                        continue;
                    };
                    for old in newest.ids_of(old.0).into_iter().map(ShareRef) {
                        let (group, name, author) = (group.clone(), name.clone(), author.clone());
                        self.queue(to, &Reply::Superseded { old, new, group, name, author });
                    }
                }
                Told::SessionsEnded => self.end_sessions(&newest, to),
                Told::Requested { group, user } => {
                    if let (Some(group), Some(account)) = (batch.after.group_name(group), batch.after.account(user)) {
                        self.queue(to, &Reply::JoinRequested { group, user: account.name });
                    }
                }
                Told::Noticed { order, notice } => {
                    let channels = core.logins.to_notice(to, batch.after.op_count());
                    self.queue_on(channels, &Reply::Noticed { order, notice });
                }
            }
        }
        self.queue_keys(&newest, &new_keys);
    }

    /// Notes a new share for the clients that follow its group.
    fn note_share(&self, newest: &State, op: &Op) {
        if let OpBody::CreateShare { group, .. } = op.body {
            let share = newest.share(ShareRef(op.id));
            // If the share did not get the name asked for, it may have taken the name of a third share. So followers
            // hear of unknown names.
            let name = share.map(|share| share.name).filter(FileName::is_chosen);
            self.core.followers.note(GroupRef(newest.canonical(group.0)), name);
        }
    }

    /// Tells the followers of groups what is new there, within the rate limit.
    fn tell_followers(&mut self) {
        let told = self.core.followers.take(Instant::now());
        if told.is_empty() {
            return;
        }
        let newest = self.core.state();
        for ToldGroup { group, news: GroupNews { names, more }, followers } in told {
            let names = List::new(names.into_iter().collect());
            let (Some(name), Some(names)) = (newest.group_name(group), names) else { continue };
            let reply = Reply::GroupChanged { group: name, names, more };
            let members = followers.into_iter().filter(|(user, _)| newest.is_member(group, *user));
            self.queue_on(members.map(|(_, channel)| channel).collect(), &reply);
        }
        self.flush();
    }

    /// Queues a message on all connections of a user.
    fn queue(&mut self, to: UserRef, reply: &Reply) {
        let channels = self.core.logins.channels(to);
        self.queue_on(channels, reply);
    }

    fn queue_on(&mut self, channels: Vec<Arc<dyn PushChannel>>, reply: &Reply) {
        channels.iter().for_each(|channel| channel.queue(reply));
        self.queued.extend(channels);
    }

    /// Tells members the present key of their group, once however often it has changed.
    fn queue_keys(&mut self, newest: &State, new_keys: &BTreeSet<(GroupRef, UserRef)>) {
        let mut known: Option<(GroupRef, Reply)> = None;
        for &(group, user) in new_keys {
            if !newest.is_member(group, user) {
                continue;
            }
            if known.as_ref().is_none_or(|(of, _)| *of != group) {
                known = self.core.group_key(newest, group).map(|key| (group, Reply::NewKey { key }));
            }
            if let Some((_, reply)) = &known {
                self.queue(user, reply);
            }
        }
    }

    /// Ends the logins of a user that are no longer valid.
    fn end_sessions(&mut self, newest: &State, user: UserRef) {
        let Some(account) = newest.account(user) else {
            return;
        };
        let since = (account.standing == AccountStanding::Active).then_some(account.sessions_since);
        for (ticket, channel) in self.core.logins.expire(user, since, |session| newest.has_ended(user, session)) {
            self.core.presence.leave(&ticket);
            self.core.followers.leave(&ticket);
            self.queue_on(vec![channel], &Reply::SessionOver {});
        }
    }

    fn flush(&mut self) {
        let slow_consumers = &self.core.slow_consumers;
        self.queued.drain(..).for_each(|channel| slow_consumers.flush_on(channel));
    }
}
