//! A client's requests and their answers.

use crate::common::client::{Client, Share};
use crate::common::manifest::manifest;
use crate::common::membership::{all_pieces, announcement};
use crate::common::names::{PASSWORD, command, file, group, password, user};
use crate::common::queries::some_pieces;
use crate::common::tracker::{TestTracker, cheap_passwords};
use groupshare::model::id::{OpId, OpOrder, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::GroupId;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::auth::passwords::{Asker, Passwords};
use groupshare::tracker::state::State;
use groupshare::wire::client_tracker::{GroupLine, MANIFEST_PART_MAX, MemberLine, PAGE_MAX, Reply, Request, Role};
use groupshare::wire::codec::Blob;
use groupshare::wire::refusal::Code;

#[test]
fn every_command_does_what_it_says() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    lists_tell_who_is_in_a_group(&mut ann, &mut bob);

    let (bytes, content) = manifest("film.mkv", 10, 1);
    assert_eq!(ann.refused(ann.share_request("lab", "film.mkv", &content)), Code::NeedManifest);
    ann.put_manifest("lab", &bytes, &content);
    let share = ann.share("lab", "film.mkv", &content);
    assert!(share.shared_by_you);
    assert_eq!(bob.find_share("lab", "film.mkv"), Share { shared_by_you: false, ..share.clone() });
    let Reply::ManifestPart { total, part } = bob.ask(Request::GetManifest { share: share.share, offset: 0 }) else {
        panic!("a manifest")
    };
    assert!(total as usize == bytes.len() && part.as_bytes() == bytes);

    let addr = ann.announce(18000);
    assert_eq!(addr.to_string(), "127.0.0.1:18000");
    ann.hold(share.share, all_pieces());
    bob.announce(18001);
    bob.hold(share.share, some_pieces(&[]));
    let peers = bob.peers(share.share);
    assert_eq!(peers.len(), 1);
    assert_eq!((&peers[0].user, peers[0].addrs[0], peers[0].held, peers[0].client), (&user("ann"), addr, 10, ann.id));
    assert_eq!(ann.peers(share.share), []);
    let Reply::Files { files, more: false } = bob.ask(Request::ListFiles { group: group("lab"), after: None }) else {
        panic!("files")
    };
    let files = files.into_vec();
    assert_eq!((files.len(), &files[0].name, files[0].content), (1, &file("film.mkv"), content));
    assert_eq!((files[0].sharer_count, files[0].online), (1, 1));

    assert!(bob.share("lab", "film.mkv", &content).shared_by_you);
    ann.done(Request::StopShare { command: command(), group: group("lab"), name: file("film.mkv") });
    assert!(!ann.find_share("lab", "film.mkv").shared_by_you);
    ann.done(Request::RemoveMember { command: command(), group: group("lab"), user: user("bob") });
    assert_eq!(bob.keys(), []);
    bob.join("lab");
    ann.done(Request::RejectRequest { command: command(), group: group("lab"), user: user("bob") });
    ann.leave("lab");
    let Reply::Groups { groups, more: false } = ann.ask(Request::ListGroups { after: None }) else { panic!("groups") };
    assert_eq!(groups.into_vec(), []);
    ann.done(Request::Heartbeat {});
    ann.done(Request::Logout {});
    assert_eq!(ann.refused(Request::ListGroups { after: None }), Code::NotLoggedIn);
    ann.log_in("ann");
}

/// Ann owns lab, and Bob has asked to join.
fn lists_tell_who_is_in_a_group(ann: &mut Client, bob: &mut Client) {
    let Reply::Users { users, more: false } = ann.ask(Request::ListRequests { group: group("lab"), after: None })
    else {
        panic!("requests")
    };
    assert_eq!(users.into_vec(), [user("bob")]);
    ann.accept("lab", "bob");

    let line = |role| GroupLine {
        name: group("lab"),
        owner: user("ann"),
        owner_count: 1,
        member_count: 2,
        access: GroupAccess::Ask,
        role,
    };
    for (client, role) in [(&mut *ann, Role::Owner), (&mut *bob, Role::Member)] {
        let Reply::Groups { groups, more: false } = client.ask(Request::ListGroups { after: None }) else {
            panic!("groups")
        };
        assert_eq!(groups.into_vec(), [line(role)]);
    }
    let Reply::Members { members, more: false } = bob.ask(Request::ListMembers { group: group("lab"), after: None })
    else {
        panic!("members")
    };
    let member = |name, owner| MemberLine { name: user(name), owner, online: 1 };
    assert_eq!(members.into_vec(), [member("ann", true), member("bob", false)]);
    assert_eq!(ann.keys(), bob.keys());
    assert_eq!(ann.keys()[0].name, group("lab"));
}

