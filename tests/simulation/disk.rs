//! The disk of a tracker: its base, and the records above the base.

use super::told::Made;
use groupshare::model::id::{CommandId, OpId, Seen};
use groupshare::model::notice::UnplacedChange;
use groupshare::model::op::floor::FloorMark;
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::floor::placing::{OpPlace, Placing};
use groupshare::tracker::floor::rules::{HeldOps, yields_to};
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::state::State;
use ring::digest::{SHA256, digest};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::rc::Rc;

/// The state at a floor, with its history, which no real tracker has.
pub(crate) struct Base {
    pub mark: FloorMark,
    pub state: State,
    /// The floor before this one.
    pub below: Option<Rc<Base>>,
    /// The ops between the two floors, in their order.
    pub ops: Vec<Op>,
    /// Everything that any op has made.
    pub made: Made,
}

impl Base {
    /// All floors up to this one, the lowest first.
    pub(crate) fn chain(&self) -> Vec<&Base> {
        let mut chain = vec![self];
        while let Some(below) = chain.last().and_then(|base| base.below.as_deref()) {
            chain.push(below);
        }
        chain.reverse();
        chain
    }

    /// Whether a floor is this one or one below it.
    pub(crate) fn stands_on(&self, floor: FloorMark) -> bool {
        floor == FloorMark::default() || self.chain().iter().any(|base| base.mark == floor)
    }
}

/// A disk that is sorted for a new base.
pub(crate) struct Sorted {
    /// The base from which the tracker goes on.
    pub base: Option<Rc<Base>>,
    /// The ops with a place above it.
    pub placed: Vec<Op>,
    /// The ops without a place.
    pub unplaced: Vec<Op>,
}

/// The contents of a disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    /// The newest base; `None` at birth.
    pub base: Option<Rc<Base>>,
    /// The base before it. Records above that one are still there.
    pub older: Option<Rc<Base>>,
    /// In the order in which they were written. Some may lie below the floor.
    pub records: Vec<Op>,
    /// The first record that a start reads on top of the base.
    pub needed: usize,
    /// Another tracker's base, which the next start takes over.
    pub incoming: Option<Rc<Base>>,
    /// The ops without a place, as the tracker has written them to files.
    pub unplaced: Vec<Op>,
    /// How many of their authors have been told.
    pub told: usize,
}

impl Disk {
    /// The floor of this disk.
    pub(crate) fn floor(&self) -> FloorMark {
        self.base.as_ref().map_or_else(FloorMark::default, |base| base.mark)
    }

    /// The state under the records.
    pub(crate) fn base_state(&self) -> State {
        self.base.as_ref().map_or_else(State::new, |base| base.state.clone())
    }

    /// The records above the floor, in their order, each once.
    pub(crate) fn above(&self) -> Vec<Op> {
        let mut ops: Vec<Op> = self.read().cloned().collect();
        ops.sort_by_key(Op::order);
        ops.dedup_by_key(|op| op.id);
        ops
    }

    /// The records above the floor.
    fn read(&self) -> impl Iterator<Item = &Op> {
        let floor = self.floor().lamport;
        self.records[self.needed..].iter().filter(move |op| op.lamport > floor)
    }

    /// The result of a start.
    pub(crate) fn fold(&self) -> State {
        let mut state = self.base_state();
        self.above().iter().for_each(|op| state.apply(op));
        state
    }

    /// Everything that was ever made, as far as this disk knows.
    pub(crate) fn made(&self) -> Made {
        let mut made = self.base.as_ref().map_or_else(Made::default, |base| base.made.clone());
        self.read().for_each(|op| made.note(op));
        made
    }

    /// All ops that have an effect on this disk.
    pub(crate) fn holds(&self) -> BTreeSet<OpId> {
        let below = self.base.iter().flat_map(|base| base.chain()).flat_map(|base| &base.ops).map(|op| op.id);
        below.chain(self.above().iter().map(|op| op.id)).collect()
    }

    /// Drops records below the older base.
    pub(crate) fn clear(&mut self) {
        let floor = self.older.as_ref().map_or(0, |base| base.mark.lamport);
        self.records.retain(|op| op.lamport > floor);
    }

    /// Drops everything that is not needed.
    pub(crate) fn tidy(&mut self) {
        self.records.drain(..self.needed);
        self.needed = 0;
        let floor = self.floor();
        self.incoming = self.incoming.take().filter(|base| base.mark > floor);
    }

    /// What a start changes before it reads, if anything. The tracker is `me`.
    pub(crate) fn sort_out(&self, me: u16) -> Option<Sorted> {
        let taken = self.incoming.clone().filter(|base| base.mark > self.floor());
        let mut placing = match &taken {
            Some(base) => Placing::on_base(&base.state, self.floor().lamport),
            None => Placing::on_promise(&self.base_state(), &*yields_to(&self.fold(), me, self)?),
        };
        let (mut placed, mut unplaced) = (Vec::new(), Vec::new());
        for op in self.above() {
            match placing.place(&op) {
                OpPlace::Known => {}
                OpPlace::Kept => placed.push(op),
                OpPlace::Nowhere => unplaced.push(op),
            }
        }
        Some(Sorted { base: taken.or_else(|| self.base.clone()), placed, unplaced })
    }

    /// Lists the ops without a place, once each.
    pub(crate) fn list(&mut self, unplaced: &[Op]) {
        for op in unplaced {
            if self.unplaced.iter().all(|known| known.id != op.id) {
                self.unplaced.push(op.clone());
            }
        }
    }
}

impl HeldOps for Disk {
    fn version_at(&self, lamport: u64) -> Option<Vec<Seen>> {
        let mut state = self.base_state();
        self.above().iter().filter(|op| op.lamport <= lamport).for_each(|op| state.apply(op));
        Some(state.version().map(|(origin, seq)| Seen { origin, seq }).collect())
    }
}

/// The canonical form.
pub(crate) fn bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(()) = state.encode(|part| {
        bytes.extend_from_slice(part);
        Ok::<(), Infallible>(())
    });
    bytes
}

/// The note that tells the author of a change that it has no place: its command, and the op that makes it. `None` for a
/// change that nobody misses.
pub(crate) fn note_of(op: &Op) -> Option<(CommandId, Change)> {
    let user = op.body.author()?;
    if let OpBody::NoteUnplaced { change, .. } = &op.body {
        return Some((op.command, Change::NoteUnplaced { user, change: change.clone() }));
    }
    let change = UnplacedChange { kind: op.body.change_kind()?, group: None, file: None };
    let mut named = b"unplaced".to_vec();
    named.extend(op.id.origin.tracker.to_be_bytes());
    named.extend(op.id.origin.incarnation.to_be_bytes());
    named.extend(op.id.seq.to_be_bytes());
    let command = CommandId(digest(&SHA256, &named).as_ref()[..16].try_into().expect("16 bytes"));
    Some((command, Change::NoteUnplaced { user, change }))
}
