//! Whose pieces are read, encrypted and sent. Without a limit on the uplink the processor is what members share: while
//! several want pieces, each has the same number under way, however many connections it has.

use crate::model::name::UserId;
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever is at a piece for longer waits for the far side, and takes nothing from anybody.
const WORK_MAX: Duration = Duration::from_millis(100);
/// A member that was given a piece wants the next one within this time, unless it has all. Others do not take its part
/// meanwhile: they would have begun with many pieces when it asks.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// A waiting thread looks this often whether its connection is still there.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// The turns of all connections of a seeder.
#[derive(Debug)]
pub(super) struct Turns {
    /// How many pieces should be under way while members wait for each other. Each member has one in any case.
    slots: usize,
    // Locked; given up while a thread waits.
    state: Mutex<TurnState>,
}

#[derive(Debug, Default)]
struct TurnState {
    users: HashMap<UserId, UserTurns>,
    last: u64,
}

/// The connections of one member, by number.
#[derive(Debug, Default)]
struct UserTurns {
    /// Wakes the thread of each connection.
    bells: HashMap<u64, Arc<Condvar>>,
    /// Who is at a piece, and since when.
    working: HashMap<u64, Instant>,
    /// In the order in which they began to wait.
    waiting: VecDeque<u64>,
    /// When it was given a piece last.
    given_at: Option<Instant>,
}

impl UserTurns {
    fn count_working(&self, now: Instant) -> usize {
        self.working.values().filter(|since| now.saturating_duration_since(**since) < WORK_MAX).count()
    }

    fn is_active(&self, now: Instant) -> bool {
        let goes_on = self.given_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE_MAX);
        goes_on || !self.waiting.is_empty() || self.count_working(now) > 0
    }
}

impl TurnState {
    /// Whether this connection, which waits, may begin with a piece now.
    fn may(&self, user: &UserId, number: u64, slots: usize, now: Instant) -> bool {
        let active = self.users.values().filter(|user| user.is_active(now)).count();
        if active <= 1 {
            return true;
        }
        let part = (slots / active).max(1);
        self.users.get(user).is_some_and(|user| {
            let free = part.saturating_sub(user.count_working(now));
            user.waiting.iter().take(free).any(|waiting| *waiting == number)
        })
    }

    /// The next connection of this member may be able to go on.
    fn call_next(&self, user: &UserId) {
        let next = self.users.get(user).and_then(|user| user.bells.get(user.waiting.front()?));
        if let Some(bell) = next {
            bell.notify_one();
        }
    }

    fn with(&mut self, user: &UserId, change: impl FnOnce(&mut UserTurns)) {
        if let Some(known) = self.users.get_mut(user) {
            change(known);
            if known.bells.is_empty() {
                self.users.remove(user);
            }
        }
    }
}

impl Turns {
    pub(super) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self { slots, state: Mutex::default() })
    }

    /// Adds a connection of this member.
    pub(super) fn join(self: &Arc<Self>, user: &UserId) -> TurnFlow {
        let (mut state, bell) = (self.state.lock(), Arc::new(Condvar::new()));
        state.last += 1;
        let number = state.last;
        state.users.entry(user.clone()).or_default().bells.insert(number, bell.clone());
        TurnFlow { turns: self.clone(), user: user.clone(), number, bell }
    }
}

/// One connection that takes turns, until this is dropped.
#[derive(Debug)]
pub(super) struct TurnFlow {
    turns: Arc<Turns>,
    user: UserId,
    number: u64,
    bell: Arc<Condvar>,
}

impl TurnFlow {
    /// Waits for the turn of this connection. The turn ends with what this gives. `None` once `is_over`.
    pub(super) fn wait(&self, is_over: impl Fn() -> bool) -> Option<Turn<'_>> {
        let mut state = self.turns.state.lock();
        state.with(&self.user, |user| user.waiting.push_back(self.number));
        loop {
            let (over, now) = (is_over(), Instant::now());
            if over || state.may(&self.user, self.number, self.turns.slots, now) {
                state.with(&self.user, |user| {
                    user.waiting.retain(|other| *other != self.number);
                    if !over {
                        user.working.insert(self.number, now);
                    }
                });
                state.call_next(&self.user);
                return (!over).then(|| Turn(self));
            }
            // Its own connections count no more after that time.
            self.bell.wait_for(&mut state, WORK_MAX.min(LOOK_PAUSE));
        }
    }
}

