//! How often somebody may try: attempts are counted by user name and by address. Time is passed in.

use crate::model::address::network_of;
use crate::model::name::UserId;
use crate::rate::buckets::{Buckets, Pace};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paces {
    /// Failed logins under one name.
    pub user: Pace,
    /// Failed logins from one address.
    pub address: Pace,
    /// Accounts made from one address.
    pub accounts: Pace,
}

impl Default for Paces {
    /// Many people may sit behind one address, so that has a wider pace than a name.
    fn default() -> Self {
        Self {
            user: Pace { burst: 10, interval: Duration::from_secs(5) },
            address: Pace { burst: 50, interval: Duration::from_secs(1) },
            accounts: Pace { burst: 300, interval: Duration::from_secs(1) },
        }
    }
}

/// The attempts of everybody.
#[derive(Debug)]
pub struct LoginThrottle {
    attempts: Mutex<Attempts>,
}

#[derive(Debug)]
struct Attempts {
    users: Buckets<UserId>,
    addresses: Buckets<IpAddr>,
    accounts: Buckets<IpAddr>,
}

impl LoginThrottle {
    pub fn new(paces: Paces) -> Self {
        Self {
            attempts: Mutex::new(Attempts {
                users: Buckets::new(paces.user),
                addresses: Buckets::new(paces.address),
                accounts: Buckets::new(paces.accounts),
            }),
        }
    }

    /// Whether a login may be tried now; if so it counts as a failed one until [`LoginThrottle::login_succeeded`].
    pub fn try_login(&self, user: &UserId, ip: IpAddr, now: Instant) -> bool {
        let attempts = &mut *self.attempts.lock();
        let ip = network_of(ip);
        let allowed = attempts.users.allows(user, now) && attempts.addresses.allows(&ip, now);
        if allowed {
            attempts.users.take(user, now);
            attempts.addresses.take(&ip, now);
        }
        allowed
    }

    /// A login that was tried has succeeded: the user starts afresh. The address only gets this attempt back, or
    /// whoever guesses the passwords of others could wash it clean with an account of their own.
    pub fn login_succeeded(&self, user: &UserId, ip: IpAddr) {
        let attempts = &mut *self.attempts.lock();
        attempts.users.refill(user);
        attempts.addresses.give_back(&network_of(ip));
    }

    /// Whether an account may be made from an address now; if so it counts.
    pub fn try_account(&self, ip: IpAddr, now: Instant) -> bool {
        let attempts = &mut *self.attempts.lock();
        let ip = network_of(ip);
        let allowed = attempts.accounts.allows(&ip, now);
        if allowed {
            attempts.accounts.take(&ip, now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn throttle() -> LoginThrottle {
        let pace = |burst, secs| Pace { burst, interval: Duration::from_secs(secs) };
        LoginThrottle::new(Paces { user: pace(3, 5), address: pace(6, 1), accounts: pace(2, 1) })
    }

    #[test]
    fn a_name_can_be_tried_a_few_times_and_then_once_per_interval() {
        let (throttle, start) = (throttle(), Instant::now());
        for i in 0..3 {
            assert!(throttle.try_login(&user("ann"), ip(i), start));
        }
        assert!(!throttle.try_login(&user("ann"), ip(9), start));
        assert!(throttle.try_login(&user("bob"), ip(9), start), "other names are not concerned");
        let later = start + Duration::from_secs(5);
        assert!(throttle.try_login(&user("ann"), ip(9), later));
        assert!(!throttle.try_login(&user("ann"), ip(9), later));
        let much_later = start + Duration::from_secs(1000);
        for i in 0..3 {
            assert!(throttle.try_login(&user("ann"), ip(i), much_later), "it fills up to the burst, not beyond");
        }
        assert!(!throttle.try_login(&user("ann"), ip(9), much_later));
    }

    #[test]
    fn an_address_can_try_many_names_only_so_often() {
        let (throttle, now) = (throttle(), Instant::now());
        for i in 0..6 {
            assert!(throttle.try_login(&user(&format!("u{i}")), ip(1), now));
        }
        assert!(!throttle.try_login(&user("another"), ip(1), now));
        assert!(throttle.try_login(&user("another"), ip(2), now));
    }

    #[test]
    fn success_frees_the_name_but_not_the_failures_of_the_address() {
        let (throttle, now) = (throttle(), Instant::now());
        for i in 0..5 {
            assert!(throttle.try_login(&user(&format!("victim{i}")), ip(1), now));
            assert!(throttle.try_login(&user("own"), ip(1), now));
            throttle.login_succeeded(&user("own"), ip(1));
        }
        assert!(throttle.try_login(&user("victim5"), ip(1), now));
        assert!(!throttle.try_login(&user("victim6"), ip(1), now));
        assert!(throttle.try_login(&user("own"), ip(2), now));
    }

    #[test]
    fn accounts_have_a_pace_of_their_own_and_a_network_of_ipv6_counts_as_one() {
        let (throttle, now) = (throttle(), Instant::now());
        let v6 = |text: &str| text.parse().expect(text);
        assert!(throttle.try_account(v6("2001:db8::1"), now));
        assert!(throttle.try_account(v6("2001:db8::2"), now));
        assert!(!throttle.try_account(v6("2001:db8::3"), now));
        assert!(throttle.try_account(v6("2001:db8:0:1::3"), now));
        assert!(throttle.try_account(v6("::ffff:10.0.0.1"), now));
        assert!(throttle.try_account(ip(1), now));
        assert!(!throttle.try_account(ip(1), now), "an IPv4 address in IPv6 clothes is the same address");
    }
}
