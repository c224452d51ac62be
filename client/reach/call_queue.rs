//! The calls that wait for an answer or are being answered. Callers take turns, and callers with failed calls come
//! last. Pure: the time is passed in.

use crate::model::address::network_of;
use crate::model::name::UserId;
use crate::wire::client_tracker::PassedCall;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// The maximum number of calls that are answered at once, each on a thread.
const THREADS_MAX: usize = 8;
/// The maximum number of calls that wait.
const WAITING_MAX: usize = 32;
/// The maximum number of calls of one user, waiting or being answered.
pub(super) const CALLER_MAX: usize = 3;
/// The maximum number of calls of one network that are answered at once.
const NETWORK_THREADS_MAX: usize = 6;
/// After this many failed calls in a row, a user shares half of the threads with all such users.
const VAIN_MAX: u32 = 3;
/// The maximum number of users with remembered failed calls.
const VAIN_USERS_MAX: usize = 256;
/// After this wait a call is not worth an answer, because its caller gives up soon.
const STALE: Duration = Duration::from_secs(4);

/// Calls of other members.
#[derive(Debug, Default)]
pub(super) struct CallQueue {
    /// In the order of their arrival.
    waiting: Vec<(PassedCall, Instant)>,
    /// The callers of the calls that are being answered, and their networks.
    answered: Vec<(UserId, IpAddr)>,
    /// Threads that will look for another call.
    threads: usize,
    /// The number of failed calls in a row, by caller.
    vain: HashMap<UserId, u32>,
}

impl CallQueue {
    /// Queues a call. Returns whether to start a thread. The result is false at the limits for all waiting calls, for
    /// calls of this user, and for threads.
    pub(super) fn put(&mut self, call: PassedCall, now: Instant) -> bool {
        self.drop_stale(now);
        let user = &call.caller.user;
        let theirs = self.waiting.iter().filter(|(other, _)| other.caller.user == *user).count() + self.answers(user);
        if theirs >= CALLER_MAX || (self.waiting.len() >= WAITING_MAX && !self.makes_room(&call)) {
            return false;
        }
        self.waiting.push((call, now));
        let starts = self.threads < THREADS_MAX;
        self.threads += usize::from(starts);
        starts
    }

    /// The next call, with its arrival time, for a thread that answers it and then calls [`Self::done`]. Returns `None`
    /// if the thread has to end.
    pub(super) fn take(&mut self, now: Instant) -> Option<(PassedCall, Instant)> {
        self.drop_stale(now);
        let vain_answers = self.answered.iter().filter(|(user, _)| self.is_vain(user)).count();
        let may_go = |call: &PassedCall| {
            let in_vain = self.is_vain(&call.caller.user) && vain_answers >= THREADS_MAX / 2;
            !in_vain && self.network_answers(network(call)) < NETWORK_THREADS_MAX
        };
        let calls = self.waiting.iter().map(|(call, _)| call).enumerate();
        let next = calls.filter(|(_, call)| may_go(call)).min_by_key(|(at, call)| (self.rank(call), *at));
        let Some((at, _)) = next else {
            self.thread_ends();
            return None;
        };
        let (call, came) = self.waiting.remove(at);
        self.answered.push((call.caller.user.clone(), network(&call)));
        Some((call, came))
    }

    /// Notes that a call of this user was answered, and whether it led to a connection.
    pub(super) fn done(&mut self, user: &UserId, came_to_something: bool) {
        if let Some(at) = self.answered.iter().position(|(other, _)| other == user) {
            self.answered.swap_remove(at);
        }
        if came_to_something {
            self.vain.remove(user);
            return;
        }
        if self.vain.len() >= VAIN_USERS_MAX
            && !self.vain.contains_key(user)
            && let Some(least) = self.vain.iter().min_by_key(|(_, times)| **times).map(|(user, _)| user.clone())
        {
            self.vain.remove(&least);
        }
        let times = self.vain.entry(user.clone()).or_default();
        *times = times.saturating_add(1);
    }

