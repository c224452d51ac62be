//! The journal: the append-only log of ops on disk. docs/JOURNAL.md draws its format and argues why no acknowledged
//! change is lost.

pub mod base;
pub mod checkpoint;
pub mod disk;
mod error;
pub mod inspect;
mod plan;
pub mod reader;
pub mod record;
pub mod recovery;
pub mod segment;
mod sorted;
pub mod state_file;
mod walk;
mod writer;

pub use error::JournalError;

use crate::model::id::Origin;
use crate::model::op::Op;
use crate::sys;
use crate::tracker::commit::{AppendError, BaseStore, OpLog, OpSource};
use crate::tracker::journal::base::BaseMark;
use crate::tracker::journal::base::adoption::{self, Adoption, Due, UnplacedSink};
use crate::tracker::journal::base::spans::Spans;
use crate::tracker::journal::base::store::JournalShelf;
use crate::tracker::journal::checkpoint::Checkpointer;
use crate::tracker::journal::disk::Disk;
use crate::tracker::ledger::Past;
use crate::tracker::state::State;
use crate::tracker::warn::Warn;
use error::io_error;
use reader::{LastSegment, RecoveryOptions};
use record::{JournalPosition, RecordPosition};
use recovery::{Recovery, recover};
use segment::{CreateError, NEW_SUFFIX, RECORDS_AT, SegmentHeader};
use std::path::Path;
use std::sync::Arc;
use writer::{SegmentWriter, WriteError};

/// The name of the journal's folder in the data folder.
pub const FOLDER: &str = "journal";
/// How many ops an adoption appends at once.
const ADOPTED_AT_ONCE: usize = 1024;

/// Settings of a journal.
#[derive(Debug, Clone, Copy)]
pub struct JournalSettings {
    /// Ops between two checkpoints, or a quarter of the ops above the base if that is more. So the cost of checkpoints
    /// stays in proportion to the ops.
    pub checkpoint_ops: u64,
    /// The length in bytes after which the next segment begins. Recovery reads a whole segment into memory.
    pub segment_len_max: u64,
    /// How many bytes of room a segment allocates at once.
    pub chunk_len: u64,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { checkpoint_ops: 20_000, segment_len_max: 4 * 1024 * 1024, chunk_len: 1024 * 1024 }
    }
}

/// An open journal, and what it holds.
pub struct OpenedJournal {
    pub journal: Journal,
    /// The fold of all ops in it.
    pub past: Past,
    /// Reads it again.
    pub source: Arc<dyn OpSource>,
    /// Keeps bases in it.
    pub bases: Arc<dyn BaseStore>,
    /// The origin under which the tracker issues further ops.
    pub origin: Origin,
    /// The journal now rests on the base of another tracker: much may be new to this one.
    pub adopted: bool,
    /// How many ops were folded on top of the base or the checkpoint.
    pub replayed: u64,
}

/// The journal of a running tracker.
///
/// Invariants: everything before the end of the segment is durable. The writer begins a batch when the one before is
/// durable. Once the disk's state is uncertain, it writes nothing more.
pub struct Journal {
    disk: Arc<dyn Disk>,
    settings: JournalSettings,
    warn: Warn,
    origin: Origin,
    segment: SegmentWriter,
    /// The last record and the last batch.
    position: JournalPosition,
    checkpointer: Checkpointer,
    /// How many ops the last checkpoint, or the last attempt at one, folds.
    checkpoint_at: u64,
    shelf: Arc<JournalShelf>,
    /// The records of a batch. Kept so that batches reuse the memory.
    records: Vec<u8>,
}

/// The tracker that owns a journal, and the incarnation that begins with this start. The incarnation is random, so
/// that no op gets the id of a lost one. This holds also for a folder restored from a backup, which no tracker can
/// recognize.
#[derive(Debug, Clone, Copy)]
pub struct JournalOwner {
    pub tracker: u16,
    /// A number that no earlier start had.
    pub fresh_incarnation: u64,
}