#[test]
fn every_command_is_refused_with_its_reason() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob, mut eve) = (tracker.user("ann"), tracker.user("bob"), tracker.user("eve"));
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    eve.create_group("other");
    let share = ann.offer("lab", "a.bin", 3, 1);
    nobody_is_refused(&mut tracker.client(), &share);
    strangers_are_refused(&mut eve, &share);
    members_are_refused(&mut bob, &share.content);
    owners_are_refused(&mut ann);
}

fn create_user(name: &str) -> Request {
    Request::CreateUser { command: command(), user: user(name), password: password("x") }
}

fn accept(name: &str) -> Request {
    Request::AcceptRequest { command: command(), group: group("lab"), user: user(name) }
}

fn reject(name: &str) -> Request {
    Request::RejectRequest { command: command(), group: group("lab"), user: user(name) }
}

fn remove(name: &str) -> Request {
    Request::RemoveMember { command: command(), group: group("lab"), user: user(name) }
}

fn put(group: GroupId, content: &Content) -> Request {
    let part = Blob::new(vec![1]).expect("a part");
    Request::PutManifest { group, info_hash: content.info_hash, total: 1, offset: 0, part }
}

fn stop_share(name: &str) -> Request {
    Request::StopShare { command: command(), group: group("lab"), name: file(name) }
}

fn find_share(name: &str) -> Request {
    Request::FindShare { group: group("lab"), name: file(name) }
}

fn hold(share: ShareRef) -> Request {
    Request::Hold { share, holding: all_pieces() }
}

/// Refusals to a client without a login.
fn nobody_is_refused(nobody: &mut Client, &Share { share, content, .. }: &Share) {
    let lab = || group("lab");
    for request in [
        Request::Logout {},
        Request::ChangePassword { command: command(), old: password("a"), new: password("b") },
        Request::CreateGroup { command: command(), group: group("new") },
        Request::JoinGroup { command: command(), group: lab() },
        Request::LeaveGroup { command: command(), group: lab() },
        Request::ListRequests { group: lab(), after: None },
        accept("eve"),
        reject("eve"),
        remove("bob"),
        Request::ListGroups { after: None },
        Request::ListMembers { group: lab(), after: None },
        Request::ListFiles { group: lab(), after: None },
        put(lab(), &content),
        nobody.share_request("lab", "a.bin", &content),
        stop_share("a.bin"),
        find_share("a.bin"),
        Request::GetManifest { share, offset: 0 },
        announcement(1),
        hold(share),
        Request::FindPeers { share },
        Request::ListKeys { after: None },
        Request::ReadNotices { command: command(), through: order(1) },
    ] {
        assert_eq!(nobody.refused(request.clone()), Code::NotLoggedIn, "{request:?}");
    }
    assert_eq!(nobody.refused(create_user("ann")), Code::UserExists);
    assert_eq!(nobody.refused(create_user("ann~2")), Code::ReservedName);
    assert_eq!(nobody.refused(create_user("\u{430}nn")), Code::MisleadingName);
    assert_eq!(nobody.refused(nobody.login_request("nobody")), Code::BadLogin);
    let wrong = Request::Login { client: nobody.id, user: user("ann"), password: password("wrong") };
    assert_eq!(nobody.refused(wrong), Code::BadLogin);
    for token in [vec![], vec![0; 80], vec![0; 66], vec![0xff; 128]] {
        let token = Blob::new(token).expect("short");
        assert_eq!(nobody.refused(Request::Resume { client: nobody.id, token }), Code::SessionEnded);
    }
    nobody.done(Request::Heartbeat {});
}

