//! A tracker from the outside: real sockets, the real protocol.

mod common;

use common::*;
use groupshare::model::id::{ClientId, OpId, Origin, ShareRef, UserRef};
use groupshare::model::notice::Notice;
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::password::Passwords;
use groupshare::tracker::presence::TTL;
use groupshare::tracker::seats::Caps;
use groupshare::tracker::throttle::Pace;
use groupshare::wire::client_tracker::{GroupLine, MANIFEST_PART_MAX, MemberLine, PAGE_MAX, Reply, Request, Role};
use groupshare::wire::codec::Blob;
use groupshare::wire::error::Code;
use groupshare::wire::frame::{self, EARLY_FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::HandshakeError;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

fn refused_code(reply: &Reply) -> Option<Code> {
    match reply {
        Reply::Refused { code, .. } => Code::from_number(*code),
        _ => None,
    }
}

/// The first push that is of interest; others before it are left out.
fn pushed<T>(client: &mut Client, wanted: impl Fn(&Reply) -> Option<T>) -> T {
    loop {
        if let Some(found) = wanted(&client.pushed()) {
            return found;
        }
    }
}

#[test]
fn every_command_does_what_it_says() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    let Reply::Users { users, more: false } = ann.ask(Request::ListRequests { group: group("lab"), after: None })
    else {
        panic!("requests")
    };
    assert_eq!(users.into_vec(), [user("bob")]);
    ann.accept("lab", "bob");

    let line = |role| GroupLine { name: group("lab"), owner: user("ann"), member_count: 2, role };
    for (client, role) in [(&mut ann, Role::Owner), (&mut bob, Role::Member)] {
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
    assert_eq!((&peers[0].user, peers[0].addr, peers[0].held, peers[0].client), (&user("ann"), addr, 10, ann.id));
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

#[test]
fn every_command_is_refused_with_its_reason() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob, mut eve) = (tracker.user("ann"), tracker.user("bob"), tracker.user("eve"));
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    eve.create_group("other");
    let (bytes, content) = manifest("a.bin", 3, 1);
    ann.put_manifest("lab", &bytes, &content);
    let share = ann.share("lab", "a.bin", &content).share;
    let nowhere = ShareRef(OpId { origin: Origin { tracker: 9, incarnation: 9 }, seq: 9 });

    let (g, f) = (|| group("lab"), || file("a.bin"));
    let part = || Blob::new(vec![1]).expect("a part");
    let put = |group| Request::PutManifest { group, info_hash: content.info_hash, total: 9, offset: 0, part: part() };
    let hold = |share| Request::Hold { share, holding: all_pieces() };
    let accept = |group, user| Request::AcceptRequest { command: command(), group, user };
    let reject = |group, user| Request::RejectRequest { command: command(), group, user };
    let remove = |group, user| Request::RemoveMember { command: command(), group, user };
    let create_user =
        |name: &str| Request::CreateUser { command: command(), user: user(name), password: password("x") };

    // Nobody is logged in.
    let mut nobody = tracker.client();
    for request in [
        Request::Logout {},
        Request::ChangePassword { command: command(), old: password("a"), new: password("b") },
        Request::CreateGroup { command: command(), group: group("new") },
        Request::JoinGroup { command: command(), group: g() },
        Request::LeaveGroup { command: command(), group: g() },
        Request::ListRequests { group: g(), after: None },
        accept(g(), user("eve")),
        reject(g(), user("eve")),
        remove(g(), user("bob")),
        Request::ListGroups { after: None },
        Request::ListMembers { group: g(), after: None },
        Request::ListFiles { group: g(), after: None },
        put(g()),
        nobody.share_request("lab", "a.bin", &content),
        Request::StopShare { command: command(), group: g(), name: f() },
        Request::FindShare { group: g(), name: f() },
        Request::GetManifest { share, offset: 0 },
        Request::Announce { ip: None, port: 1 },
        hold(share),
        Request::FindPeers { share },
        Request::ListKeys { after: None },
        Request::ReadNotices { command: command(), through: order(1) },
    ] {
        assert_eq!(nobody.refused(request.clone()), Code::NotLoggedIn, "{request:?}");
    }
    assert_eq!(nobody.refused(create_user("ann")), Code::UserExists);
    assert_eq!(nobody.refused(create_user("ann~2")), Code::ReservedName);
    assert_eq!(nobody.refused(nobody.login_request("nobody")), Code::BadLogin);
    let wrong = Request::Login { client: nobody.id, user: user("ann"), password: password("wrong") };
    assert_eq!(nobody.refused(wrong), Code::BadLogin);
    for token in [vec![], vec![0; 80], vec![0; 66], vec![0xff; 128]] {
        let token = Blob::new(token).expect("short");
        assert_eq!(nobody.refused(Request::Resume { client: nobody.id, token }), Code::SessionEnded);
    }
    nobody.done(Request::Heartbeat {});

    // Groups, asked for by the owner of another one.
    let no_group = || group("none");
    for (request, code) in [
        (Request::CreateGroup { command: command(), group: g() }, Code::GroupExists),
        (Request::CreateGroup { command: command(), group: group("x~2") }, Code::ReservedName),
        (Request::JoinGroup { command: command(), group: no_group() }, Code::NoSuchGroup),
        (Request::JoinGroup { command: command(), group: group("other") }, Code::AlreadyMember),
        (Request::LeaveGroup { command: command(), group: no_group() }, Code::NoSuchGroup),
        (Request::LeaveGroup { command: command(), group: g() }, Code::NotMember),
        (Request::ListRequests { group: no_group(), after: None }, Code::NoSuchGroup),
        (Request::ListRequests { group: g(), after: None }, Code::NotMember),
        (accept(g(), user("eve")), Code::NotMember),
        (reject(g(), user("eve")), Code::NotMember),
        (remove(g(), user("bob")), Code::NotMember),
        (Request::ListMembers { group: no_group(), after: None }, Code::NoSuchGroup),
        (Request::ListMembers { group: g(), after: None }, Code::NotMember),
        (Request::ListFiles { group: g(), after: None }, Code::NotMember),
        (put(g()), Code::NotMember),
        (put(no_group()), Code::NoSuchGroup),
        (eve.share_request("lab", "a.bin", &content), Code::NotMember),
        (eve.share_request("none", "a.bin", &content), Code::NoSuchGroup),
        (Request::StopShare { command: command(), group: g(), name: f() }, Code::NotMember),
        (Request::FindShare { group: g(), name: f() }, Code::NotMember),
        (Request::GetManifest { share, offset: 0 }, Code::NotMember),
        (Request::GetManifest { share: nowhere, offset: 0 }, Code::NoSuchFile),
        (hold(share), Code::NotMember),
        (hold(nowhere), Code::NoSuchFile),
        (Request::FindPeers { share }, Code::NotMember),
        (Request::FindPeers { share: nowhere }, Code::NoSuchFile),
        (create_user("new"), Code::AlreadyLoggedIn),
        (eve.login_request("eve"), Code::AlreadyLoggedIn),
        (Request::Resume { client: eve.id, token: Blob::new(vec![]).expect("short") }, Code::AlreadyLoggedIn),
        (Request::ChangePassword { command: command(), old: password("no"), new: password("b") }, Code::BadLogin),
    ] {
        assert_eq!(eve.refused(request.clone()), code, "{request:?}");
    }
    eve.join("lab");
    assert_eq!(eve.refused(Request::JoinGroup { command: command(), group: g() }), Code::RequestPending);
    eve.leave("lab");

    // A member who is not the owner.
    for (request, code) in [
        (Request::JoinGroup { command: command(), group: g() }, Code::AlreadyMember),
        (Request::ListRequests { group: g(), after: None }, Code::NotOwner),
        (accept(g(), user("eve")), Code::NotOwner),
        (reject(g(), user("eve")), Code::NotOwner),
        (remove(g(), user("ann")), Code::NotOwner),
        (Request::StopShare { command: command(), group: g(), name: f() }, Code::NotSharing),
        (Request::StopShare { command: command(), group: g(), name: file("none") }, Code::NoSuchFile),
        (Request::FindShare { group: g(), name: file("none") }, Code::NoSuchFile),
        (bob.share_request("lab", "a.bin", &manifest("a.bin", 4, 2).1), Code::FileExists),
        (bob.share_request("lab", "b.bin", &content), Code::BadManifest),
        (bob.share_request("lab", "a~2", &content), Code::ReservedName),
        (put(g()), Code::BadManifest),
    ] {
        // The manifest of `content` is stored, so a part of it is not even looked at; another one is.
        let request = match request {
            Request::PutManifest { group, total, offset, part, .. } => {
                let info_hash = manifest("z", 1, 1).1.info_hash;
                Request::PutManifest { group, info_hash, total: total - 8, offset, part }
            }
            other => other,
        };
        assert_eq!(bob.refused(request.clone()), code, "{request:?}");
    }

    // The owner.
    for (request, code) in [
        (accept(g(), user("eve")), Code::NoSuchRequest),
        (accept(g(), user("nobody")), Code::NoSuchUser),
        (accept(g(), user("bob")), Code::AlreadyMember),
        (reject(g(), user("eve")), Code::NoSuchRequest),
        (remove(g(), user("eve")), Code::TargetNotMember),
        (remove(g(), user("ann")), Code::RemoveSelf),
    ] {
        assert_eq!(ann.refused(request.clone()), code, "{request:?}");
    }
}

