//! The fold up to a Lamport counter, on which a floor can rest. Made beside the ledger, slice by slice. Pure.

use super::window::Window;
use crate::model::id::{Origin, Seen};
use crate::model::op::Op;
use crate::model::op::floor::{FloorMark, FloorProposal};
use crate::tracker::state::State;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// An unfinished fold up to a Lamport counter.
#[derive(Debug)]
pub struct Pinning {
    after: FloorMark,
    lamport: u64,
    state: State,
    rest: VecDeque<Arc<Op>>,
}

/// A base on which a floor can rest, and exactly the ops in it.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The floor under it.
    pub after: FloorMark,
    /// The floor that it makes.
    pub mark: FloorMark,
    /// The version vector of all ops at or below the mark. They are durable.
    pub vector: Vec<Seen>,
    /// Their fold, pruned.
    pub base: State,
}

impl Pinning {
    /// `None` if the window begins above the counter.
    pub(super) fn new(after: FloorMark, lamport: u64, window: &Window) -> Option<Self> {
        let (state, rest) = window.up_to(lamport)?;
        Some(Self { after, lamport, state: state.clone(), rest: rest.cloned().collect() })
    }

    /// Begins with a base. The ops of the log follow.
    pub fn on_base(after: FloorMark, lamport: u64, base: State) -> Self {
        Self { after, lamport, state: base, rest: VecDeque::new() }
    }

    /// Takes the next op of the log, in the total order. Skips ops below the base or above the counter.
    pub fn take(&mut self, op: &Op) {
        if op.lamport <= self.lamport {
            // The fold skips ops below its base.
            self.state.apply(op);
        }
    }

    /// Folds at most `ops` ops. Returns false if none are left.
    pub fn slice(&mut self, ops: usize) -> bool {
        let ops = ops.min(self.rest.len());
        self.rest.drain(..ops).for_each(|op| self.state.apply(&op));
        !self.rest.is_empty()
    }

    /// Folds the remaining ops, prunes the state and computes its mark. The time grows with the size of the state.
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
    /// The proposal of a floor on this base.
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
