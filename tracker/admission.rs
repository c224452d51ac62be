//! Admission: limits the connections of a tracker, in all, before login, and from one address, and how often they
//! come.

mod arrival_pace;
mod door;

use crate::model::address::{SITE_SHARE, network_of, place_of, site_of};
use arrival_pace::ArrivalPace;
pub use door::Door;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    pub total: usize,
    /// Connections before login.
    pub early: usize,
    /// Connections from one address. A network of IPv6 counts as one.
    pub per_address: usize,
    /// Connections from one address in the dialect for programs. Clients there have their own connections besides.
    pub programs_per_address: usize,
}

impl Default for Caps {
    /// Room for 10,000 clients and some more, and for a large class behind one address.
    fn default() -> Self {
        Self { total: 16_384, early: 4_096, per_address: 512, programs_per_address: 256 }
    }
}

/// Threads reserved for work other than connections.
const THREADS_KEPT: usize = 256;

impl Caps {
    /// Lowers the cap to fit this many file descriptors: a connection needs one, and one more for a list of pieces.
    #[must_use]
    pub fn within_descriptors(self, descriptors: usize) -> Self {
        Self { total: self.total.min(descriptors / 2), ..self }
    }

    /// Lowers the caps to fit this many threads: a connection needs one, and one more during the handshake.
    #[must_use]
    pub fn within_threads(self, threads: usize) -> Self {
        let left = threads.saturating_sub(THREADS_KEPT).max(threads / 2);
        let early = self.early.min(left / 4);
        Self { total: self.total.min(left - early), early, ..self }
    }
}

/// Slots beyond the caps, for trackers only. A connection keeps such a slot only if it proves to be a tracker. So
/// strangers that take all other slots cannot keep trackers apart.
const RESERVED: usize = 32;
/// Reserved slots for one address, or for all networks of a site together.
const RESERVED_PER_ADDRESS: usize = 4;

/// Counts connections. Refuses those beyond the caps, and those that come too often.
#[derive(Debug)]
pub struct Admission {
    caps: Caps,
    counts: Mutex<Counts>,
    /// Notified when a connection ends.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    reserved: usize,
    links: usize,
    /// Connections before login, the oldest first.
    early: BTreeMap<u64, EarlyConnection>,
    /// The number of these from each network, and from each site.
    early_from: HashMap<IpAddr, usize>,
    early_of_site: HashMap<IpAddr, usize>,
    /// Connections of kind `Early`, `LoggedIn` and `Relayed`.
    from: HashMap<(Door, IpAddr), usize>,
    of_site: HashMap<IpAddr, usize>,
    reserved_from: HashMap<IpAddr, usize>,
    arrivals: ArrivalPace,
    refused: u64,
    /// Numbers the connections.
    last: u64,
}

#[derive(Debug)]
struct EarlyConnection {
    network: IpAddr,
    /// Shut down if the connection has to give way.
    stream: Weak<TcpStream>,
}

/// An admitted connection. Dropping it gives the slot back.
#[derive(Debug)]
pub struct ConnectionSlot {
    admission: Arc<Admission>,
    counted: CountedConnection,
    kind: Kind,
}

/// The counted facts of a connection.
#[derive(Debug)]
struct CountedConnection {
    /// Later connections have higher numbers.
    number: u64,
    door: Door,
    network: IpAddr,
    site: Option<IpAddr>,
    stream: Weak<TcpStream>,
}

/// What the far side has proved to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No user has logged in yet.
    Early,
    LoggedIn,
    /// A member with a ticket for the relay. It counts like a logged-in client.
    Relayed,
    /// The far side still has to prove that it is a tracker.
    Reserved,
    /// A tracker.
    Link,
}

fn add<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn take<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn of<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

impl Counts {
    fn enter(&mut self, counted: &CountedConnection, kind: Kind) {
        self.total += 1;
        match kind {
            Kind::Early | Kind::LoggedIn | Kind::Relayed => {
                add(&mut self.from, (counted.door, counted.network));
                counted.site.into_iter().for_each(|site| add(&mut self.of_site, site));
            }
            Kind::Reserved => {
                self.reserved += 1;
                add(&mut self.reserved_from, place_of(counted.network));
            }
            Kind::Link => self.links += 1,
        }
        if kind == Kind::Early {
            let connection = EarlyConnection { network: counted.network, stream: counted.stream.clone() };
            self.early.insert(counted.number, connection);
            add(&mut self.early_from, counted.network);
            counted.site.into_iter().for_each(|site| add(&mut self.early_of_site, site));
        }
    }

