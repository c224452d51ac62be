//! A state in a file, with its place in the journal: what checkpoints and bases have in common.

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
/// Bytes behind it.
pub(super) const DIGEST_LEN: usize = 32;

/// Bytes of a file that are in memory at once.
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

    /// Fails if the disk did not give a part.
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

/// Reads a state from a range of a file. Does not hold the bytes.
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
    /// The name of one that is not whole yet.
    pub(super) temp: &'static str,
}

/// Why a state was not written.
#[derive(Debug)]
pub enum StateFileError {
    /// What was there before is there still.
    Unchanged(io::Error),
    /// The disk did not confirm that what was written is durable.
    Uncertain(io::Error),
}

impl StateFileError {
    pub(super) fn into_inner(self) -> io::Error {
        let (Self::Unchanged(error) | Self::Uncertain(error)) = self;
        error
    }
}

/// What is wrong with a file, as a clause whose subject is its path.
#[derive(Debug)]
pub enum UnsoundStateFile {
    /// The disk does not give it.
    Unreadable(io::Error),
    /// It has no room for its head and its checksum.
    TooShort,
    /// Its bytes do not have the checksum behind them.
    WrongChecksum,
    /// It is whole, but begins with another magic.
    OtherMagic,
    /// It is whole, but has another version.
    OtherVersion { version: u16, known: u16 },
    /// Its head does not say where it stands.
    NoPosition(DecodeError),
    /// Its head says another place than its name, or one that no journal has.
    WrongPosition,
    /// What follows the head is no state.
    NotAState(DecodeError),
}

impl UnsoundStateFile {
    /// Whether its bytes are not those that were written: no start can ever use it.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::TooShort | Self::WrongChecksum)
    }

    /// Whether another version of this program wrote it. No disk makes that of a sound file.
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
            Self::WrongPosition => f.write_str("does not stand where its name says"),
            Self::NotAState(error) => write!(f, "holds a state of another version of this program ({error})"),
        }
    }
}

impl std::error::Error for UnsoundStateFile {}

impl StateFileKind {
    pub(super) fn name(&self, number: u64) -> String {
        numbered(number, self.suffix)
    }

    /// The number in a name; `None` if this is not the name of one.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        number_in(name, self.suffix)
    }

    /// The numbers of all that are there, the highest first.
    pub(super) fn all(&self, disk: &dyn Disk) -> io::Result<Vec<u64>> {
        let mut all: Vec<u64> = disk.list()?.iter().filter_map(|name| self.number(name)).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        Ok(all)
    }

    /// Writes one durably. Replaces what bore the name.
    pub(super) fn write(
        &self,
        disk: &dyn Disk,
        name: &str,
        place: SegmentPlace,
        state: &State,
    ) -> Result<(), StateFileError> {
        let mut file = self.write_temp(disk, place, state).map_err(|error| {
            // The next one overwrites what is left of it.
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

    /// What comes before the state.
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
        // One that came from another tracker has no place yet.
        let plausible = numbered && place.first_seq <= next && (place.first_seq > 0 || position.seq == 0);
        plausible.then_some(place).ok_or(UnsoundStateFile::WrongPosition)
    }
}
