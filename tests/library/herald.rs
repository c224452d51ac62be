//! Messages to clients in spite of obstacles: an error of the program, or a connection without room.

use crate::common::client::{Client, Share};
use crate::common::gated_log::GatedLog;
use crate::common::names::{command, group, user};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::model::id::{OpId, Origin, ShareRef, UserRef};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::ledger::accept::Change;
use groupshare::wire::client_tracker::{MANIFEST_PART_MAX, Reply, Request};
use groupshare::wire::codec::Blob;
use groupshare::wire::frame::UNASKED;
use parking_lot::Mutex;
use std::sync::Arc;

/// Alice, who owns the group lab, and bob, a member.
fn alice_and_bob(tracker: &TestTracker) -> (Client, Client) {
    let (mut alice, mut bob) = (tracker.user("alice"), tracker.user("bob"));
    alice.create_group("lab");
    bob.join("lab");
    alice.accept("lab", "bob");
    (alice, bob)
}

#[test]
fn after_an_error_of_the_program_clients_come_again_and_are_told_of_changes() {
    let log = GatedLog::default();
    let tracker = TestTracker::start_with(|settings| settings.log = Box::new(log.clone()));
    let (mut alice, mut bob) = (tracker.user("alice"), tracker.user("bob"));
    alice.create_group("lab");
    bob.join("lab");
    let carol = Change::CreateUser { name: user("carol"), password: PasswordHash("none".into()) };
    let held = log.hold();
    let (_, pending) = tracker.server.core().committer.begin(command(), &carol).expect("accepted");
    pending.expect("not durable yet").then(Box::new(|_| panic!("as the test wants it")));
    // In this case nobody knows the message for this client in the same batch.
    let asked = bob.send(&Request::CreateGroup { command: command(), group: group("club") });
    drop(held);
    alice.until_end();
    let answers = bob.until_end();
    assert!(answers.iter().all(|(id, _)| *id == UNASKED || *id == asked));
    let (mut alice, mut bob) = (tracker.client(), tracker.client());
    alice.log_in("alice");
    bob.log_in("bob");
    alice.accept("lab", "bob");
    wait_until("bob has the key", || bob.all_pushed().iter().any(|push| matches!(push, Reply::NewKey { .. })));
}

#[test]
fn an_answer_that_met_a_full_connection_comes_as_soon_as_there_is_room() {
    let tracker = TestTracker::start();
    let mut alice = tracker.user("alice");
    // The notifier answers a change. The session's thread may wait for room when it writes, and now it only reads.
    alice.create_group("first");
    let state = tracker.server.core().state();
    let senders = tracker.server.core().logins.channels(state.user_named(&user("alice")).expect("there"));
    let part = Blob::new(vec![0; MANIFEST_PART_MAX]).expect("short");
    let long = Reply::ManifestPart { total: 0, part };
    // As much as the sockets of this machine hold, and a part that waits.
    while !senders[0].flush() {
        senders[0].queue(&long);
    }
    let asked = alice.send(&Request::CreateGroup { command: command(), group: group("lab") });
    wait_until("the group is there", || tracker.server.core().state().group_count() == 2);
    assert!(matches!(alice.reply(asked), Reply::Done {}));
}

#[test]
fn members_are_found_under_the_share_that_theirs_turned_out_to_be() {
    let tracker = TestTracker::start();
    let (mut alice, mut bob) = alice_and_bob(&tracker);
    let Share { share: first, content, .. } = alice.offer("lab", "film.mkv", 3, 1);
    bob.announce(4002);
    bob.hold(first, crate::common::membership::all_pieces());
    alice.done(Request::StopShare {
        command: command(),
        group: group("lab"),
        name: crate::common::names::file("film.mkv"),
    });
    let second = alice.share("lab", "film.mkv", &content).share;
    assert_ne!(first, second);
    // Bob has joined it at another tracker, where the first one was still there.
    let state = tracker.server.core().state();
    let user = state.user_named(&user("bob")).expect("there");
    join(&tracker, first, user);
    wait_until("bob is found", || alice.peers(second).iter().any(|peer| peer.addrs[0].port() == 4002));
}

#[test]
fn a_client_hears_of_holders_and_the_end_under_the_share_id_that_it_knows() {
    let tracker = TestTracker::start();
    let (mut alice, mut bob) = alice_and_bob(&tracker);
    let Share { share: first, content, .. } = alice.offer("lab", "film.mkv", 3, 1);
    bob.announce(4002);
    bob.hold(first, crate::common::queries::some_pieces(&[1]));
    let stop =
        || Request::StopShare { command: command(), group: group("lab"), name: crate::common::names::file("film.mkv") };
    alice.done(stop());
    let second = alice.share("lab", "film.mkv", &content).share;
    let state = tracker.server.core().state();
    join(&tracker, first, state.user_named(&user("bob")).expect("there"));
    wait_until("bob is found", || alice.peers(second).iter().any(|peer| peer.addrs[0].port() == 4002));
    alice.announce(4001);
    alice.hold(second, crate::common::membership::all_pieces());
    let up = |reply: &Reply| matches!(reply, Reply::PeerUp { share, .. } if *share == first);
    assert!(bob.all_pushed().iter().any(up), "bob hears of alice");
    let mut elsewhere = tracker.client();
    elsewhere.log_in("bob");
    elsewhere.done(stop());
    let over = |reply: &Reply| matches!(reply, Reply::ShareEnded { share } if *share == first);
    wait_until("bob hears that it is over", || bob.all_pushed().iter().any(over));
}

#[test]
fn a_client_that_shares_again_before_the_end_was_told_hears_of_no_end() {
    let tracker = TestTracker::start();
    let (mut alice, mut bob) = alice_and_bob(&tracker);
    alice.announce(4001);
    let Share { share, content, .. } = alice.offer("lab", "film.mkv", 3, 1);
    alice.hold(share, crate::common::membership::all_pieces());
    bob.share("lab", "film.mkv", &content);
    let core = tracker.server.core();
    let user = core.state().user_named(&user("alice")).expect("there");
    // This holds up the thread that tells clients of changes.
    let held: Arc<Mutex<()>> = Arc::default();
    let guard = held.lock();
    let (group, name) = (group("lab"), crate::common::names::file("film.mkv"));
    let (_, pending) = core
        .committer
        .begin(command(), &Change::CreateGroup { user, group: crate::common::names::group("club") })
        .expect("accepted");
    let waits = held.clone();
    pending.expect("not durable yet").then(Box::new(move |_| drop(waits.lock())));
    wait_until("that is durable", || core.state().group_count() == 2);
    core.committer.submit(command(), &Change::StopShare { user, group, name }).expect("made");
    assert_eq!(alice.share("lab", "film.mkv", &content).share, share);
    alice.hold(share, crate::common::membership::all_pieces());
    drop(guard);
    // The held-up thread answers this.
    alice.create_group("den");
    let over = |reply: &Reply| matches!(reply, Reply::ShareEnded { share: ended } if *ended == share);
    assert!(!alice.all_pushed().iter().any(over));
    assert_eq!(core.presence.holder_counts(&[share], |_, _| false), [1]);
}

/// Another tracker has let a user join a share, after every change that is known here.
fn join(tracker: &TestTracker, share: ShareRef, user: UserRef) {
    let core = tracker.server.core();
    let id = OpId { origin: Origin { tracker: 2, incarnation: 1 }, seq: 1 };
    let body = OpBody::JoinShare { share, user };
    let op = Op { id, lamport: core.state().lamport() + 1, command: command(), body };
    core.committer.receive(vec![op]).expect("taken");
}
