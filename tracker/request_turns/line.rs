//! The line of those who wait for a turn. A network with fewest requests under way comes first, and of these the one
//! whose last turn was longest ago. In a network users take turns. Pure: the time is passed in.

use crate::model::id::UserRef;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The line; `J` stands for whoever waits.
#[derive(Debug)]
pub(super) struct TurnLine<J> {
    /// Most requests under way.
    most: usize,
    /// Whoever is at a request for longer counts no more.
    work_max: Duration,
    networks: HashMap<IpAddr, NetworkLine<J>>,
    /// The networks in which somebody waits, by rank.
    next: BTreeSet<(usize, u64, IpAddr)>,
    /// The requests under way, the oldest first: from where, and since when.
    at_work: BTreeMap<u64, (IpAddr, Instant)>,
    last_turn: u64,
    waiting: usize,
}

/// Those of one network.
#[derive(Debug)]
struct NetworkLine<J> {
    under_way: usize,
    last_turn: u64,
    /// Those who wait, the next one first. Nobody is twice among them.
    users: VecDeque<Option<UserRef>>,
    waiting: HashMap<Option<UserRef>, VecDeque<J>>,
}

impl<J> Default for NetworkLine<J> {
    fn default() -> Self {
        Self { under_way: 0, last_turn: 0, users: VecDeque::new(), waiting: HashMap::new() }
    }
}

impl<J> NetworkLine<J> {
    fn take(&mut self) -> Option<J> {
        let user = self.users.pop_front()?;
        let jobs = self.waiting.get_mut(&user)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.waiting.remove(&user);
        } else {
            self.users.push_back(user);
        }
        job
    }
}

impl<J> TurnLine<J> {
    pub(super) fn new(most: usize, work_max: Duration) -> Self {
        let (networks, next, at_work) = Default::default();
        Self { most, work_max, networks, next, at_work, last_turn: 0, waiting: 0 }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn enter(&mut self, from: IpAddr, user: Option<UserRef>, job: J) {
        self.waiting += 1;
        self.change(from, |network| {
            let jobs = network.waiting.entry(user).or_default();
            if jobs.is_empty() {
                network.users.push_back(user);
            }
            jobs.push_back(job);
        });
    }

    /// Whoever has the next turn, and its number; `None` while as many are at work as may be.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u64, J)> {
        while let Some((&turn, &(_, since))) = self.at_work.first_key_value()
            && now.saturating_duration_since(since) > self.work_max
        {
            self.done(turn);
        }
        if self.at_work.len() >= self.most {
            return None;
        }
        let &(_, _, from) = self.next.first()?;
        self.last_turn += 1;
        let turn = self.last_turn;
        let job = self.change(from, |network| {
            network.under_way += 1;
            network.last_turn = turn;
            network.take()
        })?;
        self.waiting -= 1;
        self.at_work.insert(turn, (from, now));
        Some((turn, job))
    }

    /// A turn is over.
    pub(super) fn done(&mut self, turn: u64) {
        // One that took too long is not there any more.
        if let Some((from, _)) = self.at_work.remove(&turn) {
            self.change(from, |network| network.under_way -= 1);
        }
    }

    /// Changes a network and gives it its rank. One in which nobody waits or works is forgotten.
    fn change<T>(&mut self, from: IpAddr, change: impl FnOnce(&mut NetworkLine<J>) -> T) -> T {
        let network = self.networks.entry(from).or_default();
        self.next.remove(&(network.under_way, network.last_turn, from));
        let changed = change(network);
        if !network.users.is_empty() {
            self.next.insert((network.under_way, network.last_turn, from));
        } else if network.under_way == 0 {
            self.networks.remove(&from);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};

    const WORK_MAX: Duration = Duration::from_millis(20);

    fn at(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn user(number: u64) -> Option<UserRef> {
        Some(UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: number }))
    }

    /// Lets everybody have a turn, one after the other.
    fn order(line: &mut TurnLine<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| {
            let (turn, job) = line.next(now)?;
            line.done(turn);
            Some(job)
        })
        .collect()
    }

    #[test]
    fn networks_take_turns_and_then_the_users_of_each() {
        let (mut line, now) = (TurnLine::new(1, WORK_MAX), Instant::now());
        for job in ["a1", "a2", "a3"] {
            line.enter(at(1), user(1), job);
        }
        line.enter(at(1), user(2), "b1");
        line.enter(at(2), user(3), "c1");
        line.enter(at(2), user(3), "c2");
        assert_eq!(order(&mut line, now), ["a1", "c1", "b1", "c2", "a2", "a3"]);
        assert_eq!((line.waiting(), line.networks.len(), line.next.len(), line.at_work.len()), (0, 0, 0, 0));
    }

    #[test]
    fn whoever_asks_for_the_first_time_comes_before_a_crowd() {
        let (mut line, now) = (TurnLine::new(2, WORK_MAX), Instant::now());
        for _ in 0..500 {
            line.enter(at(1), user(1), "crowd");
        }
        let first = line.next(now).expect("a turn").0;
        line.next(now).expect("a turn");
        assert!(line.next(now).is_none(), "two at a time");
        line.enter(at(2), None, "honest");
        line.done(first);
        assert_eq!(line.next(now).map(|(_, job)| job), Some("honest"));
        assert_eq!(line.waiting(), 498);
    }

    #[test]
    fn whoever_waits_for_something_else_counts_no_more() {
        let (mut line, now) = (TurnLine::new(1, WORK_MAX), Instant::now());
        line.enter(at(1), None, "reads nothing");
        line.enter(at(2), None, "honest");
        let (slow, _) = line.next(now).expect("a turn");
        assert!(line.next(now + WORK_MAX).is_none());
        assert_eq!(line.next(now + WORK_MAX * 2).map(|(_, job)| job), Some("honest"));
        line.done(slow);
        assert_eq!(line.at_work.len(), 1);
    }
}
