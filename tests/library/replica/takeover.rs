//! One half of a take-over of a base. The test acts as the other tracker: what it may send and request, and what it may
//! not.

use super::floors::{agree, client, floor, put_floor, tracker};
use super::{account, hear, link_as, send_ops};
use crate::common::client::Client;
use crate::common::kept_tracker::{KeptSetup, KeptTracker};
use crate::common::names::{command, group};
use crate::common::relay::Relay;
use crate::common::wait::wait_until;
use groupshare::model::id::Seen;
use groupshare::model::op::floor::FloorMark;
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::connection::{FrameReceiver, FrameSender};
use groupshare::wire::frame::UNASKED;
use groupshare::wire::refusal::Code;
use groupshare::wire::tracker_tracker::LinkMessage;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A floor that no tracker has.
const HIGH: FloorMark = FloorMark { lamport: 1_000_000, base: [7; 32] };

fn creates(client: &mut Client, name: &str) -> Option<Code> {
    match client.ask(Request::CreateGroup { command: command(), group: group(name) }) {
        Reply::Done {} => None,
        Reply::Refused { code, .. } => Code::from_number(code),
        other => panic!("{other:?}"),
    }
}

fn hear_wish(receiver: &mut FrameReceiver) -> FloorMark {
    hear(receiver, |message| match message {
        LinkMessage::WantBase { floor } => Some(floor),
        _ => None,
    })
}

/// Whether the tracker asks for a base before its answer, which comes after all its other messages.
fn is_asked_before_answer(receiver: &mut FrameReceiver, sender: &FrameSender) -> bool {
    sender.send(UNASKED, &LinkMessage::AreYouThere {}).expect("sent");
    hear(receiver, |message| match message {
        LinkMessage::WantBase { .. } => Some(true),
        LinkMessage::Here {} => Some(false),
        _ => None,
    })
}

fn part(floor: FloorMark, total: u64, offset: u64, bytes: &[u8]) -> LinkMessage {
    LinkMessage::Base { floor, total, offset, part: Blob::new(bytes.to_vec()).expect("short") }
}

fn have(floor: FloorMark, seen: Vec<Seen>) -> LinkMessage {
    LinkMessage::Have { floor, seen: List::first_of(seen), digest: None }
}

#[test]
fn a_base_that_no_tracker_can_have_is_refused_and_not_asked_for_again_at_once() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    let before = one.state().digest();
    let bad: [&[LinkMessage]; 5] = [
        &[part(HIGH, 50, 0, &[1; 50])],
        &[part(HIGH, 50, 0, &[1; 20]), part(HIGH, 50, 21, &[1; 20])],
        &[part(HIGH, 50, 0, &[1; 51])],
        &[part(HIGH, 50, 0, &[])],
        &[part(HIGH, (4 << 30) + 1, 0, &[1; 20])],
    ];
    for (number, parts) in (2..).zip(bad) {
        let (mut receiver, sender) = link_as(one.addr, number, 1, HIGH);
        assert_eq!(hear_wish(&mut receiver), HIGH);
        assert_eq!(creates(&mut alice, "meanwhile"), Some(Code::Joining));
        // An unrequested part changes nothing.
        let other = FloorMark { lamport: 5, ..HIGH };
        sender.send(UNASKED, &part(other, 9, 0, b"unasked")).expect("sent");
        parts.iter().for_each(|part| sender.send(UNASKED, part).expect("sent"));
        let blamed = format!("tracker {number} sent an impossible base; it is asked again in 10 min");
        wait_until("the operator is told", || one.has_told(&blamed));
        assert_eq!(creates(&mut alice, &format!("after{number}")), None);
        // Neither for this floor nor for another one.
        for floor in [HIGH, FloorMark { lamport: HIGH.lamport + 1, ..HIGH }] {
            sender.send(UNASKED, &have(floor, Vec::new())).expect("sent");
            assert!(!is_asked_before_answer(&mut receiver, &sender));
        }
        drop((receiver, sender));
    }
    assert_eq!(one.state().group_count(), bad.len());
    assert!(one.state().digest() != before && floor(&one) == FloorMark::default());
    assert!(!one.has_told("starts anew"));
}

