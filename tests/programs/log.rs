//! Events in a tracker's log, of the program and in this process.

use crate::common::client::Client;
use crate::common::installation::Installation;
use crate::common::names::{PASSWORD, command, password, user};
use crate::common::program::Program;
use crate::common::tracker::{TestTracker, loopback};
use crate::common::wait::wait_until;
use crate::ctl::ended;
use groupshare::tracker::admission::Caps;
use groupshare::tracker::log::{Level, Log};
use groupshare::tracker::server::ServerSettings;
use groupshare::wire::client_tracker::{Reply, Request};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;

/// A tracker in this process, and the lines of its log.
fn logging(change: impl FnOnce(&mut ServerSettings)) -> (TestTracker, Arc<Mutex<Vec<String>>>) {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let written = lines.clone();
    let log = Log::new(Level::Info, move |level, line| written.lock().push(format!("{level} {line}")));
    let tracker = TestTracker::start_at(loopback().into(), |settings| {
        settings.oversight.log = Arc::new(log);
        change(settings);
    });
    (tracker, lines)
}

fn login(client: &Client, name: &str, with: &str) -> Request {
    Request::Login { client: client.id, user: user(name), password: password(with) }
}

#[test]
fn logins_that_fail_and_members_who_come_and_leave_have_a_line() {
    let (tracker, lines) = logging(|_| {});
    let mut client = tracker.client();
    client.create_user("ann lee");
    assert!(matches!(client.ask(login(&client, "ann lee", "guess")), Reply::Refused { .. }));
    assert!(matches!(client.ask(login(&client, "zoe", "guess")), Reply::Refused { .. }));
    let failed = [
        r#"info login failed kind=login user="ann lee" from=127.0.0.1 reason=BadLogin"#,
        "info login failed kind=login user=zoe from=127.0.0.1 reason=BadLogin",
    ];
    assert_eq!(*lines.lock(), failed);
    client.log_in("ann lee");
    let came = format!(r#"info a member has come kind=member user="ann lee" client={:?} from=127.0.0.1"#, client.id);
    assert_eq!(lines.lock().last(), Some(&came));
    let change = Request::ChangePassword { command: command(), old: password("guess"), new: password("new") };
    assert!(matches!(client.ask(change), Reply::Refused { .. }));
    assert_eq!(lines.lock().last().map(String::as_str), Some(failed[0]));
    drop(client);
    let left = came.replace("come", "left");
    wait_until("it has left", || lines.lock().last() == Some(&left));
    assert_eq!(lines.lock().len(), 5);
}

#[test]
fn guesses_that_come_too_often_cost_few_lines() {
    let (tracker, lines) = logging(|_| {});
    let mut client = tracker.client();
    for _ in 0..200 {
        assert!(matches!(client.ask(login(&client, "ann", "guess")), Reply::Refused { .. }));
    }
    // Twenty at once, and one more in 3 s.
    let count = lines.lock().len();
    assert!((20..60).contains(&count), "{count}");
}

#[test]
fn a_connection_without_room_has_a_line_in_the_log() {
    let (tracker, lines) = logging(|settings| settings.caps = Caps { per_address: 1, ..Caps::default() });
    let _first = tracker.client();
    // Of the connections without a place, four may still show that they are trackers. Further ones may not.
    let others: Vec<_> = (0..5).map(|_| TcpStream::connect(tracker.addr).expect("it listens")).collect();
    let full = "info no room for a connection kind=full from=127.0.0.1";
    wait_until("one is turned away", || lines.lock().iter().any(|line| line == full));
    drop(others);
}

#[test]
fn a_program_writes_times_and_levels_and_its_operators_acts() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let mut client = installation.connect(1).expect("it listens");
    client.create_user("ann");
    assert!(matches!(client.ask(login(&client, "ann", "guess")), Reply::Refused { .. }));
    let line = tracker.expect("login failed").text;
    let (time, rest) = line.split_once(' ').expect("a time");
    assert!(time.len() == 20 && time.ends_with('Z'), "{line}");
    assert!(rest.starts_with("info tracker: login failed kind=login user=ann from=127."), "{line}");
    assert!(rest.ends_with(" reason=BadLogin"), "{line}");
    assert_eq!(installation.ctl(&["kick", "ann"]).code, Some(0));
    let uid = rustix::process::geteuid().as_raw();
    let kicked = format!("kind=operator what=kick through=\"ctl uid {uid}\" user=ann");
    tracker.expect(&format!("info tracker: an operator's command was carried out {kicked}"));
    tracker.say("quit");
    let (_, said) = tracker.end();
    assert!(!said.contains("guess") && !said.contains(PASSWORD), "{said}");
}

