//! A rate limiter for announcements of clients, each of which costs a signed certificate, and news to others. It
//! counts by user, network and site, whatever the number of connections. Time is passed in.

use crate::model::address::{network_of, site_of};
use crate::model::id::UserRef;
use crate::rate::buckets::{Buckets, Pace};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The rate for the clients of a user. A client announces itself when it logs in, when its machine has another
/// address, and when its certificate grows old.
const OF_USER: Pace = Pace { burst: 600, interval: Duration::from_millis(500) };
/// The rate for the clients in a network.
const FROM_NETWORK: Pace = Pace { burst: 1024, interval: Duration::from_micros(62_500) };

/// Counts announcements.
#[derive(Debug)]
pub struct AnnouncePace {
    users: Buckets<UserRef>,
    networks: Buckets<IpAddr>,
    sites: Buckets<IpAddr>,
}

impl Default for AnnouncePace {
    fn default() -> Self {
        Self {
            users: Buckets::new(OF_USER),
            networks: Buckets::new(FROM_NETWORK),
            sites: Buckets::new(FROM_NETWORK.of_site()),
        }
    }
}

impl AnnouncePace {
    /// Whether a client of this user may announce itself now from this address. A true result counts against the limit.
    pub fn allows(&mut self, user: UserRef, ip: IpAddr, now: Instant) -> bool {
        let (network, site) = (network_of(ip), site_of(ip));
        let may = self.users.allows(&user, now)
            && self.networks.allows(&network, now)
            && site.is_none_or(|site| self.sites.allows(&site, now));
        if may {
            self.users.take(&user, now);
            self.networks.take(&network, now);
            site.iter().for_each(|site| self.sites.take(site, now));
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};

    fn user(seq: u64) -> UserRef {
        UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq })
    }

    #[test]
    fn a_user_announces_so_often_from_all_connections_together_and_others_are_not_held_up() {
        let (mut pace, now, ip) = (AnnouncePace::default(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let announced = (0..10_000).filter(|_| pace.allows(user(1), ip, now)).count();
        assert_eq!(announced as u64, OF_USER.burst);
        assert!(!pace.allows(user(1), [192, 0, 2, 2].into(), now), "wherever from");
        assert!(pace.allows(user(2), ip, now));
        assert!(pace.allows(user(1), ip, now + OF_USER.interval));
    }

    #[test]
    fn accounts_of_a_network_announce_so_often_together_and_those_elsewhere_are_not_held_up() {
        let (mut pace, now, ip) = (AnnouncePace::default(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let announced = (0..10_000).filter(|&account| pace.allows(user(account), ip, now)).count();
        assert_eq!(announced as u64, FROM_NETWORK.burst);
        assert!(pace.allows(user(1), [192, 0, 2, 2].into(), now));
    }
}
