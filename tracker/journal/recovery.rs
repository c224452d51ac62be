//! Recovery: what a journal holds, which is the state, and where and how the records end. Changes nothing on the disk:
//! a file that ops are sorted in is removed again.

use super::checkpoint;
use super::disk::Disk;
use super::error::{JournalError, io_error};
use super::plan;
use super::plan::{JournalFiles, StartPoint};
use super::reader::{JournalReader, LastSegment, RecoveryOptions};
use super::record::JournalPosition;
use super::segment;
use super::segment::{RECORDS_AT, SegmentHeader};
use super::sorted;
use super::sorted::Sorter;
use crate::model::id::Origin;
use crate::model::op::Op;
use crate::tracker::ledger::Past;
use crate::tracker::state::State;
use std::panic::resume_unwind;
use std::thread;

/// What a journal holds.
#[derive(Debug)]
pub struct Recovery {
    /// The fold of all ops.
    pub past: Past,
    /// The last record, and the highest number of a batch that is in use.
    pub position: JournalPosition,
    /// The origin under which the tracker issued ops last.
    pub origin: Option<Origin>,
    /// The last segment, if there is one.
    pub last_segment: Option<LastSegment>,
    /// What is wrong with it, with the file and the place, if appending to it is not possible.
    pub torn: Option<String>,
    /// Headers in place of damaged ones, made up from the records behind them. Only if forced.
    pub mended: Vec<SegmentHeader>,
    /// Segments that follow the damage. Only if forced.
    pub dropped: Vec<u64>,
    /// What else the operator has to know.
    pub warnings: Vec<String>,
    /// What keeps other trackers from getting all ops, although this one can do without it.
    pub lacking: Option<String>,
    /// The last record before the checkpoint from which the state comes.
    pub checkpoint: Option<u64>,
    /// How many ops were folded on top of that.
    pub replayed: u64,
}

/// Reads a journal.
pub fn recover(disk: &dyn Disk, options: RecoveryOptions) -> Result<Recovery, JournalError> {
    let files = JournalFiles::list(disk)?;
    let start = if options.checkpoints { files.latest(disk) } else { files.whole() };
    let (mut recovery, in_order) = recover_from(disk, &files, start, options, fold_next)?;
    if in_order {
        return recovery.counted(disk);
    }
    // Ops of other trackers came late: the fold needs all ops in their order.
    let warnings = recovery.warnings;
    let mut sorter = Sorter::new(disk);
    (recovery, _) = recover_from(disk, &files, files.whole(), options, |_, op| {
        // A full disk does not keep a tracker from its start: then memory has to do.
        let _ = sorter.push(op);
        true
    })?;
    let fold = &mut |op| {
        recovery.past.apply(op);
        true
    };
    sorter.merge(fold).map_err(io_error(disk, &sorted::name(), "read"))?;
    recovery.warnings = warnings;
    recovery.counted(disk)
}

/// Reads a journal and hands its ops to `fold` in the order in which they were written, with the fold so far, which
/// begins at the checkpoint if there is one. Stops at the first op for which `fold` returns false; returns false then.
pub fn read(
    disk: &dyn Disk,
    options: RecoveryOptions,
    fold: impl FnMut(&mut Past, Op) -> bool,
) -> Result<(Recovery, bool), JournalError> {
    let files = JournalFiles::list(disk)?;
    let start = if options.checkpoints { files.latest(disk) } else { files.whole() };
    read_from(disk, &files, start, options, fold)
}

fn read_from(
    disk: &dyn Disk,
    files: &JournalFiles,
    start: StartPoint,
    options: RecoveryOptions,
    fold: impl FnMut(&mut Past, Op) -> bool,
) -> Result<(Recovery, bool), JournalError> {
    if files.is_empty() {
        return Ok((Recovery::new(), true));
    }
    let missing = |seq| disk.path(&segment::name(seq));
    let first = start.first.map_err(missing);
    let first = first.map_err(|path| JournalError::Missing { path, passed_over: start.passed_over.clone() })?;
    let mut recovery = Recovery::new();
    (recovery.position, recovery.past, recovery.checkpoint) = (start.position, start.past, start.checkpoint);
    recovery.warnings = start.passed_over;
    let in_order = recovery.replay(disk, &files.segments[first..], options, fold)?;
    Ok((recovery, in_order))
}

