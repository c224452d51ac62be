//! What a tracker at the other end of a link has, and so which ops it lacks. Pure.

use crate::model::id::Origin;
use crate::model::op::Op;
use crate::tracker::state::State;
use crate::wire::tracker_tracker::Seen;
use std::collections::HashMap;

/// A version vector of somebody else.
#[derive(Debug, Clone, Default)]
pub struct Knowledge(HashMap<Origin, u64>);

impl Knowledge {
    /// What somebody says to have.
    pub fn new(seen: &[Seen]) -> Self {
        Self(seen.iter().map(|seen| (seen.origin, seen.seq)).collect())
    }

    fn seq(&self, origin: Origin) -> u64 {
        self.0.get(&origin).copied().unwrap_or(0)
    }

    /// Whether this op is lacking and can be given now, as none before it is lacking. If so, it is taken as given.
    pub fn give(&mut self, op: &Op) -> bool {
        let next = op.id.seq == self.seq(op.id.origin) + 1;
        if next {
            self.0.insert(op.id.origin, op.id.seq);
        }
        next
    }

    /// These ops came from there.
    pub fn note(&mut self, ops: &[Op]) {
        for op in ops {
            let seq = self.0.entry(op.id.origin).or_default();
            *seq = (*seq).max(op.id.seq);
        }
    }

    /// How many ops of a state are lacking there.
    pub fn lacks(&self, state: &State) -> u64 {
        state.version().map(|(origin, seq)| seq.saturating_sub(self.seq(origin))).sum()
    }

    /// How many ops there are lacking in a state.
    pub fn exceeds(&self, state: &State) -> u64 {
        self.0.iter().map(|(&origin, seq)| seq.saturating_sub(state.seen(origin))).sum()
    }
}
