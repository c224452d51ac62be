//! A source of pieces: where the bytes come from that are served to other members.

use crate::model::escape::ShownPath;
use crate::model::piece::{Layout, PieceIndex};
use crate::sys;
use crate::sys::files::is_link;
use crate::sys::vectored::ScatteredRoom;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What is said of a file that is reached through a symbolic link.
pub(crate) const BEHIND_A_LINK: &str = "lies behind a symbolic link that was not there when it was shared";

/// What pieces can be read from, by many threads at a time: the files of a share, or a download that is under way.
pub trait PieceSource: Send + Sync {
    /// How the stream is cut.
    fn layout(&self) -> Layout;

    /// Fills the buffer with the bytes of the stream from `offset` on.
    ///
    /// # Errors
    /// Those of the kind of source; the buffer's content is then worthless.
    ///
    /// # Panics
    /// When used up to beyond the end of the stream.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError>;

    /// Does the same for room in stretches.
    ///
    /// # Errors
    /// Those of `read_at`.
    fn scatter_at(&self, mut offset: u64, room: ScatteredRoom<'_>) -> Result<(), SourceError> {
        room.into_stretches().try_for_each(|stretch| {
            self.read_at(offset, stretch)?;
            offset += stretch.len() as u64;
            Ok(())
        })
    }

    /// Fills the buffer, which is exactly as long as the piece, with the piece.
    ///
    /// # Errors
    /// Those of `read_at`.
    fn read_piece(&self, piece: PieceIndex, buffer: &mut [u8]) -> Result<(), SourceError> {
        assert_eq!(buffer.len(), self.layout().len(piece) as usize, "the buffer has the length of the piece");
        self.read_at(self.layout().offset(piece), buffer)
    }
}

/// Why a piece cannot be read. Each ends the sharing of these files, not only of the piece, but
/// the want of a descriptor.
#[derive(Debug)]
pub enum SourceError {
    /// The file is not the one that was hashed, or no longer has that content.
    Changed(PathBuf),
    /// The file, or a folder on the way to it, is a symbolic link, which it was not when the file was shared.
    Link(PathBuf),
    /// There is no file any more.
    Gone(PathBuf),
    /// Somebody else has written to an unfinished download, or removed something of it.
    Unfinished(PathBuf),
    /// The system cannot read the file.
    Io(PathBuf, io::Error),
}

impl SourceError {
    pub(crate) fn from_io(path: PathBuf, error: io::Error) -> Self {
        match error.kind() {
            _ if is_link(&error) => SourceError::Link(path),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::Gone(path),
            io::ErrorKind::UnexpectedEof => SourceError::Changed(path),
            _ => SourceError::Io(path, error),
        }
    }

    /// Whether nothing is wrong with the file: no descriptor is left to open it with.
    pub(crate) fn is_of_descriptors(&self) -> bool {
        matches!(self, SourceError::Io(_, error) if sys::lacks_descriptors(error))
    }

    /// The file that it is about.
    pub fn path(&self) -> &Path {
        match self {
            SourceError::Changed(path) | SourceError::Link(path) | SourceError::Gone(path) => path,
            SourceError::Unfinished(path) | SourceError::Io(path, _) => path,
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = ShownPath(self.path());
        match self {
            SourceError::Changed(_) => write!(f, "{path} has changed since it was shared; upload it again"),
            SourceError::Link(_) => write!(f, "{path} {BEHIND_A_LINK}; upload it again"),
            SourceError::Gone(_) => write!(f, "{path} is no longer there; put it back, or stop sharing it"),
            SourceError::Unfinished(_) => {
                write!(f, "{path} was changed during the download; resume_download fetches again what is not right")
            }
            SourceError::Io(_, error) => write!(f, "cannot read {path}: {}", sys::reason(error)),
        }
    }
}

impl std::error::Error for SourceError {}
