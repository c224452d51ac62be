//! Unasked messages to clients.

use super::pushed;
use crate::common::client::Client;
use crate::common::membership::{all_pieces, announcement};
use crate::common::names::{command, file, group, user};
use crate::common::queries::some_pieces;
use crate::common::tracker::TestTracker;
use groupshare::model::id::OpOrder;
use groupshare::model::notice::{ChangeKind, Notice, UnplacedChange};
use groupshare::tracker::ledger::accept::Change;
use groupshare::wire::client_tracker::{Holding, Reply, Request};
use groupshare::wire::refusal::{Code, Refusal};
use std::net::SocketAddr;
use std::time::Instant;

#[test]
fn members_are_told_at_once_what_concerns_them() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob, mut eve) = (tracker.user("ann"), tracker.user("bob"), tracker.user("eve"));
    ann.create_group("lab");
    let first_key = pushed(&mut ann, |push| match push {
        Reply::NewKey { key } => Some(key.clone()),
        _ => None,
    });
    assert_eq!(ann.keys(), std::slice::from_ref(&first_key));
    bob.join("lab");
    assert_eq!(ann.pushed(), Reply::JoinRequested { group: group("lab"), user: user("bob") });
    ann.accept("lab", "bob");
    assert!(matches!(bob.pushed(), Reply::Noticed { notice: Notice::Accepted { group: g }, .. } if g == group("lab")));
    assert_eq!(bob.pushed(), Reply::NewKey { key: first_key.clone() }, "joining does not change the key");
    eve.join("lab");
    ann.accept("lab", "eve");
    pushed(&mut eve, |push| matches!(push, Reply::NewKey { .. }).then_some(()));

    // A member leaves, and the others get another key at once.
    eve.leave("lab");
    let lost = Reply::GroupLost { group: first_key.group, name: group("lab") };
    assert_eq!(eve.pushed(), lost);
    let second_key = pushed(&mut bob, |push| match push {
        Reply::NewKey { key } => Some(key.clone()),
        _ => None,
    });
    assert_ne!((second_key.id, &second_key.key), (first_key.id, &first_key.key));
    assert_eq!(bob.keys(), [second_key]);

    // Sharing ends on all clients of the user.
    let share = bob.offer("lab", "a.bin", 3, 1).share;
    let mut other = tracker.client();
    other.log_in("bob");
    other.announce(2);
    other.hold(share, all_pieces());
    assert_eq!(ann.peers(share).len(), 1);
    bob.done(Request::StopShare { command: command(), group: group("lab"), name: file("a.bin") });
    assert_eq!(
        pushed(&mut other, |push| matches!(push, Reply::ShareEnded { .. }).then(|| push.clone())),
        Reply::ShareEnded { share }
    );
    assert_eq!(ann.peers(share), []);

    // A removed member hears of it. The notice stays until the user has read it.
    ann.done(Request::RemoveMember { command: command(), group: group("lab"), user: user("bob") });
    assert_eq!(pushed(&mut bob, |push| matches!(push, Reply::GroupLost { .. }).then(|| push.clone())), lost);
    pushed(&mut bob, |push| matches!(push, Reply::Noticed { notice: Notice::Removed { .. }, .. }).then_some(()));
}

#[test]
fn a_downloading_member_is_told_of_new_holders() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    let share = ann.offer("lab", "a.bin", 3, 1).share;
    bob.announce(2);
    bob.hold(share, some_pieces(&[]));
    assert_eq!(bob.peers(share), []);
    ann.announce(1);
    ann.hold(share, some_pieces(&[1]));
    let peer_up = |push: &Reply| match push {
        Reply::PeerUp { share, peer } => Some((*share, peer.user.clone(), peer.held)),
        _ => None,
    };
    assert_eq!(pushed(&mut bob, peer_up), (share, user("ann"), 1));
    bob.hold(share, some_pieces(&[2]));
    assert_eq!(pushed(&mut ann, peer_up), (share, user("bob"), 1));
    ann.hold(share, all_pieces());
    assert!(bob.all_pushed().iter().all(|push| peer_up(push).is_none()), "known already");
    // A logout is a departure, and a login is news.
    ann.done(Request::Logout {});
    assert_eq!(bob.peers(share), []);
    ann.log_in("ann");
    ann.announce(1);
    ann.hold(share, all_pieces());
    assert_eq!(pushed(&mut bob, peer_up), (share, user("ann"), 3));
}

