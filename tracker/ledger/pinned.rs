//! The fold up to a Lamport counter, which a floor can be put on. It is made beside the ledger, slice by slice. Pure.

use super::window::Window;
use crate::model::id::{Origin, Seen};
use crate::model::op::Op;
use crate::model::op::floor::{FloorMark, FloorProposal};
use crate::tracker::state::State;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A fold up to a Lamport counter that is being made.
#[derive(Debug)]
pub struct Pinning {
    after: FloorMark,
    lamport: u64,
    state: State,
    rest: VecDeque<Arc<Op>>,
}

/// A base that a floor can be put on, and what exactly lies in it.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The floor under it.
    pub after: FloorMark,
    /// The floor that it makes.
    pub mark: FloorMark,
    /// All ops at or below the mark, which are durable; by origin.
    pub vector: Vec<Seen>,
    /// Their fold, without what it forgets.
    pub base: State,
}

impl Pinning {
    /// `None` if the window begins above the counter.
    pub(super) fn new(after: FloorMark, lamport: u64, window: &Window) -> Option<Self> {
        let (state, rest) = window.up_to(lamport)?;
        Some(Self { after, lamport, state: state.clone(), rest: rest.cloned().collect() })
    }

    /// Begins at a base, on top of which the ops of the log are taken.
    pub fn on_base(after: FloorMark, lamport: u64, base: State) -> Self {
        Self { after, lamport, state: base, rest: VecDeque::new() }
    }

    /// Takes the next op of the log, in the total order. Passes over those below the base or above the counter.
    pub fn take(&mut self, op: &Op) {
        if op.lamport <= self.lamport {
            // The fold passes over ops below its base.
            self.state.apply(op);
        }
    }

    /// Folds at most so many ops. Returns false if none are left.
    pub fn slice(&mut self, ops: usize) -> bool {
        let ops = ops.min(self.rest.len());
        self.rest.drain(..ops).for_each(|op| self.state.apply(&op));
        !self.rest.is_empty()
    }

    /// Folds what is left, forgets what a base forgets, and names the outcome. This takes as long as all that lives is
    /// large.
    pub fn finish(mut self) -> Pinned {
        self.slice(usize::MAX);
        let vector = seen(self.state.version());
        let mut base = self.state;
        base.prune(self.lamport);
        let mark = FloorMark { lamport: self.lamport, base: base.digest() };
        Pinned { after: self.after, mark, vector, base }
    }
}

impl Pinned {
    /// The proposal to put the floor on this base.
    pub fn proposal(&self, participants: Vec<u16>) -> FloorProposal {
        FloorProposal { after: self.after, mark: self.mark, vector: self.vector.clone(), participants }
    }
}

/// The version vector of the ops in a window that lie at or below a Lamport counter. `None` if the window begins above
/// the counter.
pub(super) fn version_at(window: &Window, lamport: u64) -> Option<Vec<Seen>> {
    let (state, ops) = window.up_to(lamport)?;
    let mut version: BTreeMap<Origin, u64> = state.version().collect();
    version.extend(ops.map(|op| (op.id.origin, op.id.seq)));
    Some(seen(version))
}

fn seen(version: impl IntoIterator<Item = (Origin, u64)>) -> Vec<Seen> {
    version.into_iter().map(|(origin, seq)| Seen { origin, seq }).collect()
}

/// Whether an op is part of a version vector that ascends by origin.
pub(super) fn contains(vector: &[Seen], op: &Op) -> bool {
    let at = vector.binary_search_by_key(&op.id.origin, |seen| seen.origin);
    at.is_ok_and(|at| op.id.seq <= vector[at].seq)
}