    fn leave(&mut self, counted: &CountedConnection, kind: Kind) {
        self.total -= 1;
        match kind {
            Kind::Early | Kind::LoggedIn | Kind::Relayed => {
                take(&mut self.from, &(counted.door, counted.network));
                counted.site.iter().for_each(|site| take(&mut self.of_site, site));
            }
            Kind::Reserved => {
                self.reserved -= 1;
                take(&mut self.reserved_from, &place_of(counted.network));
            }
            Kind::Link => self.links -= 1,
        }
        if kind == Kind::Early {
            self.leave_early(counted.number);
        }
    }

    /// Removes a connection from the early ones. It may have given way already.
    fn leave_early(&mut self, number: u64) -> Option<EarlyConnection> {
        let connection = self.early.remove(&number)?;
        take(&mut self.early_from, &connection.network);
        site_of(connection.network).iter().for_each(|site| take(&mut self.early_of_site, site));
        Some(connection)
    }

    /// How crowded a network is with early connections. A site counts like a network with a tenth of the site's
    /// connections.
    fn crowd(&self, network: IpAddr) -> usize {
        let of_site = site_of(network).map_or(0, |site| of(&self.early_of_site, &site));
        of(&self.early_from, &network).max(of_site.div_ceil(SITE_SHARE as usize))
    }

    /// Ends the oldest early connection of the most crowded place, if that place is more crowded than the newcomer's.
    fn make_room(&mut self, newcomer: IpAddr) -> bool {
        let of_sites = self.early_of_site.values().map(|count| count.div_ceil(SITE_SHARE as usize));
        let most = self.early_from.values().copied().chain(of_sites).max().unwrap_or(0);
        if most <= self.crowd(newcomer) {
            return false;
        }
        let oldest = self.early.iter().find(|(_, early)| self.crowd(early.network) == most);
        let Some(gone) = oldest.map(|(number, _)| *number).and_then(|number| self.leave_early(number)) else {
            return false;
        };
        self.refused += 1;
        if let Some(stream) = gone.stream.upgrade() {
            // Fails if the other side was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
        true
    }

    /// Whether one more connection from this network is within the caps, except the cap on all early connections.
    fn has_room(&self, caps: &Caps, door: Door, network: IpAddr) -> bool {
        let per_address = match door {
            Door::Clients => caps.per_address,
            Door::Programs => caps.programs_per_address,
        };
        let strangers = self.total - self.links - self.reserved;
        let site_has_room = site_of(network).is_none_or(|site| {
            of(&self.of_site, &site) < caps.per_address.saturating_mul(SITE_SHARE as usize)
                && of(&self.early_of_site, &site) < caps.early.div_ceil(2)
        });
        strangers < caps.total && of(&self.from, &(door, network)) < per_address && site_has_room
    }
}

/// The numbers of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    pub total: usize,
    /// Connections before login.
    pub early: usize,
    /// Connections refused since the start.
    pub refused: u64,
}