impl Journal {
    /// Opens the journal in a folder; in an empty folder, begins one. Cuts off damage that a crash explains, and warns
    /// of it. Adopts a base that another tracker gave, and yields to what others have promised; `unplaced` lists what
    /// loses its place. On return everything that `past` shows is durable.
    pub fn open(
        disk: Arc<dyn Disk>,
        owner: JournalOwner,
        settings: JournalSettings,
        warn: Warn,
        unplaced: &mut dyn UnplacedSink,
    ) -> Result<OpenedJournal, JournalError> {
        let options = RecoveryOptions { tracker: Some(owner.tracker), checkpoints: true, force: false };
        let opening = Opening { disk, owner, settings, warn };
        let mut adopted = false;
        loop {
            let recovery = recover(&*opening.disk, options)?;
            match adoption::due(&*opening.disk, &recovery, owner.tracker)? {
                None => return Ok(OpenedJournal { adopted, ..opening.resume(recovery, false)? }),
                Some(Due::CleanUp { finished }) => {
                    let told = adoption::clean_up(&*opening.disk, &recovery, finished.as_deref())?;
                    told.iter().for_each(|line| (opening.warn)(line));
                    adopted |= finished.is_some();
                }
                Some(Due::Adopt(due)) => {
                    opening.clone().adopt(recovery, *due, unplaced)?;
                }
            }
        }
    }

    /// Copies the journal in `folder` to `copy`. Cuts the journal off at the first damage of any kind, and goes on in
    /// a fresh segment even if there is no damage. Returns a report, line by line, and the fold of the remaining ops.
    pub fn repair(
        disk: Arc<dyn Disk>,
        (folder, copy): (&Path, &Path),
        fresh_incarnation: u64,
        warn: Warn,
    ) -> Result<(Vec<String>, State), JournalError> {
        let tracker = recovery::owner(&*disk)?;
        let recovery = recover(&*disk, RecoveryOptions { tracker, checkpoints: true, force: true })?;
        let last = recovery.origin.map(|origin| origin.tracker);
        let owner = JournalOwner { tracker: tracker.or(last).unwrap_or(0), fresh_incarnation };
        let copied = inspect::keep_copy(folder, copy);
        copied.map_err(|error| JournalError::Io { path: copy.to_path_buf(), doing: "copy to", error })?;
        let mut report = inspect::repair_report(&*disk, &recovery, copy);
        inspect::remove_unsound(&*disk)?;
        let (base, lacking, moved) = (recovery.base, recovery.lacking.clone(), recovery.moved);
        let opening = Opening { disk: disk.clone(), owner, settings: JournalSettings::default(), warn };
        let opened = opening.resume(recovery, true)?;
        if let Some(place) = moved {
            base::move_to(&*disk, base.lamport, place)?;
        }
        let base = BaseMark { place: moved.unwrap_or(base.place), ..base };
        report.extend(inspect::let_go_of_older(&*disk, base, &lacking, tracker)?);
        Ok((report, opened.past.state().clone()))
    }

    /// Waits until the checkpointer is idle.
    pub fn wait_for_checkpoint(&self) {
        self.checkpointer.wait_idle();
    }

    /// Appends ops as one batch, and begins another segment if this one is full.
    ///
    /// # Errors
    /// Those of `append`.
    pub(crate) fn append_all(&mut self, ops: &mut Vec<Op>) -> Result<(), AppendError> {
        self.append(ops)?;
        ops.clear();
        self.rotate_if_full();
        Ok(())
    }

    fn rotate_if_full(&mut self) {
        if self.segment.end() >= self.settings.segment_len_max {
            self.rotate();
        }
    }

    fn fail(&self, reason: String) -> AppendError {
        self.shelf.fail(reason.clone());
        AppendError::Failed(reason)
    }

    /// Begins another segment. If an error leaves everything as it was, goes on with the present segment.
    fn rotate(&mut self) -> bool {
        let header = header(self.origin, self.position);
        match segment::create(&*self.disk, &header, self.settings.chunk_len) {
            Ok(file) => {
                let room = RECORDS_AT as u64 + self.settings.chunk_len;
                let next = SegmentWriter::new(file, RECORDS_AT as u64, room, self.settings.chunk_len);
                std::mem::replace(&mut self.segment, next).seal();
                self.shelf.begin_segment(header.first_seq);
                true
            }
            Err(CreateError::Unchanged(error)) => {
                (self.warn)(&format!("cannot begin another journal file: {}", sys::reason(&error)));
                false
            }
            Err(CreateError::Uncertain(error)) => {
                self.fail(format!("cannot fsync the journal: {}", sys::reason(&error)));
                false
            }
        }
    }
}

/// A journal before it is opened.
#[derive(Clone)]
struct Opening {
    disk: Arc<dyn Disk>,
    owner: JournalOwner,
    settings: JournalSettings,
    warn: Warn,
}

