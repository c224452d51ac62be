//! The socket on which a running tracker takes the commands of ctl.

use super::answer::{CommandRefusal, Outcome, RESTARTING, Row};
use super::command::OperatorCommand;
use super::dialogue::{AskError, Dialogue, Gone, OperatorCaller, OperatorCommands};
use super::frame::{ASKED_MAX, FrameKind, GREETING, read_frame, write_frame};
use crate::model::exit::Exit;
use crate::sys::local::socket;
use crate::sys::owned_thread::OwnedThread;
use crate::sys::waker::Waker;
use crate::wire::client_tracker::Password;
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fs;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The name of the socket in the data folder.
pub const SOCKET: &str = "ctl";
/// The most commands at a time.
const CONNECTIONS_MAX: usize = 8;
/// Most words of a command.
const WORDS_MAX: usize = 64;
/// How long ctl may take to send its command.
const ASKING: Duration = Duration::from_secs(5);
/// How long an operator may take to answer a question, or ctl to take the next bytes of a backup.
const THINKING: Duration = Duration::from_secs(300);
/// How long ctl may take to read a part of its answer.
const TELLING: Duration = Duration::from_secs(30);
/// How long a command waits for a restarting tracker.
const STARTING: Duration = Duration::from_secs(10);
/// The pause between two checks whether the tracker has started.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the operator is told of other users that were rejected.
const STRANGERS_PAUSE: Duration = Duration::from_secs(60);
/// How long running commands have for the rest of their answers when the tracker stops.
const GRACE: Duration = Duration::from_secs(5);
/// The number of bytes up to which rows are gathered before they are sent.
const GATHERED: usize = 32 * 1024;

/// What ctl asks, as in its first frame.
#[derive(Debug, Serialize, Deserialize)]
pub struct AskedCommand {
    pub words: Vec<String>,
    /// Whether to answer with rows of JSON.
    pub json: bool,
}

/// The open socket. Dropping it removes the socket. Running commands have a while to finish; open questions are given
/// up.
#[derive(Debug)]
pub struct CtlDoor {
    path: PathBuf,
    /// Readable when the thread has to end.
    wake: Arc<Waker>,
    thread: OwnedThread,
}

impl CtlDoor {
    /// Takes commands on a socket in the data folder. This program must have locked that folder.
    ///
    /// # Errors
    /// The socket cannot be made; the system has no thread or descriptor left.
    pub fn open(data_dir: &Path, commands: Arc<dyn OperatorCommands>) -> io::Result<Self> {
        let listener = socket::bind(data_dir, SOCKET)?;
        // If a connection has already ended, accept(2) would block.
        listener.set_nonblocking(true)?;
        let wake = Arc::new(Waker::new()?);
        let keeper =
            DoorKeeper { commands, wake: wake.clone(), told: None, open: Vec::new(), count: 0, busy: bounded(0) };
        let thread = OwnedThread::start("ctl", move || keeper.run(&listener))?;
        Ok(Self { path: data_dir.join(SOCKET), wake, thread })
    }
}

impl Drop for CtlDoor {
    fn drop(&mut self) {
        self.wake.wake();
        self.thread.join();
        // If this fails, the next start replaces the file.
        let _ = fs::remove_file(&self.path);
    }
}

/// The thread that accepts.
struct DoorKeeper {
    commands: Arc<dyn OperatorCommands>,
    wake: Arc<Waker>,
    /// When the operator was last told of another user.
    told: Option<Instant>,
    open: Vec<OpenConnection>,
    /// Numbers the connections.
    count: u64,
    /// Each thread holds a clone of the sender, so that the receiver tells when all have ended.
    busy: (Sender<Infallible>, Receiver<Infallible>),
}

impl Drop for DoorKeeper {
    fn drop(&mut self) {
        for open in &self.open {
            // Fails if the other side was faster.
            let _ = open.stream.shutdown(Shutdown::Read);
        }
        let (sender, ended) = std::mem::replace(&mut self.busy, bounded(0));
        drop(sender);
        // Disconnected: all threads have ended. After the grace time, slow readers are cut off.
        let _ = ended.recv_timeout(GRACE);
    }
}

/// A connection with its thread. Dropping it closes the connection and joins the thread.
struct OpenConnection {
    stream: UnixStream,
    thread: OwnedThread,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        // Fails if the other side was faster.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.thread.join();
    }
}

impl DoorKeeper {
    fn run(mut self, listener: &UnixListener) {
        let wake = self.wake.clone();
        wake.accept_beside(listener, || listener.accept(), |(stream, _)| self.take(stream));
    }

