//! How often somebody may try: attempts are counted by user name and by address, and those that succeed are given back.

use crate::model::address::{SITE_SHARE, network_of, site_of};
use crate::model::name::UserId;
use crate::rate::buckets::{Buckets, Pace};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long an attempt waits for the verdicts on others.
const VERDICT_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paces {
    /// Failed logins under one name.
    pub user: Pace,
    /// Failed logins from one address.
    pub address: Pace,
}

impl Default for Paces {
    /// Many people may sit behind one address, so that has a wider pace than a name.
    fn default() -> Self {
        Self {
            user: Pace { burst: 10, interval: Duration::from_secs(5) },
            address: Pace { burst: 50, interval: Duration::from_secs(1) },
        }
    }
}

/// The attempts of everybody.
#[derive(Debug)]
pub struct LoginThrottle {
    attempts: Mutex<Attempts>,
    /// Wakes those who wait for the verdicts on others.
    verdict: Condvar,
}

#[derive(Debug)]
struct Attempts {
    users: Tries<UserId>,
    addresses: Tries<IpAddr>,
    /// Those of whole sites of IPv6.
    sites: Tries<IpAddr>,
}

/// The attempts of each key. One that is under way counts as failed until its verdict.
#[derive(Debug)]
struct Tries<K> {
    failed: Buckets<K>,
    under_way: HashMap<K, u32>,
}

/// Whether a login may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoginTurn {
    Go,
    /// Once the verdicts on others are there: they may have been right.
    Wait,
    No,
}

impl<K: Eq + Hash + Clone> Tries<K> {
    fn new(pace: Pace) -> Self {
        Self { failed: Buckets::new(pace), under_way: HashMap::new() }
    }

    fn turn(&self, key: &K, now: Instant) -> LoginTurn {
        match (self.failed.allows(key, now), self.under_way.contains_key(key)) {
            (true, _) => LoginTurn::Go,
            (false, true) => LoginTurn::Wait,
            (false, false) => LoginTurn::No,
        }
    }

    fn begin(&mut self, key: &K, now: Instant) {
        self.failed.take(key, now);
        *self.under_way.entry(key.clone()).or_default() += 1;
    }

    fn end(&mut self, key: &K) {
        if let Some(count) = self.under_way.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(key);
            }
        }
    }
}

impl Attempts {
    fn new(paces: Paces) -> Self {
        let Pace { burst, interval } = paces.address;
        let of_site = Pace { burst: burst.saturating_mul(SITE_SHARE), interval: interval / SITE_SHARE as u32 };
        Self { users: Tries::new(paces.user), addresses: Tries::new(paces.address), sites: Tries::new(of_site) }
    }

    fn give_back(&mut self, ip: IpAddr) {
        self.addresses.failed.give_back(&ip);
        site_of(ip).iter().for_each(|site| self.sites.failed.give_back(site));
    }

    fn turn(&mut self, user: &UserId, ip: &IpAddr, now: Instant) -> LoginTurn {
        let site = site_of(*ip);
        let of_site = site.map_or(LoginTurn::Go, |site| self.sites.turn(&site, now));
        let turns = [self.users.turn(user, now), self.addresses.turn(ip, now), of_site];
        let turn = [LoginTurn::No, LoginTurn::Wait].into_iter().find(|turn| turns.contains(turn));
        let turn = turn.unwrap_or(LoginTurn::Go);
        if turn == LoginTurn::Go {
            self.users.begin(user, now);
            self.addresses.begin(ip, now);
            site.iter().for_each(|site| self.sites.begin(site, now));
        }
        turn
    }
}

/// A login that is under way. Dropping it says that it has failed.
#[derive(Debug)]
pub struct LoginAttempt<'a> {
    throttle: &'a LoginThrottle,
    user: UserId,
    ip: IpAddr,
}

impl LoginAttempt<'_> {
    /// The password was right: the user starts afresh. The address only gets this attempt back, or whoever guesses the
    /// passwords of others could wash it clean with an account of their own.
    pub fn succeeded(self) {
        let attempts = &mut *self.throttle.attempts.lock();
        attempts.users.failed.refill(&self.user);
        attempts.give_back(self.ip);
    }

    /// The password was not looked at: the user and the address get this attempt back.
    pub fn unchecked(self) {
        let attempts = &mut *self.throttle.attempts.lock();
        attempts.users.failed.give_back(&self.user);
        attempts.give_back(self.ip);
    }
}

impl Drop for LoginAttempt<'_> {
    fn drop(&mut self) {
        let attempts = &mut *self.throttle.attempts.lock();
        attempts.users.end(&self.user);
        attempts.addresses.end(&self.ip);
        site_of(self.ip).iter().for_each(|site| attempts.sites.end(site));
        self.throttle.verdict.notify_all();
    }
}

impl LoginThrottle {
    pub fn new(paces: Paces) -> Self {
        Self { attempts: Mutex::new(Attempts::new(paces)), verdict: Condvar::new() }
    }

