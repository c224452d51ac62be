//! The peers that hold pieces of a download: which one to dial, how long to back off, and which ones a lie has banned.
//! Users take turns, whatever the number of their clients, and all clients of a user share the blame. A user has two
//! clients on trial at a time. A client is on trial until it has delivered. Pure: the time is passed in.

mod connection_count;
mod known_peer;
mod surplus;
mod way_record;
mod ways;

use super::blame::{Amnesty, Blame, RETRY, pause_after};
use super::dial_pace::DialPaces;
use super::error::DownloadError;
use super::lie::Lie;
use crate::client::picker::split_mix::SplitMix;
use crate::client::reach::way::Way;
use crate::model::id::PeerId;
use crate::model::name::UserId;
use crate::wire::client_tracker::Peer;
use crate::wire::codec::List;
use connection_count::ConnectionCount;
use known_peer::{KnownPeer, Trial};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The maximum number of connections of one download.
const CONNECTIONS_MAX: usize = 64;
/// The maximum number of peers to remember. The tracker names half as many at once, and names them again later.
const KNOWN_MAX: usize = 1024;
/// The maximum number of addresses whose failures are remembered.
const ADDRESSES_MAX: usize = 4096;
/// The maximum number of clients of one user on trial at a time.
const ON_TRIAL_MAX: usize = 2;
/// The maximum number of connections to clients of one user that have delivered nothing.
const IDLE_MAX: usize = 8;
/// The longest pause before the next dial of a peer that failed. The pause doubles, starting from [`RETRY`].
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The longest pause of a user's other clients after one has failed.
const USER_PAUSE_MAX: Duration = Duration::from_secs(2);
/// The minimum number of pauses within the patience of a download. So a peer that returns in time is dialed in time.
const RETRIES_LEAST: u32 = 8;
/// The first attempts to find a peer may take this long, however short the patience is.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// A peer with this many wrong pieces no longer counts as a possible source for a waiting download.
const BAD_MAX: u32 = 4;
/// The longest pause after a wrong piece. The pause doubles, starting from [`RETRY`].
const BAD_PAUSE_MAX: Duration = Duration::from_secs(300);
/// After lies of this many clients, all clients of the user are banned.
const LIARS_MAX: u32 = 3;
/// Once every known peer has lied, other peers have this long to appear.
const LIED_PATIENCE: Duration = Duration::from_secs(5);

/// The state that all clients of a user share.
#[derive(Debug)]
struct KnownUser {
    /// Among equal users, the one with the lowest number is dialed first, and the one with the highest is forgotten
    /// first.
    order: usize,
    blame: Blame,
    amnesty: Amnesty,
    liars: u32,
    bad: u32,
}

/// The current connections of a user's clients.
#[derive(Debug, Default, Clone, Copy)]
struct UserLoad {
    lanes: usize,
    on_trial: usize,
    undelivered: usize,
}

/// The peers of one download. Their order is fixed, so the seed determines every choice.
#[derive(Debug)]
pub struct PeerList {
    known: BTreeMap<PeerId, KnownPeer>,
    users: HashMap<UserId, KnownUser>,
    /// Addresses at which a dial of a client of this user has failed. Clients of other users with the same address do
    /// not wait.
    addresses: HashMap<(SocketAddr, UserId), Blame>,
    /// Connections that the download wants, even if all of them lead to one peer.
    wanted: usize,
    /// Whether further connections to a peer wait until it has delivered.
    waits: bool,
    count: ConnectionCount,
    patience: Option<Duration>,
    /// The longest pause before the next dial of a peer that failed.
    pause_max: Duration,
    /// Whether the tracker has answered, even with an empty list.
    asked: bool,
    /// When a connection was last useful.
    useful_at: Instant,
    /// Decides between equal peers. Without it, all members of a crowd would choose the same few.
    random: SplitMix,
    /// The last lie and its user.
    lie: Option<(UserId, Lie)>,
}

impl PeerList {
    /// An empty list. The download wants `wanted` connections, and fails after `patience` without a useful one. The
    /// seed decides between equal peers.
    pub fn new(now: Instant, wanted: usize, patience: Option<Duration>, seed: u64) -> Self {
        let shorter = patience.map_or(RETRY_MAX, |patience| (patience / RETRIES_LEAST).max(RETRY));
        let pause_max = RETRY_MAX.min(shorter);
        Self {
            known: BTreeMap::new(),
            users: HashMap::new(),
            addresses: HashMap::new(),
            wanted,
            waits: true,
            count: ConnectionCount::new(wanted, now),
            patience,
            pause_max,
            asked: false,
            useful_at: now,
            random: SplitMix(seed),
            lie: None,
        }
    }

    /// Makes all wanted connections at once.
    pub fn hurry(&mut self) {
        self.waits = false;
    }

