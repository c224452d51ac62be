//! Turns for checking parts of manifests: places take turns, and users take turns within a place.

use crate::model::address::{network_of, place_of};
use crate::model::id::UserRef;
use crate::rate::nested_turns::{NestedBounds, NestedTurns};
use crate::wire::deadlines::ANSWER_DEADLINE;
use crate::wire::refusal::{Code, Refusal};
use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// Each waiting part holds its memory. The check of a part takes about a millisecond.
const BOUNDS: NestedBounds = NestedBounds { waiting: 64, age: ANSWER_DEADLINE };

/// How many parts are checked at a time: one for every second core, to leave the rest of the machine to other work.
fn at_once() -> usize {
    (thread::available_parallelism().map_or(1, usize::from) / 2).max(1)
}

/// For whom a part is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// A user at an address, with the deadline for the answer.
    User(IpAddr, UserRef, Instant),
    /// The other trackers.
    Trackers,
    Operator,
}

/// A level of the turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    Site(IpAddr),
    Network(IpAddr),
    User(UserRef),
    Trackers,
    Operator,
}

type Path = [Party; 3];

impl Requester {
    fn answer_by(self) -> Instant {
        match self {
            Self::User(.., by) => by,
            Self::Trackers | Self::Operator => Instant::now() + ANSWER_DEADLINE,
        }
    }

    fn path(self) -> Path {
        match self {
            Self::User(ip, user, _) => {
                let network = network_of(ip);
                [Party::Site(place_of(ip)), Party::Network(network), Party::User(user)]
            }
            Self::Trackers => [Party::Trackers; 3],
            Self::Operator => [Party::Operator; 3],
        }
    }
}

/// Hands out turns.
#[derive(Default)]
pub(super) struct CheckTurns(Arc<Mutex<Turns>>);

struct Turns {
    queue: NestedTurns<Party, Sender<Turn>, 3>,
    free: usize,
}

impl Default for Turns {
    fn default() -> Self {
        Self { queue: NestedTurns::new(BOUNDS), free: at_once() }
    }
}

impl fmt::Debug for CheckTurns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckTurns").field(&self.0.lock().free).finish()
    }
}

/// A turn. Dropping it ends it.
pub(super) struct Turn {
    turns: Arc<Mutex<Turns>>,
    path: Path,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        turns.queue.done(&self.path);
        turns.free += 1;
        let next = turns.next(&self.turns);
        drop(turns);
        give(next);
    }
}

impl Turns {
    /// The requesters whose turn it is, with their turns.
    fn next(&mut self, all: &Arc<Mutex<Turns>>) -> Vec<(Sender<Turn>, Turn)> {
        let mut next = Vec::new();
        while self.free > 0 {
            let Some((path, waiter)) = self.queue.take(Instant::now()) else { break };
            self.free -= 1;
            next.push((waiter, Turn { turns: all.clone(), path }));
        }
        next
    }
}

/// Called without the lock: if a requester no longer waits, its turn ends at once.
fn give(turns: Vec<(Sender<Turn>, Turn)>) {
    for (waiter, turn) in turns {
        let _ = waiter.send(turn);
    }
}

