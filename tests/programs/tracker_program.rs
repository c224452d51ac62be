//! The tracker's program from the outside: its start, its messages when it cannot start, and its end.

use crate::common::client::Client;
use crate::common::group_maker::all_groups;
use crate::common::installation::Installation;
use crate::common::names::{command, group};
use crate::common::program::Program;
use crate::common::wait::wait_until;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::handshake::HandshakeError;
use groupshare::wire::refusal::{Code, Refusal};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

fn is_clean((code, said): (Option<i32>, Vec<String>)) -> bool {
    code == Some(0) && said.is_empty()
}

#[test]
fn it_says_where_it_listens_and_who_it_is_and_quit_ends_it() {
    let installation = Installation::of(1);
    let (mut tracker, banner) = installation.start(&["tracker_info.txt", "1"]);
    let own = installation.fingerprint();
    assert_eq!(banner, format!("tracker 1 on {}, fingerprint {own}", installation.addrs[0]));
    assert!(installation.folder.path().join("tracker_info.txt.data/tracker-1/manifests").is_dir());
    tracker.say("status");
    assert!(tracker.line().starts_with(&format!("tracker 1 on {}, up 0 h 00 min", installation.addrs[0])));
    assert_eq!(tracker.line(), format!("fingerprint {own}"));
    assert_eq!(tracker.line(), "users       0, 0 online on 0 clients");
    assert_eq!(tracker.expect("notices ").text, "notices     0 unread");
    tracker.say("quit");
    assert!(is_clean(tracker.end_logged()));
    assert!(TcpStream::connect(installation.addrs[0]).is_err());
}

#[test]
fn it_relays_at_the_rate_that_it_is_told_and_says_how_busy_the_relay_is() {
    let installation = Installation::of(1);
    let (mut tracker, _) = installation.start(&["--relay", "20M"]);
    tracker.say("status");
    assert_eq!(tracker.expect("relay ").text, "relay       0 pairs, 0 B relayed since the start, 20.0 MB/s at most");
    tracker.say("quit");
    assert!(is_clean(tracker.end_logged()));
}

#[test]
fn signals_end_it_cleanly_and_the_end_of_input_does_not_end_it() {
    let installation = Installation::of(1);
    for signal in [Signal::TERM, Signal::INT] {
        let (mut tracker, _) = installation.start(&[]);
        tracker.close_input();
        let connected = TcpStream::connect(installation.addrs[0]).expect("it still listens");
        tracker.signal(signal);
        assert!(is_clean(tracker.end_logged()), "{signal:?}");
        drop(connected);
    }
}

#[test]
fn it_survives_the_end_of_its_terminal_if_nohup_asked_for_that() {
    let installation = Installation::of(1);
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_tracker")).current_dir(installation.folder.path());
    let mut tracker = Program::start(&mut command);
    assert!(tracker.line().starts_with("tracker 1 on "));
    tracker.close_input();
    tracker.signal(Signal::HUP);
    TcpStream::connect(installation.addrs[0]).expect("it still listens");
    tracker.signal(Signal::TERM);
    // nohup's own message about its input does not concern the tracker.
    assert_eq!(tracker.end().0.code(), Some(0));
}

#[test]
fn list_key_and_data_can_lie_in_folders_of_their_own() {
    let installation = Installation::of(1);
    let state = tempfile::tempdir().expect("a folder");
    let in_state = |name: &str| state.path().join(name).to_str().expect("text").to_owned();
    let options = ["tracker_info.txt", "1", "--key", &in_state("key"), "--data-dir", &in_state("data")];
    let (mut tracker, first) = installation.start(&options);
    tracker.signal(Signal::TERM);
    assert!(is_clean(tracker.end_logged()));
    assert_eq!(fs::read_dir(installation.folder.path()).expect("readable").count(), 1, "the list alone");
    assert_eq!(fs::read(state.path().join("key")).expect("made").len(), 32);
    let (mut tracker, again) = installation.start(&options);
    assert_eq!(again, first, "the same address and fingerprint");
    tracker.signal(Signal::TERM);
    assert!(is_clean(tracker.end_logged()));
}

#[test]
fn passwords_are_hashed_as_owasp_recommends_and_clients_are_served() {
    let installation = Installation::of(1);
    let (mut tracker, _) = installation.start(&["--data-dir", "elsewhere"]);
    assert!(installation.folder.path().join("elsewhere/manifests").is_dir());
    let mut client = installation.connect(1).expect("a channel");
    client.create_user("ann");
    client.log_in("ann");
    client.done(Request::Heartbeat {});
    tracker.say("status");
    let status: String = (0..5).map(|_| tracker.line()).collect();
    assert!(status.contains("users       1, 1 online on 1 clients"), "{status}");
    tracker.signal(Signal::TERM);
    assert!(is_clean(tracker.end_logged()));
}

