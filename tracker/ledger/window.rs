//! The latest ops in their order, with states in between to fold from, so that ops that come late can be put in their
//! place. Pure.

use crate::model::id::OpOrder;
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

    /// Appends an op that comes after all others, with the state after it. So many others are about to follow: the states
    /// that would be let go of at once are not kept.
    pub(super) fn push(&mut self, op: Op, after: &State, followed_by: usize) {
        self.ops.push_back(op);
        if self.ops.len() - self.latest().0 >= STEP && followed_by < STEPS_MAX * STEP {
            self.states.push_back((self.ops.len(), after.clone()));
        }
    }

    fn latest(&self) -> &(usize, State) {
        self.states.back().expect("there is one at 0")
    }

    /// Whether the place of an op lies in the window.
    pub(super) fn reaches(&self, order: OpOrder) -> bool {
        self.states[0].1.last().is_none_or(|last| last < order)
    }

    /// Puts ops in their place, of which the first is `first` and which the window reaches. Gives the state and the ops from
    /// which the fold has to be done again, which leave the window.
    pub(super) fn open(&mut self, late: &[Op], first: OpOrder) -> (State, Vec<Op>) {
        let place = self.ops.partition_point(|op| op.order() < first);
        while self.latest().0 > place {
            self.states.pop_back();
        }
        let (at, state) = self.latest().clone();
        let mut again: Vec<Op> = self.ops.drain(at..).chain(late.iter().cloned()).collect();
        // Stable, which is quick with rows that ascend already.
        again.sort_by_key(Op::order);
        (state, again)
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

    /// All ops that were in the window.
    pub(super) fn into_ops(self) -> VecDeque<Op> {
        self.ops
    }
}