impl CheckTurns {
    /// Waits for a turn.
    ///
    /// # Errors
    /// `SlowDown` if the turn does not come in time, or if others take the place in the queue.
    pub(super) fn wait(&self, requester: Requester) -> Result<Turn, Refusal> {
        let (waiter, turn) = bounded(1);
        let mut turns = self.0.lock();
        // Requesters that lose their place notice the end of their channels.
        let dropped = turns.queue.put(requester.path(), waiter, Instant::now());
        let next = turns.next(&self.0);
        drop(turns);
        drop(dropped);
        give(next);
        turn.recv_deadline(requester.answer_by()).map_err(|_| Code::SlowDown.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};
    use std::net::Ipv4Addr;

    fn requester(host: u8, user: u64) -> Requester {
        let user = UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: user });
        Requester::User(Ipv4Addr::new(127, 0, 0, host).into(), user, Instant::now() + ANSWER_DEADLINE)
    }

    fn waiting(turns: &CheckTurns) -> usize {
        turns.0.lock().queue.waiting()
    }

    impl CheckTurns {
        /// Runs `during` while this requester has no room for another waiting part.
        pub(in crate::tracker::manifests) fn crowded(&self, requester: Requester, during: impl FnOnce()) {
            let held: Vec<Turn> = (0..at_once()).map(|_| self.wait(Requester::Trackers).expect("a turn")).collect();
            thread::scope(|scope| {
                for number in 0..BOUNDS.waiting {
                    scope.spawn(move || self.wait(requester).map(drop));
                    while waiting(self) <= number {
                        thread::yield_now();
                    }
                }
                during();
                drop(held);
            });
        }
    }

    /// Lets these wait in this order, and returns the order in which they get their turns, one at a time.
    fn order(turns: &CheckTurns, askers: &[Requester]) -> Vec<Requester> {
        let mut held: Vec<Turn> = (0..at_once()).map(|_| turns.wait(Requester::Operator).expect("a turn")).collect();
        let got = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for (number, &requester) in askers.iter().enumerate() {
                let got = &got;
                scope.spawn(move || {
                    let turn = turns.wait(requester).expect("a turn");
                    got.lock().push(requester);
                    drop(turn);
                });
                while waiting(turns) <= number {
                    thread::yield_now();
                }
            }
            // One turn is given back, so that one requester after the other gets it.
            held.pop();
            while got.lock().len() < askers.len() {
                thread::yield_now();
            }
        });
        got.into_inner()
    }

    #[test]
    fn a_user_waits_for_one_part_of_a_crowd_at_another_address() {
        let turns = CheckTurns::default();
        let crowd: Vec<_> = (0..40).map(|user| requester(1, user)).collect();
        order(&turns, &crowd);
        let honest = requester(2, 1000);
        // The honest user has had a turn before, like all others.
        order(&turns, &[honest]);
        let all: Vec<_> = crowd.into_iter().chain([honest]).collect();
        let place = order(&turns, &all).iter().position(|requester| *requester == honest);
        assert!(place.is_some_and(|place| place <= 1), "{place:?}");
    }

    #[test]
    fn the_user_with_most_parts_waiting_is_told_to_slow_down_and_not_the_newcomer() {
        let turns = CheckTurns::default();
        let held: Vec<Turn> = (0..at_once()).map(|_| turns.wait(Requester::Operator).expect("a turn")).collect();
        thread::scope(|scope| {
            let greedy: Vec<_> = (0..BOUNDS.waiting)
                .map(|number| {
                    let waits = scope.spawn(|| turns.wait(requester(1, 1)).is_ok());
                    while waiting(&turns) <= number {
                        thread::yield_now();
                    }
                    waits
                })
                .collect();
            let honest = scope.spawn(|| turns.wait(requester(2, 2)).is_ok());
            while greedy.iter().all(|waits| !waits.is_finished()) {
                thread::yield_now();
            }
            assert_eq!(waiting(&turns), BOUNDS.waiting);
            drop(held);
            assert!(honest.join().expect("no panic"), "the newcomer gets its turn");
            let refused = greedy.into_iter().map(|waits| waits.join().expect("no panic"));
            assert_eq!(refused.filter(|got| !got).count(), 1);
        });
    }

    #[test]
    fn a_request_that_has_waited_elsewhere_waits_here_for_the_rest_of_its_time() {
        let turns = CheckTurns::default();
        let held: Vec<Turn> = (0..at_once()).map(|_| turns.wait(Requester::Operator).expect("a turn")).collect();
        let Requester::User(ip, user, _) = requester(1, 1) else { unreachable!("a user") };
        let begun = Instant::now();
        assert!(turns.wait(Requester::User(ip, user, begun)).is_err());
        assert!(begun.elapsed() < ANSWER_DEADLINE / 2);
        drop(held);
    }

    #[test]
    fn a_turn_that_nobody_waits_for_any_more_is_the_next_ones() {
        let turns = CheckTurns::default();
        let held: Vec<Turn> = (0..at_once()).map(|_| turns.wait(Requester::Operator).expect("a turn")).collect();
        let (gone, receiver) = bounded(1);
        drop(receiver);
        assert!(turns.0.lock().queue.put(requester(1, 1).path(), gone, Instant::now()).is_empty());
        drop(held);
        let again: Vec<_> = (0..at_once()).map(|_| turns.wait(Requester::Trackers).map(drop)).collect();
        assert!(again.iter().all(Result::is_ok));
        assert_eq!(turns.0.lock().free, at_once());
    }
}
