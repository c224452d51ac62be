//! Room on the disk: reserving it, measuring it, and finding the parts of a file that use it.

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Reserves room for the first `len` bytes of a file and makes the file at least that long. If the file system cannot
/// reserve room, this checks the free space and extends the file.
///
/// # Errors
/// `ENOSPC` or `EDQUOT` if there is not enough room, and those of fallocate(2) and ftruncate(2).
pub fn allocate(file: &File, len: u64) -> io::Result<()> {
    allocate_range(file, 0..len)
}

/// The same for a range of a file.
///
/// # Errors
/// Those of `allocate`.
pub fn allocate_range(file: &File, range: Range<u64>) -> io::Result<()> {
    let Range { start, end } = range;
    if end <= start {
        return Ok(());
    }
    match retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), start, end - start)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => extend_within_free_space(file, start..end),
        done => Ok(done?),
    }
}

/// Whether the file system of an open file or folder reserves room by writing zeros. A file system in memory does.
///
/// # Errors
/// Those of fstatfs(2).
pub fn reserves_by_writing(file: &File) -> io::Result<bool> {
    // TMPFS_MAGIC of statfs(2). The type of this field differs between machines.
    Ok(rustix::fs::fstatfs(file)?.f_type as u64 == 0x0102_1994)
}

/// Extends a file to the end of a range, if the free space is as large as the range. Reserves no room.
///
/// # Errors
/// `ENOSPC` if the free space is smaller, and those of ftruncate(2).
pub fn extend_within_free_space(file: &File, range: Range<u64>) -> io::Result<()> {
    ask_free(file, range.end - range.start)?;
    if file.metadata()?.len() < range.end {
        file.set_len(range.end)?;
    }
    Ok(())
}

/// Checks that a file can take up `bytes` bytes in all, with those that it takes up already.
///
/// # Errors
/// `ENOSPC` if it cannot, and those of fstatvfs(3).
pub fn ask_free(file: &File, bytes: u64) -> io::Result<()> {
    let held = file.metadata()?.blocks() * 512;
    match free_bytes(file)?.is_some_and(|free| free.saturating_add(held) < bytes) {
        true => Err(Errno::NOSPC.into()),
        false => Ok(()),
    }
}

/// How much of something is free, and how much there is in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    pub free: u64,
    pub total: u64,
}

/// How much this user can still put on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskRoom {
    pub bytes: Supply,
    /// Files and folders; `None` if the file system does not limit their number.
    pub files: Option<Supply>,
}

/// How much this user can still put on the file system of a folder.
///
/// # Errors
/// Those of statvfs(3).
pub fn room_of(folder: &Path) -> io::Result<DiskRoom> {
    let told = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
    let files = Supply { free: told.f_favail, total: told.f_files };
    Ok(DiskRoom {
        bytes: Supply { free: bytes(told.f_bavail), total: bytes(told.f_blocks) },
        files: Some(files).filter(|files| files.total > 0),
    })
}

/// Turns a range of a file into a hole, which reads as zeros and takes no room. False if the file system has no holes.
///
/// # Errors
/// Those of fallocate(2).
pub fn punch_hole(file: &File, range: Range<u64>) -> io::Result<bool> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match retry_on_intr(|| rustix::fs::fallocate(file, flags, range.start, range.end - range.start)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        done => Ok(done.map(|()| true)?),
    }
}

/// How much this user can still write to a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// In bytes.
    pub bytes: u64,
    /// The room that a file takes up is a multiple of this, in bytes.
    pub block_len: u64,
    /// How many more files and folders fit; `None` if the file system does not limit their number.
    pub inodes: Option<u64>,
}

/// How many bytes this user can still write to the file system of an open file or folder. `None` if the system does not
/// tell.
///
/// # Errors
/// Those of fstatvfs(3).
pub fn free_bytes(file: &File) -> io::Result<Option<u64>> {
    Ok(free_space(file)?.map(|free| free.bytes))
}

