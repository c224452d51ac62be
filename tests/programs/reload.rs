//! A running tracker reads its list and its options again, after a command or SIGHUP.

use crate::common::client::words;
use crate::common::installation::{Installation, linked};
use crate::common::names::{command, group, password, user};
use crate::common::program::Program;
use crate::common::wait::wait_until;
use crate::ctl::ended;
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::process::Command;

impl Installation {
    /// The tracker with this number as a service, without a terminal.
    fn service(&self, number: usize) -> Program {
        self.service_with(number, &[])
    }

    fn service_with(&self, number: usize, options: &[&str]) -> Program {
        let mut command = Command::new("setsid");
        command.arg(env!("CARGO_BIN_EXE_tracker")).args(["tracker_info.txt", &number.to_string()]).args(options);
        let mut tracker = Program::start(command.current_dir(self.folder.path()));
        tracker.expect(&format!("tracker {number} on "));
        tracker
    }

    fn write_list(&self, numbers: &[usize]) {
        let lines = numbers.iter().map(|number| format!("{}\n", self.addrs[number - 1]));
        self.list(&lines.collect::<String>());
    }
}

#[test]
fn a_tracker_that_has_moved_is_called_at_its_new_address_without_a_restart() {
    // The third address is the later one of the first tracker.
    let installation = Installation::of(3);
    installation.write_list(&[1, 2]);
    let first = installation.service(1);
    let mut second = installation.service(2);
    linked(&mut second, 1);
    let ctl = |words: &[&str]| installation.ctl(&[&["--tracker", "2"], words].concat());
    assert_eq!(ctl(&["reload"]), ended(0, "Reloaded, nothing has changed\n", ""));
    first.kill();
    installation.write_list(&[3, 2]);
    let _moved = installation.service(1);
    let moved = installation.addrs[2];
    assert_eq!(ctl(&["reload"]), ended(0, &format!("Reloaded: tracker 1 is at {moved} now\n"), ""));
    let line = format!("tracker 1   {moved}, connected for ");
    wait_until("they are linked", || ctl(&["trackers"]).out.starts_with(&line));
}

#[test]
fn trackers_come_at_the_end_of_the_list_and_leave_there() {
    let installation = Installation::of(3);
    installation.write_list(&[1, 2]);
    let _first = installation.service(1);
    installation.write_list(&[1, 2, 3]);
    let new = installation.addrs[2];
    assert_eq!(installation.ctl(&["reload"]), ended(0, &format!("Reloaded: tracker 3 is new at {new}\n"), ""));
    assert_eq!(installation.rows(&["trackers"]).len(), 2);
    installation.write_list(&[1]);
    let words = "Reloaded: tracker 2 is off the list; tracker 3 is off the list";
    assert_eq!(installation.rows(&["reload"]), [json!({"status": "success", "message": words})]);
    assert!(installation.rows(&["trackers"]).is_empty());
}

#[test]
fn a_list_that_is_wrong_or_moves_this_tracker_changes_nothing() {
    let installation = Installation::of(2);
    let _tracker = installation.service(1);
    let refused = |words: &str| {
        assert_eq!(installation.ctl(&["reload"]), ended(1, "", &format!("tracker: {words}\n")));
    };
    installation.write_list(&[2, 1]);
    refused("this tracker's own line has changed; restart it");
    installation.list(&format!("{}\nfingerprint {}\n", installation.addrs[0], "00".repeat(32)));
    refused("the fingerprint in the list has changed; restart this tracker");
    installation.list("some/where 5000\n");
    assert_eq!(installation.ctl(&["reload"]).code, Some(1));
    assert_eq!(installation.rows(&["trackers"])[0]["addr"], json!(installation.addrs[1].to_string()));
}

#[test]
fn options_of_a_file_are_read_anew_with_the_list_or_not_at_all() {
    let installation = Installation::of(2);
    installation.write_list(&[1]);
    let config = installation.folder.path().join("tracker.conf");
    let options = |text: &str| fs::write(&config, text).expect("written");
    options("# nothing yet\n");
    let mut tracker = installation.service_with(1, &["--config", "tracker.conf"]);
    let ctl = || installation.ctl(&["reload"]);
    assert_eq!(ctl(), ended(0, "Reloaded, nothing has changed\n", ""));
    options("relay 20M\n");
    let relay = "relay changes with the next start";
    assert_eq!(ctl(), ended(0, &format!("Reloaded: {relay}\n"), ""));
    installation.write_list(&[1, 2]);
    options("relay 20M\nfrob\n");
    let wrong = "tracker.conf: line 2: Unrecognized option: 'frob'";
    assert_eq!(ctl(), ended(1, "", &format!("tracker: {wrong}\n")));
    assert!(installation.rows(&["trackers"]).is_empty(), "the list is not gone by either");
    fs::remove_file(&config).expect("there");
    assert_eq!(ctl(), ended(1, "", "tracker: the options in tracker.conf are gone\n"));
    options("relay 20M\n");
    let new = format!("tracker 2 is new at {}", installation.addrs[1]);
    assert_eq!(ctl(), ended(0, &format!("Reloaded: {new}; {relay}\n"), ""));
    options("relay 1\n");
    tracker.signal(Signal::HUP);
    let slow = "tracker: not reloaded: --relay: '1' means 1 B/s, which is too slow; take 16K or more";
    assert!(tracker.logged().ends_with(slow));
}

