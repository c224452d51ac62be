//! Trackers with host names, and an address in the place of the list.

use crate::common::installation::{Installation, linked, tracker_in};
use crate::common::program::Program;
use crate::common::vacant::Vacant;
use groupshare::model::digest::Fingerprint;
use std::fs;
use std::process::Command;

/// Runs a script with these arguments in a folder of its own. Returns its exit code and its output.
fn script(installation: &Installation, folder: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let place = installation.folder.path().join(folder);
    fs::create_dir_all(&place).expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    let mut program =
        Program::start(command.current_dir(place).args(["--state-dir", "state", "127.0.0.1:0"]).args(args));
    program.close_input();
    let (status, error) = program.end();
    let output = program.heard().iter().filter(|line| !line.complaint);
    (status.code(), output.map(|line| format!("{}\n", line.text)).collect(), error)
}

#[test]
fn trackers_listen_under_their_names_and_find_each_other_by_them() {
    let installation = Installation::of(1);
    let places = [Vacant::at_loopback(), Vacant::at_loopback()];
    let [one, two] = [places[0].addr.port(), places[1].addr.port()];
    installation.list(&format!("localhost:{one}\nLocalHost {two}\n"));
    let mut trackers = [1, 2].map(|number| {
        let number: usize = number;
        let args = ["tracker_info.txt", &number.to_string()];
        let mut tracker = Program::start(&mut tracker_in(installation.folder.path(), &args));
        tracker.expect(&format!("tracker {number} on "));
        tracker
    });
    linked(&mut trackers[0], 2);
    linked(&mut trackers[1], 1);
    trackers[0].told("status", &format!("tracker 2   localhost:{two}, connected for "));
}

#[test]
fn a_tracker_whose_name_is_nowhere_says_so_in_one_line() {
    let installation = Installation::of(1);
    installation.list("tracker.invalid:5000\n");
    let mut tracker = Program::start(&mut installation.command(&["tracker_info.txt", "1"]));
    let (status, error) = tracker.end();
    assert_eq!(status.code(), Some(3));
    assert!(error.starts_with("tracker: cannot listen on tracker.invalid:5000: "), "{error}");
    assert!(error.ends_with("; is the name in the list right?\n") && error.lines().count() == 1, "{error}");
    assert!(!installation.folder.path().join("tracker_info.txt.key").exists(), "no key is left behind");
}

#[test]
fn the_address_of_a_tracker_stands_in_place_of_the_list_and_its_key_is_remembered_for_it() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let place = installation.addrs[0].to_string();
    let create = |user: &str| format!("--exec=create_user {user} pw");
    let (code, output, error) = script(&installation, "ann", &[&place, &create("ann")]);
    assert_eq!((code, output.as_str(), error.as_str()), (Some(0), "User created\n", ""));
    let other = Fingerprint([7; 32]).to_string();
    let (code, ..) = script(&installation, "ann", &[&place, "--accept-fingerprint", &other, &create("bob")]);
    assert_eq!(code, Some(4), "the key of this address is another one now");
    let (code, _, error) = script(&installation, "ann", &[&place, &create("bob")]);
    assert_eq!(code, Some(4));
    assert!(error.contains(&format!("the trackers of {place} now have the key ")), "{error}");
}

#[test]
fn a_script_trusts_a_new_key_under_a_name_only_when_it_is_told_the_key() {
    let installation = Installation::of(1);
    let place = Vacant::at_loopback();
    let port = place.addr.port();
    installation.list(&format!("localhost:{port}\n"));
    let mut tracker = Program::start(&mut installation.command(&["tracker_info.txt", "1"]));
    tracker.expect("tracker 1 on ");
    let (key, place) = (installation.fingerprint().to_string(), format!("localhost:{port}"));
    let create = |user: &str| format!("--exec=create_user {user} pw");
    let list = installation.info();
    let list = list.to_str().expect("a path");
    for trackers in [place.as_str(), list] {
        let (code, output, error) = script(&installation, "ann", &[trackers, &create("ann")]);
        assert_eq!((code, output.as_str()), (Some(4), ""));
        let said =
            format!("{place}: its key {key} is not known yet, and a script does not trust the name of a machine; ");
        assert!(error.contains(&said) && error.contains(&format!("--accept-fingerprint {key}")), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let accept = ["--accept-fingerprint", &key];
    let (code, output, _) = script(&installation, "ann", &[&[place.as_str(), &create("ann")], &accept[..]].concat());
    assert_eq!((code, output.as_str()), (Some(0), "User created\n"));
    // From then on the client knows the key.
    let (code, output, _) = script(&installation, "ann", &[&place, &create("bob")]);
    assert_eq!((code, output.as_str()), (Some(0), "User created\n"));
    installation.list(&format!("localhost:{port}\nfingerprint {key}\n"));
    let (code, output, _) = script(&installation, "ann", &[list, &create("carol")]);
    assert_eq!((code, output.as_str()), (Some(0), "User created\n"));
}
