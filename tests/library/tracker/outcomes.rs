//! A change that was made is answered as made, whatever has happened by the time of the answer.

use crate::common::gated_log::GatedLog;
use crate::common::manifest::manifest;
use crate::common::names::{command, group, user};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::tracker::ledger::accept::Change;
use groupshare::wire::client_tracker::Request;
use groupshare::wire::refusal::Code;
use std::thread;

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
        // A user's known command is answered, whatever it wants.
        wait_until("bob has joined the share", || committer.begin(joining, &create("bob", "lab")).is_ok());
        let remove = Change::RemoveMember { user: of("alice"), group: group("lab"), target: user("bob") };
        let _removed = committer.begin(command(), &remove).expect("accepted");
        drop(held);
        assert_eq!(joined.join().expect("it is answered").share, share);
    });
    assert_eq!(bob.share_reply(join).share, share, "also when it is asked again");
    let other = bob.share_request("lab", "film.mkv", &content);
    assert_eq!(bob.refused(other), Code::NotMember);
}
