//! The floor: the place in the order of ops below which trackers keep what the ops have made, and no ops.

use crate::model::id::{OpId, Origin, Seen};

/// Names a floor and the state under it. Of two the higher one is later in the chain of floors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FloorMark {
    /// All ops with a counter up to this one lie below. 0 at birth, where no op does.
    pub lamport: u64,
    /// SHA-256 of the base, the canonical state under the floor; zeros at birth.
    pub base: [u8; 32],
}

/// A floor as a tracker proposes it and all promise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloorProposal {
    /// The floor before it.
    pub after: FloorMark,
    pub mark: FloorMark,
    /// Exactly the ops at or below it. Ascends by origin.
    pub vector: Vec<Seen>,
    /// The numbers of the trackers that have to agree. Ascends.
    pub participants: Vec<u16>,
}

impl FloorProposal {
    /// Most origins in one.
    pub const VECTOR_MAX: usize = 2048;
    /// Most trackers that agree on one.
    pub const PARTICIPANTS_MAX: usize = 256;

    /// Whether an op can carry it.
    pub fn fits(&self) -> bool {
        self.vector.len() <= Self::VECTOR_MAX && self.participants.len() <= Self::PARTICIPANTS_MAX
    }

    /// The sequence of the last op of an origin at or below it; 0 if there is none.
    pub fn seen(&self, origin: Origin) -> u64 {
        let at = self.vector.binary_search_by_key(&origin, |seen| seen.origin);
        at.map_or(0, |at| self.vector[at].seq)
    }

    /// Whether an op would lie at or below it and is not part of it.
    pub fn excludes(&self, id: OpId, lamport: u64) -> bool {
        lamport <= self.mark.lamport && id.seq > self.seen(id.origin)
    }

    /// Whether this tracker has to agree.
    pub fn concerns(&self, tracker: u16) -> bool {
        self.participants.binary_search(&tracker).is_ok()
    }
}