    fn take(&mut self, stream: UnixStream) {
        self.open.retain(|open| !open.thread.is_finished());
        let answer = Answer::new(stream);
        let refused =
            match answer.stream.set_write_timeout(Some(TELLING)).and_then(|()| socket::peer_user(&answer.stream)) {
                Err(_) => return,
                Ok(user) if user != 0 && user != socket::own_user() => {
                    self.tell_stranger(user);
                    "the tracker runs as another user; use the account it runs under, or root"
                }
                Ok(_) if self.open.len() >= CONNECTIONS_MAX => "too many ctl commands run at once, try again",
                Ok(user) => return self.serve(answer, user),
            };
        answer.end(Exit::Refused, refused);
    }

    fn tell_stranger(&mut self, user: u32) {
        if self.told.is_none_or(|told| told.elapsed() >= STRANGERS_PAUSE) {
            self.told = Some(Instant::now());
            self.commands.turned_away(user);
        }
    }

    fn serve(&mut self, answer: Answer, user: u32) {
        let Ok(stream) = answer.stream.try_clone() else { return };
        self.count += 1;
        let (commands, wake) = (self.commands.clone(), self.wake.clone());
        let busy = self.busy.0.clone();
        let run = move || {
            serve(answer, OperatorCaller::Ctl { user }, &*commands, &wake);
            drop(busy);
        };
        // Without a thread the connection ends, and ctl notices.
        if let Ok(thread) = OwnedThread::start(format!("ctl-{}", self.count), run) {
            self.open.push(OpenConnection { stream, thread });
        }
    }
}

/// Carries out the one command of a connection.
fn serve(mut answer: Answer, caller: OperatorCaller, commands: &dyn OperatorCommands, wake: &Waker) {
    let asked = match read_command(&answer.stream) {
        Ok(asked) => asked,
        Err(AskingError::OtherVersion) => {
            return answer.end(Exit::Usage, "ctl and the tracker are of different versions, use the same");
        }
        Err(AskingError::Broken) => return,
    };
    answer.json = asked.json;
    let command = match OperatorCommand::of_ctl(&asked.words) {
        Ok(command) => command,
        Err(error) => return answer.end(Exit::Usage, &error.to_string()),
    };
    let until = Instant::now() + STARTING;
    let mut outcome = commands.carry_out(caller, command.clone(), &mut answer);
    while outcome == Outcome::Restarting && Instant::now() < until {
        match wake.wait_beside(&answer.stream, false, (Instant::now() + PAUSE).min(until)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            // The tracker stops, or ctl is gone.
            _ => return,
        }
        outcome = commands.carry_out(caller, command.clone(), &mut answer);
    }
    match outcome {
        Outcome::Done | Outcome::Quit => answer.exit(Exit::Success),
        Outcome::Refused(refusal) => answer.refuse(&refusal),
        Outcome::Restarting => answer.end(Exit::NoTracker, RESTARTING),
        Outcome::Gone => {}
    }
}

/// Why no command was received.
enum AskingError {
    OtherVersion,
    /// It came too late, was cut off, or is no message of ctl.
    Broken,
}

impl From<io::Error> for AskingError {
    fn from(_: io::Error) -> Self {
        AskingError::Broken
    }
}

fn read_command(stream: &UnixStream) -> Result<AskedCommand, AskingError> {
    let mut from = Punctual { stream, until: Instant::now() + ASKING };
    let mut greeting = [0; GREETING.len()];
    from.read_exact(&mut greeting)?;
    if greeting != GREETING {
        return Err(AskingError::OtherVersion);
    }
    let (kind, payload) = read_frame(&mut from, ASKED_MAX)?;
    let asked: AskedCommand = serde_json::from_slice(&payload).map_err(|_| AskingError::Broken)?;
    if kind == FrameKind::Command && asked.words.len() <= WORDS_MAX { Ok(asked) } else { Err(AskingError::Broken) }
}

/// Reads with a deadline.
struct Punctual<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Read for Punctual<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        stream.read(buf)
    }
}

/// The tracker's side of a connection.
struct Answer {
    stream: UnixStream,
    json: bool,
    /// Standard output has bytes that are no rows.
    is_raw: bool,
    /// What is still to be written.
    gathered: Vec<u8>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Without this the other side would wait, because the door keeper also holds the socket. Fails if the other
        // side is gone.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Answer {
    fn new(stream: UnixStream) -> Self {
        Self { stream, json: false, is_raw: false, gathered: Vec::new() }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.is_empty() {
            return Ok(());
        }
        write_frame(&mut self.stream, FrameKind::Output, &gathered).map_err(|_| Gone)
    }

    fn refuse(mut self, refusal: &CommandRefusal) {
        if self.is_raw || !self.json {
            return self.end(Exit::Refused, &refusal.words);
        }
        let row = Row::new("", refusal.json());
        if self.row(&row).is_ok() {
            self.exit(Exit::Refused);
        }
    }

