//! Why a download fails.

use super::lie::Lie;
use super::obstacle::{Obstacles, in_words};
use crate::client::storage::part::PartError;
use crate::client::storage::piece_source::SourceError;
use crate::model::name::UserId;
use std::fmt;
use std::io;

/// Most members that a failure names.
const NAMED_MAX: usize = 4;

/// Why a download cannot go on. A fault of a peer costs the peer, not the download.
#[derive(Debug)]
pub enum DownloadError {
    /// Every member that had the file lied; this one was the last.
    OnlyLiars(UserId, Lie),
    /// While the download waited, no member with the missing pieces was online.
    NobodyHasIt,
    /// As `NobodyHasIt`, but these members were not reached or had no room.
    NobodyReached(Obstacles),
    /// Every piece is right, but the whole file does not match the tracker's SHA-1.
    WrongSha1,
    /// The disk rejects the data.
    Write(PartError),
    /// The disk does not return written data.
    Read(SourceError),
    /// The system starts no thread that could check the complete file.
    NoThread(io::Error),
    /// The user is no longer a member of the group.
    NotMember,
    /// The share had no holder for so long that the trackers have forgotten it.
    Forgotten,
    /// While the download waited, the client reached no tracker that knows the share.
    NoTracker,
    /// The client is closing.
    Closing,
}

impl From<PartError> for DownloadError {
    fn from(error: PartError) -> Self {
        DownloadError::Write(error)
    }
}

impl From<SourceError> for DownloadError {
    fn from(error: SourceError) -> Self {
        DownloadError::Read(error)
    }
}

/// Why a received piece was rejected.
#[derive(Debug)]
pub enum PieceError {
    /// It does not match its digest. The peer is at fault.
    Bad,
    /// The disk rejects it, or does not return earlier pieces. The download stops.
    Stops(DownloadError),
}

impl PieceError {
    pub(super) fn stops(error: impl Into<DownloadError>) -> Self {
        PieceError::Stops(error.into())
    }
}

impl fmt::Display for DownloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownloadError::OnlyLiars(user, lie) => {
                write!(f, "nobody is left who has the file; the last one was {user}: {lie}")
            }
            DownloadError::NobodyHasIt => f.write_str("no online member has the missing pieces"),
            DownloadError::NobodyReached(obstacles) => {
                f.write_str("no member with the missing pieces was reached: ")?;
                write_obstacles(obstacles, f)
            }
            DownloadError::WrongSha1 => f.write_str(
                "the complete file does not match its SHA-1, though every piece matches its own: whoever \
                 shared it gave a wrong SHA-1",
            ),
            DownloadError::Write(error) => error.fmt(f),
            DownloadError::Read(error) => error.fmt(f),
            DownloadError::NoThread(error) => write!(f, "no thread can be started: {error}"),
            DownloadError::NotMember => f.write_str("you are no longer a member of the group"),
            DownloadError::Forgotten => f.write_str(
                "it is not shared any more, and the trackers have forgotten it; ask somebody to share it again",
            ),
            DownloadError::NoTracker => f.write_str("no tracker that knows of it was reached"),
            DownloadError::Closing => f.write_str("the client is closing"),
        }
    }
}

/// The first few members with their obstacles, and the number of the others.
fn write_obstacles(obstacles: &Obstacles, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let words = in_words(obstacles);
    for (at, (user, why)) in words.iter().take(NAMED_MAX).enumerate() {
        write!(f, "{}{user}: {why}", if at == 0 { "" } else { "; " })?;
    }
    match words.len().saturating_sub(NAMED_MAX) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

impl std::error::Error for DownloadError {}