impl Admission {
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, counts: Mutex::default(), freed: Condvar::new() })
    }

    /// Admits a connection before login. `None` if a cap is reached, or if too many have begun there lately. If there
    /// are too many connections before login, the oldest one of a more crowded network may have to give way.
    pub fn admit(self: &Arc<Self>, ip: IpAddr, door: Door, now: Instant) -> Option<ConnectionSlot> {
        let network = network_of(ip);
        let counts = &mut *self.counts.lock();
        let may_come = counts.has_room(&self.caps, door, network) && counts.arrivals.allows(door, network, now);
        if !may_come || (counts.early.len() >= self.caps.early && !counts.make_room(network)) {
            counts.refused += 1;
            return None;
        }
        counts.arrivals.take(door, network, now);
        Some(self.slot(counts, network, door, Kind::Early))
    }

    /// Whether a client at this address is told why its connection was not admitted. A true result counts against the
    /// limit.
    pub fn tells(&self, ip: IpAddr, now: Instant) -> bool {
        self.counts.lock().arrivals.tells(ip, now)
    }

    /// Whether connections from this address come too often to be handled at all. If not, the caller resets this
    /// connection, and the reset counts against the limit.
    pub fn tires_of(&self, ip: IpAddr, now: Instant) -> bool {
        !self.counts.lock().arrivals.resets(ip, now)
    }

    /// A reserved slot for a connection that was not admitted: the far side must be another tracker.
    pub fn reserve(self: &Arc<Self>, ip: IpAddr, now: Instant) -> Option<ConnectionSlot> {
        let counts = &mut *self.counts.lock();
        let free = counts.reserved < RESERVED && of(&counts.reserved_from, &place_of(ip)) < RESERVED_PER_ADDRESS;
        (free && counts.arrivals.allows_reserved(ip, now)).then(|| {
            counts.arrivals.take_reserved(ip, now);
            self.slot(counts, network_of(ip), Door::Clients, Kind::Reserved)
        })
    }

    fn slot(self: &Arc<Self>, counts: &mut Counts, network: IpAddr, door: Door, kind: Kind) -> ConnectionSlot {
        counts.last += 1;
        let counted =
            CountedConnection { number: counts.last, door, network, site: site_of(network), stream: Weak::new() };
        counts.enter(&counted, kind);
        ConnectionSlot { admission: self.clone(), counted, kind }
    }

    pub fn occupancy(&self) -> Occupancy {
        let counts = self.counts.lock();
        Occupancy { total: counts.total, early: counts.early.len() + counts.reserved, refused: counts.refused }
    }

    /// Waits until a connection ends, at most for this long.
    pub fn wait_freed(&self, longest: Duration) {
        let mut counts = self.counts.lock();
        self.freed.wait_for(&mut counts, longest);
    }

    /// Waits until there are no connections. Returns false if that takes longer than this.
    pub fn wait_empty(&self, longest: Duration) -> bool {
        let mut counts = self.counts.lock();
        !self.freed.wait_while_for(&mut counts, |counts| counts.total > 0, longest).timed_out()
    }

    /// Ends every [`Admission::wait_freed`].
    pub fn wake(&self) {
        self.freed.notify_all();
    }
}

impl ConnectionSlot {
    /// Whether the far side must prove to be another tracker.
    pub fn is_reserved(&self) -> bool {
        self.kind == Kind::Reserved
    }

    /// Sets the stream to shut down if this connection has to give way.
    pub fn set_stream(&mut self, stream: &Arc<TcpStream>) {
        self.counted.stream = Arc::downgrade(stream);
        let mut counts = self.admission.counts.lock();
        match counts.early.get_mut(&self.counted.number) {
            Some(early) => early.stream = self.counted.stream.clone(),
            // It had to give way while its thread started.
            None if self.kind == Kind::Early => drop(stream.shutdown(Shutdown::Both)),
            None => {}
        }
    }

    pub fn set_logged_in(&mut self, logged_in: bool) {
        self.become_kind(if logged_in { Kind::LoggedIn } else { Kind::Early });
    }

    /// The far side has come with a valid ticket for the relay.
    pub fn set_relayed(&mut self) {
        self.become_kind(Kind::Relayed);
    }

    /// The far side has proved to be another tracker. From now on no cap of clients counts it.
    pub fn set_tracker(&mut self) {
        self.become_kind(Kind::Link);
        self.admission.wake();
    }

