//! The files of an open journal, shared by its writer, the threads that read it back, and the thread that moves
//! floors.

use super::super::checkpoint;
use super::super::disk::{Disk, remove_if_there};
use super::super::error::{JournalError, io_error};
use super::super::segment::{self, SegmentPlace};
use super::super::sorted::{self, Sorter};
use super::super::state_file::StateFileError;
use super::super::walk::{WalkStart, walk};
use super::super::{base, recovery};
use super::BaseMark;
use super::spans::Spans;
use super::transfer::{self, Incoming};
use crate::model::id::{OpOrder, Origin};
use crate::model::op::Op;
use crate::model::op::floor::FloorMark;
use crate::sys;
use crate::tracker::commit::{BaseError, BasePart, BaseStore, OpSource, ReadBackError};
use crate::tracker::state::State;
use parking_lot::{Mutex, RwLock};
use std::io;
use std::sync::Arc;

/// The bases and segments of a journal that is open.
pub(crate) struct JournalShelf {
    disk: Arc<dyn Disk>,
    /// The origin under which this start issues ops.
    own: Origin,
    spans: Mutex<Spans>,
    /// The newest first.
    bases: Mutex<Vec<BaseMark>>,
    /// Locked while a thread reads files that another may remove.
    reading: RwLock<()>,
    /// One thread at a time writes a base.
    turn: Mutex<()>,
    failed: Mutex<Option<String>>,
    /// The base that is coming in from another tracker.
    incoming: Mutex<Option<Incoming>>,
}

/// The part of a segment at or below a floor.
struct WalkBelow {
    /// The place after that part.
    place: SegmentPlace,
    /// This start has issued an op in it. Ops of earlier starts do not count: they may have come back from other
    /// trackers.
    has_own: bool,
    /// The next op lies above the floor.
    is_floor_passed: bool,
}

impl JournalShelf {
    /// `bases` are those that a start can begin with, the newest first.
    pub(crate) fn new(disk: Arc<dyn Disk>, own: Origin, spans: Spans, bases: Vec<BaseMark>) -> Self {
        Self {
            disk,
            own,
            spans: Mutex::new(spans),
            bases: Mutex::new(bases),
            reading: RwLock::default(),
            turn: Mutex::default(),
            failed: Mutex::default(),
            incoming: Mutex::default(),
        }
    }

    /// Why the disk can no longer be trusted.
    pub(crate) fn failed(&self) -> Option<String> {
        self.failed.lock().clone()
    }

    /// Records that the disk can no longer be trusted.
    pub(crate) fn fail(&self, reason: String) {
        self.failed.lock().get_or_insert(reason);
    }

    /// The base on which the journal rests.
    pub(crate) fn newest(&self) -> BaseMark {
        self.bases.lock().first().copied().unwrap_or(BaseMark::BIRTH)
    }

    /// A segment begins.
    pub(crate) fn begin_segment(&self, first_seq: u64) {
        self.spans.lock().begin(first_seq);
    }

    /// The writer appends ops to the last segment.
    pub(crate) fn append(&self, ops: &[Op]) {
        let highest = ops.iter().map(|op| op.lamport).max().unwrap_or_default();
        self.spans.lock().raise(highest);
    }

    fn must_be_sound(&self) -> Result<(), BaseError> {
        self.failed().map_or(Ok(()), |reason| Err(BaseError::Failed(reason)))
    }