fn order(lamport: u64) -> groupshare::model::id::OpOrder {
    groupshare::model::id::OpOrder { lamport, origin: Origin { tracker: 1, incarnation: 1 } }
}

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

    // Somebody leaves: the others have another key at once.
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
    let (bytes, content) = manifest("a.bin", 3, 1);
    bob.put_manifest("lab", &bytes, &content);
    let share = bob.share("lab", "a.bin", &content).share;
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

    // Removal is told, with a notice that stays until it was read.
    ann.done(Request::RemoveMember { command: command(), group: group("lab"), user: user("bob") });
    assert_eq!(pushed(&mut bob, |push| matches!(push, Reply::GroupLost { .. }).then(|| push.clone())), lost);
    pushed(&mut bob, |push| matches!(push, Reply::Noticed { notice: Notice::Removed { .. }, .. }).then_some(()));
}

#[test]
fn whoever_downloads_is_told_of_new_holders() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    let (bytes, content) = manifest("a.bin", 3, 1);
    ann.put_manifest("lab", &bytes, &content);
    let share = ann.share("lab", "a.bin", &content).share;
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
    // Gone is gone, and back is news.
    ann.done(Request::Logout {});
    assert_eq!(bob.peers(share), []);
    ann.log_in("ann");
    ann.announce(1);
    ann.hold(share, all_pieces());
    assert_eq!(pushed(&mut bob, peer_up), (share, user("ann"), 3));
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
    let notices = |client: &mut Client| -> Vec<_> {
        let pushes = client.all_pushed().into_iter();
        pushes
            .filter_map(|push| if let Reply::Noticed { order, notice } = push { Some((order, notice)) } else { None })
            .collect()
    };
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

