//! Who is online right now, at which address, with which pieces. Soft state: never journaled, gone when nothing is heard
//! for [`TTL`]. Time is passed in.

use crate::model::bitfield::Bitfield;
use crate::model::id::{ClientId, GroupRef, ShareRef, UserRef};
use crate::model::piece::{Layout, PieceIndex};
use crate::wire::client_tracker::{Holding, PEERS_MAX};
use crate::wire::conn::IDLE_DEADLINE;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A client of which nothing was heard for this long is offline.
pub const TTL: Duration = IDLE_DEADLINE;

/// A running client of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    /// Whose.
    pub user: UserRef,
    /// Which of the user's clients.
    pub client: ClientId,
}

/// What a login holds. A later login of the same client makes it void, so that the end of an old connection takes
/// nothing from the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Which client.
    pub key: ClientKey,
    generation: u64,
}

/// A client that holds pieces of a share and can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Which client.
    pub key: ClientKey,
    /// Where it listens.
    pub addr: SocketAddr,
    /// How many pieces it holds.
    pub held: u32,
}

/// Somebody began to hold pieces of a share, or holds them at another address now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risen {
    /// Of which share.
    pub share: ShareRef,
    /// Who.
    pub holder: Holder,
    /// The clients that want to know: those that do not hold all of it.
    pub tell: Vec<ClientKey>,
}

/// Why a client cannot hold what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldError {
    /// The login was taken over or has expired.
    Void,
    /// A piece does not exist, or a bitfield has the wrong length.
    NoSuchPiece,
}

/// The one place that knows who is online.
#[derive(Debug, Default)]
pub struct Presence {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts logins.
    generation: u64,
    clients: BTreeMap<ClientKey, Client>,
    swarms: HashMap<ShareRef, Swarm>,
}

#[derive(Debug)]
struct Client {
    generation: u64,
    heard: Instant,
    addr: Option<SocketAddr>,
    /// The swarms in which it is.
    shares: BTreeSet<ShareRef>,
}

/// The clients that have to do with one share. Invariant: a client is in at most one of the three, and is in one exactly
/// if its entry says so.
#[derive(Debug)]
struct Swarm {
    group: GroupRef,
    layout: Layout,
    /// Hold all pieces. A flag, since a bitfield would say no more.
    seeds: BTreeSet<ClientKey>,
    /// Hold some pieces.
    partial: BTreeMap<ClientKey, Bitfield>,
    /// Download and hold none yet.
    waiting: BTreeSet<ClientKey>,
}

impl Swarm {
    fn new(group: GroupRef, layout: Layout) -> Self {
        Self { group, layout, seeds: BTreeSet::new(), partial: BTreeMap::new(), waiting: BTreeSet::new() }
    }

    /// Takes a client out; gives the pieces that it held, if it did not hold all.
    fn remove(&mut self, key: ClientKey) -> Option<Bitfield> {
        self.seeds.remove(&key);
        self.waiting.remove(&key);
        self.partial.remove(&key)
    }

    fn is_empty(&self) -> bool {
        self.seeds.is_empty() && self.partial.is_empty() && self.waiting.is_empty()
    }

    /// How many pieces a client holds.
    fn held(&self, key: ClientKey) -> u32 {
        if self.seeds.contains(&key) { self.layout.count() } else { self.partial.get(&key).map_or(0, Bitfield::held) }
    }

    fn holds_any(&self, key: ClientKey) -> bool {
        self.seeds.contains(&key) || self.partial.contains_key(&key)
    }

    /// Puts a client in its place by the pieces it holds now.
    fn put(&mut self, key: ClientKey, bits: Bitfield) {
        if bits.is_empty() {
            self.waiting.insert(key);
        } else if bits.is_complete() {
            self.seeds.insert(key);
        } else {
            self.partial.insert(key, bits);
        }
    }

