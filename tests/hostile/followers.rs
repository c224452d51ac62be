//! The messages of a tracker to followers of groups stay few, however many groups a client follows and however much is
//! shared.

use crate::common::client::{Client, Share};
use crate::common::names::{command, group, user};
use crate::common::tracker::TestTracker;
use groupshare::model::name::{FileName, GroupId};
use groupshare::wire::client_tracker::{CHANGED_MAX, FOLLOWED_MAX, Reply, Request};
use groupshare::wire::codec::List;
use groupshare::wire::refusal::Code;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Shortest time between two messages about a group, as docs/PROTOCOL.md has it.
const PAUSE: Duration = Duration::from_millis(250);

fn follow(client: &mut Client, groups: &[&str]) {
    let groups = List::new(groups.iter().map(|name| group(name)).collect()).expect("few");
    client.done(Request::Follow { groups });
}

/// The contents of the next message about a followed group.
fn heard(client: &mut Client) -> (GroupId, BTreeSet<FileName>, bool) {
    loop {
        let push = client.unasked.pop_front().unwrap_or_else(|| client.next().expect("a message").1);
        if let Reply::GroupChanged { group, names, more } = push {
            return (group, names.into_vec().into_iter().collect(), more);
        }
    }
}

fn joined(tracker: &TestTracker, owner: &mut Client, name: &str) -> Client {
    let mut member = tracker.user(name);
    member.join("lab");
    owner.accept("lab", name);
    member
}

#[test]
fn a_login_follows_so_many_groups_and_hears_of_its_own_only() {
    let tracker = TestTracker::start_with(|_| {});
    let mut alice = tracker.user("alice");
    for name in ["lab", "secret"] {
        alice.create_group(name);
    }
    let mut mallory = joined(&tracker, &mut alice, "mallory");
    let mut eve = tracker.user("eve");
    follow(&mut mallory, &["lab", "secret", "nowhere"]);
    follow(&mut eve, &["lab", "secret"]);
    alice.offer("secret", "plan", 1, 1);
    let Share { name, .. } = alice.offer("lab", "film", 1, 2);
    assert_eq!(heard(&mut mallory), (group("lab"), BTreeSet::from([name]), false));
    // A removed member hears no more of the group, even if the login followed it.
    alice.done(Request::RemoveMember { command: command(), group: group("lab"), user: user("mallory") });
    alice.offer("lab", "later", 1, 3);
    let mut bob = joined(&tracker, &mut alice, "bob");
    follow(&mut bob, &["lab"]);
    alice.offer("lab", "last", 1, 4);
    heard(&mut bob);
    for stranger in [&mut mallory, &mut eve] {
        stranger.done(Request::Heartbeat {});
        assert!(!stranger.unasked.iter().any(|push| matches!(push, Reply::GroupChanged { .. })));
    }
    // One group too many ends the connection.
    let names: Vec<GroupId> = (0..FOLLOWED_MAX).map(|n| group(&format!("g{n}"))).collect();
    mallory.done(Request::Follow { groups: List::new(names).expect("as many as there may be") });
    let mut body = u32::try_from(FOLLOWED_MAX + 1).expect("few").to_be_bytes().to_vec();
    (0..=FOLLOWED_MAX).for_each(|_| body.extend([0, 1, b'g']));
    let kind = Request::Follow { groups: List::first_of(Vec::new()) }.kind();
    mallory.sender.send_frame(&super::liar::raw_frame(77, kind, &body)).expect("sent");
    let said = mallory.until_end();
    let refused = said.iter().any(
        |(_, reply)| matches!(reply, Reply::Refused { code, .. } if Code::from_number(*code) == Some(Code::TooLarge)),
    );
    assert!(refused, "{said:?}");
}

#[test]
fn a_crowd_of_new_names_is_told_in_few_messages() {
    let tracker = TestTracker::start_with(|_| {});
    let mut alice = tracker.user("alice");
    alice.create_group("lab");
    let mut bob = joined(&tracker, &mut alice, "bob");
    follow(&mut bob, &["lab"]);
    let begun = Instant::now();
    for n in 0..=2 * CHANGED_MAX {
        alice.offer("lab", &n.to_string(), 1, n as u8);
    }
    let (mut told, mut messages, mut more) = (BTreeSet::new(), 0, false);
    while told.len() <= 2 * CHANGED_MAX && !more {
        let (_, names, are_more) = heard(&mut bob);
        assert!(names.len() <= CHANGED_MAX);
        told.extend(names);
        more |= are_more;
        messages += 1;
    }
    let pauses = begun.elapsed().as_millis() / PAUSE.as_millis();
    assert!(messages <= 1 + pauses, "{messages} messages in {pauses} pauses");
}
