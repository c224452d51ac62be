//! Presence: who is online, at which address, with which pieces. Soft state: it is not in the journal and expires
//! after `TTL`. Time is passed in.

mod budget;
mod client_key;
mod fair_choice;
pub mod helpful;
mod holder;
mod holdings;
/// Rate limiters for what users cause.
mod pace {
    pub(super) mod announce_pace;
    pub(super) mod call_limit;
    pub(super) mod shared_pace;
    pub(super) mod telling_pace;
}
mod pieces;
mod register;
mod remote_tracker;
mod renamed;
mod subscription;
mod swarm;

use crate::model::id::{GroupRef, OpId, PeerKey, ShareRef, UserRef};
use crate::wire::client_tracker::{Holding, PEERS_MAX};
use crate::wire::contact::Contact;
pub use client_key::ClientKey;
use fair_choice::{fairly, named_to};
pub use holder::{Held, Holder, HolderUp, OnlineClient};
pub use pace::announce_pace::AnnouncePace;
pub use pace::call_limit::CallLimit;
pub use pace::telling_pace::TellingPace;
use parking_lot::Mutex;
use pieces::HeldPieces;
pub use pieces::within;
use register::Register;
pub use register::{HoldError, TTL, Ticket};
pub use remote_tracker::HeardFrom;
use renamed::Renamed;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Instant;
pub use subscription::{PresenceChange, Subscription, Taken};
pub use swarm::SwarmInfo;

/// For each file, a list checks at most this many users with incompletely known clients as sharers.
const CROWD_MAX: usize = 64;

/// The one place that knows who is online, at this tracker or another. It keeps the claims of each tracker apart: no
/// tracker can say anything about the clients of another.
#[derive(Debug, Default)]
pub struct Presence {
    register: Mutex<Register>,
}

impl Presence {
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the register. Then notifies, outside the lock, the subscribers that have something to take.
    fn change<R>(&self, work: impl FnOnce(&mut Register) -> R) -> R {
        let (result, woken) = {
            let mut register = self.register.lock();
            (work(&mut register), register.subscribers.take_woken())
        };
        woken.iter().for_each(|subscription| subscription.notify());
        result
    }

    /// A user is no longer a member of a group: takes the user's clients out of the swarms of its shares.
    pub fn drop_member(&self, user: UserRef, group: GroupRef) {
        self.change(|register| register.drop_where(user, |_, of| of == group));
    }

    /// A user no longer shares this, on any client.
    pub fn drop_sharer(&self, user: UserRef, share: ShareRef) {
        self.change(|register| register.drop_sharer(user, share));
    }

    /// Takes all clients out of the swarms of shares that are gone. Looks at all swarms.
    pub fn drop_shares(&self, is_gone: impl Fn(ShareRef) -> bool) {
        self.change(|register| {
            let gone: BTreeSet<ShareRef> = register.swarms.shares().filter(|share| is_gone(*share)).collect();
            let users: BTreeSet<UserRef> = register.clients.keys().map(|key| key.user).collect();
            let users = users.into_iter().filter(|_| !gone.is_empty());
            users.for_each(|user| register.drop_where(user, |share, _| gone.contains(&share)));
        });
    }

    /// Whether one of these ids is that of a client's user, of a held share or of its group. It costs least to look for
    /// ids that are neither a share nor a group with shares: users can make any number of those.
    pub fn knows(&self, ids: &[OpId], is_share: impl Fn(OpId) -> bool, has_shares: impl Fn(OpId) -> bool) -> bool {
        let renamed = Renamed::of(ids, is_share, has_shares);
        self.register.lock().knows(&renamed)
    }

    /// Replaces ids that have become aliases. If two shares turned out to be one, their swarms become one. A client in
    /// both keeps the greater holding. Presence of a user whose id became an alias is dropped. Looks at all swarms.
    pub fn rekey(&self, canonical: impl Fn(OpId) -> OpId) {
        self.change(|register| register.rekey(canonical));
    }

    /// Removes clients that were silent for [`TTL`], or whose tracker was. Returns the clients that are now offline.
    pub fn sweep(&self, now: Instant) -> Vec<ClientKey> {
        self.change(|register| register.sweep(now))
    }

    /// Other clients that hold pieces of a share and can be reached: at most `PEERS_MAX`, those with more pieces first,
    /// chosen fairly by user. In a crowd each client gets another choice, so that not all clients dial the same
    /// holders.
    ///
    /// For some clients, presence does not know all shares. Such a client counts as a holder of everything that its
    /// user shares. `is_sharer` tells whether a user shares this.
    pub fn peers(&self, share: SwarmInfo, asking: ClientKey, is_sharer: impl Fn(UserRef) -> bool) -> Vec<Holder> {
        let register = self.register.lock();
        let known = register.swarms.holders(share.share);
        let crowded = register.crowded_sharers(share, is_sharer).into_iter();
        let others = known.chain(crowded).filter(|&(key, _)| key != asking && register.is_reachable(key));
        named_to(asking, others).into_iter().filter_map(|(key, held)| register.holder(key, held)).collect()
    }

