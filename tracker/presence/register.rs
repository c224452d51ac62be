//! The register behind the lock of presence: all clients and swarms, and what each event means for them.

use super::client_key::ClientKey;
use super::fair_choice::USER_PEERS_MAX;
use super::holder::{Holder, HolderUp};
use super::remote_tracker::{Claim, HeardFrom, RemoteTracker};
use super::subscription::{CurrentPresence, Subscribers, Subscription, Unsent};
use super::swarm::{Swarm, SwarmInfo, SwarmRole, Swarms};
use crate::model::id::{OpId, PeerKey, ShareRef, UserRef};
use crate::wire::client_tracker::Holding;
use crate::wire::codec::List;
use crate::wire::contact::Contact;
use crate::wire::deadlines::IDLE_DEADLINE;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client of which nothing was heard for this long is offline.
pub const TTL: Duration = IDLE_DEADLINE;

/// Proof of a login. A later login of the same client makes it void, so that the end of an old connection takes nothing
/// from the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub key: ClientKey,
    generation: u64,
}

/// Why a client cannot hold what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldError {
    /// The login was taken over or has expired.
    Void,
    /// A piece does not exist, or a bitfield has the wrong length.
    NoSuchPiece,
}

/// Who is online, where and with which pieces. Invariant: a client is in a swarm exactly if its entry says so.
#[derive(Debug, Default)]
pub(super) struct Register {
    /// Counts logins.
    generation: u64,
    pub(super) clients: BTreeMap<ClientKey, Client>,
    pub(super) swarms: Swarms,
    pub(super) remote_trackers: BTreeMap<u16, RemoteTracker>,
    pub(super) subscribers: Subscribers,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) home: Home,
    pub(super) contact: Option<Arc<Contact>>,
    /// The swarms in which it is.
    pub(super) shares: BTreeSet<ShareRef>,
    /// What trackers other than its home tell of it, the latest last.
    pub(super) claims: Vec<Claim>,
}

/// Where a client is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// At this tracker.
    Here { generation: u64, heard: Instant },
    /// At another tracker, which told it.
    At(u16),
}

impl Client {
    fn new(home: Home, contact: Option<Arc<Contact>>) -> Self {
        Self { home, contact, shares: BTreeSet::new(), claims: Vec::new() }
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self.home, Home::Here { .. })
    }

    /// The other tracker at which it is logged in.
    pub(super) fn tracker(&self) -> Option<u16> {
        match self.home {
            Home::Here { .. } => None,
            Home::At(tracker) => Some(tracker),
        }
    }

    /// Notes for a subscriber that knows nothing of a client of this tracker all that there is to tell.
    fn note_all(&self, key: ClientKey, unsent: &mut Unsent) {
        unsent.came(key);
        self.shares.iter().for_each(|&share| unsent.held(key, share, false, true));
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
        self.swarms.holding(share, key)
    }
}

/// The clients of this tracker.
impl Register {
    pub(super) fn enter(&mut self, key: ClientKey, now: Instant) -> Ticket {
        self.generation += 1;
        let generation = self.generation;
        let home = Home::Here { generation, heard: now };
        let was_here = self.clients.get(&key).is_some_and(Client::is_here);
        let client = self.clients.entry(key).or_insert_with(|| Client::new(home, None));
        // What another tracker told holds until that tracker says otherwise.
        if let Home::At(tracker) = client.home {
            let (contact, swarms) = (client.contact.clone(), self.swarms.of_client(key, &client.shares));
            let claim = Claim { tracker, contact, swarms };
            client.claims.push(claim);
        }
        client.home = home;
        if !was_here {
            self.subscribers.each(|unsent| client.note_all(key, unsent));
        }
        Ticket { key, generation }
    }

    /// The entry of a login that is not void.
    pub(super) fn client(&mut self, ticket: &Ticket) -> Option<&mut Client> {
        let valid = |home| matches!(home, Home::Here { generation, .. } if generation == ticket.generation);
        self.clients.get_mut(&ticket.key).filter(|client| valid(client.home))
    }

