//! Floors in the fold: the proposals, which trackers are ready for them, and which have promised them.

use crate::model::id::OpId;
use crate::model::op::Op;
use crate::model::op::floor::FloorProposal;
use crate::wire::codec::{DecodeError, Decoder, Wire};
use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

/// The largest number of promised floors that the table keeps. More appear only if trackers break one promise after
/// another.
const PROMISED_MAX: usize = if cfg!(test) { 3 } else { 64 };

/// What trackers have said about floors above the one under the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FloorTable {
    /// The last proposal of each tracker.
    proposals: OrdMap<u16, ProposalRow>,
    /// The floors that a tracker has promised, by proposal.
    promised: OrdMap<OpId, PromisedRow>,
    /// The highest Lamport counter of an op that promises the floor under the state.
    promised_at: u64,
}

/// A proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ProposalRow {
    id: OpId,
    floor: Arc<FloorProposal>,
    /// Which participants have said that they are ready.
    ready: OrdSet<u16>,
}

/// A promised floor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PromisedRow {
    floor: Arc<FloorProposal>,
    /// Which participants have promised it.
    by: OrdSet<u16>,
}

/// Votes. `floor` is the Lamport counter of the floor under the state.
impl FloorTable {
    /// A proposal replaces the earlier one of its tracker.
    pub(super) fn propose(&mut self, floor: u64, op: &Op, proposed: &Arc<FloorProposal>) {
        let tracker = op.id.origin.tracker;
        if may_come(floor, op, proposed) && proposed.concerns(tracker) {
            let row = ProposalRow { id: op.id, floor: Arc::clone(proposed), ready: OrdSet::new() };
            self.proposals.insert(tracker, row);
        }
    }

    pub(super) fn ready(&mut self, op: &Op, proposal: OpId) {
        let tracker = op.id.origin.tracker;
        let row = self.proposals.get_mut(&proposal.origin.tracker);
        if let Some(row) = row.filter(|row| row.id == proposal && row.floor.concerns(tracker)) {
            row.ready.insert(tracker);
        }
    }

    /// A promise carries its floor, so it binds even if the proposal is unknown.
    pub(super) fn promise(&mut self, floor: u64, op: &Op, proposal: OpId, promised: &Arc<FloorProposal>) {
        let tracker = op.id.origin.tracker;
        if promised.mark.lamport == floor && floor > 0 {
            self.promised_at = self.promised_at.max(op.lamport);
        }
        if !may_come(floor, op, promised) || !promised.concerns(tracker) {
            return;
        }
        let new = || PromisedRow { floor: Arc::clone(promised), by: OrdSet::new() };
        let row = self.promised.entry(proposal).or_insert_with(new);
        if row.floor == *promised {
            row.by.insert(tracker);
        }
        self.bound();
    }

    /// Drops all floors at or below the next floor under the state.
    pub(super) fn drop_below(&mut self, lamport: u64) {
        let Self { proposals, promised, .. } = std::mem::take(self);
        let above = |floor: &FloorProposal| floor.mark.lamport > lamport;
        self.proposals = proposals.into_iter().filter(|(_, row)| above(&row.floor)).collect();
        self.promised = promised.into_iter().filter(|(_, row)| above(&row.floor)).collect();
    }

    pub(super) fn proposals(&self) -> impl Iterator<Item = (OpId, &Arc<FloorProposal>, &OrdSet<u16>)> {
        self.proposals.values().map(|row| (row.id, &row.floor, &row.ready))
    }

    pub(super) fn promises(&self) -> impl Iterator<Item = (OpId, &Arc<FloorProposal>, &OrdSet<u16>)> {
        self.promised.iter().map(|(&id, row)| (id, &row.floor, &row.by))
    }

    pub(super) fn promised_at(&self) -> u64 {
        self.promised_at
    }

    /// Drops the lowest promised floor if there are too many.
    fn bound(&mut self) {
        if self.promised.len() > PROMISED_MAX {
            let lowest = self.promised.iter().min_by_key(|(id, row)| (row.floor.mark, **id)).map(|(id, _)| *id);
            lowest.and_then(|id| self.promised.remove(&id));
        }
    }
}

/// Whether a floor lies between the one under the state and the op that speaks of it.
fn may_come(floor: u64, op: &Op, proposed: &FloorProposal) -> bool {
    floor < proposed.mark.lamport && proposed.mark.lamport < op.lamport
}

