//! Walks through the records of one segment, and judges what ends the walk.

use super::record;
use super::record::{HEAD_LEN, OP_LEN_MAX, RecordPosition};
use super::segment::{Mark, RECORDS_AT};
use crate::model::op::Op;
use crate::wire::codec::{DecodeError, from_bytes};

/// How far the records of a segment go that follow each other without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk {
    /// Where they end.
    pub end: usize,
    /// Where the last batch among them begins.
    pub batch_start: usize,
    /// The last of them; before the first, what would come before it.
    pub last: RecordPosition,
    /// The next op is whole, but of a kind that this version does not know.
    pub unknown: Option<DecodeError>,
}

/// Walks the records behind the header and hands over their ops, until one is not as it should be or has the sequence
/// `until`. `before` is the place of the record before.
pub(super) fn walk(bytes: &[u8], before: RecordPosition, until: Option<u64>, mut take: impl FnMut(Op)) -> Walk {
    let start = RECORDS_AT.min(bytes.len());
    let mut walk = Walk { end: start, batch_start: start, last: before, unknown: None };
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
            Ok(op) => take(op),
            Err(error) => {
                walk.unknown = Some(error);
                break;
            }
        }
        if first {
            walk.batch_start = walk.end;
        }
        walk.last = place;
        walk.end += record.byte_len();
    }
    walk
}

/// What follows the records of the last segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it ends there.
    End,
    /// A rest of the last batch, as a crash leaves one.
    Torn(String),
    /// Damage that no crash explains.
    Damage(String),
}

/// Judges what follows the records of the last segment, given its latest mark.
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
        // The next batch would get a number that does not follow on the last one here.
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
    // A file that was cut ends inside the first record that is not whole; then nothing follows that could be told
    // apart.
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
