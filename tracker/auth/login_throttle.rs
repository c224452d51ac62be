//! A rate limiter for attempts to log in. It counts attempts by user name, place and address, and gives back those
//! that succeed.

use super::known_places::KnownPlaces;
use super::login_pace::LoginPace;
use crate::model::address::{network_of, place_of, site_of};
use crate::model::id::UserRef;
use crate::model::name::UserId;
use crate::rate::buckets::{Buckets, Pace};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paces {
    /// Failed logins under one name, from all places where its user has not logged in. One address alone cannot use
    /// this up.
    pub user: Pace,
    /// Failed logins under one name from one place, and wrong old passwords of a logged-in user.
    pub user_at_place: Pace,
    /// Failed logins from one address.
    pub address: Pace,
    /// Logins of one account, including all clients that return to this tracker at once.
    pub logins_of_user: Pace,
    /// Logins from one address: more than the connections that it may have.
    pub logins_from_address: Pace,
}

impl Default for Paces {
    /// Many users may share one address, so an address has a wider limit than a name.
    fn default() -> Self {
        Self {
            user: Pace { burst: 30, interval: Duration::from_secs(5) },
            user_at_place: Pace { burst: 10, interval: Duration::from_secs(10) },
            address: Pace { burst: 50, interval: Duration::from_secs(1) },
            logins_of_user: Pace { burst: 100, interval: Duration::from_millis(500) },
            logins_from_address: Pace { burst: 1024, interval: Duration::from_millis(60) },
        }
    }
}

/// The attempts of all users.
#[derive(Debug)]
pub struct LoginThrottle {
    attempts: Mutex<Attempts>,
    /// Wakes the attempts that wait for the verdicts on others.
    verdict: Condvar,
    /// Wakes the logins that wait for the rate limit, when the tracker stops.
    closing: Condvar,
}

#[derive(Debug)]
struct Attempts {
    failed: Failed,
    under_way: HashMap<Counter, u32>,
    known: KnownPlaces,
    logins: LoginPace,
    closed: bool,
}

/// What an attempt is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counter {
    /// A name, at all places that are strange to its user.
    User(UserId),
    /// A name at one place.
    UserAt(UserId, IpAddr),
    /// A user who is logged in.
    Own(UserRef),
    Address(IpAddr),
    /// A whole site of IPv6.
    Site(IpAddr),
}

/// Whether an exhausted counter stops an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stops {
    Yes,
    /// The attempt only counts.
    No,
}

/// The failed attempts of each kind. An attempt without a verdict yet counts as failed.
#[derive(Debug)]
struct Failed {
    users: Buckets<Counter>,
    users_at: Buckets<Counter>,
    addresses: Buckets<Counter>,
    sites: Buckets<Counter>,
}

/// Whether a login may be attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoginTurn {
    Go,
    /// Only after the verdicts on other attempts, which may succeed.
    Wait,
    No,
}

impl Failed {
    fn new(paces: &Paces) -> Self {
        Self {
            users: Buckets::new(paces.user),
            users_at: Buckets::new(paces.user_at_place),
            addresses: Buckets::new(paces.address),
            sites: Buckets::new(paces.address.of_site()),
        }
    }

    fn of(&mut self, counter: &Counter) -> &mut Buckets<Counter> {
        match counter {
            Counter::User(_) => &mut self.users,
            Counter::UserAt(..) | Counter::Own(_) => &mut self.users_at,
            Counter::Address(_) => &mut self.addresses,
            Counter::Site(_) => &mut self.sites,
        }
    }
}

impl Attempts {
    fn new(paces: &Paces) -> Self {
        let (failed, logins) = (Failed::new(paces), LoginPace::new(paces.logins_of_user, paces.logins_from_address));
        Self { failed, under_way: HashMap::new(), known: KnownPlaces::default(), logins, closed: false }
    }

    /// The counters of a login under this name. At the user's known places, failures of strangers stop nobody.
    fn counters(&self, user: &UserId, ip: IpAddr) -> Vec<(Counter, Stops)> {
        let place = place_of(ip);
        let stops = if self.known.knows(user, place) { Stops::No } else { Stops::Yes };
        let mut counters =
            vec![(Counter::UserAt(user.clone(), place), Stops::Yes), (Counter::Address(network_of(ip)), stops)];
        counters.extend(site_of(ip).map(|site| (Counter::Site(site), stops)));
        if stops == Stops::Yes {
            counters.push((Counter::User(user.clone()), stops));
        }
        counters
    }