    /// Takes the number of bytes that all connections have received, and updates the wanted number of connections.
    pub fn count_connections(&mut self, came: u64, now: Instant) {
        self.wanted = self.count.look(came, now);
    }

    /// Adds peers that the tracker has named. The state of a known peer stays, even if its address changes.
    pub fn learn(&mut self, peers: Vec<Peer>) {
        self.asked = true;
        for peer in peers {
            let id = peer.id();
            if let Some(known) = self.known.get_mut(&id) {
                known.peer = peer;
                continue;
            }
            self.make_room();
            let at = self.useful_at;
            let order = self.random.below(usize::MAX);
            let fresh = || KnownUser { order, blame: Blame::none(at), amnesty: Amnesty::default(), liars: 0, bad: 0 };
            self.users.entry(peer.user.clone()).or_insert_with(fresh);
            self.known.insert(id, KnownPeer::new(peer, at));
        }
    }

    /// Forgets the least promising peer of the user with most peers, if the list is full.
    fn make_room(&mut self) {
        if self.known.len() < KNOWN_MAX {
            return;
        }
        let mut counts: HashMap<&UserId, usize> = HashMap::new();
        self.known.values().for_each(|known| *counts.entry(&known.peer.user).or_default() += 1);
        let idle = self.known.iter().filter(|(_, known)| known.lanes == 0);
        let least = idle.max_by_key(|(_, known)| {
            let user = &known.peer.user;
            let order = self.users.get(user).map(|user| user.order);
            (counts[user], known.lied, known.bad, known.blame.failures, order)
        });
        let least = least.map(|(id, _)| id.clone());
        least.and_then(|id| self.known.remove(&id));
        if self.users.len() > KNOWN_MAX {
            let known = &self.known;
            self.users.retain(|user, _| known.values().any(|known| known.peer.user == *user));
        }
    }

    /// The peers to dial now, with the addresses to try. Each counts as connected from now on.
    pub fn due(&mut self, now: Instant, paces: &mut DialPaces) -> Vec<Peer> {
        let mut room = CONNECTIONS_MAX.saturating_sub(self.known.values().map(|known| known.lanes).sum());
        let lanes_each = self.wanted.div_ceil(self.able(now).max(1));
        let mut loads = self.loads(now);
        let mut due = Vec::new();
        // Every peer gets one connection before any gets a second. When a slow peer has delivered a piece, other
        // members are known. Then it needs no second connection.
        for lanes in 0..lanes_each {
            let mut turns = self.turns(lanes, &loads, now);
            while room > 0 && !turns.is_empty() {
                turns.retain_mut(|(user, peers)| {
                    let Some(id) = peers.pop_front() else { return false };
                    let load = loads.entry(user.clone()).or_default();
                    if room == 0 || lanes == 0 && !self.may_try(&id, *load, now) {
                        return false;
                    }
                    if let Some(peer) = self.dial(&id, paces, now) {
                        room -= 1;
                        load.lanes += 1;
                        load.on_trial += usize::from(lanes == 0);
                        load.undelivered += usize::from(lanes == 0);
                        due.push(peer);
                    }
                    true
                });
            }
        }
        due.extend(self.better_due(room, now));
        due
    }

    /// The number of peers that may deliver soon. Such peers have delivered, are on trial, or may be tried next.
    fn able(&self, now: Instant) -> usize {
        let (mut able, mut untried) = (0, HashMap::<&UserId, usize>::new());
        for known in self.known.values().filter(|known| known.is_able(now)) {
            let user = &known.peer.user;
            if known.delivered || known.lanes > 0 {
                able += 1;
            } else if self.users.get(user).is_none_or(|user| user.blame.failures == 0) {
                *untried.entry(user).or_default() += 1;
            }
        }
        let loads = self.loads(now);
        let next = |(user, count): (&UserId, usize)| {
            count.min(ON_TRIAL_MAX.saturating_sub(loads.get(user).map_or(0, |load| load.on_trial)))
        };
        able + untried.into_iter().map(next).sum::<usize>()
    }

    fn loads(&self, now: Instant) -> HashMap<UserId, UserLoad> {
        let mut loads: HashMap<UserId, UserLoad> = HashMap::new();
        for known in self.known.values().filter(|known| known.lanes > 0) {
            let load = loads.entry(known.peer.user.clone()).or_default();
            load.lanes += known.lanes;
            load.on_trial += usize::from(known.is_on_trial(now));
            load.undelivered += usize::from(!known.delivered);
        }
        loads
    }

