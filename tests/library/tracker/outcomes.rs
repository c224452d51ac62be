//! A change that was made is answered as made, whatever has happened before the answer.

use crate::common::gated_log::GatedLog;
use crate::common::manifest::manifest;
use crate::common::names::{command, group, user};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::tracker::ledger::accept::Change;
use groupshare::wire::client_tracker::Request;
use groupshare::wire::refusal::Code;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_share_that_was_joined_is_told_to_a_member_who_was_removed_meanwhile() {
    let log = GatedLog::default();
    let tracker = TestTracker::start_with(|settings| settings.log = Box::new(log.clone()));
    let (mut alice, mut bob) = (tracker.user("alice"), tracker.user("bob"));
    alice.create_group("lab");
    bob.join("lab");
    alice.accept("lab", "bob");
    let (bytes, content) = manifest("film.mkv", 3, 1);
    alice.put_manifest("lab", &bytes, &content);
    let share = alice.share("lab", "film.mkv", &content).share;

    let committer = &tracker.server.core().committer;
    let state = committer.state();
    let of = |name: &str| state.user_named(&user(name)).expect("known");
    let create = |by: &str, name: &str| Change::CreateGroup { user: of(by), group: group(name) };
    let join = bob.share_request("lab", "film.mkv", &content);
    let Request::ShareFile { command: joining, .. } = join else { panic!("it shares") };
    thread::scope(|scope| {
        let (held, batches) = (log.hold(), log.batches());
        let _first = committer.begin(command(), &create("alice", "club")).expect("accepted");
        wait_until("the log waits with something else", || log.batches() > batches);
        let joined = scope.spawn(|| bob.share_reply(join.clone()));
        // A known command of the same user gets its answer, whatever it asks for.
        wait_until("bob has joined the share", || committer.begin(joining, &create("bob", "lab")).is_ok());
        let remove = Change::RemoveMember { user: of("alice"), group: group("lab"), target: user("bob") };
        let _removed = committer.begin(command(), &remove).expect("accepted");
        drop(held);
        assert_eq!(joined.join().expect("it is answered").share, share);
    });
    assert_eq!(bob.refused(join), Code::NotMember, "asked again, it is asked by a stranger");
    let other = bob.share_request("lab", "film.mkv", &content);
    assert_eq!(bob.refused(other), Code::NotMember);
}

#[test]
fn while_the_disk_hangs_a_tracker_is_neither_healthy_nor_ready() {
    let log = GatedLog::default();
    let tracker = TestTracker::start_with(|settings| settings.log = Box::new(log.clone()));
    let _alice = tracker.user("alice");
    let server = &tracker.server;
    let committer = &server.core().committer;
    let alice = committer.state().user_named(&user("alice")).expect("known");
    let (held, batches) = (log.hold(), log.batches());
    let create = Change::CreateGroup { user: alice, group: group("lab") };
    let _pending = committer.begin(command(), &create).expect("accepted");
    wait_until("the log has it", || log.batches() > batches);
    let (soon, late) = (Instant::now(), Instant::now() + Duration::from_secs(31));
    assert!(server.healthy(soon).is_ok() && server.takes_changes(soon).is_ok());
    for told in [server.healthy(late), server.takes_changes(late).map(|_| ())] {
        let why = told.expect_err("it is told").to_string();
        assert!(why.starts_with("the disk has not answered for "), "{why}");
    }
    assert!(server.gauges().commit_underway > Duration::ZERO);
    drop(held);
    wait_until("all is saved", || server.gauges().commit_underway.is_zero());
    assert!(server.healthy(late).is_ok() && server.takes_changes(late).is_ok());
}
