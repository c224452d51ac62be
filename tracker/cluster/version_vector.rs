//! Version vectors: which ops the tracker at the other end of a link has, and so which it lacks. Pure.

use crate::model::id::{Origin, Seen};
use crate::model::op::Op;
use crate::tracker::state::State;
use std::collections::HashMap;

/// The last op of each origin that another tracker has.
#[derive(Debug, Clone, Default)]
pub struct VersionVector(HashMap<Origin, u64>);

impl VersionVector {
    pub fn new(seen: &[Seen]) -> Self {
        Self(seen.iter().map(|seen| (seen.origin, seen.seq)).collect())
    }

    fn seq(&self, origin: Origin) -> u64 {
        self.0.get(&origin).copied().unwrap_or(0)
    }

    /// Whether the other tracker has listed this origin, or was given an op of it.
    pub fn lists(&self, origin: Origin) -> bool {
        self.0.contains_key(&origin)
    }

    /// Returns true if this is the next op of its origin that the other tracker lacks. The op then counts as given.
    /// For an unlisted origin the first op above the floor is the next one: the base has the earlier ones.
    pub fn give(&mut self, op: &Op) -> bool {
        let seq = self.0.get(&op.id.origin).copied();
        let next = seq.is_none_or(|seq| op.id.seq.checked_sub(1) == Some(seq)) && op.id.seq > 0;
        if next {
            self.0.insert(op.id.origin, op.id.seq);
        }
        next
    }

    /// Adds ops that came from the other tracker.
    pub fn note(&mut self, ops: &[Op]) {
        for op in ops {
            let seq = self.0.entry(op.id.origin).or_default();
            *seq = (*seq).max(op.id.seq);
        }
    }

    /// How many ops of a state the other tracker lacks.
    pub fn lacks(&self, state: &State) -> u64 {
        state.version().map(|(origin, seq)| seq.saturating_sub(self.seq(origin))).fold(0, u64::saturating_add)
    }

    /// How many ops of the other tracker a state lacks.
    pub fn exceeds(&self, state: &State) -> u64 {
        self.0.iter().map(|(&origin, seq)| seq.saturating_sub(state.seen(origin))).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, OpId};
    use crate::model::name::UserId;
    use crate::model::op::{OpBody, PasswordHash};

    #[test]
    fn impossible_sequences_are_counted_all_the_same() {
        let origin = |tracker| Origin { tracker, incarnation: 1 };
        let seen = [1, 2].map(|tracker| Seen { origin: origin(tracker), seq: u64::MAX });
        let mut vector = VersionVector::new(&seen);
        assert_eq!(vector.exceeds(&State::new()), u64::MAX);
        let body = OpBody::CreateUser { name: UserId::parse("a").expect("a name"), password: PasswordHash("p".into()) };
        let id = OpId { origin: origin(1), seq: 0 };
        let mut op = Op { id, lamport: 1, command: CommandId([1; 16]), body };
        assert!(!vector.give(&op));
        op.id = OpId { origin: origin(3), seq: 1 };
        assert!(vector.give(&op) && !vector.give(&op));
        // For an origin that the base has forgotten, the first op above the floor is the next one.
        op.id = OpId { origin: origin(4), seq: 7 };
        assert!(!vector.lists(origin(4)) && vector.give(&op) && vector.lists(origin(4)));
        op.id.seq = 9;
        assert!(!vector.give(&op));
        op.id.seq = 8;
        assert!(vector.give(&op));
    }
}