    /// The clients that can give pieces of a share, and which pieces: at most `PEERS_MAX`, those with more pieces
    /// first, chosen fairly by user. Incompletely known clients count as in [`Presence::peers`].
    pub fn holdings(&self, swarm: SwarmInfo, is_sharer: impl Fn(UserRef) -> bool) -> Vec<Held> {
        let register = self.register.lock();
        let (share, known) = (swarm.share, register.swarms.holders(swarm.share));
        let crowded = register.crowded_sharers(swarm, is_sharer).into_iter();
        let holders = known.chain(crowded).filter(|&(key, _)| register.is_reachable(key));
        let holders = fairly(holders, PEERS_MAX, |(key, _)| key.user, |&(key, held)| (Reverse(held), key));
        let held = |&(key, held): &(ClientKey, u32)| {
            let addr = helpful::helpful_to_program(&register.holder(key, held)?.contact)?;
            match register.clients.get(&key)?.holdings.pieces(share) {
                Some(HeldPieces::All) | None => Some(Held { addr, pieces: None }),
                Some(HeldPieces::Some(set)) => Some(Held { addr, pieces: Some(set.clone()) }),
                Some(HeldPieces::Count(_) | HeldPieces::Waiting) => None,
            }
        };
        holders.iter().filter_map(held).collect()
    }

    /// Who and where a client is, as far as its tracker has told.
    pub fn contact(&self, key: ClientKey) -> Option<Arc<Contact>> {
        self.register.lock().clients.get(&key)?.contact.clone()
    }

    /// Who and where a client is, and the tracker that it is logged in at; `None` for this one.
    pub fn whereabouts(&self, key: ClientKey) -> Option<(Arc<Contact>, Option<u16>)> {
        let register = self.register.lock();
        let client = register.clients.get(&key)?;
        Some((client.contact.clone()?, client.tracker()))
    }

    /// The clients that are online at any tracker, after the given one, at most `count`.
    pub fn online_after(&self, after: Option<ClientKey>, count: usize) -> Vec<OnlineClient> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.online((begin, Bound::Unbounded), count)
    }

    /// The clients of a user that are online at any tracker.
    pub fn online_of(&self, user: UserRef) -> Vec<OnlineClient> {
        self.online(ClientKey::all_of(user), usize::MAX)
    }

    fn online(&self, keys: impl RangeBounds<ClientKey>, count: usize) -> Vec<OnlineClient> {
        let register = self.register.lock();
        let clients = register.clients.range(keys).take(count);
        let told = clients.map(|(&key, client)| {
            let (contact, tracker) = (client.contact.clone(), client.tracker());
            OnlineClient { key, contact, tracker }
        });
        told.collect()
    }

    /// The news that a client holds pieces of a share, with the clients to tell. `None` if no client wants to know. In
    /// a crowd only some of these hear it.
    pub fn holder_up(&self, share: ShareRef, key: ClientKey) -> Option<HolderUp> {
        self.register.lock().holder_up(share, key)
    }

    /// How many clients hold pieces of each of these shares, at any tracker. Incompletely known clients count for what
    /// their users share, but only those of the first `CROWD_MAX` users.
    pub fn holder_counts(&self, shares: &[ShareRef], is_sharer: impl Fn(ShareRef, UserRef) -> bool) -> Vec<u32> {
        let mut crowd: Vec<UserRef> = Vec::new();
        self.register.lock().crowded.iter().for_each(|key| crowd.push(key.user));
        crowd.dedup();
        crowd.truncate(CROWD_MAX);
        let sharers =
            |share: ShareRef| crowd.iter().filter(|user| is_sharer(share, **user)).copied().collect::<Vec<_>>();
        let sharers: Vec<_> = shares.iter().map(|share| sharers(*share)).collect();
        let register = self.register.lock();
        let crowded_out = |(&share, users): (&ShareRef, Vec<UserRef>)| {
            let more: usize = users.into_iter().map(|user| register.crowded_out(user, share).count()).sum();
            // Far below 2^32: every holder has a connection.
            (register.swarms.holder_count(share) + more) as u32
        };
        shares.iter().zip(sharers).map(crowded_out).collect()
    }

    /// On how many clients each of these users is online, at any tracker.
    pub fn client_counts(&self, users: impl Iterator<Item = UserRef>) -> Vec<u32> {
        let register = self.register.lock();
        users.map(|user| register.clients_of(user).count() as u32).collect()
    }
}

/// The clients that are logged in at this tracker.
impl Presence {
    /// A client has logged in. The login takes over everything known of the same client, including what another
    /// tracker told.
    pub fn enter(&self, key: ClientKey, now: Instant) -> Ticket {
        self.change(|register| register.enter(key, now))
    }

