//! The connections of the clients that are logged in at this tracker, for pushed messages.

use super::push_channel::PushChannel;
use crate::model::id::{ClientId, OpId, SessionId, UserRef};
use crate::tracker::presence::{ClientKey, Ticket};
use crate::tracker::state::State;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct LoginRegistry {
    entries: Mutex<BTreeMap<ClientKey, LoginEntry>>,
}

#[derive(Debug)]
struct LoginEntry {
    ticket: Ticket,
    channel: Arc<dyn PushChannel>,
    /// The op since which sessions counted when this login was made.
    sessions_since: OpId,
    session: SessionId,
    /// This login is changing the password now.
    changing: bool,
    /// The login told its client the notices of this many first ops.
    told_ops: u64,
}

impl LoginRegistry {
    pub fn new() -> Self {
        Self::default()
    }

    /// How many clients are logged in.
    pub fn count(&self) -> usize {
        self.entries.lock().len()
    }

    /// Adds the login of a client. Returns the state whose notices the caller tells the client, and the connection
    /// that the client had before. Later notices go to the channels of [`LoginRegistry::to_notice`].
    pub fn enter(
        &self,
        ticket: Ticket,
        channel: Arc<dyn PushChannel>,
        (sessions_since, session): (OpId, SessionId),
        state: impl FnOnce() -> Arc<State>,
    ) -> (Arc<State>, Option<Arc<dyn PushChannel>>) {
        let mut entries = self.entries.lock();
        // Read under the lock, so that `told_ops` says exactly what this login was told.
        let state = state();
        let (changing, told_ops) = (false, state.op_count());
        let entry = LoginEntry { ticket, channel, sessions_since, session, changing, told_ops };
        let before = entries.insert(ticket.key, entry);
        (state, before.map(|entry| entry.channel))
    }

    /// Removes a login, unless a later login of the same client has replaced it.
    pub fn leave(&self, ticket: &Ticket) {
        let mut entries = self.entries.lock();
        if entries.get(&ticket.key).is_some_and(|entry| entry.ticket == *ticket) {
            entries.remove(&ticket.key);
        }
    }

    /// Keeps [`LoginRegistry::expire`] from ending this login: it changes its own password.
    pub fn begin_change(&self, ticket: &Ticket) {
        self.with(ticket, |entry| entry.changing = true);
    }

    /// This op made the change, or the change failed.
    pub fn end_change(&self, ticket: &Ticket, sessions_since: Option<OpId>) {
        self.with(ticket, |entry| {
            entry.changing = false;
            entry.sessions_since = sessions_since.unwrap_or(entry.sessions_since);
        });
    }

    fn with(&self, ticket: &Ticket, change: impl FnOnce(&mut LoginEntry)) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&ticket.key).filter(|entry| entry.ticket == *ticket) {
            change(entry);
        }
    }

    /// Removes the logins of a user, except those that count since this op and whose session has not ended.
    pub fn expire(
        &self,
        user: UserRef,
        sessions_since: Option<OpId>,
        has_ended: impl Fn(SessionId) -> bool,
    ) -> Vec<(Ticket, Arc<dyn PushChannel>)> {
        let mut entries = self.entries.lock();
        let is_before = |entry: &LoginEntry| Some(entry.sessions_since) != sessions_since && !entry.changing;
        let old = |entry: &LoginEntry| is_before(entry) || has_ended(entry.session);
        let keys: Vec<_> = entries.range(all_of(user)).filter(|(_, entry)| old(entry)).map(|(&key, _)| key).collect();
        keys.iter().filter_map(|key| entries.remove(key)).map(|entry| (entry.ticket, entry.channel)).collect()
    }

    /// Ends the connections of these users. Their clients log in again by themselves.
    pub fn end_where(&self, which: impl Fn(UserRef) -> bool) {
        self.entries.lock().iter().filter(|(key, _)| which(key.user)).for_each(|(_, entry)| entry.channel.end());
    }

    /// Ends the connections of one user in the same way.
    pub fn end_user(&self, user: UserRef) {
        self.channels(user).iter().for_each(|channel| channel.end());
    }

    pub fn channel(&self, key: &ClientKey) -> Option<Arc<dyn PushChannel>> {
        self.entries.lock().get(key).map(|entry| entry.channel.clone())
    }

    pub fn channels(&self, user: UserRef) -> Vec<Arc<dyn PushChannel>> {
        self.entries.lock().range(all_of(user)).map(|(_, entry)| entry.channel.clone()).collect()
    }

    /// The connections of a user, without logins that have told the notices of the first `op_count` ops.
    pub fn to_notice(&self, user: UserRef, op_count: u64) -> Vec<Arc<dyn PushChannel>> {
        let entries = self.entries.lock();
        let untold = entries.range(all_of(user)).filter(|(_, entry)| entry.told_ops < op_count);
        untold.map(|(_, entry)| entry.channel.clone()).collect()
    }
}

fn all_of(user: UserRef) -> std::ops::RangeInclusive<ClientKey> {
    ClientKey { user, client: ClientId([0; 16]) }..=ClientKey { user, client: ClientId([0xff; 16]) }
}
