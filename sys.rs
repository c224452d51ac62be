//! System calls that the standard library lacks, each behind one safe function.

pub mod waker;

use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags, RenameFlags, SeekFrom, Stat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// How `open_in` and `open_beneath` open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// A file that is there, for reading.
    Read,
    /// A file that is there, for reading and writing.
    Write,
    /// A file that is not there yet, for reading and writing, with these permissions less the umask.
    New(u32),
    /// A file that is there or not, for reading and writing, made with these permissions less the umask.
    WriteOrNew(u32),
}

impl Open {
    fn flags(self) -> (OFlags, Mode) {
        // Without NONBLOCK, opening a pipe that somebody put there would wait for its other end.
        let always = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match self {
            Open::Read => (always | OFlags::RDONLY, Mode::empty()),
            Open::Write => (always | OFlags::RDWR, Mode::empty()),
            Open::New(mode) => (always | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(mode)),
            Open::WriteOrNew(mode) => (always | OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(mode)),
        }
    }
}

/// How long a core has worked for this thread: without the time in which it waited, or the program was stopped.
pub fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Neither is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Opens a folder so that names in it can be used and it can be synced. Follows symbolic links.
///
/// # Errors
/// Those of open(2); `ENOTDIR` if it is not a folder.
pub fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?))
}

/// Opens a folder inside a folder, never through a symbolic link.
///
/// # Errors
/// Those of openat(2); `ENOTDIR` if it is a symbolic link or not a folder.
pub fn open_folder_in(folder: &File, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(retry_on_intr(|| rustix::fs::openat(folder, name, flags, Mode::empty()))?))
}

/// Opens a regular file in a folder, never through a symbolic link.
///
/// # Errors
/// Those of openat(2), thus `ELOOP` for a symbolic link; `EINVAL` for what is neither file nor folder.
pub fn open_in(folder: &File, name: &OsStr, how: Open) -> io::Result<File> {
    let (flags, mode) = how.flags();
    let file = File::from(retry_on_intr(|| rustix::fs::openat(folder, name, flags, mode))?);
    if file.metadata()?.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if !file.metadata()?.is_file() {
        return Err(Errno::INVAL.into());
    }
    Ok(file)
}

/// Opens a regular file at a relative path of plain names below a folder, never through a symbolic link on the way.
/// For a file that may be new, the folders on the way are made.
///
/// # Errors
/// Those of `open_in`, and of mkdirat(2).
pub fn open_beneath(root: &File, path: &str, how: Open) -> io::Result<File> {
    let Some((folders, name)) = path.rsplit_once('/') else {
        return open_in(root, path.as_ref(), how);
    };
    let mut at: Option<File> = None;
    for component in folders.split('/') {
        let here = at.as_ref().unwrap_or(root);
        let next = match open_folder_in(here, component.as_ref()) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && matches!(how, Open::New(_) | Open::WriteOrNew(_)) =>
            {
                make_folder_in(here, component.as_ref())?;
                open_folder_in(here, component.as_ref())?
            }
            opened => opened?,
        };
        at = Some(next);
    }
    open_in(at.as_ref().unwrap_or(root), name.as_ref(), how)
}

/// Makes a folder in a folder.
///
/// # Errors
/// Those of mkdirat(2); `EEXIST` if anything has the name.
pub fn make_folder_in(folder: &File, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o777))?)
}

/// What has a name in a folder, `None` if nothing has. A symbolic link is not followed.
///
/// # Errors
/// Those of fstatat(2) but `ENOENT`.
pub fn stat_in(folder: &File, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a file from a folder.
///
/// # Errors
/// Those of unlinkat(2).
pub fn remove_file_in(folder: &File, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
}

/// Makes sure that the first `len` bytes of a file can be written without running out of space, and that it is at
/// least that long. Where the file system cannot reserve space, the free space is looked at and the file extended.
///
/// # Errors
/// `ENOSPC` or `EDQUOT` if there is not enough room, and those of fallocate(2) and ftruncate(2).
pub fn allocate(file: &File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    match retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => extend_within_free_space(file, len),
        done => Ok(done?),
    }
}

fn extend_within_free_space(file: &File, len: u64) -> io::Result<()> {
    let held = file.metadata()?;
    if free_bytes(file)?.is_some_and(|free| free.saturating_add(held.blocks() * 512) < len) {
        return Err(Errno::NOSPC.into());
    }
    if held.len() < len {
        file.set_len(len)?;
    }
    Ok(())
}