#[test]
fn a_client_that_comes_back_takes_the_place_of_its_old_connection() {
    let tracker = TestTracker::start();
    let mut old = tracker.user("ann");
    old.create_group("lab");
    let (bytes, content) = manifest("a.bin", 3, 1);
    old.put_manifest("lab", &bytes, &content);
    let share = old.share("lab", "a.bin", &content).share;
    old.announce(7);
    old.hold(share, all_pieces());
    let token =
        match old.ask(Request::ChangePassword { command: command(), old: password(PASSWORD), new: password(PASSWORD) })
        {
            Reply::LoggedIn { token, .. } => token,
            other => panic!("{other:?}"),
        };
    let mut new = tracker.client();
    new.id = old.id;
    assert!(matches!(new.resume(&token), Reply::LoggedIn { user: name, .. } if name == user("ann")));
    old.until_end();
    // The old connection has ended, whatever its thread still does; the new one stays as it is.
    new.done(Request::Heartbeat {});
    let mut other = tracker.client();
    other.log_in("ann");
    assert_eq!(other.peers(share).len(), 1);
    assert_eq!(tracker.server.core().presence.local_client_count(), 2);
}

#[test]
fn an_account_that_comes_from_its_tracker_while_its_password_is_checked_is_found() {
    let slow = groupshare::tracker::password::Params::new(64 * 1024, 6, 1, None).expect("valid");
    let tracker = TestTracker::start_with(|settings| settings.password_params = slow);
    let hash = Passwords::start(cheap_passwords(), 1).expect("started").hash(password(PASSWORD)).expect("hashed");
    let id = OpId { origin: Origin { tracker: 2, incarnation: 9 }, seq: 1 };
    let body = OpBody::CreateUser { name: user("ann"), password: hash };
    let core_time = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let mut client = tracker.client();
    let before = Duration::try_from(core_time()).expect("positive");
    let login = client.send(&client.login_request("ann"));
    wait_until("the check has begun", || {
        Duration::try_from(core_time()).expect("positive") > before + Duration::from_millis(30)
    });
    tracker.server.core().committer.receive(vec![Op { id, lamport: 1, command: command(), body }]).expect("taken");
    assert!(matches!(client.reply(login), Reply::LoggedIn { .. }));
}

