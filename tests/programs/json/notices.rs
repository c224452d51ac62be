//! Notices as programs list and drop them.

use super::programs::{Speaker, tracker};
use crate::common::names::{PASSWORD, command, group, user};
use crate::common::tracker::TestTracker;
use groupshare::model::id::{OpId, Origin};
use groupshare::model::notice::Notice;
use groupshare::model::op::{Op, OpBody};
use serde_json::{Value, json};

const HERE: Origin = Origin { tracker: 1, incarnation: 1 };
const THERE: Origin = Origin { tracker: 2, incarnation: 1 };

fn connect(tracker: &TestTracker) -> Speaker {
    Speaker::connect(tracker.server.json_addr().expect("it speaks JSON"), 0)
}

/// A new connection of a user with an account.
fn again(tracker: &TestTracker, name: &str) -> Speaker {
    let mut program = connect(tracker);
    program.done_with("login", json!({"user_id": name, "passwd": PASSWORD}), json!({}));
    program
}

/// Alice with the group `lab`, and bob.
fn alice_and_bob(tracker: &TestTracker) -> (Speaker, Speaker) {
    let (mut alice, mut bob) = (connect(tracker), connect(tracker));
    alice.enter("alice");
    bob.enter("bob");
    alice.done("create_group", r#""group_id":"lab""#);
    (alice, bob)
}

/// Bob asks to join `lab`, and alice makes this decision.
fn ask_and(alice: &mut Speaker, bob: &mut Speaker, decision: &str) {
    bob.done("join_group", r#""group_id":"lab""#);
    alice.done(decision, r#""group_id":"lab","user_id":"bob""#);
}

/// The unread notices, and their name.
fn list(program: &mut Speaker) -> (Value, Value) {
    let answer = program.done("list_notices", "");
    assert_eq!(answer.as_object().expect("an object").len(), 3, "{answer}");
    (answer["notices"].clone(), answer["through"].clone())
}

fn drop_through(program: &mut Speaker, through: &Value) {
    program.done_with("read_notices", json!({"through": through}), json!({}));
}

fn told(notices: &[&str]) -> Value {
    notices.iter().map(|notice| json!({"notice": notice, "group_id": "lab"})).collect()
}

#[test]
fn a_removed_members_program_reads_and_drops_its_notice() {
    let tracker = tracker();
    let (mut alice, mut bob) = alice_and_bob(&tracker);
    assert_eq!(list(&mut bob), (json!([]), Value::Null));
    ask_and(&mut alice, &mut bob, "accept_request");
    alice.done("remove_member", r#""group_id":"lab","user_id":"bob""#);
    let first = list(&mut bob);
    assert_eq!(first.0, told(&["request_accepted", "member_removed"]));

    // It crashes before it has shown the notices.
    drop(bob);
    let mut bob = again(&tracker, "bob");
    assert_eq!(list(&mut bob), first, "nothing is lost");

    ask_and(&mut alice, &mut bob, "reject_request");
    drop_through(&mut bob, &first.1);
    let (rest, last) = list(&mut bob);
    assert_eq!(rest, told(&["request_rejected"]), "it came after the list");
    // The answer was lost, so the program asks again.
    drop_through(&mut bob, &first.1);
    assert_eq!(list(&mut bob), (rest, last.clone()));
    drop_through(&mut bob, &last);
    assert_eq!(list(&mut bob), (json!([]), Value::Null));
    let mut client = tracker.client();
    client.log_in("bob");
    assert!(client.all_pushed().is_empty(), "a client is not told again");
}

#[test]
fn a_notice_that_came_late_among_those_of_a_list_is_not_dropped_with_them() {
    let tracker = tracker();
    let (mut alice, mut bob) = alice_and_bob(&tracker);
    bob.done("create_group", r#""group_id":"den""#);
    ask_and(&mut alice, &mut bob, "reject_request");
    let (notices, through) = list(&mut bob);
    assert_eq!(notices, told(&["request_rejected"]));

    let committer = &tracker.server.core().committer;
    let founder = committer.state().user_named(&user("alice")).expect("known");
    let body = OpBody::CreateGroup { name: group("den"), founder };
    let lamport = committer.state().last().expect("not empty").lamport - 4;
    let earlier = Op { id: OpId { origin: THERE, seq: 1 }, lamport, command: command(), body };
    committer.receive(vec![earlier]).expect("taken");
    drop_through(&mut bob, &through);
    let renamed = json!({"notice": "group_renamed", "group_id": "den", "new_group_id": "den~2"});
    let (notices, through) = list(&mut bob);
    assert_eq!(notices, json!([renamed, told(&["request_rejected"])[0]]));
    drop_through(&mut bob, &through);
    assert_eq!(list(&mut bob).0, json!([]));
}

#[test]
fn a_mark_that_no_list_has_told_drops_no_notice_and_makes_no_op() {
    let tracker = tracker();
    let (mut alice, mut bob) = alice_and_bob(&tracker);
    for (command, args) in [("list_notices", json!({})), ("read_notices", json!({"through": "1"}))] {
        let said = connect(&tracker).refused(command, args.clone(), json!({}));
        assert!(said == "Please login first" || said.contains("through: it is not"), "{command}: {said}");
    }
    ask_and(&mut alice, &mut bob, "reject_request");
    let known = list(&mut bob);
    let text = known.1.as_str().expect("a text").to_owned();
    let said = connect(&tracker).refused("read_notices", json!({"through": text}), json!({}));
    assert_eq!(said, "Please login first");

    let made = || tracker.server.core().committer.state().seen(HERE);
    let before = made();
    let (place, digest) = text.rsplit_once('.').expect("two parts");
    let forged = format!("{place}.{}", if digest.starts_with('0') { "1" } else { "0" }.to_owned() + &digest[1..]);
    drop_through(&mut bob, &forged.into());
    let (_, without_counter) = text.split_once('.').expect("two parts");
    drop_through(&mut bob, &format!("1.{without_counter}").into());
    drop_through(&mut alice, &known.1);
    for bad in ["", "1", "...", &text[1..], &text.to_uppercase().replace('0', "+"), &format!("{text}.")] {
        let said = bob.refused("read_notices", json!({"through": bad}), json!({}));
        assert_eq!(said, "The message is malformed: through: it is not one that list_notices gave", "{bad}");
    }
    assert_eq!(list(&mut bob), known);
    assert_eq!(made(), before, "reading notices is free, so this must not be written");
    drop_through(&mut bob, &known.1);
    assert_eq!(made(), before + 1);
}

#[test]
fn a_list_has_all_that_wait_and_never_more_than_the_page_says() {
    let tracker = tracker();
    let (_alice, mut bob) = alice_and_bob(&tracker);
    let committer = &tracker.server.core().committer;
    let state = committer.state();
    let named = |name| state.user_named(&user(name)).expect("known");
    let (by, user) = (named("alice"), named("bob"));
    let group = state.group_named(&group("lab")).expect("known");
    let first = state.last().expect("not empty").lamport;
    let pair = [OpBody::RequestJoin { group, user }, OpBody::RejectRequest { group, user, by }];
    let bodies = pair.iter().cycle().take(2 * (Notice::UNREAD_MAX + 6));
    let op = |(body, seq): (&OpBody, u64)| Op {
        id: OpId { origin: THERE, seq },
        lamport: first + seq,
        command: command(),
        body: body.clone(),
    };
    committer.receive(bodies.zip(1..).map(op).collect()).expect("taken");
    let (notices, through) = list(&mut bob);
    let notices = notices.as_array().expect("a list");
    assert_eq!(notices.len(), Notice::UNREAD_MAX);
    assert_eq!(notices[0], json!({"notice": "older_notices", "count": 7}));
    assert!(notices[1..].iter().all(|notice| notice["notice"] == "request_rejected"));
    drop_through(&mut bob, &through);
    assert_eq!(list(&mut bob), (json!([]), Value::Null));
}