#[test]
fn a_client_that_moves_all_the_time_is_told_of_now_and_then_and_at_the_end() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    let share = ann.offer("lab", "a.bin", 3, 1).share;
    ann.announce(1);
    ann.hold(share, all_pieces());
    bob.hold(share, some_pieces(&[]));
    let port = |push: &Reply| match push {
        Reply::PeerUp { peer, .. } => peer.addrs.last().map(SocketAddr::port),
        _ => None,
    };
    let begun = Instant::now();
    let mut is_slowed_down = |port: &u16| match ann.ask(announcement(*port)) {
        Reply::Refused { code, about } => Refusal::received(code, &about).code == Code::SlowDown,
        _ => false,
    };
    let last = (2..).find(&mut is_slowed_down).expect("nobody may go on and on") - 1;
    assert!(last >= 30, "{last}: a client whose machine moves now and then is not");
    for _ in 0..50 {
        ann.hold(share, Holding::Nothing {});
        ann.hold(share, all_pieces());
    }
    // At this rate during the elapsed time, which is short.
    let most = 4 + begun.elapsed().as_secs() as usize / 3;
    let told: Vec<u16> = bob.all_pushed().iter().filter_map(port).collect();
    assert!((1..=most).contains(&told.len()), "{told:?}");
    // The final address arrives within seconds.
    while told.last() != Some(&last) && pushed(&mut bob, port) != last {}
}

/// The notices that a client has received.
fn notices(client: &mut Client) -> Vec<(OpOrder, Notice)> {
    let noticed = |push| if let Reply::Noticed { order, notice } = push { Some((order, notice)) } else { None };
    client.all_pushed().into_iter().filter_map(noticed).collect()
}

#[test]
fn all_waiting_notices_come_after_a_login_in_order_and_once() {
    let tracker = TestTracker::start();
    let mut bob = tracker.client();
    bob.create_user("bob");
    let core = tracker.server.core();
    let bob_user = core.state().user_named(&user("bob")).expect("there");
    let change =
        |n: usize| UnplacedChange { kind: ChangeKind::LeaveGroup, group: Some(group(&n.to_string())), file: None };
    for n in 0..300 {
        let change = Change::NoteUnplaced { user: bob_user, change: change(n) };
        core.committer.submit(command(), &change).expect("told");
    }
    bob.log_in("bob");
    let told: Vec<_> = notices(&mut bob).into_iter().map(|(_, notice)| notice).collect();
    assert_eq!(told, (0..300).map(|n| Notice::Unplaced { change: change(n) }).collect::<Vec<_>>());
}

#[test]
fn notices_wait_for_the_user_and_are_told_until_they_were_read() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    ann.create_group("club");
    bob.join("lab");
    bob.join("club");
    bob.done(Request::Logout {});
    ann.accept("lab", "bob");
    ann.done(Request::RejectRequest { command: command(), group: group("club"), user: user("bob") });
    for _ in 0..2 {
        bob.log_in("bob");
        let told = notices(&mut bob);
        let expected = [Notice::Accepted { group: group("lab") }, Notice::Rejected { group: group("club") }];
        assert_eq!(told.iter().map(|(_, notice)| notice.clone()).collect::<Vec<_>>(), expected);
        bob.done(Request::Logout {});
    }
    bob.log_in("bob");
    let told = notices(&mut bob);
    bob.read_notices(told[0].0);
    bob.done(Request::Logout {});
    bob.log_in("bob");
    assert_eq!(notices(&mut bob), told[1..]);
    bob.read_notices(told[1].0);
    bob.done(Request::Logout {});
    bob.log_in("bob");
    assert_eq!(notices(&mut bob), []);
}