impl Opening {
    /// Writes the ops that have a place above another base again, then makes that base the journal's own.
    fn adopt(
        self,
        mut recovery: Recovery,
        mut adoption: Adoption,
        unplaced: &mut dyn UnplacedSink,
    ) -> Result<(), JournalError> {
        let (disk, warn, own) = (self.disk.clone(), self.warn.clone(), recovery.base);
        let before = recovery.past.state().clone();
        // The higher batch number marks a segment after such a base, which lacks ops since birth.
        recovery.position.batch += u64::from(recovery.position.seq == 0);
        let position = recovery.position;
        let OpenedJournal { mut journal, source, .. } = self.resume(recovery, true)?;
        let (mut lot, mut written) = (Vec::new(), Ok(()));
        let read = source.read_in_order(&mut |op| {
            lot.extend(adoption.place(op));
            if lot.len() == ADOPTED_AT_ONCE {
                written = journal.append_all(&mut lot);
            }
            written.is_ok()
        });
        read.map_err(JournalError::ReadBack)?;
        written.and_then(|()| journal.append_all(&mut lot)).map_err(JournalError::Append)?;
        if !adoption.unplaced().is_empty() {
            unplaced.keep(adoption.unplaced(), &before).map_err(JournalError::Unplaced)?;
        }
        adoption::close_ways_back(&*disk, own)?;
        adoption::keep_aside(&*disk, own, &adoption.base)?.iter().for_each(|line| warn(line));
        adoption::write(&*disk, position, &adoption.base)
    }

    /// Goes on from what recovery read; under a fresh incarnation if `renew`.
    fn resume(self, recovery: Recovery, renew: bool) -> Result<OpenedJournal, JournalError> {
        let Self { disk, owner, settings, warn } = self;
        recovery.warnings.iter().for_each(|line| warn(line));
        recovery.lacking.iter().for_each(|what| warn(&what.to_string()));
        if let Some(torn) = &recovery.torn {
            warn(&format!("{torn}; it was cut off there, and changes that were acknowledged may be gone"));
        }
        tidy(&*disk, &recovery)?;
        if !recovery.useless.is_empty() {
            let paths: Vec<String> =
                recovery.useless.iter().map(|name| disk.path(name).display().to_string()).collect();
            warn(&format!("removed, because no start can use it: {}", paths.join(", ")));
        }
        let origin = Origin { tracker: owner.tracker, incarnation: owner.fresh_incarnation };
        let keep = recovery.torn.is_none() && !renew;
        let (past, position) = (recovery.past, recovery.position);
        let mut spans = Spans::new(recovery.spans);
        let segment = match recovery.last_segment {
            Some(tail) if keep => settle(&*disk, &tail, settings)?,
            tail => {
                if let Some(tail) = tail.filter(|tail| tail.header.first_seq <= position.seq) {
                    settle(&*disk, &tail, settings)?.seal();
                }
                spans.begin(position.seq + 1);
                begin(&*disk, origin, position, settings)?
            }
        };
        let checkpointer = {
            let warn = warn.clone();
            Checkpointer::start(disk.clone(), move |line| warn(line)).map_err(JournalError::System)?
        };
        let bases = base::from(&*disk, recovery.base).map_err(io_error(&*disk, "", "read the folder"))?;
        let shelf = Arc::new(JournalShelf::new(disk.clone(), origin, spans, bases));
        let (source, bases) = (shelf.clone(), shelf.clone());
        let checkpoint_at = past.state().op_count() - recovery.replayed;
        let records = Vec::new();
        let journal =
            Journal { disk, settings, warn, origin, segment, position, checkpointer, checkpoint_at, shelf, records };
        let replayed = recovery.replayed;
        Ok(OpenedJournal { journal, source, bases, past, origin, adopted: false, replayed })
    }
}

