//! The window: the latest ops in their order, with snapshots of the state to fold from again when an op comes late.
//! Pure.

use crate::model::id::OpOrder;
use crate::model::op::Op;
use crate::tracker::state::State;
use std::collections::VecDeque;

/// Ops between two snapshots. Few in tests, so that a short history has many snapshots.
const STEP: usize = if cfg!(test) { 8 } else { 4096 };
/// Most snapshots that are kept. An op whose place lies before them all needs all ops.
const SNAPSHOTS_MAX: usize = if cfg!(test) { 4 } else { 16 };

/// The end of the fold.
///
/// Invariants: `ops` ascend in the total order; a snapshot at `n` is the fold of all ops before the window and of its
/// first `n`; there is a snapshot at 0.
#[derive(Debug, Clone)]
pub(super) struct Window {
    ops: VecDeque<Op>,
    snapshots: VecDeque<(usize, State)>,
}

impl Window {
    /// A window that begins behind a state.
    pub(super) fn new(state: State) -> Self {
        Self { ops: VecDeque::new(), snapshots: VecDeque::from([(0, state)]) }
    }

    /// Appends an op that comes after all others, with the state after it. `followed_by` others are about to follow.
    /// Keeps no snapshot that those would push out.
    pub(super) fn push(&mut self, op: Op, after: &State, followed_by: usize) {
        self.ops.push_back(op);
        if self.ops.len() - self.latest().0 >= STEP && followed_by < SNAPSHOTS_MAX * STEP {
            self.snapshots.push_back((self.ops.len(), after.clone()));
        }
    }

    fn latest(&self) -> &(usize, State) {
        self.snapshots.back().expect("there is one at 0")
    }

    /// Whether the place of an op lies in the window.
    pub(super) fn reaches(&self, order: OpOrder) -> bool {
        self.snapshots[0].1.last().is_none_or(|last| last < order)
    }

    /// Takes the ops from the last snapshot before `first` on out of the window. Returns that snapshot, and those ops
    /// merged with `late`: the fold goes on from there. The window reaches `first`, the place of the earliest late op.
    pub(super) fn open(&mut self, late: &[Op], first: OpOrder) -> (State, Vec<Op>) {
        let place = self.ops.partition_point(|op| op.order() < first);
        while self.latest().0 > place {
            self.snapshots.pop_back();
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
            self.snapshots.pop_back();
        }
        self.ops.retain(|op| !gone(op));
    }

    /// Lets the oldest ops go while there are more snapshots than are kept and the ops are part of a durable state.
    pub(super) fn trim(&mut self, durable: &State) {
        while self.snapshots.len() > SNAPSHOTS_MAX {
            let end = self.snapshots[1].0;
            if self.ops.range(..end).any(|op| op.id.seq > durable.seen(op.id.origin)) {
                return;
            }
            self.ops.drain(..end);
            self.snapshots.pop_front();
            self.snapshots.iter_mut().for_each(|(at, _)| *at -= end);
        }
    }

    /// All ops that were in the window.
    pub(super) fn into_ops(self) -> VecDeque<Op> {
        self.ops
    }
}
