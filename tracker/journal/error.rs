//! Why a journal cannot be used. Each reason is one line that says where and what to do.

use super::disk::Disk;
use super::segment::VERSION;
use super::state_file::UnsoundStateFile;
use crate::sys;
use crate::tracker::commit::{AppendError, ReadBackError};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a journal cannot be used.
#[derive(Debug)]
pub enum JournalError {
    /// The disk fails.
    Io { path: PathBuf, doing: &'static str, error: io::Error },
    /// A file is damaged in a way that no crash explains.
    Damaged {
        path: PathBuf,
        /// The offset of the damage in bytes.
        at: u64,
        why: String,
    },
    /// A file that must be there is not.
    Missing {
        path: PathBuf,
        /// Why the start could use no base and no checkpoint.
        passed_over: Vec<String>,
    },
    /// A base or a checkpoint reaches further than the files of ops.
    EndsEarly {
        file: PathBuf,
        /// The last record before its place.
        seq: u64,
        /// The last record on the disk.
        end: u64,
    },
    /// The files of ops end before the floor of a base.
    EndsBelow { file: PathBuf, floor: u64 },
    /// Another version wrote this segment.
    OtherVersion { path: PathBuf, version: u16 },
    /// Another version wrote this base.
    Foreign { path: PathBuf, why: UnsoundStateFile },
    /// The journal belongs to another tracker of the installation.
    OtherTracker { path: PathBuf, tracker: u16 },
    /// The journal cannot be read again.
    ReadBack(ReadBackError),
    /// Nothing can be appended to it.
    Append(AppendError),
    /// The tracker cannot list the changes that lose their place.
    Unplaced(io::Error),
    /// No thread can be started.
    System(io::Error),
}

/// Makes a [`JournalError`] of a disk error. `name` is the file, or empty for the folder.
pub(super) fn io_error(disk: &dyn Disk, name: &str, doing: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    let path = disk.path(name);
    move |error| JournalError::Io { path, doing, error }
}

/// The data folder of a file of the journal.
fn data_dir(path: &Path) -> String {
    path.parent().and_then(Path::parent).unwrap_or(path).display().to_string()
}

impl JournalError {
    /// The fault alone, without the advice.
    pub(super) fn fault(&self) -> String {
        match self {
            JournalError::Damaged { path, at, why } => format!("{} is damaged at byte {at}: {why}", path.display()),
            JournalError::Missing { path, .. } => format!("{} is missing", path.display()),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Io { path, doing, error } => {
                write!(f, "cannot {doing} {}: {}", path.display(), sys::reason(error))
            }
            JournalError::Damaged { path, at, why } => {
                let (path, dir) = (path.display(), data_dir(path));
                write!(
                    f,
                    "{path} is damaged at byte {at}: {why}; restore a backup, or see what tracker --check {dir} says, or \
                     drop every change from there on with tracker --repair {dir}, which keeps a copy"
                )
            }
            JournalError::Missing { path, passed_over } => {
                let (path, dir) = (path.display(), data_dir(path));
                write!(f, "{path} is missing")?;
                passed_over.iter().try_for_each(|line| write!(f, "; {line}"))?;
                write!(
                    f,
                    "; put it back, or restore a backup of {dir}, or go on without it with tracker --repair {dir}, which \
                     keeps a copy"
                )
            }
            JournalError::EndsEarly { file, seq, end } => {
                let (path, dir) = (file.display(), data_dir(file));
                write!(
                    f,
                    "{path} goes up to record {seq}, but the journal files end with record {end}; put back what is missing, \
                     or restore a backup of {dir}, or go on without it with tracker --repair {dir}, which keeps a copy"
                )
            }
            JournalError::EndsBelow { file, floor } => {
                let (path, dir) = (file.display(), data_dir(file));
                write!(
                    f,
                    "{path} is damaged and the journal files end before its floor {floor}; put back what is missing, or \
                     restore a backup of {dir}, or go on without it with tracker --repair {dir}, which keeps a copy"
                )
            }
            JournalError::OtherVersion { path, version } => {
                let age = if *version > VERSION { "a newer" } else { "an older" };
                write!(
                    f,
                    "{} has format {version} and was written by {age} version of this program; use that one",
                    path.display()
                )
            }
            JournalError::Foreign { path, why } => write!(f, "{} {why}; use that version", path.display()),
            JournalError::OtherTracker { path, tracker } => write!(
                f,
                "{} belongs to tracker {tracker}; start that one, or give this one a folder of its own with --data-dir",
                path.display()
            ),
            JournalError::ReadBack(error) => error.fmt(f),
            JournalError::Append(error) => error.fmt(f),
            JournalError::Unplaced(error) => {
                write!(f, "cannot list the changes that have no place any more: {}", sys::reason(error))
            }
            JournalError::System(error) => write!(f, "cannot start: {}", sys::reason(error)),
        }
    }
}

impl std::error::Error for JournalError {}
