//! The ops of a journal in their total order. Sorts runs of them in memory, writes these to a file and merges them, so
//! that the memory in use stays bounded.

use super::disk::{Disk, DiskFile, write_all_at};
use super::segment::NEW_SUFFIX;
use crate::model::id::OpOrder;
use crate::model::op::Op;
use crate::wire::codec::{Wire, from_bytes};
use byteorder::{BigEndian, ByteOrder};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::ops::Range;

/// How many ops a run has.
const RUN_OPS: usize = if cfg!(test) { 16 } else { 16 * 1024 };
/// How many bytes of all runs together are in memory during the merge.
const MERGE_BYTES: u64 = if cfg!(test) { 4096 } else { 8 * 1024 * 1024 };
/// The fewest bytes to read from a run at once.
const READ_MIN: u64 = if cfg!(test) { 64 } else { 4096 };
/// Bytes before each op: its length.
const HEAD_LEN: usize = 4;

/// Takes ops in any order, to sort them.
pub(super) struct Sorter<'a> {
    disk: &'a dyn Disk,
    ops: Vec<Op>,
    /// The runs in the file, one after the other.
    runs: Vec<Range<u64>>,
    file: Option<Box<dyn DiskFile>>,
    /// The disk takes no more runs.
    full: bool,
}

/// The name of the file with the runs. A start removes a file that was left behind.
pub(super) fn name() -> String {
    format!("sorted{NEW_SUFFIX}")
}

impl<'a> Sorter<'a> {
    /// One sorter at a time may work in a folder.
    pub(super) fn new(disk: &'a dyn Disk) -> Self {
        Self { disk, ops: Vec::new(), runs: Vec::new(), file: None, full: false }
    }

    /// Takes an op.
    ///
    /// # Errors
    /// A run cannot be written. This run and all later ops stay in memory.
    pub(super) fn push(&mut self, op: Op) -> io::Result<()> {
        self.ops.push(op);
        if self.ops.len() < RUN_OPS || self.full {
            return Ok(());
        }
        self.ops.sort_unstable_by_key(Op::order);
        let written = self.write_run();
        self.full = written.is_err();
        written
    }

    fn write_run(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.disk.create(&name())?),
        };
        let mut bytes = Vec::new();
        for op in &self.ops {
            let start = bytes.len();
            bytes.resize(start + HEAD_LEN, 0);
            op.put(&mut bytes);
            let len = bytes.len() - start - HEAD_LEN;
            BigEndian::write_u32(&mut bytes[start..], len as u32);
        }
        let start = self.runs.last().map_or(0, |run| run.end);
        write_all_at(&mut **file, &bytes, start)?;
        self.runs.push(start..start + bytes.len() as u64);
        self.ops.clear();
        Ok(())
    }

    /// Hands over all ops in their total order, until `take` returns false.
    ///
    /// # Errors
    /// A run cannot be read.
    pub(super) fn merge(mut self, take: &mut dyn FnMut(Op) -> bool) -> io::Result<()> {
        let mut last = std::mem::take(&mut self.ops);
        last.sort_unstable_by_key(Op::order);
        let part_len = (MERGE_BYTES / (self.runs.len() as u64).max(1)).max(READ_MIN);
        let mut runs: Vec<Run<'_>> = self.runs.iter().map(|run| Run::new(self.disk, run.clone(), part_len)).collect();
        runs.push(Run::of(self.disk, last));
        let mut heads = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            heads.extend(run.advance()?.map(|order| Reverse((order, number))));
        }
        while let Some(Reverse((_, number))) = heads.pop() {
            let run = &mut runs[number];
            let Some(op) = run.head.take() else { continue };
            if !take(op) {
                break;
            }
            heads.extend(run.advance()?.map(|order| Reverse((order, number))));
        }
        Ok(())
    }
}

impl Drop for Sorter<'_> {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // If this fails, the next start removes it.
            let _ = self.disk.remove(&name());
        }
    }
}

/// A run that the merge reads.
struct Run<'a> {
    disk: &'a dyn Disk,
    /// The part that is still unread.
    left: Range<u64>,
    part_len: u64,
    /// The bytes read so far, and the offset of the next op in them.
    bytes: Vec<u8>,
    at: usize,
    /// The run that stayed in memory.
    ops: std::vec::IntoIter<Op>,
    head: Option<Op>,
}

