//! What a journal holds: the state, and where and how the records end. Reads only.

use super::checkpoint;

use super::disk::Disk;
use super::error::JournalError;
use super::reader::{Verdict, judge, walk};
use super::record;
use super::record::{JournalPosition, RecordPosition};
use super::segment;
use super::segment::{Header, HeaderError, Mark, RECORDS_AT};
use crate::model::id::Origin;
use crate::model::op::Op;
use crate::tracker::ledger::Past;
use crate::tracker::state::State;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

/// Ops that go from the thread that reads to the one that folds at once, and how many such lots may wait.
const LOT_LEN: usize = 1024;
const LOTS_MAX: usize = 16;

/// How a journal is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryOptions {
    /// Whose it has to be; of any tracker if `None`.
    pub tracker: Option<u16>,
    /// Whether to begin at the last checkpoint or at the first op.
    pub checkpoints: bool,
    /// Whether to end at damage of any kind as if it were in the last batch.
    pub force: bool,
}

/// What a journal holds.
#[derive(Debug)]
pub struct Recovery {
    /// The fold of all ops.
    pub past: Past,
    /// The last record, and the highest number of a batch that is in use.
    pub position: JournalPosition,
    /// Under which origin ops were issued last.
    pub origin: Option<Origin>,
    /// The last segment, if there is one.
    pub tail: Option<LastSegment>,
    /// What is wrong with it, with the file and the place, if it cannot be gone on with.
    pub torn: Option<String>,
    /// Headers that were damaged, made up from the records behind them; only if it was forced.
    pub mended: Vec<Header>,
    /// Segments that follow the damage; only if it was forced.
    pub dropped: Vec<u64>,
    /// What the operator has to know besides.
    pub warnings: Vec<String>,
    /// Where the checkpoint stands from which the state comes.
    pub checkpoint: Option<u64>,
    /// How many ops were folded on top of that.
    pub replayed: u64,
}

/// The segment in which the records end.
#[derive(Debug)]
pub struct LastSegment {
    /// Its header.
    pub header: Header,
    /// Its length.
    pub len: u64,
    /// Where its last batch begins and ends.
    pub mark: Mark,
    /// The bytes of that.
    pub last_batch: Vec<u8>,
    /// The page of a mark that is damaged.
    pub damaged_mark: Option<u64>,
}

/// Reads a journal.
pub fn recover(disk: &dyn Disk, options: RecoveryOptions) -> Result<Recovery, JournalError> {
    let (mut recovery, in_order) = read(disk, options, fold_next)?;
    if in_order {
        return recovery.counted(disk);
    }
    // Ops of other trackers came late: all ops are needed then, in their order.
    let mut ops = Vec::new();
    (recovery, _) = read(disk, RecoveryOptions { checkpoints: false, ..options }, |_, op| {
        ops.push(op);
        true
    })?;
    ops.sort_unstable_by_key(Op::order);
    ops.into_iter().for_each(|op| recovery.past.apply(op));
    recovery.counted(disk)
}

/// Reads a journal and hands over its ops in the order in which they were written, with the state of the checkpoint, if
/// there is one. Says whether `fold` took them all; it is given none after one that it did not take.
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
    // A checkpoint is written once the segment behind it is there.
    let first_seq = recovery.position.seq + 1;
    let first = segments.binary_search(&first_seq);
    let first = first.map_err(|_| JournalError::Missing(disk.path(&segment::name(first_seq))))?;
    let in_order = recovery.replay(disk, &segments[first..], options, fold)?;
    Ok((recovery, in_order))
}