#[test]
fn closed_accounts_stay_closed_while_a_file_that_came_later_is_replaced() {
    let installation = Installation::of(1);
    let config = installation.folder.path().join("tracker.conf");
    let mut tracker = installation.service_with(1, &["--config", "tracker.conf"]);
    let missing = "tracker: tracker.conf is not there, no options are taken from it";
    assert_eq!(tracker.logged(), missing);
    let ctl = || installation.ctl(&["reload"]);
    assert_eq!(ctl(), ended(0, "Reloaded, nothing has changed\n", ""));
    fs::write(&config, "accounts closed\n").expect("written");
    assert_eq!(ctl(), ended(0, "Reloaded: accounts are closed\n", ""));
    fs::remove_file(&config).expect("there");
    assert_eq!(ctl(), ended(1, "", "tracker: the options in tracker.conf are gone\n"));
    fs::write(&config, "accounts closed\n").expect("written");
    assert_eq!(ctl(), ended(0, "Reloaded, nothing has changed\n", ""));
}

#[test]
fn limits_of_a_file_hold_at_once_for_clients_that_are_there() {
    let installation = Installation::of(1);
    installation.write_list(&[1]);
    let config = installation.folder.path().join("tracker.conf");
    let options = |text: &str| fs::write(&config, text).expect("written");
    options("limit groups_owned=1\n");
    let _tracker = installation.service_with(1, &["--config", "tracker.conf"]);
    let mut client = installation.connect(1).expect("it listens");
    client.create_user("ann");
    client.log_in("ann");
    client.create_group("a");
    let create = |name| Request::CreateGroup { command: command(), group: group(name) };
    let told = |reply: Reply| match reply {
        refused @ Reply::Refused { .. } => words(&refused),
        other => panic!("not refused but {}", words(&other)),
    };
    let over = "This would be over a limit: you own 1 groups of 1; leave one, or ask the operator";
    assert_eq!(told(client.ask(create("b"))), over);
    options("limit groups_owned=2\naccounts closed\n");
    let changed = "Reloaded: limit groups_owned is 2; accounts are closed\n";
    assert_eq!(installation.ctl(&["reload"]), ended(0, changed, ""));
    client.create_group("b");
    let mut other = installation.connect(1).expect("it listens");
    let create = Request::CreateUser { command: command(), user: user("bob"), password: password("x") };
    assert_eq!(told(other.ask(create)), "Only the operator makes accounts here, ask for one");
    options("");
    let changed = "Reloaded: limit groups_owned is 256; accounts are open\n";
    assert_eq!(installation.ctl(&["reload"]), ended(0, changed, ""));
}

#[test]
fn a_file_of_options_that_is_not_there_is_told_and_counts_as_empty() {
    let installation = Installation::of(1);
    let mut tracker = Program::start(&mut installation.command(&["--config", "none.conf"]));
    assert!(tracker.complaint().ends_with("tracker: none.conf is not there, no options are taken from it"));
    tracker.expect("tracker 1 on ");
    assert_eq!(installation.ctl(&["reload"]), ended(0, "Reloaded, nothing has changed\n", ""));
    let (code, said) = installation.fail(&["--config", "/"]);
    assert_eq!(code, 2);
    assert!(said.starts_with("tracker: cannot read the options in /: Is a directory. Usage: "), "{said}");
}

#[test]
fn without_a_terminal_sighup_reads_the_list_and_ends_nothing() {
    let installation = Installation::of(2);
    installation.write_list(&[1]);
    let mut tracker = installation.service(1);
    tracker.signal(Signal::HUP);
    assert_eq!(tracker.logged(), "tracker: Reloaded, nothing has changed");
    installation.write_list(&[1, 2]);
    tracker.signal(Signal::HUP);
    assert_eq!(tracker.logged(), format!("tracker: Reloaded: tracker 2 is new at {}", installation.addrs[1]));
    installation.list("");
    tracker.signal(Signal::HUP);
    assert!(tracker.logged().starts_with("tracker: not reloaded: tracker_info.txt: "));
    tracker.signal(Signal::TERM);
    assert_eq!(tracker.end().0.code(), Some(0));
}
