//! How many connections a tracker takes: in all, before login, and from one address.

use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Connections in all.
    pub total: usize,
    /// Connections on which nobody is logged in.
    pub early: usize,
    /// Connections from one IP address.
    pub per_address: usize,
}

impl Default for Caps {
    /// Room for 10,000 clients with some to spare, and for a large class behind one address.
    fn default() -> Self {
        Self { total: 16_384, early: 4_096, per_address: 512 }
    }
}

impl Caps {
    /// Lowered so that these descriptors suffice: one for each connection.
    pub fn within(self, descriptors: usize) -> Self {
        Self { total: self.total.min(descriptors), ..self }
    }
}

/// Seats beyond the caps on which only other trackers may sit, while they have not proved to be trackers: strangers that
/// take all others cannot keep trackers from each other.
const RESERVED: usize = 32;
/// Those of them that one address may take.
const RESERVED_PER_ADDRESS: usize = 4;

/// The connections there are, counted.
#[derive(Debug)]
pub struct Seats {
    caps: Caps,
    taken: Mutex<Taken>,
    /// Somebody left.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    /// All, of whatever kind.
    total: usize,
    early: usize,
    reserved: usize,
    links: usize,
    /// Neither those on reserved seats nor trackers.
    per_address: HashMap<IpAddr, usize>,
    reserved_per_address: HashMap<IpAddr, usize>,
    refused: u64,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    ip: IpAddr,
    kind: Kind,
}

/// Who sits on a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Somebody who has not logged in.
    Early,
    /// A client that is logged in.
    LoggedIn,
    /// Somebody who has to prove to be a tracker.
    Reserved,
    /// A tracker.
    Link,
}

impl Taken {
    fn enter(&mut self, ip: IpAddr, kind: Kind) {
        self.total += 1;
        match kind {
            Kind::Early => self.early += 1,
            Kind::LoggedIn => {}
            Kind::Reserved => self.reserved += 1,
            Kind::Link => self.links += 1,
        }
        if let Some(count) = self.from(kind) {
            *count.entry(ip).or_default() += 1;
        }
    }

    fn leave(&mut self, ip: IpAddr, kind: Kind) {
        self.total -= 1;
        match kind {
            Kind::Early => self.early -= 1,
            Kind::LoggedIn => {}
            Kind::Reserved => self.reserved -= 1,
            Kind::Link => self.links -= 1,
        }
        let Some(counts) = self.from(kind) else { return };
        if let Some(count) = counts.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&ip);
            }
        }
    }

    /// How many seats of such a kind each address has, if that is counted.
    fn from(&mut self, kind: Kind) -> Option<&mut HashMap<IpAddr, usize>> {
        match kind {
            Kind::Early | Kind::LoggedIn => Some(&mut self.per_address),
            Kind::Reserved => Some(&mut self.reserved_per_address),
            Kind::Link => None,
        }
    }
}

/// How full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Connections.
    pub total: usize,
    /// Those on which nobody is logged in.
    pub early: usize,
    /// Connections refused since the start.
    pub refused: u64,
}

impl Seats {
    /// All seats are free.
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, taken: Mutex::default(), freed: Condvar::new() })
    }

    /// A seat for a new connection, on which nobody is logged in; `None` if a cap is reached.
    pub fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let ip = ip.to_canonical();
        let taken = &mut *self.taken.lock();
        let from_there = taken.per_address.get(&ip).copied().unwrap_or(0);
        let strangers = taken.total - taken.links - taken.reserved;
        if strangers >= self.caps.total || taken.early >= self.caps.early || from_there >= self.caps.per_address {
            taken.refused += 1;
            return None;
        }
        Some(self.seat(taken, ip, Kind::Early))
    }

    /// A seat on which only another tracker may sit, for a connection for which there was no other.
    pub fn reserve(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let ip = ip.to_canonical();
        let taken = &mut *self.taken.lock();
        let from_there = taken.reserved_per_address.get(&ip).copied().unwrap_or(0);
        let free = taken.reserved < RESERVED && from_there < RESERVED_PER_ADDRESS;
        free.then(|| self.seat(taken, ip, Kind::Reserved))
    }

    fn seat(self: &Arc<Self>, taken: &mut Taken, ip: IpAddr, kind: Kind) -> Seat {
        taken.enter(ip, kind);
        Seat { seats: self.clone(), ip, kind }
    }

    /// How many seats are taken.
    pub fn occupancy(&self) -> Occupancy {
        let taken = self.taken.lock();
        Occupancy { total: taken.total, early: taken.early + taken.reserved, refused: taken.refused }
    }

    /// Waits until a seat is given back, but not longer than this.
    pub fn wait_freed(&self, longest: Duration) {
        let mut taken = self.taken.lock();
        self.freed.wait_for(&mut taken, longest);
    }

    /// Waits until all seats are free; false if that takes longer than this.
    pub fn wait_empty(&self, longest: Duration) -> bool {
        let mut taken = self.taken.lock();
        !self.freed.wait_while_for(&mut taken, |taken| taken.total > 0, longest).timed_out()
    }

    /// Wakes whoever waits.
    pub fn wake(&self) {
        self.freed.notify_all();
    }
}