/// Refusals to a user who owns another group.
fn strangers_are_refused(eve: &mut Client, &Share { share, content, .. }: &Share) {
    let (lab, no_group) = (|| group("lab"), || group("none"));
    let nowhere = ShareRef(OpId { origin: Origin { tracker: 9, incarnation: 9 }, seq: 9 });
    for (request, code) in [
        (Request::CreateGroup { command: command(), group: lab() }, Code::GroupExists),
        (Request::CreateGroup { command: command(), group: group("x~2") }, Code::ReservedName),
        (Request::CreateGroup { command: command(), group: group("x\u{2800}y") }, Code::MisleadingName),
        (Request::JoinGroup { command: command(), group: no_group() }, Code::NoSuchGroup),
        (Request::JoinGroup { command: command(), group: group("other") }, Code::AlreadyMember),
        (Request::LeaveGroup { command: command(), group: no_group() }, Code::NoSuchGroup),
        (Request::LeaveGroup { command: command(), group: lab() }, Code::NotMember),
        (Request::ListRequests { group: no_group(), after: None }, Code::NoSuchGroup),
        (Request::ListRequests { group: lab(), after: None }, Code::NotMember),
        (accept("eve"), Code::NotMember),
        (reject("eve"), Code::NotMember),
        (remove("bob"), Code::NotMember),
        (Request::ListMembers { group: no_group(), after: None }, Code::NoSuchGroup),
        (Request::ListMembers { group: lab(), after: None }, Code::NotMember),
        (Request::ListFiles { group: lab(), after: None }, Code::NotMember),
        (put(lab(), &content), Code::NotMember),
        (put(no_group(), &content), Code::NoSuchGroup),
        (eve.share_request("lab", "a.bin", &content), Code::NotMember),
        (eve.share_request("none", "a.bin", &content), Code::NoSuchGroup),
        (stop_share("a.bin"), Code::NotMember),
        (find_share("a.bin"), Code::NotMember),
        (Request::GetManifest { share, offset: 0 }, Code::Forgotten),
        (Request::GetManifest { share: nowhere, offset: 0 }, Code::NoSuchFile),
        (hold(share), Code::Forgotten),
        (hold(nowhere), Code::NoSuchFile),
        (Request::FindPeers { share }, Code::Forgotten),
        (Request::FindPeers { share: nowhere }, Code::NoSuchFile),
        (create_user("new"), Code::AlreadyLoggedIn),
        (eve.login_request("eve"), Code::AlreadyLoggedIn),
        (Request::Resume { client: eve.id, token: Blob::new(vec![]).expect("short") }, Code::AlreadyLoggedIn),
        (Request::ChangePassword { command: command(), old: password("no"), new: password("b") }, Code::BadLogin),
    ] {
        assert_eq!(eve.refused(request.clone()), code, "{request:?}");
    }
    eve.join("lab");
    assert_eq!(eve.refused(Request::JoinGroup { command: command(), group: lab() }), Code::RequestPending);
    eve.leave("lab");
}

/// Refusals to a member who is not an owner.
fn members_are_refused(bob: &mut Client, content: &Content) {
    let lab = || group("lab");
    let (bytes, same) = manifest("a.bin", 3, 1);
    assert_eq!(same, *content);
    bob.put_manifest("lab", &bytes, content);
    for (request, code) in [
        (Request::JoinGroup { command: command(), group: lab() }, Code::AlreadyMember),
        (Request::ListRequests { group: lab(), after: None }, Code::NotOwner),
        (accept("eve"), Code::NotOwner),
        (reject("eve"), Code::NotOwner),
        (remove("ann"), Code::NotOwner),
        (stop_share("a.bin"), Code::NotSharing),
        (stop_share("none"), Code::NoSuchFile),
        (find_share("none"), Code::NoSuchFile),
        (bob.share_request("lab", "a.bin", &manifest("a.bin", 4, 2).1), Code::FileExists),
        (bob.share_request("lab", "b.bin", content), Code::BadManifest),
        (bob.share_request("lab", "a~2", content), Code::ReservedName),
        (put(lab(), content), Code::BadManifest),
    ] {
        assert_eq!(bob.refused(request.clone()), code, "{request:?}");
    }
}

fn owners_are_refused(ann: &mut Client) {
    for (request, code) in [
        (accept("eve"), Code::NoSuchRequest),
        (accept("nobody"), Code::NoSuchUser),
        (accept("bob"), Code::AlreadyMember),
        (reject("eve"), Code::NoSuchRequest),
        (remove("eve"), Code::TargetNotMember),
        (remove("ann"), Code::RemoveSelf),
    ] {
        assert_eq!(ann.refused(request.clone()), code, "{request:?}");
    }
}

fn order(lamport: u64) -> OpOrder {
    OpOrder { lamport, origin: Origin { tracker: 1, incarnation: 1 } }
}