    /// The clients that have `lanes` connections and may have one more now, by user. Users with failures or many
    /// connections come last. So all are tried, however many never answer. Among a user's clients, those with most
    /// pieces come first.
    fn turns(&self, lanes: usize, loads: &HashMap<UserId, UserLoad>, now: Instant) -> Vec<(UserId, VecDeque<PeerId>)> {
        let may = |known: &&KnownPeer| {
            let again = lanes == 0 || (known.delivered || !self.waits) && known.blame.failures == 0;
            again
                && known.lanes == lanes
                && known.ways.has_room(lanes)
                && known.blame.not_before <= now
                && !self.is_banned(known)
        };
        let mut users: BTreeMap<&UserId, Vec<&KnownPeer>> = BTreeMap::new();
        self.known.values().filter(may).for_each(|known| users.entry(&known.peer.user).or_default().push(known));
        let mut turns: Vec<_> = users.into_iter().collect();
        turns.sort_by_cached_key(|(user, _)| {
            let known = self.users.get(*user);
            let blame = known.map(|user| (user.bad, user.blame.failures));
            (blame, loads.get(*user).map(|load| load.lanes), known.map(|user| user.order))
        });
        let in_order = |(user, mut clients): (&UserId, Vec<&KnownPeer>)| {
            clients.sort_by_key(|known| (known.bad, known.blame.failures, Reverse(known.peer.held)));
            (user.clone(), clients.into_iter().map(|known| known.peer.id()).collect())
        };
        turns.into_iter().map(in_order).collect()
    }

    /// Whether to dial one more client of this user.
    fn may_try(&self, id: &PeerId, load: UserLoad, now: Instant) -> bool {
        let rested = self.users.get(&id.user).is_none_or(|user| user.blame.not_before <= now);
        // Such a client has delivered and has lost its last connection.
        let proved = self.known.get(id).is_some_and(|known| known.delivered);
        proved || rested && load.on_trial < ON_TRIAL_MAX && load.undelivered < IDLE_MAX
    }

    /// Counts a connection and returns the peer to dial. Returns `None` if the user or its network was dialed too
    /// often.
    fn dial(&mut self, id: &PeerId, paces: &mut DialPaces, now: Instant) -> Option<Peer> {
        let known = self.known.get_mut(id)?;
        let at = |addr: SocketAddr| (addr, known.peer.user.clone());
        let rested = |addr: &&SocketAddr| self.addresses.get(&at(**addr)).is_none_or(|blame| blame.not_before <= now);
        let addrs = List::first_of(known.peer.addrs.iter().filter(rested).copied().collect());
        let peer = Peer { addrs, ..known.peer.clone() };
        // A tracker can still call a peer without a usable address.
        if !paces.admit(&peer, now) {
            return None;
        }
        if known.lanes == 0 {
            (known.since, known.trial) = (now, Trial::Dialed);
        }
        known.lanes += 1;
        known.dialed.clone_from(&peer.addrs);
        Some(peer)
    }

    /// Notes a new connection and its way. `useful` says whether the peer has a missing piece.
    pub fn connected(&mut self, id: &PeerId, way: Way, now: Instant, useful: bool) {
        if let Some(known) = self.known.get_mut(id) {
            known.ways.connected(way, now);
            self.addresses.retain(|(addr, user), _| *user != known.peer.user || !known.peer.addrs.contains(addr));
            if known.lanes <= 1 || known.trial == Trial::Dialed {
                (known.since, known.trial) = (now, if useful { Trial::Connected } else { Trial::Idle });
            }
        }
    }

    /// Notes that the peer has delivered a piece. Returns true for the first one.
    pub fn delivered(&mut self, id: &PeerId, now: Instant) -> bool {
        let Some(known) = self.known.get_mut(id) else { return false };
        known.blame = Blame::none(known.blame.not_before);
        known.since = now;
        if let Some(user) = self.users.get_mut(&known.peer.user) {
            user.blame.failures = 0;
        }
        !std::mem::replace(&mut known.delivered, true)
    }

