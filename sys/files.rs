//! Opening, renaming, locking and syncing files without following symbolic links.

use super::lacks_descriptors;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, Stat, StatxAttributes, StatxFlags, Timespec,
    Timestamps,
};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The first and the last second since 1970 that ext4 can keep: in 1901 and 2446. Some file systems wrap around outside
/// them.
const SECONDS_MIN: i64 = -(1 << 31);
const SECONDS_MAX: i64 = (1 << 34) - (1 << 31) - 1;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing, with these permissions less the umask.
    New(u32),
    /// An existing or new file, for reading and writing. A new one gets these permissions less the umask.
    WriteOrNew(u32),
}

impl Open {
    fn flags(self) -> (OFlags, Mode) {
        // Without NONBLOCK, opening a pipe in the file's place would wait for the pipe's other end.
        let always = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match self {
            Open::Read => (always | OFlags::RDONLY, Mode::empty()),
            Open::Write => (always | OFlags::RDWR, Mode::empty()),
            Open::New(mode) => (always | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(mode)),
            Open::WriteOrNew(mode) => (always | OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(mode)),
        }
    }
}

/// Opens a folder for work with its names and for a sync. Follows symbolic links.
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

/// The names in an open folder.
///
/// # Errors
/// Those of getdents(2); `ENOTDIR` if it is not a folder.
pub fn names_in(folder: File) -> io::Result<Vec<OsString>> {
    let names =
        rustix::fs::Dir::new(folder)?.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
    let own = |name: &io::Result<OsString>| !matches!(name, Ok(name) if name == "." || name == "..");
    names.filter(own).collect()
}

/// Opens a regular file in a folder, never through a symbolic link.
///
/// # Errors
/// Those of openat(2), thus `ELOOP` for a symbolic link; `EINVAL` for an entry that is neither file nor folder.
pub fn open_in(folder: impl AsFd, name: &OsStr, how: Open) -> io::Result<File> {
    let (flags, mode) = how.flags();
    regular(File::from(retry_on_intr(|| rustix::fs::openat(&folder, name, flags, mode))?))
}

fn regular(file: File) -> io::Result<File> {
    let kind = file.metadata()?.file_type();
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => Ok(file),
        (_, true) => Err(Errno::ISDIR.into()),
        _ => Err(Errno::INVAL.into()),
    }
}

/// Opens an absolute path for reading. None of its names may be a symbolic link.
///
/// # Errors
/// Those of openat2(2), thus `ELOOP` for a symbolic link.
pub fn open_unlinked(path: &Path) -> io::Result<File> {
    // Without NONBLOCK, opening a pipe in the file's place would wait for the pipe's other end.
    reach_unlinked(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
}

/// The metadata of an absolute path. None of its names may be a symbolic link. Works also if this process has no
/// descriptor left.
///
/// # Errors
/// Those of openat2(2), thus `ELOOP` for a symbolic link; never `EMFILE` and `ENFILE`.
pub fn look_unlinked(path: &Path) -> io::Result<fs::Metadata> {
    match reach_unlinked(path, OFlags::PATH) {
        Err(error) if lacks_descriptors(&error) => look_by_name(path),
        reached => reached?.metadata(),
    }
}

/// The same without a descriptor. It may miss a name that becomes a link at this moment. Opening the file finds that.
fn look_by_name(path: &Path) -> io::Result<fs::Metadata> {
    let mut at = PathBuf::new();
    for name in path.components() {
        at.push(name);
        if fs::symlink_metadata(&at)?.is_symlink() {
            return Err(Errno::LOOP.into());
        }
    }
    fs::symlink_metadata(path)
}

/// Whether an error says that a name is a symbolic link where none may be.
pub fn is_link(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

fn reach_unlinked(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    match retry_on_intr(|| rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)) {
        // Linux before 5.6, or a sandbox that forbids the call.
        Err(Errno::NOSYS | Errno::PERM) => walk_unlinked(path, flags),
        opened => Ok(File::from(opened?)),
    }
}

/// The same, name by name.
fn walk_unlinked(path: &Path, flags: OFlags) -> io::Result<File> {
    let mut at = File::from(rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?);
    let mut names = path.strip_prefix("/").map_err(|_| io::Error::from(Errno::INVAL))?.components().peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() { OFlags::PATH | OFlags::CLOEXEC } else { flags };
        let open = || rustix::fs::openat(&at, name.as_os_str(), flags | OFlags::NOFOLLOW, Mode::empty());
        at = File::from(retry_on_intr(open)?);
        // With `PATH` the call opens the link itself.
        if at.metadata()?.is_symlink() {
            return Err(Errno::LOOP.into());
        }
    }
    Ok(at)
}