    fn become_kind(&mut self, kind: Kind) {
        let mut counts = self.admission.counts.lock();
        counts.leave(&self.counted, self.kind);
        if kind == Kind::Early && self.kind != kind {
            counts.last += 1;
            self.counted.number = counts.last;
        }
        counts.enter(&self.counted, kind);
        self.kind = kind;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.admission.counts.lock().leave(&self.counted, self.kind);
        self.admission.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    fn admit(admission: &Arc<Admission>, ip: IpAddr) -> Option<ConnectionSlot> {
        admission.admit(ip, Door::Clients, Instant::now())
    }

    fn reserve(admission: &Arc<Admission>, ip: IpAddr) -> Option<ConnectionSlot> {
        admission.reserve(ip, Instant::now())
    }

    fn caps(total: usize, early: usize, per_address: usize) -> Caps {
        Caps { total, early, per_address, ..Caps::default() }
    }

    fn ipv6(site: u16, network: u16, host: u16) -> IpAddr {
        [0x2001, 0xdb8, site, network, 0, 0, 0, host].into()
    }

    #[test]
    fn each_cap_refuses_and_each_departure_makes_room() {
        let admission = Admission::new(caps(4, 3, 2));
        let mut a = admit(&admission, ip(1)).expect("free");
        let b = admit(&admission, ip(1)).expect("free");
        assert!(admit(&admission, ip(1)).is_none(), "the address has its two");
        let c = admit(&admission, ip(2)).expect("free");
        let late = admit(&admission, ip(3)).expect("its address has none yet");
        assert_eq!(admission.occupancy().early, 3, "so the oldest of another one had to go");
        drop(late);
        a.set_logged_in(true);
        a.set_logged_in(true);
        let d = admit(&admission, ip(3)).expect("one of them has");
        assert!(admit(&admission, ip(4)).is_none(), "four in all");
        assert_eq!(admission.occupancy(), Occupancy { total: 4, early: 3, refused: 3 });
        drop((b, c));
        assert!(admit(&admission, ip(1)).is_some());
        drop(d);
        a.set_logged_in(false);
        assert_eq!(admission.occupancy(), Occupancy { total: 1, early: 1, refused: 3 });
        assert!(!admission.wait_empty(Duration::ZERO));
        drop(a);
        assert!(admission.wait_empty(Duration::ZERO));
        assert!(admission.counts.lock().from.is_empty());
    }

    #[test]
    fn trackers_find_a_slot_where_strangers_have_taken_all_others() {
        let admission = Admission::new(caps(1, 1, 1));
        let _stranger = admit(&admission, ip(1)).expect("free");
        let mut waiting: Vec<ConnectionSlot> = (0..9).map_while(|_| reserve(&admission, ip(1))).collect();
        assert_eq!((waiting.len(), waiting[0].is_reserved()), (RESERVED_PER_ADDRESS, true));
        let mut tracker = reserve(&admission, ip(2)).expect("free for another address");
        tracker.set_tracker();
        assert!(!tracker.is_reserved());
        waiting[0].set_tracker();
        assert!(reserve(&admission, ip(1)).is_some(), "one that has proved to be a tracker takes none");
        assert_eq!(admission.occupancy().total, 6);
        drop((waiting, tracker));
        assert_eq!(admission.occupancy(), Occupancy { total: 1, early: 1, refused: 0 });
        let mut others: Vec<ConnectionSlot> = (10..100).filter_map(|last| reserve(&admission, ip(last))).collect();
        assert_eq!(others.len(), RESERVED);
        others.clear();
        assert!(admission.counts.lock().reserved_from.is_empty());
        assert!(admit(&admission, ip(3)).is_none(), "clients have the slots that the caps give them");
    }

    #[test]
    fn a_site_has_as_many_of_the_slots_for_trackers_as_one_address_and_as_often() {
        let (admission, now) = (Admission::new(caps(1, 1, 1)), Instant::now());
        let begun = |site, now| -> Vec<_> {
            (0..99).filter_map(|network| admission.reserve(ipv6(site, network, 1), now)).collect()
        };
        let of_site = begun(1, now);
        assert_eq!((of_site.len(), begun(2, now).len()), (RESERVED_PER_ADDRESS, RESERVED_PER_ADDRESS));
        drop(of_site);
        assert_eq!(begun(1, now).len(), RESERVED_PER_ADDRESS);
        assert_eq!(begun(1, now).len(), 0, "eight have begun there");
        assert_eq!(begun(1, now + Duration::from_secs(1)).len(), 2);
    }

    #[test]
    fn an_ipv4_address_counts_the_same_in_ipv6_clothes() {
        let admission = Admission::new(caps(9, 9, 1));
        let _slot = admit(&admission, ip(1)).expect("free");
        assert!(admit(&admission, "::ffff:127.0.0.1".parse().expect("an address")).is_none());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_a_site_as_ten_of_them_with_half_of_the_early_ones() {
        let admission = Admission::new(caps(1000, 1000, 3));
        let of_network: Vec<_> = (0..9).filter_map(|host| admit(&admission, ipv6(1, 1, host))).collect();
        assert_eq!(of_network.len(), 3);
        let mut of_site: Vec<_> = (2..99).filter_map(|network| admit(&admission, ipv6(1, network, 1))).collect();
        assert_eq!(of_site.len(), 27);
        assert!(admit(&admission, ipv6(2, 1, 1)).is_some(), "another site is not concerned");
        of_site.clear();
        drop(of_network);
        let admission = Admission::new(caps(1000, 10, 512));
        of_site.extend((0..99).filter_map(|network| admit(&admission, ipv6(1, network, 1))));
        assert_eq!(of_site.len(), 5);
        let reserved: Vec<_> = (0..9).filter_map(|host| reserve(&admission, ipv6(1, 1, host))).collect();
        assert_eq!(reserved.len(), RESERVED_PER_ADDRESS);
    }

    #[test]
    fn the_oldest_connection_before_login_of_the_fullest_network_gives_way() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let admission = Admission::new(caps(1000, 8, 512));
        let enter = |ip| {
            let far = TcpStream::connect(addr).expect("it listens");
            let near = Arc::new(listener.accept().expect("it has called").0);
            let mut slot = admit(&admission, ip)?;
            slot.set_stream(&near);
            Some((far, near, slot))
        };
        let mut crowd: Vec<_> = (0..9).filter_map(|_| enter(ip(1))).collect();
        assert_eq!(crowd.len(), 8, "its own network pushes nobody out");
        let mut others: Vec<_> = (2..6).filter_map(|last| enter(ip(last))).collect();
        assert_eq!(others.len(), 4);
        let mut is_cut = |(far, ..): &mut (TcpStream, _, _)| {
            use std::io::Read;
            far.set_nonblocking(true).expect("a socket");
            matches!(far.read(&mut [0]), Ok(0))
        };
        let cut: Vec<bool> = crowd.iter_mut().map(&mut is_cut).collect();
        assert_eq!(cut, [true, true, true, true, false, false, false, false]);
        assert!(!others.iter_mut().any(is_cut));
        assert_eq!(admission.occupancy(), Occupancy { total: 12, early: 8, refused: 5 });
        crowd.truncate(2);
        assert_eq!(admission.occupancy(), Occupancy { total: 6, early: 4, refused: 5 }, "who gave way counts once");
        drop((crowd, others));
        let counts = admission.counts.lock();
        assert!(counts.early_from.is_empty() && counts.from.is_empty() && counts.total == 0);
    }

    #[test]
    fn a_site_with_a_connection_in_each_of_its_networks_gives_way_before_a_school_at_one_address() {
        let admission = Admission::new(caps(1000, 100, 512));
        let mut held: Vec<_> = (0..2).filter_map(|_| admit(&admission, ip(1))).collect();
        held.extend((0..99).filter_map(|network| admit(&admission, ipv6(1, network, 1))));
        held.extend((2..50).filter_map(|last| admit(&admission, ip(last))));
        assert_eq!((held.len(), admission.occupancy().refused), (100, 49), "a site has half of them");
        let left = || {
            let counts = admission.counts.lock();
            (of(&counts.early_from, &ip(1)), of(&counts.early_of_site, &ipv6(1, 0, 0)))
        };
        held.extend((50..55).filter_map(|last| admit(&admission, ip(last))));
        assert_eq!((held.len(), left()), (105, (2, 45)));
        assert!(admit(&admission, ipv6(1, 99, 1)).is_none(), "its other networks push nobody out");
        assert!(admit(&admission, ipv6(2, 1, 1)).is_some(), "another site is not concerned");
        assert_eq!(left(), (2, 44));
    }

    #[test]
    fn programs_take_no_place_from_clients_at_their_address() {
        let admission = Admission::new(Caps { programs_per_address: 2, ..caps(100, 100, 3) });
        let programs: Vec<_> = (0..9).filter_map(|_| admission.admit(ip(1), Door::Programs, Instant::now())).collect();
        let clients: Vec<_> = (0..9).filter_map(|_| admit(&admission, ip(1))).collect();
        assert_eq!((programs.len(), clients.len()), (2, 3));
    }

    #[test]
    fn descriptors_that_are_few_lower_the_cap() {
        assert_eq!(Caps::default().within_descriptors(1000).total, 500);
        assert_eq!(Caps::default().within_descriptors(1 << 20), Caps::default());
    }

    #[test]
    fn threads_that_are_few_lower_the_caps() {
        assert_eq!(Caps::default().within_threads(40_000), Caps::default());
        let Caps { total, early, .. } = Caps::default().within_threads(4_700);
        assert_eq!((total, early), (3_333, 1_111), "each early connection takes two");
        let Caps { total, early, .. } = Caps::default().within_threads(100);
        assert_eq!((total, early), (38, 12));
    }
}