    /// The place before the first batch with an op above a floor. The search begins where the previous base begins:
    /// what lies earlier is unchecked. It skips damage before an op that this start issued at or below the floor: such
    /// an op is above all earlier ops of the journal.
    fn place_above(&self, floor: u64) -> io::Result<SegmentPlace> {
        let segments = self.spans.lock().above(floor);
        let mut damaged = None;
        for (i, &first_seq) in segments.iter().enumerate() {
            let next = segments.get(i + 1).copied();
            match self.walk_below(first_seq, floor) {
                Ok(below) => {
                    damaged = damaged.filter(|_| !below.has_own);
                    if below.is_floor_passed || next.is_none() {
                        return damaged.unwrap_or(Ok(below.place));
                    }
                    if next != Some(below.place.position.seq + 1) {
                        damaged.get_or_insert(Ok(below.place));
                    }
                }
                Err(error) => {
                    damaged.get_or_insert(Err(error));
                }
            }
        }
        damaged.unwrap_or(Err(io::ErrorKind::NotFound.into()))
    }

    /// Walks a segment up to the first op above a floor.
    fn walk_below(&self, first_seq: u64, floor: u64) -> io::Result<WalkBelow> {
        let bytes = self.disk.read(&segment::name(first_seq))?;
        let header = segment::header(&bytes).map_err(|_| io::ErrorKind::InvalidData)?;
        let start = WalkStart::of(&header, Some(self.newest().place));
        let (mut has_own, mut is_floor_passed) = (false, false);
        let walk = walk(&bytes, start, None, |op| {
            is_floor_passed = op.lamport > floor;
            has_own |= !is_floor_passed && op.id.origin == self.own;
            !is_floor_passed
        });
        Ok(WalkBelow { place: walk.place(first_seq), has_own, is_floor_passed })
    }

    fn uncertain(&self, reason: String) -> BaseError {
        self.fail(reason.clone());
        BaseError::Failed(reason)
    }

    /// The files that no start needs, in the order of their removal.
    fn needless(&self) -> io::Result<Vec<String>> {
        let (newest, bases) = (self.newest(), self.bases.lock().clone());
        let kept = |lamport: &u64| bases.iter().any(|base| base.lamport == *lamport);
        let needless = base::all(&*self.disk)?.into_iter().filter(|lamport| !kept(lamport));
        let mut names: Vec<String> = needless.map(base::name).collect();
        for seq in checkpoint::all(&*self.disk)? {
            let read = checkpoint::read(&*self.disk, seq);
            let needless = read.map_or_else(|why| why.is_damage(), |(_, state)| state.floor() != newest.lamport);
            names.extend(needless.then(|| checkpoint::name(seq)));
        }
        if let Some(older) = bases.get(1) {
            let segments = self.spans.lock().behind(older.needed().min(newest.needed()));
            names.extend(segments.into_iter().map(segment::name));
        }
        Ok(names)
    }

    fn read_above(&self, base: BaseMark, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        recovery::read_above(&*self.disk, base, take).map_err(ReadBackError::new)
    }
}

impl BaseStore for JournalShelf {
    fn keep(&self, base: &State) -> Result<(), BaseError> {
        let _turn = self.turn.lock();
        self.must_be_sound()?;
        let path = self.disk.path(&base::name(base.floor()));
        let why = |doing, error| format!("cannot {doing} {}: {}", path.display(), sys::reason(&error));
        let unchanged = |error: io::Error| BaseError::Unchanged(why("write", error));
        let place = self.place_above(base.floor()).map_err(unchanged)?;
        match base::write(&*self.disk, place, base) {
            Ok(()) => {}
            Err(StateFileError::Unchanged(error)) => return Err(unchanged(error)),
            Err(StateFileError::Uncertain(error)) => {
                return Err(self.uncertain(why("fsync", error)));
            }
        }
        let mut bases = self.bases.lock();
        bases.retain(|other| other.lamport < base.floor());
        bases.insert(0, BaseMark::of(base, place));
        bases.truncate(base::KEPT);
        Ok(())
    }