/// Opens a regular file at a path whose last name is never a symbolic link.
///
/// # Errors
/// Those of `open_in`.
pub fn open_file(path: &Path, how: Open) -> io::Result<File> {
    open_in(CWD, path.as_os_str(), how)
}

/// Opens a regular file at a relative path of plain names below a folder, never through a symbolic link. For a file
/// that may be new, it makes the folders on the way.
///
/// # Errors
/// Those of `open_in`, and of mkdirat(2); `ENOTDIR` for a symbolic link on the way.
pub fn open_beneath(root: &File, path: &str, how: Open) -> io::Result<File> {
    let (flags, mode) = how.flags();
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match retry_on_intr(|| rustix::fs::openat2(root, path, flags, mode, resolve)) {
        // Linux before 5.6, a sandbox that forbids the call, folders that are still missing, or a link on the way.
        Err(Errno::NOSYS | Errno::PERM | Errno::NOENT | Errno::LOOP) => walk_beneath(root, path, how),
        opened => regular(File::from(opened?)),
    }
}

/// The same, name by name.
fn walk_beneath(root: &File, path: &str, how: Open) -> io::Result<File> {
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
                match make_folder_in(here, component.as_ref()) {
                    // Another thread was faster.
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => open_folder_in(here, component.as_ref())?,
                }
            }
            opened => opened?,
        };
        at = Some(next);
    }
    open_in(at.as_ref().unwrap_or(root), name.as_ref(), how)
}

/// Makes an empty file that only its owner may use. It replaces a file or link with the same name.
///
/// # Errors
/// Those of unlinkat(2) except `ENOENT`, and of openat(2).
pub fn make_file_in(folder: &File, name: &OsStr) -> io::Result<File> {
    match remove_file_in(folder, name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => open_in(folder, name, Open::New(0o600)),
    }
}

/// Makes an empty file without a name on the file system of a folder. The file ends with its last descriptor.
///
/// # Errors
/// Those of openat(2) and unlinkat(2).
pub fn make_unnamed_in(folder: &File) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match retry_on_intr(|| rustix::fs::openat(folder, ".", flags, Mode::from_raw_mode(0o600))) {
        // Some file systems have no unnamed files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let name = OsStr::new("unnamed.tmp");
            let file = make_file_in(folder, name)?;
            remove_file_in(folder, name)?;
            Ok(file)
        }
        made => Ok(File::from(made?)),
    }
}

/// Makes a folder in a folder.
///
/// # Errors
/// Those of mkdirat(2); `EEXIST` if the name is taken.
pub fn make_folder_in(folder: &File, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o777))?)
}

/// The metadata of the entry with this name in a folder; `None` if there is none. Does not follow a symbolic link.
///
/// # Errors
/// Those of fstatat(2), except `ENOENT`.
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

/// Gives a file another name in the same folder. It replaces a file with that name.
///
/// # Errors
/// Those of renameat(2).
pub fn rename_in(folder: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::renameat(folder, from, folder, to)?)
}

