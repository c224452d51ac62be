//! The latest ops in their order, with states in between to fold from, so that ops that come late can be put in their
//! place. Pure.

use crate::model::op::Op;
use crate::tracker::state::State;
use std::collections::VecDeque;

/// Ops from one kept state to the next; few in tests, so that a short history has many.
const STEP: usize = if cfg!(test) { 8 } else { 4096 };
/// Steps that are kept: an op that comes later than that needs all ops there are.
const STEPS_MAX: usize = if cfg!(test) { 4 } else { 16 };

/// The end of the fold.
///
/// Invariants: `ops` ascend in the total order; a state at `n` is the fold of all ops before the window and of its first
/// `n`; there is one at 0.
#[derive(Debug, Clone)]
pub(super) struct Window {
    ops: VecDeque<Op>,
    states: VecDeque<(usize, State)>,
}

impl Window {
    /// A window that begins behind a state.
    pub(super) fn new(state: State) -> Self {
        Self { ops: VecDeque::new(), states: VecDeque::from([(0, state)]) }
    }

    /// Appends an op that comes after all others, with the state after it.
    pub(super) fn push(&mut self, op: Op, after: &State) {
        self.ops.push_back(op);
        if self.ops.len() - self.latest().0 >= STEP {
            self.states.push_back((self.ops.len(), after.clone()));
        }
    }

    fn latest(&self) -> &(usize, State) {
        self.states.back().expect("there is one at 0")
    }

    /// Puts ops in their place. Gives the state and the ops from which the fold has to be done again, which leave the
    /// window; if the place of one lies before it, the ops come back.
    pub(super) fn open(&mut self, late: Vec<Op>) -> Result<(State, Vec<Op>), Vec<Op>> {
        let first = late.iter().map(Op::order).min().expect("something came late");
        if self.states[0].1.last().is_some_and(|last| first < last) {
            return Err(late);
        }
        let place = self.ops.partition_point(|op| op.order() < first);
        while self.latest().0 > place {
            self.states.pop_back();
        }
        let (at, state) = self.latest().clone();
        let mut again: Vec<Op> = self.ops.drain(at..).collect();
        again.extend(late);
        again.sort_unstable_by_key(Op::order);
        Ok((state, again))
    }

    /// Takes out the ops that are not part of a state.
    pub(super) fn retain(&mut self, of: &State) {
        let gone = |op: &Op| op.id.seq > of.seen(op.id.origin);
        let Some(first) = self.ops.iter().position(gone) else { return };
        while self.latest().0 > first {
            self.states.pop_back();
        }
        self.ops.retain(|op| !gone(op));
    }

    /// Lets the oldest ops go that are part of a durable state, if there are more than need be kept.
    pub(super) fn trim(&mut self, durable: &State) {
        while self.states.len() > STEPS_MAX {
            let end = self.states[1].0;
            if self.ops.range(..end).any(|op| op.id.seq > durable.seen(op.id.origin)) {
                return;
            }
            self.ops.drain(..end);
            self.states.pop_front();
            self.states.iter_mut().for_each(|(at, _)| *at -= end);
        }
    }

    /// All ops in the window.
    pub(super) fn ops(&self) -> impl Iterator<Item = &Op> {
        self.ops.iter()
    }
}
