//! The register behind the lock of presence: all clients and swarms, and what each event means for them.

mod remote_clients;

use super::budget::{Budget, Purse};
use super::client_key::ClientKey;
use super::fair_choice::{USER_PEERS_MAX, told_of};
use super::holder::{Holder, HolderUp};
use super::holdings::Holdings;
use super::pieces::{HeldPieces, Interner};
use super::remote_tracker::{Claim, RemoteTracker};
use super::renamed::Renamed;
use super::subscription::{CurrentPresence, Subscribers, Subscription, Unsent};
use super::swarm::{SwarmInfo, SwarmRole, Swarms};
use crate::model::id::{GroupRef, OpId, PeerKey, ShareRef, UserRef};
use crate::wire::client_tracker::Holding;
use crate::wire::codec::List;
use crate::wire::contact::Contact;
use crate::wire::deadlines::IDLE_DEADLINE;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client that is silent for this long counts as offline.
pub const TTL: Duration = IDLE_DEADLINE;

/// Proof of a login. A later login of the same client makes it void. So the end of an old connection takes nothing
/// from the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub key: ClientKey,
    generation: u64,
}

/// Why presence refuses what a client claims to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldError {
    /// The login was taken over or has expired.
    Void,
    /// A piece does not exist, or a bitfield has the wrong length.
    NoSuchPiece,
}

/// Who is online, where, and with which pieces. Invariants: a client is in a swarm exactly if its entry says so.
/// `crowded` has exactly the clients with holdings that found no room.
#[derive(Debug, Default)]
pub(super) struct Register {
    /// Counts logins.
    generation: u64,
    pub(super) clients: BTreeMap<ClientKey, Client>,
    pub(super) swarms: Swarms,
    pub(super) crowded: BTreeSet<ClientKey>,
    pub(super) budget: Arc<Budget>,
    interner: Interner,
    pub(super) remote_trackers: BTreeMap<u16, RemoteTracker>,
    pub(super) subscribers: Subscribers,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) home: Home,
    pub(super) contact: Option<Arc<Contact>>,
    pub(super) holdings: Holdings,
    /// The claims of trackers other than its home, the latest last.
    pub(super) claims: Vec<Claim>,
}

/// Where a client is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// At this tracker.
    Here { generation: u64, heard: Instant },
    /// At another tracker, which told of it.
    At(u16),
}

impl Client {
    fn new(home: Home, contact: Option<Arc<Contact>>, purse: Purse) -> Self {
        Self { home, contact, holdings: Holdings::new(purse), claims: Vec::new() }
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self.home, Home::Here { .. })
    }

    /// The tracker that the client is logged in at; `None` for this tracker.
    pub(super) fn tracker(&self) -> Option<u16> {
        match self.home {
            Home::Here { .. } => None,
            Home::At(tracker) => Some(tracker),
        }
    }

    /// Notes everything about a client of this tracker, for a subscriber that knows nothing of it.
    fn note_all(&self, key: ClientKey, unsent: &mut Unsent) {
        unsent.came(key);
        self.holdings.shares().for_each(|share| unsent.held(key, share, false, true));
    }

    fn claim(&mut self, tracker: u16) -> Option<&mut Claim> {
        self.claims.iter_mut().find(|claim| claim.tracker == tracker)
    }

    fn take_claim(&mut self, tracker: u16) -> Option<Claim> {
        let at = self.claims.iter().position(|claim| claim.tracker == tracker)?;
        Some(self.claims.remove(at))
    }
}

impl CurrentPresence for Register {
    fn contact(&self, key: ClientKey) -> Option<Option<Arc<Contact>>> {
        self.clients.get(&key).filter(|client| client.is_here()).map(|client| client.contact.clone())
    }

    fn holding(&self, key: ClientKey, share: ShareRef) -> Holding {
        let pieces = self.clients.get(&key).and_then(|client| client.holdings.pieces(share));
        pieces.map_or(Holding::Nothing {}, HeldPieces::told)
    }
}

