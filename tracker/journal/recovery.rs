//! Recovery: what a journal holds, which is the state, and where and how the records end. Changes nothing on the disk.

use super::checkpoint;
use super::disk::Disk;
use super::error::JournalError;
use super::reader::{JournalReader, LastSegment, RecoveryOptions};
use super::record::JournalPosition;
use super::segment;
use super::segment::SegmentHeader;
use crate::model::id::Origin;
use crate::model::op::Op;
use crate::tracker::ledger::Past;
use crate::tracker::state::State;
use std::io;
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
    /// The last record before the checkpoint from which the state comes.
    pub checkpoint: Option<u64>,
    /// How many ops were folded on top of that.
    pub replayed: u64,
}

/// Reads a journal.
pub fn recover(disk: &dyn Disk, options: RecoveryOptions) -> Result<Recovery, JournalError> {
    let (mut recovery, in_order) = read(disk, options, fold_next)?;
    if in_order {
        return recovery.counted(disk);
    }
    // Ops of other trackers came late: the fold needs all ops in their order.
    let mut ops = Vec::new();
    (recovery, _) = read(disk, RecoveryOptions { checkpoints: false, ..options }, |_, op| {
        ops.push(op);
        true
    })?;
    ops.sort_unstable_by_key(Op::order);
    ops.into_iter().for_each(|op| recovery.past.apply(op));
    recovery.counted(disk)
}

/// Reads a journal and hands its ops to `fold` in the order in which they were written, with the fold so far, which
/// begins at the checkpoint if there is one. Stops at the first op for which `fold` returns false; returns false then.
pub fn read(
    disk: &dyn Disk,
    options: RecoveryOptions,
    fold: impl FnMut(&mut Past, Op) -> bool,
) -> Result<(Recovery, bool), JournalError> {
    let io = |error| JournalError::Io { path: disk.path(""), doing: "read the folder", error };
    let names = disk.list().map_err(io)?;
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment::first_seq(name)).collect();
    segments.sort_unstable();
    let checkpoints = checkpoint::all(disk).map_err(io)?;
    let mut recovery = Recovery::new();
    if segments.is_empty() && checkpoints.is_empty() {
        return Ok((recovery, true));
    }
    if options.checkpoints {
        recovery.begin_at_checkpoint(disk, &checkpoints);
    }
    // The segment behind a checkpoint is there before the checkpoint.
    let first_seq = recovery.position.seq + 1;
    let first = segments.binary_search(&first_seq);
    let first = first.map_err(|_| JournalError::Missing(disk.path(&segment::name(first_seq))))?;
    let in_order = recovery.replay(disk, &segments[first..], options, fold)?;
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

    /// Takes the state from the latest checkpoint that is sound.
    fn begin_at_checkpoint(&mut self, disk: &dyn Disk, checkpoints: &[u64]) {
        for &seq in checkpoints {
            match checkpoint::read(disk, seq) {
                Ok((position, state)) => {
                    (self.position, self.past, self.checkpoint) = (position, state.into(), Some(seq));
                    return;
                }
                Err(why) => {
                    let path = disk.path(&checkpoint::name(seq));
                    self.warnings.push(format!("the checkpoint {} {why}; it is passed over", path.display()));
                }
            }
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

/// Whose journal it is, by the latest header that is sound; `None` if no header is.
///
/// # Errors
/// The folder cannot be read.
pub fn owner(disk: &dyn Disk) -> io::Result<Option<u16>> {
    let names = disk.list()?;
    let mut segments: Vec<&String> = names.iter().filter(|name| segment::first_seq(name).is_some()).collect();
    segments.sort_unstable();
    for name in segments.into_iter().rev() {
        if let Ok(header) = segment::header(&disk.read(name)?) {
            return Ok(Some(header.origin.tracker));
        }
    }
    Ok(None)
}
