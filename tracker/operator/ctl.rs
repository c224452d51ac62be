//! What ctl does: it connects, asks, and shows the answer.

use super::door::{AskedCommand, SOCKET};
use super::frame::{FrameKind, GREETING, TOLD_MAX, read_frame, write_frame};
use crate::model::escape::escape;
use crate::model::exit::Exit;
use crate::signals::QuestionSignals;
use crate::sys;
use crate::sys::echo_off::{EchoOff, Typing};
use crate::sys::local::socket;
use crate::wire::client_tracker::PASSWORD_LEN_MAX;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long the tracker may be silent. A change waits 30 s for a slow disk.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a command has no answer. Each error is one line.
#[derive(Debug)]
pub enum CtlError {
    /// The data folder has no socket.
    NoSocket(PathBuf),
    /// The tracker runs as another user.
    NotAllowed(PathBuf),
    /// No program listens on the socket.
    NoTracker(PathBuf, io::Error),
    /// The command is longer than a frame.
    TooLong,
    /// The socket belongs to neither root, nor this user, nor the owner of the folder.
    Foreign(PathBuf),
    /// The tracker ended before its answer did.
    Torn,
    /// The tracker was silent for too long.
    Silent,
    /// Standard output takes no more.
    OutputLost(io::Error),
    /// A question was answered with ctrl-C, or a signal came.
    Interrupted,
}

impl CtlError {
    pub fn exit(&self) -> Exit {
        match self {
            CtlError::NoSocket(_) | CtlError::NoTracker(..) => Exit::NoTracker,
            CtlError::NotAllowed(_) | CtlError::Foreign(_) => Exit::Refused,
            CtlError::Torn | CtlError::Silent => Exit::Torn,
            CtlError::TooLong => Exit::Usage,
            CtlError::OutputLost(_) => Exit::OutputLost,
            CtlError::Interrupted => Exit::Interrupted,
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
            CtlError::Foreign(folder) => {
                write!(f, "{}: a user who does not own the folder listens there; ctl sent nothing", folder.display())
            }
            CtlError::Silent => f.write_str("the tracker says nothing; look whether the change was made"),
            CtlError::Torn => f.write_str("the tracker has ended in the middle; look whether the change was made"),
            CtlError::Interrupted => f.write_str("interrupted; nothing was changed"),
            CtlError::OutputLost(error) => {
                write!(f, "cannot write the answer, look whether a change was made: {}", sys::reason(error))
            }
        }
    }
}

impl std::error::Error for CtlError {}

/// Asks the tracker that runs on a data folder. Rows go to `out`, complaints to `complain`.
///
/// # Errors
/// The answer is missing or incomplete.
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
    let trusted = socket::peer_user(&stream).and_then(|user| {
        let owner = fs::metadata(data_dir)?.uid();
        Ok([0, socket::own_user(), owner].contains(&user))
    });
    let usable = stream.set_read_timeout(Some(SILENCE)).and(trusted);
    if !usable.map_err(|error| CtlError::NoTracker(data_dir.to_path_buf(), error))? {
        return Err(CtlError::Foreign(data_dir.to_path_buf()));
    }
    let words = serde_json::to_vec(asked).map_err(|_| CtlError::TooLong)?;
    if words.len() > super::frame::ASKED_MAX {
        return Err(CtlError::TooLong);
    }
    // A tracker that refuses at once does not read. Its refusal still arrives.
    let _ = stream.write_all(&GREETING).and_then(|()| write_frame(&mut stream, FrameKind::Command, &words));
    hear(&mut stream, out, complain)
}

/// Asks the user at the terminal. Without a terminal, the first line of standard input answers every question.
#[derive(Default)]
struct Secrets {
    line: Option<String>,
    /// Present after the first question at a terminal.
    signals: Option<Arc<QuestionSignals>>,
}

impl Secrets {
    fn answer(&mut self, question: &str) -> Result<String, CtlError> {
        if io::stdin().is_terminal() {
            return match self.signals() {
                Ok(signals) => typed(question, &signals),
                // Like an empty line: nothing may be typed that a signal could leave hidden.
                Err(_) => Ok(String::new()),
            };
        }
        if self.line.is_none() {
            let mut line = String::new();
            // A password that is one byte too long is refused, like an empty one.
            let most = PASSWORD_LEN_MAX as u64 + 2;
            let _ = io::stdin().lock().take(most).read_line(&mut line);
            self.line = Some(line.trim_end_matches(['\r', '\n']).to_owned());
        }
        Ok(self.line.clone().unwrap_or_default())
    }

    fn signals(&mut self) -> io::Result<Arc<QuestionSignals>> {
        if let Some(known) = &self.signals {
            return Ok(known.clone());
        }
        let new = Arc::new(QuestionSignals::new()?);
        Ok(self.signals.insert(new).clone())
    }
}

/// The error that stands for ctrl-C, or for a signal. A reader would try again after `Interrupted`.
const CTRL_C_KIND: io::ErrorKind = io::ErrorKind::ConnectionAborted;

/// Keys from the terminal, up to ctrl-C or a signal. rpassword would react to ctrl-C with the signal, which leaves the
/// echo off.
struct Keys(Arc<QuestionSignals>);

impl Read for Keys {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.0.wait_for(io::stdin())? {
            return Err(CTRL_C_KIND.into());
        }
        // Without the buffer of `stdin`, whose bytes no poll sees.
        let len = rustix::io::read(io::stdin(), &mut *buf)?;
        if buf[..len].contains(&0x03) { Err(CTRL_C_KIND.into()) } else { Ok(len) }
    }
}

/// Asks on the terminal, with the echo off.
fn typed(question: &str, signals: &Arc<QuestionSignals>) -> Result<String, CtlError> {
    let answer = signals.ask(|| {
        // Keys typed ahead stay hidden too.
        let echo = EchoOff::begin(io::stdin(), Typing::PlainKeys);
        let _ = write!(io::stderr(), "{question}");
        let config = rpassword::ConfigBuilder::new().input_reader(Keys(signals.clone())).output_discard().build();
        // Reads nothing if the terminal cannot hide it.
        let answer = echo.and_then(|_echo| rpassword::read_password_with_config(config));
        let _ = writeln!(io::stderr());
        answer
    });
    match answer {
        None => Err(CtlError::Interrupted),
        Some(Err(error)) if error.kind() == CTRL_C_KIND => Err(CtlError::Interrupted),
        Some(answer) => Ok(answer.unwrap_or_default()),
    }
}

/// Shows the tracker's answer, up to the exit code.
fn hear(stream: &mut UnixStream, out: &mut impl Write, complain: impl Fn(&str)) -> Result<Exit, CtlError> {
    let mut secrets = Secrets::default();
    loop {
        let (kind, payload) = read_frame(stream, TOLD_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => CtlError::Silent,
            _ => CtlError::Torn,
        })?;
        match kind {
            FrameKind::Output => out.write_all(&payload).map_err(CtlError::OutputLost)?,
            FrameKind::Complaint => complain(&escape(&String::from_utf8_lossy(&payload))),
            FrameKind::Exit => {
                out.flush().map_err(CtlError::OutputLost)?;
                return Ok(payload.first().map_or(Exit::Refused, |code| Exit::of_command(*code)));
            }
            FrameKind::Question => {
                let answer = secrets.answer(&escape(&String::from_utf8_lossy(&payload)))?;
                // If this fails the tracker is gone, which shows below.
                let _ = write_frame(stream, FrameKind::Secret, answer.as_bytes());
            }
            FrameKind::Command | FrameKind::Secret => return Err(CtlError::Torn),
        }
    }
}