/// Exchanges the names of two files or folders in a folder, in one step.
///
/// # Errors
/// `EINVAL` or `ENOSYS` if the file system cannot do that; and those of renameat2(2). After an error nothing has
/// changed.
pub fn exchange(folder: &File, one: &OsStr, other: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(folder, one, folder, other, RenameFlags::EXCHANGE)?)
}

/// Gives a file or folder another name in the same folder, unless that name is taken.
///
/// # Errors
/// `EEXIST` if the new name is taken; then nothing has changed. And those of renameat2(2), linkat(2).
pub fn rename_noreplace(folder: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename_without_the_flag(folder, from, to),
        done => Ok(done?),
    }
}

/// The same on file systems (NFS, some FUSE) without that flag. A file gets a second link, which fails if the name is
/// taken. Where a second link is impossible, an empty file or folder takes the name first, which fails in the same
/// case. The rename then replaces it.
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
    let renamed = rename_in(folder, from, to);
    if renamed.is_err() {
        rustix::fs::unlinkat(folder, to, remove_flag)?;
    }
    renamed
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Those of fsync(2), except `EINVAL` and `EROFS`: with these some file systems say that there is nothing to sync.
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

/// The permissions that new files do not get. If the system does not tell, all except the owner's.
pub fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let told = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    told.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o077)
}

/// Makes a file executable for everybody who may read it, less the umask.
///
/// # Errors
/// Those of fchmod(2).
pub fn make_executable(file: &File, umask: u32) -> io::Result<()> {
    let mode = file.metadata()?.mode() & 0o7777;
    let executable = ((mode & 0o444) >> 2) & !umask;
    file.set_permissions(Permissions::from_mode(mode | executable))
}

/// Sets the time of a file's last write, in seconds since 1970 and nanoseconds. A time that file systems cannot keep
/// becomes the nearest one that they can.
///
/// # Errors
/// Those of futimens(3).
pub fn set_modified(file: &File, seconds: i64, nanoseconds: u32) -> io::Result<()> {
    let modified = Timespec { tv_sec: seconds.clamp(SECONDS_MIN, SECONDS_MAX), tv_nsec: nanoseconds.into() };
    let last_access = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access, last_modification: modified })?)
}

/// Whether a file system is mounted on this folder, which then cannot be renamed or replaced. An old kernel does not
/// tell that if the mount shows another folder of the same file system.
///
/// # Errors
/// Those of stat(2).
pub fn is_mount_point(folder: &Path) -> io::Result<bool> {
    let told = rustix::fs::statx(CWD, folder, AtFlags::empty(), StatxFlags::empty());
    let told = told.is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    Ok(told || fs::metadata(folder)?.dev() != fs::metadata(folder.join(".."))?.dev())
}

