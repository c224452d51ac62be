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
        let next = op.id.seq.checked_sub(1) == Some(self.seq(op.id.origin));
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
        state.version().map(|(origin, seq)| seq.saturating_sub(self.seq(origin))).fold(0, u64::saturating_add)
    }

    /// How many ops there are lacking in a state.
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
    fn what_no_tracker_can_have_is_counted_all_the_same() {
        let origin = |tracker| Origin { tracker, incarnation: 1 };
        let seen = [1, 2].map(|tracker| Seen { origin: origin(tracker), seq: u64::MAX });
        let mut knowledge = Knowledge::new(&seen);
        assert_eq!(knowledge.exceeds(&State::new()), u64::MAX);
        let body = OpBody::CreateUser { name: UserId::parse("a").expect("a name"), password: PasswordHash("p".into()) };
        let id = OpId { origin: origin(1), seq: 0 };
        let mut op = Op { id, lamport: 1, command: CommandId([1; 16]), body };
        assert!(!knowledge.give(&op));
        op.id = OpId { origin: origin(3), seq: 1 };
        assert!(knowledge.give(&op) && !knowledge.give(&op));
    }
}