    /// Sends one line for standard error, and ends.
    fn end(mut self, exit: Exit, line: &str) {
        // If ctl is gone, no answer is needed.
        let said = self.flush().is_ok() && write_frame(&mut self.stream, FrameKind::Complaint, line.as_bytes()).is_ok();
        if said {
            self.exit(exit);
        }
    }

    fn exit(mut self, exit: Exit) {
        if self.flush().is_ok() {
            // If ctl is gone, no answer is needed.
            let _ = write_frame(&mut self.stream, FrameKind::Exit, &[exit as u8]);
        }
    }
}

impl Dialogue for Answer {
    fn row(&mut self, row: &Row) -> Result<(), Gone> {
        match self.json {
            true => self.gathered.extend(row.json.to_string().as_bytes()),
            false => self.gathered.extend(row.words.as_bytes()),
        }
        self.gathered.push(b'\n');
        if self.gathered.len() >= GATHERED { self.flush() } else { Ok(()) }
    }

    fn complain(&mut self, line: &str) -> Result<(), Gone> {
        self.flush()?;
        write_frame(&mut self.stream, FrameKind::Complaint, line.as_bytes()).map_err(|_| Gone)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.flush()?;
        if !self.is_raw {
            self.is_raw = true;
            self.stream.set_write_timeout(Some(THINKING)).map_err(|_| Gone)?;
        }
        write_frame(&mut self.stream, FrameKind::Output, bytes).map_err(|_| Gone)
    }

    fn ask(&mut self, question: &str) -> Result<Password, AskError> {
        self.flush().map_err(|Gone| AskError::Gone)?;
        write_frame(&mut self.stream, FrameKind::Question, question.as_bytes()).map_err(|_| AskError::Gone)?;
        let mut from = Punctual { stream: &self.stream, until: Instant::now() + THINKING };
        let (kind, payload) = read_frame(&mut from, ASKED_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => AskError::Late,
            _ => AskError::Gone,
        })?;
        if kind != FrameKind::Secret {
            return Err(AskError::Gone);
        }
        std::str::from_utf8(&payload).ok().and_then(Password::new).ok_or(AskError::NoPassword)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::operator::frame::TOLD_MAX;
    use parking_lot::Mutex;
    use std::io::Write;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    /// Restarts for this many looks, and then asks for a password.
    #[derive(Default)]
    struct Script {
        restarting: AtomicU32,
        heard: Mutex<Vec<OperatorCommand>>,
    }

    impl OperatorCommands for Script {
        fn carry_out(&self, _: OperatorCaller, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome {
            let left = self.restarting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if left.is_ok() {
                return Outcome::Restarting;
            }
            self.heard.lock().push(command);
            let words = match to.ask("Who? ") {
                Ok(password) => password.reveal().to_owned(),
                Err(error) => format!("{error:?}"),
            };
            to.row(&Row::success(words)).map_or(Outcome::Gone, |()| Outcome::Done)
        }

        fn turned_away(&self, _: u32) {}
    }

    fn door(commands: Script) -> (tempfile::TempDir, CtlDoor, Arc<Script>) {
        let folder = tempfile::tempdir().expect("a folder");
        let commands = Arc::new(commands);
        let door = CtlDoor::open(folder.path(), commands.clone()).expect("open");
        (folder, door, commands)
    }

    /// Sends these bytes, and an answer to every question. Returns the frames that come.
    fn frames(folder: &Path, bytes: &[u8], secret: &[u8]) -> Vec<(FrameKind, String)> {
        let mut stream = socket::connect(folder, SOCKET).expect("a door");
        // The tracker may have closed the connection because of these bytes.
        let _ = stream.write_all(bytes);
        let mut heard = Vec::new();
        while let Ok((kind, payload)) = read_frame(&mut stream, TOLD_MAX) {
            heard.push((kind, String::from_utf8(payload).expect("text")));
            if kind == FrameKind::Question {
                write_frame(&mut stream, FrameKind::Secret, secret).expect("written");
            }
        }
        heard
    }

    fn asking(words: &[&str]) -> Vec<u8> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let payload = serde_json::to_vec(&AskedCommand { words, json: false }).expect("JSON");
        let mut bytes = GREETING.to_vec();
        write_frame(&mut bytes, FrameKind::Command, &payload).expect("written");
        bytes
    }

    fn answered(words: &str) -> Vec<(FrameKind, String)> {
        let [question, row, exit] = ["Who? ", words, "\0"].map(str::to_owned);
        vec![(FrameKind::Question, question), (FrameKind::Output, row + "\n"), (FrameKind::Exit, exit)]
    }

