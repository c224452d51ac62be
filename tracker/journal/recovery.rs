//! Recovery: reads a journal, and finds its state and the end of its records. Changes nothing on the disk in the end:
//! it removes the file in which it sorts ops.

use super::base::spans::SegmentSpan;
use super::base::{self, BaseMark};
use super::checkpoint;
use super::disk::Disk;
use super::error::{JournalError, io_error};
use super::plan;
use super::plan::{Ground, JournalFiles, Lacking, StartPoint};
use super::reader::{JournalReader, LastSegment, RecoveryOptions};
use super::record::JournalPosition;
use super::segment;
use super::segment::{RECORDS_AT, SegmentHeader, SegmentPlace};
use super::sorted;
use super::sorted::Sorter;
use crate::model::id::Origin;
use crate::model::op::Op;
use crate::model::op::floor::FloorMark;
use crate::tracker::ledger::{Past, ReachedFloor};
use crate::tracker::state::State;
use std::panic::resume_unwind;
use std::thread;

/// What a journal holds.
#[derive(Debug)]
pub struct Recovery {
    /// The fold of all ops.
    pub past: Past,
    /// The last record, and the highest batch number in use.
    pub position: JournalPosition,
    /// The place where the reading began.
    pub(super) start: SegmentPlace,
    /// The origin under which the tracker last issued ops.
    pub origin: Option<Origin>,
    /// The last segment, if there is one.
    pub last_segment: Option<LastSegment>,
    /// If nothing can be appended to the last segment: what is wrong with it, with the file and the place.
    pub torn: Option<String>,
    /// Headers that replace damaged ones, made from the records after them. Only if forced.
    pub mended: Vec<SegmentHeader>,
    /// Segments that follow the damage. Only if forced.
    pub dropped: Vec<u64>,
    /// What else the operator has to know.
    pub warnings: Vec<String>,
    /// The bases and checkpoints that no start can use.
    pub(super) useless: Vec<String>,
    /// The new place of the base, if the segment of its place is gone. Only if forced.
    pub(super) moved: Option<SegmentPlace>,
    /// Files that are missing and that a start does not need.
    pub lacking: Vec<Lacking>,
    /// The base in the fold.
    pub base: BaseMark,
    /// The last record before the checkpoint that the state comes from.
    pub checkpoint: Option<u64>,
    /// How many ops were folded on top of that.
    pub replayed: u64,
    /// The segments up to the last one.
    pub spans: Vec<SegmentSpan>,
    /// Records that were not folded: the floor is above their ops, or the state had them already.
    pub(super) skipped: u64,
    /// The number of ops that `past` had at the beginning, and the record after which its further ops come.
    pub(super) began: (u64, u64),
}

/// Reads a journal.
pub fn recover(disk: &dyn Disk, options: RecoveryOptions) -> Result<Recovery, JournalError> {
    let files = JournalFiles::list(disk)?;
    let start = files.latest(disk, options.checkpoints)?;
    let (base, cut_off) = (start.base.clone(), start.cut_off.clone());
    let (mut recovery, in_order) = recover_from(disk, &files, start, options, fold_next)?;
    if in_order {
        return recovery.counted(disk);
    }
    // Ops of other trackers came late: the fold needs all ops above the base in order.
    let (warnings, useless) = (recovery.warnings, recovery.useless);
    let mut sorter = Sorter::new(disk);
    let first = files.segment(base.place.first_seq);
    let start = StartPoint::at(base.clone(), base, first);
    (recovery, _) = recover_from(disk, &files, start, options, |_, op| {
        // A tracker with a full disk must still start: in that case the ops stay in memory.
        let _ = sorter.push(op);
        true
    })?;
    let fold = &mut |op: Op| {
        if op.id.seq <= recovery.past.state().seen(op.id.origin) {
            recovery.skipped += 1;
        } else {
            recovery.past.apply(op);
        }
        true
    };
    sorter.merge(fold).map_err(io_error(disk, &sorted::name(), "read"))?;
    (recovery.warnings, recovery.useless) = (warnings, useless);
    if !options.force {
        recovery.must_hold(disk, cut_off.as_ref())?;
    }
    recovery.counted(disk)
}

/// Reads a journal and hands its ops to `fold`, in the order in which they were written, with the fold so far. The fold
/// begins at the base or the checkpoint if there is one. Skips ops below the floor. Stops when `fold` returns false,
/// and returns false.
pub fn read(
    disk: &dyn Disk,
    options: RecoveryOptions,
    fold: impl FnMut(&mut Past, Op) -> bool,
) -> Result<(Recovery, bool), JournalError> {
    let files = JournalFiles::list(disk)?;
    let start = files.latest(disk, options.checkpoints)?;
    read_from(disk, &files, start, options, fold)
}

