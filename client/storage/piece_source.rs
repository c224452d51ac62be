//! The source of the pieces that a client gives to other members.

use crate::model::escape::ShownPath;
use crate::model::piece::{Layout, PieceIndex};
use crate::sys;
use crate::sys::files::is_link;
use crate::sys::vectored::ScatteredRoom;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The words about a file behind a symbolic link.
pub(crate) const BEHIND_A_LINK: &str = "lies behind a symbolic link that was not there when it was shared";

/// A source of pieces for many threads at a time: the files of a share, or a running download.
pub trait PieceSource: Send + Sync {
    /// The pieces of the stream.
    fn layout(&self) -> Layout;

    /// Fills the buffer with the bytes of the stream from `offset` on.
    ///
    /// # Errors
    /// Those of the source. The content of the buffer is then undefined.
    ///
    /// # Panics
    /// When used up to beyond the end of the stream.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError>;

    /// As `read_at`, into several stretches of room.
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

/// Why a piece cannot be read. Except for a lack of descriptors, each reason ends the sharing of these files, and not
/// only of the piece.
#[derive(Debug)]
pub enum SourceError {
    /// The file is another one than the hashed one, or has another content now.
    Changed(PathBuf),
    /// The file, or a folder on the way to it, is a symbolic link, and was none when the file was shared.
    Link(PathBuf),
    /// There is no file any more.
    Gone(PathBuf),
    /// Another program has written to an unfinished download, or removed something of it.
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

    /// Whether the file is fine, but no descriptor is left to open it.
    pub(crate) fn is_of_descriptors(&self) -> bool {
        matches!(self, SourceError::Io(_, error) if sys::lacks_descriptors(error))
    }

    /// The file of the error.
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
