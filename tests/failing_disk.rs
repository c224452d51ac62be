//! A tracker whose disk fails, as its clients and its operator see it.

mod common;
mod faults;

use common::{TestTracker, command, group, wait_until};
use faults::{Fault, MemDisk};
use groupshare::tracker::journal::{Journal, Opened, Owner, Settings};
use groupshare::wire::client_tracker::{Reply, Request, refusal};
use groupshare::wire::error::{Code, Refusal};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::sync::Arc;

/// A tracker on this disk, and what its operator is told.
fn tracker_on(disk: &MemDisk) -> (TestTracker, Arc<Mutex<Vec<String>>>) {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = Arc::clone(&said);
    let tracker = TestTracker::start_with(|settings| {
        let warn = Arc::new(move |line: &str| lines.lock().push(line.to_owned()));
        let owner = Owner { tracker: 1, fresh_incarnation: disk.calls() + 1 };
        // Without room ahead of the records, so that a full disk shows at the next change.
        let small = Settings { chunk_len: 1, ..Settings::default() };
        let opened = Journal::open(Arc::new(disk.clone()), owner, small, warn.clone()).expect("sound");
        let Opened { journal, source, state, origin, .. } = opened;
        (settings.log, settings.source, settings.state, settings.origin) = (Box::new(journal), source, state, origin);
        settings.warn = warn;
    });
    (tracker, said)
}

fn create(name: &str) -> Request {
    Request::CreateGroup { command: command(), group: group(name) }
}

fn refused(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused { code, about } => refusal(code, &about),
        other => panic!("not refused but {other:?}"),
    }
}

fn groups(client: &mut common::Client) -> Vec<String> {
    match client.ask(Request::ListGroups { after: None }) {
        Reply::Groups { groups, .. } => groups.iter().map(|line| line.name.to_string()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_reads_go_on_and_it_recovers_by_itself() {
    let disk = MemDisk::default();
    let (tracker, said) = tracker_on(&disk);
    let (mut alice, mut bob) = (tracker.user("alice"), tracker.user("bob"));
    alice.create_group("before");
    disk.set_room(Some(0));
    // A client is told why, and another one can still look.
    let why = refused(alice.ask(create("during")));
    assert_eq!(why.code, Code::Unavailable);
    assert!(why.about.contains("No space left") && why.about.contains("taken again once there is room"), "{why}");
    assert_eq!(groups(&mut bob), ["before"]);
    wait_until("the operator is told", || said.lock().iter().any(|line| line.contains("No space left")));
    assert!(tracker.server.status().to_string().contains("\ntrouble     "), "{}", tracker.server.status());
    disk.set_room(None);
    alice.done(create("after"));
    assert_eq!(groups(&mut bob), ["after", "before"]);
    wait_until("the operator is told", || said.lock().iter().any(|line| line == "changes are saved again"));
    assert!(!tracker.server.status().to_string().contains("trouble"));
    drop((alice, bob));
    tracker.server.stop();
    // What was acknowledged is there after the loss of power, what was refused is not.
    let (tracker, _) = tracker_on(&disk.after_power_loss(1));
    let mut alice = tracker.client();
    alice.log_in("alice");
    assert_eq!(groups(&mut alice), ["after", "before"]);
}

#[test]
fn after_a_failed_fsync_nothing_is_changed_until_the_restart_and_reads_go_on() {
    let disk = MemDisk::default();
    let (tracker, said) = tracker_on(&disk);
    let mut alice = tracker.user("alice");
    let token = {
        let mut other = tracker.client();
        other.log_in("alice")
    };
    alice.create_group("before");
    disk.fail_at(4, Fault::Error(Errno::IO));
    for name in ["during", "again"] {
        let why = refused(alice.ask(create(name)));
        assert_eq!(why.code, Code::Unavailable);
        assert!(
            why.about.contains("Input/output error") && why.about.contains("until the tracker is restarted"),
            "{why}"
        );
    }
    assert_eq!(groups(&mut alice), ["before"]);
    wait_until("the operator is told", || said.lock().iter().any(|line| line.contains("Input/output error")));
    drop(alice);
    tracker.server.stop();
    let (tracker, _) = tracker_on(&disk);
    let mut alice = tracker.client();
    assert!(matches!(alice.resume(&token), Reply::LoggedIn { .. }), "the session goes on");
    alice.done(create("after"));
    assert!(groups(&mut alice).contains(&"before".to_owned()));
}
