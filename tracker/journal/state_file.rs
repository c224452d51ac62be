//! A file with a state and its place in the journal: the common form of checkpoints and bases.

use super::disk::{Disk, DiskFile, number_in, numbered, write_all_at};
use super::record::NUMBER_MAX;
use super::segment::SegmentPlace;
use crate::sys;
use crate::tracker::state::State;
use crate::wire::codec::{DecodeError, Decoder, Wire};
use ring::digest::{Context, SHA256};
use std::fmt;
use std::io;
use std::ops::Range;

/// Bytes before the state.
pub(super) const HEAD_LEN: usize = 8 + 2 + 33;
/// Bytes after the state.
pub(super) const DIGEST_LEN: usize = 32;

/// How many bytes of a file are in memory at once.
const PART_LEN: u64 = 256 * 1024;

/// The bytes of a file in a range, part by part.
struct FileParts<'a> {
    disk: &'a dyn Disk,
    name: &'a str,
    rest: Range<u64>,
    failed: Option<io::Error>,
}

impl<'a> FileParts<'a> {
    fn new(disk: &'a dyn Disk, name: &'a str, range: Range<u64>) -> Self {
        Self { disk, name, rest: range, failed: None }
    }

    /// Fails if the disk failed to read a part.
    fn end(self) -> Result<(), UnsoundStateFile> {
        self.failed.map_or(Ok(()), |error| Err(UnsoundStateFile::Unreadable(error)))
    }
}

impl Iterator for FileParts<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let part = self.rest.start..self.rest.end.min(self.rest.start.saturating_add(PART_LEN));
        if part.is_empty() || self.failed.is_some() {
            return None;
        }
        self.rest.start = part.end;
        match self.disk.read_part(self.name, part) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}

/// Reads a state from a range of a file, without holding all its bytes in memory.
pub(super) fn read_state(disk: &dyn Disk, name: &str, range: Range<u64>) -> Result<State, UnsoundStateFile> {
    let mut parts = FileParts::new(disk, name, range);
    let state = State::decode_parts(parts.by_ref());
    parts.end()?;
    state.map_err(UnsoundStateFile::NotAState)
}

/// A kind of such files. Each is named by a number.
pub(super) struct StateFileKind {
    pub(super) magic: [u8; 8],
    /// The version of the format.
    pub(super) version: u16,
    pub(super) suffix: &'static str,
    /// The name of a file of this kind until it is whole.
    pub(super) temp: &'static str,
}

/// Why a state could not be written.
#[derive(Debug)]
pub enum StateFileError {
    /// The files are as before.
    Unchanged(io::Error),
    /// The disk did not confirm that the new file is durable.
    Uncertain(io::Error),
}

impl StateFileError {
    pub(super) fn into_inner(self) -> io::Error {
        let (Self::Unchanged(error) | Self::Uncertain(error)) = self;
        error
    }
}

/// What is wrong with a file. A message says it after the file's path.
#[derive(Debug)]
pub enum UnsoundStateFile {
    /// The disk cannot read it.
    Unreadable(io::Error),
    /// It is too short for its head and its checksum.
    TooShort,
    /// Its checksum does not match its bytes.
    WrongChecksum,
    /// It is whole, but begins with another magic.
    OtherMagic,
    /// It is whole, but has another version.
    OtherVersion { version: u16, known: u16 },
    /// Its head has no readable position.
    NoPosition(DecodeError),
    /// The position in its head contradicts its name, or is impossible.
    WrongPosition,
    /// The bytes after the head are no state.
    NotAState(DecodeError),
}

impl UnsoundStateFile {
    /// Whether its bytes differ from the written ones, so that no start can ever use it.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::TooShort | Self::WrongChecksum)
    }

    /// Whether another version of this program wrote it. Damage to the disk cannot make a sound file look so.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::OtherMagic | Self::OtherVersion { .. } | Self::NotAState(_))
    }
}

impl fmt::Display for UnsoundStateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {}", sys::reason(error)),
            Self::TooShort => f.write_str("is damaged: it is too short"),
            Self::WrongChecksum => f.write_str("is damaged: its checksum is wrong"),
            Self::OtherMagic => f.write_str("begins like a file of another kind"),
            Self::OtherVersion { version, known } => {
                let age = if version > known { "a newer" } else { "an older" };
                write!(f, "has format {version} and was written by {age} version of this program")
            }
            Self::NoPosition(error) => write!(f, "does not say where it stands: {error}"),
            Self::WrongPosition => f.write_str("has another position than its name says"),
            Self::NotAState(error) => write!(f, "holds a state of another version of this program ({error})"),
        }
    }
}

