//! Bases that go to other trackers, and the one that comes from another tracker: a file of its own until it is whole.

use super::super::disk::{Disk, DiskFile, remove_if_there, write_all_at};
use super::super::record::JournalPosition;
use super::super::segment::SegmentPlace;
use super::super::state_file::{DIGEST_LEN, HEAD_LEN, UnsoundStateFile, read_state};
use super::{INCOMING, KIND, name};
use crate::model::op::floor::FloorMark;
use crate::tracker::commit::BasePart;
use ring::digest::{Context, SHA256};
use std::io;

/// The name of a base that is still coming in.
const TEMP: &str = "incoming.new";

/// Reads a part of the state in a base of this journal.
pub(super) fn part(disk: &dyn Disk, lamport: u64, offset: u64, len: usize) -> io::Result<BasePart> {
    let name = name(lamport);
    let around = (HEAD_LEN + DIGEST_LEN) as u64;
    let total = disk.len(&name)?.checked_sub(around).ok_or(io::ErrorKind::UnexpectedEof)?;
    let end = offset.saturating_add(len as u64).min(total);
    let at = |offset: u64| HEAD_LEN as u64 + offset;
    let bytes = if offset < end { disk.read_part(&name, at(offset)..at(end))? } else { Vec::new() };
    Ok(BasePart { total, bytes })
}

/// A base that comes in part by part.
pub(super) struct Incoming {
    floor: FloorMark,
    file: Box<dyn DiskFile>,
    /// The digest of the state, over the parts received so far.
    state: Context,
    /// The digest of all that is written.
    whole: Context,
    end: u64,
}

impl Incoming {
    /// Makes an empty file, which replaces one of an earlier attempt.
    pub(super) fn new(disk: &dyn Disk, floor: FloorMark) -> io::Result<Self> {
        // The start that adopts the base gives it a place.
        let position = JournalPosition { seq: 0, batch: 0 };
        let head = KIND.head(SegmentPlace { position, first_seq: 0, at: 0, is_beginning: false });
        let mut file = disk.create(TEMP)?;
        write_all_at(&mut *file, &head, 0)?;
        let mut whole = Context::new(&SHA256);
        whole.update(&head);
        Ok(Self { floor, file, state: Context::new(&SHA256), whole, end: HEAD_LEN as u64 })
    }

    /// Whether this part of this base comes next.
    pub(super) fn expects(&self, floor: FloorMark, offset: u64) -> bool {
        self.floor == floor && self.end == HEAD_LEN as u64 + offset
    }

    pub(super) fn is_of(&self, floor: FloorMark) -> bool {
        self.floor == floor
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&mut *self.file, bytes, self.end)?;
        self.state.update(bytes);
        self.whole.update(bytes);
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Removes the remains of an unfinished attempt.
    pub(super) fn discard(disk: &dyn Disk) -> io::Result<()> {
        remove_if_there(disk, TEMP)
    }

    /// Makes the base durable under the name by which a start finds it, if it is the base of its floor. Returns true
    /// if it is.
    pub(super) fn finish(mut self, disk: &dyn Disk) -> io::Result<bool> {
        let is_it = self.state.clone().finish().as_ref() == self.floor.base && self.holds_state(disk)?;
        if !is_it {
            return Ok(false);
        }
        write_all_at(&mut *self.file, self.whole.finish().as_ref(), self.end)?;
        self.file.sync_data()?;
        disk.rename(TEMP, INCOMING)?;
        disk.sync_folder()?;
        Ok(true)
    }

    /// Whether the bytes are a state of this floor, in the form that trackers write.
    fn holds_state(&self, disk: &dyn Disk) -> io::Result<bool> {
        match read_state(disk, TEMP, HEAD_LEN as u64..self.end) {
            Ok(state) => Ok(state.floor() == self.floor.lamport && state.digest() == self.floor.base),
            Err(UnsoundStateFile::Unreadable(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }
}