    /// Begins a login if there were not too many failed ones. Those that are under way may have been right: waits for
    /// their verdicts, but not for long. `None` if it may not be tried.
    pub fn attempt(&self, user: &UserId, ip: IpAddr) -> Option<LoginAttempt<'_>> {
        let (ip, until) = (network_of(ip), Instant::now() + VERDICT_WAIT);
        let mut attempts = self.attempts.lock();
        loop {
            match attempts.turn(user, &ip, Instant::now()) {
                LoginTurn::Go => return Some(LoginAttempt { throttle: self, user: user.clone(), ip }),
                LoginTurn::No => return None,
                LoginTurn::Wait => {
                    if self.verdict.wait_until(&mut attempts, until).timed_out() {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;
    use std::thread;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn paces() -> Paces {
        let pace = |burst, secs| Pace { burst, interval: Duration::from_secs(secs) };
        Paces { user: pace(3, 5), address: pace(6, 1) }
    }

    fn attempts() -> Attempts {
        Attempts::new(paces())
    }

    /// Whether a login could be tried; it has failed then.
    fn fails(attempts: &mut Attempts, name: &str, ip: IpAddr, now: Instant) -> bool {
        let went = attempts.turn(&user(name), &network_of(ip), now) == LoginTurn::Go;
        if went {
            attempts.users.end(&user(name));
            attempts.addresses.end(&network_of(ip));
        }
        went
    }

    #[test]
    fn a_name_can_be_tried_a_few_times_and_then_once_per_interval() {
        let (mut attempts, start) = (attempts(), Instant::now());
        for i in 0..3 {
            assert!(fails(&mut attempts, "ann", ip(i), start));
        }
        assert!(!fails(&mut attempts, "ann", ip(9), start));
        assert!(fails(&mut attempts, "bob", ip(9), start), "other names are not concerned");
        let later = start + Duration::from_secs(5);
        assert!(fails(&mut attempts, "ann", ip(9), later));
        assert!(!fails(&mut attempts, "ann", ip(9), later));
        let much_later = start + Duration::from_secs(1000);
        for i in 0..3 {
            assert!(fails(&mut attempts, "ann", ip(i), much_later), "it fills up to the burst, not beyond");
        }
        assert!(!fails(&mut attempts, "ann", ip(9), much_later));
    }

    #[test]
    fn an_address_can_try_many_names_only_so_often_and_a_network_of_ipv6_counts_as_one() {
        let (mut attempts, now) = (attempts(), Instant::now());
        let v6 = |text: &str| -> IpAddr { text.parse().expect(text) };
        for i in 0..6 {
            assert!(fails(&mut attempts, &format!("u{i}"), ip(1), now));
            assert!(fails(&mut attempts, &format!("v{i}"), v6(&format!("2001:db8::{i}")), now));
        }
        assert!(!fails(&mut attempts, "another", ip(1), now));
        assert!(!fails(&mut attempts, "another", v6("::ffff:10.0.0.1"), now), "the same address");
        assert!(!fails(&mut attempts, "another", v6("2001:db8::99"), now));
        assert!(fails(&mut attempts, "another", ip(2), now));
        assert!(fails(&mut attempts, "another", v6("2001:db8:0:1::1"), now));
    }

    #[test]
    fn all_networks_of_a_site_fail_ten_times_as_often_as_one_of_them() {
        let throttle = LoginThrottle::new(paces());
        let at = |network: u16| IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 0, 1]);
        let fails = |n: u16| throttle.attempt(&user(&format!("u{n}")), at(n)).is_some();
        let (before, failed) = (Instant::now(), (0..500).filter(|n| fails(*n)).count());
        let refilled = 10 * (before.elapsed().as_secs() as usize + 1);
        assert!((60..=60 + refilled).contains(&failed), "{failed}");
    }

    #[test]
    fn success_frees_the_name_but_not_the_failures_of_the_address() {
        let throttle = LoginThrottle::new(paces());
        let attempt = |name: &str, last| throttle.attempt(&user(name), ip(last));
        for i in 0..5 {
            assert!(attempt(&format!("victim{i}"), 1).is_some());
            attempt("own", 1).expect("may be tried").succeeded();
        }
        assert!(attempt("victim5", 1).is_some());
        assert!(attempt("victim6", 1).is_none());
        assert!(attempt("own", 2).is_some());
    }

    #[test]
    fn a_login_whose_password_nobody_looked_at_has_not_failed() {
        let throttle = LoginThrottle::new(paces());
        for _ in 0..20 {
            throttle.attempt(&user("ann"), ip(1)).expect("nothing has failed").unchecked();
        }
        let failed = (0..5).filter(|_| throttle.attempt(&user("ann"), ip(1)).is_some()).count();
        assert_eq!(failed, 3, "as many as without the others");
    }

    #[test]
    fn what_is_under_way_holds_others_up_until_its_verdict() {
        let (mut attempts, now) = (attempts(), Instant::now());
        let (ann, ip) = (user("ann"), ip(1));
        for _ in 0..3 {
            assert_eq!(attempts.turn(&ann, &ip, now), LoginTurn::Go);
        }
        assert_eq!(attempts.turn(&ann, &ip, now), LoginTurn::Wait, "they may be right");
        attempts.users.end(&ann);
        assert_eq!(attempts.turn(&ann, &ip, now), LoginTurn::Wait, "two more may be right");
        (0..2).for_each(|_| attempts.users.end(&ann));
        assert_eq!(attempts.turn(&ann, &ip, now), LoginTurn::No, "all three were wrong");
    }

    #[test]
    fn any_number_of_right_logins_at_once_get_in_and_of_wrong_ones_no_more_than_one_after_the_other() {
        let throttle = &LoginThrottle::new(paces());
        let try_at_once = |right: bool| {
            let tried = |n: usize| {
                let attempt = throttle.attempt(&user(&format!("u{}", n % 9)), ip(1));
                let went = attempt.is_some();
                attempt.filter(|_| right).into_iter().for_each(LoginAttempt::succeeded);
                went
            };
            thread::scope(|scope| {
                let all: Vec<_> = (0..60).map(|n| scope.spawn(move || tried(n))).collect();
                all.into_iter().map(|one| one.join().expect("no panic")).filter(|went| *went).count()
            })
        };
        assert_eq!(try_at_once(true), 60);
        let (before, went) = (Instant::now(), try_at_once(false));
        let refilled = before.elapsed().as_secs() as usize + 1;
        assert!((6..=6 + refilled).contains(&went), "{went}");
    }
}