    /// Notes that a thread looks for no further call, or could not start.
    pub(super) fn thread_ends(&mut self) {
        self.threads -= 1;
    }

    /// Drops the waiting calls.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    fn answers(&self, user: &UserId) -> usize {
        self.answered.iter().filter(|(other, _)| other == user).count()
    }

    fn is_vain(&self, user: &UserId) -> bool {
        self.vain.get(user).is_some_and(|times| *times >= VAIN_MAX)
    }

    fn network_answers(&self, network: IpAddr) -> usize {
        self.answered.iter().filter(|(_, other)| *other == network).count()
    }

    /// Calls with lower ranks are answered sooner.
    fn rank(&self, call: &PassedCall) -> (bool, usize, usize) {
        let user = &call.caller.user;
        (self.is_vain(user), self.network_answers(network(call)), self.answers(user))
    }

    /// Makes room for a newcomer. If the newcomer's user has no failed calls, drops the last call of a user who has
    /// some. Otherwise drops the last call of the network with most calls, if the newcomer's network has fewer. Returns
    /// whether a call was dropped.
    fn makes_room(&mut self, newcomer: &PassedCall) -> bool {
        let vain = self.waiting.iter().rposition(|(call, _)| self.is_vain(&call.caller.user));
        let vain = vain.filter(|_| !self.is_vain(&newcomer.caller.user));
        let Some(at) = vain.or_else(|| self.last_of_most(network(newcomer))) else {
            return false;
        };
        self.waiting.remove(at);
        true
    }

    /// The last call of the network with most waiting calls, if it has at least two more than the newcomer's network.
    fn last_of_most(&self, network_of_newcomer: IpAddr) -> Option<usize> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        self.waiting.iter().for_each(|(call, _)| *counts.entry(network(call)).or_default() += 1);
        let own = counts.get(&network_of_newcomer).copied().unwrap_or(0);
        let most = counts.values().copied().max().filter(|most| *most > own + 1)?;
        self.waiting.iter().rposition(|(call, _)| counts[&network(call)] == most)
    }

    fn drop_stale(&mut self, now: Instant) {
        self.waiting.retain(|(_, came)| now.saturating_duration_since(*came) < STALE);
    }
}