#[test]
fn in_the_journal_of_systemd_a_line_has_its_level_as_a_priority_and_no_time() {
    let installation = Installation::of(1);
    let folder = installation.folder.path();
    let journal = fs::File::create(folder.join("journal.txt")).expect("made");
    let stat = rustix::fs::fstat(&journal).expect("open");
    let mut tracker = installation.command(&["tracker_info.txt", "1"]);
    tracker.env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino));
    let mut tracker = tracker.stderr(journal).stdout(Stdio::null()).stdin(Stdio::piped()).spawn().expect("started");
    wait_until("it runs", || installation.ctl(&["status"]).code == Some(0));
    assert_eq!(installation.ctl(&["read_only", "on"]).code, Some(0));
    drop(tracker.stdin.take());
    kill_process(Pid::from_child(&tracker), Signal::TERM).expect("it runs");
    tracker.wait().expect("ended");
    let text = fs::read_to_string(folder.join("journal.txt")).expect("written");
    assert!(text.starts_with("<6>an operator's command was carried out kind=operator what=read_only "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// A full pipe, and how many bytes are in it.
fn full_pipe() -> (PipeReader, PipeWriter, u64) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("set");
    let mut len = 0;
    while writer.write(b".").is_ok() {
        len += 1;
    }
    // The program with this pipe blocks when it writes.
    rustix::io::ioctl_fionbio(&writer, false).expect("set");
    (reader, writer, len)
}

#[test]
fn a_tracker_whose_warnings_nobody_reads_serves_everybody_all_the_same() {
    let installation = Installation::of(1);
    let (reader, writer, len) = full_pipe();
    let mut command = installation.command(&["tracker_info.txt", "1", "--config", "none.conf"]);
    let mut tracker = Program::complaining_to(&mut command, writer);
    // By then it has warned of the file of options.
    tracker.expect("tracker 1 on");
    let mut client = installation.connect(1).expect("it listens");
    client.create_user("ann");
    assert!(matches!(client.ask(login(&client, "ann", "guess")), Reply::Refused { .. }));
    assert_eq!(installation.ctl(&["kick", "ann"]).code, Some(0));
    client.log_in("ann");
    let mut reader = BufReader::new(reader);
    let passed = io::copy(&mut (&mut reader).take(len), &mut io::sink()).expect("read");
    assert_eq!(passed, len);
    for told in ["none.conf is not there", "login failed", "what=kick", "a member has come"] {
        let mut line = String::new();
        reader.read_line(&mut line).expect("text");
        assert!(line.contains(told), "{told}: {line}");
    }
}

#[test]
fn a_reload_changes_how_much_is_told() {
    let installation = Installation::of(1);
    let config = installation.folder.path().join("tracker.conf");
    fs::write(&config, "log error\n").expect("written");
    let mut tracker = Program::start(&mut installation.command(&["tracker_info.txt", "1", "--config", "tracker.conf"]));
    tracker.expect("tracker 1 on");
    let mut client = installation.connect(1).expect("it listens");
    client.create_user("ann");
    assert!(matches!(client.ask(login(&client, "ann", "first")), Reply::Refused { .. }));
    fs::write(&config, "log info\n").expect("written");
    assert_eq!(installation.ctl(&["reload"]), ended(0, "Reloaded: log is info\n", ""));
    assert!(matches!(client.ask(login(&client, "zoe", "second")), Reply::Refused { .. }));
    tracker.expect("login failed kind=login user=zoe");
    assert!(tracker.heard().iter().all(|line| !line.text.contains("user=ann")));
}