    /// Begins an attempt if it may be made now.
    fn turn(&mut self, counters: &[(Counter, Stops)], now: Instant) -> LoginTurn {
        let turn = self.ask(counters, now);
        if turn == LoginTurn::Go {
            counters.iter().for_each(|(counter, _)| self.begin(counter, now));
        }
        turn
    }

    fn ask(&mut self, counters: &[(Counter, Stops)], now: Instant) -> LoginTurn {
        let mut turn = LoginTurn::Go;
        for (counter, _) in counters.iter().filter(|(_, stops)| *stops == Stops::Yes) {
            let is_free = self.failed.of(counter).allows(counter, now);
            match (is_free, self.under_way.contains_key(counter)) {
                (true, _) => {}
                (false, true) => turn = LoginTurn::Wait,
                (false, false) => return LoginTurn::No,
            }
        }
        turn
    }

    fn begin(&mut self, counter: &Counter, now: Instant) {
        self.failed.of(counter).take(counter, now);
        *self.under_way.entry(counter.clone()).or_default() += 1;
    }

    fn end(&mut self, counter: &Counter) {
        if let Some(count) = self.under_way.get_mut(counter) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(counter);
            }
        }
    }

    fn give_back(&mut self, counter: &Counter) {
        self.failed.of(counter).give_back(counter);
    }

    /// A user has logged in there.
    fn note_place(&mut self, user: &UserId, ip: IpAddr) {
        self.known.note(user, place_of(ip));
    }
}

/// A login that is under way. Dropping it means that it has failed.
#[derive(Debug)]
pub struct LoginAttempt<'a> {
    throttle: &'a LoginThrottle,
    user: UserId,
    ip: IpAddr,
    counters: Vec<(Counter, Stops)>,
    /// The attempt has taken a login of the rate limiter. It gives the login back if it fails.
    has_login: bool,
}

impl LoginAttempt<'_> {
    /// The password was right: clears the user's counters there. All other counters only get this attempt back.
    /// Otherwise an attacker with an account could clear the count of an address by logging in.
    pub fn succeeded(mut self) {
        let attempts = &mut *self.throttle.attempts.lock();
        for (counter, _) in &self.counters {
            match counter {
                Counter::UserAt(..) | Counter::Own(_) => attempts.failed.of(counter).refill(counter),
                Counter::User(_) | Counter::Address(_) | Counter::Site(_) => attempts.give_back(counter),
            }
        }
        if std::mem::take(&mut self.has_login) {
            attempts.note_place(&self.user, self.ip);
        }
    }

    /// The password was not checked: all counters get this attempt back.
    pub fn unchecked(self) {
        let attempts = &mut *self.throttle.attempts.lock();
        self.counters.iter().for_each(|(counter, _)| attempts.give_back(counter));
    }
}

impl Drop for LoginAttempt<'_> {
    fn drop(&mut self) {
        let attempts = &mut *self.throttle.attempts.lock();
        self.counters.iter().for_each(|(counter, _)| attempts.end(counter));
        if self.has_login {
            attempts.logins.give_back(&self.user, self.ip);
        }
        self.throttle.verdict.notify_all();
    }
}

impl LoginThrottle {
    pub fn new(paces: Paces) -> Self {
        let attempts = Mutex::new(Attempts::new(&paces));
        Self { attempts, verdict: Condvar::new(), closing: Condvar::new() }
    }