#[test]
fn an_author_shares_again_under_a_name_that_only_others_still_have() {
    let tracker = TestTracker::start_with(|_| {});
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    let first = ann.offer("lab", "film", 1, 1);
    bob.share("lab", "film", &first.content);
    ann.done(stop_share("film"));
    // Bob's share is still ann's content, so she may replace it and he may not.
    let Reply::Share { author, shared_by_you: true, .. } = bob.ask(find_share("film")) else { panic!("a share") };
    assert_eq!(author, user("ann"));
    let second = ann.offer("lab", "film", 1, 2);
    assert_ne!((second.share, second.content), (first.share, first.content));
    let found = bob.find_share("lab", "film");
    assert_eq!((found.content, found.shared_by_you), (second.content, false));
    assert_eq!(bob.refused(bob.share_request("lab", "film", &first.content)), Code::FileExists);
    // The same content again makes her one of its sharers.
    bob.share("lab", "film", &second.content);
    ann.done(stop_share("film"));
    assert_eq!(ann.share("lab", "film", &second.content).share, second.share);
}

#[test]
fn a_command_that_is_repeated_is_carried_out_once_and_answered_the_same() {
    let tracker = TestTracker::start();
    let mut client = tracker.client();
    let create = Request::CreateUser { command: command(), user: user("ann"), password: password(PASSWORD) };
    client.done(create.clone());
    client.done(create);
    client.log_in("ann");
    let create = Request::CreateGroup { command: command(), group: group("lab") };
    client.done(create.clone());
    client.done(create);
    let (bytes, content) = manifest("a.bin", 3, 1);
    client.put_manifest("lab", &bytes, &content);
    let share = client.share_request("lab", "a.bin", &content);
    assert_eq!(client.ask(share.clone()), client.ask(share));
}

#[test]
fn requests_may_be_pipelined() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    let ids: Vec<u32> = (0..50)
        .map(|i| ann.send(&Request::CreateGroup { command: command(), group: group(&format!("group {i}")) }))
        .collect();
    for id in ids {
        assert_eq!(ann.reply(id), Reply::Done {});
    }
}

#[test]
fn long_lists_come_in_pages() {
    let mut state = State::new();
    let mut seq = 0;
    let mut apply = |body| {
        seq += 1;
        let id = OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq };
        state.apply(&Op { id, lamport: seq, command: command(), body });
        id
    };
    let passwords = Passwords::start(cheap_passwords(), 1).expect("started");
    let hash = passwords.hash(Asker::operator(), password(PASSWORD)).expect("hashed");
    let ann = UserRef(apply(OpBody::CreateUser { name: user("ann"), password: hash }));
    let count = 2 * PAGE_MAX + 5;
    for i in 0..count {
        apply(OpBody::CreateGroup { name: group(&format!("group {i:05}")), founder: ann });
    }
    let tracker = TestTracker::start_with(|settings| settings.past = state.into());
    let mut client = tracker.client();
    client.log_in("ann");
    let (mut names, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let Reply::Groups { groups, more } = client.ask(Request::ListGroups { after }) else { panic!("groups") };
        pages += 1;
        names.extend(groups.iter().map(|line| line.name.clone()));
        after = names.last().cloned();
        if !more {
            break;
        }
    }
    assert_eq!((names.len(), pages), (count, 3));
    assert!(names.is_sorted());
    let Reply::Keys { keys, more } = client.ask(Request::ListKeys { after: Some(names[PAGE_MAX + 4].clone()) }) else {
        panic!("keys")
    };
    assert_eq!((keys.len(), more), (PAGE_MAX, false));
    assert_eq!(keys[0].name, names[PAGE_MAX + 5]);
}

#[test]
fn a_manifest_of_many_parts_goes_in_and_comes_out_again() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    ann.create_group("lab");
    let (bytes, content) = manifest("big.bin", 100_000, 1);
    assert!(bytes.len() > 3 * MANIFEST_PART_MAX);
    ann.put_manifest("lab", &bytes, &content);
    let share = ann.share("lab", "big.bin", &content).share;
    let mut read = Vec::new();
    loop {
        let Reply::ManifestPart { total, part } = ann.ask(Request::GetManifest { share, offset: read.len() as u32 })
        else {
            panic!("a part")
        };
        assert_eq!(total as usize, bytes.len());
        if part.as_bytes().is_empty() {
            break;
        }
        read.extend_from_slice(part.as_bytes());
    }
    assert!(read == bytes);
}