impl OpLog for Journal {
    fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
        if let Some(reason) = self.checkpointer.failed() {
            self.shelf.fail(reason);
        }
        if let Some(reason) = self.shelf.failed() {
            return Err(AppendError::Failed(reason));
        }
        if ops.is_empty() {
            return Ok(());
        }
        let batch = self.position.batch + 1;
        self.records.clear();
        for (i, op) in ops.iter().enumerate() {
            // A batch holds at most one op for each waiting connection, so 32 bits suffice.
            let left = (ops.len() - 1 - i) as u32;
            let place = RecordPosition { seq: self.position.seq + 1 + i as u64, batch, left };
            if !record::put(place, op, &mut self.records) {
                return Err(self.fail("a change is longer than any change can be".into()));
            }
        }
        self.shelf.append(ops);
        match self.segment.append(&self.records, batch) {
            Ok(()) => {
                self.position = JournalPosition { seq: self.position.seq + ops.len() as u64, batch };
                Ok(())
            }
            Err(WriteError::NoRoom(reason)) => Err(AppendError::Full(format!("cannot save changes: {reason}"))),
            Err(WriteError::Uncertain(reason)) => Err(self.fail(format!("cannot save changes: {reason}"))),
        }
    }

    fn kept(&mut self, state: &State) {
        if self.shelf.failed().is_some() {
            return;
        }
        let (ops, base) = (state.op_count(), self.shelf.newest().ops);
        let due = self.settings.checkpoint_ops.max(ops.saturating_sub(base) / 4);
        let due = ops.saturating_sub(self.checkpoint_at.max(base)) >= due && !self.checkpointer.is_busy();
        if due {
            // Set even if the checkpoint fails: the next attempt comes after the same number of further ops.
            self.checkpoint_at = ops;
        }
        let full = self.segment.end() >= self.settings.segment_len_max;
        let rotated = (due || full) && self.rotate();
        if rotated && due {
            self.checkpointer.offer(self.position, state);
        }
    }
}

/// The header of the segment that begins after a position.
fn header(origin: Origin, position: JournalPosition) -> SegmentHeader {
    SegmentHeader { origin, first_seq: position.seq + 1, first_batch: position.batch + 1 }
}

/// Removes what an earlier run left unfinished, and what lies after damage that was cut off.
fn tidy(disk: &dyn Disk, recovery: &Recovery) -> Result<(), JournalError> {
    for header in &recovery.mended {
        let name = segment::name(header.first_seq);
        let mend = || {
            let mut file = disk.open(&name)?;
            disk::write_all_at(&mut *file, &segment::header_page(header), 0)?;
            file.sync_data()
        };
        mend().map_err(io_error(disk, &name, "mend"))?;
    }
    let names = disk.list().map_err(io_error(disk, "", "read the folder"))?;
    let behind = |name: &str| checkpoint::seq(name).is_some_and(|seq| seq > recovery.position.seq);
    let useless = |name: &String| recovery.useless.contains(name);
    let dropped = |name: &str| segment::first_seq(name).is_some_and(|seq| recovery.dropped.contains(&seq));
    let goes = |name: &&String| name.ends_with(NEW_SUFFIX) || behind(name) || dropped(name) || useless(name);
    for name in names.iter().filter(goes) {
        disk.remove(name).map_err(io_error(disk, name, "remove"))?;
    }
    disk.sync_folder().map_err(io_error(disk, "", "fsync the folder"))
}

/// Opens a segment after its last whole record. Writes the last batch again and makes it durable. Recovery may have
/// read this batch from the cache only: an fsync may have failed, or a kill may have come before the fsync.
fn settle(disk: &dyn Disk, tail: &LastSegment, settings: JournalSettings) -> Result<SegmentWriter, JournalError> {
    let name = segment::name(tail.header.first_seq);
    let file = disk.open(&name).map_err(io_error(disk, &name, "open"))?;
    let mut writer = SegmentWriter::new(file, tail.mark.end, tail.len, settings.chunk_len);
    // Writes only one mark, preferably a damaged one: after a power cut meanwhile the other one is sound.
    let mark_at = tail.damaged_mark.unwrap_or(tail.mark.offset() as u64);
    let mut write = || {
        writer.rewrite(&tail.last_batch, tail.mark.start)?;
        writer.rewrite(&segment::mark_page(&tail.mark), mark_at)?;
        writer.sync()
    };
    match write() {
        Ok(()) => Ok(writer),
        Err(WriteError::NoRoom(reason) | WriteError::Uncertain(reason)) => Err(JournalError::Io {
            path: disk.path(&name),
            doing: "make durable what is in",
            error: std::io::Error::other(reason),
        }),
    }
}

fn begin(
    disk: &dyn Disk,
    origin: Origin,
    position: JournalPosition,
    settings: JournalSettings,
) -> Result<SegmentWriter, JournalError> {
    let header = header(origin, position);
    match segment::create(disk, &header, settings.chunk_len) {
        Ok(file) => {
            let room = RECORDS_AT as u64 + settings.chunk_len;
            Ok(SegmentWriter::new(file, RECORDS_AT as u64, room, settings.chunk_len))
        }
        Err(CreateError::Unchanged(error) | CreateError::Uncertain(error)) => {
            Err(io_error(disk, &segment::name(header.first_seq), "make")(error))
        }
    }
}