    /// Takes what a client says about its pieces; false, and nothing is changed, if that cannot be.
    fn hold(&mut self, key: ClientKey, holding: &Holding) -> bool {
        match holding {
            Holding::All {} => {
                self.remove(key);
                self.seeds.insert(key);
            }
            Holding::Nothing {} => {
                self.remove(key);
            }
            Holding::Exactly { bits } => {
                let Some(bits) = Bitfield::from_bytes(self.layout, bits.as_bytes()) else {
                    return false;
                };
                self.remove(key);
                self.put(key, bits);
            }
            Holding::More { pieces } => {
                let indexes: Option<Vec<PieceIndex>> = pieces.iter().map(|&piece| self.layout.index(piece)).collect();
                let Some(indexes) = indexes else {
                    return false;
                };
                if !self.seeds.contains(&key) {
                    let mut bits = self.remove(key).unwrap_or_else(|| Bitfield::none(self.layout));
                    indexes.into_iter().for_each(|piece| {
                        bits.insert(piece);
                    });
                    self.put(key, bits);
                }
            }
        }
        true
    }

    fn incomplete(&self) -> impl Iterator<Item = ClientKey> + '_ {
        self.partial.keys().chain(&self.waiting).copied()
    }
}

impl Inner {
    fn valid(&self, ticket: &Ticket) -> bool {
        self.clients.get(&ticket.key).is_some_and(|client| client.generation == ticket.generation)
    }

    fn remove(&mut self, key: ClientKey) {
        for share in self.clients.remove(&key).into_iter().flat_map(|client| client.shares) {
            self.leave_swarm(key, share);
        }
    }

    fn leave_swarm(&mut self, key: ClientKey, share: ShareRef) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.shares.remove(&share);
        }
        if let Some(swarm) = self.swarms.get_mut(&share) {
            swarm.remove(key);
            if swarm.is_empty() {
                self.swarms.remove(&share);
            }
        }
    }

    fn holder(&self, swarm: &Swarm, key: ClientKey) -> Option<Holder> {
        let addr = self.clients.get(&key)?.addr?;
        Some(Holder { key, addr, held: swarm.held(key) })
    }

    /// Says that a client can be asked for pieces of a share from now on.
    fn risen(&self, share: ShareRef, key: ClientKey) -> Option<Risen> {
        let swarm = self.swarms.get(&share)?;
        let holder = self.holder(swarm, key)?;
        let tell: Vec<_> = swarm.incomplete().filter(|&other| other != key).collect();
        (swarm.holds_any(key) && !tell.is_empty()).then_some(Risen { share, holder, tell })
    }

    fn clients_of(&self, user: UserRef) -> impl Iterator<Item = ClientKey> + '_ {
        let first = ClientKey { user, client: ClientId([0; 16]) };
        let last = ClientKey { user, client: ClientId([0xff; 16]) };
        self.clients.range(first..=last).map(|(&key, _)| key)
    }
}

impl Presence {
    /// Nobody is online.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client has logged in. An entry of the same client that is still there goes over to this login with all that
    /// it says.
    pub fn enter(&self, key: ClientKey, now: Instant) -> Ticket {
        let inner = &mut *self.inner.lock();
        inner.generation += 1;
        let generation = inner.generation;
        let new = || Client { generation, heard: now, addr: None, shares: BTreeSet::new() };
        let client = inner.clients.entry(key).or_insert_with(new);
        (client.generation, client.heard) = (generation, now);
        Ticket { key, generation }
    }

    /// A login is over. Without effect if a later login of the same client has taken its place.
    pub fn leave(&self, ticket: &Ticket) {
        let mut inner = self.inner.lock();
        if inner.valid(ticket) {
            inner.remove(ticket.key);
        }
    }

    /// Something was heard of a client; false if its login is void.
    pub fn heard(&self, ticket: &Ticket, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        let client = inner.clients.get_mut(&ticket.key).filter(|client| client.generation == ticket.generation);
        client.map(|client| client.heard = now).is_some()
    }

