//! The thread that reads the segments of a journal one by one, up to the end of the records.

use super::base::spans::SegmentSpan;
use super::disk::Disk;
use super::error::JournalError;
use super::plan;
use super::record;
use super::record::JournalPosition;
use super::segment;
use super::segment::{HeaderError, Mark, RECORDS_AT, SegmentHeader, SegmentPlace};
use super::walk::{Verdict, WalkStart, judge, walk};
use crate::model::id::Origin;
use crate::model::op::Op;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::path::Path;

/// How many ops the reading thread hands at once to the folding one.
const LOT_LEN: usize = 1024;
/// The most lots that wait for the fold.
const LOTS_MAX: usize = 16;

/// How a journal is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryOptions {
    /// The tracker that the journal must belong to; `None` accepts any.
    pub tracker: Option<u16>,
    /// Whether to begin at the last checkpoint rather than at the base.
    pub checkpoints: bool,
    /// Whether to take damage of any kind for the end, as if it were in the last batch.
    pub force: bool,
}

/// The segment in which the records end.
#[derive(Debug)]
pub struct LastSegment {
    pub header: SegmentHeader,
    pub len: u64,
    /// The extent of its last batch.
    pub mark: Mark,
    /// The bytes of that batch.
    pub last_batch: Vec<u8>,
    /// The offset of a mark that is damaged.
    pub damaged_mark: Option<u64>,
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
        // Fails if the fold stopped at an op out of order. In that case recovery reads everything again.
        let _ = self.give.send(std::mem::replace(&mut self.lot, Vec::with_capacity(LOT_LEN)));
    }
}

/// The thread that reads segments.
pub(super) struct JournalReader<'a> {
    disk: &'a dyn Disk,
    options: RecoveryOptions,
    lots: Lots,
    /// The place where it begins.
    start: SegmentPlace,
    position: JournalPosition,
    mended: Vec<SegmentHeader>,
    spans: Vec<SegmentSpan>,
}

/// The end of the records.
pub(super) struct RecordsEnd {
    pub(super) position: JournalPosition,
    pub(super) last_segment: Option<LastSegment>,
    pub(super) torn: Option<String>,
    pub(super) mended: Vec<SegmentHeader>,
    pub(super) dropped: Vec<u64>,
    pub(super) warning: Option<String>,
    /// The segments that were read.
    pub(super) spans: Vec<SegmentSpan>,
}

impl<'a> JournalReader<'a> {
    /// A reader that begins at a place, and the lots of ops that it will send.
    pub(super) fn new(disk: &'a dyn Disk, options: RecoveryOptions, start: SegmentPlace) -> (Self, Receiver<Vec<Op>>) {
        let (give, take) = bounded(LOTS_MAX);
        let lots = Lots { give, lot: Vec::new() };
        let position = start.position;
        (Self { disk, options, lots, start, position, mended: Vec::new(), spans: Vec::new() }, take)
    }

    /// Reads these segments. Consumes the reader, which ends the channel of lots.
    pub(super) fn run(mut self, segments: &[u64]) -> Result<RecordsEnd, JournalError> {
        let end = self.read_all(segments);
        self.lots.flush();
        end
    }

    fn read_all(&mut self, segments: &[u64]) -> Result<RecordsEnd, JournalError> {
        for (i, &first_seq) in segments.iter().enumerate() {
            let next = segments.get(i + 1).copied();
            if let Some(mut end) = self.read(first_seq, next)? {
                end.dropped = segments[i + 1..].to_vec();
                return Ok(end);
            }
        }
        Err(self.missing())
    }

