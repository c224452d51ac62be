//! The connections of the clients that are logged in at this tracker, for telling them something unasked.

use super::push_channel::Voice;
use crate::model::id::{ClientId, OpId, UserRef};
use crate::tracker::presence::{ClientKey, Ticket};
use crate::tracker::state::State;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who is logged in here, on which connection.
#[derive(Debug, Default)]
pub struct Roster {
    entries: Mutex<BTreeMap<ClientKey, Entry>>,
}

#[derive(Debug)]
struct Entry {
    ticket: Ticket,
    sender: Arc<dyn Voice>,
    /// The op that set the password with which this login was proved.
    password_set_by: OpId,
    /// Is changing the password right now.
    changing: bool,
    /// Notices about the first so many ops were told at login.
    told_ops: u64,
}

impl Roster {
    /// Nobody is logged in.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client has logged in on this connection. Gives the state up to which it has to be told its notices now; what
    /// comes after that, [`Roster::to_notice`] tells it. Gives also the connection that the client had before.
    pub fn enter(
        &self,
        ticket: Ticket,
        sender: Arc<dyn Voice>,
        password_set_by: OpId,
        state: impl FnOnce() -> Arc<State>,
    ) -> (Arc<State>, Option<Arc<dyn Voice>>) {
        let mut entries = self.entries.lock();
        // Read under the lock: whoever looks up this entry later knows exactly what it was told.
        let state = state();
        let entry = Entry { ticket, sender, password_set_by, changing: false, told_ops: state.op_count() };
        let before = entries.insert(ticket.key, entry);
        (state, before.map(|entry| entry.sender))
    }

    /// A login is over. Without effect if a later login of the same client has taken its place.
    pub fn leave(&self, ticket: &Ticket) {
        let mut entries = self.entries.lock();
        if entries.get(&ticket.key).is_some_and(|entry| entry.ticket == *ticket) {
            entries.remove(&ticket.key);
        }
    }

    /// This login is about to change its own password, which will not end it.
    pub fn begin_change(&self, ticket: &Ticket) {
        self.with(ticket, |entry| entry.changing = true);
    }

    /// The change has been made, by this op, or has not.
    pub fn end_change(&self, ticket: &Ticket, password_set_by: Option<OpId>) {
        self.with(ticket, |entry| {
            entry.changing = false;
            entry.password_set_by = password_set_by.unwrap_or(entry.password_set_by);
        });
    }

    fn with(&self, ticket: &Ticket, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&ticket.key).filter(|entry| entry.ticket == *ticket) {
            change(entry);
        }
    }

    /// Takes out the logins of a user that were proved with an earlier password than the one this op has set.
    pub fn expire(&self, user: UserRef, password_set_by: OpId) -> Vec<(Ticket, Arc<dyn Voice>)> {
        let mut entries = self.entries.lock();
        let old = |entry: &Entry| entry.password_set_by != password_set_by && !entry.changing;
        let keys: Vec<_> = entries.range(all_of(user)).filter(|(_, entry)| old(entry)).map(|(&key, _)| key).collect();
        keys.iter().filter_map(|key| entries.remove(key)).map(|entry| (entry.ticket, entry.sender)).collect()
    }

    /// Ends the connections of these users, who log in again by themselves.
    pub fn end_where(&self, which: impl Fn(UserRef) -> bool) {
        self.entries.lock().iter().filter(|(key, _)| which(key.user)).for_each(|(_, entry)| entry.sender.end());
    }

    /// The connection of a client.
    pub fn sender(&self, key: &ClientKey) -> Option<Arc<dyn Voice>> {
        self.entries.lock().get(key).map(|entry| entry.sender.clone())
    }

    /// The connections of a user.
    pub fn senders(&self, user: UserRef) -> Vec<Arc<dyn Voice>> {
        self.entries.lock().range(all_of(user)).map(|(_, entry)| entry.sender.clone()).collect()
    }

    /// The connections of a user that were not told the notices of the first `op_count` ops when they logged in.
    pub fn to_notice(&self, user: UserRef, op_count: u64) -> Vec<Arc<dyn Voice>> {
        let entries = self.entries.lock();
        let untold = entries.range(all_of(user)).filter(|(_, entry)| entry.told_ops < op_count);
        untold.map(|(_, entry)| entry.sender.clone()).collect()
    }
}

fn all_of(user: UserRef) -> std::ops::RangeInclusive<ClientKey> {
    ClientKey { user, client: ClientId([0; 16]) }..=ClientKey { user, client: ClientId([0xff; 16]) }
}