impl Drop for TurnFlow {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        state.with(&self.user, |user| {
            user.bells.remove(&self.number);
        });
    }
}

/// A connection is at a piece, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a TurnFlow);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let TurnFlow { turns, user, number, .. } = self.0;
        let mut state = turns.state.lock();
        state.with(user, |user| {
            user.working.remove(number);
            user.given_at = Some(Instant::now());
        });
        state.call_next(user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    /// Which of these connections may begin with a piece, when all of them wait, so many cores are there, and those
    /// before have begun.
    fn begun<const N: usize>(slots: usize, names: [&str; N]) -> [bool; N] {
        let (turns, now) = (Turns::new(slots), Instant::now());
        let flows = names.map(|name| turns.join(&user(name)));
        let mut state = turns.state.lock();
        flows.iter().for_each(|flow| state.with(&flow.user, |user| user.waiting.push_back(flow.number)));
        let begun = flows.each_ref().map(|flow| {
            let may = state.may(&flow.user, flow.number, slots, now);
            if may {
                state.with(&flow.user, |user| {
                    user.waiting.retain(|other| *other != flow.number);
                    user.working.insert(flow.number, now);
                });
            }
            may
        });
        drop(state);
        begun
    }

    #[test]
    fn members_have_as_many_pieces_under_way_whatever_the_number_of_their_connections() {
        let names = ["many", "many", "one", "many", "one", "many"];
        assert_eq!(begun(2, names), [true, false, true, false, false, false]);
        assert_eq!(begun(4, names), [true, true, true, false, true, false]);
        assert_eq!(begun(1, names), [true, false, true, false, false, false], "each has one in any case");
        assert_eq!(begun(1, ["ann"; 5]), [true; 5], "nobody waits for connections of the same member");
    }

    #[test]
    fn whoever_waits_for_a_far_side_takes_nothing_from_anybody() {
        let turns = Turns::new(1);
        let (slow, ann) =
            (["slow"; 5].map(|name| turns.join(&user(name))), ["ann"; 3].map(|name| turns.join(&user(name))));
        let _working: Vec<_> = slow.iter().map(|flow| flow.wait(|| false).expect("alone")).collect();
        let _one = ann[0].wait(|| false).expect("at once");
        let begun = Instant::now();
        // After a moment those who wait for the far side count no more, though none of them has ended.
        let _two = ann[1].wait(|| false).expect("its turn comes");
        assert!(begun.elapsed() >= WORK_MAX / 2);
        assert!(ann[2].wait(|| false).is_some());
    }

    #[test]
    fn a_member_that_is_about_to_ask_for_the_next_piece_has_its_part_kept() {
        let turns = Turns::new(2);
        let [ann, bob, other] = ["ann", "bob", "bob"].map(|name| turns.join(&user(name)));
        drop(ann.wait(|| false));
        let (begun, _bob) = (Instant::now(), bob.wait(|| false).expect("its part"));
        let _other = other.wait(|| false).expect("once ann does not ask any more");
        assert!(begun.elapsed() >= WORK_MAX / 2);
    }

    #[test]
    fn the_next_one_goes_on_when_a_piece_is_done() {
        let turns = Turns::new(2);
        let [ann, first, second] = ["ann", "bob", "bob"].map(|name| turns.join(&user(name)));
        let (_ann, bob) = (ann.wait(|| false), first.wait(|| false));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| second.wait(|| false).is_some());
            drop(bob);
            assert!(waits.join().expect("no panic"));
        });
    }

    #[test]
    fn a_connection_that_is_over_waits_no_more_and_nothing_is_kept_of_it() {
        let turns = Turns::new(1);
        let [ann, bob, late] = ["ann", "bob", "bob"].map(|name| turns.join(&user(name)));
        let turn = (ann.wait(|| false), bob.wait(|| false));
        assert!(late.wait(|| true).is_none());
        drop(turn);
        drop([ann, bob, late]);
        assert!(turns.state.lock().users.is_empty());
    }
}
