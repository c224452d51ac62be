//! Clients with a reference to a share that the base state of their tracker has forgotten.

use super::{Person, Room};
use crate::common::names::{command, file, group, password, user};
use crate::common::subject::bytes_of;
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use crate::common::wiretap::Wiretap;
use groupshare::model::id::{OpId, Origin, ShareRef};
use groupshare::model::op::{Op, OpBody};
use groupshare::wire::client_tracker::{Reply, Request};

/// Two floors with a change of Alice between them. Shares without sharers are then forgotten.
fn forget(tracker: &TestTracker, alice: &mut Person, name: &str) {
    tracker.reach_floor();
    alice.expect(&format!("create_group {name}"), "Group created\n");
    tracker.reach_floor();
}

/// Alice gives Bob, behind a wiretap, the beginning of a file. The file is 3 MB long.
fn half_given() -> (Room, Wiretap, Person, Person) {
    let room = Room::new();
    let tap = Wiretap::to(room.tracker.addr);
    let mut alice = room.person("alice");
    let mut bob = Person::arrive(tap.addr, &room.place("bob"), "bob");
    alice.expect("create_group lab", "Group created\n");
    bob.expect("join_group lab", "Request sent\n");
    alice.expect("accept_request lab bob", "Request accepted\n");
    wait_until("the key", || bob.node.keyring.group_named(&group("lab")).is_some());
    alice.file("f", &bytes_of(3_000_000, 1));
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.types("limit upload 300k").expect("set");
    bob.expect("download_file lab f .", "Downloading...\n");
    let session = bob.login.session().expect("logged in");
    let has_some = || session.downloads().running().iter().any(|transfer| !transfer.have().is_empty());
    wait_until("a piece is there", has_some);
    alice.types("limit upload 1k").expect("set");
    (room, tap, alice, bob)
}

#[test]
fn a_download_of_what_is_forgotten_ends_with_words_and_keeps_its_pieces() {
    let (room, _tap, mut alice, mut bob) = half_given();
    alice.expect("stop_share lab f", "Stopped sharing\n");
    forget(&room.tracker, &mut alice, "other");
    bob.sees("it is not shared any more, and the trackers have forgotten it; ask somebody to share it again");
    bob.sees("[lab] f");
    assert!(bob.folder.join("f.part").exists());
    alice.types("limit upload none").expect("set");
    alice.expect("upload_file f lab", "Uploaded\n");
    bob.expect("resume_download lab f", "Downloading...\n");
    bob.sees("Download completed: [lab] f");
    assert!(bob.read("f") == bytes_of(3_000_000, 1));
    bob.sees(" of it in "); // What was there did not come in once more.
}

#[test]
fn a_download_goes_on_with_the_share_that_has_its_name_by_now() {
    let (room, tap, mut alice, bob) = half_given();
    let running = || bob.login.session().expect("logged in").downloads().running();
    let before = running()[0].share();
    // Bob hears of all this only when it is over.
    tap.hold();
    alice.expect("stop_share lab f", "Stopped sharing\n");
    forget(&room.tracker, &mut alice, "other");
    alice.expect("upload_file f lab", "Uploaded\n");
    tap.release();
    wait_until("the download is one of the new share", || running().iter().any(|it| it.share() != before));
    alice.types("limit upload none").expect("set");
    bob.sees("Download completed: [lab] f");
}

#[test]
fn a_share_goes_on_when_the_id_under_which_its_client_knows_it_is_forgotten() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let tap = Wiretap::to(room.tracker.addr);
    let state = || room.tracker.server.core().state();
    let carol = &mut Person::arrive(tap.addr, &room.place("carol"), "carol");
    carol.expect("join_group lab", "Request sent\n");
    alice.expect("accept_request lab carol", "Request accepted\n");
    wait_until("the key", || carol.node.keyring.group_named(&group("lab")).is_some());
    carol.file("f", &bytes_of(100_000, 1));
    carol.expect("upload_file f lab", "Uploaded\n");
    // At another tracker Alice shared the same file before.
    let lab = state().group_named(&group("lab")).expect("there");
    let shared = state().share_named(lab, &file("f")).expect("there");
    let id = OpId { origin: Origin { tracker: 1, incarnation: 0 }, seq: 1 };
    let (alice_ref, content) = (state().user_named(&user("alice")).expect("there"), shared.content);
    let body = OpBody::CreateShare { group: lab, user: alice_ref, name: file("f"), content, replaces: None };
    let op = Op { id, lamport: state().lamport(), command: command(), body };
    room.tracker.server.core().committer.receive(vec![op]).expect("taken");
    assert_eq!(state().share(shared.share).map(|info| info.share), Some(ShareRef(id)), "there is one share");
    forget(&room.tracker, &mut alice, "other");
    assert!(state().share(shared.share).is_none());

    tap.cut();
    let session = carol.login.session().expect("logged in");
    let known = || session.slot().shares()[0].share;
    wait_until("the client knows the share by its id", || known() == Some(ShareRef(id)));
    others[0].expect("download_file lab f .", "Downloading...\n");
    others[0].sees("Download completed: [lab] f");
    assert!(!carol.events.holds("not shared"), "{}", carol.events.take());
}

#[test]
fn a_share_that_ended_elsewhere_and_is_forgotten_ends_with_words() {
    let room = Room::new();
    let (mut alice, _others) = room.group_of(&[]);
    let tap = Wiretap::to(room.tracker.addr);
    let mut bob = Person::arrive(tap.addr, &room.place("bob"), "bob");
    bob.expect("join_group lab", "Request sent\n");
    alice.expect("accept_request lab bob", "Request accepted\n");
    wait_until("the key", || bob.node.keyring.group_named(&group("lab")).is_some());
    bob.file("f", &bytes_of(100_000, 1));
    bob.expect("upload_file f lab", "Uploaded\n");
    tap.block();
    let mut elsewhere = room.tracker.client();
    let login = Request::Login { client: elsewhere.id, user: user("bob"), password: password("pw") };
    assert!(matches!(elsewhere.ask(login), Reply::LoggedIn { .. }));
    elsewhere.done(Request::StopShare { command: command(), group: group("lab"), name: file("f") });
    forget(&room.tracker, &mut alice, "other");
    tap.unblock();
    bob.sees("f is not shared in lab any more: it ended long ago, and the trackers have forgotten it; share it again");
    assert!(bob.login.session().expect("logged in").slot().shares().is_empty());
    assert!(bob.folder.join("f").exists());
}
