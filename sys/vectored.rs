//! Reads and writes at a place in a file, from and to several stretches of memory with one system call.

use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};

/// Room for bytes, in stretches of memory.
#[derive(Debug)]
pub struct ScatteredRoom<'a>(VecDeque<&'a mut [u8]>);

impl<'a> FromIterator<&'a mut [u8]> for ScatteredRoom<'a> {
    fn from_iter<I: IntoIterator<Item = &'a mut [u8]>>(stretches: I) -> Self {
        Self(stretches.into_iter().filter(|stretch| !stretch.is_empty()).collect())
    }
}

impl<'a> From<&'a mut [u8]> for ScatteredRoom<'a> {
    fn from(room: &'a mut [u8]) -> Self {
        std::iter::once(room).collect()
    }
}

impl<'a> ScatteredRoom<'a> {
    pub fn len(&self) -> usize {
        self.0.iter().map(|stretch| stretch.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The stretches, one after the other.
    pub fn into_stretches(self) -> impl Iterator<Item = &'a mut [u8]> {
        self.0.into_iter()
    }

    /// Takes the first `len` bytes of the room.
    #[must_use]
    pub fn split_front(&mut self, len: usize) -> Self {
        Self(self.take_front(len).into())
    }

    /// Fills the first `len` bytes of the room from a place in a file. The rest of the room remains.
    ///
    /// # Errors
    /// The file's errors; `UnexpectedEof` if it ends early.
    pub fn fill_from(&mut self, file: &File, mut offset: u64, len: usize) -> io::Result<()> {
        let front = self.take_front(len);
        let mut front: Vec<_> = front.into_iter().map(IoSliceMut::new).collect();
        let mut left = &mut front[..];
        while !left.is_empty() {
            match rustix::io::preadv(file, left, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    IoSliceMut::advance_slices(&mut left, len);
                    offset += len as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take_front(&mut self, mut len: usize) -> Vec<&'a mut [u8]> {
        let mut front = Vec::with_capacity(self.0.len());
        while len > 0 {
            let Some(first) = self.0.pop_front() else { break };
            let (now, later) = first.split_at_mut(len.min(first.len()));
            len -= now.len();
            front.push(now);
            if !later.is_empty() {
                self.0.push_front(later);
            }
        }
        front
    }
}

/// Bytes in stretches of memory.
#[derive(Debug)]
pub struct ScatteredBytes<'a>(VecDeque<&'a [u8]>);

impl<'a> FromIterator<&'a [u8]> for ScatteredBytes<'a> {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(stretches: I) -> Self {
        Self(stretches.into_iter().filter(|stretch| !stretch.is_empty()).collect())
    }
}

impl<'a> ScatteredBytes<'a> {
    /// Writes the first `len` bytes to a place in a file. The rest of the bytes remains.
    ///
    /// # Errors
    /// The file's errors.
    pub fn write_to(&mut self, file: &File, mut offset: u64, len: usize) -> io::Result<()> {
        let mut front = self.take_front(len);
        let mut left = &mut front[..];
        while !left.is_empty() {
            match rustix::io::pwritev(file, left, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    IoSlice::advance_slices(&mut left, len);
                    offset += len as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take_front(&mut self, mut len: usize) -> Vec<IoSlice<'a>> {
        let mut front = Vec::with_capacity(self.0.len());
        while len > 0 {
            let Some(first) = self.0.pop_front() else { break };
            let (now, later) = first.split_at(len.min(first.len()));
            len -= now.len();
            front.push(IoSlice::new(now));
            if !later.is_empty() {
                self.0.push_front(later);
            }
        }
        front
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_stretches_go_to_two_files_and_come_back() {
        let files = [tempfile::tempfile().expect("made"), tempfile::tempfile().expect("made")];
        let stretches: [&[u8]; 4] = [b"ab", b"", b"cdefg", b"h"];
        let mut bytes: ScatteredBytes = stretches.into_iter().collect();
        bytes.write_to(&files[0], 3, 4).expect("written");
        bytes.write_to(&files[1], 0, 4).expect("written");
        let (mut one, mut other) = ([0; 3], [0; 5]);
        let mut room: ScatteredRoom = [&mut one[..], &mut other[..]].into_iter().collect();
        room.fill_from(&files[0], 3, 4).expect("there");
        assert_eq!(room.len(), 4);
        room.fill_from(&files[1], 0, 4).expect("there");
        assert!(room.is_empty());
        assert_eq!((&one, &other), (b"abc", b"defgh"));
    }

    #[test]
    fn a_file_that_ends_too_early_is_an_error() {
        let file = tempfile::tempfile().expect("made");
        file.set_len(3).expect("set");
        let mut bytes = [0; 4];
        let mut room = ScatteredRoom::from(&mut bytes[..]);
        let error = room.fill_from(&file, 0, 4).expect_err("one is missing");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