/// Takes the advisory lock of an open file. The lock ends when the file is closed. False if another holder has it.
///
/// # Errors
/// Those of flock(2), except `EWOULDBLOCK`.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match retry_on_intr(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Releases the advisory lock of an open file.
///
/// # Errors
/// Those of flock(2).
pub fn unlock(file: &File) -> io::Result<()> {
    Ok(retry_on_intr(|| rustix::fs::flock(file, FlockOperation::Unlock))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder() -> (tempfile::TempDir, File) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let handle = open_folder(temp.path()).expect("it is there");
        (temp, handle)
    }

    type Rename = fn(&File, &OsStr, &OsStr) -> io::Result<()>;
    const RENAMES: [Rename; 2] = [rename_noreplace, rename_without_the_flag];

    #[test]
    fn no_name_on_the_way_may_be_a_link_with_openat2_or_without() {
        type Reach = fn(&Path, OFlags) -> io::Result<File>;
        let walk: Reach = |path, flags| walk_unlinked(path, flags | OFlags::CLOEXEC);
        let (temp, _) = folder();
        let root = fs::canonicalize(temp.path()).expect("there");
        fs::create_dir_all(root.join("a/b")).expect("made");
        fs::write(root.join("a/b/f"), "content").expect("written");
        symlink("a", root.join("way")).expect("made");
        symlink("b/f", root.join("a/last")).expect("made");
        symlink("nowhere", root.join("a/broken")).expect("made");
        for (reach, flags) in [(reach_unlinked as Reach, OFlags::PATH), (walk, OFlags::PATH)]
            .into_iter()
            .flat_map(|(reach, path)| [(reach, path), (reach, OFlags::RDONLY | OFlags::NONBLOCK)])
        {
            let found = reach(&root.join("a/b/f"), flags).expect("no link").metadata().expect("told");
            assert_eq!(found.ino(), fs::metadata(root.join("a/b/f")).expect("there").ino());
            assert!(reach(&root.join("a/b"), flags).expect("a folder").metadata().expect("told").is_dir());
            for linked in ["way/b/f", "way", "a/last", "a/broken"] {
                let error = reach(&root.join(linked), flags).expect_err("a link");
                assert!(is_link(&error), "{linked} {flags:?}: {error}");
            }
            for (gone, kind) in [("a/x", io::ErrorKind::NotFound), ("a/b/f/x", io::ErrorKind::NotADirectory)] {
                assert_eq!(reach(&root.join(gone), flags).expect_err("nothing there").kind(), kind);
            }
        }
    }

    #[test]
    fn a_look_that_has_no_descriptor_sees_the_same() {
        let (temp, _) = folder();
        let root = fs::canonicalize(temp.path()).expect("there");
        fs::create_dir(root.join("a")).expect("made");
        fs::write(root.join("a/f"), "content").expect("written");
        symlink("a", root.join("way")).expect("made");
        symlink("f", root.join("a/last")).expect("made");
        for path in ["a/f", "a", "way/f", "way", "a/last", "a/x", "a/f/x"] {
            let path = root.join(path);
            let told = |look: io::Result<fs::Metadata>| match look {
                Ok(found) => Ok((found.ino(), found.len())),
                Err(error) => Err((is_link(&error), error.kind())),
            };
            assert_eq!(told(look_by_name(&path)), told(look_unlinked(&path)), "{}", path.display());
        }
    }

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
    fn a_pipe_or_a_folder_is_neither_opened_as_a_file_nor_waited_for() {
        let (temp, handle) = folder();
        let fifo = temp.path().join("pipe");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
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
    fn a_file_is_made_executable_for_its_readers_and_never_more() {
        let (_temp, handle) = folder();
        let file = open_in(&handle, "script".as_ref(), Open::New(0o600)).expect("made");
        for (mode, umask, expected) in [
            (0o644, 0, 0o755),
            (0o640, 0, 0o750),
            (0o600, 0, 0o700),
            (0o644, 0o011, 0o744),
            (0o666, 0o077, 0o766),
            (0o000, 0, 0o000),
        ] {
            file.set_permissions(Permissions::from_mode(mode)).expect("set");
            make_executable(&file, umask).expect("set");
            assert_eq!(file.metadata().expect("open").mode() & 0o7777, expected, "{mode:o} {umask:o}");
        }
        let made = open_in(&handle, "new".as_ref(), Open::New(0o777)).expect("made");
        assert_eq!(made.metadata().expect("open").mode() & 0o777, 0o777 & !umask(), "the system's own word for it");
    }

    #[test]
    fn a_time_that_no_file_system_takes_becomes_the_nearest() {
        let (_temp, handle) = folder();
        let file = open_in(&handle, "f".as_ref(), Open::New(0o600)).expect("made");
        for (seconds, least, most) in
            [(7, 7, 7), (-7, -7, -7), (i64::MIN, SECONDS_MIN, 0), (i64::MAX, i32::MAX.into(), SECONDS_MAX)]
        {
            set_modified(&file, seconds, 5).expect("set");
            let set = file.metadata().expect("open").mtime();
            assert!((least..=most).contains(&set), "{seconds}: {set}");
        }
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
}
