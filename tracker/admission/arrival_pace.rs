//! Rate limiters for new connections, by network and site: each costs a thread that starts and ends. Also for telling
//! rejected clients the reason. Time is passed in.

use super::door::Door;
use crate::model::address::{network_of, place_of, site_of};
use crate::rate::buckets::{Buckets, Pace};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The rate of new connections from a network. All clients of a large class return at once, and programs connect for
/// each command.
const FROM_NETWORK: Pace = Pace { burst: 512, interval: Duration::from_micros(7_812) };
/// How often a place is told why its connections are rejected. All networks of a site count together, because only so
/// many sockets linger.
const TOLD: Pace = Pace { burst: 64, interval: Duration::from_micros(62_500) };
/// How often connections of a place are reset: each reset costs about 10 us. Beyond that, the listener ignores the
/// place for a moment.
const RESET: Pace = Pace { burst: 256, interval: Duration::from_micros(15_625) };
/// How often a place gets a reserved slot.
const RESERVED: Pace = Pace { burst: 8, interval: Duration::from_millis(500) };

/// Counts new connections.
#[derive(Debug)]
pub(super) struct ArrivalPace {
    networks: Buckets<(Door, IpAddr)>,
    sites: Buckets<(Door, IpAddr)>,
    told: Buckets<IpAddr>,
    reset: Buckets<IpAddr>,
    reserved: Buckets<IpAddr>,
}

impl Default for ArrivalPace {
    fn default() -> Self {
        Self {
            networks: Buckets::new(FROM_NETWORK),
            sites: Buckets::new(FROM_NETWORK.of_site()),
            told: Buckets::new(TOLD),
            reset: Buckets::new(RESET),
            reserved: Buckets::new(RESERVED),
        }
    }
}

impl ArrivalPace {
    /// Whether a connection may begin now from there.
    pub(super) fn allows(&self, door: Door, ip: IpAddr, now: Instant) -> bool {
        self.networks.allows(&(door, network_of(ip)), now)
            && site_of(ip).is_none_or(|site| self.sites.allows(&(door, site), now))
    }

    /// Counts a connection that begins.
    pub(super) fn take(&mut self, door: Door, ip: IpAddr, now: Instant) {
        self.networks.take(&(door, network_of(ip)), now);
        site_of(ip).iter().for_each(|site| self.sites.take(&(door, *site), now));
    }

    /// Whether a client at this address is told why its connection was rejected. A true result counts against the
    /// limit.
    pub(super) fn tells(&mut self, ip: IpAddr, now: Instant) -> bool {
        takes(&mut self.told, place_of(ip), now)
    }

    /// Whether one more connection from this address is worth a reset. A true result counts against the limit.
    pub(super) fn resets(&mut self, ip: IpAddr, now: Instant) -> bool {
        takes(&mut self.reset, place_of(ip), now)
    }

    /// Whether a client there may get a reserved slot now.
    pub(super) fn allows_reserved(&self, ip: IpAddr, now: Instant) -> bool {
        self.reserved.allows(&place_of(ip), now)
    }

    /// Counts a reserved slot.
    pub(super) fn take_reserved(&mut self, ip: IpAddr, now: Instant) {
        self.reserved.take(&place_of(ip), now);
    }
}

/// Takes from the bucket of a place, unless it is empty.
fn takes(buckets: &mut Buckets<IpAddr>, place: IpAddr, now: Instant) -> bool {
    let may = buckets.allows(&place, now);
    if may {
        buckets.take(&place, now);
    }
    may
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_an_address_begin_at_a_pace_and_others_are_not_held_up() {
        let (mut pace, now) = (ArrivalPace::default(), Instant::now());
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut begun = |door, ip, now| {
            let mut count = 0;
            while pace.allows(door, ip, now) {
                pace.take(door, ip, now);
                count += 1;
            }
            count
        };
        assert_eq!(begun(Door::Clients, here, now), FROM_NETWORK.burst);
        assert_eq!(begun(Door::Programs, here, now), FROM_NETWORK.burst, "programs there have their own");
        assert_eq!(begun(Door::Clients, here, now + Duration::from_secs(1)), 128);
        assert_eq!(begun(Door::Clients, there, now), FROM_NETWORK.burst);
        let at = |network: u16| IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 0, 1]);
        let of_site: u64 = (0..99).map(|network| begun(Door::Clients, at(network), now)).sum();
        assert_eq!(of_site, FROM_NETWORK.of_site().burst);
    }

    #[test]
    fn a_place_turned_away_without_end_is_told_at_a_pace_and_others_are_not_held_up() {
        let (mut pace, now) = (ArrivalPace::default(), Instant::now());
        let mut told = |last, now| (0..1000).filter(|_| pace.tells([192, 0, 2, last].into(), now)).count();
        assert_eq!((told(1, now), told(1, now), told(2, now)), (64, 0, 64));
        assert_eq!(told(1, now + Duration::from_secs(1)), 16);
    }

    #[test]
    fn a_place_reset_without_end_is_ignored_and_others_are_not() {
        let (mut pace, now) = (ArrivalPace::default(), Instant::now());
        let mut reset = |last, now| (0..1000).filter(|_| pace.resets([192, 0, 2, last].into(), now)).count();
        assert_eq!((reset(1, now), reset(1, now), reset(2, now)), (256, 0, 256));
        assert_eq!(reset(1, now + Duration::from_secs(1)), 64);
    }

    #[test]
    fn the_networks_of_a_site_are_told_together_as_often_as_one_address() {
        let (mut pace, now) = (ArrivalPace::default(), Instant::now());
        let mut told = |site| {
            let at = |network: u16| IpAddr::from([0x2001, 0xdb8, site, network, 0, 0, 0, 1]);
            (0..1000).filter(|network| pace.tells(at(*network), now)).count()
        };
        assert_eq!([told(1), told(1), told(2)], [64, 0, 64]);
    }
}
