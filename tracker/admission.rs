//! Admission: how many connections a tracker takes, in all, before login, and from one address.

use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
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
    /// Lowers the cap to this many file descriptors: each connection needs one.
    pub fn within(self, descriptors: usize) -> Self {
        Self { total: self.total.min(descriptors), ..self }
    }
}

/// Slots beyond the caps, for other trackers only, until they have proved to be trackers. Strangers that take all other
/// slots cannot keep trackers from each other.
const RESERVED: usize = 32;
/// Reserved slots that one address may take.
const RESERVED_PER_ADDRESS: usize = 4;

/// Counts connections and refuses those beyond the caps.
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
    early: usize,
    reserved: usize,
    links: usize,
    /// Connections of kind `Early`, `LoggedIn` and `Relayed`.
    per_address: HashMap<IpAddr, usize>,
    reserved_per_address: HashMap<IpAddr, usize>,
    refused: u64,
}

/// One admitted connection. Dropping it gives the slot back.
#[derive(Debug)]
pub struct ConnectionSlot {
    admission: Arc<Admission>,
    ip: IpAddr,
    kind: Kind,
}

/// Who is at the far side, as far as it has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nobody has logged in yet.
    Early,
    LoggedIn,
    /// A member came with a ticket for the relay. It counts like one that is logged in.
    Relayed,
    /// The far side has to prove that it is a tracker.
    Reserved,
    /// A tracker.
    Link,
}

