//! One record of the journal: an op, its place, and a checksum over both.

use crate::model::op::Op;
use crate::wire::codec::{Wire, wire_struct};
use byteorder::{BigEndian, ByteOrder};

/// Length of a record without its op, in bytes.
pub const HEAD_LEN: usize = 28;
/// Longest op in bytes. The longest ops that trackers write have some 800.
pub const OP_LEN_MAX: usize = 64 * 1024;

/// Highest number of a record or a batch. No journal reaches it, so that every number has a next one.
pub const NUMBER_MAX: u64 = 1 << 62;

/// The offset of the checksum in the head: after all other fields.
const CHECKSUM_AT: usize = 24;

/// The position of a record in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPosition {
    /// From 1, without gaps, through all segments.
    pub seq: u64,
    /// Its batch: the records that became durable together. From 1, without gaps.
    pub batch: u64,
    /// How many records of its batch follow.
    pub left: u32,
}

/// A place between two batches, to which a state may belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalPosition {
    /// The last record before it.
    pub seq: u64,
    /// The batch of that record.
    pub batch: u64,
}
wire_struct!(JournalPosition { seq, batch });

/// A whole record with a right checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalRecord<'a> {
    pub place: RecordPosition,
    /// Its op, encoded.
    pub op: &'a [u8],
}

impl JournalRecord<'_> {
    pub fn byte_len(&self) -> usize {
        HEAD_LEN + self.op.len()
    }
}

/// Appends a record. Returns false and appends nothing if the op is longer than any op can be.
pub fn put(place: RecordPosition, op: &Op, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + HEAD_LEN, 0);
    op.put(out);
    let op_len = out.len() - start - HEAD_LEN;
    if op_len > OP_LEN_MAX {
        out.truncate(start);
        return false;
    }
    let record = &mut out[start..];
    BigEndian::write_u32(&mut record[0..4], op_len as u32);
    BigEndian::write_u64(&mut record[4..12], place.seq);
    BigEndian::write_u64(&mut record[12..20], place.batch);
    BigEndian::write_u32(&mut record[20..24], place.left);
    let checksum = checksum(record);
    BigEndian::write_u32(&mut record[CHECKSUM_AT..HEAD_LEN], checksum);
    true
}

/// The record at the front of these bytes; `None` if there is no whole one with a right checksum.
pub fn take(bytes: &[u8]) -> Option<JournalRecord<'_>> {
    let head = bytes.get(..HEAD_LEN)?;
    let op_len = BigEndian::read_u32(&head[0..4]) as usize;
    if op_len > OP_LEN_MAX {
        return None;
    }
    let record = bytes.get(..HEAD_LEN + op_len)?;
    if checksum(record) != BigEndian::read_u32(&head[CHECKSUM_AT..]) {
        return None;
    }
    let place = RecordPosition {
        seq: BigEndian::read_u64(&head[4..12]),
        batch: BigEndian::read_u64(&head[12..20]),
        left: BigEndian::read_u32(&head[20..24]),
    };
    (place.seq <= NUMBER_MAX && place.batch <= NUMBER_MAX).then_some(JournalRecord { place, op: &record[HEAD_LEN..] })
}

/// Looks in bytes that are damaged at their front for a record of a later batch than `batch`. Returns its offset. The
/// length of the bytes limits the sequences that can follow `seq`, so that few places need a checksum.
pub fn find_later(bytes: &[u8], seq: u64, batch: u64) -> Option<usize> {
    let room = (bytes.len() / HEAD_LEN) as u64 + 1;
    let last = bytes.len().checked_sub(HEAD_LEN)?;
    (0..=last).find(|&at| {
        let claimed = BigEndian::read_u64(&bytes[at + 4..at + 12]);
        let plausible = claimed > seq && claimed - seq <= room;
        plausible && take(&bytes[at..]).is_some_and(|record| record.place.batch > batch)
    })
}

/// Counts the whole records with a sequence above `seq`, in bytes that may be damaged anywhere. Returns the count and
/// the highest sequence.
pub fn whole_behind(bytes: &[u8], seq: u64) -> (u64, u64) {
    let highest = seq + (bytes.len() / HEAD_LEN) as u64 + 1;
    let (mut at, mut count, mut last) = (0, 0, seq);
    while at + HEAD_LEN <= bytes.len() {
        let claimed = BigEndian::read_u64(&bytes[at + 4..at + 12]);
        let plausible = claimed > last && claimed <= highest;
        match plausible.then(|| take(&bytes[at..])).flatten() {
            Some(record) => {
                (count, last) = (count + 1, claimed);
                at += record.byte_len();
            }
            None => at += 1,
        }
    }
    (count, last)
}

/// CRC-32 (IEEE) over the whole record except the checksum itself.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..CHECKSUM_AT]);
    hasher.update(&record[HEAD_LEN..]);
    hasher.finalize()
}
