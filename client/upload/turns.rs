//! Chooses the connection that gets the next worker. Members share the workers. While several members want pieces, each
//! has the same number of workers, however many connections it has. Pure: the time is passed in.

use crate::model::name::UserId;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A member asks for its next piece within this time, unless it has all pieces. Until then other members do not take
/// its share of the workers. Otherwise they would have begun many pieces by the time the member asks.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The turns of all connections of members, by number.
#[derive(Debug)]
pub(super) struct Turns {
    workers: usize,
    users: HashMap<UserId, UserTurns>,
    /// Numbers the turns and the arrivals of members, in order.
    count: u64,
}

/// The connections of one member.
#[derive(Debug, Default)]
struct UserTurns {
    /// In the order in which they began to wait.
    waiting: VecDeque<u64>,
    /// The number of connections at a worker.
    working: usize,
    /// When the member last received a piece.
    given_at: Option<Instant>,
    /// The number of the member's last turn, or of its arrival.
    last: u64,
}

impl UserTurns {
    fn kept_until(&self) -> Option<Instant> {
        self.given_at.map(|at| at + PAUSE_MAX)
    }

    fn is_active(&self, now: Instant) -> bool {
        !self.waiting.is_empty() || self.working > 0 || self.kept_until().is_some_and(|until| now < until)
    }
}

impl Turns {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, users: HashMap::new(), count: 0 }
    }

    /// Notes that this connection waits for its turn.
    pub(super) fn wait(&mut self, user: &UserId, id: u64) {
        match self.users.get_mut(user) {
            Some(known) => known.waiting.push_back(id),
            None => {
                self.count += 1;
                let turns = UserTurns { waiting: VecDeque::from([id]), last: self.count, ..UserTurns::default() };
                self.users.insert(user.clone(), turns);
            }
        }
    }

    /// Whether any connection waits.
    pub(super) fn is_waited_for(&self) -> bool {
        self.users.values().any(|user| !user.waiting.is_empty())
    }

    /// Takes the next connection. Its member has less than its share, and its last turn or arrival was longest ago.
    pub(super) fn next(&mut self, now: Instant) -> Option<u64> {
        self.users.retain(|_, user| user.is_active(now));
        let part = self.workers.checked_div(self.users.len()).unwrap_or_default().max(1);
        let may = |user: &&mut UserTurns| !user.waiting.is_empty() && user.working < part;
        let user = self.users.values_mut().filter(may).min_by_key(|user| user.last)?;
        self.count += 1;
        (user.working, user.last) = (user.working + 1, self.count);
        user.waiting.pop_front()
    }

    /// When a waiting connection may get its turn even if no turn ends before. A member that has not asked for more by
    /// then loses its share of the workers.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let kept = self.users.values().filter_map(UserTurns::kept_until).filter(|until| now < *until);
        if self.is_waited_for() { kept.min() } else { None }
    }

    /// Notes the end of a turn of this member. `gave` says whether it received a piece.
    pub(super) fn end(&mut self, user: &UserId, gave: bool, now: Instant) {
        if let Some(user) = self.users.get_mut(user) {
            user.working -= 1;
            user.given_at = if gave { Some(now) } else { user.given_at };
        }
    }

    /// Notes that this connection no longer waits.
    pub(super) fn give_up(&mut self, user: &UserId, id: u64) {
        if let Some(user) = self.users.get_mut(user) {
            user.waiting.retain(|waiting| *waiting != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    /// Which of these connections get one of `workers` workers, when all of them wait.
    fn begun<const N: usize>(workers: usize, names: [&str; N]) -> [bool; N] {
        let (mut turns, now) = (Turns::new(workers), Instant::now());
        (0..).zip(names).for_each(|(id, name)| turns.wait(&user(name), id));
        let mut begun = [false; N];
        for _ in 0..workers {
            turns.next(now).into_iter().for_each(|id| begun[id as usize] = true);
        }
        begun
    }

    #[test]
    fn members_have_as_many_workers_whatever_the_number_of_their_connections() {
        let names = ["many", "many", "one", "many", "one", "many"];
        assert_eq!(begun(2, names), [true, false, true, false, false, false]);
        assert_eq!(begun(4, names), [true, true, true, false, true, false]);
        assert_eq!(begun(3, ["ann"; 5]), [true, true, true, false, false], "no other member wants a worker");
    }

    #[test]
    fn members_that_outnumber_the_workers_take_turns_whatever_the_number_of_their_connections() {
        let (mut turns, now) = (Turns::new(1), Instant::now());
        let names = ["many", "many", "many", "many", "ann", "bob"].map(user);
        (0..).zip(&names).for_each(|(id, name)| turns.wait(name, id));
        let mut had = [0; 6];
        for _ in 0..300 {
            let id = turns.next(now).expect("all of them wait");
            had[id as usize] += 1;
            turns.end(&names[id as usize], true, now);
            turns.wait(&names[id as usize], id);
        }
        assert_eq!(had, [25, 25, 25, 25, 100, 100]);
    }

    #[test]
    fn a_member_that_is_about_to_ask_for_the_next_piece_has_its_part_kept() {
        let (mut turns, now) = (Turns::new(2), Instant::now());
        let [ann, bob] = ["ann", "bob"].map(user);
        turns.wait(&ann, 1);
        assert_eq!(turns.next(now), Some(1));
        turns.end(&ann, true, now);
        turns.wait(&bob, 2);
        turns.wait(&bob, 3);
        assert_eq!((turns.next(now), turns.next(now)), (Some(2), None));
        assert_eq!(turns.due(now), Some(now + PAUSE_MAX), "the turn comes once ann stops asking");
        assert_eq!(turns.next(now + PAUSE_MAX), Some(3));
    }

    #[test]
    fn a_user_who_was_given_nothing_has_nothing_kept() {
        let (mut turns, now) = (Turns::new(2), Instant::now());
        let [ann, bob] = ["ann", "bob"].map(user);
        turns.wait(&ann, 1);
        assert_eq!(turns.next(now), Some(1));
        turns.end(&ann, false, now);
        turns.wait(&bob, 2);
        turns.wait(&bob, 3);
        assert_eq!((turns.next(now), turns.next(now)), (Some(2), Some(3)));
    }

    #[test]
    fn a_connection_that_is_over_waits_no_more_and_nothing_is_kept_of_it() {
        let (mut turns, now) = (Turns::new(1), Instant::now());
        let [ann, bob] = ["ann", "bob"].map(user);
        turns.wait(&ann, 1);
        turns.wait(&bob, 2);
        assert_eq!(turns.next(now), Some(1));
        turns.give_up(&bob, 2);
        turns.end(&ann, true, now);
        assert!(!turns.is_waited_for() && turns.due(now).is_none());
        assert_eq!(turns.next(now + PAUSE_MAX), None);
        assert!(turns.users.is_empty());
    }
}