/// The clients of this tracker.
impl Register {
    pub(super) fn enter(&mut self, key: ClientKey, now: Instant) -> Ticket {
        self.generation += 1;
        let generation = self.generation;
        let home = Home::Here { generation, heard: now };
        let was_here = self.clients.get(&key).is_some_and(Client::is_here);
        let purse = Purse::new(&self.budget, key.user);
        let client = self.clients.entry(key).or_insert_with(|| Client::new(home, None, purse));
        // The claim of another tracker stays until that tracker takes it back.
        if let Home::At(tracker) = client.home {
            client.claims.push(Claim { tracker, contact: client.contact.clone(), holdings: client.holdings.copy() });
        }
        client.home = home;
        if !was_here {
            self.subscribers.each(|unsent| client.note_all(key, unsent));
        }
        self.make_room();
        Ticket { key, generation }
    }

    /// The client of a valid login.
    pub(super) fn client(&mut self, ticket: &Ticket) -> Option<&mut Client> {
        let valid = |home| matches!(home, Home::Here { generation, .. } if generation == ticket.generation);
        self.clients.get_mut(&ticket.key).filter(|client| valid(client.home))
    }

    pub(super) fn heard(&mut self, ticket: &Ticket, now: Instant) -> bool {
        let generation = ticket.generation;
        self.client(ticket).map(|client| client.home = Home::Here { generation, heard: now }).is_some()
    }