    /// Reads one segment. `None` if the records continue in the next one.
    fn read(&mut self, first_seq: u64, next: Option<u64>) -> Result<Option<RecordsEnd>, JournalError> {
        let name = segment::name(first_seq);
        let path = self.disk.path(&name);
        let bytes = self.bytes(&name, first_seq);
        let bytes = bytes.map_err(|error| JournalError::Io { path: path.clone(), doing: "read", error })?;
        let (header, damage) = self.header(&bytes, first_seq, next.is_none())?;
        let (tracker, mut origin, mut highest) = (self.options.tracker, None, 0);
        let walk = walk(&bytes, WalkStart::of(&header, Some(self.start)), next, |op| {
            highest = highest.max(op.lamport);
            if tracker.is_none_or(|tracker| tracker == op.id.origin.tracker) {
                origin = Some(op.id.origin);
            }
            self.lots.push(op);
            true
        });
        self.spans.push(SegmentSpan { first_seq, highest });
        self.position.seq = walk.last.seq;
        self.position.batch = self.position.batch.max(walk.last.batch);
        let header = SegmentHeader { origin: origin.filter(|_| damage.is_some()).unwrap_or(header.origin), ..header };
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
                let why = match judge(&bytes, &walk, marks.latest) {
                    Verdict::End if !self.options.force => return Err(self.missing()),
                    Verdict::End => plan::missing(self.disk, walk.last.seq + 1),
                    Verdict::Damage(why) if walk.unknown.is_some() => why,
                    _ => "another file with later changes follows".into(),
                };
                Some(self.refuse_unless_forced(&path, walk.end, why)?)
            }
        };
        // A new batch takes no number that a mark has already.
        let marked = marks.latest.map_or(0, |mark| mark.batch);
        self.position.batch = self.position.batch.max(marked);
        let path = path.display();
        let warning = (marks.damaged.is_some() && torn.is_none())
            .then(|| format!("{path}: one of the two marks of where it ends is damaged; nothing is missing"));
        let torn = torn.map(|why| format!("{path} is damaged at byte {}: {why}", walk.end));
        let (start, end) = (walk.batch_start, walk.end);
        let last_segment = LastSegment {
            header,
            len: bytes.len() as u64,
            mark: Mark { batch: walk.last.batch, start: start as u64, end: end as u64 },
            last_batch: bytes[start..end].to_vec(),
            damaged_mark: marks.damaged,
        };
        let (position, mended) = (self.position, std::mem::take(&mut self.mended));
        let (spans, dropped) = (std::mem::take(&mut self.spans), Vec::new());
        Ok(Some(RecordsEnd { position, last_segment: Some(last_segment), torn, mended, dropped, warning, spans }))
    }

    /// The bytes of a segment. If the disk cannot read all of it, zeros stand for the bytes before the start, which
    /// are not needed.
    fn bytes(&self, name: &str, first_seq: u64) -> io::Result<Vec<u8>> {
        match self.disk.read(name) {
            Err(_) if self.start.is_inside(first_seq) => {}
            read => return read,
        }
        let (len, at) = (self.disk.len(name)?, self.start.at);
        let mut bytes = self.disk.read_part(name, 0..(RECORDS_AT as u64).min(len))?;
        // A segment fits in memory.
        bytes.resize(at.min(len).max(bytes.len() as u64) as usize, 0);
        bytes.extend(self.disk.read_part(name, at.min(len)..len)?);
        Ok(bytes)
    }

    /// The next segment is not there.
    fn missing(&self) -> JournalError {
        let path = self.disk.path(&segment::name(self.position.seq + 1));
        JournalError::Missing { path, passed_over: Vec::new() }
    }

    fn refuse_unless_forced(&self, path: &Path, at: usize, why: String) -> Result<String, JournalError> {
        if self.options.force {
            return Ok(why);
        }
        Err(JournalError::Damaged { path: path.to_path_buf(), at: at as u64, why })
    }

    /// The header of a segment. In place of a damaged header, makes one from what else is known, and also returns what
    /// is wrong with the damaged one.
    fn header(
        &self,
        bytes: &[u8],
        first_seq: u64,
        last: bool,
    ) -> Result<(SegmentHeader, Option<String>), JournalError> {
        let path = self.disk.path(&segment::name(first_seq));
        let why = match segment::header(bytes) {
            Ok(header) => {
                let tracker = header.origin.tracker;
                // A header that a repair made may name no tracker.
                if tracker != 0 && self.options.tracker.is_some_and(|asked| asked != tracker) {
                    return Err(JournalError::OtherTracker { path, tracker });
                }
                // Appended batches have numbers above all earlier ones, and must follow the batch that the header
                // names.
                let follows = header.first_batch > self.position.batch || self.start.is_inside(first_seq);
                if header.first_seq == first_seq && follows {
                    return Ok((header, None));
                }
                "it does not begin where its name, or what comes before it, says".to_owned()
            }
            Err(HeaderError::OtherVersion(version)) => return Err(JournalError::OtherVersion { path, version }),
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

    fn made_up(&self, bytes: &[u8], first_seq: u64) -> SegmentHeader {
        let first = bytes.get(RECORDS_AT..).and_then(record::take);
        SegmentHeader {
            origin: Origin { tracker: self.options.tracker.unwrap_or(0), incarnation: 0 },
            first_seq,
            first_batch: first.map_or(self.position.batch + 1, |first| first.place.batch.max(1)),
        }
    }
}
