//! Which ops of a journal have a place: above a base from another tracker, or beside a floor that another tracker has
//! promised.

use crate::model::id::Origin;
use crate::model::op::Op;
use crate::model::op::floor::FloorProposal;
use crate::tracker::state::State;
use std::collections::HashMap;

/// The place of an op of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpPlace {
    /// The op is in the base, or has come before. It need not be kept.
    Known,
    /// Above the base: the journal keeps the op.
    Kept,
    /// The op has no place. Its author has to be told.
    Nowhere,
}

/// Finds the places of a journal's ops one by one. The ops of one origin have to come in the order of their sequences.
#[derive(Debug, Clone)]
pub struct Placing {
    base: State,
    /// No op at or below this counter can lose its place: such ops were dropped, or are in the journal's base.
    former: u64,
    promised: Option<FloorProposal>,
    origins: HashMap<Origin, Progress>,
}

/// How far the ops of an origin have come.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// The last op that has a place.
    placed: u64,
    /// The last op without a place.
    lost: Option<u64>,
}

impl Placing {
    /// Finds places above the base that replaces a journal's own. The journal's floor was at `former`.
    pub fn on_base(base: &State, former: u64) -> Self {
        Self { base: base.clone(), former, promised: None, origins: HashMap::new() }
    }

    /// Finds places above the journal's own base, beside a promised floor.
    pub fn on_promise(base: &State, promised: &FloorProposal) -> Self {
        Self { promised: Some(promised.clone()), ..Self::on_base(base, base.floor()) }
    }

    /// The place of the next op.
    pub fn place(&mut self, op: &Op) -> OpPlace {
        if op.lamport <= self.former {
            return OpPlace::Known;
        }
        let seen = self.base.seen(op.id.origin);
        let progress = self.origins.entry(op.id.origin).or_insert(Progress { placed: seen, lost: None });
        if op.id.seq <= progress.lost.unwrap_or(progress.placed) {
            return OpPlace::Known;
        }
        let below = op.lamport <= self.base.floor();
        let excluded = self.promised.as_ref().is_some_and(|promised| promised.excludes(op.id, op.lamport));
        // An op after a gap has no place, even above the floor.
        if progress.lost.is_some() || below || excluded || op.id.seq != progress.placed + 1 {
            progress.lost = Some(op.id.seq);
            return OpPlace::Nowhere;
        }
        progress.placed = op.id.seq;
        OpPlace::Kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, OpId, Seen};
    use crate::model::op::OpBody;
    use crate::model::op::floor::FloorMark;
    use OpPlace::{Kept, Known, Nowhere};

    fn op(tracker: u16, seq: u64, lamport: u64) -> Op {
        let id = OpId { origin: Origin { tracker, incarnation: 1 }, seq };
        Op { id, lamport, command: CommandId::NONE, body: OpBody::ForgetTracker { tracker: 9 } }
    }

    /// The base at a counter over these ops.
    fn base(ops: &[Op], floor: u64) -> State {
        let mut state = State::new();
        ops.iter().for_each(|op| state.apply(op));
        state.prune(floor);
        state
    }

    fn promised(lamport: u64, vector: &[(u16, u64)]) -> FloorProposal {
        let seen = |&(tracker, seq): &(u16, u64)| Seen { origin: Origin { tracker, incarnation: 1 }, seq };
        FloorProposal {
            after: FloorMark::default(),
            mark: FloorMark { lamport, base: [1; 32] },
            vector: vector.iter().map(seen).collect(),
            participants: vec![1, 2],
        }
    }

    fn places(mut placing: Placing, ops: &[Op]) -> Vec<OpPlace> {
        ops.iter().map(|op| placing.place(op)).collect()
    }

    #[test]
    fn ops_in_the_base_are_known_and_those_that_follow_above_it_are_kept() {
        let base = base(&[op(1, 1, 1), op(2, 1, 2), op(1, 2, 3)], 5);
        let ops = [op(1, 1, 1), op(2, 1, 2), op(1, 2, 3), op(1, 3, 6), op(2, 2, 7), op(3, 1, 6)];
        assert_eq!(places(Placing::on_base(&base, 0), &ops), [Known, Known, Known, Kept, Kept, Kept]);
        // Also if it is recorded twice.
        let again = [op(1, 3, 6), op(1, 3, 6), op(1, 4, 8), op(1, 3, 6)];
        assert_eq!(places(Placing::on_base(&base, 0), &again), [Kept, Known, Kept, Known]);
    }

    #[test]
    fn an_op_below_a_base_that_lacks_it_has_no_place_and_neither_have_the_later_ones_of_its_origin() {
        let base = base(&[op(1, 1, 1)], 5);
        let ops = [op(2, 1, 2), op(1, 2, 6), op(2, 2, 7), op(2, 1, 2), op(2, 2, 7), op(2, 3, 8)];
        assert_eq!(places(Placing::on_base(&base, 0), &ops), [Nowhere, Kept, Nowhere, Known, Known, Nowhere]);
    }

    #[test]
    fn ops_that_are_none_any_more_are_not_in_question() {
        let base = base(&[op(1, 1, 1)], 5);
        // The journal's own base, at 3, had tracker 2 up to its second op. The other base lacks these.
        let ops = [op(2, 2, 3), op(2, 3, 4), op(2, 4, 9)];
        assert_eq!(places(Placing::on_base(&base, 3), &ops), [Known, Nowhere, Nowhere]);
        assert_eq!(places(Placing::on_base(&base, 3), &[op(2, 3, 9)]), [Nowhere], "it lies behind a gap");
    }

    #[test]
    fn a_promise_takes_the_place_of_the_ops_it_excludes_and_of_those_that_follow_them() {
        let own = base(&[op(1, 1, 1)], 2);
        let gate = promised(6, &[(1, 2), (2, 1)]);
        let ops = [op(1, 2, 3), op(2, 1, 4), op(3, 1, 4), op(2, 2, 6), op(1, 3, 7), op(3, 2, 9), op(4, 1, 7)];
        let expected = [Kept, Kept, Nowhere, Nowhere, Kept, Nowhere, Kept];
        assert_eq!(places(Placing::on_promise(&own, &gate), &ops), expected);
        // Ops that the journal had dropped already do not count.
        assert_eq!(places(Placing::on_promise(&own, &gate), &[op(1, 1, 1)]), [Known]);
    }
}