impl Seat {
    /// Whether only another tracker may sit here.
    pub fn is_reserved(&self) -> bool {
        self.kind == Kind::Reserved
    }

    /// Somebody has logged in on this connection, or out.
    pub fn set_logged_in(&mut self, logged_in: bool) {
        self.become_kind(if logged_in { Kind::LoggedIn } else { Kind::Early });
    }

    /// The far side has proved to be another tracker: it takes no seat from anybody.
    pub fn give_to_tracker(&mut self) {
        self.become_kind(Kind::Link);
        self.seats.wake();
    }

    fn become_kind(&mut self, kind: Kind) {
        let mut taken = self.seats.taken.lock();
        taken.leave(self.ip, self.kind);
        taken.enter(self.ip, kind);
        self.kind = kind;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.lock().leave(self.ip, self.kind);
        self.seats.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    #[test]
    fn each_cap_refuses_and_each_departure_makes_room() {
        let seats = Seats::new(Caps { total: 4, early: 3, per_address: 2 });
        let mut a = seats.take(ip(1)).expect("free");
        let b = seats.take(ip(1)).expect("free");
        assert!(seats.take(ip(1)).is_none(), "the address has its two");
        let c = seats.take(ip(2)).expect("free");
        assert!(seats.take(ip(3)).is_none(), "three have not logged in");
        a.set_logged_in(true);
        a.set_logged_in(true);
        let d = seats.take(ip(3)).expect("one of them has");
        assert!(seats.take(ip(4)).is_none(), "four in all");
        assert_eq!(seats.occupancy(), Occupancy { total: 4, early: 3, refused: 3 });
        drop((b, c));
        assert!(seats.take(ip(1)).is_some());
        drop(d);
        a.set_logged_in(false);
        assert_eq!(seats.occupancy(), Occupancy { total: 1, early: 1, refused: 3 });
        assert!(!seats.wait_empty(Duration::ZERO));
        drop(a);
        assert!(seats.wait_empty(Duration::ZERO));
        assert!(seats.taken.lock().per_address.is_empty());
    }

    #[test]
    fn trackers_find_a_seat_where_strangers_have_taken_all_others() {
        let seats = Seats::new(Caps { total: 1, early: 1, per_address: 1 });
        let _stranger = seats.take(ip(1)).expect("free");
        let mut waiting: Vec<Seat> = (0..9).map_while(|_| seats.reserve(ip(1))).collect();
        assert_eq!((waiting.len(), waiting[0].is_reserved()), (RESERVED_PER_ADDRESS, true));
        let mut tracker = seats.reserve(ip(2)).expect("free for another address");
        tracker.give_to_tracker();
        assert!(!tracker.is_reserved());
        waiting[0].give_to_tracker();
        assert!(seats.reserve(ip(1)).is_some(), "one that has proved to be a tracker takes none");
        assert_eq!(seats.occupancy().total, 6);
        drop((waiting, tracker));
        assert_eq!(seats.occupancy(), Occupancy { total: 1, early: 1, refused: 0 });
        let mut others: Vec<Seat> = (10..100).filter_map(|last| seats.reserve(ip(last))).collect();
        assert_eq!(others.len(), RESERVED);
        others.clear();
        assert!(seats.taken.lock().reserved_per_address.is_empty());
        assert!(seats.take(ip(3)).is_none(), "clients have the seats that the caps give them");
    }

    #[test]
    fn an_ipv4_address_counts_the_same_in_ipv6_clothes() {
        let seats = Seats::new(Caps { total: 9, early: 9, per_address: 1 });
        let _seat = seats.take(ip(1)).expect("free");
        assert!(seats.take("::ffff:127.0.0.1".parse().expect("an address")).is_none());
    }

    #[test]
    fn descriptors_that_are_few_lower_the_cap() {
        assert_eq!(Caps::default().within(1000).total, 1000);
        assert_eq!(Caps::default().within(1 << 20), Caps::default());
    }
}