#[test]
fn a_floor_that_no_tracker_can_have_reached_ends_the_link() {
    let one = tracker(1, &[]);
    let leap = FloorMark { lamport: 1 << 40, base: [7; 32] };
    let (_receiver, _sender) = link_as(one.addr, 2, 1, leap);
    wait_until("it is told", || one.has_told("The message is malformed: a floor that no tracker can have reached"));
    assert_eq!(creates(&mut client(&one, "alice"), "lab"), None);
}

#[test]
fn a_tracker_that_never_has_the_base_it_tells_of_is_not_waited_for() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    let (mut receiver, sender) = link_as(one.addr, 2, 1, HIGH);
    while !one.has_told("tracker 2 sent an impossible base") {
        let asked = hear(&mut receiver, |message| match message {
            LinkMessage::WantBase { floor } => Some(Some(floor)),
            LinkMessage::Have { .. } | LinkMessage::Here {} => Some(None),
            _ => None,
        });
        let answer = asked.map_or(LinkMessage::AreYouThere {}, |floor| LinkMessage::NoBase { floor });
        sender.send(UNASKED, &answer).expect("sent");
    }
    assert_eq!(creates(&mut alice, "lab"), None);
}

/// All parts of the base at this floor.
fn hear_base(receiver: &mut FrameReceiver, wanted: FloorMark) -> Vec<u8> {
    let mut bytes = Vec::new();
    hear(receiver, |message| match message {
        LinkMessage::Base { floor, total, offset, part } => {
            assert_eq!((floor, offset), (wanted, bytes.len() as u64));
            bytes.extend_from_slice(part.as_bytes());
            (bytes.len() as u64 == total).then_some(())
        }
        LinkMessage::Ops { .. } => panic!("ops flow between equal floors only"),
        _ => None,
    });
    bytes
}

#[test]
fn a_base_is_given_as_it_is_and_ops_flow_once_the_floors_are_equal() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    let mark = put_floor(&one);
    let seen: Vec<Seen> = one.state().version().map(|(origin, seq)| Seen { origin, seq }).collect();
    alice.create_group("above");
    let (mut receiver, sender) = link_as(one.addr, 2, 1, FloorMark::default());
    sender.send(UNASKED, &LinkMessage::WantBase { floor: HIGH }).expect("sent");
    hear(&mut receiver, |message| matches!(message, LinkMessage::NoBase { floor } if floor == HIGH).then_some(()));
    sender.send(UNASKED, &LinkMessage::WantBase { floor: mark }).expect("sent");
    let bytes = hear_base(&mut receiver, mark);
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    assert_eq!(digest.as_ref(), &mark.base[..]);

    // Ops from below its floor are skipped.
    let lamport = one.state().lamport() + 1;
    send_ops(&sender, [account(2, 1, lamport)].into_iter());
    assert!(!is_asked_before_answer(&mut receiver, &sender));
    assert_eq!(one.state().op_count(), 2);
    sender.send(UNASKED, &have(mark, seen)).expect("sent");
    let ops = hear(&mut receiver, |message| if let LinkMessage::Ops { ops } = message { Some(ops) } else { None });
    assert!(ops.len() == 1 && ops[0].lamport > mark.lamport);
    send_ops(&sender, [account(2, 1, lamport)].into_iter());
    wait_until("it is taken", || one.state().op_count() == 3);
}

/// Tracker 2. It calls tracker 1 through a relay that is closed for now.
fn cut_off(one: &KeptTracker) -> (KeptTracker, Relay) {
    let relay = Relay::to(one.addr, |_, _, _| {});
    relay.block();
    (tracker(2, &[(1, relay.addr)]), relay)
}