    /// Notes a failed dial or a lost connection. `failed` says whether the peer is to blame.
    pub fn lost(&mut self, id: &PeerId, now: Instant, failed: bool) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.lanes = known.lanes.saturating_sub(1);
        if known.lanes == 0 {
            known.ways.parted();
        }
        let proved = known.delivered;
        if failed {
            known.blame.fail(now, self.pause_max);
            if known.lanes == 0 && !proved && known.trial == Trial::Dialed {
                Self::blame_addresses(&mut self.addresses, known, now, self.pause_max);
            }
        } else {
            known.blame.pause(now + pause_after(known.blame.failures, self.pause_max));
        }
        if known.lanes == 0 && failed {
            known.delivered = false;
        }
        if let Some(user) = self.users.get_mut(&known.peer.user).filter(|_| !proved) {
            if failed {
                user.blame.fail(now, USER_PAUSE_MAX.min(self.pause_max))
            } else {
                user.blame.pause(now + RETRY)
            }
        }
        if self.addresses.len() > ADDRESSES_MAX {
            self.addresses.retain(|_, blame| blame.not_before > now);
        }
    }

    /// Bans a peer. Bans its user too if several of its clients have lied.
    pub(crate) fn lied(&mut self, id: &PeerId, lie: Lie) {
        self.lie = Some((id.user.clone(), lie));
        if let Some(known) = self.known.get_mut(id) {
            let first = !std::mem::replace(&mut known.lied, true);
            known.lanes = 0;
            if let Some(user) = self.users.get_mut(&id.user).filter(|_| first) {
                user.liars += 1;
            }
        }
    }

    /// Notes a wrong piece of a peer on a connection from this time. This many of its connections are gone. The client
    /// tries the peer again after a pause, in which the peer may correct its mistake. The user's clients on trial wait
    /// too. Several connections may bring the same wrong piece before the peer can correct it. This counts once.
    pub(crate) fn gave_bad(&mut self, (id, since): (&PeerId, Instant), now: Instant, lanes: usize) {
        self.lie = Some((id.user.clone(), Lie::BadPiece));
        let pause = |bad: u32| pause_after(bad + 1, BAD_PAUSE_MAX);
        if let Some(known) = self.known.get_mut(id) {
            known.lanes = known.lanes.saturating_sub(lanes);
            known.delivered = false;
            if known.bad_at.is_some_and(|counted| since <= counted) {
                return;
            }
            known.blame.pause(now + pause(known.bad));
            known.bad = known.bad.saturating_add(1);
            known.bad_at = Some(now);
        }
        if let Some(user) = self.users.get_mut(&id.user) {
            user.blame.pause(now + pause(user.bad));
            user.bad = user.bad.saturating_add(1);
        }
    }

    /// Whether the peer is banned.
    pub(crate) fn has_lied(&self, id: &PeerId) -> bool {
        self.known.get(id).is_some_and(|known| self.is_banned(known))
    }

    fn is_banned(&self, known: &KnownPeer) -> bool {
        known.lied || self.users.get(&known.peer.user).is_some_and(|user| user.liars >= LIARS_MAX)
    }

    /// Notes that the peer has just come online. Ends the pauses of the peer, its user and its address.
    pub fn arrived(&mut self, id: &PeerId, now: Instant) {
        let Some(known) = self.known.get_mut(id) else { return };
        if known.amnesty.grant(now) {
            known.blame = Blame::none(now);
        }
        if let Some(user) = self.users.get_mut(&known.peer.user).filter(|user| user.bad == 0)
            && user.amnesty.grant(now)
        {
            user.blame.not_before = now;
            self.addresses.retain(|(addr, user), _| *user != known.peer.user || !known.peer.addrs.contains(addr));
        }
    }

    /// Leaves out a time in which nothing could run, as after a stop signal.
    pub(crate) fn forgive(&mut self, stood_still: Duration) {
        self.useful_at += stood_still;
    }

    /// Ends every pause.
    pub(crate) fn retry(&mut self, now: Instant) {
        self.known.values_mut().for_each(|known| known.blame.not_before = now);
        self.users.values_mut().for_each(|user| user.blame.not_before = now);
        self.addresses.clear();
    }

    /// Checks whether the download has waited too long. `useful` says whether some connection leads to a missing piece.
    ///
    /// # Errors
    /// The download should fail.
    pub fn check_patience(&mut self, now: Instant, useful: bool) -> Result<(), DownloadError> {
        if useful || self.patience > Some(Duration::ZERO) && self.is_put_off() {
            self.useful_at = now;
            return Ok(());
        }
        let waited = now.duration_since(self.useful_at);
        let able = self.known.values().any(|known| !self.is_banned(known) && known.bad < BAD_MAX);
        if let Some((user, lie)) = self.lie.as_ref().filter(|_| !able && waited > LIED_PATIENCE) {
            return Err(DownloadError::OnlyLiars(user.clone(), *lie));
        }
        match self.patience {
            Some(patience) if waited <= patience || self.is_looking(now, waited) => Ok(()),
            Some(_) => Err(match self.obstacles(now) {
                obstacles if obstacles.is_empty() => DownloadError::NobodyHasIt,
                obstacles => DownloadError::NobodyReached(obstacles),
            }),
            None => Ok(()),
        }
    }

    /// Whether a peer may still turn up: the tracker has not answered, or there is a peer to dial without a failure so
    /// far.
    fn is_looking(&self, now: Instant, waited: Duration) -> bool {
        let may_come = |known: &KnownPeer| {
            let untried = known.lanes > 0 || known.blame.not_before <= now;
            !self.is_banned(known) && known.blame.failures == 0 && untried
        };
        waited < FIRST_LOOK && (!self.asked || self.known.values().any(may_come))
    }
}

#[cfg(test)]
mod tests;