impl<'a> Run<'a> {
    fn new(disk: &'a dyn Disk, left: Range<u64>, part_len: u64) -> Self {
        Self { disk, left, part_len, bytes: Vec::new(), at: 0, ops: Vec::new().into_iter(), head: None }
    }

    fn of(disk: &'a dyn Disk, ops: Vec<Op>) -> Self {
        Self { ops: ops.into_iter(), ..Self::new(disk, 0..0, 0) }
    }

    /// Advances to the next op. Returns its place; `None` at the end.
    fn advance(&mut self) -> io::Result<Option<OpOrder>> {
        self.head = match self.ops.next() {
            Some(op) => Some(op),
            None => self.read_op()?,
        };
        Ok(self.head.as_ref().map(Op::order))
    }

    fn read_op(&mut self) -> io::Result<Option<Op>> {
        if self.at == self.bytes.len() && self.left.is_empty() {
            return Ok(None);
        }
        let head = self.bytes(HEAD_LEN)?;
        let len = BigEndian::read_u32(head) as usize;
        let op = from_bytes(self.bytes(len)?);
        op.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The next `len` bytes.
    fn bytes(&mut self, len: usize) -> io::Result<&[u8]> {
        if self.bytes.len() - self.at < len {
            self.bytes.drain(..self.at);
            self.at = 0;
            let lacking = (len - self.bytes.len()) as u64;
            let part = lacking.max(self.part_len).min(self.left.end - self.left.start);
            self.bytes.extend(self.disk.read_part(&name(), self.left.start..self.left.start + part)?);
            self.left.start += part;
        }
        let bytes = self.bytes.get(self.at..self.at + len).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.at += len;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, OpId, Origin};
    use crate::model::name::UserId;
    use crate::model::op::{OpBody, PasswordHash};
    use crate::tracker::journal::disk::RealDisk;

    fn op(tracker: u16, seq: u64, lamport: u64) -> Op {
        let id = OpId { origin: Origin { tracker, incarnation: 1 }, seq };
        let name = UserId::parse(&format!("u{}", "x".repeat((lamport % 50) as usize))).expect("a name");
        let body = OpBody::CreateUser { name, password: PasswordHash("p".repeat(200).into()) };
        Op { id, lamport, command: CommandId([seq as u8; 16]), body }
    }

    fn merged(disk: &RealDisk, ops: &[Op], most: usize) -> Vec<Op> {
        let mut sorter = Sorter::new(disk);
        ops.iter().for_each(|op| sorter.push(op.clone()).expect("written"));
        let mut out = Vec::new();
        let take = &mut |op| {
            out.push(op);
            out.len() < most
        };
        sorter.merge(take).expect("read");
        out
    }

    #[test]
    fn ops_of_many_runs_come_in_their_order_and_no_file_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = RealDisk::open(folder.path()).expect("opens");
        for count in [0, 1, 16, 17, 200] {
            // The ops of the second tracker come long after that tracker issued them.
            let ops: Vec<Op> =
                (1..=count).map(|n| op(1, n, n * 3)).chain((1..=count).map(|n| op(2, n, n * 2))).collect();
            let mut sorted = ops.clone();
            sorted.sort_by_key(Op::order);
            assert_eq!(merged(&disk, &ops, usize::MAX), sorted);
            assert_eq!(merged(&disk, &ops, 5), sorted[..sorted.len().min(5)]);
            assert!(disk.list().expect("a folder").is_empty());
        }
    }
    #[test]
    fn runs_that_cannot_be_written_stay_in_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = RealDisk::open(folder.path()).expect("opens");
        std::fs::create_dir(folder.path().join(name())).expect("made");
        let mut sorter = Sorter::new(&disk);
        let failed = (1..=50).rev().filter(|&n| sorter.push(op(1, n, n)).is_err()).count();
        assert_eq!(failed, 1, "it is not tried again");
        let mut lamports = Vec::new();
        let take = &mut |op: Op| {
            lamports.push(op.lamport);
            true
        };
        sorter.merge(take).expect("memory");
        assert_eq!(lamports, (1..=50).collect::<Vec<_>>());
    }
}