/// Reads what a start reads, and looks whether the rest is there. If forced, keeps as many changes as there are.
fn recover_from(
    disk: &dyn Disk,
    files: &JournalFiles,
    mut start: StartPoint,
    options: RecoveryOptions,
    fold: impl FnMut(&mut Past, Op) -> bool,
) -> Result<(Recovery, bool), JournalError> {
    let (first, cut_off) = (start.first, start.cut_off.take());
    if options.force && first.is_err() && !files.is_empty() {
        return Ok((Recovery::new().beyond(disk, files, cut_off), true));
    }
    let (mut recovery, in_order) = read_from(disk, files, start, options, fold)?;
    let end = recovery.position.seq;
    if options.force {
        let further = cut_off.filter(|(position, _)| position.seq > end);
        if further.is_some() {
            return Ok((recovery.beyond(disk, files, further), true));
        }
    } else if let Some(&seq) = files.checkpoints.first().filter(|&&seq| options.checkpoints && seq > end) {
        return Err(JournalError::EndsEarly { checkpoint: disk.path(&checkpoint::name(seq)), seq, end });
    }
    if let (Ok(first), Some(_)) = (first, recovery.checkpoint) {
        recovery.lacking = files.lacking(disk, first);
    }
    Ok((recovery, in_order))
}

/// Folds an op after all others. Returns false if its place is an earlier one.
fn fold_next(past: &mut Past, op: Op) -> bool {
    let next = past.state().last().is_none_or(|last| last < op.order());
    if next {
        past.apply(op);
    }
    next
}

impl Recovery {
    fn new() -> Self {
        Self {
            past: State::new().into(),
            position: JournalPosition { seq: 0, batch: 0 },
            origin: None,
            last_segment: None,
            torn: None,
            mended: Vec::new(),
            dropped: Vec::new(),
            warnings: Vec::new(),
            lacking: None,
            checkpoint: None,
            replayed: 0,
        }
    }

    /// Fails if the fold has left out an op because it lies behind a gap.
    fn counted(self, disk: &dyn Disk) -> Result<Self, JournalError> {
        let ops = self.past.state().op_count();
        if ops != self.position.seq {
            let why = format!("it has {} records, but only {ops} ops follow each other", self.position.seq);
            return Err(JournalError::Damaged { path: disk.path(""), at: 0, why });
        }
        Ok(self)
    }

    /// Goes on from a checkpoint that has no segment behind it; without one, from nothing. Segments behind it are dropped.
    fn beyond(self, disk: &dyn Disk, files: &JournalFiles, cut_off: Option<(JournalPosition, State)>) -> Self {
        let lacking = cut_off.is_some().then(|| plan::missing(disk, self.position.seq + 1));
        let checkpoint = cut_off.as_ref().map(|(position, _)| position.seq);
        let StartPoint { position, past, .. } = files.whole();
        let (position, past) = cut_off.map_or((position, past), |(position, state)| (position, state.into()));
        let behind = position.seq + 1;
        Self {
            position,
            past,
            last_segment: None,
            torn: Some(plan::missing(disk, behind)),
            dropped: files.segments.iter().copied().filter(|&first| first >= behind).collect(),
            lacking,
            checkpoint,
            replayed: 0,
            ..self
        }
    }

    /// Reads these segments on another thread and folds their ops on this one. Returns false as soon as `fold` does.
    fn replay(
        &mut self,
        disk: &dyn Disk,
        segments: &[u64],
        options: RecoveryOptions,
        mut fold: impl FnMut(&mut Past, Op) -> bool,
    ) -> Result<bool, JournalError> {
        let (reader, lots) = JournalReader::new(disk, options, self.position);
        let mut past = std::mem::replace(&mut self.past, State::new().into());
        let read = thread::scope(|scope| {
            let builder = thread::Builder::new().name("journal reader".into());
            let reader = builder.spawn_scoped(scope, move || reader.run(segments)).map_err(JournalError::System)?;
            // Drops the lots at the first op that is not folded, which ends the reader.
            let in_order = lots.into_iter().flatten().all(|op| {
                self.replayed += 1;
                fold(&mut past, op)
            });
            let end = reader.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok((in_order, end))
        });
        let (in_order, end) = read?;
        self.past = past;
        self.position = end.position;
        self.origin = end.last_segment.as_ref().map(|segment| segment.header.origin);
        self.last_segment = end.last_segment;
        self.torn = end.torn;
        self.mended = end.mended;
        self.dropped = end.dropped;
        self.warnings.extend(end.warning);
        Ok(in_order)
    }
}

/// Whose journal it is, by the latest header that is sound and names a tracker; `None` if no header does.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn owner(disk: &dyn Disk) -> Result<Option<u16>, JournalError> {
    for &first_seq in JournalFiles::list(disk)?.segments.iter().rev() {
        let name = segment::name(first_seq);
        let front = disk.read_part(&name, 0..RECORDS_AT as u64).map_err(io_error(disk, &name, "read"))?;
        match segment::header(&front) {
            Ok(header) if header.origin.tracker != 0 => return Ok(Some(header.origin.tracker)),
            _ => {}
        }
    }
    Ok(None)
}
