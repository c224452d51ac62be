//! A rolling upgrade of three trackers and the way back, step by step as docs/COMPATIBILITY.md tells an operator, while
//! clients of both versions make changes. Every change that was acknowledged must be there.
//!
//! `GROUPSHARE_OLD` is a folder with the programs `tracker` and `client` of the release before, as `make rolling`
//! builds them. Without it, the present programs play both versions, and a folder without a format number stands for a
//! folder of the older version.

use crate::common::installation::{Installation, linked, same_digests};
use crate::common::names::PASSWORD;
use crate::common::program::{Line, Program};
use crate::common::wait::wait_until;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// The programs of a version.
struct Version {
    tracker: PathBuf,
    client: PathBuf,
}

impl Version {
    fn new() -> Self {
        Self { tracker: env!("CARGO_BIN_EXE_tracker").into(), client: env!("CARGO_BIN_EXE_client").into() }
    }

    /// Those of the release before; `None` if nobody has built them.
    fn old() -> Option<Self> {
        let folder = PathBuf::from(env::var_os("GROUPSHARE_OLD")?);
        let version = Self { tracker: folder.join("tracker"), client: folder.join("client") };
        assert!(version.tracker.exists() && version.client.exists(), "no programs in {}", folder.display());
        Some(version)
    }

    /// Starts the tracker of this number and waits until it runs.
    fn start(&self, place: &Installation, number: usize) -> Program {
        let mut command = Command::new(&self.tracker);
        command.current_dir(place.folder.path()).args(["tracker_info.txt", &number.to_string()]);
        let mut tracker = Program::start(&mut command);
        tracker.expect(&format!("tracker {number} on {}", place.addrs[number - 1]));
        tracker
    }

    /// Starts a client of this user that tries the trackers from this number on.
    fn client(&self, place: &Installation, name: &str, first: usize) -> Program {
        let folder = place.folder.path().join(name);
        fs::create_dir(&folder).expect("a new folder");
        let mut addrs = place.addrs.clone();
        addrs.rotate_left(first - 1);
        let list: String = addrs.iter().map(|addr| format!("{addr}\n")).collect();
        fs::write(folder.join("tracker_info.txt"), list).expect("writable");
        let mut command = Command::new(&self.client);
        command.current_dir(folder).args(["--json", "--state-dir", "state", "127.0.0.1:0", "tracker_info.txt"]);
        let mut client = Program::start(&mut command);
        for word in ["create_user", "login"] {
            let done = carries_out(&mut client, word, &json!({ "user_id": name, "passwd": PASSWORD }));
            assert!(done, "{word}: {:#?}", client.heard());
        }
        client
    }
}

/// Whether a client acknowledges a command.
fn carries_out(client: &mut Program, word: &str, args: &Value) -> bool {
    let id = client.heard().len();
    client.say(&json!({ "id": id, "command": word, "command_args": args }).to_string());
    let object = |line: &Line| serde_json::from_str::<Value>(&line.text).unwrap_or_default();
    let answer = client.next("an answer", |line| object(line)["id"] == id);
    object(&answer)["status"] == "success"
}

fn data(place: &Installation, number: usize) -> PathBuf {
    place.folder.path().join(format!("tracker_info.txt.data/tracker-{number}"))
}

/// Makes groups until the other side of `ends` is dropped; gives those that were acknowledged. The pace leaves enough
/// of what a user may make in an hour for the whole upgrade.
fn makes_groups(mut client: Program, name: &str, ends: &Receiver<()>) -> BTreeSet<String> {
    let pace = Duration::from_millis(100);
    let mut acknowledged = BTreeSet::new();
    for number in 0.. {
        let group = format!("{name}{number}");
        if carries_out(&mut client, "create_group", &json!({ "group_id": group })) {
            acknowledged.insert(group);
        }
        if ends.recv_timeout(pace) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
    }
    acknowledged
}

fn stop(mut tracker: Program) {
    tracker.signal(Signal::TERM);
    assert!(tracker.end().0.success());
}

/// What an operator does to upgrade a tracker.
fn upgrade(place: &Installation, trackers: &mut [Option<Program>; 3], number: usize, new: &Version) {
    stop(trackers[number - 1].take().expect("it runs"));
    trackers[number - 1] = Some(new.start(place, number));
    catches_up(trackers, number);
}

