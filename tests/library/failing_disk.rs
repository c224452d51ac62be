//! A tracker with a failing disk, from the view of its clients and its operator.

use crate::common::membership::all_pieces;
use crate::common::names::{command, group};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use crate::faulty_disk::{Fault, MemDisk};
use crate::journal::Said;
use groupshare::tracker::journal::{Journal, JournalOwner, JournalSettings, OpenedJournal};
use groupshare::tracker::log::{Level, Log};
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::{Code, Refusal};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::net::SocketAddr;
use std::sync::Arc;

/// A tracker on this disk, and the messages to its operator.
fn tracker_on(disk: &MemDisk) -> (TestTracker, Arc<Mutex<Vec<String>>>) {
    numbered_on(disk, 1, &[])
}

/// Tracker `number` on this disk, which calls these others.
fn numbered_on(disk: &MemDisk, number: u16, others: &[(u16, SocketAddr)]) -> (TestTracker, Arc<Mutex<Vec<String>>>) {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let (lines, logged) = (said.clone(), said.clone());
    let tracker = TestTracker::start_with(|settings| {
        let log = Log::new(Level::Warn, move |_, line| logged.lock().push(line.to_owned()));
        settings.oversight.log = Arc::new(log);
        let warn = Arc::new(move |line: &str| lines.lock().push(line.to_owned()));
        let owner = JournalOwner { tracker: number, fresh_incarnation: disk.calls() + 1 };
        // The journal reserves no room for records, so a full disk shows at the next change.
        let small = JournalSettings { chunk_len: 1, ..JournalSettings::default() };
        let opened =
            Journal::open(Arc::new(disk.clone()), owner, small, warn.clone(), &mut Said::default()).expect("sound");
        let OpenedJournal { journal, source, past, origin, .. } = opened;
        (settings.log, settings.source, settings.past, settings.origin) = (Box::new(journal), source, past, origin);
        (settings.warn, settings.others) = (warn, others.iter().map(|&(number, addr)| (number, addr.into())).collect());
    });
    (tracker, said)
}

fn create(name: &str) -> Request {
    Request::CreateGroup { command: command(), group: group(name) }
}

fn refused(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused { code, about } => Refusal::received(code, &about),
        other => panic!("not refused but {other:?}"),
    }
}

fn groups(client: &mut crate::common::client::Client) -> Vec<String> {
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
    // A client hears the reason, and another one can still read.
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
    // After the loss of power every acknowledged change is there, and no refused one.
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

#[test]
fn a_tracker_with_a_full_disk_stays_connected_and_has_what_it_missed_once_there_is_room() {
    let one = TestTracker::start();
    let disk = MemDisk::default();
    let (two, said) = numbered_on(&disk, 2, &[(1, one.addr)]);
    let mut alice = one.user("alice");
    alice.create_group("lab");
    let share = alice.offer("lab", "film.mkv", 3, 1).share;
    wait_until("the share is known", || two.server.core().state().share_count() == 1);
    let mut looking = two.client();
    looking.log_in("alice");
    let count = |part: &str| said.lock().iter().filter(|line| line.contains(part)).count();
    disk.set_room(Some(0));
    (0..100).for_each(|n| alice.create_group(&format!("group{n}")));
    wait_until("the operator is told", || count("No space left") == 1);
    // Online clients still get messages, and can read what is there.
    alice.announce(4001);
    alice.hold(share, all_pieces());
    wait_until("she is seen", || looking.peers(share).iter().any(|peer| peer.addrs[0].port() == 4001));
    assert_eq!(groups(&mut looking), ["lab"]);
    disk.set_room(None);
    wait_until("all is known", || two.server.core().state().group_count() == 101);
    wait_until("the operator is told", || count("changes are saved again") == 1);
    alice.create_group("after");
    wait_until("and it goes on", || two.server.core().state().group_count() == 102);
    let lines = said.lock();
    let others: Vec<_> = lines.iter().filter(|line| line.contains("tracker 1") || line.contains("saved")).collect();
    assert_eq!(others, ["tracker 1 is connected", "changes are saved again"], "{lines:?}");
}