/// The network of a call's caller. The last address is the one that the tracker sees.
fn network(call: &PassedCall) -> IpAddr {
    network_of(call.addrs.last().map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::identity::tests::certified_as;
    use super::*;
    use crate::model::digest::InfoHash;
    use crate::model::id::{GroupRef, OpId, Origin, ShareRef};
    use crate::model::name::tests::user;
    use crate::wire::client_tracker::CallWay;
    use crate::wire::codec::List;

    const MOMENT: Duration = Duration::from_millis(1);

    /// The number of calls that wait or are being answered.
    pub(in super::super) fn open(queue: &CallQueue) -> usize {
        queue.waiting.len() + queue.answered.len()
    }

    fn call_of(name: &str) -> PassedCall {
        let id = OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 };
        PassedCall {
            share: ShareRef(id),
            group: GroupRef(id),
            info_hash: InfoHash([9; 32]),
            way: CallWay::Back,
            caller: certified_as(2, &user(name)).certificate().expect("certified"),
            addrs: List::EMPTY,
            start_ms: 0,
            relay: None,
        }
    }

    /// Takes calls until no thread may take another. Returns the callers in this order.
    fn taken(queue: &mut CallQueue, now: Instant) -> Vec<String> {
        let mut callers = Vec::new();
        while let Some((call, _)) = queue.take(now) {
            callers.push(call.caller.user.to_string());
        }
        callers
    }

    /// A queue in which these users have three failed calls each.
    fn after_vain_calls(users: &[&str]) -> CallQueue {
        let mut queue = CallQueue::default();
        for name in users {
            (0..VAIN_MAX).for_each(|_| queue.done(&user(name), false));
        }
        queue
    }

    #[test]
    fn callers_take_turns_whoever_called_most() {
        let (mut queue, now) = (CallQueue::default(), Instant::now());
        for name in ["eve", "eve", "eve", "ann", "bob"] {
            assert!(queue.put(call_of(name), now));
        }
        assert!(!queue.put(call_of("eve"), now), "she has three");
        assert_eq!(taken(&mut queue, now), ["eve", "ann", "bob", "eve", "eve"]);
    }

    #[test]
    fn a_user_who_called_in_vain_comes_last_and_leaves_half_of_the_threads() {
        let (mut queue, now) = (after_vain_calls(&["eve", "mal"]), Instant::now());
        for name in ["eve", "eve", "eve", "mal", "mal", "mal", "ann"] {
            queue.put(call_of(name), now);
        }
        assert_eq!(taken(&mut queue, now), ["ann", "eve", "mal", "eve", "mal"]);
        queue.done(&user("eve"), true);
        assert_eq!(taken(&mut queue, now)[0], "eve", "a successful call clears the failed ones");
    }

    #[test]
    fn a_full_queue_lets_a_call_of_somebody_go_who_called_in_vain() {
        let names: Vec<String> = (0..WAITING_MAX).map(|number| format!("e{number}")).collect();
        let vain: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut queue, now) = (after_vain_calls(&vain[1..]), Instant::now());
        for name in &vain {
            queue.put(call_of(name), now);
        }
        queue.put(call_of("e1"), now);
        queue.put(call_of("ann"), now);
        assert_eq!(open(&queue), WAITING_MAX);
        assert_eq!(taken(&mut queue, now)[..2], ["e0", "ann"]);
    }

    #[test]
    fn accounts_of_one_network_keep_nobody_elsewhere_from_being_answered() {
        let (mut queue, now) = (CallQueue::default(), Instant::now());
        let from = |name: &str, network: u8| {
            let addrs = vec![([192, 0, 2, network], 1000).into()];
            PassedCall { addrs: List::new(addrs).expect("one"), ..call_of(name) }
        };
        for number in 0..2 * WAITING_MAX {
            queue.put(from(&format!("e{number}"), 1), now);
        }
        assert_eq!(taken(&mut queue, now).len(), NETWORK_THREADS_MAX);
        for number in 0..2 * WAITING_MAX {
            queue.put(from(&format!("f{number}"), 1), now);
        }
        queue.put(from("ann", 2), now);
        assert_eq!(open(&queue), WAITING_MAX + NETWORK_THREADS_MAX);
        assert_eq!(taken(&mut queue, now), ["ann"]);
    }

    #[test]
    fn a_call_that_has_waited_for_too_long_is_not_answered() {
        let (mut queue, now) = (CallQueue::default(), Instant::now());
        queue.put(call_of("ann"), now);
        queue.put(call_of("bob"), now + MOMENT);
        assert_eq!(taken(&mut queue, now + STALE), ["bob"]);
    }

    #[test]
    fn so_many_threads_are_started_as_there_may_be_and_none_is_counted_that_ends() {
        let (mut queue, now) = (CallQueue::default(), Instant::now());
        let names: Vec<String> = (0..WAITING_MAX + 10).map(|number| format!("u{number}")).collect();
        assert_eq!(names.iter().filter(|name| queue.put(call_of(name), now)).count(), THREADS_MAX);
        assert_eq!(open(&queue), WAITING_MAX);
        queue.clear();
        (0..THREADS_MAX).for_each(|_| assert!(queue.take(now).is_none()));
        assert!(queue.put(call_of("ann"), now), "a thread is started again");
    }

    #[test]
    fn of_a_bounded_number_of_users_is_kept_that_they_called_in_vain() {
        let mut queue = after_vain_calls(&["eve"]);
        (0..1000).for_each(|number| queue.done(&user(&format!("u{number}")), false));
        assert_eq!(queue.vain.len(), VAIN_USERS_MAX);
        assert!(queue.is_vain(&user("eve")), "the user with most failed calls stays");
    }
}
