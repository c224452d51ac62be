//! The list of trackers is read anew while a tracker runs, by command or by SIGHUP.

use crate::common::installation::{Installation, linked};
use crate::common::program::Program;
use crate::common::wait::wait_until;
use crate::ctl::ended;
use rustix::process::Signal;
use serde_json::json;
use std::process::Command;

impl Installation {
    /// The tracker of this number as a service: without a terminal.
    fn service(&self, number: usize) -> Program {
        let mut command = Command::new("setsid");
        command.arg(env!("CARGO_BIN_EXE_tracker")).args(["tracker_info.txt", &number.to_string()]);
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
    // The third address is where the first tracker goes.
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