    /// What was proved of a client stays proved while the client is in the same place.
    pub(super) fn announce(&mut self, ticket: &Ticket, mut contact: Contact) -> Vec<HolderUp> {
        let before = self.client(ticket).and_then(|client| client.contact.clone());
        let place = |contact: &Contact| (contact.key(), contact.seen.ip(), contact.announced);
        if let Some(before) = before.filter(|before| place(before) == place(&contact)) {
            contact.proved.clone_from(&before.proved);
        }
        match self.client(ticket) {
            Some(client) if client.contact.as_deref() != Some(&contact) => {
                self.relocate(ticket.key, Some(Arc::new(contact)))
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn prove(&mut self, ticket: &Ticket, key: PeerKey, addr: SocketAddr) -> Vec<HolderUp> {
        let contact = self.client(ticket).and_then(|client| client.contact.clone());
        let Some(contact) = contact.filter(|contact| contact.key() == key && !contact.proved.contains(&addr)) else {
            return Vec::new();
        };
        let proved = [addr].into_iter().chain(contact.proved.iter().copied()).collect();
        let contact = Contact { proved: List::first_of(proved), ..Contact::clone(&contact) };
        self.relocate(ticket.key, Some(Arc::new(contact)))
    }

    /// Gives a client another contact. If it is in another place, its peers are told.
    fn relocate(&mut self, key: ClientKey, contact: Option<Arc<Contact>>) -> Vec<HolderUp> {
        let Some(client) = self.clients.get_mut(&key) else {
            return Vec::new();
        };
        let before = std::mem::replace(&mut client.contact, contact);
        if client.is_here() {
            self.subscribers.each(|unsent| unsent.moved(key));
        }
        let now = self.clients[&key].contact.as_ref();
        let stays = before.as_ref().zip(now).is_some_and(|(before, now)| before.is_same_place(now));
        if stays { Vec::new() } else { self.ups_of(key) }
    }

    /// The news of where a client is now.
    fn ups_of(&self, key: ClientKey) -> Vec<HolderUp> {
        let client = &self.clients[&key];
        client.holdings.shares().filter_map(|share| self.holder_up(share, key)).collect()
    }

    /// Gives a client this holding. Returns the clients to tell if it held nothing before.
    pub(super) fn hold(
        &mut self,
        key: ClientKey,
        swarm: SwarmInfo,
        holding: &Holding,
    ) -> Result<Option<HolderUp>, HoldError> {
        let share = swarm.share;
        let Some(client) = self.clients.get_mut(&key) else {
            return Err(HoldError::Void);
        };
        let before = client.holdings.role(share);
        client.holdings.hear(swarm, holding, &mut self.interner).map_err(|_| HoldError::NoSuchPiece)?;
        let now = client.holdings.role(share);
        self.swarms.put(swarm, key, now);
        // A client may say the same again and again.
        let others = matches!(holding, Holding::Exactly { .. } | Holding::Runs { .. }) && now.is_partial();
        if client.is_here() && (before != now || others) {
            let (was_in, is_in) = (before != SwarmRole::Outside, now != SwarmRole::Outside);
            self.subscribers.each(|unsent| unsent.held(key, share, was_in, is_in));
        }
        self.note_crowded(key);
        self.make_room();
        Ok(match (before, now) {
            (SwarmRole::Outside, SwarmRole::Outside) if *holding == (Holding::All {}) => {
                // There is no room for this holding.
                self.tell_of(share, key, swarm.layout.count())
            }
            (SwarmRole::Outside | SwarmRole::Waiting, _) => self.holder_up(share, key),
            _ => None,
        })
    }

    fn note_crowded(&mut self, key: ClientKey) {
        if self.clients.get(&key).is_some_and(|client| client.holdings.is_crowded()) {
            self.crowded.insert(key);
        } else {
            self.crowded.remove(&key);
        }
    }

    /// While all holdings together take too much memory, reduces those of the user with the largest part. It takes one
    /// client at a time. It first reduces holdings to the number of pieces, and then drops them.
    fn make_room(&mut self) {
        while let Some(user) = self.budget.overspender() {
            let keys: Vec<_> = self.clients_of(user).collect();
            let coarsened = keys.iter().any(|&key| self.coarsen(key));
            if !coarsened && !keys.iter().rev().any(|&key| self.crowd_out(key)) {
                return;
            }
        }
    }

    /// Forgets which pieces a client holds. Returns false if that was unknown.
    fn coarsen(&mut self, key: ClientKey) -> bool {
        let Some(client) = self.clients.get_mut(&key) else {
            return false;
        };
        let details = client.claims.iter_mut().map(|claim| &mut claim.holdings).filter(|it| it.has_detail());
        let claimed = details.map(|holdings| drop(holdings.coarsen())).count();
        let changed = client.holdings.coarsen();
        if client.is_here() {
            changed.iter().for_each(|&share| self.subscribers.each(|unsent| unsent.held(key, share, true, true)));
        }
        claimed > 0 || !changed.is_empty()
    }

    /// Forgets what a client holds. Returns false if nothing was known.
    fn crowd_out(&mut self, key: ClientKey) -> bool {
        let Some(client) = self.clients.get_mut(&key) else {
            return false;
        };
        let claims = client.claims.iter_mut().map(|claim| &mut claim.holdings).filter(|it| !it.is_empty());
        let claimed = claims.map(Holdings::crowd_out).count();
        let shares: Vec<_> = client.holdings.shares().collect();
        if !shares.is_empty() {
            client.holdings.crowd_out();
        }
        for &share in &shares {
            self.swarms.leave(key, share);
            if client.is_here() {
                self.subscribers.each(|unsent| unsent.held(key, share, true, false));
            }
        }
        self.note_crowded(key);
        claimed > 0 || !shares.is_empty()
    }

    pub(super) fn leave_swarm(&mut self, key: ClientKey, share: ShareRef) {
        self.swarms.leave(key, share);
        if let Some(client) = self.clients.get_mut(&key)
            && client.holdings.remove(share)
            && client.is_here()
        {
            self.subscribers.each(|unsent| unsent.held(key, share, true, false));
        }
    }

    /// A client has left its place. The latest claim of another tracker takes effect.
    pub(super) fn end(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if client.is_here() {
            self.subscribers.each(|unsent| unsent.went(key));
        }
        client.holdings.shares().for_each(|share| self.swarms.leave(key, share));
        self.crowded.remove(&key);
        match client.claims.pop() {
            Some(claim) => self.settle(key, claim),
            None => {
                self.clients.remove(&key);
            }
        }
    }

    /// Puts a client where this claim says. It is in no swarm before.
    fn settle(&mut self, key: ClientKey, claim: Claim) {
        if let Some(client) = self.clients.get_mut(&key) {
            (client.home, client.contact, client.holdings) = (Home::At(claim.tracker), claim.contact, claim.holdings);
            client.holdings.roles().for_each(|(info, role)| self.swarms.put(info, key, role));
        }
        self.note_crowded(key);
    }

    /// The news that a client has pieces of a share, for the clients of this tracker that lack some.
    pub(super) fn holder_up(&self, share: ShareRef, key: ClientKey) -> Option<HolderUp> {
        self.tell_of(share, key, self.swarms.held(share, key)?)
    }

    fn tell_of(&self, share: ShareRef, key: ClientKey, held: u32) -> Option<HolderUp> {
        if !self.swarms.has_incomplete(share) {
            return None;
        }
        let holder = self.holder(key, held)?;
        if self.swarms.has_more_holders_of(share, key.user, USER_PEERS_MAX) {
            // The user has more holders than a client is ever told. So no client hears of this one, neither now nor in
            // answers.
            return None;
        }
        let is_here = |key: &ClientKey| self.clients.get(key).is_some_and(Client::is_here);
        let lacking = self.swarms.incomplete(share).filter(|&other| other != key).filter(is_here).collect();
        let tell = told_of(key, self.swarms.holder_count(share), lacking);
        (!tell.is_empty()).then_some(HolderUp { share, holder, tell })
    }

    /// A client as a holder of `held` pieces, if its contact is known.
    pub(super) fn holder(&self, key: ClientKey, held: u32) -> Option<Holder> {
        Some(Holder { key, contact: self.clients.get(&key)?.contact.clone()?, held })
    }

    pub(super) fn is_reachable(&self, key: ClientKey) -> bool {
        self.clients.get(&key).is_some_and(|client| client.contact.is_some())
    }

    /// The crowded clients that are not known to be in this swarm, and whose users satisfy `is_sharer`: each counts as
    /// if it held everything.
    pub(super) fn crowded_sharers(
        &self,
        swarm: SwarmInfo,
        is_sharer: impl Fn(UserRef) -> bool,
    ) -> Vec<(ClientKey, u32)> {
        let mut sharers = Vec::new();
        let mut next = self.crowded.first().copied();
        while let Some(ClientKey { user, .. }) = next {
            let keys = ClientKey::all_of(user);
            next = self.crowded.range((Bound::Excluded(*keys.end()), Bound::Unbounded)).next().copied();
            if is_sharer(user) {
                let keys = self.crowded_out(user, swarm.share).take(USER_PEERS_MAX);
                sharers.extend(keys.map(|key| (key, swarm.layout.count())));
            }
        }
        sharers
    }

    /// A user's crowded clients that are not known to be in this swarm.
    pub(super) fn crowded_out(&self, user: UserRef, share: ShareRef) -> impl Iterator<Item = ClientKey> + '_ {
        let keys = self.crowded.range(ClientKey::all_of(user)).copied();
        keys.filter(move |key| self.swarms.role(share, *key) == SwarmRole::Outside)
    }

    pub(super) fn clients_of(&self, user: UserRef) -> impl Iterator<Item = ClientKey> + '_ {
        self.clients.range(ClientKey::all_of(user)).map(|(&key, _)| key)
    }

    /// Takes all clients of a user out of the swarm of a share.
    pub(super) fn drop_sharer(&mut self, user: UserRef, share: ShareRef) {
        for key in self.clients_of(user).collect::<Vec<_>>() {
            for claim in self.clients.get_mut(&key).into_iter().flat_map(|client| &mut client.claims) {
                claim.holdings.remove(share);
            }
            self.leave_swarm(key, share);
        }
    }

    /// Takes all clients of a user out of the swarms for which `which` is true.
    pub(super) fn drop_where(&mut self, user: UserRef, which: impl Fn(ShareRef, GroupRef) -> bool) {
        let keys: Vec<_> = self.clients_of(user).collect();
        for key in keys {
            let Some(client) = self.clients.get_mut(&key) else {
                continue;
            };
            client.claims.iter_mut().for_each(|claim| claim.holdings.remove_where(&which));
            let lost = client.holdings.shares_where(&which);
            lost.into_iter().for_each(|share| self.leave_swarm(key, share));
        }
    }

    pub(super) fn subscribe(&mut self, subscription: &Arc<Subscription>) {
        self.subscribers.add(subscription, |unsent| {
            let here = self.clients.iter().filter(|(_, client)| client.is_here());
            here.for_each(|(&key, client)| client.note_all(key, unsent));
        });
    }
}

/// Clients of all trackers.
impl Register {
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<ClientKey> {
        let silent = |heard: Instant| now.saturating_duration_since(heard) >= TTL;
        let mut gone = Vec::new();
        let remote_trackers = self.remote_trackers.iter().filter(|(_, tracker)| silent(tracker.heard));
        let told: Vec<_> =
            remote_trackers.flat_map(|(&home, tracker)| tracker.told.iter().map(move |&key| (home, key))).collect();
        for (home, key) in told {
            self.remote_offline(home, key);
            gone.push(key);
        }
        let is_silent = |client: &Client| matches!(client.home, Home::Here { heard, .. } if silent(heard));
        let logins = self.clients.iter().filter(|(_, client)| is_silent(client)).map(|(&key, _)| key);
        for key in logins.collect::<Vec<_>>() {
            self.end(key);
            gone.push(key);
        }
        gone.retain(|key| !self.clients.contains_key(key));
        gone
    }

