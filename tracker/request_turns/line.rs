//! The line of requests that wait for a turn. Sites with little demand come before busy ones. Of these, a site with
//! the fewest requests under way comes first. Of those, the one whose last turn or arrival was longest ago. While
//! another site is present, each site has at most a part of the turns. The same holds for all busy sites together.
//! Within a site networks take turns, and within a network users. No user has more than a few turns at a time. Pure:
//! the time is passed in.

use crate::model::address::{network_of, place_of};
use crate::model::id::UserRef;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// How long a site counts as present after its last turn.
const THERE: Duration = Duration::from_secs(1);
/// How many turns a user may have at a time: more than one, since a request with a turn may wait for a lock.
const OF_USER: usize = 2;

/// The most requests under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharesOfTurns {
    pub all: usize,
    /// Of a site while no other site is present.
    pub of_lone_site: usize,
    /// Of a site while another site is present too.
    pub of_site: usize,
    /// Of all busy sites together while more than one site is present.
    pub of_busy: usize,
}

/// The line; `J` stands for a waiting request.
#[derive(Debug)]
pub(super) struct TurnLine<J> {
    most: SharesOfTurns,
    /// A request that takes longer no longer counts.
    work_max: Duration,
    sites: HashMap<IpAddr, SiteLine<J>>,
    /// The sites whose requests may have a turn, by rank.
    next: BTreeSet<Rank>,
    /// The requests under way, the oldest first.
    at_work: BTreeMap<u64, AtWork>,
    /// How many of them are from busy sites.
    busy_at_work: usize,
    /// The two sites that had the last turns, and when; the later one first.
    latest: [Option<(IpAddr, Instant)>; 2],
    /// Counts turns and arrivals of sites.
    count: u64,
    waiting: usize,
}

/// Whether a site is busy, how many of its requests are under way, the count at its last turn, and the site.
type Rank = (bool, usize, u64, IpAddr);

/// A request that is under way.
#[derive(Debug)]
struct AtWork {
    from: IpAddr,
    user: Option<UserRef>,
    since: Instant,
    is_busy: bool,
}

/// The requests of one site.
#[derive(Debug)]
struct SiteLine<J> {
    /// Whether it has asked for much lately.
    is_busy: bool,
    under_way: usize,
    /// The count at its last turn, or at its arrival.
    since: u64,
    networks: Rotation<IpAddr, Rotation<Option<UserRef>, UserLine<J>>>,
}

/// The requests of one user in a network.
#[derive(Debug)]
struct UserLine<J> {
    under_way: usize,
    waiting: VecDeque<J>,
}

impl<J> Default for UserLine<J> {
    fn default() -> Self {
        Self { under_way: 0, waiting: VecDeque::new() }
    }
}

/// A participant in turns.
trait Party: Default {
    /// Whether it has a waiting request that may have a turn now.
    fn may_have_turn(&self) -> bool;
    /// Whether none of its requests waits or is under way.
    fn is_gone(&self) -> bool;
}

impl<J> Party for UserLine<J> {
    fn may_have_turn(&self) -> bool {
        !self.waiting.is_empty() && self.under_way < OF_USER
    }

    fn is_gone(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }
}

/// Parties that take turns.
#[derive(Debug)]
struct Rotation<K, V> {
    /// The parties that may have a turn, each once, the next one first.
    order: VecDeque<K>,
    /// All present parties, and whether each is in the order.
    parties: HashMap<K, (V, bool)>,
}

