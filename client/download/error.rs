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

/// Why a download cannot go on. What a peer does wrong costs the peer, not the download.
#[derive(Debug)]
pub enum DownloadError {
    /// Every member that had the file lied; this one was the last.
    OnlyLiars(UserId, Lie),
    /// For as long as the download waits, no member has been online that has what is missing.
    NobodyHasIt,
    /// The same, and these members were not reached or had no room.
    NobodyReached(Obstacles),
    /// Every piece is right and the whole is not: the SHA-1 that the tracker gave is of something else.
    WrongSha1,
    /// The disk does not take what comes in.
    Write(PartError),
    /// The disk does not give back what it took.
    Read(SourceError),
    /// The system starts no thread that could check the complete file.
    NoThread(io::Error),
    /// The user is no longer a member of the group.
    NotMember,
    /// Nobody has shared it for so long that the trackers know nothing of it any more.
    Forgotten,
    /// For as long as the download waits, no tracker that knows of it has been reached.
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

/// Why a piece that came in was not taken.
#[derive(Debug)]
pub enum PieceError {
    /// It does not match its digest. The peer is at fault.
    Bad,
    /// The disk does not take it, or does not give back earlier pieces. The download stops.
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
            DownloadError::OnlyLiars(user, lie) => write!(f, "nobody is left who has it, after {user}: {lie}"),
            DownloadError::NobodyHasIt => f.write_str("no member who is online has what is missing"),
            DownloadError::NobodyReached(obstacles) => {
                f.write_str("no member who has what is missing was reached: ")?;
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

/// The first few members with what stands between, and how many more there are.
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