/// Folds an op on top of all others; false if it does not belong there.
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
            tail: None,
            torn: None,
            mended: Vec::new(),
            dropped: Vec::new(),
            warnings: Vec::new(),
            checkpoint: None,
            replayed: 0,
        }
    }

    /// Makes sure that no op was left out: the fold takes none that lies behind a gap.
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

    /// Reads these segments on one thread and folds their ops on this one; false as soon as `fold` is.
    fn replay(
        &mut self,
        disk: &dyn Disk,
        segments: &[u64],
        options: RecoveryOptions,
        mut fold: impl FnMut(&mut Past, Op) -> bool,
    ) -> Result<bool, JournalError> {
        let (give, take) = bounded(LOTS_MAX);
        let lots = Lots { give, lot: Vec::new() };
        let reading = JournalReader { disk, options, lots, position: self.position, mended: Vec::new() };
        let mut past = std::mem::replace(&mut self.past, State::new().into());
        let read = thread::scope(|scope| {
            let builder = thread::Builder::new().name("journal reader".into());
            let reader = builder.spawn_scoped(scope, move || reading.run(segments)).map_err(JournalError::System)?;
            let in_order = fold_all(take, |op| {
                self.replayed += 1;
                fold(&mut past, op)
            });
            let found = reader.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok((in_order, found))
        });
        let (in_order, found) = read?;
        self.past = past;
        self.position = found.position;
        self.origin = found.tail.as_ref().map(|tail| tail.header.origin);
        self.tail = found.tail;
        self.torn = found.torn;
        self.mended = found.mended;
        self.dropped = found.dropped;
        self.warnings.extend(found.warning);
        Ok(in_order)
    }
}

fn fold_all(take: Receiver<Vec<Op>>, mut fold: impl FnMut(Op) -> bool) -> bool {
    take.into_iter().flatten().all(&mut fold)
}

/// Hands ops over in lots.
struct Lots {
    give: Sender<Vec<Op>>,
    lot: Vec<Op>,
}

impl Lots {
    fn push(&mut self, op: Op) {
        self.lot.push(op);
        if self.lot.len() == LOT_LEN {
            self.flush();
        }
    }

    fn flush(&mut self) {
        // Fails if an op came out of order; then all is read once more.
        let _ = self.give.send(std::mem::replace(&mut self.lot, Vec::with_capacity(LOT_LEN)));
    }
}

/// The thread that reads segments.
struct JournalReader<'a> {
    disk: &'a dyn Disk,
    options: RecoveryOptions,
    lots: Lots,
    position: JournalPosition,
    mended: Vec<Header>,
}

/// Where the records end.
struct RecordsEnd {
    position: JournalPosition,
    tail: Option<LastSegment>,
    torn: Option<String>,
    mended: Vec<Header>,
    dropped: Vec<u64>,
    warning: Option<String>,
}