/// Hands over the ops above a base in the order in which they were written, until `take` returns false. A writer may
/// append to the journal at the same time.
pub(super) fn read_above(
    disk: &dyn Disk,
    base: BaseMark,
    take: &mut dyn FnMut(Op) -> bool,
) -> Result<(), JournalError> {
    let files = JournalFiles::list(disk)?;
    let mut ground = Ground::birth();
    (ground.place, ground.base) = (base.place, base);
    let first = files.segment(base.place.first_seq);
    let start = StartPoint::at(ground.clone(), ground, first);
    // A batch that is still being written looks like damage at the end.
    let options = RecoveryOptions { tracker: None, checkpoints: false, force: true };
    read_from(disk, &files, start, options, |_, op| take(op)).map(|_| ())
}

/// Makes a base again from the one before. `None` if there is none before.
pub(super) fn base_again(
    disk: &dyn Disk,
    base: BaseMark,
    options: RecoveryOptions,
) -> Result<Option<State>, JournalError> {
    let files = JournalFiles::list(disk)?;
    let Some(start) = files.before(disk, base)? else { return Ok(None) };
    let (mut sorter, mut past) = (Sorter::new(disk), start.ground.state.clone());
    read_from(disk, &files, start, options, |_, op| {
        let _ = sorter.push(op);
        true
    })?;
    let fold = &mut |op: Op| {
        let below = op.lamport <= base.lamport;
        if below {
            past.apply(&op);
        }
        below
    };
    sorter.merge(fold).map_err(io_error(disk, &sorted::name(), "read"))?;
    past.prune(base.lamport);
    Ok(Some(past))
}

fn read_from(
    disk: &dyn Disk,
    files: &JournalFiles,
    start: StartPoint,
    options: RecoveryOptions,
    fold: impl FnMut(&mut Past, Op) -> bool,
) -> Result<(Recovery, bool), JournalError> {
    if files.is_empty() {
        return Ok((Recovery::on(Ground::birth()), true));
    }
    let missing = |seq| disk.path(&segment::name(seq));
    let first = start.first.map_err(missing);
    let first = first.map_err(|path| JournalError::Missing { path, passed_over: start.passed_over.clone() })?;
    let mut recovery = Recovery::on(start.ground);
    (recovery.warnings, recovery.useless) = (start.passed_over, start.useless);
    recovery.spans = files.segments[..first].iter().map(|&first| recovery.bound(first)).collect();
    let replayed = recovery.replay(disk, &files.segments[first..], options, fold);
    match replayed {
        Ok(in_order) => Ok((recovery, in_order)),
        Err(JournalError::Missing { path, .. }) => Err(JournalError::Missing { path, passed_over: recovery.warnings }),
        Err(JournalError::Damaged { path, at, why }) => {
            let why = [vec![why], recovery.warnings].concat().join("; ");
            Err(JournalError::Damaged { path, at, why })
        }
        Err(error) => Err(error),
    }
}

/// Reads what a start reads, and checks whether the rest is there. If forced, keeps as many changes as possible.
fn recover_from(
    disk: &dyn Disk,
    files: &JournalFiles,
    mut start: StartPoint,
    options: RecoveryOptions,
    fold: impl FnMut(&mut Past, Op) -> bool,
) -> Result<(Recovery, bool), JournalError> {
    let cut_off = start.cut_off.take();
    if options.force && start.first.is_err() && !files.is_empty() {
        return Ok((Recovery::on(Ground::birth()).beyond(disk, files, cut_off), true));
    }
    let lacking = start.first.map_or_else(|_| Vec::new(), |first| files.lacking(disk, &start, first));
    let (mut recovery, in_order) = read_from(disk, files, start, options, fold)?;
    // If an op is out of order, a second pass reads everything again.
    let (end, held) = (recovery.position.seq, if in_order { recovery.past.state().op_count() } else { u64::MAX });
    if options.force {
        let further = cut_off.filter(|ground| ground.place.position.seq > end || ground.base.ops > held);
        if further.is_some() {
            return Ok((recovery.beyond(disk, files, further), true));
        }
    } else {
        if in_order {
            recovery.must_hold(disk, cut_off.as_ref())?;
        }
        let named = files.checkpoints.first().filter(|_| options.checkpoints).map(|&seq| (checkpoint::name(seq), seq));
        let cut_off = cut_off.map(|ground| (ground.file(), ground.place.position.seq));
        if let Some((name, seq)) = [named, cut_off].into_iter().flatten().find(|(_, seq)| *seq > end) {
            return Err(JournalError::EndsEarly { file: disk.path(&name), seq, end });
        }
    }
    recovery.lacking = lacking;
    Ok((recovery, in_order))
}

/// Folds an op after all others. Returns false if its place in the order is earlier.
fn fold_next(past: &mut Past, op: Op) -> bool {
    let next = past.state().last().is_none_or(|last| last < op.order());
    if next {
        past.apply(op);
    }
    next
}