    /// Whether one of these ids is that of a client's user, of a held share or of its group. With shares or groups it
    /// looks at all clients, and with groups at all their holdings too.
    pub(super) fn knows(&self, ids: &Renamed) -> bool {
        let of_group =
            |of: &Holdings| !ids.groups.is_empty() && of.roles().any(|(info, _)| ids.groups.contains(&info.group));
        let has_share = |of: &Holdings| ids.shares.iter().any(|share| of.role_in(*share).is_some());
        let claimed = |claim: &Claim| has_share(&claim.holdings) || of_group(&claim.holdings);
        let of_client = |client: &Client| of_group(&client.holdings) || client.claims.iter().any(claimed);
        let told = |share: &ShareRef| self.remote_trackers.values().any(|tracker| tracker.holds(*share));
        ids.users.iter().any(|user| self.clients_of(*user).next().is_some())
            || ids.shares.iter().any(|share| self.swarms.has(*share) || told(share))
            || (ids.needs_all() && self.clients.values().any(of_client))
    }

    pub(super) fn rekey(&mut self, canonical: impl Fn(OpId) -> OpId) {
        self.leave_renamed_users(&canonical);
        self.leave_doubtful_twins(&canonical);
        self.remote_trackers.values_mut().for_each(|tracker| tracker.rekey(&canonical));
        let mut moved = BTreeSet::new();
        for (&key, client) in &mut self.clients {
            client.claims.iter_mut().for_each(|claim| drop(claim.holdings.rekey(&canonical)));
            for (old, new) in client.holdings.rekey(&canonical) {
                self.swarms.leave(key, old);
                let now = client.holdings.role_in(new);
                now.into_iter().for_each(|(info, role)| self.swarms.put(info, key, role));
                moved.insert(key);
            }
        }
        moved.iter().for_each(|key| self.note_crowded(*key));
        // Other trackers may lack these ops and still know two shares. So this tracker tells the clients again.
        self.subscribers.each(|unsent| {
            let renamed = unsent.clients_where(|share| canonical(share.0) != share.0);
            for key in moved.iter().copied().chain(renamed).collect::<BTreeSet<_>>() {
                if let Some(client) = self.clients.get(&key).filter(|client| client.is_here()) {
                    unsent.went(key);
                    client.note_all(key, unsent);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