impl Wire for FloorTable {
    fn put(&self, out: &mut Vec<u8>) {
        self.promised_at.put(out);
        (self.proposals.len() as u64).put(out);
        for row in self.proposals.values() {
            row.id.put(out);
            row.floor.put(out);
            put_numbers(&row.ready, out);
        }
        (self.promised.len() as u64).put(out);
        for (id, row) in &self.promised {
            id.put(out);
            row.floor.put(out);
            put_numbers(&row.by, out);
        }
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut table = Self { promised_at: u64::take(from)?, ..Self::default() };
        for _ in 0..u64::take(from)? {
            let row = ProposalRow { id: Wire::take(from)?, floor: Wire::take(from)?, ready: take_numbers(from)? };
            once(table.proposals.insert(row.id.origin.tracker, row).is_none())?;
        }
        for _ in 0..u64::take(from)? {
            let id = OpId::take(from)?;
            let row = PromisedRow { floor: Wire::take(from)?, by: take_numbers(from)? };
            once(table.promised.insert(id, row).is_none())?;
        }
        Ok(table)
    }
}

fn put_numbers(numbers: &OrdSet<u16>, out: &mut Vec<u8>) {
    (numbers.len() as u64).put(out);
    numbers.iter().for_each(|number| number.put(out));
}

fn take_numbers(from: &mut Decoder<'_>) -> Result<OrdSet<u16>, DecodeError> {
    let mut numbers = OrdSet::new();
    for _ in 0..u64::take(from)? {
        once(numbers.insert(u16::take(from)?).is_none())?;
    }
    Ok(numbers)
}