    #[test]
    fn a_command_waits_for_a_tracker_that_is_started_anew_and_is_carried_out_once() {
        let (folder, _door, script) = door(Script { restarting: AtomicU32::new(3), ..Script::default() });
        assert_eq!(frames(folder.path(), &asking(&["status"]), b"me"), answered("me"));
        assert_eq!(*script.heard.lock(), [OperatorCommand::Status]);
    }

    #[test]
    fn a_secret_that_is_no_password_counts_as_none() {
        let (folder, _door, _script) = door(Script::default());
        for secret in [&b""[..], &[0xff], &[b'x'; 1025]] {
            assert_eq!(frames(folder.path(), &asking(&["status"]), secret), answered("NoPassword"));
        }
    }

    #[test]
    fn a_connection_without_a_command_is_turned_away_and_the_door_stays_open() {
        let (folder, _door, script) = door(Script::default());
        let told = |words: &str| {
            let exit = char::from(Exit::Usage as u8).to_string();
            vec![(FrameKind::Complaint, words.to_owned()), (FrameKind::Exit, exit)]
        };
        let version = "ctl and the tracker are of different versions, use the same";
        assert_eq!(frames(folder.path(), b"GSCTL\0\0\x02", b""), told(version));
        assert_eq!(frames(folder.path(), b"GET / HTTP/1.1\r\n", b""), told(version));
        assert_eq!(frames(folder.path(), &asking(&["frob"]), b""), told("Unknown command 'frob', type help"));
        let quit = "quit is a command of the console; stop the tracker with kill or systemctl stop";
        assert_eq!(frames(folder.path(), &asking(&["exit"]), b""), told(quit));
        let frame = |kind: u8, len: u32, payload: &[u8]| [&GREETING[..], &[kind], &len.to_be_bytes(), payload].concat();
        for bytes in [
            frame(b'C', u32::MAX, b""),
            frame(b'C', ASKED_MAX as u32 + 1, b""),
            frame(b'C', 2, b"{}"),
            frame(b'C', 3, b"\xff\xff\xff"),
            frame(b'S', 27, br#"{"words":["a"],"json":true}"#),
            frame(b'Q', 0, b""),
            asking(&["status"; WORDS_MAX + 1]),
        ] {
            assert_eq!(frames(folder.path(), &bytes, b""), []);
        }
        assert!(script.heard.lock().is_empty());
        assert_eq!(frames(folder.path(), &asking(&["status"]), b"me"), answered("me"));
    }

    #[test]
    fn a_closing_door_gives_up_open_questions_and_removes_its_socket() {
        let (folder, door, _script) = door(Script::default());
        let mut stream = socket::connect(folder.path(), SOCKET).expect("a door");
        stream.write_all(&asking(&["status"])).expect("written");
        assert_eq!(read_frame(&mut stream, TOLD_MAX).expect("a question").0, FrameKind::Question);
        drop(door);
        assert_eq!(read_frame(&mut stream, TOLD_MAX).expect("an answer"), (FrameKind::Output, b"Gone\n".to_vec()));
        assert!(!folder.path().join(SOCKET).exists());
    }

    /// Tells that it has begun, and goes on when it is told to.
    struct Slow(Sender<()>, Receiver<()>);

    impl OperatorCommands for Slow {
        fn carry_out(&self, _: OperatorCaller, _: OperatorCommand, to: &mut dyn Dialogue) -> Outcome {
            self.0.send(()).expect("somebody listens");
            self.1.recv().expect("told");
            to.row(&Row::success("done")).map_or(Outcome::Gone, |()| Outcome::Done)
        }

        fn turned_away(&self, _: u32) {}
    }

    #[test]
    fn a_command_that_has_begun_is_answered_by_a_door_that_closes() {
        let folder = tempfile::tempdir().expect("a folder");
        let ((begun, begins), (go, told)) = (bounded(1), bounded(1));
        let door = CtlDoor::open(folder.path(), Arc::new(Slow(begun, told))).expect("open");
        let mut stream = socket::connect(folder.path(), SOCKET).expect("a door");
        stream.write_all(&asking(&["kick", "ann"])).expect("written");
        begins.recv_timeout(ASKING).expect("it has begun");
        let closing = thread::spawn(move || drop(door));
        // A closing socket reads no more.
        while stream.write_all(b"x").is_ok() {
            thread::park_timeout(Duration::from_millis(1));
        }
        go.send(()).expect("it waits");
        assert_eq!(read_frame(&mut stream, TOLD_MAX).expect("an answer"), (FrameKind::Output, b"done\n".to_vec()));
        assert_eq!(read_frame(&mut stream, TOLD_MAX).expect("the end"), (FrameKind::Exit, vec![0]));
        closing.join().expect("closed");
    }
}
