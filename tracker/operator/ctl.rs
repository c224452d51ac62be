//! What ctl does: it connects, asks, and shows the answer.

use super::door::{AskedCommand, SOCKET};
use super::frame::{FrameKind, GREETING, TOLD_MAX, read_frame, write_frame};
use crate::model::exit::Exit;
use crate::sys;
use crate::sys::local::socket;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Why a command has no answer. Each is one line.
#[derive(Debug)]
pub enum CtlError {
    /// The data folder has no socket.
    NoSocket(PathBuf),
    /// The tracker runs as another user.
    NotAllowed(PathBuf),
    /// Nobody listens on the socket.
    NoTracker(PathBuf, io::Error),
    /// The command is longer than a frame.
    TooLong,
    /// The tracker has ended before its answer has.
    Torn,
    /// Standard output takes no more.
    OutputLost(io::Error),
}

impl CtlError {
    pub fn exit(&self) -> Exit {
        match self {
            CtlError::NoSocket(_) | CtlError::NoTracker(..) | CtlError::Torn => Exit::NoTracker,
            CtlError::NotAllowed(_) => Exit::Refused,
            CtlError::TooLong => Exit::Usage,
            CtlError::OutputLost(_) => Exit::OutputLost,
        }
    }
}

impl fmt::Display for CtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CtlError::NoSocket(folder) => {
                write!(f, "no tracker runs on {} (no socket); is it started?", folder.display())
            }
            CtlError::NotAllowed(folder) => write!(
                f,
                "{}: the tracker runs as another user; use the account it runs under, or root",
                folder.display()
            ),
            CtlError::NoTracker(folder, error) => {
                write!(f, "no tracker runs on {} ({}); is it started?", folder.display(), sys::reason(error))
            }
            CtlError::TooLong => f.write_str("the command is too long"),
            CtlError::Torn => f.write_str("the tracker has ended in the middle; look whether the change was made"),
            CtlError::OutputLost(error) => write!(f, "cannot write the answer: {}", sys::reason(error)),
        }
    }
}

impl std::error::Error for CtlError {}

/// Asks the tracker that runs on a data folder. Rows go to `out`, complaints to `complain`.
///
/// # Errors
/// There is no whole answer.
pub fn ask(
    data_dir: &Path,
    asked: &AskedCommand,
    out: &mut impl Write,
    complain: impl Fn(&str),
) -> Result<Exit, CtlError> {
    let mut stream = socket::connect(data_dir, SOCKET).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => CtlError::NoSocket(data_dir.to_path_buf()),
        io::ErrorKind::PermissionDenied => CtlError::NotAllowed(data_dir.to_path_buf()),
        _ => CtlError::NoTracker(data_dir.to_path_buf(), error),
    })?;
    let words = serde_json::to_vec(asked).map_err(|_| CtlError::TooLong)?;
    if words.len() > super::frame::ASKED_MAX {
        return Err(CtlError::TooLong);
    }
    // A tracker that refuses at once does not read; what it says is there all the same.
    let _ = stream.write_all(&GREETING).and_then(|()| write_frame(&mut stream, FrameKind::Command, &words));
    hear(&mut stream, out, complain)
}

/// Shows what the tracker says, up to the exit code.
fn hear(stream: &mut UnixStream, out: &mut impl Write, complain: impl Fn(&str)) -> Result<Exit, CtlError> {
    loop {
        let (kind, payload) = read_frame(stream, TOLD_MAX).map_err(|_| CtlError::Torn)?;
        match kind {
            FrameKind::Output => out.write_all(&payload).map_err(CtlError::OutputLost)?,
            FrameKind::Complaint => complain(&String::from_utf8_lossy(&payload)),
            FrameKind::Exit => {
                out.flush().map_err(CtlError::OutputLost)?;
                return Ok(payload.first().map_or(Exit::Refused, |code| Exit::of_command(*code)));
            }
            FrameKind::Command => return Err(CtlError::Torn),
        }
    }
}
