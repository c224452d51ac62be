//! A segment of the journal: its name, its header page, and the two pages that mark where the last batch ends.

use super::disk::{Disk, DiskFile, number_in, numbered, write_all_at};
use super::record::{HEAD_LEN, JournalPosition, NUMBER_MAX};
use crate::model::id::Origin;
use crate::wire::codec::{Decoder, Wire, wire_struct};
use std::io;
use std::ops::RangeInclusive;

/// The version of the format.
pub const VERSION: u16 = 3;
/// The first bytes of a segment.
pub const MAGIC: [u8; 8] = *b"GSHJRNL\n";
/// Header and marks have a page each, so that a write which tears one page leaves the others intact.
pub const PAGE_LEN: usize = 4096;
/// Where the records begin.
pub const RECORDS_AT: usize = 3 * PAGE_LEN;

const SUFFIX: &str = ".journal";
/// The suffix of a file that is not whole yet.
pub const NEW_SUFFIX: &str = ".new";
/// The numbers of records and batches.
const NUMBERS: RangeInclusive<u64> = 1..=NUMBER_MAX;
/// The offset of the checksum in a page.
const PAGE_CHECKSUM_AT: usize = PAGE_LEN - 4;

/// The content of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The origin under which the tracker issued ops when it wrote this segment.
    pub origin: Origin,
    /// The sequence of its first record. The segment is named after it.
    pub first_seq: u64,
    pub first_batch: u64,
}
wire_struct!(SegmentHeader { origin, first_seq, first_batch });

/// A place between two batches, with its file and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPlace {
    /// The last record before it, with its batch.
    pub position: JournalPosition,
    /// The segment in which the next record comes.
    pub first_seq: u64,
    /// The offset of that record in bytes.
    pub at: u64,
    /// The journal begins here: no earlier segment leads up to this place.
    pub is_beginning: bool,
}
wire_struct!(SegmentPlace { position, first_seq, at, is_beginning });

impl SegmentPlace {
    /// The beginning of the segment that follows a record.
    pub fn behind(position: JournalPosition) -> Self {
        Self { position, first_seq: position.seq.saturating_add(1), at: RECORDS_AT as u64, is_beginning: false }
    }

    /// Whether this place lies in the segment, with records of the segment before it.
    pub(super) fn is_inside(&self, first_seq: u64) -> bool {
        self.first_seq == first_seq && self.at > RECORDS_AT as u64
    }
}

/// Where the last batch lies, in bytes from the beginning of the file. One fdatasync makes the batch and its mark
/// durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub batch: u64,
    pub start: u64,
    pub end: u64,
}
wire_struct!(Mark { batch, start, end });

impl Mark {
    /// The offset of the mark in the file: batches alternate between two pages.
    pub fn offset(&self) -> usize {
        (1 + (self.batch % 2) as usize) * PAGE_LEN
    }
}

/// Why a header page is not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The file begins with something else.
    Magic,
    /// Another version wrote it.
    OtherVersion(u16),
    /// The file ends too early. What there is of it could be a header.
    Short,
    /// The checksum is wrong.
    Damaged,
}

/// The name of the segment that begins with a record.
pub fn name(first_seq: u64) -> String {
    numbered(first_seq, SUFFIX)
}

/// The sequence in the name of a segment; `None` if the name is no segment's.
pub fn first_seq(name: &str) -> Option<u64> {
    number_in(name, SUFFIX).filter(|seq| NUMBERS.contains(seq))
}

fn page(content: &[u8]) -> Vec<u8> {
    let mut page = content.to_vec();
    page.resize(PAGE_CHECKSUM_AT, 0);
    crc32fast::hash(&page).put(&mut page);
    page
}

/// The content of a page, if its checksum is right.
fn open_page(page: &[u8]) -> Option<Decoder<'_>> {
    let (content, checksum) = page.get(..PAGE_LEN)?.split_at(PAGE_CHECKSUM_AT);
    (crc32fast::hash(content).to_be_bytes() == *checksum).then(|| Decoder::new(content))
}

