//! A rate limiter for proved logins, by password or by token: counted by account, network and site. A client that
//! exceeds the rate waits.

use crate::model::address::{network_of, site_of};
use crate::model::name::UserId;
use crate::rate::buckets::{Buckets, Pace};
use std::net::IpAddr;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct LoginPace {
    users: Buckets<UserId>,
    networks: Buckets<IpAddr>,
    sites: Buckets<IpAddr>,
}

impl LoginPace {
    pub(super) fn new(of_user: Pace, from_address: Pace) -> Self {
        Self {
            users: Buckets::new(of_user),
            networks: Buckets::new(from_address),
            sites: Buckets::new(from_address.of_site()),
        }
    }

    /// How long until this user may log in there; zero if at once.
    pub(super) fn wait(&self, name: &UserId, ip: IpAddr, now: Instant) -> Duration {
        let of_site = site_of(ip).map_or(Duration::ZERO, |site| self.sites.wait(&site, 1, now));
        self.users.wait(name, 1, now).max(self.networks.wait(&network_of(ip), 1, now)).max(of_site)
    }

    /// Takes a login, even one that is not due yet: then the next one waits longer.
    pub(super) fn take(&mut self, name: &UserId, ip: IpAddr, now: Instant) {
        self.users.take(name, now);
        self.networks.take(&network_of(ip), now);
        site_of(ip).iter().for_each(|site| self.sites.take(site, now));
    }

    /// A taken login was not used.
    pub(super) fn give_back(&mut self, name: &UserId, ip: IpAddr) {
        self.users.give_back(name);
        self.networks.give_back(&network_of(ip));
        site_of(ip).iter().for_each(|site| self.sites.give_back(site));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    fn pace(burst: u64, secs: u64) -> Pace {
        Pace { burst, interval: Duration::from_secs(secs) }
    }

    fn logins() -> LoginPace {
        LoginPace::new(pace(3, 10), pace(5, 1))
    }

    #[test]
    fn an_account_that_logs_in_too_often_waits_and_no_other_does() {
        let (mut logins, now) = (logins(), Instant::now());
        let (here, there) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for _ in 0..3 {
            assert_eq!(logins.wait(&user("eve"), here, now), Duration::ZERO);
            logins.take(&user("eve"), here, now);
        }
        assert_eq!(logins.wait(&user("eve"), there, now), Duration::from_secs(10), "wherever from");
        assert_eq!(logins.wait(&user("ann"), here, now), Duration::ZERO);
        // Two more logins are taken, and wait.
        (0..2).for_each(|_| logins.take(&user("eve"), here, now));
        assert_eq!(logins.wait(&user("eve"), there, now), Duration::from_secs(30));
        assert_eq!(logins.wait(&user("ann"), here, now), Duration::from_secs(1), "the address has had its five");
        assert_eq!(logins.wait(&user("ann"), there, now), Duration::ZERO);
    }

    #[test]
    fn all_networks_of_a_site_log_in_ten_times_as_often_as_one_of_them() {
        let (mut logins, now) = (logins(), Instant::now());
        let at = |network: u16| IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 0, 1]);
        for network in 0..50 {
            assert_eq!(logins.wait(&user(&format!("u{network}")), at(network), now), Duration::ZERO);
            logins.take(&user(&format!("u{network}")), at(network), now);
        }
        assert!(logins.wait(&user("ann"), at(50), now) > Duration::ZERO);
    }
}
