//! The identity of a file or folder whatever its name, and the present path of an open folder.

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Tells a file or folder from every other one on its file system, and from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    pub inode: u64,
    /// When it was made, in seconds and nanoseconds, if the file system keeps that.
    pub born: Option<(i64, u32)>,
}

/// The id of the entry with this name in a folder; `None` if there is none. Does not follow a symbolic link.
///
/// # Errors
/// Those of statx(2) and fstatat(2), except `ENOENT`.
pub fn id_in(folder: &File, name: &OsStr) -> io::Result<Option<FileId>> {
    match id_at(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// The id of an open file or folder.
///
/// # Errors
/// Those of statx(2) and fstatat(2).
pub fn id_of(file: &File) -> io::Result<FileId> {
    id_at(file, OsStr::new(""), AtFlags::EMPTY_PATH)
}

fn id_at(at: impl AsFd, name: &OsStr, flags: AtFlags) -> io::Result<FileId> {
    match rustix::fs::statx(&at, name, flags, StatxFlags::INO | StatxFlags::BTIME) {
        Ok(found) => {
            let born = found.stx_mask & StatxFlags::BTIME.bits() != 0;
            let born = born.then_some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec));
            Ok(FileId { inode: found.stx_ino, born })
        }
        // Some sandboxes forbid the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            Ok(FileId { inode: rustix::fs::statat(at, name, flags)?.st_ino, born: None })
        }
        Err(error) => Err(error.into()),
    }
}

/// The present absolute path of an open folder. `None` if the folder was removed, or no path leads to it.
pub fn path_of(folder: &File) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()?;
    let (open, found) = (folder.metadata().ok()?, fs::metadata(&path).ok()?);
    let same = path.is_absolute() && open.ino() == found.ino() && open.dev() == found.dev();
    same.then_some(path)
}

/// Whether an open folder was removed.
pub fn is_removed(folder: &File) -> bool {
    folder.metadata().is_ok_and(|found| found.nlink() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files::open_folder;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_keeps_its_id_under_another_name_and_no_other_file_gets_it() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let folder = open_folder(temp.path()).expect("there");
        let id = |name: &str| id_in(&folder, name.as_ref()).expect("looked at");
        assert_eq!(id("f"), None);
        let file = File::create(temp.path().join("f")).expect("made");
        let first = id("f").expect("there");
        assert_eq!(id_of(&file).expect("open"), first);
        fs::rename(temp.path().join("f"), temp.path().join("g")).expect("renamed");
        assert_eq!(id("g"), Some(first));
        symlink("g", temp.path().join("f")).expect("made");
        assert_ne!(id("f"), Some(first), "a link differs from its target");
        assert_eq!(id_of(&folder).expect("open").inode, fs::metadata(temp.path()).expect("there").ino());
    }

    #[test]
    fn an_open_folder_is_found_where_it_was_moved_to_and_not_where_another_took_its_place() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let temp = temp.path().canonicalize().expect("there");
        fs::create_dir(temp.join("a")).expect("made");
        let folder = open_folder(&temp.join("a")).expect("there");
        assert_eq!(path_of(&folder), Some(temp.join("a")));
        fs::create_dir(temp.join("b")).expect("made");
        fs::rename(temp.join("a"), temp.join("b/c")).expect("renamed");
        fs::create_dir(temp.join("a")).expect("made");
        assert_eq!(path_of(&folder), Some(temp.join("b/c")));
        assert!(!is_removed(&folder));
        fs::remove_dir(temp.join("b/c")).expect("removed");
        assert!(path_of(&folder).is_none() && is_removed(&folder));
    }
}
