//! The tracker's program from the outside: how it starts, what it says when it cannot, how it ends.

mod common;

use common::*;
use groupshare::model::digest::Fingerprint;
use groupshare::tracker::identity::Identity;
use groupshare::wire::client_tracker::Request;
use groupshare::wire::error::Code;
use groupshare::wire::handshake::HandshakeError;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

static INSTALLATIONS: AtomicU8 = AtomicU8::new(1);

/// An installation in a folder of its own, with one tracker on a port that was free a moment ago. Its loopback address
/// is its own too, so that nobody else takes the port meanwhile.
struct Installation {
    folder: tempfile::TempDir,
    addr: SocketAddr,
}

impl Installation {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, high.max(1), low, INSTALLATIONS.fetch_add(1, Ordering::Relaxed));
        let addr = TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).expect("a free port");
        let installation = Self { folder, addr };
        installation.list(&format!("{addr}\n"));
        installation
    }

    fn list(&self, text: &str) {
        fs::write(self.info(), text).expect("writable");
    }

    fn info(&self) -> PathBuf {
        self.folder.path().join("tracker_info.txt")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.current_dir(self.folder.path()).args(args);
        command
    }

    /// Starts the tracker and waits until it says that it runs.
    fn start(&self, args: &[&str]) -> Running {
        Running::of(&mut self.command(args))
    }

    fn fingerprint(&self) -> Fingerprint {
        let key = fs::read(self.folder.path().join("tracker_info.txt.key")).expect("made");
        Identity::new(key.as_slice().try_into().expect("32 bytes")).fingerprint()
    }

    fn client(&self) -> Result<Client, HandshakeError> {
        Client::over_to(TcpStream::connect(self.addr)?, self.fingerprint())
    }

    /// Starts a tracker that cannot run.
    fn fail(&self, args: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.command(args).stdin(Stdio::null()).output().expect("started");
        assert_eq!(stdout, b"", "{}", String::from_utf8_lossy(&stdout));
        let said = String::from_utf8(stderr).expect("text");
        assert_eq!(said.lines().count(), 1, "one line: {said}");
        (status.code().expect("an exit code"), said.trim_end().to_owned())
    }
}

struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    banner: String,
}

impl Running {
    /// Starts a tracker and waits until it says that it runs.
    fn of(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("started");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut banner = String::new();
        output.read_line(&mut banner).expect("a banner");
        Self { child, input, output, banner }
    }

    fn type_in(&mut self, text: &str) {
        self.input.as_mut().expect("open").write_all(text.as_bytes()).expect("taken");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process");
        kill_process(pid, signal).expect("sent");
    }

    /// Waits for the end; gives the exit status and what was said on standard error.
    fn end(&mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        (self.child.wait().expect("ended"), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_clean((status, said): (ExitStatus, String)) -> bool {
    status.code() == Some(0) && said.is_empty()
}

#[test]
fn it_says_where_it_listens_and_who_it_is_and_quit_ends_it() {
    let installation = Installation::new();
    let mut tracker = installation.start(&["tracker_info.txt", "1"]);
    let own = installation.fingerprint();
    assert_eq!(tracker.banner, format!("tracker 1 on {}, fingerprint {own}\n", installation.addr));
    assert!(installation.folder.path().join("tracker_info.txt.data/tracker-1/manifests").is_dir());
    tracker.type_in("status\n");
    assert!(tracker.line().starts_with(&format!("tracker 1 on {}, up 0 h 00 min", installation.addr)));
    assert_eq!(tracker.line(), format!("fingerprint {own}\n"));
    assert_eq!(tracker.line(), "users       0, 0 online on 0 clients\n");
    tracker.type_in("quit\n");
    assert!(is_clean(tracker.end()));
    assert!(TcpStream::connect(installation.addr).is_err());
}

#[test]
fn signals_end_it_cleanly_and_the_end_of_input_does_not_end_it() {
    let installation = Installation::new();
    for signal in [Signal::TERM, Signal::INT] {
        let mut tracker = installation.start(&[]);
        tracker.input = None;
        let connected = TcpStream::connect(installation.addr).expect("it still listens");
        tracker.signal(signal);
        assert!(is_clean(tracker.end()), "{signal:?}");
        drop(connected);
    }
}

#[test]
fn it_survives_the_end_of_its_terminal_if_nohup_asked_for_that() {
    let installation = Installation::new();
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_tracker")).current_dir(installation.folder.path());
    let mut tracker = Running::of(&mut command);
    tracker.input = None;
    tracker.signal(Signal::HUP);
    TcpStream::connect(installation.addr).expect("it still listens");
    tracker.signal(Signal::TERM);
    // What nohup itself says about its input is no concern of the tracker's.
    assert_eq!(tracker.end().0.code(), Some(0));
}

#[test]
fn passwords_are_hashed_as_owasp_recommends_and_clients_are_served() {
    let installation = Installation::new();
    let mut tracker = installation.start(&["--data-dir", "elsewhere"]);
    assert!(installation.folder.path().join("elsewhere/manifests").is_dir());
    let key = fs::read(installation.folder.path().join("tracker_info.txt.key")).expect("made");
    let own = Identity::new(key.as_slice().try_into().expect("32 bytes")).fingerprint();
    let mut client =
        Client::over_to(TcpStream::connect(installation.addr).expect("connected"), own).expect("a channel");
    client.create_user("ann");
    client.log_in("ann");
    client.done(Request::Heartbeat {});
    tracker.type_in("status\n");
    let status: String = (0..5).map(|_| tracker.line()).collect();
    assert!(status.contains("users       1, 1 online on 1 clients"), "{status}");
    tracker.signal(Signal::TERM);
    assert!(is_clean(tracker.end()));
}

#[test]
fn whatever_keeps_it_from_running_is_told_in_one_line_with_what_to_do() {
    let installation = Installation::new();
    let addr = installation.addr;
    let (code, said) = installation.fail(&["tracker_info.txt", "2"]);
    assert_eq!((code, &said[..]), (1, "tracker: tracker_info.txt: there is no tracker 2, only tracker 1 is listed"));
    let (code, said) = installation.fail(&["none.txt", "1"]);
    assert_eq!((code, &said[..]), (1, "tracker: cannot read the list of trackers none.txt: No such file or directory"));
    let (code, said) = installation.fail(&["tracker_info.txt", "0"]);
    assert_eq!(code, 2);
    assert!(said.contains("'0' is not a tracker number") && said.contains("Usage: "), "{said}");
    let (code, said) = installation.fail(&["tracker_info.txt", "1", "x", "y"]);
    assert_eq!(code, 2, "{said}");

    let taken = TcpListener::bind(addr).expect("still free");
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 1);
    assert!(said.starts_with(&format!("tracker: {addr} is in use;")), "{said}");
    drop(taken);

    let tracker = installation.start(&[]);
    installation.list(&format!("{addr}\n127.0.0.2:{}\n", addr.port()));
    let data = "tracker_info.txt.data/tracker-1";
    let (code, said) = installation.fail(&["tracker_info.txt", "2", "--data-dir", data]);
    assert_eq!(code, 1);
    assert!(said.starts_with(&format!("tracker: another tracker is using {data}")), "{said}");
    drop(tracker);

    installation.list("203.0.113.1:5000\n");
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 1);
    assert!(said.starts_with("tracker: 203.0.113.1:5000 is not an address of this machine"), "{said}");
    installation.list("somewhere 5000\n");
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 1);
    assert!(said.starts_with("tracker: tracker_info.txt: line 1 'somewhere 5000': "), "{said}");

