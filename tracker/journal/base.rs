//! Bases: each is the fold of all ops up to the floor, pruned, in a file. A start begins with the newest base, so a
//! tracker may remove the ops below its floor.

pub mod adoption;
pub(super) mod spans;
pub(super) mod store;
mod transfer;

use super::disk::Disk;
use super::error::{JournalError, io_error};
use super::record::JournalPosition;
use super::segment::{RECORDS_AT, SegmentPlace};
use super::state_file::{HEAD_LEN, StateFileError, StateFileKind, UnsoundStateFile};
use crate::model::op::floor::FloorMark;
use crate::tracker::state::State;
use std::io;

/// Bases are named by their floor. The place of a base lies before the first batch with an op above its floor.
const KIND: StateFileKind = StateFileKind { magic: *b"GSHBASE\n", version: 3, suffix: ".base", temp: "base.new" };
/// The name of a whole base that another tracker has given, until a start adopts it.
pub(super) const INCOMING: &str = "base.incoming";
/// How many bases a journal keeps.
pub(super) const KEPT: usize = 2;

/// What a journal knows of a base in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseMark {
    /// Its floor; 0 at birth.
    pub lamport: u64,
    /// Lies before the first batch with an op above the base: a start continues to read there.
    pub place: SegmentPlace,
    /// How many ops it folds.
    pub ops: u64,
}

impl BaseMark {
    /// Before the first base.
    pub(super) const BIRTH: Self = {
        let position = JournalPosition { seq: 0, batch: 0 };
        let place = SegmentPlace { position, first_seq: 1, at: RECORDS_AT as u64, is_beginning: false };
        Self { lamport: 0, place, ops: 0 }
    };

    pub(super) fn of(state: &State, place: SegmentPlace) -> Self {
        Self { lamport: state.floor(), place, ops: state.op_count() }
    }

    /// The last record before the segments that a start reads.
    pub(super) fn needed(&self) -> u64 {
        self.place.first_seq.saturating_sub(1)
    }
}

/// Names the floor of a base. The base at birth has no digest.
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

/// The floor in the name of a base; `None` if the name is no base's.
pub fn lamport(name: &str) -> Option<u64> {
    KIND.number(name)
}

/// The floors of all bases, the newest first.
pub fn all(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    KIND.all(disk)
}

/// Writes a base durably. `place` lies before the first batch with an op above it.
pub fn write(disk: &dyn Disk, place: SegmentPlace, base: &State) -> Result<(), StateFileError> {
    KIND.write(disk, &name(base.floor()), place, base)
}

/// Reads a base.
pub fn read(disk: &dyn Disk, lamport: u64) -> Result<(SegmentPlace, State), UnsoundStateFile> {
    let (place, state) = KIND.read(disk, &name(lamport))?;
    if state.floor() == lamport && place.first_seq > 0 {
        Ok((place, state))
    } else {
        Err(UnsoundStateFile::WrongPosition)
    }
}

/// Gives a base another place.
pub(super) fn move_to(disk: &dyn Disk, lamport: u64, place: SegmentPlace) -> Result<(), JournalError> {
    let name = name(lamport);
    let read = read(disk, lamport);
    let (_, state) = read.map_err(|why| JournalError::Foreign { path: disk.path(&name), why })?;
    write(disk, place, &state).map_err(|error| io_error(disk, &name, "write")(error.into_inner()))
}

/// The marks of a base, and of the older bases on the disk, the newest first. A start can go back from the base to the
/// older ones.
pub(super) fn from(disk: &dyn Disk, newest: BaseMark) -> io::Result<Vec<BaseMark>> {
    let older = all(disk)?.into_iter().filter(|&lamport| lamport < newest.lamport);
    let older = older.filter_map(|lamport| {
        let place = place(disk, lamport)?;
        Some(BaseMark { lamport, place, ops: 0 })
    });
    Ok([newest].into_iter().filter(|newest| *newest != BaseMark::BIRTH).chain(older).take(KEPT).collect())
}

/// The place in the head of a base. Reads only the head, and compares no checksum.
pub(super) fn place(disk: &dyn Disk, lamport: u64) -> Option<SegmentPlace> {
    let head = disk.read_part(&name(lamport), 0..HEAD_LEN as u64).ok()?;
    KIND.place(&head).ok()
}