impl std::error::Error for UnsoundStateFile {}

impl StateFileKind {
    pub(super) fn name(&self, number: u64) -> String {
        numbered(number, self.suffix)
    }

    /// The number in a name; `None` if the name has another form.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        number_in(name, self.suffix)
    }

    /// The numbers of all files of this kind, the highest first.
    pub(super) fn all(&self, disk: &dyn Disk) -> io::Result<Vec<u64>> {
        let mut all: Vec<u64> = disk.list()?.iter().filter_map(|name| self.number(name)).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        Ok(all)
    }

    /// Writes one durably. Replaces a file of the same name.
    pub(super) fn write(
        &self,
        disk: &dyn Disk,
        name: &str,
        place: SegmentPlace,
        state: &State,
    ) -> Result<(), StateFileError> {
        let mut file = self.write_temp(disk, place, state).map_err(|error| {
            // The next write overwrites it.
            let _ = disk.remove(self.temp);
            StateFileError::Unchanged(error)
        })?;
        file.sync_data().map_err(StateFileError::Uncertain)?;
        disk.rename(self.temp, name).map_err(StateFileError::Unchanged)?;
        disk.sync_folder().map_err(StateFileError::Uncertain)
    }

    fn write_temp(&self, disk: &dyn Disk, place: SegmentPlace, state: &State) -> io::Result<Box<dyn DiskFile>> {
        let mut file = disk.create(self.temp)?;
        let mut context = Context::new(&SHA256);
        let mut end = 0;
        let mut put = |bytes: &[u8]| {
            context.update(bytes);
            write_all_at(&mut *file, bytes, end)?;
            end += bytes.len() as u64;
            Ok::<(), io::Error>(())
        };
        put(&self.head(place))?;
        state.encode(&mut put)?;
        write_all_at(&mut *file, context.finish().as_ref(), end)?;
        Ok(file)
    }

    /// The bytes before the state.
    pub(super) fn head(&self, place: SegmentPlace) -> Vec<u8> {
        let mut head = self.magic.to_vec();
        self.version.put(&mut head);
        place.put(&mut head);
        head
    }

    /// Reads one.
    pub(super) fn read(&self, disk: &dyn Disk, name: &str) -> Result<(SegmentPlace, State), UnsoundStateFile> {
        let read = |range| disk.read_part(name, range).map_err(UnsoundStateFile::Unreadable);
        let head = read(0..HEAD_LEN as u64)?;
        let len = disk.len(name).map_err(UnsoundStateFile::Unreadable)?;
        let end = len.checked_sub(DIGEST_LEN as u64).filter(|&end| end >= HEAD_LEN as u64);
        let end = end.ok_or(UnsoundStateFile::TooShort)?;
        let mut context = Context::new(&SHA256);
        let mut parts = FileParts::new(disk, name, 0..end);
        parts.by_ref().for_each(|part| context.update(&part));
        parts.end()?;
        if read(end..len)? != context.finish().as_ref() {
            return Err(UnsoundStateFile::WrongChecksum);
        }
        Ok((self.place(&head)?, read_state(disk, name, HEAD_LEN as u64..end)?))
    }

    /// The place in a head.
    pub(super) fn place(&self, head: &[u8]) -> Result<SegmentPlace, UnsoundStateFile> {
        let mut from = Decoder::new(head);
        let magic = from.bytes(self.magic.len()).map_err(UnsoundStateFile::NoPosition)?;
        if magic != self.magic {
            return Err(UnsoundStateFile::OtherMagic);
        }
        let version = u16::take(&mut from).map_err(UnsoundStateFile::NoPosition)?;
        if version != self.version {
            return Err(UnsoundStateFile::OtherVersion { version, known: self.version });
        }
        let place = SegmentPlace::take(&mut from).map_err(UnsoundStateFile::NoPosition)?;
        let (position, next) = (place.position, place.position.seq.saturating_add(1));
        let numbered = position.seq <= NUMBER_MAX && position.batch <= NUMBER_MAX;
        // A base that came from another tracker has no place yet.
        let plausible = numbered && place.first_seq <= next && (place.first_seq > 0 || position.seq == 0);
        plausible.then_some(place).ok_or(UnsoundStateFile::WrongPosition)
    }
}
