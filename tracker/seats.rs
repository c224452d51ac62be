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
    total: usize,
    early: usize,
    per_address: HashMap<IpAddr, usize>,
    refused: u64,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    ip: IpAddr,
    early: bool,
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
        if taken.total >= self.caps.total || taken.early >= self.caps.early || from_there >= self.caps.per_address {
            taken.refused += 1;
            return None;
        }
        taken.total += 1;
        taken.early += 1;
        taken.per_address.insert(ip, from_there + 1);
        Some(Seat { seats: Arc::clone(self), ip, early: true })
    }

    /// How many seats are taken.
    pub fn occupancy(&self) -> Occupancy {
        let taken = self.taken.lock();
        Occupancy { total: taken.total, early: taken.early, refused: taken.refused }
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
    /// Somebody has logged in on this connection, or out.
    pub fn set_logged_in(&mut self, logged_in: bool) {
        let mut taken = self.seats.taken.lock();
        match (self.early, !logged_in) {
            (true, false) => taken.early -= 1,
            (false, true) => taken.early += 1,
            _ => {}
        }
        self.early = !logged_in;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        taken.total -= 1;
        taken.early -= usize::from(self.early);
        if let Some(count) = taken.per_address.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                taken.per_address.remove(&self.ip);
            }
        }
        drop(taken);
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