/// What an operator does to go back: nothing may be known to this tracker alone when its folder goes back.
fn go_back(place: &Installation, trackers: &mut [Option<Program>; 3], number: usize, (new, old): (&Version, &Version)) {
    let mut tracker = trackers[number - 1].take().expect("it runs");
    ctl(place, number, new, &["read_only", "on"]);
    wait_until("the others have all that it has", || {
        tracker.say("status");
        tracker.expect("connections ");
        let others = (1..=3).filter(|&other| other != number);
        others
            .into_iter()
            .all(|other| tracker.expect(&format!("tracker {other:<3} ")).text.contains(", 0 changes behind"))
    });
    stop(tracker);
    let (data, before) = (data(place, number), data(place, number).join("before-upgrade"));
    if before.exists() {
        let aside = data.with_extension("newer");
        fs::rename(&data, &aside).expect("moved aside");
        fs::rename(aside.join("before-upgrade"), &data).expect("moved back");
        fs::rename(aside.join("audit"), data.join("audit")).expect("moved back");
    }
    trackers[number - 1] = Some(old.start(place, number));
    catches_up(trackers, number);
}

/// Waits until a tracker is linked with both others.
fn catches_up(trackers: &mut [Option<Program>; 3], number: usize) {
    let tracker = trackers[number - 1].as_mut().expect("it runs");
    (1..=3).filter(|&other| other != number).for_each(|other| linked(tracker, other));
}

/// The groups that a tracker lists.
fn groups(place: &Installation, number: usize, version: &Version) -> BTreeSet<String> {
    let text = ctl(place, number, version, &["--json", "groups"]);
    let row = |line: &str| serde_json::from_str::<Value>(line).expect("an object");
    let name = |line: &str| row(line)["group_id"].as_str().expect("a name").to_owned();
    text.lines().map(name).collect()
}

/// What a command of an operator says.
fn ctl(place: &Installation, number: usize, version: &Version, words: &[&str]) -> String {
    let mut ctl = Command::new(&version.tracker);
    ctl.current_dir(place.folder.path()).args(["ctl", "--tracker", &number.to_string()]).args(words);
    let output = ctl.output().expect("started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn forget_number(folder: &Path) {
    fs::remove_file(folder.join("format")).expect("it has a number");
}

#[test]
fn three_trackers_are_upgraded_one_by_one_and_go_back_and_every_acknowledged_change_is_there() {
    let (new, built) = (Version::new(), Version::old());
    let is_same = built.is_none();
    let old = built.unwrap_or_else(Version::new);
    let place = Installation::of(3);
    let mut trackers = [1, 2, 3].map(|number| Some(old.start(&place, number)));
    (1..=3).for_each(|number| catches_up(&mut trackers, number));
    let writers = [("older", old.client(&place, "older", 1)), ("newer", new.client(&place, "newer", 2))];
    let (upgrading, ends) = bounded(0);
    let acknowledged: BTreeSet<String> = thread::scope(|scope| {
        // Dropped also where the test fails.
        let upgrading: Sender<()> = upgrading;
        let ends = &ends;
        let writers = writers.map(|(name, client)| scope.spawn(move || makes_groups(client, name, ends)));
        for number in 1..=3 {
            if is_same {
                // The number is read at the next start.
                forget_number(&data(&place, number));
            }
            upgrade(&place, &mut trackers, number, &new);
            assert!(!is_same || data(&place, number).join("before-upgrade").exists());
        }
        for number in 1..=3 {
            go_back(&place, &mut trackers, number, (&new, &old));
        }
        drop(upgrading);
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect()
    });
    assert!(["older1", "newer1"].iter().all(|group| acknowledged.contains(*group)), "{acknowledged:?}");
    let mut running: Vec<Program> = trackers.into_iter().flatten().collect();
    same_digests(&mut running);
    for number in 1..=3 {
        let there = groups(&place, number, &old);
        let missing: Vec<_> = acknowledged.difference(&there).collect();
        assert!(missing.is_empty(), "tracker {number} lacks {missing:?} of {}", acknowledged.len());
        let audit = ctl(&place, number, &old, &["audit"]);
        for name in ["older", "newer"] {
            let made = format!(" {name} create_user ");
            assert!(audit.lines().any(|line| line.contains(&made)), "from before the upgrade: {audit}");
        }
    }
}