    pub(super) fn heard(&mut self, ticket: &Ticket, now: Instant) -> bool {
        let generation = ticket.generation;
        self.client(ticket).map(|client| client.home = Home::Here { generation, heard: now }).is_some()
    }

    /// What was proved of a client that is in the same place stays proved.
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

    /// A client has another contact. Clients are told if it is in another place.
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

    /// The news that a client is where it is now.
    fn ups_of(&self, key: ClientKey) -> Vec<HolderUp> {
        let client = &self.clients[&key];
        client.shares.iter().filter_map(|&share| self.holder_up(share, key)).collect()
    }

    /// A client holds these pieces now. Returns whom to tell if it held none before.
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
        let before = self.swarms.role(share, key);
        if !self.swarms.hold(key, swarm, holding) {
            return Err(HoldError::NoSuchPiece);
        }
        let is_in = self.swarms.role(share, key) != SwarmRole::Outside;
        if is_in {
            client.shares.insert(share);
        } else {
            client.shares.remove(&share);
        }
        if client.is_here() {
            self.subscribers.each(|unsent| unsent.held(key, share, before != SwarmRole::Outside, is_in));
        }
        Ok(if before <= SwarmRole::Waiting { self.holder_up(share, key) } else { None })
    }

    pub(super) fn leave_swarm(&mut self, key: ClientKey, share: ShareRef) {
        self.swarms.leave(key, share);
        if let Some(client) = self.clients.get_mut(&key)
            && client.shares.remove(&share)
            && client.is_here()
        {
            self.subscribers.each(|unsent| unsent.held(key, share, true, false));
        }
    }

    /// A client is no longer where it was. The latest claim of another tracker becomes effective.
    pub(super) fn end(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if client.is_here() {
            self.subscribers.each(|unsent| unsent.went(key));
        }
        for share in std::mem::take(&mut client.shares) {
            self.swarms.leave(key, share);
        }
        match client.claims.pop() {
            Some(claim) => self.settle(key, claim),
            None => {
                self.clients.remove(&key);
            }
        }
    }

    /// A client is where this claim says. It is in no swarm before.
    fn settle(&mut self, key: ClientKey, claim: Claim) {
        if let Some(client) = self.clients.get_mut(&key) {
            (client.home, client.contact) = (Home::At(claim.tracker), claim.contact);
            client.shares = claim.swarms.shares().collect();
            self.swarms.absorb(claim.swarms);
        }
    }

    /// The news that a client can be asked for pieces of a share, for those clients of this tracker that want to know.
    pub(super) fn holder_up(&self, share: ShareRef, key: ClientKey) -> Option<HolderUp> {
        let swarm = self.swarms.get(share)?;
        let holder = self.holder(swarm, key)?;
        if swarm.holder_count_of(key.user) > USER_PEERS_MAX {
            // Nobody is told of so many, neither now nor when asking.
            return None;
        }
        let is_here = |key: &ClientKey| self.clients.get(key).is_some_and(Client::is_here);
        let tell: Vec<_> = swarm.incomplete().filter(|&other| other != key).filter(is_here).collect();
        (!tell.is_empty()).then_some(HolderUp { share, holder, tell })
    }

    /// A client as a holder, if it holds pieces and its contact is known.
    pub(super) fn holder(&self, swarm: &Swarm, key: ClientKey) -> Option<Holder> {
        Some(Holder { key, contact: self.clients.get(&key)?.contact.clone()?, held: swarm.held(key)? })
    }

    pub(super) fn clients_of(&self, user: UserRef) -> impl Iterator<Item = ClientKey> + '_ {
        self.clients.range(ClientKey::all_of(user)).map(|(&key, _)| key)
    }

    /// No client of a user holds anything of the shares for which `which` is true.
    pub(super) fn drop_where(&mut self, user: UserRef, which: impl Fn(ShareRef, &Swarm) -> bool) {
        let keys: Vec<_> = self.clients_of(user).collect();
        for key in keys {
            let Some(client) = self.clients.get_mut(&key) else {
                continue;
            };
            client.claims.iter_mut().for_each(|claim| claim.swarms.leave_where(key, &which));
            let fits = |share: &ShareRef| self.swarms.get(*share).is_some_and(|swarm| which(*share, swarm));
            let lost: Vec<_> = client.shares.iter().copied().filter(fits).collect();
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

/// The clients of other trackers.
impl Register {
    fn remote_tracker(&mut self, heard: HeardFrom) -> &mut RemoteTracker {
        let tracker = self.remote_trackers.entry(heard.tracker).or_insert_with(|| RemoteTracker::new(heard.at));
        tracker.heard = heard.at;
        tracker
    }

    pub(super) fn heard_from_tracker(&mut self, heard: HeardFrom) {
        self.remote_tracker(heard);
    }

    pub(super) fn begin_snapshot(&mut self, heard: HeardFrom) {
        self.remote_tracker(heard).begin();
    }

    pub(super) fn end_snapshot(&mut self, home: u16) {
        let Some(tracker) = self.remote_trackers.get_mut(&home) else {
            return;
        };
        let Some(confirmed) = tracker.finish() else {
            return;
        };
        for key in tracker.told.clone() {
            if !confirmed.clients.contains(&key) {
                self.remote_offline(home, key);
                continue;
            }
            let doubtful = |share: &ShareRef| !confirmed.holdings.contains(&(key, *share));
            match self.clients.get_mut(&key) {
                Some(client) if client.home == Home::At(home) => {
                    let void: Vec<_> = client.shares.iter().copied().filter(doubtful).collect();
                    void.into_iter().for_each(|share| self.leave_swarm(key, share));
                }
                Some(client) => {
                    let claim = client.claim(home).into_iter();
                    claim.for_each(|claim| claim.swarms.leave_where(key, |share, _| doubtful(&share)));
                }
                None => {}
            }
        }
    }

    pub(super) fn remote_online(
        &mut self,
        heard: HeardFrom,
        key: ClientKey,
        contact: Option<Arc<Contact>>,
    ) -> Vec<HolderUp> {
        self.remote_tracker(heard).confirm(key);
        let home = heard.tracker;
        let client = self.clients.entry(key).or_insert_with(|| Client::new(Home::At(home), contact.clone()));
        if client.home == Home::At(home) {
            return if client.contact == contact { Vec::new() } else { self.relocate(key, contact) };
        }
        let swarms = client.take_claim(home).map(|claim| claim.swarms).unwrap_or_default();
        let own = Claim { tracker: home, contact: contact.clone(), swarms };
        match client.home {
            Home::Here { .. } => {
                client.claims.push(own);
                Vec::new()
            }
            Home::At(other) => {
                let shares = std::mem::take(&mut client.shares);
                let swarms = self.swarms.of_client(key, &shares);
                client.claims.push(Claim { tracker: other, contact: client.contact.clone(), swarms });
                shares.into_iter().for_each(|share| self.swarms.leave(key, share));
                self.settle(key, own);
                self.ups_of(key)
            }
        }
    }

    pub(super) fn remote_offline(&mut self, home: u16, key: ClientKey) {
        if !self.remote_trackers.get_mut(&home).is_some_and(|tracker| tracker.forget(key)) {
            return;
        }
        match self.clients.get_mut(&key) {
            Some(client) if client.home == Home::At(home) => self.end(key),
            Some(client) => {
                client.take_claim(home);
            }
            None => {}
        }
    }

    pub(super) fn remote_holds(
        &mut self,
        heard: HeardFrom,
        key: ClientKey,
        swarm: SwarmInfo,
        holding: &Holding,
    ) -> Option<HolderUp> {
        if !self.remote_tracker(heard).confirm_holding(key, swarm.share) {
            return None;
        }
        let client = self.clients.get_mut(&key)?;
        if client.home == Home::At(heard.tracker) {
            // A holding that cannot be changes nothing.
            return self.hold(key, swarm, holding).ok().flatten();
        }
        client.claim(heard.tracker)?.swarms.hold(key, swarm, holding);
        None
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

    /// Drops clients of other trackers whose user turned out to be another. Their tracker ends the logins, and they
    /// come again.
    fn leave_renamed_users(&mut self, canonical: impl Fn(OpId) -> OpId) {
        let told =
            self.remote_trackers.iter().flat_map(|(&home, tracker)| tracker.told.iter().map(move |&key| (home, key)));
        let gone: Vec<_> = told.filter(|(_, key)| canonical(key.user.0) != key.user.0).collect();
        gone.into_iter().for_each(|(home, key)| self.remote_offline(home, key));
    }

    /// Two shares are about to become one, and a tracker in the middle of its snapshot has told of only one of them so
    /// far. Drops what that tracker told of the other one before: it would pass for part of the snapshot.
    fn leave_doubtful_twins(&mut self, canonical: impl Fn(OpId) -> OpId) {
        let telling = self.remote_trackers.iter().filter(|(_, tracker)| tracker.is_telling());
        let told: Vec<_> =
            telling.flat_map(|(&home, tracker)| tracker.told.iter().map(move |&key| (home, key))).collect();
        for (home, key) in told {
            let Some(client) = self.clients.get_mut(&key) else {
                continue;
            };
            let in_effect = client.home == Home::At(home);
            let shares: Vec<ShareRef> = match client.claim(home) {
                Some(claim) => claim.swarms.shares().collect(),
                None => client.shares.iter().copied().collect(),
            };
            let mut twins: BTreeMap<OpId, Vec<ShareRef>> = BTreeMap::new();
            shares.into_iter().for_each(|share| twins.entry(canonical(share.0)).or_default().push(share));
            let doubtful = |twins: &Vec<ShareRef>| self.remote_trackers[&home].doubtful(key, twins);
            let void: Vec<_> = twins.values().filter(|twins| twins.len() > 1).flat_map(doubtful).collect();
            match client.claim(home) {
                Some(claim) => claim.swarms.leave_where(key, |share, _| void.contains(&share)),
                None if in_effect => void.into_iter().for_each(|share| self.leave_swarm(key, share)),
                None => {}
            }
        }
    }

    /// Whether a client, a share that somebody holds or a group goes by an id.
    pub(super) fn knows(&self, id: OpId, is_share: bool) -> bool {
        let mut claims = self.clients.values().flat_map(|client| &client.claims);
        let of_group = |swarm: &Swarm| swarm.group.0 == id;
        let here = |swarms: &Swarms| swarms.get(ShareRef(id)).is_some() || (!is_share && swarms.any(of_group));
        here(&self.swarms)
            || claims.any(|claim| here(&claim.swarms))
            || self.remote_trackers.values().any(|tracker| tracker.holds(ShareRef(id)))
            || self.clients.range(ClientKey::all_of(UserRef(id))).next().is_some()
    }

    pub(super) fn rekey(&mut self, canonical: impl Fn(OpId) -> OpId) {
        self.leave_renamed_users(&canonical);
        self.leave_doubtful_twins(&canonical);
        self.remote_trackers.values_mut().for_each(|tracker| tracker.rekey(&canonical));
        let claims = self.clients.values_mut().flat_map(|client| &mut client.claims);
        claims.for_each(|claim| drop(claim.swarms.rekey(&canonical)));
        let mut moved = BTreeSet::new();
        for (key, old, new) in self.swarms.rekey(&canonical) {
            if let Some(client) = self.clients.get_mut(&key) {
                client.shares.remove(&old);
                client.shares.insert(new);
                moved.insert(key);
            }
        }
        // Other trackers may lack these ops and know two shares where there is one. So this one tells them anew.
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
