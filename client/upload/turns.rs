//! Whose pieces are read and encrypted next. Without a limit on the uplink the processor is what members share: each
//! gets as many bytes as any other, however many connections it has.

use crate::model::name::UserId;
use crate::rate::fair_queue::{FairQueue, FlowId};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever works on a piece for longer waits for the far side, and needs no processor.
const WORK_MAX: Duration = Duration::from_millis(20);
/// A member that is late with its next request gets later so many bytes that it missed.
const BEHIND_MAX: u64 = 2 << 20;
/// A waiting thread looks this often whether its connection is still there.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// The turns of all connections of a seeder.
#[derive(Debug)]
pub(super) struct Turns {
    /// How many may work at a time while members wait for each other.
    slots: usize,
    // Locked; given up while a thread waits.
    state: Mutex<TurnState>,
}

#[derive(Debug, Default)]
struct TurnState {
    queue: FairQueue,
    /// Who works, and since when.
    working: HashMap<FlowId, Instant>,
    /// Wakes the thread of each connection.
    bells: HashMap<FlowId, Arc<Condvar>>,
}

impl TurnState {
    /// Whether this connection may work now. Nobody waits for connections of the same member.
    fn may(&mut self, flow: FlowId, slots: usize, now: Instant) -> bool {
        self.working.retain(|_, since| now.saturating_duration_since(*since) < WORK_MAX);
        let alone = !self.queue.others_wait(flow) && self.working.keys().all(|other| other.is_of_same_member(flow));
        alone || self.working.len() < slots && self.queue.next() == Some(flow)
    }

    /// When somebody who works counts no more.
    fn next_end(&self) -> Option<Instant> {
        self.working.values().min().map(|since| *since + WORK_MAX)
    }

    fn call_next(&self) {
        if let Some(bell) = self.queue.next().and_then(|flow| self.bells.get(&flow)) {
            bell.notify_one();
        }
    }
}

impl Turns {
    pub(super) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self { slots, state: Mutex::default() })
    }

    /// Adds a connection of this member.
    pub(super) fn join(self: &Arc<Self>, user: &UserId) -> TurnFlow {
        let mut state = self.state.lock();
        let (flow, bell) = (state.queue.join(user), Arc::new(Condvar::new()));
        state.bells.insert(flow, bell.clone());
        TurnFlow { turns: self.clone(), flow, bell }
    }
}

/// One connection that takes turns, until this is dropped.
#[derive(Debug)]
pub(super) struct TurnFlow {
    turns: Arc<Turns>,
    flow: FlowId,
    bell: Arc<Condvar>,
}

impl TurnFlow {
    /// Waits for the turn of this connection, for a piece of so many bytes. The turn ends with what this gives. `None`
    /// once `is_over`.
    pub(super) fn wait(&self, len: usize, is_over: impl Fn() -> bool) -> Option<Turn<'_>> {
        let mut state = self.turns.state.lock();
        state.queue.wait(self.flow, BEHIND_MAX);
        loop {
            if is_over() {
                state.queue.give_up(self.flow);
                state.call_next();
                return None;
            }
            let now = Instant::now();
            if state.may(self.flow, self.turns.slots, now) {
                state.queue.serve(self.flow, len);
                state.working.insert(self.flow, now);
                state.call_next();
                return Some(Turn(self));
            }
            let pause = state.next_end().map_or(LOOK_PAUSE, |end| end.saturating_duration_since(now).min(LOOK_PAUSE));
            self.bell.wait_for(&mut state, pause);
        }
    }
}

impl Drop for TurnFlow {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        state.queue.leave(self.flow);
        state.bells.remove(&self.flow);
        state.working.remove(&self.flow);
        state.call_next();
    }
}

/// A connection works on a piece, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a TurnFlow);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.turns.state.lock();
        state.working.remove(&self.0.flow);
        state.call_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;

    const PIECE: usize = 512 * 1024;

    /// How many pieces each of these connections gets of a hundred, when all of them ask always and one works at a time.
    fn pieces_of<const N: usize>(names: [&str; N]) -> [usize; N] {
        let turns = Turns::new(1);
        let flows = names.map(|name| turns.join(&user(name)));
        let mut state = turns.state.lock();
        let mut got = [0; N];
        flows.iter().for_each(|flow| state.queue.wait(flow.flow, BEHIND_MAX));
        let mut now = Instant::now();
        for _ in 0..100 {
            now += WORK_MAX;
            let next = flows.iter().position(|flow| state.may(flow.flow, 1, now)).expect("somebody's turn");
            state.queue.serve(flows[next].flow, PIECE);
            state.working.insert(flows[next].flow, now);
            state.queue.wait(flows[next].flow, BEHIND_MAX);
            got[next] += 1;
        }
        drop(state);
        got
    }

    #[test]
    fn a_member_with_many_connections_gets_as_much_as_one_with_one() {
        let got = pieces_of(["one", "many", "many", "many", "many"]);
        assert!(got[0].abs_diff(50) <= 1, "{got:?}");
        assert!(got[1..].iter().all(|got| got.abs_diff(50 / 4) <= 1), "{got:?}");
    }

    #[test]
    fn nobody_waits_for_connections_of_the_same_member() {
        let turns = Turns::new(1);
        let flows = ["ann", "ann", "ann"].map(|name| turns.join(&user(name)));
        let working: Vec<_> = flows.iter().map(|flow| flow.wait(PIECE, || false).expect("at once")).collect();
        assert_eq!(turns.state.lock().working.len(), 3);
        drop(working);
        assert!(turns.state.lock().working.is_empty());
    }

    #[test]
    fn whoever_waits_for_a_far_side_keeps_no_other_member_waiting() {
        let turns = Turns::new(2);
        let (slow, ann) = (["slow"; 5].map(|name| turns.join(&user(name))), turns.join(&user("ann")));
        let _working: Vec<_> = slow.iter().map(|flow| flow.wait(PIECE, || false).expect("alone")).collect();
        // They count no more after a moment, though none of them has ended.
        drop(ann.wait(PIECE, || false).expect("its turn comes"));
    }

    #[test]
    fn a_connection_that_is_over_waits_no_more() {
        let turns = Turns::new(0);
        let (ann, bob) = (turns.join(&user("ann")), turns.join(&user("bob")));
        let _turn = ann.wait(PIECE, || false).expect("alone");
        assert!(bob.wait(PIECE, || true).is_none());
        assert!(!turns.state.lock().queue.others_wait(ann.flow));
    }
}