impl Counts {
    fn enter(&mut self, ip: IpAddr, kind: Kind) {
        self.total += 1;
        match kind {
            Kind::Early => self.early += 1,
            Kind::LoggedIn | Kind::Relayed => {}
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
            Kind::LoggedIn | Kind::Relayed => {}
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

    /// The counter by address for this kind, if there is one.
    fn from(&mut self, kind: Kind) -> Option<&mut HashMap<IpAddr, usize>> {
        match kind {
            Kind::Early | Kind::LoggedIn | Kind::Relayed => Some(&mut self.per_address),
            Kind::Reserved => Some(&mut self.reserved_per_address),
            Kind::Link => None,
        }
    }
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    pub total: usize,
    /// Connections on which nobody is logged in.
    pub early: usize,
    /// Connections refused since the start.
    pub refused: u64,
}

impl Admission {
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, counts: Mutex::default(), freed: Condvar::new() })
    }

    /// Admits a connection on which nobody is logged in; `None` if a cap is reached.
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<ConnectionSlot> {
        let ip = ip.to_canonical();
        let counts = &mut *self.counts.lock();
        let from_there = counts.per_address.get(&ip).copied().unwrap_or(0);
        let strangers = counts.total - counts.links - counts.reserved;
        if strangers >= self.caps.total || counts.early >= self.caps.early || from_there >= self.caps.per_address {
            counts.refused += 1;
            return None;
        }
        Some(self.slot(counts, ip, Kind::Early))
    }

    /// A reserved slot, for a connection that was not admitted: the far side must be another tracker.
    pub fn reserve(self: &Arc<Self>, ip: IpAddr) -> Option<ConnectionSlot> {
        let ip = ip.to_canonical();
        let counts = &mut *self.counts.lock();
        let from_there = counts.reserved_per_address.get(&ip).copied().unwrap_or(0);
        let free = counts.reserved < RESERVED && from_there < RESERVED_PER_ADDRESS;
        free.then(|| self.slot(counts, ip, Kind::Reserved))
    }

    fn slot(self: &Arc<Self>, counts: &mut Counts, ip: IpAddr, kind: Kind) -> ConnectionSlot {
        counts.enter(ip, kind);
        ConnectionSlot { admission: self.clone(), ip, kind }
    }

    pub fn occupancy(&self) -> Occupancy {
        let counts = self.counts.lock();
        Occupancy { total: counts.total, early: counts.early + counts.reserved, refused: counts.refused }
    }

    /// Waits until a connection ends, at most this long.
    pub fn wait_freed(&self, longest: Duration) {
        let mut counts = self.counts.lock();
        self.freed.wait_for(&mut counts, longest);
    }

    /// Waits until there is no connection; false if that takes longer than this.
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

    pub fn set_logged_in(&mut self, logged_in: bool) {
        self.become_kind(if logged_in { Kind::LoggedIn } else { Kind::Early });
    }

    /// The far side has come with a good ticket for the relay.
    pub fn set_relayed(&mut self) {
        self.become_kind(Kind::Relayed);
    }

    /// The far side has proved to be another tracker. From now on it counts against no cap of clients.
    pub fn set_tracker(&mut self) {
        self.become_kind(Kind::Link);
        self.admission.wake();
    }

    fn become_kind(&mut self, kind: Kind) {
        let mut counts = self.admission.counts.lock();
        counts.leave(self.ip, self.kind);
        counts.enter(self.ip, kind);
        self.kind = kind;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.admission.counts.lock().leave(self.ip, self.kind);
        self.admission.wake();
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
        let admission = Admission::new(Caps { total: 4, early: 3, per_address: 2 });
        let mut a = admission.admit(ip(1)).expect("free");
        let b = admission.admit(ip(1)).expect("free");
        assert!(admission.admit(ip(1)).is_none(), "the address has its two");
        let c = admission.admit(ip(2)).expect("free");
        assert!(admission.admit(ip(3)).is_none(), "three have not logged in");
        a.set_logged_in(true);
        a.set_logged_in(true);
        let d = admission.admit(ip(3)).expect("one of them has");
        assert!(admission.admit(ip(4)).is_none(), "four in all");
        assert_eq!(admission.occupancy(), Occupancy { total: 4, early: 3, refused: 3 });
        drop((b, c));
        assert!(admission.admit(ip(1)).is_some());
        drop(d);
        a.set_logged_in(false);
        assert_eq!(admission.occupancy(), Occupancy { total: 1, early: 1, refused: 3 });
        assert!(!admission.wait_empty(Duration::ZERO));
        drop(a);
        assert!(admission.wait_empty(Duration::ZERO));
        assert!(admission.counts.lock().per_address.is_empty());
    }

    #[test]
    fn trackers_find_a_slot_where_strangers_have_taken_all_others() {
        let admission = Admission::new(Caps { total: 1, early: 1, per_address: 1 });
        let _stranger = admission.admit(ip(1)).expect("free");
        let mut waiting: Vec<ConnectionSlot> = (0..9).map_while(|_| admission.reserve(ip(1))).collect();
        assert_eq!((waiting.len(), waiting[0].is_reserved()), (RESERVED_PER_ADDRESS, true));
        let mut tracker = admission.reserve(ip(2)).expect("free for another address");
        tracker.set_tracker();
        assert!(!tracker.is_reserved());
        waiting[0].set_tracker();
        assert!(admission.reserve(ip(1)).is_some(), "one that has proved to be a tracker takes none");
        assert_eq!(admission.occupancy().total, 6);
        drop((waiting, tracker));
        assert_eq!(admission.occupancy(), Occupancy { total: 1, early: 1, refused: 0 });
        let mut others: Vec<ConnectionSlot> = (10..100).filter_map(|last| admission.reserve(ip(last))).collect();
        assert_eq!(others.len(), RESERVED);
        others.clear();
        assert!(admission.counts.lock().reserved_per_address.is_empty());
        assert!(admission.admit(ip(3)).is_none(), "clients have the slots that the caps give them");
    }

    #[test]
    fn an_ipv4_address_counts_the_same_in_ipv6_clothes() {
        let admission = Admission::new(Caps { total: 9, early: 9, per_address: 1 });
        let _slot = admission.admit(ip(1)).expect("free");
        assert!(admission.admit("::ffff:127.0.0.1".parse().expect("an address")).is_none());
    }

    #[test]
    fn descriptors_that_are_few_lower_the_cap() {
        assert_eq!(Caps::default().within(1000).total, 1000);
        assert_eq!(Caps::default().within(1 << 20), Caps::default());
    }
}