#[test]
fn a_password_that_is_changed_ends_all_other_sessions() {
    let tracker = TestTracker::start();
    let (mut here, mut there) = (tracker.user("ann"), tracker.client());
    let token = there.log_in("ann");
    let change = Request::ChangePassword { command: command(), old: password(PASSWORD), new: password("new") };
    let Reply::LoggedIn { user: name, token: new_token } = here.ask(change) else { panic!("changed") };
    assert_eq!(name, user("ann"));
    assert_eq!(there.pushed(), Reply::SessionOver {});
    assert!(matches!(there.refused(Request::ListGroups { after: None }), Code::SessionEnded | Code::NotLoggedIn));
    assert_eq!(there.refused(Request::ListGroups { after: None }), Code::NotLoggedIn);
    here.create_group("still_here");
    assert_eq!(refused_code(&there.resume(&token)), Some(Code::SessionEnded));
    assert_eq!(there.refused(there.login_request("ann")), Code::BadLogin);
    assert!(matches!(there.resume(&new_token), Reply::LoggedIn { .. }));
    assert!(here.all_pushed().iter().all(|push| *push != Reply::SessionOver {}));
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
fn a_user_may_be_logged_in_from_several_clients() {
    let tracker = TestTracker::start();
    let mut clients: Vec<Client> = vec![tracker.user("ann")];
    for _ in 0..3 {
        let mut client = tracker.client();
        client.log_in("ann");
        clients.push(client);
    }
    clients[0].create_group("lab");
    for client in &mut clients {
        pushed(client, |push| matches!(push, Reply::NewKey { .. }).then_some(()));
    }
    let online = |client: &mut Client| match client.ask(Request::ListMembers { group: group("lab"), after: None }) {
        Reply::Members { members, .. } => members[0].online,
        other => panic!("{other:?}"),
    };
    assert_eq!(online(&mut clients[0]), 4);
    clients[3].done(Request::Logout {});
    assert_eq!(online(&mut clients[0]), 3);
}

#[test]
fn login_under_a_name_that_two_took_finds_the_account_that_the_password_opens() {
    let passwords = Passwords::start(cheap_passwords(), 1).expect("started");
    let mut state = groupshare::tracker::state::State::new();
    for (tracker, text) in [(1, "first"), (2, "second")] {
        let origin = Origin { tracker, incarnation: 1 };
        let hash = passwords.hash(password(text)).expect("hashed");
        let body = OpBody::CreateUser { name: user("ann"), password: hash };
        state.apply(&Op { id: OpId { origin, seq: 1 }, lamport: 1, command: command(), body });
    }
    let tracker = TestTracker::start_with(|settings| settings.past = state.into());
    let mut client = tracker.client();
    for (text, name) in [("first", "ann"), ("second", "ann~2")] {
        let login = Request::Login { client: client.id, user: user("ann"), password: password(text) };
        assert!(matches!(client.ask(login), Reply::LoggedIn { user: told, .. } if told == user(name)));
        client.done(Request::Logout {});
    }
    let login = Request::Login { client: client.id, user: user("ann"), password: password("third") };
    assert_eq!(client.refused(login), Code::BadLogin);
    let login = Request::Login { client: client.id, user: user("ann~2"), password: password("second") };
    assert!(matches!(client.ask(login), Reply::LoggedIn { .. }));
}

#[test]
fn long_lists_come_in_pages() {
    let mut state = groupshare::tracker::state::State::new();
    let mut seq = 0;
    let mut apply = |body| {
        seq += 1;
        let id = OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq };
        state.apply(&Op { id, lamport: seq, command: command(), body });
        id
    };
    let passwords = Passwords::start(cheap_passwords(), 1).expect("started");
    let hash = passwords.hash(password(PASSWORD)).expect("hashed");
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

#[test]
fn passwords_names_and_keys_never_cross_the_wire_in_the_clear() {
    let tracker = TestTracker::start();
    // A relay that keeps every byte that passes in either direction.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let relay_addr = listener.local_addr().expect("bound");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let relay = thread::spawn({
        let (seen, addr) = (Arc::clone(&seen), tracker.addr);
        move || {
            let near = listener.accept().expect("connected").0;
            let far = TcpStream::connect(addr).expect("connected");
            let pump = |mut from: TcpStream, mut to: TcpStream, seen: Arc<Mutex<Vec<u8>>>| {
                thread::spawn(move || {
                    let mut buf = [0; 4096];
                    while let Ok(len @ 1..) = from.read(&mut buf) {
                        seen.lock().expect("no panic").extend_from_slice(&buf[..len]);
                        if to.write_all(&buf[..len]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                })
            };
            let clone = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
            let up = pump(clone(&near), clone(&far), Arc::clone(&seen));
            let down = pump(far, near, seen);
            (up.join(), down.join())
        }
    });
    let mut ann = Client::connect(relay_addr);
    ann.create_user("ann the first");
    let token = ann.log_in("ann the first");
    ann.create_group("secret society");
    let (bytes, content) = manifest("plans.pdf", 3, 1);
    ann.put_manifest("secret society", &bytes, &content);
    ann.share("secret society", "plans.pdf", &content);
    let key = ann.keys().remove(0);
    drop(ann);
    let (up, down) = relay.join().expect("no panic");
    up.and(down).expect("no panic");

    let seen = seen.lock().expect("no panic");
    assert!(seen.len() > 1000, "everything went through the relay");
    for secret in [
        PASSWORD.as_bytes(),
        b"ann the first",
        b"secret society",
        b"plans.pdf",
        &key.key.0,
        token.as_bytes(),
        &content.info_hash.0,
    ] {
        assert!(!seen.windows(secret.len()).any(|window| window == secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[test]
fn before_login_frames_are_short() {
    let tracker = TestTracker::start();
    let long = |len| Request::PutManifest {
        group: group("lab"),
        info_hash: manifest("a", 1, 1).1.info_hash,
        total: 1,
        offset: 0,
        part: Blob::new(vec![0; len]).expect("short enough"),
    };
    let mut client = tracker.client();
    client.sender.send(1, &long(EARLY_FRAME_LEN_MAX)).expect("sent");
    let said = client.until_end();
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].0, refused_code(&said[0].1)), (UNASKED, Some(Code::TooLarge)));

    let mut ann = tracker.user("ann");
    ann.create_group("lab");
    assert_eq!(ann.refused(long(MANIFEST_PART_MAX)), Code::BadManifest);
    ann.done(Request::Logout {});
    ann.sender.send(1, &long(EARLY_FRAME_LEN_MAX)).expect("sent");
    assert_eq!(ann.until_end().last().and_then(|(_, reply)| refused_code(reply)), Some(Code::TooLarge));
    tracker.client().create_user("bob");
}

#[test]
fn messages_that_are_none_are_refused_and_end_the_connection() {
    let tracker = TestTracker::start();
    let heartbeat = frame::of(5, &Request::Heartbeat {});
    let mut unknown = heartbeat.clone();
    unknown[4] = 200;
    let mut trailing = heartbeat.clone();
    trailing.push(0);
    trailing[3] += 1;
    let mut truncated = frame::of(5, &Request::Announce { ip: None, port: 9 });
    truncated.pop();
    truncated[3] -= 1;
    let bad_name = {
        let mut bytes = frame::of(5, &Request::CreateGroup { command: command(), group: group("ab") });
        let at = bytes.len() - 2;
        bytes[at..].copy_from_slice(b"a/");
        bytes
    };
    for (what, bytes, code) in [
        ("an unknown kind", unknown, Code::UnknownKind),
        ("bytes too many", trailing, Code::Malformed),
        ("bytes too few", truncated, Code::Malformed),
        ("a name that is none", bad_name, Code::Malformed),
    ] {
        let mut client = tracker.client();
        client.sender.send_frame(&bytes).expect("sent");
        let said = client.until_end();
        assert_eq!(
            said.iter().map(|(id, reply)| (*id, refused_code(reply))).collect::<Vec<_>>(),
            [(5, Some(code))],
            "{what}"
        );
    }
    let mut client = tracker.client();
    client.sender.send_frame(&frame::of(UNASKED, &Request::Heartbeat {})).expect("sent");
    assert_eq!(client.until_end().len(), 1, "a request without an id");
    tracker.client().create_user("bob");
}

#[test]
fn bytes_that_are_no_protocol_end_their_connection_and_nothing_else() {
    let tracker = TestTracker::start();
    let mut noise: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |len: usize| -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        for _ in 0..len {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.push((noise >> 56) as u8);
        }
        bytes
    };
    let preface = b"GRPSHARE\x00\x01\x01";
    let mut inputs = vec![vec![0; 5000], b"GET / HTTP/1.1\r\n\r\n".to_vec(), random(5000), random(3)];
    inputs.push([&preface[..], &[0xff, 0xff], &random(300)].concat());
    inputs.push([&preface[..], &[0, 32], &random(32), &random(5000)].concat());
    inputs.push([&preface[..], &[0, 0]].concat());
    for input in &inputs {
        let mut stream = TcpStream::connect(tracker.addr).expect("connected");
        stream.set_read_timeout(Some(LONG)).expect("set");
        let _ = stream.write_all(input).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
    // Other versions and dialects are told so in the clear.
    for (input, code) in [(b"GRPSHARE\x00\x02\x01", Code::Version), (b"GRPSHARE\x00\x01\x02", Code::UnknownKind)] {
        let mut stream = TcpStream::connect(tracker.addr).expect("connected");
        stream.set_read_timeout(Some(LONG)).expect("set");
        stream.write_all(input).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        assert_eq!(answer, [0, 0, 0, code as u8]);
    }
    tracker.client().create_user("bob");
    assert!(tracker.server.status().trouble.is_none());
}

#[test]
fn connections_over_a_cap_are_told_so() {
    let tracker = TestTracker::start_with(|settings| settings.caps = Caps { total: 3, early: 2, per_address: 3 });
    let mut ann = tracker.user("ann");
    let (_one, two) = (tracker.client(), tracker.client());
    let busy =
        |result: Result<Client, HandshakeError>| matches!(result, Err(HandshakeError::Refused(Some(Code::Busy))));
    assert!(busy(Client::try_connect(tracker.addr)), "two have not logged in");
    drop(two);
    ann.done(Request::Heartbeat {});
    wait_for(|| tracker.server.status().connections.total == 2);
    let mut three = tracker.client();
    three.log_in("ann");
    assert!(busy(Client::try_connect(tracker.addr)), "three in all");
    assert_eq!(tracker.server.status().connections.refused, 2);
    ann.done(Request::Heartbeat {});
}

/// Waits for something that another thread is about to do.
fn wait_for(mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < until, "it did not happen");
        thread::yield_now();
    }
}

