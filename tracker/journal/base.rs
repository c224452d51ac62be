//! Bases: the fold of all ops up to the floor, pruned, in a file. A start begins with the newest one, and the ops below
//! its floor may go.

pub mod adoption;
pub(super) mod spans;
pub(super) mod store;
mod transfer;

use super::disk::Disk;
use super::record::JournalPosition;
use super::state_file::{HEAD_LEN, StateFileError, StateFileKind, UnsoundStateFile};
use crate::model::op::floor::FloorMark;
use crate::tracker::state::State;
use std::io;

/// They are named by their floor. Their place lies before the first record that a start reads on top.
const KIND: StateFileKind = StateFileKind { magic: *b"GSHBASE\n", version: 1, suffix: ".base", temp: "base.new" };
/// The name of one that another tracker has given, whole, until a start adopts it.
pub(super) const INCOMING: &str = "base.incoming";
/// How many are kept.
pub(super) const KEPT: usize = 2;

/// What a journal knows of a base in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseMark {
    /// Its floor; 0 at birth.
    pub lamport: u64,
    /// The last record that a start does not read on top.
    pub needed: u64,
    /// How many ops it folds.
    pub ops: u64,
    /// A start has adopted it: nothing before its place leads to it.
    pub adopted: bool,
}

impl BaseMark {
    /// Before the first base.
    pub(super) const BIRTH: Self = Self { lamport: 0, needed: 0, ops: 0, adopted: false };

    pub(super) fn of(state: &State, position: JournalPosition) -> Self {
        let adopted = position.seq > 0 && position.batch == 0;
        Self { lamport: state.floor(), needed: position.seq, ops: state.op_count(), adopted }
    }
}

/// Names the floor of a base. At birth it has no digest.
pub(super) fn mark(base: &State) -> FloorMark {
    match base.floor() {
        0 => FloorMark::default(),
        lamport => FloorMark { lamport, base: base.digest() },
    }
}

/// The name of the base with a floor.
pub fn name(lamport: u64) -> String {
    KIND.name(lamport)
}

/// The floor that the name of a base tells; `None` if this is not the name of one.
pub fn lamport(name: &str) -> Option<u64> {
    KIND.number(name)
}

/// The floors of all bases, the newest first.
pub fn all(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    KIND.all(disk)
}

/// Writes a base durably. `position` lies before the first record that a start reads on top.
pub fn write(disk: &dyn Disk, position: JournalPosition, base: &State) -> Result<(), StateFileError> {
    KIND.write(disk, &name(base.floor()), position, base)
}

/// Reads a base.
pub fn read(disk: &dyn Disk, lamport: u64) -> Result<(JournalPosition, State), UnsoundStateFile> {
    let (position, state) = KIND.read(disk, &name(lamport))?;
    if state.floor() == lamport { Ok((position, state)) } else { Err(UnsoundStateFile::WrongPosition) }
}

/// A base, and those on the disk to which a start can go back from it, the newest first.
pub(super) fn from(disk: &dyn Disk, newest: BaseMark) -> io::Result<Vec<BaseMark>> {
    let older = all(disk)?.into_iter().filter(|&lamport| lamport < newest.lamport);
    let older = older.filter_map(|lamport| {
        let needed = position(disk, lamport)?.seq;
        Some(BaseMark { lamport, needed, ops: 0, adopted: false })
    });
    Ok([newest].into_iter().filter(|newest| *newest != BaseMark::BIRTH).chain(older).take(KEPT).collect())
}

/// The place in the head of a base that was not read as a whole: no checksum is compared.
pub(super) fn position(disk: &dyn Disk, lamport: u64) -> Option<JournalPosition> {
    let head = disk.read_part(&name(lamport), 0..HEAD_LEN as u64).ok()?;
    KIND.position(&head).ok()
}
