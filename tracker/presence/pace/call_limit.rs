//! A rate limiter for the calls that users send to each other's clients. Time is passed in.

use crate::model::address::place_of;
use crate::model::id::UserRef;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The limits hold for any stretch of time of this length.
const SPAN: Duration = Duration::from_secs(60);
/// The most calls from one user to another.
const CALLS_MAX: u32 = 10;
/// The most calls from one user to all others: a download may have 64 connections.
const CALLER_MAX: u32 = 600;
/// The most calls of all users. It bounds the memory: a call takes about 100 bytes for a minute. A user may call only
/// while more calls are left than this user has made. All users of one address or site have the same limit together. So
/// when calls run out, the limiter first refuses the users who call most.
const LOG_MAX: usize = 16_384;

/// The calls of the last minute.
#[derive(Debug, Default)]
pub struct CallLimit {
    /// The oldest is at the front.
    log: VecDeque<Called>,
    /// How many of them are from one user to another.
    pairs: HashMap<(UserRef, UserRef), u32>,
    /// How many of them are from one user.
    callers: HashMap<UserRef, u32>,
    /// How many of them are from one address, or from one site under IPv6.
    places: HashMap<IpAddr, u32>,
}

/// A call.
#[derive(Debug, Clone, Copy)]
struct Called {
    at: Instant,
    caller: UserRef,
    called: UserRef,
    place: IpAddr,
}

impl CallLimit {
    /// Whether this user, at this address, may call another one now. A true result counts against the limit.
    pub fn allows(&mut self, (caller, ip): (UserRef, IpAddr), called: UserRef, now: Instant) -> bool {
        self.forget_before(now);
        let place = place_of(ip);
        let count = self.pairs.get(&(caller, called)).copied().unwrap_or(0);
        let in_all = self.callers.get(&caller).copied().unwrap_or(0);
        let left = LOG_MAX.saturating_sub(self.log.len());
        let in_place = self.places.get(&place).copied().unwrap_or(0);
        if count >= CALLS_MAX || in_all >= CALLER_MAX || in_all.max(in_place) as usize >= left {
            return false;
        }
        self.log.push_back(Called { at: now, caller, called, place });
        *self.places.entry(place).or_default() += 1;
        *self.pairs.entry((caller, called)).or_default() += 1;
        *self.callers.entry(caller).or_default() += 1;
        true
    }

    fn forget_before(&mut self, now: Instant) {
        while let Some(&Called { at, caller, called, place }) = self.log.front()
            && now.saturating_duration_since(at) >= SPAN
        {
            self.log.pop_front();
            take_one(&mut self.pairs, (caller, called));
            take_one(&mut self.callers, caller);
            take_one(&mut self.places, place);
        }
    }
}

fn take_one<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};

    fn user(number: u64) -> UserRef {
        UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: number })
    }

    /// A user with a network of its own.
    fn caller(number: u64) -> (UserRef, IpAddr) {
        (user(number), IpAddr::from((10 << 24 | number as u32).to_be_bytes()))
    }

    #[test]
    fn accounts_of_one_network_leave_half_of_all_calls_to_others() {
        let (mut limit, now) = (CallLimit::default(), Instant::now());
        let ip = caller(1).1;
        let calls = 0..LOG_MAX as u64;
        let allowed = calls.filter(|call| limit.allows((user(call / 100), ip), user(1_000_000 + call % 100), now));
        assert_eq!(allowed.count(), LOG_MAX / 2);
        assert!(limit.allows(caller(2_000), user(1_000_000), now));
    }

    #[test]
    fn all_networks_of_a_site_leave_half_of_all_calls_to_others() {
        let (mut limit, now) = (CallLimit::default(), Instant::now());
        let ip = |network: u64| IpAddr::from([0x2001, 0xdb8, 1, network as u16, 0, 0, 0, 1]);
        let calls = 0..LOG_MAX as u64;
        let allowed =
            calls.filter(|call| limit.allows((user(call / 100), ip(*call)), user(1_000_000 + call % 100), now));
        assert_eq!(allowed.count(), LOG_MAX / 2);
        assert!(limit.allows(caller(2_000), user(1_000_000), now));
    }

    #[test]
    fn ten_calls_a_minute_from_one_user_to_another_and_the_next_when_the_first_is_a_minute_old() {
        let (mut limit, begun, second) = (CallLimit::default(), Instant::now(), Duration::from_secs(1));
        for n in 0..CALLS_MAX {
            assert!(limit.allows(caller(1), user(2), begun + second * n));
        }
        assert!(!limit.allows(caller(1), user(2), begun + second * 59), "the eleventh");
        assert!(limit.allows(caller(1), user(3), begun + second * 59), "another user is called");
        assert!(limit.allows(caller(2), user(1), begun + second * 59), "and calls too");
        assert!(limit.allows(caller(1), user(2), begun + second * 60));
        assert!(!limit.allows(caller(1), user(2), begun + second * 60), "the second call is 59 s old");
        assert!(limit.allows(caller(1), user(2), begun + second * 61));
    }

    #[test]
    fn a_user_who_calls_everybody_is_slowed_down_and_others_are_not() {
        let (mut limit, now) = (CallLimit::default(), Instant::now());
        let allowed = (10..).take_while(|&called| limit.allows(caller(1), user(called), now)).count();
        assert_eq!(allowed, CALLER_MAX as usize);
        assert!(limit.allows(caller(2), user(10), now));
    }

    #[test]
    fn a_user_may_still_call_a_member_while_many_others_call_everybody() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let mut limit = CallLimit::default();
        for now in [begun, begun + second * 30, begun + second * 59] {
            for call in 0..150 * u64::from(CALLER_MAX) {
                limit.allows(caller(call % 150), user(1_000 + call % 127), now);
            }
        }
        let now = begun + second * 59;
        for honest in 2_000..2_100 {
            assert!(limit.allows(caller(honest), user(1_000), now), "user {honest}");
        }
    }

    #[test]
    fn no_more_is_remembered_than_there_may_be_and_nothing_after_a_minute() {
        let (mut limit, now) = (CallLimit::default(), Instant::now());
        for call in 0..2 * LOG_MAX as u64 {
            limit.allows(caller(call / 100), user(1_000_000 + call % 100), now);
        }
        assert_eq!((limit.log.len(), limit.pairs.len()), (LOG_MAX, LOG_MAX));
        assert!(limit.callers.len() <= LOG_MAX);
        assert!(limit.allows(caller(1), user(2), now + SPAN));
        assert_eq!((limit.log.len(), limit.pairs.len(), limit.callers.len(), limit.places.len()), (1, 1, 1, 1));
    }
}