#[test]
fn guessing_passwords_is_slowed_down_and_the_right_one_is_not() {
    let pace = |burst| Pace { burst, interval: Duration::from_secs(3600) };
    let tracker = TestTracker::start_with(|settings| {
        settings.paces.user = pace(3);
        settings.paces.address = pace(5);
        settings.paces.accounts = pace(2);
    });
    let mut client = tracker.client();
    client.create_user("ann");
    client.create_user("bob");
    let create = Request::CreateUser { command: command(), user: user("eve"), password: password("x") };
    assert_eq!(client.refused(create), Code::SlowDown);
    for _ in 0..10 {
        client.log_in("ann");
        client.done(Request::Logout {});
    }
    let guess = |client: &mut Client, name| {
        client.refused(Request::Login { client: ClientId([1; 16]), user: user(name), password: password("guess") })
    };
    for _ in 0..3 {
        assert_eq!(guess(&mut client, "ann"), Code::BadLogin);
    }
    assert_eq!(guess(&mut client, "ann"), Code::SlowDown);
    assert_eq!(client.refused(client.login_request("ann")), Code::SlowDown);
    client.log_in("bob");
    client.done(Request::Logout {});
    assert_eq!(guess(&mut client, "nobody"), Code::BadLogin);
    assert_eq!(guess(&mut client, "nobody"), Code::BadLogin);
    assert_eq!(guess(&mut client, "nobody"), Code::SlowDown, "the address has had its five");
    assert_eq!(client.refused(client.login_request("bob")), Code::SlowDown);
}