#[test]
fn the_tracker_tells_in_one_line_why_it_cannot_run_and_what_to_do() {
    let installation = Installation::of(1);
    let addr = installation.addrs[0];
    let (code, said) = installation.fail(&["tracker_info.txt", "2"]);
    assert_eq!((code, &said[..]), (3, "tracker: tracker_info.txt: there is no tracker 2, only tracker 1 is listed"));
    let (code, said) = installation.fail(&["none.txt", "1"]);
    assert_eq!((code, &said[..]), (3, "tracker: cannot read the list of trackers none.txt: No such file or directory"));
    let (code, said) = installation.fail(&["/dev/zero", "1"]);
    let endless = "tracker: cannot read the list of trackers /dev/zero: it is longer than 1 MiB";
    assert_eq!((code, &said[..]), (3, endless), "a list without an end is not read to its end");
    let (code, said) = installation.fail(&["tracker_info.txt", "0"]);
    assert_eq!(code, 2);
    assert!(said.contains("'0' is not a tracker number") && said.contains("Usage: "), "{said}");
    let (code, said) = installation.fail(&["tracker_info.txt", "1", "x", "y"]);
    assert_eq!(code, 2, "{said}");

    let taken = TcpListener::bind(addr).expect("still free");
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 3);
    assert!(said.starts_with(&format!("tracker: {addr} is in use;")), "{said}");
    drop(taken);

    let (tracker, _) = installation.start(&[]);
    installation.list(&format!("{addr}\n127.0.0.2:{}\n", addr.port()));
    let data = "tracker_info.txt.data/tracker-1";
    let (code, said) = installation.fail(&["tracker_info.txt", "2", "--data-dir", data]);
    assert_eq!(code, 3);
    assert!(said.starts_with(&format!("tracker: another tracker is using {data}")), "{said}");
    drop(tracker);

    installation.list("203.0.113.1:5000\n");
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 3);
    assert!(said.starts_with("tracker: 203.0.113.1:5000 is not an address of this machine"), "{said}");
    let new = |name: &str| installation.folder.path().join(name);
    let (code, _) = installation.fail(&["--key", "new.key", "--data-dir", "new-data"]);
    assert_eq!((code, new("new.key").exists(), new("new-data").exists()), (3, false, false));
    installation.list("some/where 5000\n");
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 3);
    assert!(said.starts_with("tracker: tracker_info.txt: line 1 'some/where 5000': "), "{said}");

    installation.list(&format!("{addr}\nfingerprint {}\n", "00".repeat(32)));
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 3);
    assert!(said.contains("copy the right key file here"), "{said}");
    let (code, said) = installation.fail(&["--key", "new.key", "--data-dir", "new-data"]);
    assert!(code == 3 && said.ends_with(", but there is no key in new.key; copy the right key file there"), "{said}");
    assert!(!new("new.key").exists() && !new("new-data").exists());
    installation.list(&format!("{addr}\n"));
    let key = installation.folder.path().join("tracker_info.txt.key");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("allowed");
    mode(0o644);
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 3);
    assert!(said.contains("chmod 600"), "{said}");
    mode(0o600);
    fs::write(&key, "short").expect("writable");
    let (code, said) = installation.fail(&[]);
    assert_eq!(code, 3);
    assert!(said.contains("has 5 bytes instead of 32"), "{said}");
}

#[test]
fn the_memory_that_passwords_take_is_given_back() {
    let installation = Installation::of(1);
    let (tracker, _) = installation.start(&[]);
    let mut client = installation.connect(1).expect("it runs");
    // Enough for each thread to get a few turns.
    (0..16).for_each(|number| client.create_user(&format!("user{number}")));
    let mib = tracker.resident() >> 20;
    assert!(mib < 64, "{mib} MiB");
}

#[test]
fn running_out_of_descriptors_is_survived_and_told_once() {
    let installation = Installation::of(1);
    let (mut tracker, _) = installation.start(&[]);
    tracker.say("help");
    assert!(tracker.line().starts_with("status "), "everything it needs for itself is open");
    let pid = Some(tracker.pid());
    let all = getrlimit(Resource::Nofile);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), ..all }).expect("allowed");
    // The system completes the connection. The tracker cannot accept it before it may have more descriptors.
    let stream = TcpStream::connect(installation.addrs[0]).expect("connected");
    let warning = "tracker: no further connection can be taken: Too many open files";
    assert_eq!(tracker.logged(), warning);
    prlimit(pid, Resource::Nofile, all).expect("allowed");
    let mut client = Client::over_to(stream, installation.fingerprint()).expect("a channel");
    client.done(Request::Heartbeat {});
    tracker.say("quit");
    assert_eq!(tracker.end_logged(), (Some(0), vec![warning.to_owned()]));
}

