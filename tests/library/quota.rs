//! Limits on what users may have. Each is reached exactly, and one more is refused with words that say what to do.

use crate::common::client::{Client, words};
use crate::common::manifest::manifest;
use crate::common::names::{PASSWORD, command, file, group, password, user};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::model::id::{CommandId, GroupRef, OpId, Origin, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{GroupId, UserId};
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::rate::buckets::Pace;
use groupshare::tracker::ledger::operator::OperatorChange;
use groupshare::tracker::ledger::quota::{Quota, Quotas};
use groupshare::tracker::oversight::limits::{Accounts, LimitSettings, Limits};
use groupshare::wire::client_tracker::{MANIFEST_PART_MAX, Reply, Request};
use groupshare::wire::codec::Blob;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

fn settings(limits: &[(Quota, u64)], accounts: Accounts) -> LimitSettings {
    let mut quotas = Quotas::NONE;
    limits.iter().for_each(|&(quota, max)| quotas.set(quota, max));
    LimitSettings { quotas, accounts }
}

/// A tracker with only these limits.
fn limited(limits: &[(Quota, u64)]) -> TestTracker {
    let limits = Arc::new(Limits::new(settings(limits, Accounts::Open)));
    TestTracker::start_with(|settings| settings.oversight.limits = limits)
}

/// The words of a refusal.
fn refusal(client: &mut Client, request: Request) -> String {
    match client.ask(request) {
        refused @ Reply::Refused { .. } => words(&refused),
        other => panic!("not refused but {}", words(&other)),
    }
}

/// What a short manifest counts.
const LEAST: u64 = 4096;

fn create_group(name: &str) -> Request {
    Request::CreateGroup { command: command(), group: group(name) }
}

fn join_group(name: &str) -> Request {
    Request::JoinGroup { command: command(), group: group(name) }
}

fn create_user(name: &str) -> Request {
    Request::CreateUser { command: command(), user: user(name), password: password("x") }
}

/// The first part of a manifest.
fn put(group_name: &str, bytes: &[u8], content: &Content) -> Request {
    let part = Blob::new(bytes[..bytes.len().min(MANIFEST_PART_MAX)].to_vec()).expect("a part");
    let (info_hash, total) = (content.info_hash, bytes.len() as u32);
    Request::PutManifest { group: group(group_name), info_hash, total, offset: 0, part }
}

/// Sends a file's manifest and shares the file.
fn share(client: &mut Client, group_name: &str, name: &str, seed: u8) {
    let (bytes, content) = manifest(name, 1, seed);
    client.put_manifest(group_name, &bytes, &content);
    client.share(group_name, name, &content);
}

#[test]
fn a_user_owns_as_many_groups_as_the_limit_says_and_another_one_after_leaving_one() {
    let tracker = limited(&[(Quota::GroupsOwned, 2)]);
    let mut ann = tracker.user("ann");
    ["a", "b"].iter().for_each(|name| ann.create_group(name));
    let told = "This would be over a limit: you own 2 groups of 2; leave one, or ask the operator";
    assert_eq!(refusal(&mut ann, create_group("c")), told);
    tracker.user("bob").create_group("other");
    ann.leave("a");
    ann.create_group("c");
}

#[test]
fn a_user_is_in_as_many_groups_as_the_limit_says() {
    let tracker = limited(&[(Quota::Memberships, 2)]);
    let (mut ann, mut eve, mut bob) = (tracker.user("ann"), tracker.user("eve"), tracker.user("bob"));
    ["a", "b"].iter().for_each(|name| ann.create_group(name));
    eve.create_group("c");
    ["a", "b", "c"].iter().for_each(|name| bob.join(name));
    ["a", "b"].iter().for_each(|name| ann.accept(name, "bob"));
    let accept = Request::AcceptRequest { command: command(), group: group("c"), user: user("bob") };
    let told = "This would be over a limit: bob is in 2 groups of 2; ask bob to leave one, or ask the operator";
    assert_eq!(refusal(&mut eve, accept.clone()), told);
    let told = "This would be over a limit: you are in 2 groups of 2; leave one, or ask the operator";
    assert_eq!(refusal(&mut bob, create_group("d")), told);
    assert_eq!(refusal(&mut ann, join_group("c")), told);
    bob.leave("a");
    eve.done(accept);
}

#[test]
fn a_user_waits_for_as_many_groups_as_the_limit_says() {
    let tracker = limited(&[(Quota::Requests, 2)]);
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ["a", "b", "c", "d"].iter().for_each(|name| ann.create_group(name));
    ["a", "b"].iter().for_each(|name| bob.join(name));
    let told =
        "This would be over a limit: you wait for 2 groups of 2; withdraw one with leave_group, or ask the operator";
    assert_eq!(refusal(&mut bob, join_group("c")), told);
    bob.leave("a");
    bob.join("c");
    assert_eq!(refusal(&mut bob, join_group("d")), told);
    // Nobody can answer or withdraw this request, so it does not count.
    ann.leave("b");
    bob.join("d");
}

#[test]
fn as_many_users_wait_for_a_group_as_the_limit_says() {
    let tracker = limited(&[(Quota::Waiting, 2)]);
    let mut ann = tracker.user("ann");
    ["a", "b"].iter().for_each(|name| ann.create_group(name));
    let [mut bob, mut carl, mut dave] = ["bob", "carl", "dave"].map(|name| tracker.user(name));
    bob.join("a");
    carl.join("a");
    let told =
        "This would be over a limit: 2 users of 2 wait for this group; ask its owner to decide, or ask the operator";
    assert_eq!(refusal(&mut dave, join_group("a")), told);
    dave.join("b");
    ann.accept("a", "bob");
    dave.join("a");
}

#[test]
fn a_user_who_withdraws_and_asks_anew_waits_there_and_others_do_not() {
    let tracker = limited(&[(Quota::Asked, 9)]);
    let mut ann = tracker.user("ann");
    ["a", "b"].iter().for_each(|name| ann.create_group(name));
    let [mut bob, mut eve] = ["bob", "eve"].map(|name| tracker.user(name));
    for _ in 0..5 {
        eve.join("a");
        eve.leave("a");
    }
    let told = refusal(&mut eve, join_group("a"));
    let start = "Too many attempts, wait a little and try again: you may ask this group again in ";
    assert!(told.starts_with(start), "{told}");
    bob.join("a");
    for _ in 0..4 {
        eve.join("b");
        eve.leave("b");
    }
    let told = refusal(&mut eve, join_group("b"));
    let start = "Too many attempts, wait a little and try again: 9 requests to join an hour; the next one in ";
    assert!(told.starts_with(start), "{told}");
}

fn about(name: &str) -> (CommandId, GroupId, UserId) {
    (command(), group("lab"), user(name))
}

fn add_member(name: &str) -> Request {
    add_to("lab", name)
}

fn add_to(name: &str, whom: &str) -> Request {
    Request::AddMember { command: command(), group: group(name), user: user(whom) }
}

fn leave_group(name: &str) -> Request {
    Request::LeaveGroup { command: command(), group: group(name) }
}

fn set_open(name: &str) -> Request {
    Request::SetGroup { command: command(), group: group(name), access: GroupAccess::Open }
}

/// Other users add bob to groups until the tracker refuses. They then remove him from all groups except the first of
/// each. Returns bob's groups, and the last refusal of each of the others.
fn add_as_often_as_possible(tracker: &TestTracker, others: usize, groups: usize) -> (Vec<String>, Vec<String>) {
    let (mut added, mut refused) = (Vec::new(), Vec::new());
    for number in 0..others {
        let mut eve = tracker.user(&format!("eve{number}"));
        for lot in 0..groups {
            let name = format!("lot{number}-{lot}");
            eve.create_group(&name);
            match eve.ask(add_to(&name, "bob")) {
                Reply::Done {} if lot > 0 => {
                    eve.done(leave_group(&name));
                    added.push(name);
                }
                Reply::Done {} => added.push(name),
                refusal => {
                    refused.push(words(&refusal));
                    break;
                }
            }
        }
    }
    (added, refused)
}

fn make_owner(name: &str) -> Request {
    let (command, group, user) = about(name);
    Request::MakeOwner { command, group, user }
}

#[test]
fn an_owner_adds_as_many_users_in_an_hour_as_the_limit_says() {
    let tracker = limited(&[(Quota::Added, 2)]);
    let mut ann = tracker.user("ann");
    let [mut bob, _carl, _dave] = ["bob", "carl", "dave"].map(|name| tracker.user(name));
    ann.create_group("lab");
    ann.done(add_member("bob"));
    ann.done(make_owner("bob"));
    ann.done(add_member("carl"));
    let told = refusal(&mut ann, add_member("dave"));
    let start = "Too many attempts, wait a little and try again: 2 users added to groups an hour; the next one in ";
    assert!(told.starts_with(start), "{told}");
    bob.done(add_member("dave"));
}

/// A few accounts could fill all of a user's places for groups. Then the user could neither join nor make one.
#[test]
fn a_user_added_to_many_groups_keeps_room_for_those_of_choice() {
    let limits = [(Quota::Memberships, 3), (Quota::GroupsOwned, 2), (Quota::AddedTo, 9), (Quota::AddedByOne, 4)];
    let tracker = limited(&limits);
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    let (added, refused) = add_as_often_as_possible(&tracker, 4, 6);
    let by_one = "This would be over a limit: you added bob to 4 groups of 4, and bob shares in none; \
                  bob can ask with join_group, or ask the operator";
    let by_all = "This would be over a limit: bob was added to 9 groups of 9 and shares in none; \
                  bob can ask with join_group, or ask the operator";
    assert_eq!((added.len(), refused), (9, [by_one, by_one, by_all, by_all].map(str::to_owned).to_vec()));
    // He makes one, is accepted into one, and joins an open one, although others also made him a member of theirs.
    bob.create_group("mine");
    ["lab", "club"].iter().for_each(|name| ann.create_group(name));
    bob.join("lab");
    ann.accept("lab", "bob");
    ann.done(set_open("club"));
    bob.join("club");
    // A member that shares in a group is there by choice.
    let (_, content) = manifest("song", 1, 1);
    let request = bob.share_request(&added[0], "song", &content);
    let told = "This would be over a limit: you are in 3 groups of 3; leave one, or ask the operator";
    assert_eq!(refusal(&mut bob, request), told);
    bob.leave("lab");
    share(&mut bob, &added[0], "song", 1);
    assert_eq!(refusal(&mut bob, join_group("lab")), told);
    let mut more = tracker.user("more");
    more.create_group("more");
    more.done(add_to("more", "bob"));
}

#[test]
fn an_added_user_who_had_asked_to_join_is_there_by_choice() {
    let tracker = limited(&[(Quota::Memberships, 1), (Quota::AddedTo, 0)]);
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    ann.done(add_member("bob"));
    let told = "This would be over a limit: you are in 1 groups of 1; leave one, or ask the operator";
    assert_eq!(refusal(&mut bob, create_group("mine")), told);
}

#[test]
fn a_group_has_as_many_owners_as_the_limit_says() {
    let tracker = limited(&[(Quota::Owners, 2)]);
    let mut ann = tracker.user("ann");
    let [_bob, _carl] = ["bob", "carl"].map(|name| tracker.user(name));
    ann.create_group("lab");
    for name in ["bob", "carl"] {
        ann.done(add_member(name));
    }
    ann.done(make_owner("bob"));
    let told =
        "This would be over a limit: this group has 2 owners of 2; drop one with drop_owner, or ask the operator";
    assert_eq!(refusal(&mut ann, make_owner("carl")), told);
    let (command, group, user) = about("bob");
    ann.done(Request::DropOwner { command, group, user });
    ann.done(make_owner("carl"));
}

#[test]
fn a_user_shares_as_many_files_as_the_limit_says_and_new_versions_of_them() {
    let tracker = limited(&[(Quota::Shares, 2)]);
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    share(&mut ann, "lab", "one", 1);
    share(&mut ann, "lab", "two", 2);
    let told = "This would be over a limit: you share 2 files of 2; stop sharing some, or ask the operator";
    let (_, third) = manifest("three", 1, 3);
    let request = ann.share_request("lab", "three", &third);
    assert_eq!(refusal(&mut ann, request), told, "before its list of pieces is asked for");
    share(&mut ann, "lab", "two", 9);
    share(&mut bob, "lab", "three", 3);
    let request = ann.share_request("lab", "three", &third);
    assert_eq!(refusal(&mut ann, request), told, "shares of others count too");
    ann.done(Request::StopShare { command: command(), group: group("lab"), name: file("one") });
    ann.share("lab", "three", &third);
}

#[test]
fn the_lists_of_pieces_of_a_user_take_as_much_as_the_limit_says() {
    let tracker = limited(&[(Quota::ManifestBytes, 2 * LEAST)]);
    let mut ann = tracker.user("ann");
    ann.create_group("lab");
    share(&mut ann, "lab", "one", 1);
    share(&mut ann, "lab", "two", 2);
    share(&mut ann, "lab", "two", 9);
    let told = format!(
        "This would be over a limit: the lists of pieces of your shares would take {} of {}; stop sharing some, or \
         ask the operator",
        Quota::ManifestBytes.amount(3 * LEAST),
        Quota::ManifestBytes.amount(2 * LEAST)
    );
    let (bytes, content) = manifest("six", 1, 6);
    ann.put_manifest("lab", &bytes, &content);
    let request = ann.share_request("lab", "six", &content);
    assert_eq!(refusal(&mut ann, request), told);
    let (bytes, content) = manifest("long", 1000, 4);
    let told = refusal(&mut ann, put("lab", &bytes, &content));
    assert!(told.starts_with("This would be over a limit: the lists of pieces of your shares would take"), "{told}");
}

#[test]
fn a_user_brings_as_many_bytes_of_lists_of_pieces_an_hour_as_the_limit_says() {
    let tracker = limited(&[(Quota::Brought, 3 * LEAST)]);
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.create_group("den");
    let most = Quota::Brought.amount(3 * LEAST);
    let slow = format!("Too many attempts, wait a little and try again: {most} of lists of pieces an hour; ");
    let too_slow = |told: String| assert!(told.starts_with(&slow), "{told}");
    share(&mut ann, "lab", "one", 1);
    let (bytes, content) = manifest("two", 1, 2);
    for _ in 0..2 {
        ann.done(put("lab", &bytes, &content));
    }
    too_slow(refusal(&mut ann, put("lab", &bytes, &content)));
    // A manifest that the tracker has already does not count again.
    ann.share("lab", "two", &content);
    share(&mut bob, "den", "six", 3);
    bob.put_manifest("den", &bytes, &content);
    bob.share("den", "two", &content);
    let core = tracker.server.core();
    let brought = core.state().users_after(None, 9).iter().map(|ann| core.oversight.limits.brought_by(ann.user)).max();
    assert_eq!(brought, Some(3 * LEAST));
}

#[test]
fn a_long_list_of_pieces_counts_once_and_when_it_begins() {
    let (bytes, content) = manifest("film", 60_000, 1);
    let len = bytes.len() as u64;
    assert!(len > MANIFEST_PART_MAX as u64);
    let tracker = limited(&[(Quota::Brought, 2 * len), (Quota::AllBytes, len)]);
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.create_group("den");
    let total = || tracker.server.core().manifests.lens().total();
    ann.done(put("lab", &bytes, &content));
    assert_eq!(total(), MANIFEST_PART_MAX as u64, "only received bytes take room");
    let (longer, other) = manifest("film", 60_000, 2);
    assert_eq!(longer.len(), bytes.len());
    let told = refusal(&mut bob, put("den", &longer, &other));
    assert!(told.starts_with("The installation is full: all lists of pieces would take"), "{told}");
    drop(ann);
    wait_until("the upload has ended", || total() == 0);
    let mut ann = tracker.client();
    ann.log_in("ann");
    ann.put_manifest("lab", &bytes, &content);
    ann.share("lab", "film", &content);
    assert_eq!(total(), len);
    let told = refusal(&mut ann, put("lab", &bytes, &content));
    assert!(told.starts_with("Too many attempts"), "begun twice, paid twice: {told}");
}

#[test]
fn a_user_over_a_lowered_limit_shares_a_shorter_version() {
    let (long, short) = (manifest("film", 1000, 1), manifest("film", 500, 1));
    let tracker = limited(&[]);
    let mut ann = tracker.user("ann");
    ann.create_group("lab");
    ann.put_manifest("lab", &long.0, &long.1);
    ann.share("lab", "film", &long.1);
    tracker.server.core().oversight.limits.change(&settings(&[(Quota::ManifestBytes, 10)], Accounts::Open));
    ann.put_manifest("lab", &short.0, &short.1);
    ann.share("lab", "film", &short.1);
    let told = refusal(&mut ann, put("lab", &long.0, &long.1));
    assert!(told.starts_with("This would be over a limit"), "{told}");
}

#[test]
fn asking_for_more_than_there_is_room_for_counts_as_a_change() {
    let tracker = limited(&[(Quota::GroupsOwned, 1), (Quota::Changes, 3)]);
    let mut ann = tracker.user("ann");
    ann.create_group("a");
    for _ in 0..2 {
        let told = refusal(&mut ann, create_group("b"));
        assert!(told.starts_with("This would be over a limit"), "{told}");
    }
    let told = refusal(&mut ann, create_group("b"));
    assert!(told.starts_with("Too many attempts, wait a little and try again: 3 changes an hour"), "{told}");
}

#[test]
fn asking_to_share_without_a_list_of_pieces_counts_too() {
    let tracker = limited(&[(Quota::Changes, 3)]);
    let mut ann = tracker.user("ann");
    ann.create_group("lab");
    let content = manifest("film", 1, 1).1;
    let share = || Request::ShareFile { command: command(), group: group("lab"), name: file("film"), content };
    for _ in 0..6 {
        let told = refusal(&mut ann, share());
        assert!(!told.starts_with("Too many attempts"), "{told}");
    }
    let told = refusal(&mut ann, share());
    assert!(told.starts_with("Too many attempts, wait a little and try again: 3 changes an hour"), "{told}");
    ann.create_group("other");
}

#[test]
fn a_user_makes_as_many_changes_an_hour_as_the_limit_says() {
    let tracker = limited(&[(Quota::Changes, 3)]);
    let mut ann = tracker.user("ann");
    let create = create_group("a");
    ann.done(create.clone());
    ann.done(create.clone());
    assert!(matches!(ann.ask(create_group("a")), Reply::Refused { .. }), "it is there already");
    ann.create_group("b");
    ann.leave("b");
    let told = refusal(&mut ann, create_group("c"));
    let start = "Too many attempts, wait a little and try again: 3 changes an hour; the next one in ";
    assert!(told.starts_with(start), "{told}");
    ann.done(create);
    tracker.user("bob").create_group("other");
}

#[test]
fn as_many_accounts_and_checks_an_hour_come_from_an_address_as_the_limits_say() {
    let tracker = limited(&[(Quota::Accounts, 2), (Quota::Checks, 3)]);
    let mut client = tracker.client();
    for name in ["ann~2", "bob~2", "eve~2"] {
        assert!(refusal(&mut client, create_user(name)).contains("reserved"), "a refused name counts");
    }
    ["ann", "bob"].iter().for_each(|name| client.create_user(name));
    let slow = "Too many attempts, wait a little and try again: ";
    let told = refusal(&mut client, create_user("eve"));
    assert!(told.starts_with(&format!("{slow}2 accounts an hour from this address; the next one in ")), "{told}");
    for _ in 0..3 {
        client.log_in("ann");
        client.done(Request::Logout {});
    }
    let login = client.login_request("ann");
    let told = refusal(&mut client, login);
    assert!(told.starts_with(&format!("{slow}3 passwords an hour from this address; the next one in ")), "{told}");
}

fn change_password(old: &str, new: &str) -> Request {
    Request::ChangePassword { command: command(), old: password(old), new: password(new) }
}

#[test]
fn a_change_of_the_password_counts_as_a_check_and_is_asked_for_before_it_is_computed() {
    let tracker = limited(&[(Quota::Changes, 2), (Quota::Checks, 4)]);
    let mut ann = tracker.user("ann");
    let change = change_password(PASSWORD, "a");
    assert!(matches!(ann.ask(change.clone()), Reply::LoggedIn { .. }));
    assert!(matches!(ann.ask(change), Reply::LoggedIn { .. }), "a repeated command counts once");
    assert!(matches!(ann.ask(change_password("a", "b")), Reply::LoggedIn { .. }));
    let slow = "Too many attempts, wait a little and try again: ";
    // The tracker refuses whatever the old password is. It does not check that password, and no check is used up.
    for old in ["b", "wrong", "wrong"] {
        let told = refusal(&mut ann, change_password(old, "c"));
        assert!(told.starts_with(&format!("{slow}2 changes an hour; the next one in ")), "{told}");
    }
    let mut bob = tracker.user("bob");
    let told = refusal(&mut bob, change_password(PASSWORD, "c"));
    assert!(told.starts_with(&format!("{slow}4 passwords an hour from this address; the next one in ")), "{told}");
}

#[test]
fn all_users_together_have_as_much_as_the_limits_say() {
    let limits = [(Quota::Users, 2), (Quota::Groups, 2), (Quota::AllShares, 2), (Quota::AllBytes, 3 * LEAST)];
    let tracker = limited(&limits);
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    assert_eq!(
        refusal(&mut tracker.client(), create_user("eve")),
        "The installation is full: 2 users of 2; ask the operator"
    );
    ["lab", "den"].iter().for_each(|name| ann.create_group(name));
    assert_eq!(refusal(&mut bob, create_group("art")), "The installation is full: 2 groups of 2; ask the operator");
    share(&mut ann, "lab", "one", 1);
    share(&mut ann, "den", "one", 1);
    let (bytes, content) = manifest("two", 1, 2);
    let request = ann.share_request("lab", "two", &content);
    assert_eq!(refusal(&mut ann, request), "The installation is full: 2 files of 2 are shared; ask the operator");
    ann.put_manifest("lab", &bytes, &content);
    let (bytes, content) = manifest("six", 1, 6);
    ann.put_manifest("lab", &bytes, &content);
    let (bytes, content) = manifest("ten", 1, 10);
    let told = format!(
        "The installation is full: all lists of pieces would take {} of {}; ask the operator",
        Quota::AllBytes.amount(4 * LEAST),
        Quota::AllBytes.amount(3 * LEAST)
    );
    assert_eq!(refusal(&mut ann, put("lab", &bytes, &content)), told);
    // The operator has no limit.
    let change = OperatorChange::MakeUser { name: user("eve"), password: PasswordHash("x".into()) };
    assert!(tracker.server.core().committer.operate(command(), &change).expect("accepted").op.is_some());
}

#[test]
fn a_tracker_takes_the_changes_of_another_one_over_every_limit() {
    let tracker = limited(&[(Quota::Users, 1), (Quota::Groups, 1), (Quota::GroupsOwned, 1), (Quota::Changes, 2)]);
    let mut ann = tracker.user("ann");
    ann.create_group("lab");
    let origin = Origin { tracker: 2, incarnation: 9 };
    let ann_ref = tracker.server.core().state().user_named(&user("ann")).expect("she was made");
    let bodies = [
        OpBody::CreateUser { name: user("bob"), password: PasswordHash("x".into()) },
        OpBody::CreateGroup { name: group("den"), founder: ann_ref },
        OpBody::CreateGroup { name: group("art"), founder: UserRef(OpId { origin, seq: 1 }) },
    ];
    let lamport = tracker.server.core().state().lamport();
    let ops = (1..).zip(bodies).map(|(seq, body)| Op {
        id: OpId { origin, seq },
        lamport: lamport + seq,
        command: command(),
        body,
    });
    tracker.server.core().committer.receive(ops.collect()).expect("taken");
    let state = tracker.server.core().state();
    assert_eq!((state.user_count(), state.group_count(), state.owned_count(ann_ref)), (2, 3, 2));
    assert!(state.is_member(GroupRef(OpId { origin, seq: 2 }), ann_ref));
    let told = refusal(&mut ann, create_group("hub"));
    assert_eq!(told, "The installation is full: 3 groups of 1; ask the operator");
}

#[test]
fn one_of_many_who_want_the_last_place_at_once_gets_it() {
    const AT_ONCE: usize = 8;
    for round in 0..5 {
        let tracker = limited(&[(Quota::GroupsOwned, 2)]);
        let mut ann = tracker.user("ann");
        ann.create_group("first");
        let start = Barrier::new(AT_ONCE);
        let got = thread::scope(|scope| {
            let ask = |number: usize| {
                let mut client = tracker.client();
                client.log_in("ann");
                start.wait();
                matches!(client.ask(create_group(&format!("last{number}"))), Reply::Done {})
            };
            let all: Vec<_> = (0..AT_ONCE).map(|number| scope.spawn(move || ask(number))).collect();
            all.into_iter().map(|one| one.join().expect("no panic")).filter(|got| *got).count()
        });
        assert_eq!((got, tracker.server.core().state().group_count()), (1, 2), "round {round}");
    }
}

#[test]
fn one_of_many_lists_of_pieces_that_come_at_once_gets_the_last_room() {
    const AT_ONCE: usize = 8;
    for round in 0..5 {
        let tracker = limited(&[(Quota::AllBytes, 2 * LEAST)]);
        let mut ann = tracker.user("ann");
        ann.create_group("lab");
        share(&mut ann, "lab", "film", 99);
        let start = Barrier::new(AT_ONCE);
        let got = thread::scope(|scope| {
            let (tracker, start) = (&tracker, &start);
            let ask = |number: usize| {
                let mut client = tracker.client();
                client.log_in("ann");
                let (bytes, content) = manifest("film", 1, number as u8);
                start.wait();
                matches!(client.ask(put("lab", &bytes, &content)), Reply::Done {})
            };
            let all: Vec<_> = (0..AT_ONCE).map(|number| scope.spawn(move || ask(number))).collect();
            all.into_iter().map(|one| one.join().expect("no panic")).filter(|got| *got).count()
        });
        let total = tracker.server.core().manifests.lens().total();
        assert_eq!((got, total), (1, 2 * LEAST), "round {round}");
    }
}

#[test]
fn other_limits_hold_at_once_for_clients_that_are_there() {
    let limits = Arc::new(Limits::new(settings(&[(Quota::GroupsOwned, 1), (Quota::Changes, 2)], Accounts::Open)));
    let tracker = TestTracker::start_with(|settings| settings.oversight.limits = limits.clone());
    let mut ann = tracker.user("ann");
    ann.create_group("a");
    assert!(refusal(&mut ann, create_group("b")).contains("you own 1 groups of 1"));
    let told = limits.change(&settings(&[(Quota::GroupsOwned, 3), (Quota::Changes, 6)], Accounts::Closed));
    assert_eq!(told, ["limit groups_owned is 3", "limit changes is 6", "accounts are closed"]);
    ["b", "c"].iter().for_each(|name| ann.create_group(name));
    assert!(refusal(&mut ann, create_group("d")).contains("you own 3 groups of 3"));
    ann.leave("c");
    assert!(limits.change(&settings(&[(Quota::GroupsOwned, 3), (Quota::Changes, 6)], Accounts::Closed)).is_empty());
}

#[test]
fn a_tracker_refuses_new_accounts_while_accounts_are_closed() {
    let limits = Arc::new(Limits::new(settings(&[], Accounts::Closed)));
    let tracker = TestTracker::start_with(|settings| settings.oversight.limits = limits.clone());
    let told = "Only the operator makes accounts here, ask for one";
    assert_eq!(refusal(&mut tracker.client(), create_user("ann")), told);
    limits.change(&settings(&[], Accounts::Open));
    let create = create_user("ann");
    tracker.client().done(create.clone());
    limits.change(&settings(&[], Accounts::Closed));
    tracker.client().done(create);
    assert_eq!(
        refusal(&mut tracker.client(), create_user("ann")),
        told,
        "the refusal does not tell whether the account exists"
    );
}

#[test]
fn right_logins_that_are_under_way_are_no_failed_ones() {
    const AT_ONCE: usize = 60;
    let slow = |burst| Pace { burst, interval: Duration::from_secs(3600) };
    let tracker = TestTracker::start_with(|settings| {
        settings.paces.user_at_place = slow(10);
        settings.paces.address = slow(50);
    });
    let mut client = tracker.client();
    client.create_user("ann");
    let start = Barrier::new(AT_ONCE);
    let refused = |text: &'static str| {
        let log_in = || {
            let mut client = tracker.client();
            start.wait();
            let login = Request::Login { client: client.id, user: user("ann"), password: password(text) };
            client.ask(login)
        };
        thread::scope(|scope| {
            let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(log_in)).collect();
            let answers = all.into_iter().map(|one| one.join().expect("no panic"));
            let refused: Vec<String> =
                answers.filter(|answer| matches!(answer, Reply::Refused { .. })).map(|answer| words(&answer)).collect();
            refused
        })
    };
    assert_eq!(refused(PASSWORD), [""; 0]);
    let guesses = refused("guess");
    let tried = guesses.iter().filter(|told| *told == "Invalid username or password").count();
    assert_eq!((tried, guesses.len()), (10, AT_ONCE), "ten wrong ones stop the next");
}