    /// Takes out everybody of whom nothing was heard for [`TTL`]; tells whom.
    pub fn sweep(&self, now: Instant) -> Vec<ClientKey> {
        let mut inner = self.inner.lock();
        let silent = |client: &Client| now.saturating_duration_since(client.heard) >= TTL;
        let gone: Vec<_> = inner.clients.iter().filter(|(_, client)| silent(client)).map(|(&key, _)| key).collect();
        gone.iter().for_each(|&key| inner.remove(key));
        gone
    }

    /// A client listens at this address; tells who should know that it can be reached there.
    pub fn announce(&self, ticket: &Ticket, addr: SocketAddr) -> Vec<Risen> {
        let inner = &mut *self.inner.lock();
        let client = inner.clients.get_mut(&ticket.key).filter(|client| client.generation == ticket.generation);
        let Some(client) = client.filter(|client| client.addr != Some(addr)) else {
            return Vec::new();
        };
        client.addr = Some(addr);
        let client = &inner.clients[&ticket.key];
        client.shares.iter().filter_map(|&share| inner.risen(share, ticket.key)).collect()
    }

    /// A client holds these pieces of a share; tells who should know if it held none before. The caller has checked
    /// that the user is a member of the group.
    pub fn hold(
        &self,
        ticket: &Ticket,
        (share, group, layout): (ShareRef, GroupRef, Layout),
        holding: &Holding,
    ) -> Result<Option<Risen>, HoldError> {
        let inner = &mut *self.inner.lock();
        if !inner.valid(ticket) {
            return Err(HoldError::Void);
        }
        let key = ticket.key;
        let swarm = inner.swarms.entry(share).or_insert_with(|| Swarm::new(group, layout));
        let held_before = swarm.holds_any(key);
        let possible = swarm.hold(key, holding);
        if matches!(holding, Holding::Nothing {}) || swarm.is_empty() {
            inner.leave_swarm(key, share);
        } else if let Some(client) = inner.clients.get_mut(&key).filter(|_| possible) {
            client.shares.insert(share);
        }
        match possible {
            true if held_before => Ok(None),
            true => Ok(inner.risen(share, key)),
            false => Err(HoldError::NoSuchPiece),
        }
    }

    /// A user is no longer a member of a group: nothing of its shares is held any more.
    pub fn drop_member(&self, user: UserRef, group: GroupRef) {
        self.drop_where(user, |_, swarm| swarm.group == group);
    }

    /// A user no longer shares this, on whatever client.
    pub fn drop_sharer(&self, user: UserRef, share: ShareRef) {
        self.drop_where(user, |other, _| other == share);
    }

    fn drop_where(&self, user: UserRef, which: impl Fn(ShareRef, &Swarm) -> bool) {
        let mut inner = self.inner.lock();
        let keys: Vec<_> = inner.clients_of(user).collect();
        for key in keys {
            let shares = inner.clients[&key].shares.iter().copied();
            let lost: Vec<_> =
                shares.filter(|share| inner.swarms.get(share).is_some_and(|swarm| which(*share, swarm))).collect();
            lost.into_iter().for_each(|share| inner.leave_swarm(key, share));
        }
    }

    /// Clients that hold pieces of a share and can be reached, without the one that asks: at most [`PEERS_MAX`], those
    /// with more pieces first. Among equals every asker gets another order, so that not all go to the same ones.
    pub fn peers(&self, share: ShareRef, asking: ClientKey) -> Vec<Holder> {
        let mut holders: Vec<Holder> = {
            let inner = self.inner.lock();
            let Some(swarm) = inner.swarms.get(&share) else {
                return Vec::new();
            };
            let keys = swarm.seeds.iter().chain(swarm.partial.keys()).filter(|&&key| key != asking);
            keys.filter_map(|&key| inner.holder(swarm, key)).collect()
        };
        let distance = |key: ClientKey| u128::from_be_bytes(key.client.0) ^ u128::from_be_bytes(asking.client.0);
        holders.sort_unstable_by_key(|holder| (std::cmp::Reverse(holder.held), distance(holder.key), holder.key));
        holders.truncate(PEERS_MAX);
        holders
    }