impl<K, V> Default for Rotation<K, V> {
    fn default() -> Self {
        Self { order: VecDeque::new(), parties: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, V: Party> Rotation<K, V> {
    /// Changes a party. If the party may have a turn before `change`, it must be allowed one afterwards.
    fn change<T>(&mut self, key: K, change: impl FnOnce(&mut V) -> T) -> T {
        let (party, is_in_order) = self.parties.entry(key).or_default();
        let changed = change(party);
        if party.may_have_turn() && !*is_in_order {
            *is_in_order = true;
            self.order.push_back(key);
        } else if party.is_gone() {
            self.parties.remove(&key);
        }
        changed
    }

    /// Gives a turn to the next party.
    fn turn<T>(&mut self, take: impl FnOnce(K, &mut V) -> Option<T>) -> Option<T> {
        let key = self.order.pop_front()?;
        self.parties.get_mut(&key)?.1 = false;
        self.change(key, |party| take(key, party))
    }
}

impl<K: Copy + Eq + Hash, V: Party> Party for Rotation<K, V> {
    fn may_have_turn(&self) -> bool {
        !self.order.is_empty()
    }

    fn is_gone(&self) -> bool {
        self.parties.is_empty()
    }
}

impl<J> SiteLine<J> {
    fn change_user(&mut self, from: IpAddr, user: Option<UserRef>, change: impl FnOnce(&mut UserLine<J>)) {
        self.networks.change(network_of(from), |users| users.change(user, change));
    }
}

impl<J> TurnLine<J> {
    pub(super) fn new(most: SharesOfTurns, work_max: Duration) -> Self {
        let (sites, next, at_work, latest) = Default::default();
        Self { most, work_max, sites, next, at_work, busy_at_work: 0, latest, count: 0, waiting: 0 }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// A request waits from now on, at a site that is busy or not.
    pub(super) fn enter(&mut self, from: IpAddr, user: Option<UserRef>, is_busy: bool, job: J) {
        self.waiting += 1;
        self.change(place_of(from), |site| {
            site.is_busy = is_busy;
            site.change_user(from, user, |own| own.waiting.push_back(job));
        });
    }

    /// The next request to have a turn, and the turn's number. `None` while the most requests are under way.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u64, J)> {
        while let Some((&turn, oldest)) = self.at_work.first_key_value()
            && now.saturating_duration_since(oldest.since) > self.work_max
        {
            self.done(turn);
        }
        let site = self.next_site(now)?;
        self.note_turn(site, now);
        self.count += 1;
        let turn = self.count;
        let (from, user, is_busy, job) = self.change(site, |site| {
            site.under_way += 1;
            site.since = turn;
            let is_busy = site.is_busy;
            site.networks.turn(|network, users| {
                users.turn(|user, own| {
                    own.under_way += 1;
                    own.waiting.pop_front().map(|job| (network, user, is_busy, job))
                })
            })
        })?;
        self.waiting -= 1;
        self.busy_at_work += usize::from(is_busy);
        self.at_work.insert(turn, AtWork { from, user, since: now, is_busy });
        Some((turn, job))
    }

    /// The site that has the next turn.
    fn next_site(&self, now: Instant) -> Option<IpAddr> {
        let first_busy = (true, 0, 0, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let [idle, busy] = [self.next.range(..first_busy).next(), self.next.range(first_busy..).next()];
        // All other sites of its kind have as many under way.
        let may = |&&(is_busy, under_way, _, site): &&Rank| {
            let SharesOfTurns { of_lone_site, of_site, of_busy, .. } = self.most;
            if self.is_alone(site, now) {
                under_way < of_lone_site
            } else {
                under_way < of_site && (!is_busy || self.busy_at_work < of_busy)
            }
        };
        let next = idle.filter(may).or_else(|| busy.filter(may));
        next.filter(|_| self.at_work.len() < self.most.all).map(|&(.., site)| site)
    }

    /// Whether no other site is present.
    fn is_alone(&self, from: IpAddr, now: Instant) -> bool {
        let other = self.latest.iter().flatten().find(|&&(site, _)| site != from);
        other.is_none_or(|&(_, at)| now.saturating_duration_since(at) > THERE)
    }

    fn note_turn(&mut self, from: IpAddr, now: Instant) {
        let [latest, earlier] = &mut self.latest;
        if latest.is_some_and(|(site, _)| site != from) {
            *earlier = *latest;
        }
        *latest = Some((from, now));
    }

    /// A turn is over.
    pub(super) fn done(&mut self, turn: u64) {
        // A request that took too long is no longer in the table.
        if let Some(AtWork { from, user, is_busy, .. }) = self.at_work.remove(&turn) {
            self.busy_at_work -= usize::from(is_busy);
            self.change(place_of(from), |site| {
                site.under_way -= 1;
                site.change_user(from, user, |own| own.under_way -= 1);
            });
        }
    }

    /// Changes a site and updates its rank. Forgets a site without requests. When it returns, it comes after the sites
    /// that have waited all the time.
    fn change<T>(&mut self, from: IpAddr, change: impl FnOnce(&mut SiteLine<J>) -> T) -> T {
        let count = &mut self.count;
        let site = self.sites.entry(from).or_insert_with(|| {
            *count += 1;
            SiteLine { is_busy: false, under_way: 0, since: *count, networks: Rotation::default() }
        });
        self.next.remove(&(site.is_busy, site.under_way, site.since, from));
        let changed = change(site);
        if site.networks.may_have_turn() {
            self.next.insert((site.is_busy, site.under_way, site.since, from));
        } else if site.networks.is_gone() {
            self.sites.remove(&from);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};

    const WORK_MAX: Duration = Duration::from_millis(20);
    const ONE: SharesOfTurns = SharesOfTurns { all: 1, of_lone_site: 1, of_site: 1, of_busy: 1 };

    fn at(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn user(number: u64) -> Option<UserRef> {
        Some(UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: number }))
    }

    /// Gives all requests their turns, one after the other.
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
        let (mut line, now) = (TurnLine::new(ONE, WORK_MAX), Instant::now());
        for job in ["a1", "a2", "a3"] {
            line.enter(at(1), user(1), false, job);
        }
        line.enter(at(1), user(2), false, "b1");
        line.enter(at(2), user(3), false, "c1");
        line.enter(at(2), user(3), false, "c2");
        assert_eq!(order(&mut line, now), ["a1", "c1", "b1", "c2", "a2", "a3"]);
        assert_eq!((line.waiting(), line.sites.len(), line.next.len(), line.at_work.len()), (0, 0, 0, 0));
    }

    #[test]
    fn a_site_that_asks_for_the_first_time_comes_before_a_crowd() {
        let (mut line, now) = (
            TurnLine::new(SharesOfTurns { all: 2, of_lone_site: 2, of_site: 2, of_busy: 2 }, WORK_MAX),
            Instant::now(),
        );
        for _ in 0..500 {
            line.enter(at(1), user(1), false, "crowd");
        }
        let first = line.next(now).expect("a turn").0;
        line.next(now).expect("a turn");
        assert!(line.next(now).is_none(), "two at a time");
        line.enter(at(2), None, false, "honest");
        line.done(first);
        assert_eq!(line.next(now).map(|(_, job)| job), Some("honest"));
        assert_eq!(line.waiting(), 498);
    }

    #[test]
    fn a_network_that_always_waits_is_passed_over_by_none_that_come_back() {
        let (mut line, now) = (TurnLine::new(ONE, WORK_MAX), Instant::now());
        let mut turns = HashMap::new();
        for number in [1, 2, 3, 9] {
            line.enter(at(number), None, false, number);
        }
        line.enter(at(9), None, false, 9);
        for _ in 0..400 {
            let (turn, number) = line.next(now).expect("a turn");
            *turns.entry(number).or_insert(0) += 1;
            line.done(turn);
            line.enter(at(number), None, false, number);
        }
        assert_eq!(turns, HashMap::from([(1, 100), (2, 100), (3, 100), (9, 100)]));
    }

    #[test]
    fn the_networks_of_a_site_have_the_turns_of_one() {
        let (mut line, now) = (TurnLine::new(ONE, WORK_MAX), Instant::now());
        let network = |number: u16| IpAddr::from([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]);
        for number in 0..50 {
            line.enter(network(number), None, false, "crowd");
        }
        line.enter(network(7), user(1), false, "crowd");
        line.enter(at(1), None, false, "honest");
        line.enter(at(1), None, false, "honest");
        assert_eq!(order(&mut line, now)[..4], ["crowd", "honest", "crowd", "honest"]);
        assert_eq!((line.sites.len(), line.next.len(), line.waiting()), (0, 0, 0));
    }

    #[test]
    fn a_request_that_waits_for_something_else_counts_no_more() {
        let (mut line, now) = (TurnLine::new(ONE, WORK_MAX), Instant::now());
        line.enter(at(1), None, false, "reads nothing");
        line.enter(at(2), None, false, "honest");
        let (slow, _) = line.next(now).expect("a turn");
        assert!(line.next(now + WORK_MAX).is_none());
        assert_eq!(line.next(now + WORK_MAX * 2).map(|(_, job)| job), Some("honest"));
        line.done(slow);
        assert_eq!(line.at_work.len(), 1);
    }

    #[test]
    fn a_site_has_more_turns_while_it_is_alone_than_beside_another() {
        let (mut line, now) = (
            TurnLine::new(SharesOfTurns { all: 9, of_lone_site: 4, of_site: 2, of_busy: 4 }, WORK_MAX),
            Instant::now(),
        );
        let crowd =
            |line: &mut TurnLine<&str>| (0..9).for_each(|number| line.enter(at(1), user(number), false, "crowd"));
        let taken =
            |line: &mut TurnLine<&'static str>, now| -> Vec<_> { std::iter::from_fn(|| line.next(now)).collect() };
        let give_back =
            |line: &mut TurnLine<&str>, turns: Vec<(u64, &str)>| turns.iter().for_each(|&(turn, _)| line.done(turn));
        crowd(&mut line);
        let turns = taken(&mut line, now);
        assert_eq!(turns.len(), 4, "nobody else is there");
        give_back(&mut line, turns);
        line.enter(at(2), None, false, "honest");
        let turns = taken(&mut line, now);
        let mut jobs: Vec<_> = turns.iter().map(|&(_, job)| job).collect();
        jobs.sort_unstable();
        assert_eq!(jobs, ["crowd", "crowd", "honest"]);
        give_back(&mut line, turns);
        let turns = taken(&mut line, now + THERE);
        assert_eq!(turns.len(), 2, "the other one may come back");
        give_back(&mut line, turns);
        crowd(&mut line);
        assert_eq!(taken(&mut line, now + THERE * 2).len(), 4, "it has not");
    }

    #[test]
    fn a_lone_busy_site_leaves_turns_for_another_one() {
        let (mut line, now) = (
            TurnLine::new(SharesOfTurns { all: 9, of_lone_site: 4, of_site: 1, of_busy: 2 }, WORK_MAX),
            Instant::now(),
        );
        (0..9).for_each(|number| line.enter(at(1), user(number), false, "crowd"));
        let crowd: Vec<_> = std::iter::from_fn(|| line.next(now)).collect();
        assert_eq!(crowd.len(), 4);
        (0..2).for_each(|number| line.enter(at(2 + number), None, false, "honest"));
        let honest: Vec<_> = std::iter::from_fn(|| line.next(now)).map(|(_, job)| job).collect();
        assert_eq!(honest, ["honest"; 2], "each at once");
        crowd[..3].iter().for_each(|&(turn, _)| line.done(turn));
        assert!(line.next(now).is_none(), "one of the crowd is at work");
        line.done(crowd[3].0);
        assert_eq!(line.next(now).map(|(_, job)| job), Some("crowd"));
    }

    #[test]
    fn a_user_has_two_turns_at_a_time_and_the_others_of_the_site_have_theirs() {
        let (mut line, now) = (
            TurnLine::new(SharesOfTurns { all: 9, of_lone_site: 9, of_site: 1, of_busy: 2 }, WORK_MAX),
            Instant::now(),
        );
        (0..50).for_each(|_| line.enter(at(1), user(1), false, "busy"));
        (2..5).for_each(|number| line.enter(at(1), user(number), false, "other"));
        let turns: Vec<_> = std::iter::from_fn(|| line.next(now)).collect();
        let jobs: Vec<_> = turns.iter().map(|&(_, job)| job).collect();
        assert_eq!(jobs, ["busy", "other", "other", "other", "busy"]);
        line.done(turns[1].0);
        assert!(line.next(now).is_none(), "nobody else waits");
        line.done(turns[0].0);
        assert_eq!(line.next(now).map(|(_, job)| job), Some("busy"));
        turns[2..].iter().for_each(|&(turn, _)| line.done(turn));
        let mut left = order(&mut line, now);
        left.dedup();
        assert_eq!((left, line.waiting()), (vec!["busy"], 0));
        assert_eq!(line.sites.len(), 1, "one is at work");
    }

    #[test]
    fn busy_sites_share_a_few_turns_and_come_after_those_that_ask_for_little() {
        let most = SharesOfTurns { all: 9, of_lone_site: 9, of_site: 1, of_busy: 2 };
        let (mut line, now) = (TurnLine::new(most, WORK_MAX), Instant::now());
        (1..5).for_each(|number| line.enter(at(number), None, true, "busy"));
        let busy: Vec<_> = std::iter::from_fn(|| line.next(now)).collect();
        assert_eq!(busy.len(), 2);
        (5..8).for_each(|number| line.enter(at(number), None, false, "idle"));
        let turns: Vec<_> = std::iter::from_fn(|| line.next(now)).collect();
        assert_eq!(turns.iter().map(|&(_, job)| job).collect::<Vec<_>>(), ["idle"; 3]);
        turns.iter().for_each(|&(turn, _)| line.done(turn));
        assert!(line.next(now).is_none(), "two of the busy ones are at work");
        busy.iter().for_each(|&(turn, _)| line.done(turn));
        assert_eq!(order(&mut line, now), ["busy"; 2]);
        assert_eq!((line.busy_at_work, line.sites.len(), line.next.len()), (0, 0, 0));
    }
}
