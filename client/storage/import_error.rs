//! Why a file or folder cannot be shared.

use super::left_out::LeftOut;
use super::piece_source::SourceError;
use crate::model::escape::ShownPath;
use crate::model::manifest::ManifestError;
use crate::model::name::NameError;
use crate::sys;
use crate::sys::files::is_link;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why something cannot be shared.
#[derive(Debug)]
pub enum ImportError {
    /// Nothing is there.
    NotFound(PathBuf),
    /// Neither a file nor a folder, or the root of the file system.
    NotShareable(PathBuf),
    /// It is the root folder, which has no name.
    Nameless(PathBuf),
    /// The name is not UTF-8.
    NotUtf8(PathBuf),
    /// The name could mislead its readers, or is too long.
    Name(PathBuf, NameError),
    /// The file delivers another number of bytes than its reported size.
    Sizeless(PathBuf),
    /// Nothing in the folder can be shared.
    AllLeftOut(PathBuf, LeftOut),
    /// No file, too many, or too large.
    Size(PathBuf, ManifestError),
    /// The file was written to, replaced or removed during the read.
    Changed(PathBuf),
    /// Something else, such as a symbolic link, has taken its place since the last look.
    Replaced(PathBuf),
    /// The user has cancelled.
    Cancelled,
    /// The system cannot read it.
    Io(PathBuf, io::Error),
}

impl ImportError {
    pub(crate) fn from_io(path: PathBuf, error: io::Error) -> Self {
        match error.kind() {
            _ if is_link(&error) => ImportError::Replaced(path),
            io::ErrorKind::NotFound => ImportError::NotFound(path),
            _ => ImportError::Io(path, error),
        }
    }
}

impl From<SourceError> for ImportError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Changed(path)
            | SourceError::Link(path)
            | SourceError::Gone(path)
            | SourceError::Unfinished(path) => ImportError::Changed(path),
            SourceError::Io(path, error) => ImportError::Io(path, error),
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::NotFound(path) => write!(f, "{} does not exist", ShownPath(path)),
            ImportError::NotShareable(path) => {
                write!(f, "{} is neither a file nor a folder and cannot be shared", ShownPath(path))
            }
            ImportError::Nameless(path) => {
                write!(f, "{} has no name under which it could be shared; share what lies in it", ShownPath(path))
            }
            ImportError::NotUtf8(path) => {
                write!(f, "the name of {} is not UTF-8; rename it to share it", ShownPath(path))
            }
            ImportError::Name(path, error) => {
                write!(f, "cannot share {}: {error}; rename it to share it", ShownPath(path))
            }
            ImportError::Sizeless(path) => {
                write!(f, "{} does not have as many bytes as it says; share a copy of it", ShownPath(path))
            }
            ImportError::AllLeftOut(path, left_out) => {
                write!(f, "{} holds no file that can be shared; {left_out}", ShownPath(path))
            }
            ImportError::Size(path, ManifestError::NoFile) => {
                write!(f, "{} holds no file; there is nothing to share", ShownPath(path))
            }
            ImportError::Size(path, error) => write!(f, "cannot share {}: {error}", ShownPath(path)),
            ImportError::Changed(path) => {
                write!(f, "{} was changed while it was read; try again when nothing writes to it", ShownPath(path))
            }
            ImportError::Replaced(path) => {
                write!(f, "{} was replaced a moment ago; look at it and try again", ShownPath(path))
            }
            ImportError::Cancelled => write!(f, "cancelled"),
            ImportError::Io(path, error) => write!(f, "cannot read {}: {}", ShownPath(path), sys::reason(error)),
        }
    }
}

impl std::error::Error for ImportError {}