    /// The addresses at which a piece can be had.
    pub fn addresses(&self, share: ShareRef, piece: PieceIndex) -> Vec<SocketAddr> {
        let inner = self.inner.lock();
        let Some(swarm) = inner.swarms.get(&share) else {
            return Vec::new();
        };
        let partial = swarm.partial.iter().filter(|(_, bits)| bits.has(piece)).map(|(key, _)| key);
        let keys = swarm.seeds.iter().chain(partial);
        keys.filter_map(|key| inner.clients.get(key)?.addr).collect()
    }

    /// On how many clients pieces of each of these shares are held.
    pub fn holder_counts(&self, shares: impl Iterator<Item = ShareRef>) -> Vec<u32> {
        let inner = self.inner.lock();
        let count = |swarm: &Swarm| swarm.seeds.len() + swarm.partial.len();
        // Far below 2^32: every holder has a connection.
        shares.map(|share| inner.swarms.get(&share).map_or(0, count) as u32).collect()
    }

    /// On how many clients each of these users is online.
    pub fn client_counts(&self, users: impl Iterator<Item = UserRef>) -> Vec<u32> {
        let inner = self.inner.lock();
        users.map(|user| inner.clients_of(user).count() as u32).collect()
    }

    /// How many clients are online.
    pub fn client_count(&self) -> usize {
        self.inner.lock().clients.len()
    }

