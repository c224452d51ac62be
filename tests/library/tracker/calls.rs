//! Calls: a client asks another one to dial it, through one tracker or two.

use super::refused_code;
use crate::common::client::{Client, words};
use crate::common::deadline::LONG;
use crate::common::membership::all_pieces;
use crate::common::names::user;
use crate::common::tracker::{TestTracker, cluster};
use crate::common::wait::wait_until;
use groupshare::model::id::{ClientId, Origin, ShareRef};
use groupshare::wire::client_tracker::{CallWay, PassedCall, Reply, Request};
use groupshare::wire::mirror::{Mirrored, mirror_greeting, take_mirrored};
use groupshare::wire::refusal::Code;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

fn call(share: ShareRef, called: &Client, name: &str, way: CallWay) -> Request {
    Request::Call { share, user: user(name), client: called.id, way, from: None }
}

/// A connection that has asked from where it comes, and the answer.
fn mirrored(tracker: &TestTracker) -> (TcpStream, Mirrored) {
    let mut stream = TcpStream::connect(tracker.addr).expect("connected");
    stream.set_read_timeout(Some(LONG)).expect("an option");
    stream.write_all(&mirror_greeting()).expect("sent");
    let mut heard = Vec::new();
    loop {
        if let Some(seen) = take_mirrored(&mut stream, &mut heard).expect("told") {
            return (stream, seen);
        }
    }
}

fn called(client: &mut Client) -> PassedCall {
    super::pushed(client, |push| if let Reply::Called { call } = push { Some(call.clone()) } else { None })
}

/// How many calls have come in so far.
fn calls_so_far(client: &mut Client) -> usize {
    client.all_pushed().iter().filter(|push| matches!(push, Reply::Called { .. })).count()
}

/// Ann shares something in a group that bob is in too.
fn share(ann: &mut Client, bob: &mut Client) -> ShareRef {
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    let share = ann.offer("lab", "a.bin", 3, 1).share;
    ann.announce(4001);
    ann.hold(share, all_pieces());
    bob.announce(4002);
    share
}

#[test]
fn a_called_member_learns_who_calls_what_for_and_where_to_dial() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    let share = share(&mut ann, &mut bob);
    let passed = bob.ask(call(share, &ann, "ann", CallWay::Back));
    assert!(matches!(passed, Reply::CallPassed { ticket: None, start_ms: 0, .. }), "{}", words(&passed));
    let heard = called(&mut ann);
    assert_eq!((heard.share, heard.way), (share, CallWay::Back));
    assert_eq!((&heard.caller.user, heard.caller.client), (&user("bob"), bob.id));
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    assert_eq!(heard.caller.verify(&cluster().signer(), now_s), Ok(()));
    assert!(heard.addrs.iter().any(|addr| addr.port() == 4002), "{:?}", heard.addrs);
    assert_eq!(heard.relay, None);
}

#[test]
fn a_call_for_a_hidden_share_or_to_nobody_is_refused_and_not_passed() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob, mut eve) = (tracker.user("ann"), tracker.user("bob"), tracker.user("eve"));
    let share = share(&mut ann, &mut bob);
    eve.announce(4003);
    let refused = |client: &mut Client, request| refused_code(&client.ask(request));
    assert_eq!(refused(&mut eve, call(share, &ann, "ann", CallWay::Back)), Some(Code::Forgotten));
    assert_eq!(refused(&mut bob, call(share, &eve, "eve", CallWay::Back)), Some(Code::PeerOffline), "no member");
    assert_eq!(refused(&mut bob, call(share, &ann, "nobody", CallWay::Back)), Some(Code::PeerOffline));
    let gone = Request::Call { share, user: user("ann"), client: ClientId([9; 16]), way: CallWay::Back, from: None };
    assert_eq!(refused(&mut bob, gone), Some(Code::PeerOffline));
    let own = call(share, &bob, "bob", CallWay::Back);
    assert_eq!(refused(&mut bob, own), Some(Code::PeerOffline), "oneself");
    assert_eq!(refused(&mut bob, call(share, &ann, "ann", CallWay::Relay)), Some(Code::NoRelay));
    ann.done(Request::Logout {});
    assert_eq!(refused(&mut bob, call(share, &ann, "ann", CallWay::Back)), Some(Code::PeerOffline));
    bob.done(Request::Logout {});
    assert_eq!(refused(&mut bob, call(share, &ann, "ann", CallWay::Back)), Some(Code::NotLoggedIn));
    assert_eq!((calls_so_far(&mut ann), calls_so_far(&mut eve)), (0, 0));
}