/// How much is free on the file system of an open file or folder. `None` if the system does not tell.
///
/// # Errors
/// Those of fstatvfs(3).
pub fn free_space(file: &File) -> io::Result<Option<FreeSpace>> {
    let stat = rustix::fs::fstatvfs(file)?;
    let inodes = (stat.f_files != 0).then_some(stat.f_favail);
    let free =
        || FreeSpace { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), block_len: stat.f_frsize.max(1), inodes };
    Ok((stat.f_blocks != 0).then(free))
}

/// The ranges of the first `len` bytes of a file that may hold other bytes than zeros. On a file system without holes
/// that is the whole length.
///
/// Moves the file's own position, so no other code may use that position meanwhile. Reads and writes at offsets may go
/// on.
pub fn data_ranges(file: &File, len: u64) -> DataRanges<'_> {
    DataRanges { file, at: 0, len }
}

/// The iterator behind `data_ranges`. Errors: those of lseek(2).
pub struct DataRanges<'a> {
    file: &'a File,
    at: u64,
    len: u64,
}

impl DataRanges<'_> {
    /// Continues the search at `at`, unless it is beyond that already.
    pub fn go_on_at(&mut self, at: u64) {
        self.at = self.at.max(at);
    }

    fn next_range(&self) -> Result<Option<Range<u64>>, Errno> {
        let start = match rustix::fs::seek(self.file, SeekFrom::Data(self.at)) {
            Ok(start) if start < self.len => start,
            Ok(_) | Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(self.at..self.len)),
            Err(error) => return Err(error),
        };
        let end = rustix::fs::seek(self.file, SeekFrom::Hole(start))?;
        Ok(Some(start..end.min(self.len)))
    }
}

impl Iterator for DataRanges<'_> {
    type Item = io::Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.len {
            return None;
        }
        let found = self.next_range();
        self.at = match &found {
            // A file cannot end before it begins. But an empty range would be found again for ever.
            Ok(Some(range)) if range.end > self.at => range.end,
            _ => self.len,
        };
        found.map_err(io::Error::from).transpose()
    }
}

/// True for errors that mean that no room is left.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

/// True for errors that mean that a file cannot grow now. It may grow once there is room, or once the limits allow it.
pub fn cannot_grow(error: &io::Error) -> bool {
    is_disk_full(error) || Errno::from_io_error(error) == Some(Errno::FBIG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn the_data_of_a_sparse_file_is_found_and_nothing_beyond_the_length() {
        let file = tempfile::tempfile().expect("a temporary file");
        let mib = 1 << 20;
        file.set_len(64 * mib).expect("extended");
        file.write_all_at(&[1; 100], 0).expect("written");
        file.write_all_at(&[1; 100], 40 * mib).expect("written");
        let covered = |len| -> Vec<u64> {
            let ranges: Vec<_> = data_ranges(&file, len).collect::<io::Result<_>>().expect("ranges");
            assert!(ranges.iter().all(|range| range.start < range.end && range.end <= len));
            (0..len / mib).filter(|m| ranges.iter().any(|r| r.start <= m * mib && m * mib < r.end)).collect()
        };
        let all = covered(64 * mib);
        assert!(all.contains(&0) && all.contains(&40));
        assert_eq!(covered(mib), [0]);
        assert_eq!(data_ranges(&file, 0).count(), 0);
    }

    #[test]
    fn a_file_is_extended_where_space_cannot_be_reserved_but_never_beyond_what_is_free() {
        let file = tempfile::tempfile().expect("a temporary file");
        extend_within_free_space(&file, 0..1000).expect("there is room for that");
        assert_eq!(file.metadata().expect("open").len(), 1000);
        extend_within_free_space(&file, 0..10).expect("it is long enough");
        assert_eq!(file.metadata().expect("open").len(), 1000);
        if free_bytes(&file).expect("told").is_some() {
            let error = extend_within_free_space(&file, 0..u64::MAX / 2).expect_err("no disk is that large");
            assert!(is_disk_full(&error));
        }
    }
}