/// Bytes that this user can still write to the file system of an open file or folder; `None` if it does not tell.
///
/// # Errors
/// Those of fstatvfs(3).
pub fn free_bytes(file: &File) -> io::Result<Option<u64>> {
    let stat = rustix::fs::fstatvfs(file)?;
    Ok((stat.f_blocks != 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// Gives a file or folder another name in the same folder unless something has that name.
///
/// # Errors
/// `EEXIST` if the new name is taken, then nothing is changed; and those of renameat2(2), linkat(2).
pub fn rename_noreplace(folder: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename_without_the_flag(folder, from, to),
        done => Ok(done?),
    }
}

/// The same on file systems (NFS, some FUSE) that know no flag for it: a file by a second link, which fails if the
/// name is taken; what cannot have a second link by making an empty one of its kind first, which fails likewise, and
/// moving over that.
fn rename_without_the_flag(folder: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let stat = rustix::fs::statat(folder, from, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_folder = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    let remove_flag = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    if is_folder {
        make_folder_in(folder, to)?;
    } else {
        match rustix::fs::linkat(folder, from, folder, to, AtFlags::empty()) {
            Ok(()) => return remove_file_in(folder, from),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                open_in(folder, to, Open::New(0o600))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let renamed = rustix::fs::renameat(folder, from, folder, to);
    if renamed.is_err() {
        rustix::fs::unlinkat(folder, to, remove_flag)?;
    }
    Ok(renamed?)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Those of fsync(2); never `EINVAL`, by which some file systems say that they have nothing to sync.
pub fn sync_folder(folder: &File) -> io::Result<()> {
    match retry_on_intr(|| rustix::fs::fsync(folder)) {
        Err(Errno::INVAL | Errno::ROFS) => Ok(()),
        done => Ok(done?),
    }
}

/// Makes everything durable that was written to the file system of an open file or folder.
///
/// # Errors
/// Those of syncfs(2).
pub fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::syncfs(file))?)
}

/// Starts writing what was written to the file to the disk, without waiting for it, so that a later fsync finds
/// little to do. Says nothing about success: the fsync does.
#[allow(unsafe_code)]
pub fn start_write_back(file: &File) {
    // SAFETY: the call takes four integers and touches no memory of this process; the descriptor is open as long as
    // `file` is borrowed.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// The stretches of the first `len` bytes of a file that may hold something else than zeros. Where the file system
/// does not know holes, that is all of it.
///
/// Moves the file's own position, so nothing else may use that meanwhile; reads and writes at offsets may.
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
            // The file cannot end before it starts, but a range that is empty would be found again for ever.
            Ok(Some(range)) if range.end > self.at => range.end,
            _ => self.len,
        };
        found.map_err(io::Error::from).transpose()
    }
}

/// Takes the advisory lock of an open file, which ends when the file is closed; false if somebody else has it.
///
/// # Errors
/// Those of flock(2) but `EWOULDBLOCK`.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match retry_on_intr(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Allows this process as many open descriptors as the system lets it have; gives that number, `None` for no limit.
///
/// # Errors
/// Those of setrlimit(2).
pub fn raise_descriptor_limit() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum)
}

