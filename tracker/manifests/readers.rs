//! A rate limiter for the bytes of manifests that users read: a request of a few bytes gets as much as a message
//! holds.

use super::turns::Requester;
use crate::model::address::{network_of, site_of};
use crate::model::id::UserRef;
use crate::rate::buckets::{Buckets, Pace};
use crate::wire::refusal::{Code, Refusal};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// 16 GiB at once, and as much in every further hour: 128 of the longest manifests.
const OF_USER: Pace = Pace { burst: 16 << 30, interval: Duration::from_nanos(209) };
/// The limit for all users of a network together.
const OF_NETWORK: Pace = Pace { burst: 64 << 30, interval: Duration::from_nanos(52) };

/// Counts what users have read lately.
#[derive(Debug)]
pub(super) struct Readers(Mutex<Taken>);

#[derive(Debug)]
struct Taken {
    users: Buckets<UserRef>,
    networks: Buckets<IpAddr>,
    sites: Buckets<IpAddr>,
}

impl Default for Readers {
    fn default() -> Self {
        let (users, networks) = (Buckets::new(OF_USER), Buckets::new(OF_NETWORK));
        Self(Mutex::new(Taken { users, networks, sites: Buckets::new(OF_NETWORK.of_site()) }))
    }
}

impl Readers {
    /// Counts bytes before a user reads them.
    ///
    /// # Errors
    /// `SlowDown`.
    pub(super) fn take(&self, requester: Requester, bytes: u64, now: Instant) -> Result<(), Refusal> {
        let Requester::User(ip, user, _) = requester else { return Ok(()) };
        let (network, site) = (network_of(ip), site_of(ip));
        let Taken { users, networks, sites } = &mut *self.0.lock();
        let mut wait = users.wait(&user, bytes, now).max(networks.wait(&network, bytes, now));
        if let Some(site) = &site {
            wait = wait.max(sites.wait(site, bytes, now));
        }
        if !wait.is_zero() {
            return Err(Code::SlowDown.into());
        }
        users.take_many(&user, bytes, now);
        networks.take_many(&network, bytes, now);
        site.iter().for_each(|site| sites.take_many(site, bytes, now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};
    use crate::wire::client_tracker::MANIFEST_PART_MAX;
    use std::net::Ipv4Addr;

    #[test]
    fn users_of_a_network_read_many_long_lists_an_hour_and_other_networks_read_too() {
        let (readers, start) = (Readers::default(), Instant::now());
        let reader = |host: u8, seq| {
            let user = UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq });
            Requester::User(Ipv4Addr::new(192, 0, 2, host).into(), user, Instant::now())
        };
        let part = MANIFEST_PART_MAX as u64;
        let parts = |requester| (0..).take_while(|_| readers.take(requester, part, start).is_ok()).count() as u64;
        assert_eq!(parts(reader(1, 1)), (16 << 30) / part);
        assert_eq!((2..9).map(|user| parts(reader(1, user))).sum::<u64>(), (48 << 30) / part);
        assert_eq!(parts(reader(2, 9)), (16 << 30) / part);
        let later = start + Duration::from_secs(60);
        assert!(readers.take(reader(1, 1), part, later).is_ok(), "some is free again");
        assert!(readers.take(Requester::Trackers, u64::MAX, start).is_ok());
    }
}