    /// A login has ended. Does nothing if the same client has logged in again since.
    pub fn leave(&self, ticket: &Ticket) {
        self.change(|register| {
            if register.client(ticket).is_some() {
                register.end(ticket.key);
            }
        });
    }

    /// A client said something. Returns false if its login is void.
    pub fn heard(&self, ticket: &Ticket, now: Instant) -> bool {
        self.register.lock().heard(ticket, now)
    }

    /// A client has this contact. Returns the clients to tell that it is reachable there.
    pub fn announce(&self, ticket: &Ticket, contact: Contact) -> Vec<HolderUp> {
        self.change(|register| register.announce(ticket, contact))
    }

    /// A handshake has found the client with this key at an address. Returns the clients to tell that it is reachable
    /// there.
    pub fn prove(&self, ticket: &Ticket, key: PeerKey, addr: SocketAddr) -> Vec<HolderUp> {
        self.change(|register| register.prove(ticket, key, addr))
    }

    /// A client holds these pieces of a share. Returns the clients to tell if it held nothing before. The caller has
    /// checked that the user is a member of the group.
    pub fn hold(&self, ticket: &Ticket, swarm: SwarmInfo, holding: &Holding) -> Result<Option<HolderUp>, HoldError> {
        self.change(|register| {
            register.client(ticket).ok_or(HoldError::Void)?;
            register.hold(ticket.key, swarm, holding)
        })
    }

    /// How many clients are logged in here.
    pub fn local_client_count(&self) -> usize {
        self.register.lock().clients.values().filter(|client| client.is_here()).count()
    }

    /// How many users are logged in here.
    pub fn local_user_count(&self) -> usize {
        let register = self.register.lock();
        let mut last = None;
        let keys = register.clients.iter().filter(|(_, client)| client.is_here()).map(|(key, _)| key);
        keys.filter(|key| last.replace(key.user) != Some(key.user)).count()
    }

    /// How many clients are online here, and how many at other trackers.
    pub fn client_totals(&self) -> (usize, usize) {
        let register = self.register.lock();
        let here = register.clients.values().filter(|client| client.is_here()).count();
        (here, register.clients.len() - here)
    }

    /// Gathers changes among these clients until the subscription is dropped. Everything known now counts as changed.
    /// The change that makes an empty subscription non-empty calls `notify`.
    pub fn subscribe(&self, notify: Box<dyn Fn() + Send + Sync>) -> Arc<Subscription> {
        let subscription = Arc::new(Subscription::new(notify));
        self.change(|register| register.subscribe(&subscription));
        subscription
    }

    /// Takes up to `count_max` changes, in the order in which other trackers must hear them. After a notification the
    /// subscriber takes changes until there are none. It comes again for changes that are put off.
    pub fn take(&self, subscription: &Subscription, count_max: usize, now: Instant) -> Taken {
        subscription.take(count_max, &*self.register.lock(), now)
    }
}

/// The clients that are logged in at other trackers, as those tell. A client is here if it is logged in here. Else it
/// is at the tracker that told of it last. The claim of an earlier tracker takes effect when the later login ends. Ids
/// are canonical.
impl Presence {
    /// A link with another tracker has begun: its earlier claims are doubtful until it repeats them.
    pub fn begin_snapshot(&self, heard: HeardFrom) {
        self.register.lock().begin_snapshot(heard);
    }

    /// The other tracker has told everything since [`Presence::begin_snapshot`]: the claims that are still doubtful
    /// become void.
    pub fn end_snapshot(&self, tracker: u16) {
        self.register.lock().end_snapshot(tracker);
    }

    /// The clients of the other tracker stay alive. After [`TTL`] of silence a tracker has to begin anew.
    pub fn heard_from_tracker(&self, heard: HeardFrom) {
        self.register.lock().heard_from_tracker(heard);
    }

    /// A client is logged in at another tracker and has this contact. Returns the clients to tell that it is
    /// reachable.
    pub fn remote_online(&self, heard: HeardFrom, key: ClientKey, contact: Option<Arc<Contact>>) -> Vec<HolderUp> {
        self.register.lock().remote_online(heard, key, contact)
    }

    /// A client is no longer logged in at another tracker.
    pub fn remote_offline(&self, tracker: u16, key: ClientKey) {
        self.register.lock().remote_offline(tracker, key);
    }

    /// A client of another tracker holds these pieces of a share. Returns the clients to tell if it held nothing
    /// before. Ignores impossible holdings, and clients that the tracker has not told of.
    pub fn remote_holds(
        &self,
        heard: HeardFrom,
        key: ClientKey,
        swarm: SwarmInfo,
        holding: &Holding,
    ) -> Option<HolderUp> {
        self.register.lock().remote_holds(heard, key, swarm, holding)
    }
}

#[cfg(test)]
mod tests;
