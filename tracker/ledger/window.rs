//! The window: the latest ops in their order, with snapshots of the state to fold from again when an op comes late.
//! Pure.

use crate::model::id::OpOrder;
use crate::model::op::Op;
use crate::tracker::state::State;
use std::collections::VecDeque;
use std::sync::Arc;

/// Ops between two snapshots. Few in tests, so that a short history has many snapshots.
const STEP: usize = if cfg!(test) { 8 } else { 1024 };
/// The most snapshots beside the one at 0. So the window keeps the latest `SNAPSHOTS_MAX * STEP` ops.
const SNAPSHOTS_MAX: usize = if cfg!(test) { 4 } else { 16 };

/// The end of the fold. Clones share the ops and most of the states.
///
/// Invariants: `ops` ascend in the total order. A snapshot at `n` is the fold of all ops before the window and of its
/// first `n`. There is a snapshot at 0.
#[derive(Debug, Clone)]
pub(super) struct Window {
    ops: VecDeque<Arc<Op>>,
    snapshots: VecDeque<(usize, State)>,
}

/// A window that was cut off before the place of a late op.
pub(super) struct Opened {
    /// The part before the cut. It ends at a snapshot.
    pub(super) window: Window,
    /// That snapshot.
    pub(super) state: State,
    /// The ops after the cut, in their order.
    pub(super) behind: Vec<Arc<Op>>,
}

impl Window {
    /// A window that begins after a state.
    pub(super) fn new(state: State) -> Self {
        Self { ops: VecDeque::new(), snapshots: VecDeque::from([(0, state)]) }
    }

    /// How many ops are in it.
    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    /// Appends an op that comes after all others, with the state after it.
    pub(super) fn push(&mut self, op: Arc<Op>, after: &State) {
        self.ops.push_back(op);
        if self.ops.len() - self.latest().0 >= STEP {
            self.snapshots.push_back((self.ops.len(), after.clone()));
        }
    }

    fn latest(&self) -> &(usize, State) {
        self.snapshots.back().expect("there is a snapshot at 0")
    }

    /// Whether the place of an op lies in the window.
    pub(super) fn reaches(&self, order: OpOrder) -> bool {
        self.snapshots[0].1.last().is_none_or(|last| last < order)
    }

    /// Whether all ops above a Lamport counter lie in the window.
    pub(super) fn reaches_above(&self, lamport: u64) -> bool {
        self.snapshots[0].1.last().is_none_or(|last| last.lamport <= lamport)
    }

    /// The Lamport counter of the op that precedes the last `ops` ones.
    pub(super) fn lamport_behind(&self, ops: usize) -> Option<u64> {
        Some(self.ops[self.ops.len().checked_sub(ops)?.checked_sub(1)?].lamport)
    }

    /// The ops above a Lamport counter, in their order.
    pub(super) fn above(&self, lamport: u64) -> Vec<Arc<Op>> {
        self.since(self.ops.partition_point(|op| op.lamport <= lamport))
    }

    /// The last snapshot at or below a Lamport counter, and the ops from there to the counter. `None` if the window
    /// begins above the counter.
    pub(super) fn up_to(&self, lamport: u64) -> Option<(&State, impl Iterator<Item = &Arc<Op>>)> {
        let below = |state: &State| state.last().is_none_or(|last| last.lamport <= lamport);
        let (at, state) = self.snapshots.iter().take_while(|(_, state)| below(state)).last()?;
        Some((state, self.ops.range(*at..).take_while(move |op| op.lamport <= lamport)))
    }

    /// The fold of all its ops.
    pub(super) fn fold(&self) -> State {
        let (at, mut state) = self.latest().clone();
        self.ops.range(at..).for_each(|op| state.apply(op));
        state
    }

    /// A copy, cut off at the last snapshot before a place. The window must reach that place.
    pub(super) fn open(&self, first: OpOrder) -> Opened {
        let place = self.ops.partition_point(|op| op.order() < first);
        let snapshots: VecDeque<_> = self.snapshots.iter().take_while(|(at, _)| *at <= place).cloned().collect();
        let (at, state) = snapshots.back().cloned().expect("there is a snapshot at 0");
        let window = Window { ops: self.ops.range(..at).cloned().collect(), snapshots };
        Opened { window, state, behind: self.since(at) }
    }

    /// The ops from this one on.
    pub(super) fn since(&self, at: usize) -> Vec<Arc<Op>> {
        self.ops.range(at..).cloned().collect()
    }

    /// Takes out the ops that are not part of a state.
    pub(super) fn retain(&mut self, of: &State) {
        let gone = |op: &Op| op.id.seq > of.seen(op.id.origin);
        let Some(first) = self.ops.iter().position(|op| gone(op)) else { return };
        while self.latest().0 > first {
            self.snapshots.pop_back();
        }
        self.ops.retain(|op| !gone(op));
    }

    /// Drops the oldest ops while there are too many snapshots and `may_go` allows it.
    pub(super) fn trim(&mut self, may_go: impl Fn(&Op) -> bool) {
        while self.snapshots.len() > SNAPSHOTS_MAX + 1 {
            let end = self.snapshots[1].0;
            if !self.ops.range(..end).all(|op| may_go(op)) {
                return;
            }
            self.ops.drain(..end);
            self.snapshots.pop_front();
            self.snapshots.iter_mut().for_each(|(at, _)| *at -= end);
        }
    }
}