#[test]
fn the_mirror_shows_an_asker_its_address_and_waits_for_it_no_longer() {
    let tracker = TestTracker::start();
    let (mut stream, seen) = mirrored(&tracker);
    assert_eq!(seen.addr, stream.local_addr().expect("connected"));
    assert_eq!(stream.read(&mut [0]).expect("the tracker ends it"), 0);
}

#[test]
fn a_member_punching_from_another_port_is_met_only_where_a_tracker_saw_it() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    let share = share(&mut ann, &mut bob);
    let (_stream, seen) = mirrored(&tracker);
    let port = seen.addr.port();
    let call = |called: ClientId, name, way, addr| {
        let from = Some(Mirrored { addr, ..seen });
        Request::Call { share, user: user(name), client: called, way, from }
    };
    for addr in [SocketAddr::new(seen.addr.ip(), port ^ 1), SocketAddr::new([203, 0, 113, 7].into(), port)] {
        let refused = bob.ask(call(ann.id, "ann", CallWay::Punch, addr));
        assert_eq!(refused_code(&refused), Some(Code::NotSeenThere), "{addr}");
    }
    assert_eq!(calls_so_far(&mut ann), 0);
    assert!(matches!(bob.ask(call(ann.id, "ann", CallWay::Punch, seen.addr)), Reply::CallPassed { .. }));
    assert_eq!(called(&mut ann).caller.user, user("bob"));
    let back = bob.ask(call(ann.id, "ann", CallWay::Back, seen.addr));
    assert_eq!(refused_code(&back), Some(Code::Malformed));
}

#[test]
fn of_a_hundred_calls_in_a_row_ten_are_passed_on() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    let share = share(&mut ann, &mut bob);
    let answers: Vec<_> = (0..100).map(|_| bob.ask(call(share, &ann, "ann", CallWay::Back))).collect();
    let passed = answers.iter().filter(|answer| matches!(answer, Reply::CallPassed { .. })).count();
    let slowed = answers.iter().filter(|answer| refused_code(answer) == Some(Code::SlowDown)).count();
    assert_eq!((passed, slowed, calls_so_far(&mut ann)), (10, 90, 10));
}

fn tracker(number: u16, others: &[(u16, SocketAddr)]) -> TestTracker {
    TestTracker::start_with(|settings| {
        settings.origin = Origin { tracker: number, incarnation: u64::from(number) * 1000 };
        settings.others = others.iter().map(|&(number, addr)| (number, addr.into())).collect();
    })
}

#[test]
fn members_at_different_trackers_are_called_over_the_link_in_both_directions_and_as_rarely() {
    let one = tracker(1, &[]);
    let two = tracker(2, &[(1, one.addr)]);
    let mut ann = one.user("ann");
    wait_until("ann is known at two", || two.server.core().state().user_named(&user("ann")).is_some());
    let mut bob = two.user("bob");
    wait_until("bob is known at one", || one.server.core().state().user_named(&user("bob")).is_some());
    ann.create_group("lab");
    wait_until("the group is known", || two.server.core().state().group_count() == 1);
    bob.join("lab");
    super::pushed(&mut ann, |push| matches!(push, Reply::JoinRequested { .. }).then_some(()));
    ann.accept("lab", "bob");
    super::pushed(&mut bob, |push| matches!(push, Reply::NewKey { .. }).then_some(()));
    let share = ann.offer("lab", "a.bin", 3, 1).share;
    ann.announce(4001);
    ann.hold(share, all_pieces());
    bob.announce(4002);
    wait_until("the share is known", || two.server.core().state().share_count() == 1);
    wait_until("ann is known to be there", || !bob.peers(share).is_empty());
    let passed = |client: &mut Client, request| matches!(client.ask(request), Reply::CallPassed { .. });

    wait_until("bob's call is passed on", || passed(&mut bob, call(share, &ann, "ann", CallWay::Punch)));
    assert_eq!(called(&mut ann).caller.user, user("bob"));
    wait_until("ann's call is passed on", || passed(&mut ann, call(share, &bob, "bob", CallWay::Back)));
    assert_eq!(called(&mut bob).caller.user, user("ann"));

    // What ann's tracker has heard from the other one counts there.
    let mut bob_at_one = one.client();
    bob_at_one.log_in("bob");
    bob_at_one.announce(4003);
    let more = (0..20).filter(|_| passed(&mut bob_at_one, call(share, &ann, "ann", CallWay::Back))).count();
    assert_eq!(more, 9);
}