    fn clear(&self) -> Result<bool, BaseError> {
        let _turn = self.turn.lock();
        self.must_be_sound()?;
        let Some(_alone) = self.reading.try_write() else { return Ok(false) };
        let why = |doing, name: &str, error| {
            format!("cannot {doing} {}: {}", self.disk.path(name).display(), sys::reason(&error))
        };
        let names = self.needless().map_err(|error| BaseError::Unchanged(why("read", "", error)))?;
        if names.is_empty() {
            return Ok(true);
        }
        for name in &names {
            let removed = remove_if_there(&*self.disk, name);
            removed.map_err(|error| BaseError::Unchanged(why("remove", name, error)))?;
            if let Some(first_seq) = segment::first_seq(name) {
                self.spans.lock().forget(first_seq);
            }
        }
        let synced = self.disk.sync_folder().map(|()| true);
        synced.map_err(|error| self.uncertain(why("fsync", "", error)))
    }

    fn part(&self, floor: FloorMark, offset: u64, len: usize) -> Result<Option<BasePart>, ReadBackError> {
        let _reading = self.reading.read();
        if floor.lamport == 0 || self.newest().lamport != floor.lamport {
            return Ok(None);
        }
        let failed = |error| io_error(&*self.disk, &base::name(floor.lamport), "read")(error);
        let part = transfer::part(&*self.disk, floor.lamport, offset, len);
        part.map(Some).map_err(|error| ReadBackError::new(failed(error)))
    }

    fn take_part(&self, floor: FloorMark, offset: u64, bytes: &[u8]) -> Result<(), BaseError> {
        let mut place = self.incoming.lock();
        let begun = if offset == 0 { Incoming::new(&*self.disk, floor).map(Some) } else { Ok(place.take()) };
        let appended = begun.and_then(|begun| {
            let next = begun.filter(|incoming| incoming.expects(floor, offset));
            let mut incoming = next.ok_or(io::ErrorKind::InvalidInput)?;
            incoming.append(bytes).map(|()| incoming)
        });
        *place = Some(appended.map_err(|error| self.not_taken(error))?);
        Ok(())
    }

    fn taken(&self, floor: FloorMark) -> Result<bool, BaseError> {
        let incoming = self.incoming.lock().take().filter(|incoming| incoming.is_of(floor));
        let finished = incoming.map_or(Ok(false), |incoming| incoming.finish(&*self.disk));
        let is_it = finished.map_err(|error| self.not_taken(error))?;
        if !is_it {
            self.give_up();
        }
        Ok(is_it)
    }

    fn give_up(&self) {
        *self.incoming.lock() = None;
        // If the removal fails, the next base overwrites the file, or the next start removes it.
        let _ = Incoming::discard(&*self.disk);
    }
}

impl OpSource for JournalShelf {
    fn base(&self) -> Result<State, ReadBackError> {
        let _reading = self.reading.read();
        let newest = self.newest();
        if newest == BaseMark::BIRTH {
            return Ok(State::new());
        }
        let path = self.disk.path(&base::name(newest.lamport));
        let read = base::read(&*self.disk, newest.lamport).map(|(_, state)| state);
        read.map_err(|why| ReadBackError::new(JournalError::Foreign { path, why }))
    }

    fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        let _reading = self.reading.read();
        self.read_above(self.newest(), take)
    }

    fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        let _reading = self.reading.read();
        let disk = &*self.disk;
        let (mut sorter, mut pushed) = (Sorter::new(disk), Ok(()));
        self.read_above(self.newest(), &mut |op| {
            pushed = sorter.push(op);
            pushed.is_ok()
        })?;
        let mut last: Option<OpOrder> = None;
        // An interrupted adoption has written some ops a second time.
        let mut once = |op: Op| last.replace(op.order()) == Some(op.order()) || take(op);
        let sorted = pushed.and_then(|()| sorter.merge(&mut once));
        sorted.map_err(|error| ReadBackError::new(io_error(disk, &sorted::name(), "sort old changes in")(error)))
    }
}

impl JournalShelf {
    fn not_taken(&self, error: io::Error) -> BaseError {
        let _ = Incoming::discard(&*self.disk);
        BaseError::Unchanged(format!("cannot write the base of another tracker: {}", sys::reason(&error)))
    }
}
