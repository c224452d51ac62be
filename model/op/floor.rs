//! The floor: a place in the order of ops. Below it trackers keep the state that the ops led to, and no ops.

use crate::model::id::{OpId, Origin, Seen};

/// Names a floor and the state under it. The higher of two floors is later in the chain of floors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FloorMark {
    /// All ops with a counter up to this one lie below. It is 0 at birth, and no op lies below 0.
    pub lamport: u64,
    /// SHA-256 of the base, the canonical state under the floor; zeros at birth.
    pub base: [u8; 32],
}

/// A floor as one tracker proposes it and all trackers promise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloorProposal {
    /// The floor before this one.
    pub after: FloorMark,
    pub mark: FloorMark,
    /// Exactly the ops at or below the floor, ascending by origin.
    pub vector: Vec<Seen>,
    /// The numbers of the trackers that must agree, ascending.
    pub participants: Vec<u16>,
}

impl FloorProposal {
    /// Most origins in a proposal.
    pub const VECTOR_MAX: usize = 2048;
    /// Most trackers in a proposal.
    pub const PARTICIPANTS_MAX: usize = 256;

    /// Whether one op has room for the proposal.
    pub fn fits(&self) -> bool {
        self.vector.len() <= Self::VECTOR_MAX && self.participants.len() <= Self::PARTICIPANTS_MAX
    }

    /// The sequence of the last op of an origin at or below the floor; 0 if there is none.
    pub fn seen(&self, origin: Origin) -> u64 {
        let at = self.vector.binary_search_by_key(&origin, |seen| seen.origin);
        at.map_or(0, |at| self.vector[at].seq)
    }

    /// Whether an op lies at or below the floor without being part of it.
    pub fn excludes(&self, id: OpId, lamport: u64) -> bool {
        lamport <= self.mark.lamport && id.seq > self.seen(id.origin)
    }

    /// Whether this tracker has to agree.
    pub fn concerns(&self, tracker: u16) -> bool {
        self.participants.binary_search(&tracker).is_ok()
    }
}