fn once(holds: bool) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError::Value("a floor of a state")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, Origin, Seen};
    use crate::model::op::OpBody;
    use crate::model::op::floor::FloorMark;
    use crate::tracker::state::State;
    use crate::wire::codec::{from_bytes, to_bytes};

    fn origin(tracker: u16) -> Origin {
        Origin { tracker, incarnation: 1 }
    }

    /// Trackers that issue ops one after the other.
    #[derive(Default)]
    struct Trackers(State);

    impl Trackers {
        fn issue(&mut self, tracker: u16, body: OpBody) -> OpId {
            self.issue_at(tracker, self.0.lamport() + 1, body)
        }

        fn issue_at(&mut self, tracker: u16, lamport: u64, body: OpBody) -> OpId {
            let id = OpId { origin: origin(tracker), seq: self.0.seen(origin(tracker)) + 1 };
            self.0.apply(&Op { id, lamport, command: CommandId::NONE, body });
            assert_eq!(from_bytes::<FloorTable>(&to_bytes(&self.0.floors)).as_ref(), Ok(&self.0.floors));
            id
        }

        fn propose(&mut self, tracker: u16, floor: &Arc<FloorProposal>) -> OpId {
            self.issue(tracker, OpBody::ProposeFloor { floor: Arc::clone(floor) })
        }

        fn ready(&mut self, tracker: u16, proposal: OpId) {
            self.issue(tracker, OpBody::ReadyForFloor { proposal });
        }

        fn promise(&mut self, tracker: u16, proposal: OpId, floor: &Arc<FloorProposal>) {
            self.issue(tracker, OpBody::PromiseFloor { proposal, floor: Arc::clone(floor) });
        }

        /// Something else, up to a counter.
        fn others(&mut self, lamport: u64) {
            self.issue_at(1, lamport, OpBody::UnforgetTracker { tracker: 9 });
        }

        fn proposals(&self) -> Vec<(OpId, u64, Vec<u16>)> {
            let all = self.0.proposals();
            all.map(|(id, floor, ready)| (id, floor.mark.lamport, ready.iter().copied().collect())).collect()
        }

        fn promises(&self) -> Vec<(OpId, u64, Vec<u16>)> {
            let all = self.0.promises();
            all.map(|(id, floor, by)| (id, floor.mark.lamport, by.iter().copied().collect())).collect()
        }

        fn gate(&self) -> Option<u64> {
            self.0.gate().map(|floor| floor.mark.lamport)
        }
    }

    fn floor(lamport: u64, participants: &[u16]) -> Arc<FloorProposal> {
        Arc::new(FloorProposal {
            after: FloorMark::default(),
            mark: FloorMark { lamport, base: [lamport as u8; 32] },
            vector: vec![Seen { origin: origin(1), seq: 1 }],
            participants: participants.to_vec(),
        })
    }

    #[test]
    fn participants_are_ready_for_the_last_proposal_of_a_tracker() {
        let mut trackers = Trackers::default();
        trackers.others(9);
        let first = trackers.propose(1, &floor(4, &[1, 2]));
        trackers.ready(2, first);
        trackers.ready(3, first);
        assert_eq!(trackers.proposals(), [(first, 4, vec![2])], "3 is no participant");
        let second = trackers.propose(1, &floor(5, &[1, 2]));
        trackers.ready(2, first);
        assert_eq!(trackers.proposals(), [(second, 5, vec![])], "it takes the place of the first one");
        let other = trackers.propose(2, &floor(4, &[1, 2]));
        trackers.ready(1, other);
        trackers.ready(2, second);
        assert_eq!(trackers.proposals(), [(second, 5, vec![2]), (other, 4, vec![1])]);
        assert_eq!(trackers.gate(), None);
    }

    #[test]
    fn a_proposal_lies_below_its_op_and_above_the_floor_and_is_of_a_participant() {
        let mut trackers = Trackers::default();
        trackers.others(9);
        trackers.propose(1, &floor(10, &[1]));
        trackers.propose(1, &floor(4, &[2, 3]));
        assert_eq!(trackers.proposals(), []);
        trackers.0.prune(9);
        trackers.propose(1, &floor(9, &[1]));
        assert_eq!(trackers.proposals(), []);
    }

    #[test]
    fn a_promise_binds_without_its_proposal_and_only_participants_give_it() {
        let mut trackers = Trackers::default();
        trackers.others(9);
        let proposal = OpId { origin: origin(7), seq: 3 };
        trackers.promise(3, proposal, &floor(4, &[1, 2]));
        assert_eq!(trackers.promises(), []);
        trackers.promise(2, proposal, &floor(4, &[1, 2]));
        trackers.promise(1, proposal, &floor(4, &[1, 2]));
        trackers.promise(1, proposal, &floor(5, &[1, 2]));
        assert_eq!(trackers.promises(), [(proposal, 4, vec![1, 2])], "the floor of a proposal does not change");
        assert_eq!(trackers.gate(), Some(4));
    }

    #[test]
    fn the_highest_promise_is_the_gate_unless_its_trackers_are_forgotten() {
        let mut trackers = Trackers::default();
        trackers.others(9);
        let ids = [1, 2].map(|tracker| trackers.propose(tracker, &floor(4 + u64::from(tracker), &[1, 2])));
        trackers.promise(2, ids[1], &floor(6, &[1, 2]));
        trackers.promise(1, ids[0], &floor(5, &[1, 2]));
        assert_eq!(trackers.gate(), Some(6));
        trackers.issue(1, OpBody::ForgetTracker { tracker: 2 });
        assert_eq!(trackers.gate(), Some(5));
        trackers.issue(1, OpBody::UnforgetTracker { tracker: 2 });
        assert_eq!(trackers.gate(), Some(6));
    }

    #[test]
    fn a_floor_drops_those_below_it_and_its_promises_bound_the_next_one() {
        let mut trackers = Trackers::default();
        trackers.others(9);
        let (low, high) = (floor(4, &[1, 2]), floor(6, &[1, 2]));
        let first = trackers.propose(1, &low);
        let second = trackers.propose(2, &high);
        trackers.promise(1, first, &low);
        trackers.promise(2, second, &high);
        trackers.0.prune(4);
        assert_eq!(trackers.proposals(), [(second, 6, vec![])]);
        assert_eq!(trackers.promises(), [(second, 6, vec![2])]);
        assert_eq!(trackers.0.promised_at(), 0);
        trackers.promise(2, first, &low);
        let at = trackers.0.lamport();
        trackers.others(at + 5);
        assert_eq!(trackers.0.promised_at(), at);
        assert_eq!(trackers.promises(), [(second, 6, vec![2])]);
        trackers.0.prune(6);
        assert_eq!((trackers.promises(), trackers.0.promised_at(), trackers.gate()), (vec![], 0, None));
    }

    #[test]
    fn few_promised_floors_are_known_the_highest_ones() {
        let mut trackers = Trackers::default();
        trackers.others(9);
        for (seq, lamport) in (1..).zip([7, 4, 6, 5, 8]) {
            trackers.promise(1, OpId { origin: origin(1), seq }, &floor(lamport, &[1]));
        }
        let known: Vec<u64> = trackers.promises().into_iter().map(|(_, lamport, _)| lamport).collect();
        assert_eq!(known, [7, 6, 8]);
    }
}