    /// Begins a login unless too many have failed. Attempts under way may still succeed: waits for their verdicts, at
    /// the latest until `until`. A user who has logged in too often waits too. `None` if the login may not be
    /// attempted.
    pub fn attempt(&self, user: &UserId, ip: IpAddr, until: Instant) -> Option<LoginAttempt<'_>> {
        self.begin(user, ip, None, until)
    }

    /// As [`LoginThrottle::attempt`], for a logged-in user who proves the password once more. Attempts of strangers
    /// under the name do not count, nor do logins there.
    pub fn attempt_own(&self, own: UserRef, user: &UserId, ip: IpAddr, until: Instant) -> Option<LoginAttempt<'_>> {
        self.begin(user, ip, Some(own), until)
    }

    /// Counts a login that is already proved, as by a token. Waits if there were too many. Returns false if that takes
    /// longer than `until`.
    pub fn log_in(&self, user: &UserId, ip: IpAddr, until: Instant) -> bool {
        let mut attempts = self.attempts.lock();
        let may = self.take_login(&mut attempts, (user, ip), until);
        if may {
            attempts.note_place(user, ip);
        }
        may
    }

    /// Ends all waits.
    pub fn close(&self) {
        self.attempts.lock().closed = true;
        self.verdict.notify_all();
        self.closing.notify_all();
    }

    fn begin(&self, user: &UserId, ip: IpAddr, own: Option<UserRef>, until: Instant) -> Option<LoginAttempt<'_>> {
        let mut attempts = self.attempts.lock();
        let mut has_login = false;
        let begun = loop {
            let counters = own.map_or_else(|| attempts.counters(user, ip), |own| vec![(Counter::Own(own), Stops::Yes)]);
            let now = Instant::now();
            match attempts.ask(&counters, now) {
                // An attempt that may not be made takes no login. Otherwise strangers could use up those of a user.
                LoginTurn::Go if own.is_none() && !has_login => {
                    has_login = self.take_login(&mut attempts, (user, ip), until);
                    if !has_login {
                        break None;
                    }
                }
                LoginTurn::Go => {
                    attempts.turn(&counters, now);
                    break Some(counters);
                }
                LoginTurn::No => break None,
                LoginTurn::Wait if attempts.closed => break None,
                LoginTurn::Wait if self.verdict.wait_until(&mut attempts, until).timed_out() => break None,
                LoginTurn::Wait => {}
            }
        };
        if begun.is_none() && has_login {
            attempts.logins.give_back(user, ip);
        }
        drop(attempts);
        begun.map(|counters| LoginAttempt { throttle: self, user: user.clone(), ip, counters, has_login })
    }

    /// Takes a login of the rate limiter, and waits until it is due. Each login waits for those taken before it. Takes
    /// none and returns false if that takes too long.
    fn take_login(
        &self,
        attempts: &mut MutexGuard<'_, Attempts>,
        (user, ip): (&UserId, IpAddr),
        until: Instant,
    ) -> bool {
        let now = Instant::now();
        let due = now + attempts.logins.wait(user, ip, now);
        if due > until {
            return false;
        }
        attempts.logins.take(user, ip, now);
        while !attempts.closed && Instant::now() < due {
            self.closing.wait_until(attempts, due);
        }
        let is_due = Instant::now() >= due;
        if !is_due {
            attempts.logins.give_back(user, ip);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};
    use crate::model::name::tests::user;
    use crate::wire::deadlines::ANSWER_DEADLINE;
    use std::thread;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn paces() -> Paces {
        let pace = |burst, secs| Pace { burst, interval: Duration::from_secs(secs) };
        let (user, user_at_place, address) = (pace(5, 5), pace(3, 5), pace(6, 1));
        Paces { user, user_at_place, address, ..Paces::default() }
    }

    fn attempts() -> Attempts {
        Attempts::new(&paces())
    }

    /// Whether a login could be attempted, which then fails.
    fn fails(attempts: &mut Attempts, name: &str, ip: IpAddr, now: Instant) -> bool {
        let counters = attempts.counters(&user(name), ip);
        let went = attempts.turn(&counters, now) == LoginTurn::Go;
        if went {
            counters.iter().for_each(|(counter, _)| attempts.end(counter));
        }
        went
    }

    /// The deadline of a request that begins now.
    fn soon() -> Instant {
        Instant::now() + ANSWER_DEADLINE
    }

    #[test]
    fn a_name_can_be_tried_a_few_times_at_a_place_and_then_once_per_interval() {
        let (mut attempts, start) = (attempts(), Instant::now());
        assert!((0..3).all(|_| fails(&mut attempts, "ann", ip(1), start)));
        assert!(!fails(&mut attempts, "ann", ip(1), start));
        assert!(fails(&mut attempts, "bob", ip(1), start), "other names are not concerned");
        assert!(fails(&mut attempts, "ann", ip(2), start), "nor are other places");
        let later = start + Duration::from_secs(5);
        assert!(fails(&mut attempts, "ann", ip(1), later));
        assert!(!fails(&mut attempts, "ann", ip(1), later));
        let much_later = start + Duration::from_secs(1000);
        assert!((0..3).all(|_| fails(&mut attempts, "ann", ip(1), much_later)), "it fills up to the burst");
        assert!(!fails(&mut attempts, "ann", ip(1), much_later), "and not beyond");
    }

    #[test]
    fn strangers_everywhere_use_up_the_tries_of_a_name_but_not_where_its_user_has_logged_in() {
        let (mut attempts, now) = (attempts(), Instant::now());
        attempts.note_place(&user("ann"), ip(1));
        assert!((10..15).all(|last| fails(&mut attempts, "ann", ip(last), now)));
        assert!(!fails(&mut attempts, "ann", ip(20), now), "five in all");
        assert!((0..3).all(|_| fails(&mut attempts, "ann", ip(1), now)), "this place has tries of its own");
        assert!(!fails(&mut attempts, "ann", ip(1), now));
    }

    #[test]
    fn failures_of_an_address_stop_nobody_who_has_logged_in_there() {
        let (mut attempts, now) = (attempts(), Instant::now());
        attempts.note_place(&user("ann"), ip(1));
        assert!((0..6).all(|n| fails(&mut attempts, &format!("u{n}"), ip(1), now)));
        assert!(!fails(&mut attempts, "bob", ip(1), now), "the address has had its six");
        assert!((0..3).all(|_| fails(&mut attempts, "ann", ip(1), now)), "behind the same address");
        assert!(!fails(&mut attempts, "ann", ip(1), now));
        let later = now + Duration::from_secs(3);
        assert!(!fails(&mut attempts, "bob", ip(1), later), "her failures count too");
    }

    #[test]
    fn one_place_alone_never_uses_up_the_tries_of_a_name() {
        let (mut attempts, start) = (Attempts::new(&Paces::default()), Instant::now());
        for second in 0..1000 {
            let now = start + Duration::from_secs(second);
            while fails(&mut attempts, "ann", [0x2001, 0xdb8, 1, second as u16, 0, 0, 0, 1].into(), now) {}
            assert!(attempts.failed.users.allows(&Counter::User(user("ann")), now), "{second} s");
        }
    }

    #[test]
    fn attempts_of_strangers_do_not_count_for_a_logged_in_user() {
        let throttle = LoginThrottle::new(paces());
        let own = UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 7 });
        while throttle.attempt(&user("ann"), ip(1), soon()).is_some() {}
        let change = || throttle.attempt_own(own, &user("ann"), ip(1), soon());
        assert!((0..2).all(|_| change().is_some()));
        change().expect("the third").succeeded();
        assert!((0..3).all(|_| change().is_some()) && change().is_none(), "it has three of its own");
        assert!(throttle.attempt(&user("bob"), ip(1), soon()).is_some(), "and takes none from the address");
    }

    #[test]
    fn a_user_who_logs_in_too_often_waits_and_goes_on() {
        let often = Pace { burst: 2, interval: Duration::from_millis(20) };
        let throttle = LoginThrottle::new(Paces { logins_of_user: often, ..paces() });
        let begun = Instant::now();
        for _ in 0..3 {
            throttle.attempt(&user("eve"), ip(1), soon()).expect("nothing has failed").succeeded();
            assert!(throttle.log_in(&user("eve"), ip(1), soon()), "by a token");
        }
        assert!(begun.elapsed() >= 4 * often.interval);
        let never = Pace { burst: 1, interval: Duration::from_secs(3600) };
        let throttle = LoginThrottle::new(Paces { logins_of_user: never, ..paces() });
        assert!(
            throttle.log_in(&user("eve"), ip(1), soon()) && !throttle.log_in(&user("eve"), ip(1), soon()),
            "too long to wait"
        );
        assert!(
            throttle.attempt(&user("eve"), ip(1), soon()).is_none()
                && throttle.attempt(&user("ann"), ip(1), soon()).is_some()
        );
    }

    /// A limiter that allows this many logins at once, and the next one in an hour.
    fn logins_at_once(logins: u64) -> LoginThrottle {
        let logins_from_address = Pace { burst: logins, interval: Duration::from_secs(3600) };
        LoginThrottle::new(Paces { logins_from_address, ..paces() })
    }

    #[test]
    fn logins_under_way_at_once_are_no_more_than_the_pace_lets() {
        let throttle = logins_at_once(3);
        let attempt = |n: u8| throttle.attempt(&user(&format!("u{n}")), ip(1), soon());
        let mut under_way: Vec<_> = (0..5).filter_map(attempt).collect();
        assert_eq!(under_way.len(), 3);
        drop(under_way.pop());
        under_way.extend(attempt(5));
        assert_eq!(under_way.len(), 3, "what has failed was no login");
        under_way.pop().into_iter().for_each(LoginAttempt::unchecked);
        under_way.extend(attempt(6));
        assert_eq!(under_way.len(), 3, "nor was what nobody looked at");
        under_way.into_iter().for_each(LoginAttempt::succeeded);
        assert!(attempt(7).is_none() && !throttle.log_in(&user("u8"), ip(1), soon()));
    }

    #[test]
    fn a_user_who_is_logged_in_changes_the_password_however_often_others_log_in_there() {
        let throttle = logins_at_once(1);
        assert!(throttle.log_in(&user("eve"), ip(1), soon()) && !throttle.log_in(&user("eve"), ip(1), soon()));
        let own = UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 7 });
        for place in [ip(1), ip(2)] {
            throttle.attempt_own(own, &user("ann"), place, soon()).expect("no login").succeeded();
        }
        assert!(throttle.log_in(&user("eve"), ip(2), soon()), "it takes none");
    }

    #[test]
    fn nobody_waits_when_the_tracker_ends() {
        let slow = Pace { burst: 1, interval: Duration::from_secs(20) };
        let throttle = &LoginThrottle::new(Paces { logins_of_user: slow, ..paces() });
        assert!(throttle.log_in(&user("eve"), ip(1), soon()));
        thread::scope(|scope| {
            let waits = scope.spawn(|| throttle.log_in(&user("eve"), ip(1), soon()));
            throttle.close();
            assert!(!waits.join().expect("no panic"));
        });
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
        let fails = |n: u16| throttle.attempt(&user(&format!("u{n}")), at(n), soon()).is_some();
        let (before, failed) = (Instant::now(), (0..500).filter(|n| fails(*n)).count());
        let refilled = 10 * (before.elapsed().as_secs() as usize + 1);
        assert!((60..=60 + refilled).contains(&failed), "{failed}");
    }

    #[test]
    fn success_frees_the_name_but_not_the_failures_of_the_address() {
        let throttle = LoginThrottle::new(paces());
        let attempt = |name: &str, last| throttle.attempt(&user(name), ip(last), soon());
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
            throttle.attempt(&user("ann"), ip(1), soon()).expect("nothing has failed").unchecked();
        }
        let failed = (0..5).filter(|_| throttle.attempt(&user("ann"), ip(1), soon()).is_some()).count();
        assert_eq!(failed, 3, "as many as without the others");
    }

    #[test]
    fn an_attempt_under_way_holds_others_up_until_its_verdict() {
        let (mut attempts, now) = (attempts(), Instant::now());
        let counters = attempts.counters(&user("ann"), ip(1));
        let end = |attempts: &mut Attempts| counters.iter().for_each(|(counter, _)| attempts.end(counter));
        for _ in 0..3 {
            assert_eq!(attempts.turn(&counters, now), LoginTurn::Go);
        }
        assert_eq!(attempts.turn(&counters, now), LoginTurn::Wait, "they may be right");
        end(&mut attempts);
        assert_eq!(attempts.turn(&counters, now), LoginTurn::Wait, "two more may be right");
        (0..2).for_each(|_| end(&mut attempts));
        assert_eq!(attempts.turn(&counters, now), LoginTurn::No, "all three were wrong");
    }

    #[test]
    fn any_number_of_right_logins_at_once_get_in_and_of_wrong_ones_no_more_than_one_after_the_other() {
        let throttle = &LoginThrottle::new(paces());
        let try_at_once = |right: bool| {
            let tried = |n: usize| {
                let attempt = throttle.attempt(&user(&format!("{right} {}", n % 9)), ip(1), soon());
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