    /// How many users are online.
    pub fn user_count(&self) -> usize {
        let inner = self.inner.lock();
        let mut last = None;
        inner.clients.keys().filter(|key| last.replace(key.user) != Some(key.user)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};
    use crate::model::piece::PIECE_LEN;
    use crate::wire::codec::{Blob, List};

    fn op(seq: u64) -> OpId {
        OpId { origin: Origin { tracker: 1, incarnation: 7 }, seq }
    }

    fn key(user: u64, client: u8) -> ClientKey {
        ClientKey { user: UserRef(op(user)), client: ClientId([client; 16]) }
    }

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn share(pieces: u64) -> (ShareRef, GroupRef, Layout) {
        let layout = Layout::new(pieces * u64::from(PIECE_LEN)).expect("small");
        (ShareRef(op(100 + pieces)), GroupRef(op(50)), layout)
    }

    fn exactly(bytes: &[u8]) -> Holding {
        Holding::Exactly { bits: Blob::new(bytes.to_vec()).expect("short") }
    }

    fn more(pieces: &[u32]) -> Holding {
        Holding::More { pieces: List::new(pieces.to_vec()).expect("few") }
    }

    fn all() -> Holding {
        Holding::All {}
    }

    /// A presence and the logins of these clients, each at a port of its own.
    fn online(now: Instant, keys: &[ClientKey]) -> (Presence, Vec<Ticket>) {
        let presence = Presence::new();
        let enter = |(i, &key): (usize, &ClientKey)| {
            let ticket = presence.enter(key, now);
            presence.announce(&ticket, addr(1000 + i as u16));
            ticket
        };
        let tickets = keys.iter().enumerate().map(enter).collect();
        (presence, tickets)
    }

    #[test]
    fn whoever_begins_to_hold_is_told_to_those_who_hold_not_all() {
        let (presence, t) = online(Instant::now(), &[key(1, 1), key(2, 2), key(3, 3)]);
        let share = share(10);
        assert_eq!(presence.hold(&t[0], share, &exactly(&[0, 0])), Ok(None), "nothing to offer");
        let risen = presence.hold(&t[1], share, &all()).expect("valid").expect("told");
        assert_eq!((risen.tell, risen.holder.held, risen.holder.addr), (vec![t[0].key], 10, addr(1001)));
        assert_eq!(presence.hold(&t[1], share, &all()), Ok(None), "told once");
        assert_eq!(presence.hold(&t[2], share, &more(&[])), Ok(None));
        let risen = presence.hold(&t[2], share, &more(&[3])).expect("valid").expect("the first piece");
        assert_eq!((risen.tell, risen.holder.held), (vec![t[0].key], 1));
        assert_eq!(presence.hold(&t[2], share, &more(&[4])), Ok(None), "the second one");
    }

    #[test]
    fn peers_come_with_more_pieces_first_and_without_the_asker_and_the_unreachable() {
        let now = Instant::now();
        let (presence, t) = online(now, &[key(1, 1), key(1, 2), key(2, 3), key(3, 4)]);
        let share = share(10);
        presence.hold(&t[0], share, &more(&[1, 2])).expect("valid");
        presence.hold(&t[1], share, &all()).expect("valid");
        presence.hold(&t[2], share, &exactly(&[0, 0])).expect("valid");
        presence.hold(&t[3], share, &more(&[9])).expect("valid");
        let silent = presence.enter(key(4, 5), now);
        presence.hold(&silent, share, &all()).expect("valid");
        let held = |asking| presence.peers(share.0, asking).iter().map(|peer| peer.held).collect::<Vec<_>>();
        assert_eq!(held(t[2].key), [10, 2, 1]);
        assert_eq!(held(t[1].key), [2, 1], "another client of the same user is a peer like any other");
        assert_eq!(presence.holder_counts([share.0].into_iter()), [4]);
        assert_eq!(presence.client_counts([UserRef(op(1)), UserRef(op(9))].into_iter()), [2, 0]);
        let piece = |number| share.2.index(number).expect("there");
        assert_eq!(presence.addresses(share.0, piece(2)), [addr(1001), addr(1000)]);
        assert_eq!(presence.addresses(share.0, piece(9)), [addr(1001), addr(1003)]);
        assert_eq!((presence.client_count(), presence.user_count()), (5, 4));
    }

    #[test]
    fn a_new_address_is_told_too() {
        let (presence, t) = online(Instant::now(), &[key(1, 1), key(2, 2)]);
        let share = share(3);
        presence.hold(&t[0], share, &exactly(&[0])).expect("valid");
        presence.hold(&t[1], share, &all()).expect("valid");
        assert_eq!(presence.announce(&t[1], addr(1001)), [], "the address it had");
        let risen = presence.announce(&t[1], addr(2000));
        assert_eq!(risen.len(), 1);
        assert_eq!((risen[0].holder.addr, &risen[0].tell[..]), (addr(2000), &[t[0].key][..]));
        assert_eq!(presence.announce(&t[0], addr(3000)), [], "it has nothing to offer");
    }

    #[test]
    fn a_later_login_of_the_same_client_takes_over() {
        let now = Instant::now();
        let (presence, t) = online(now, &[key(1, 1), key(2, 2)]);
        let share = share(3);
        presence.hold(&t[0], share, &all()).expect("valid");
        let new = presence.enter(key(1, 1), now);
        presence.leave(&t[0]);
        assert_eq!(presence.holder_counts([share.0].into_iter()), [1], "the old connection's end changes nothing");
        assert!(!presence.heard(&t[0], now));
        assert_eq!(presence.hold(&t[0], share, &all()), Err(HoldError::Void));
        assert_eq!(presence.announce(&t[0], addr(9)), []);
        assert!(presence.heard(&new, now));
        presence.leave(&new);
        assert_eq!(presence.holder_counts([share.0].into_iter()), [0]);
        assert_eq!(presence.client_count(), 1);
    }

    #[test]
    fn who_is_silent_for_the_time_to_live_is_offline() {
        let start = Instant::now();
        let (presence, t) = online(start, &[key(1, 1), key(2, 2)]);
        presence.hold(&t[0], share(3), &all()).expect("valid");
        let later = start + TTL - Duration::from_millis(1);
        assert!(presence.heard(&t[1], later));
        assert_eq!(presence.sweep(later), []);
        assert_eq!(presence.sweep(start + TTL), [t[0].key]);
        assert!(!presence.heard(&t[0], start + TTL));
        assert_eq!(presence.holder_counts([share(3).0].into_iter()), [0]);
        assert_eq!(presence.sweep(later + TTL), [t[1].key]);
        assert!(presence.inner.lock().swarms.is_empty());
    }

    #[test]
    fn lost_membership_and_an_ended_share_take_the_holdings_of_all_clients_of_the_user() {
        let (presence, t) = online(Instant::now(), &[key(1, 1), key(1, 2), key(2, 3)]);
        let (a, b) = (share(3), share(4));
        let elsewhere = (ShareRef(op(200)), GroupRef(op(51)), a.2);
        for ticket in &t {
            for share in [a, b, elsewhere] {
                presence.hold(ticket, share, &all()).expect("valid");
            }
        }
        let counts = || presence.holder_counts([a.0, b.0, elsewhere.0].into_iter());
        presence.drop_sharer(UserRef(op(1)), a.0);
        assert_eq!(counts(), [1, 3, 3]);
        presence.drop_member(UserRef(op(1)), GroupRef(op(50)));
        assert_eq!(counts(), [1, 1, 3]);
    }

    #[test]
    fn pieces_that_do_not_exist_are_refused_and_leave_nothing_behind() {
        let (presence, t) = online(Instant::now(), &[key(1, 1)]);
        let share = share(10);
        for bad in [exactly(&[0xff]), exactly(&[0xff, 0xff]), exactly(&[0, 0, 0]), more(&[10]), more(&[u32::MAX])] {
            assert_eq!(presence.hold(&t[0], share, &bad), Err(HoldError::NoSuchPiece), "{bad:?}");
        }
        assert!(presence.inner.lock().swarms.is_empty());
        presence.hold(&t[0], share, &more(&[1])).expect("valid");
        assert!(presence.hold(&t[0], share, &more(&[2, 10])).is_err());
        assert_eq!(presence.inner.lock().swarms[&share.0].held(t[0].key), 1, "as it was before");
    }

    #[test]
    fn the_last_piece_makes_a_seed_and_an_empty_file_is_held_by_saying_so() {
        let (presence, t) = online(Instant::now(), &[key(1, 1), key(2, 2)]);
        presence.hold(&t[0], share(3), &exactly(&[0b1100_0000])).expect("valid");
        presence.hold(&t[0], share(3), &more(&[2])).expect("valid");
        assert!(presence.inner.lock().swarms[&share(3).0].seeds.contains(&t[0].key));
        presence.hold(&t[0], share(3), &more(&[1])).expect("valid");
        assert!(presence.inner.lock().swarms[&share(3).0].seeds.contains(&t[0].key));
        presence.hold(&t[0], share(0), &exactly(&[])).expect("valid");
        presence.hold(&t[1], share(0), &all()).expect("valid");
        assert_eq!(presence.peers(share(0).0, t[0].key).len(), 1);
        assert_eq!(presence.peers(share(0).0, t[1].key).len(), 0);
        presence.hold(&t[1], share(0), &Holding::Nothing {}).expect("valid");
        assert_eq!(presence.peers(share(0).0, t[0].key).len(), 0);
    }

    #[test]
    fn every_asker_gets_another_choice_of_many_equal_peers() {
        let now = Instant::now();
        let presence = Presence::new();
        let share = share(3);
        for i in 0..600u64 {
            let mut client = [0; 16];
            client[..8].copy_from_slice(&(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
            let ticket = presence.enter(ClientKey { user: UserRef(op(i)), client: ClientId(client) }, now);
            presence.announce(&ticket, addr(i as u16));
            presence.hold(&ticket, share, &all()).expect("valid");
        }
        let (one, other) = (presence.peers(share.0, key(900, 0)), presence.peers(share.0, key(900, 0xff)));
        assert_eq!((one.len(), other.len()), (PEERS_MAX, PEERS_MAX));
        assert_ne!(one[0], other[0]);
        assert_eq!(one, presence.peers(share.0, key(900, 0)));
    }
}
