//! Walks through the records of one segment, and judges why they end.

use super::record;
use super::record::JournalPosition;
use super::record::{HEAD_LEN, OP_LEN_MAX, RecordPosition};
use super::segment::{Mark, RECORDS_AT, SegmentHeader, SegmentPlace};
use crate::model::op::Op;
use crate::wire::codec::{DecodeError, from_bytes};

/// The faultless records at the front of a segment: each follows the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk {
    /// The offset of their end.
    pub end: usize,
    /// The offset of the last batch among them.
    pub batch_start: usize,
    /// The last record before that batch.
    pub before_batch: u64,
    /// The last of them. Without any, the record before the segment's first.
    pub last: RecordPosition,
    /// The next op is whole, but of a kind unknown to this version.
    pub unknown: Option<DecodeError>,
}

/// The place where the records of a segment begin or go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalkStart {
    at: usize,
    /// The record before.
    before: RecordPosition,
}

impl WalkStart {
    /// The first record after the header. If `place` lies in this segment, the record after that place.
    pub(super) fn of(header: &SegmentHeader, place: Option<SegmentPlace>) -> Self {
        let (at, JournalPosition { seq, batch }) = match place.filter(|place| place.is_inside(header.first_seq)) {
            Some(place) => (usize::try_from(place.at).unwrap_or(usize::MAX), place.position),
            None => (RECORDS_AT, JournalPosition { seq: header.first_seq - 1, batch: header.first_batch - 1 }),
        };
        Self { at, before: RecordPosition { seq, batch, left: 0 } }
    }
}

/// Walks the records of a segment and hands over their ops. Ends at a faulty record, when `take` returns false, or
/// before the record `until`.
pub(super) fn walk(
    bytes: &[u8],
    WalkStart { at, before }: WalkStart,
    until: Option<u64>,
    mut take: impl FnMut(Op) -> bool,
) -> Walk {
    let start = at.min(bytes.len());
    let mut walk = Walk { end: start, batch_start: start, before_batch: before.seq, last: before, unknown: None };
    while until != Some(walk.last.seq + 1) {
        let Some(record) = record::take(&bytes[walk.end..]) else { break };
        let RecordPosition { seq, batch, left } = walk.last;
        let first = left == 0;
        let place = record.place;
        let follows = if first { place.batch == batch + 1 } else { (place.batch, place.left) == (batch, left - 1) };
        if place.seq != seq + 1 || !follows {
            break;
        }
        match from_bytes(record.op) {
            Ok(op) => {
                if !take(op) {
                    break;
                }
            }
            Err(error) => {
                walk.unknown = Some(error);
                break;
            }
        }
        if first {
            (walk.batch_start, walk.before_batch) = (walk.end, seq);
        }
        walk.last = place;
        walk.end += record.byte_len();
    }
    walk
}

impl Walk {
    /// The place after the last whole batch.
    pub(super) fn place(&self, first_seq: u64) -> SegmentPlace {
        let RecordPosition { seq, batch, left } = self.last;
        let (seq, batch, at) =
            if left == 0 { (seq, batch, self.end) } else { (self.before_batch, batch - 1, self.batch_start) };
        SegmentPlace { position: JournalPosition { seq, batch }, first_seq, at: at as u64, is_beginning: false }
    }
}

/// What follows the records of the last segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: the journal ends there.
    End,
    /// The rest of a batch that a crash interrupted.
    Torn(String),
    /// Damage that no crash explains.
    Damage(String),
}

/// Judges what follows the records of the last segment, given the segment's latest mark.
pub(super) fn judge(bytes: &[u8], walk: &Walk, mark: Option<Mark>) -> Verdict {
    if let Some(error) = walk.unknown {
        return Verdict::Damage(format!("an op of a kind that this version does not know ({error})"));
    }
    let Some(mark) = mark else {
        return Verdict::Damage("both marks of where the last batch ends are gone".into());
    };
    let (at, rest) = (walk.end as u64, &bytes[walk.end..]);
    let zeros = rest.iter().all(|&byte| byte == 0);
    let whole = walk.last.left == 0;
    if whole && zeros && at >= mark.end {
        // The number of the next batch would not follow the last one here.
        let told = mark.batch > walk.last.batch;
        return if told {
            Verdict::Damage(format!("batch {} should have ended before that and is not there", mark.batch))
        } else {
            Verdict::End
        };
    }
    let damaged_batch = walk.last.batch + u64::from(whole);
    if let Some(later) = record::find_later(rest, walk.last.seq, damaged_batch) {
        return Verdict::Damage(format!("a later batch follows at byte {}", at + later as u64));
    }
    let len = bytes.len() as u64;
    // A file that was cut ends inside its first incomplete record. Nothing follows from which to judge.
    let cut = len <= mark.start && rest.len() < HEAD_LEN + OP_LEN_MAX;
    if at < mark.start && !cut {
        return Verdict::Damage(format!("a later batch at byte {} was durable and is gone too", mark.start));
    }
    Verdict::Torn(if len < mark.end {
        format!("the file ends {} bytes too early", mark.end - len)
    } else if zeros {
        "there are only zeros where the last batch should be".into()
    } else {
        "the last batch is incomplete or damaged".into()
    })
}