impl Recovery {
    /// The recovery before it has read any segment.
    fn on(ground: Ground) -> Self {
        let Ground { place, state, base, digest, checkpoint } = ground;
        let mark = FloorMark { lamport: base.lamport, base: digest };
        Self {
            began: (state.op_count(), place.position.seq),
            past: Past::new(state, ReachedFloor { mark, ops: base.ops }),
            position: place.position,
            start: place,
            origin: None,
            last_segment: None,
            torn: None,
            mended: Vec::new(),
            dropped: Vec::new(),
            warnings: Vec::new(),
            useless: Vec::new(),
            moved: None,
            lacking: Vec::new(),
            base,
            checkpoint,
            replayed: 0,
            spans: Vec::new(),
            skipped: 0,
        }
    }

    /// Fails if the fold has left out an op that comes after a gap.
    fn counted(self, disk: &dyn Disk) -> Result<Self, JournalError> {
        let (ops, seq) = self.began;
        let (folded, records) = (self.past.state().op_count() - ops, self.position.seq - seq);
        if folded + self.skipped != records {
            let taken = folded + self.skipped;
            let why =
                format!("of the {records} records behind record {seq} only {taken} have ops that follow each other");
            return Err(JournalError::Damaged { path: disk.path(""), at: 0, why });
        }
        Ok(self)
    }

    /// Fails if an unused base holds more. The name of a damaged base tells its floor.
    fn must_hold(&self, disk: &dyn Disk, cut_off: Option<&Ground>) -> Result<(), JournalError> {
        let floors = self.useless.iter().filter_map(|name| Some((name, base::lamport(name)?)));
        if let Some((name, floor)) = floors.max_by_key(|&(_, floor)| floor)
            && floor > self.past.state().lamport()
        {
            return Err(JournalError::EndsBelow { file: disk.path(name), floor });
        }
        let more = cut_off.filter(|ground| ground.base.ops > self.past.state().op_count());
        more.map_or(Ok(()), |ground| {
            let path = disk.path(&segment::name(ground.place.position.seq + 1));
            Err(JournalError::Missing { path, passed_over: self.warnings.clone() })
        })
    }

    /// The upper bound for a segment that the start does not read: no op in the segment has a higher Lamport counter.
    fn bound(&self, first_seq: u64) -> SegmentSpan {
        let below = first_seq <= self.base.needed();
        let highest = if below { self.base.lamport } else { self.past.state().lamport() };
        SegmentSpan { first_seq, highest }
    }

    /// Goes on from the base or checkpoint that no segment follows, or from nothing if there is neither. Drops the
    /// later segments.
    fn beyond(self, disk: &dyn Disk, files: &JournalFiles, cut_off: Option<Ground>) -> Self {
        let what = plan::missing(disk, self.position.seq + 1);
        let mut lacking = Vec::new();
        if let Some(ground) = &cut_off {
            lacking.extend(ground.checkpoint.map(|_| Lacking::ForOthers(what.clone())));
            lacking.extend((ground.base != BaseMark::BIRTH).then_some(Lacking::ForOlderBase(what)));
        }
        let base = cut_off.as_ref().filter(|ground| ground.checkpoint.is_none() && ground.base != BaseMark::BIRTH);
        let moved = base.map(|base| SegmentPlace::behind(base.place.position));
        let (warnings, useless) = (self.warnings, self.useless);
        let mut recovery = Self::on(cut_off.unwrap_or_else(Ground::birth));
        let behind = recovery.position.seq + 1;
        recovery.torn = Some(plan::missing(disk, behind));
        let (before, dropped) = files.segments.iter().partition(|&&first| first < behind);
        let before: Vec<u64> = before;
        recovery.spans = before.into_iter().map(|first| recovery.bound(first)).collect();
        Self { dropped, lacking, warnings, useless, moved, ..recovery }
    }

    /// Reads these segments on another thread and folds their ops on this one. Returns false as soon as `fold` returns
    /// false.
    fn replay(
        &mut self,
        disk: &dyn Disk,
        segments: &[u64],
        options: RecoveryOptions,
        mut fold: impl FnMut(&mut Past, Op) -> bool,
    ) -> Result<bool, JournalError> {
        let (reader, lots) = JournalReader::new(disk, options, self.start);
        let mut past = std::mem::replace(&mut self.past, State::new().into());
        let read = thread::scope(|scope| {
            let builder = thread::Builder::new().name("journal reader".into());
            let reader = builder.spawn_scoped(scope, move || reader.run(segments)).map_err(JournalError::System)?;
            // Drops the receiver at the first op that is not folded, which ends the reader.
            let in_order = lots.into_iter().flatten().all(|op| {
                if op.lamport <= self.base.lamport || op.id.seq <= past.state().seen(op.id.origin) {
                    self.skipped += 1;
                    return true;
                }
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
        self.spans.extend(end.spans);
        self.warnings.extend(end.warning);
        Ok(in_order)
    }
}

/// The tracker that owns the journal, by the latest sound header that names one. `None` if no header does.
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