/// A tracker with this number that sends nothing by itself.
fn false_giver(to: &KeptTracker, number: u16) -> (FrameReceiver, Arc<FrameSender>) {
    let (mut receiver, sender) = link_as(to.addr, number, 1, HIGH);
    assert_eq!(hear_wish(&mut receiver), HIGH);
    sender.send(UNASKED, &part(HIGH, 5000, 0, &[1; 2000])).expect("sent");
    (receiver, sender)
}

#[test]
fn a_giver_that_dies_in_the_middle_gives_way_to_another_one() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    alice.create_group("lab");
    put_floor(&one);
    let (two, relay) = cut_off(&one);
    let giver = false_giver(&two, 3);
    relay.unblock();
    wait_until("both are connected", || two.has_told("tracker 1 is connected"));
    // Only one tracker gives at a time.
    assert!(!two.has_told("starts anew"));
    drop(giver);
    agree(&[&one, &two]);
    assert!(two.has_told("takes over what tracker 1 has"));
}

#[test]
fn a_taker_that_ends_in_the_middle_takes_it_all_the_next_time() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    alice.create_group("lab");
    put_floor(&one);
    let (two, relay) = cut_off(&one);
    let giver = false_giver(&two, 3);
    let setup: KeptSetup = two.stop();
    drop(giver);
    relay.unblock();
    let two = KeptTracker::start(setup);
    agree(&[&one, &two]);
    // Nothing of the first half remains.
    wait_until("it takes changes", || {
        let mut bob = Client::connect(two.addr);
        bob.log_in("alice");
        creates(&mut bob, "club").is_none()
    });
}

fn status(tracker: &KeptTracker) -> String {
    tracker.look(|server| server.status().to_string())
}

/// Tracker 1 with this list and frequent floors, and its user.
fn busy(others: &[(u16, SocketAddr)], pause: Duration) -> (KeptTracker, Client) {
    let mut setup = KeptSetup::new(1, others);
    setup.floor_pace = FloorPace { margin: 32, step: 32, pause };
    let one = KeptTracker::start(setup);
    let alice = client(&one, "alice");
    (one, alice)
}

fn churn(client: &mut Client, name: &str, rounds: usize) {
    for round in 0..rounds {
        let name = format!("{name}{round}");
        client.create_group(&name);
        client.leave(&name);
    }
}

#[test]
fn the_higher_floor_of_a_tracker_that_is_gone_is_not_told_any_more() {
    // It has proposed a floor to a tracker that is away. Whatever comes, it makes no other proposal for an hour.
    let (one, mut alice) = busy(&[(2, ([127, 0, 0, 1], 1).into())], Duration::from_secs(3600));
    churn(&mut alice, "first", 40);
    wait_until("a floor is proposed", || one.state().proposals().count() == 1);
    churn(&mut alice, "then", 80);
    let (mut receiver, sender) = link_as(one.addr, 3, 1, HIGH);
    assert_eq!(hear_wish(&mut receiver), HIGH);
    wait_until("it is told", || status(&one).contains("another tracker has a higher one"));
    drop((receiver, sender));
    wait_until("it is told no more", || !status(&one).contains("another tracker has a higher one"));
    assert_eq!(creates(&mut alice, "lab"), None);
}

#[test]
fn the_higher_floor_of_a_tracker_that_cannot_give_it_stops_no_floor_here() {
    let (one, mut alice) = busy(&[], Duration::from_millis(100));
    let (mut receiver, sender) = link_as(one.addr, 3, 1, HIGH);
    assert_eq!(hear_wish(&mut receiver), HIGH);
    sender.send(UNASKED, &part(HIGH, 50, 0, &[1; 50])).expect("sent");
    wait_until("it is blamed", || one.has_told("tracker 3 sent an impossible base"));
    churn(&mut alice, "lab", 40);
    wait_until("a floor", || floor(&one).lamport > 0);
    assert!(!status(&one).contains("another tracker has a higher one"), "{}", status(&one));
    assert!(!is_asked_before_answer(&mut receiver, &sender));
}
