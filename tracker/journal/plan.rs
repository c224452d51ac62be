//! Where a start begins to read: the segments and checkpoints that a journal has, and what is lacking of them.

use super::checkpoint;
use super::disk::Disk;
use super::error::{JournalError, io_error};
use super::record::{JournalPosition, RecordPosition};
use super::segment;
use super::segment::RECORDS_AT;
use super::walk::{Verdict, judge, walk};
use crate::sys;
use crate::tracker::ledger::Past;
use crate::tracker::state::State;
use std::io;

/// The first record that the journal must have, so that any other tracker can get the ops that it lacks.
fn first_record() -> u64 {
    1
}

/// The files of a journal.
pub(super) struct JournalFiles {
    /// The first record of each segment, in order.
    pub(super) segments: Vec<u64>,
    /// The last record before each checkpoint, the latest first.
    pub(super) checkpoints: Vec<u64>,
}

/// Where a start begins.
pub(super) struct StartPoint {
    pub(super) position: JournalPosition,
    /// The fold up to there.
    pub(super) past: Past,
    /// The last record before the checkpoint from which that comes.
    pub(super) checkpoint: Option<u64>,
    /// Which of the segments is read first. An error if it is missing: its first record.
    pub(super) first: Result<usize, u64>,
    /// The checkpoints that were passed over, and why.
    pub(super) passed_over: Vec<String>,
    /// The latest sound checkpoint without a segment behind it.
    pub(super) cut_off: Option<(JournalPosition, State)>,
}

impl JournalFiles {
    pub(super) fn list(disk: &dyn Disk) -> Result<Self, JournalError> {
        let names = disk.list().map_err(io_error(disk, "", "read the folder"))?;
        let mut segments: Vec<u64> = names.iter().filter_map(|name| segment::first_seq(name)).collect();
        segments.sort_unstable();
        let checkpoints = checkpoint::all(disk).map_err(io_error(disk, "", "read the folder"))?;
        Ok(Self { segments, checkpoints })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.checkpoints.is_empty()
    }

    /// The segment that begins behind a record.
    fn behind(&self, seq: u64) -> Result<usize, u64> {
        self.segments.binary_search(&(seq + 1)).map_err(|_| seq + 1)
    }

    /// Begins at the first record.
    pub(super) fn whole(&self) -> StartPoint {
        let seq = first_record() - 1;
        StartPoint {
            position: JournalPosition { seq, batch: 0 },
            past: State::new().into(),
            checkpoint: None,
            first: self.behind(seq),
            passed_over: Vec::new(),
            cut_off: None,
        }
    }

    /// Begins at the latest checkpoint that is sound and has a segment behind it, or at the first record.
    pub(super) fn latest(&self, disk: &dyn Disk) -> StartPoint {
        let mut start = self.whole();
        for &seq in &self.checkpoints {
            let path = disk.path(&checkpoint::name(seq));
            let path = path.display();
            match (checkpoint::read(disk, seq), self.behind(seq)) {
                (Ok((position, state)), Ok(first)) => {
                    (start.position, start.past) = (position, state.into());
                    (start.checkpoint, start.first) = (Some(seq), Ok(first));
                    break;
                }
                (Ok(sound), Err(behind)) => {
                    let missing = missing(disk, behind);
                    start.passed_over.push(format!(
                        "the checkpoint {path} is passed over because {missing}; changes that were acknowledged may be gone"
                    ));
                    if start.cut_off.is_none() {
                        start.cut_off = Some(sound);
                        start.first = start.first.map_err(|_| behind);
                    }
                }
                (Err(why), _) => {
                    start.passed_over.push(format!("the checkpoint {path} {why}; it is passed over"));
                }
            }
        }
        start
    }

    /// What other trackers could not be given, because it is lacking before the segment with which a start begins.
    /// Looks at the front pages of segments only, where these are as they should be.
    pub(super) fn lacking(&self, disk: &dyn Disk, first: usize) -> Option<String> {
        if self.segments[0] > first_record() {
            return Some(missing(disk, first_record()));
        }
        self.segments[..=first].windows(2).find_map(|pair| {
            gap(disk, pair[0], pair[1]).unwrap_or_else(|error| {
                let path = disk.path(&segment::name(pair[0]));
                Some(format!("{} cannot be read: {}", path.display(), sys::reason(&error)))
            })
        })
    }
}

/// Says that a segment is missing.
pub(super) fn missing(disk: &dyn Disk, first_seq: u64) -> String {
    format!("{} is missing", disk.path(&segment::name(first_seq)).display())
}

/// What is wrong between the beginning of a segment and that of the next.
fn gap(disk: &dyn Disk, this: u64, next: u64) -> io::Result<Option<String>> {
    let name = segment::name(this);
    let front_of = |name: &str| disk.read_part(name, 0..RECORDS_AT as u64);
    let front = front_of(&name)?;
    // One that cannot be read is told when its turn comes.
    let next_header = front_of(&segment::name(next)).map(|front| segment::header(&front));
    let path = disk.path(&name);
    let Ok(header) = segment::header(&front) else {
        return Ok(Some(format!("{} has no sound header", path.display())));
    };
    let marked = segment::marks(&front).latest.map(|mark| mark.batch + 1);
    if matches!(next_header, Ok(Ok(next)) if Some(next.first_batch) == marked) {
        return Ok(None);
    }
    // A repair or a damaged mark may have left this. The records tell.
    let bytes = disk.read(&name)?;
    let before = RecordPosition { seq: this - 1, batch: header.first_batch - 1, left: 0 };
    let walk = walk(&bytes, before, Some(next), |_| {});
    let reached = walk.last.seq + 1;
    Ok(match judge(&bytes, &walk, segment::marks(&bytes).latest) {
        _ if reached == next => None,
        Verdict::End => Some(missing(disk, reached)),
        Verdict::Torn(_) | Verdict::Damage(_) => Some(format!("{} is damaged at byte {}", path.display(), walk.end)),
    })
}