#[test]
fn at_a_limit_on_the_size_of_files_changes_are_refused_until_it_is_raised() {
    let installation = Installation::of(1);
    let (tracker, _) = installation.start(&[]);
    let mut client = installation.connect(1).expect("a channel");
    client.create_user("ann");
    client.log_in("ann");
    let pid = Some(tracker.pid());
    let all = getrlimit(Resource::Fsize);
    // In the middle of the next write, so a part of it is written.
    let journal =
        installation.folder.path().join("tracker_info.txt.data/tracker-1/journal/00000000000000000001.journal");
    let written = fs::read(journal).expect("there").iter().rposition(|byte| *byte != 0).expect("something") as u64;
    prlimit(pid, Resource::Fsize, Rlimit { current: Some(written + 20), ..all }).expect("allowed");
    let create = |name: &str| Request::CreateGroup { command: command(), group: group(name) };
    for name in ["one", "two"] {
        match client.ask(create(name)) {
            Reply::Refused { code, about } => assert_eq!(
                Refusal::received(code, &about).about,
                "cannot save changes: File too large; changes are taken again once there is room"
            ),
            other => panic!("{other:?}"),
        }
    }
    prlimit(pid, Resource::Fsize, all).expect("allowed");
    client.done(create("three"));
    assert_eq!(all_groups(&mut client), ["three"]);
    tracker.kill();
    let (_tracker, _) = installation.start(&[]);
    let mut client = installation.connect(1).expect("a channel");
    client.log_in("ann");
    assert_eq!(all_groups(&mut client), ["three"]);
}

#[test]
fn few_descriptors_make_for_few_connections_and_a_clear_refusal() {
    let installation = Installation::of(1);
    let mut command = Command::new("sh");
    let script = "ulimit -n 64 && exec \"$0\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_tracker")]).current_dir(installation.folder.path());
    let mut tracker = Program::start(&mut command);
    assert!(tracker.line().starts_with("tracker 1 on "));
    let clients: Vec<_> = (0..16).map(|_| installation.connect(1).expect("there is room")).collect();
    assert!(matches!(installation.connect(1), Err(HandshakeError::Refused(Some(Code::Busy)))));
    drop(clients);
    tracker.say("quit");
    assert!(is_clean(tracker.end_logged()));
}

#[test]
fn a_port_is_free_again_at_once_even_if_clients_were_connected() {
    let installation = Installation::of(1);
    for _ in 0..3 {
        let (mut tracker, _) = installation.start(&[]);
        let began = Instant::now();
        let mut connected = TcpStream::connect(installation.addrs[0]).expect("it listens");
        tracker.say("quit");
        assert!(is_clean(tracker.end_logged()));
        assert!(began.elapsed() < HANDSHAKE_DEADLINE, "nobody waits for a handshake that does not come");
        let _ = connected.read(&mut [0; 8]);
    }
    assert!(Path::new(&installation.info()).exists());
}

#[test]
fn nobody_comes_in_before_the_journal_is_read_and_the_port_is_taken_all_the_while() {
    let installation = Installation::of(2);
    let [addr, json] = [installation.addrs[0], installation.addrs[1]];
    let (tracker, _) = installation.start(&[]);
    installation.connect(1).expect("it listens").create_user("ann");
    drop(tracker);
    // The start reads it to its end, which comes when this test closes it.
    let pipe =
        installation.folder.path().join("tracker_info.txt.data/tracker-1/journal/00000000000000000001.checkpoint");
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, mode, 0).expect("a pipe");
    let mut tracker = Program::start(&mut installation.command(&["--json", &json.to_string()]));
    let mut writer = None;
    wait_until("the journal is being read", || {
        writer = rustix::fs::open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        writer.is_some()
    });
    for addr in [addr, json] {
        let refused = TcpStream::connect(addr).expect_err("nobody listens").kind();
        assert_eq!(refused, ErrorKind::ConnectionRefused);
    }
    let (code, said) = installation.fail(&["--data-dir", "other"]);
    assert!(code == 3 && said.starts_with(&format!("tracker: {addr} is in use;")), "{said}");
    assert!(!installation.folder.path().join("other").exists());
    drop(writer);
    tracker.expect("is passed over");
    tracker.expect(&format!("tracker 1 on {addr}"));
    installation.connect(1).expect("it listens").log_in("ann");
    TcpStream::connect(json).expect("it listens");
}