/// Turns a write beyond the largest size of a file that this process may have (`ulimit -f`) into an error of that write,
/// where it would end the process.
#[allow(unsafe_code)]
pub fn survive_file_size_limit() {
    // SAFETY: the call sets a disposition under which no code of this process runs; it can only fail for a signal that
    // does not exist.
    let _ = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Gives memory back to the system that is free and not in use. By itself glibc keeps what lies between blocks in use, for
/// each of up to eight times as many arenas as there are cores.
#[allow(unsafe_code)]
pub fn give_back_free_memory() {
    // SAFETY: the call takes the locks of malloc, and lets go of pages that hold nothing but free blocks.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Has blocks of memory of 4 MiB and more given back to the system when they are freed. By itself glibc keeps them from the
/// second time on, several for each thread.
#[allow(unsafe_code)]
pub fn give_back_large_blocks() {
    // SAFETY: the call sets a number that malloc reads under a lock of its own.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 4 << 20) };
}

/// True for the errors that mean there is no room left.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

/// True for the errors that mean a file cannot grow now, and may once there is room or it is allowed.
pub fn cannot_grow(error: &io::Error) -> bool {
    is_disk_full(error) || Errno::from_io_error(error) == Some(Errno::FBIG)
}

/// The words of a system error without its number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{FileExt, symlink};

    fn folder() -> (tempfile::TempDir, File) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let handle = open_folder(temp.path()).expect("it is there");
        (temp, handle)
    }

    type Rename = fn(&File, &OsStr, &OsStr) -> io::Result<()>;
    const RENAMES: [Rename; 2] = [rename_noreplace, rename_without_the_flag];

    #[test]
    fn renaming_never_replaces_a_file() {
        for rename in RENAMES {
            let (temp, handle) = folder();
            fs::write(temp.path().join("new"), "new").expect("written");
            fs::write(temp.path().join("old"), "old").expect("written");
            let error = rename(&handle, "new".as_ref(), "old".as_ref()).expect_err("the name is taken");
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(temp.path().join("old")).expect("still there"), b"old");
            assert_eq!(fs::read(temp.path().join("new")).expect("still there"), b"new");

            rename(&handle, "new".as_ref(), "free".as_ref()).expect("the name is free");
            assert_eq!(fs::read(temp.path().join("free")).expect("renamed"), b"new");
            assert!(!temp.path().join("new").exists());
        }
    }

    #[test]
    fn renaming_never_replaces_a_folder_or_a_dangling_link() {
        for rename in RENAMES {
            let (temp, handle) = folder();
            fs::create_dir_all(temp.path().join("new/sub")).expect("made");
            fs::create_dir(temp.path().join("empty")).expect("made");
            symlink("nowhere", temp.path().join("link")).expect("made");
            for taken in ["empty", "link"] {
                let error = rename(&handle, "new".as_ref(), taken.as_ref()).expect_err("the name is taken");
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            }
            rename(&handle, "new".as_ref(), "free".as_ref()).expect("the name is free");
            assert!(temp.path().join("free/sub").is_dir());
        }
    }

    #[test]
    fn a_symbolic_link_is_never_followed_on_the_way_to_a_file() {
        let (temp, handle) = folder();
        let outside = tempfile::tempdir().expect("a temporary folder");
        fs::write(outside.path().join("target"), "safe").expect("written");
        symlink(outside.path(), temp.path().join("folder")).expect("made");
        symlink(outside.path().join("target"), temp.path().join("file")).expect("made");
        for how in [Open::Read, Open::Write, Open::WriteOrNew(0o600), Open::New(0o600)] {
            assert!(open_in(&handle, "file".as_ref(), how).is_err());
            assert!(open_beneath(&handle, "folder/target", how).is_err());
            assert!(open_beneath(&handle, "folder/new", how).is_err());
        }
        assert!(!outside.path().join("new").exists());
    }

    #[test]
    fn what_is_not_a_regular_file_is_not_opened_and_not_waited_for() {
        let (temp, handle) = folder();
        let fifo = temp.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .expect("a pipe");
        fs::create_dir(temp.path().join("sub")).expect("made");
        for name in ["pipe", "sub"] {
            assert!(open_in(&handle, name.as_ref(), Open::Read).is_err(), "{name}");
            assert!(open_in(&handle, name.as_ref(), Open::Write).is_err(), "{name}");
        }
    }

    #[test]
    fn folders_on_the_way_to_a_new_file_are_made() {
        let (temp, handle) = folder();
        open_beneath(&handle, "a/b/c", Open::New(0o600)).expect("made");
        assert!(temp.path().join("a/b/c").is_file());
        assert!(open_beneath(&handle, "a/x/c", Open::Write).is_err());
        assert!(!temp.path().join("a/x").exists());
    }

    #[test]
    fn a_lock_is_held_by_one_open_file_at_a_time() {
        let (_temp, handle) = folder();
        let first = open_in(&handle, "lock".as_ref(), Open::WriteOrNew(0o600)).expect("made");
        let second = open_in(&handle, "lock".as_ref(), Open::WriteOrNew(0o600)).expect("opened");
        assert!(try_lock(&first).expect("locks work here"));
        assert!(!try_lock(&second).expect("locks work here"));
        drop(first);
        assert!(try_lock(&second).expect("locks work here"));
    }

    #[test]
    fn the_data_of_a_sparse_file_is_found_and_nothing_beyond_the_length() {
        let (_temp, handle) = folder();
        let file = open_in(&handle, "sparse".as_ref(), Open::New(0o600)).expect("made");
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
        let (_temp, handle) = folder();
        let file = open_in(&handle, "file".as_ref(), Open::New(0o600)).expect("made");
        extend_within_free_space(&file, 1000).expect("there is room for that");
        assert_eq!(file.metadata().expect("open").len(), 1000);
        extend_within_free_space(&file, 10).expect("it is long enough");
        assert_eq!(file.metadata().expect("open").len(), 1000);
        if free_bytes(&file).expect("told").is_some() {
            let error = extend_within_free_space(&file, u64::MAX / 2).expect_err("no disk is that large");
            assert!(is_disk_full(&error));
        }
    }

    #[test]
    fn the_descriptor_limit_is_raised_as_far_as_it_goes() {
        let limit = raise_descriptor_limit().expect("up to the hard limit anybody may");
        assert_eq!(getrlimit(Resource::Nofile).current, limit);
    }

    #[test]
    fn an_error_is_told_in_words_only() {
        assert_eq!(reason(&Errno::NOSPC.into()), "No space left on device");
        assert_eq!(reason(&io::Error::other("odd")), "odd");
    }

    #[test]
    fn the_time_of_a_thread_is_that_of_its_work() {
        let (begun, began) = (thread_time(), std::time::Instant::now());
        let (_sender, nothing) = crossbeam_channel::bounded::<()>(0);
        assert!(nothing.recv_timeout(Duration::from_millis(200)).is_err());
        let waited = thread_time() - begun;
        assert!(waited < began.elapsed() / 2, "{waited:?}");
        let mut sum = 0_u64;
        while thread_time() - begun == waited {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