#[test]
fn two_hundred_clients_at_once_are_served() {
    let tracker = TestTracker::start();
    let count = 200;
    let barrier = Barrier::new(count);
    thread::scope(|scope| {
        for i in 0..count {
            let (tracker, barrier) = (&tracker, &barrier);
            scope.spawn(move || {
                let mut client = tracker.user(&format!("user {i}"));
                barrier.wait();
                client.create_group(&format!("group {i}"));
                let Reply::Groups { groups, .. } = client.ask(Request::ListGroups { after: None }) else {
                    panic!("groups")
                };
                assert!(!groups.is_empty());
                barrier.wait();
                client.done(Request::Heartbeat {});
            });
        }
    });
    assert_eq!(tracker.server.core().state().group_count(), count);
    wait_for(|| tracker.server.status().connections.total == 0);
    assert_eq!(tracker.server.core().presence.local_client_count(), 0);
}

#[test]
fn a_tracker_that_stops_tells_its_clients_and_leaves_no_connection() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    let mut idle = tracker.client();
    let mut half_open = TcpStream::connect(tracker.addr).expect("connected");
    let mut half_said = TcpStream::connect(tracker.addr).expect("connected");
    half_said.write_all(b"GRPSH").expect("sent");
    ann.create_group("lab");
    // Whoever is still in the middle of the handshake is told nothing.
    idle.done(Request::Heartbeat {});
    let TestTracker { server, addr, folder } = tracker;
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(9), "nobody waits for a handshake that does not come");
    for client in [&mut ann, &mut idle] {
        let said = client.until_end();
        assert_eq!(
            said.last().and_then(|(id, reply)| refused_code(reply).map(|code| (*id, code))),
            Some((UNASKED, Code::Closing))
        );
    }
    for stream in [&mut half_open, &mut half_said] {
        let _ = stream.read(&mut [0; 8]);
    }
    assert!(TcpStream::connect(addr).is_err());
    drop(TcpListener::bind(addr).expect("the port is free again at once"));
    drop(folder);
}

#[test]
fn a_client_that_was_given_up_is_cut_off_and_comes_back_anew() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    ann.done(Request::Logout {});
    let token = ann.log_in("ann");
    let core = tracker.server.core();
    assert_eq!(core.presence.sweep(Instant::now() + TTL).len(), 2);
    for client in [&mut ann, &mut bob] {
        client.send(&Request::Heartbeat {});
        assert!(client.until_end().iter().all(|(id, _)| *id == UNASKED), "no answer");
    }
    let mut again = tracker.client();
    again.id = ann.id;
    assert!(matches!(again.resume(&token), Reply::LoggedIn { .. }));
    again.done(Request::Heartbeat {});
    assert_eq!(core.presence.local_client_count(), 1);
}
