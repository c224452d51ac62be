//! What a client tells its user about who can reach it.

use crate::common::installation::Installation;
use crate::common::program::Program;
use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;

/// A tracker on a machine outside every network (RFC 5737).
const ELSEWHERE: &str = "203.0.113.7:5000";

/// The complete output of a client's script, on standard error and on standard output.
fn script(args: &[&str]) -> (String, String) {
    let installation = Installation::of(1);
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command.current_dir(installation.folder.path()).args(["--state-dir", "state"]).args(args);
    let mut client = Program::start(&mut command);
    client.close_input();
    let (status, complaints) = client.end();
    assert!(status.success(), "{status}: {complaints}");
    let said = client.heard().iter().filter(|line| !line.complaint);
    (complaints, said.map(|line| format!("{}\n", line.text)).collect())
}

#[test]
fn a_client_that_only_its_machine_reaches_says_so_where_the_tracker_is_elsewhere() {
    let (said, _) = script(&["127.0.0.1:0", ELSEWHERE]);
    let line = said.strip_prefix("Other machines cannot reach 127.0.0.1:").expect("one line");
    assert!(line.ends_with("; start the client with 0.0.0.0:0\n") && line.lines().count() == 1, "{said}");
    let (_, said) = script(&["127.0.0.1:0", ELSEWHERE, "--json"]);
    let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [listening, unreachable] = &events[..] else { panic!("{said}") };
    assert_eq!((&unreachable["event"], &unreachable["found"]), (&"unreachable".into(), &"loopback".into()));
    assert_eq!(unreachable["port"], listening["port"]);
}

#[test]
fn a_tracker_sees_the_port_at_which_its_client_listens() {
    let installation = Installation::of(1);
    let tracker = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = tracker.local_addr().expect("bound").to_string();
    for listens in [&["0.0.0.0:0", &addr][..], &["127.0.0.1:0", &addr], &["tracker_info.txt"]] {
        installation.list(&addr);
        let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
        command.current_dir(installation.folder.path()).args(["--json", "--state-dir", "state"]).args(listens);
        let mut client = Program::start(&mut command);
        let (link, from) = tracker.accept().expect("a client");
        let listening: Value = serde_json::from_str(&client.expect("listening").text).expect("JSON");
        assert_eq!(listening["port"], from.port(), "{listens:?}");
        // The client comes back whatever the system remembers of the link.
        drop(link);
        tracker.accept().expect("the client again");
    }
}

#[test]
fn nothing_is_said_of_it_where_others_reach_the_client_or_the_tracker_is_here_or_only_results_are_wanted() {
    for args in [
        &["0.0.0.0:0", ELSEWHERE][..],
        &["127.0.0.1:0", "127.0.0.1:1"],
        &["127.0.0.1:0", "localhost:1"],
        &["127.0.0.1:0", ELSEWHERE, "--quiet"],
    ] {
        assert_eq!(script(args).0, "", "{args:?}");
    }
}