    installation.list(&format!("{addr}\nfingerprint {}\n", "00".repeat(32)));
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 1);
    assert!(said.contains("copy the right key file here"), "{said}");
    installation.list(&format!("{addr}\n"));
    let key = installation.folder.path().join("tracker_info.txt.key");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("allowed");
    mode(0o644);
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 1);
    assert!(said.contains("chmod 600"), "{said}");
    mode(0o600);
    fs::write(&key, "short").expect("writable");
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 1);
    assert!(said.contains("has 5 bytes instead of 32"), "{said}");
}

#[test]
fn running_out_of_descriptors_is_survived_and_told_once() {
    let installation = Installation::new();
    let mut tracker = installation.start(&[]);
    tracker.type_in("help\n");
    assert!(tracker.line().starts_with("status "), "everything it needs for itself is open");
    let pid = Pid::from_raw(tracker.child.id() as i32);
    let all = getrlimit(Resource::Nofile);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), ..all }).expect("allowed");
    // The system completes the connection; the tracker cannot take it before it is allowed more.
    let stream = TcpStream::connect(installation.addr).expect("connected");
    let warning = "tracker: no further connection can be taken: Too many open files\n";
    let mut stderr = BufReader::new(tracker.child.stderr.take().expect("piped"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("a warning");
    assert_eq!(said, warning);
    prlimit(pid, Resource::Nofile, all).expect("allowed");
    let mut client = Client::over_to(stream, installation.fingerprint()).expect("a channel");
    client.done(Request::Heartbeat {});
    tracker.type_in("quit\n");
    said.clear();
    stderr.read_to_string(&mut said).expect("text");
    assert_eq!(said, "");
    assert_eq!(tracker.child.wait().expect("ended").code(), Some(0));
}

#[test]
fn few_descriptors_make_for_few_connections_and_a_clear_refusal() {
    let installation = Installation::new();
    let mut command = Command::new("sh");
    let script = "ulimit -n 64 && exec \"$0\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_tracker")]).current_dir(installation.folder.path());
    let mut tracker = Running::of(&mut command);
    let clients: Vec<_> = (0..32).map(|_| installation.client().expect("there is room")).collect();
    assert!(matches!(installation.client(), Err(HandshakeError::Refused(Some(Code::Busy)))));
    drop(clients);
    tracker.type_in("quit\n");
    assert!(is_clean(tracker.end()));
}

#[test]
fn a_port_is_free_again_at_once_even_if_clients_were_connected() {
    let installation = Installation::new();
    for _ in 0..3 {
        let mut tracker = installation.start(&[]);
        let mut connected = TcpStream::connect(installation.addr).expect("it listens");
        tracker.type_in("quit\n");
        let began = Instant::now();
        assert!(is_clean(tracker.end()));
        assert!(began.elapsed() < Duration::from_secs(9));
        let _ = connected.read(&mut [0; 8]);
    }
    assert!(Path::new(&installation.info()).exists());
}
