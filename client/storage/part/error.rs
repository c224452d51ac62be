//! Why a download cannot use its place on the disk.

use crate::model::escape::ShownPath;
use crate::model::name::{FileName, GroupId};
use crate::sys::{self, space};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The words about an old version that stays.
const EDITED: &str = "was changed here and is not replaced";
const NO_EXCHANGE: &str = "lies on a file system that cannot put a new version in its place";
const ELSEWHERE: &str = "give update_file a destination for the new version";

/// Why a download cannot begin, go on or end on this disk. Each stops the download, and none is a peer's fault.
#[derive(Debug)]
pub enum PartError {
    /// Something with unknown content has the destination's name.
    Exists(PathBuf),
    /// Something with another content has the destination's name.
    OtherContent(PathBuf),
    /// The old version to replace was changed, or others have put something into its folder.
    Edited(PathBuf),
    /// The file system cannot exchange a new version with the old one.
    NoExchange(PathBuf),
    /// The folder of the destination is missing.
    NoFolder(PathBuf),
    /// The unfinished download is missing, as when a disk is not mounted.
    Missing(PathBuf),
    /// The folder was removed during the download, and the unfinished download with it.
    FolderGone(PathBuf),
    /// The destination has no name, or a name that is too long.
    BadName(PathBuf),
    /// The place of the unfinished download has something that is not of this download.
    Foreign(PathBuf, Foreign),
    /// The unfinished download of something else lies there.
    OtherDownload {
        /// Where.
        part: PathBuf,
        /// From which group.
        group: GroupId,
        /// The name it is shared under.
        name: FileName,
    },
    /// This client or another one downloads to the same destination.
    Busy(PathBuf),
    /// There is no room for this many bytes.
    DiskFull(PathBuf, u64),
    /// The system refuses; the second field says which action.
    Io(PathBuf, &'static str, io::Error),
}

/// What is odd about a file or folder in the place of a download's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// No download has made it.
    Unknown,
    /// It is a symbolic link.
    Link,
    /// It is a folder instead of a file, a file instead of a folder, or neither.
    Kind,
    /// Another user has made it in a folder for everybody, such as /tmp, and could change it at any time.
    Owner,
    /// The file has another name too, and writing to it would change the file of that name.
    ManyNames,
    /// It is longer than the content.
    TooLong,
    /// It has replaced the file or folder of the download.
    Replaced,
}

impl Foreign {
    /// The words that follow its path in a message.
    fn words(self) -> &'static str {
        match self {
            Foreign::Link => "is a symbolic link",
            Foreign::Kind => "is not what a download would have made",
            Foreign::Owner => "belongs to another user of this machine",
            Foreign::ManyNames => "has other names (hard links)",
            Foreign::TooLong => "is longer than the download",
            Foreign::Unknown | Foreign::Replaced => "was not made by this download",
        }
    }
}

impl PartError {
    /// The error for a failed call on a file that others may have put there.
    pub(crate) fn from_open(path: &Path, action: &'static str, error: io::Error) -> Self {
        let foreign = match Errno::from_io_error(&error) {
            Some(Errno::LOOP) => Foreign::Link,
            Some(Errno::ISDIR | Errno::NOTDIR | Errno::INVAL | Errno::NXIO) => Foreign::Kind,
            Some(Errno::EXIST) => Foreign::Unknown,
            _ => return Self::from_io(path, action, 0, error),
        };
        PartError::Foreign(path.to_path_buf(), foreign)
    }

    /// The error for a failed call that needed `len` bytes of room.
    pub(crate) fn from_io(path: &Path, action: &'static str, len: u64, error: io::Error) -> Self {
        match space::is_disk_full(&error) {
            true => PartError::DiskFull(path.to_path_buf(), len),
            false => PartError::Io(path.to_path_buf(), action, error),
        }
    }
}

impl fmt::Display for PartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartError::Exists(path) => {
                write!(f, "{} is there already and is not overwritten; choose another destination", ShownPath(path))
            }
            PartError::OtherContent(path) => write!(
                f,
                "{} is there already and is not overwritten; choose another destination: what is there is not this content",
                ShownPath(path)
            ),
            PartError::Edited(path) => write!(f, "{} {EDITED}; {ELSEWHERE}", ShownPath(path)),
            PartError::NoExchange(path) => write!(f, "{} {NO_EXCHANGE}; {ELSEWHERE}", ShownPath(path)),
            PartError::NoFolder(path) => write!(f, "the folder {} does not exist; make it first", ShownPath(path)),
            PartError::Missing(path) => write!(
                f,
                "{} is not there; if it lies on a disk that is not mounted, mount that first; resume_download begins anew \
                 without it",
                ShownPath(path)
            ),
            PartError::FolderGone(path) => write!(
                f,
                "the folder {} was removed during the download, and the unfinished file with it; start the download again",
                ShownPath(path)
            ),
            PartError::BadName(path) => {
                write!(f, "{} cannot be the name of a file; choose another destination", ShownPath(path))
            }
            PartError::Foreign(path, Foreign::Replaced) => {
                write!(f, "{} was removed or replaced during the download; start it again", ShownPath(path))
            }
            PartError::Foreign(path, why) => write!(
                f,
                "{} {} and is left alone; move it away or choose another destination",
                ShownPath(path),
                why.words()
            ),
            PartError::OtherDownload { part, group, name } => write!(
                f,
                "{} is the unfinished download of {name} from {group}; finish or cancel that, or choose another destination",
                ShownPath(part)
            ),
            PartError::Busy(path) => {
                write!(f, "a download to {} runs already; wait for it or choose another destination", ShownPath(path))
            }
            PartError::DiskFull(path, 0) => {
                write!(f, "the disk has no room for {}; free some and resume the download", ShownPath(path))
            }
            PartError::DiskFull(path, len) => write!(
                f,
                "the disk has no room for the {len} bytes of {}; free some or choose another destination",
                ShownPath(path)
            ),
            PartError::Io(path, action, error) => {
                write!(f, "cannot {action} {}: {}", ShownPath(path), sys::reason(error))
            }
        }
    }
}

impl std::error::Error for PartError {}