impl JournalReader<'_> {
    /// Takes itself along, so that the other side sees the end of the ops when this one is done.
    fn run(mut self, segments: &[u64]) -> Result<RecordsEnd, JournalError> {
        let found = self.read_all(segments);
        self.lots.flush();
        found
    }

    fn read_all(&mut self, segments: &[u64]) -> Result<RecordsEnd, JournalError> {
        for (i, &first_seq) in segments.iter().enumerate() {
            let next = segments.get(i + 1).copied();
            if let Some(mut found) = self.read(first_seq, next)? {
                found.dropped = segments[i + 1..].to_vec();
                return Ok(found);
            }
        }
        Err(JournalError::Missing(self.disk.path(&segment::name(self.position.seq + 1))))
    }

    /// Reads one segment; `None` if the records go on in the next one.
    fn read(&mut self, first_seq: u64, next: Option<u64>) -> Result<Option<RecordsEnd>, JournalError> {
        let name = segment::name(first_seq);
        let path = self.disk.path(&name);
        let bytes = self.disk.read(&name);
        let bytes = bytes.map_err(|error| JournalError::Io { path: path.clone(), doing: "read", error })?;
        let (header, damage) = self.header(&bytes, first_seq, next.is_none())?;
        let before = RecordPosition { seq: first_seq - 1, batch: header.first_batch - 1, left: 0 };
        let mut origin = None;
        let walk = walk(&bytes, before, next, |op| {
            origin = Some(op.id.origin);
            self.lots.push(op);
        });
        self.position.seq = walk.last.seq;
        self.position.batch = self.position.batch.max(walk.last.batch);
        let header = Header { origin: origin.filter(|_| damage.is_some()).unwrap_or(header.origin), ..header };
        let cut = bytes.len() < RECORDS_AT;
        if damage.is_some() && !cut {
            self.mended.push(header);
        }
        let marks = segment::marks(&bytes);
        let torn = match (damage, next) {
            (_, Some(next)) if next == walk.last.seq + 1 => return Ok(None),
            (None, None) => match judge(&bytes, &walk, marks.latest) {
                Verdict::End => None,
                Verdict::Torn(why) => Some(why),
                Verdict::Damage(why) => Some(self.refuse_unless_forced(&path, walk.end, why)?),
            },
            (Some(why), _) => Some(why),
            (None, Some(_)) => {
                let why = match &walk.unknown {
                    Some(error) => format!("an op of a kind that this version does not know ({error})"),
                    None => "another file with later changes follows".into(),
                };
                Some(self.refuse_unless_forced(&path, walk.end, why)?)
            }
        };
        // No batch gets a number that a mark has already seen.
        let marked = marks.latest.map_or(0, |mark| mark.batch);
        self.position.batch = self.position.batch.max(marked);
        let path = path.display();
        let warning = (marks.damaged.is_some() && torn.is_none())
            .then(|| format!("{path}: one of the two marks of where it ends is damaged; nothing is missing"));
        let torn = torn.map(|why| format!("{path} is damaged at byte {}: {why}", walk.end));
        let (start, end) = (walk.batch_start, walk.end);
        let tail = LastSegment {
            header,
            len: bytes.len() as u64,
            mark: Mark { batch: walk.last.batch, start: start as u64, end: end as u64 },
            last_batch: bytes[start..end].to_vec(),
            damaged_mark: marks.damaged,
        };
        let (position, mended) = (self.position, std::mem::take(&mut self.mended));
        Ok(Some(RecordsEnd { position, tail: Some(tail), torn, mended, dropped: Vec::new(), warning }))
    }

    fn refuse_unless_forced(&self, path: &Path, at: usize, why: String) -> Result<String, JournalError> {
        if self.options.force {
            return Ok(why);
        }
        Err(JournalError::Damaged { path: path.to_path_buf(), at: at as u64, why })
    }

    /// The header of a segment, or one made up of what else is known, and then what is wrong with the real one.
    fn header(&self, bytes: &[u8], first_seq: u64, last: bool) -> Result<(Header, Option<String>), JournalError> {
        let path = self.disk.path(&segment::name(first_seq));
        let why = match segment::header(bytes) {
            Ok(header) => {
                let tracker = header.origin.tracker;
                if self.options.tracker.is_some_and(|asked| asked != tracker) {
                    return Err(JournalError::OtherTracker { path, tracker });
                }
                // What is appended has numbers above all before, and must be what the header says.
                if header.first_seq == first_seq && header.first_batch > self.position.batch {
                    return Ok((header, None));
                }
                "it does not begin where its name, or what comes before it, says".to_owned()
            }
            Err(HeaderError::Newer(version)) => return Err(JournalError::Newer { path, version }),
            Err(HeaderError::Short) if last => {
                return Ok((
                    self.made_up(bytes, first_seq),
                    Some(format!("the file ends after {} bytes", bytes.len())),
                ));
            }
            Err(HeaderError::Short) => "the file is too short".to_owned(),
            Err(HeaderError::Magic) => "it does not begin like a journal".to_owned(),
            Err(HeaderError::Damaged) => "its header is damaged".to_owned(),
        };
        if !self.options.force {
            return Err(JournalError::Damaged { path, at: 0, why });
        }
        Ok((self.made_up(bytes, first_seq), Some(why)))
    }

    fn made_up(&self, bytes: &[u8], first_seq: u64) -> Header {
        let first = bytes.get(RECORDS_AT..).and_then(record::take);
        Header {
            origin: Origin { tracker: self.options.tracker.unwrap_or(0), incarnation: 0 },
            first_seq,
            first_batch: first.map_or(self.position.batch + 1, |first| first.place.batch.max(1)),
        }
    }
}

/// Reads the first header of a journal to learn whose it is; `None` if there is none.
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