/// The page of a header.
pub fn header_page(header: &SegmentHeader) -> Vec<u8> {
    let mut content = MAGIC.to_vec();
    VERSION.put(&mut content);
    header.put(&mut content);
    page(&content)
}

/// The page of a mark.
pub fn mark_page(mark: &Mark) -> Vec<u8> {
    let mut content = Vec::with_capacity(PAGE_LEN);
    mark.put(&mut content);
    page(&content)
}

/// Reads the header of a segment.
pub fn header(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if *start != MAGIC[..start.len()] {
        return Err(HeaderError::Magic);
    }
    if let Some(&[high, low]) = bytes.get(8..10).and_then(|version| <&[u8; 2]>::try_from(version).ok()) {
        let version = u16::from_be_bytes([high, low]);
        // A right checksum tells an older version from damage.
        if version > VERSION || (version < VERSION && open_page(bytes).is_some()) {
            return Err(HeaderError::OtherVersion(version));
        }
    }
    if bytes.len() < RECORDS_AT {
        return Err(HeaderError::Short);
    }
    let mut from = open_page(bytes).ok_or(HeaderError::Damaged)?;
    let known = from.bytes(10).is_ok_and(|start| start[8..] == VERSION.to_be_bytes());
    if !known {
        return Err(HeaderError::Damaged);
    }
    let header = SegmentHeader::take(&mut from).map_err(|_| HeaderError::Damaged)?;
    let plausible = [header.first_seq, header.first_batch].iter().all(|number| NUMBERS.contains(number));
    plausible.then_some(header).ok_or(HeaderError::Damaged)
}

/// The content of a segment's marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    pub latest: Option<Mark>,
    /// The offset of a mark that is damaged.
    pub damaged: Option<u64>,
}

/// Reads the marks of a segment.
pub fn marks(bytes: &[u8]) -> Marks {
    let mark = |at: usize| {
        let mark = Mark::take(&mut open_page(bytes.get(at..)?)?).ok()?;
        let sound = mark.start >= RECORDS_AT as u64 && mark.start <= mark.end && mark.batch <= NUMBER_MAX;
        sound.then_some(mark)
    };
    let (first, second) = (mark(PAGE_LEN), mark(2 * PAGE_LEN));
    let latest = first.into_iter().chain(second).max_by_key(|mark| mark.batch);
    let damaged = match (first, second) {
        (None, _) => Some(PAGE_LEN as u64),
        (_, None) => Some(2 * PAGE_LEN as u64),
        _ => None,
    };
    Marks { latest, damaged }
}

/// Why a segment could not be made.
#[derive(Debug)]
pub enum CreateError {
    /// Nothing has changed.
    Unchanged(io::Error),
    /// The content of the folder is uncertain.
    Uncertain(io::Error),
}

/// Makes a segment without records, with room for the first ones, and makes it durable. Replaces a segment of the same
/// name.
pub fn create(disk: &dyn Disk, header: &SegmentHeader, room: u64) -> Result<Box<dyn DiskFile>, CreateError> {
    let name = name(header.first_seq);
    let temp = format!("{name}{NEW_SUFFIX}");
    let write = || {
        let mut file = disk.create(&temp)?;
        let mark = Mark { batch: header.first_batch - 1, start: RECORDS_AT as u64, end: RECORDS_AT as u64 };
        let pages = [header_page(header), mark_page(&mark), mark_page(&mark)].concat();
        file.allocate(RECORDS_AT as u64 + room.max(HEAD_LEN as u64))?;
        write_all_at(&mut *file, &pages, 0)?;
        Ok(file)
    };
    let mut file = write().map_err(|error| {
        // The next start removes what is left of it.
        let _ = disk.remove(&temp);
        CreateError::Unchanged(error)
    })?;
    file.sync_data().map_err(CreateError::Uncertain)?;
    disk.rename(&temp, &name).map_err(CreateError::Uncertain)?;
    disk.sync_folder().map_err(CreateError::Uncertain)?;
    Ok(file)
}
