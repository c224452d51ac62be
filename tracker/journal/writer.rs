//! The open segment: appends whole batches, and removes the remains of a batch that failed.

use super::disk::{DiskFile, write_all_at};
use super::segment::{Mark, mark_page};
use crate::sys::{self, space};
use std::io;

/// Why a batch was not written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    /// There was no room, and nothing of the batch is left in the file.
    NoRoom(String),
    /// The content of the file is uncertain.
    Uncertain(String),
}

/// An open segment. From `end` on the bytes are zeros. If `torn`, they may be remains of a batch that failed.
pub(super) struct SegmentWriter {
    file: Box<dyn DiskFile>,
    end: u64,
    /// For how many bytes the file has room.
    allocated: u64,
    /// How many bytes of room are allocated at a time. An fdatasync without a new length takes a third less time.
    chunk_len: u64,
    torn: bool,
}

impl SegmentWriter {
    /// Continues at `end` in a file that has room for `allocated` bytes.
    pub(super) fn new(file: Box<dyn DiskFile>, end: u64, allocated: u64, chunk_len: u64) -> Self {
        Self { file, end, allocated, chunk_len, torn: false }
    }

    /// Where the next batch begins.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Appends the records of a batch and its mark, and makes both durable.
    pub(super) fn append(&mut self, records: &[u8], batch: u64) -> Result<(), WriteError> {
        self.take_back()?;
        let mark = Mark { batch, start: self.end, end: self.end + records.len() as u64 };
        if let Err(error) = self.write(records, &mark) {
            self.torn = true;
            self.take_back()?;
            return Err(if space::cannot_grow(&error) {
                WriteError::NoRoom(sys::reason(&error))
            } else {
                WriteError::Uncertain(format!("cannot write: {}", sys::reason(&error)))
            });
        }
        self.sync()?;
        self.end = mark.end;
        Ok(())
    }

    fn write(&mut self, records: &[u8], mark: &Mark) -> io::Result<()> {
        self.make_room(mark.end)?;
        write_all_at(&mut *self.file, records, mark.start)?;
        write_all_at(&mut *self.file, &mark_page(mark), mark.offset() as u64)
    }

    fn make_room(&mut self, len: u64) -> io::Result<()> {
        if len <= self.allocated {
            return Ok(());
        }
        let roomy = len + self.chunk_len;
        self.allocated = match self.file.allocate(roomy) {
            Ok(()) => roomy,
            // A disk that is nearly full may still have room for this batch.
            Err(error) if space::cannot_grow(&error) => {
                self.file.allocate(len)?;
                len
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Writes bytes again that the file holds already. The next sync then writes them to the disk even if they were
    /// only in the cache.
    pub(super) fn rewrite(&mut self, bytes: &[u8], offset: u64) -> Result<(), WriteError> {
        write_all_at(&mut *self.file, bytes, offset).map_err(|error| uncertain("write", &error))
    }

    /// Makes all written bytes durable.
    pub(super) fn sync(&mut self) -> Result<(), WriteError> {
        self.file.sync_data().map_err(|error| uncertain("fsync", &error))
    }

    /// Releases the room after the end. The segment takes no more batches.
    pub(super) fn seal(&mut self) {
        // Zeros at the end of a segment mean nothing.
        let _ = self.file.set_len(self.end);
    }

    /// Cuts off the remains of a batch that failed, before any other write.
    fn take_back(&mut self) -> Result<(), WriteError> {
        if self.torn {
            self.file.set_len(self.end).map_err(|error| uncertain("take back an incomplete write", &error))?;
            self.allocated = self.end;
            self.torn = false;
        }
        Ok(())
    }
}

fn uncertain(doing: &str, error: &io::Error) -> WriteError {
    WriteError::Uncertain(format!("cannot {doing}: {}", sys::reason(error)))
}
