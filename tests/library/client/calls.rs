//! Members with closed ports. Others call them or meet them at a relay, and then exchange pieces as always.

use super::places::shown;
use super::{Person, Room};
use crate::common::client::words;
use crate::common::deadline::LONG;
use crate::common::names::{group, user};
use crate::common::subject::bytes_of;
use crate::common::tracker::{TestTracker, loopback};
use crate::common::wait::wait_until;
use groupshare::client::reach::interfaces::own_addresses;
use groupshare::client::reach::way::Way;
use groupshare::model::id::{ClientId, Origin};
use groupshare::rate::limit::Limit;
use groupshare::tracker::relay::{RelayEnd, RelaySettings};
use groupshare::wire::client_tracker::{CallWay, Reply, Request};
use rustix::net::Shutdown;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// Starts a client and makes an account. With `closed` nobody reaches its port, as behind a firewall that rejects. It
/// still announces where it would listen.
fn person(trackers: &[SocketAddr], room: &Room, name: &str, closed: bool) -> Person {
    person_at(loopback(), trackers, room, (name, closed))
}

/// The same for a client that cannot dial others from its port. It reaches their addresses from another address of this
/// machine.
fn person_apart(trackers: &[SocketAddr], room: &Room, name: &str) -> Person {
    person_at(TcpListener::bind("127.0.0.2:0").expect("a free port"), trackers, room, (name, true))
}

fn person_at(listener: TcpListener, trackers: &[SocketAddr], room: &Room, (name, closed): (&str, bool)) -> Person {
    let door = listener.try_clone().expect("a descriptor");
    let mut person = Person::start(trackers.to_vec(), &room.place(name), listener, None, Box::new(own_addresses));
    if closed {
        rustix::net::shutdown(&door, Shutdown::Both).expect("it listened");
    }
    person.expect(&format!("create_user {name} pw"), "User created\n");
    person.expect(&format!("login {name} pw"), "Login successful\n");
    person
}

/// Alice makes the group lab, and bob joins.
fn meet(alice: &mut Person, bob: &mut Person) {
    alice.expect("create_group lab", "Group created\n");
    wait_until("the group is known", || bob.types("join_group lab").is_ok());
    wait_until("the request is known", || alice.types("accept_request lab bob").is_ok());
    bob.sees("You are a member of lab now");
    wait_until("the key", || bob.node.keyring.group_named(&group("lab")).is_some());
}

/// Alice shares some bytes under this name, and bob downloads them.
fn exchange(alice: &mut Person, bob: &mut Person, name: &str) {
    let data = bytes_of(3_000_000, 1);
    alice.file(name, &data);
    alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
    wait_until("the share is known", || bob.types(&format!("download_file lab {name} .")).is_ok());
    bob.sees(&format!("Download completed: [lab] {name}"));
    assert!(bob.read(name) == data);
}

/// The first member without any piece for the first download, and the reason.
fn obstacle(person: &Person) -> Option<String> {
    let running = person.login.session().expect("logged in").downloads().running();
    running.first()?.obstacles().first().map(|(user, why)| format!("{user}: {why}"))
}

/// In which ways the pieces of a person's downloads came, in order.
fn got(person: &Person) -> Vec<Way> {
    let session = person.login.session().expect("logged in");
    session.downloads().list().iter().flat_map(|tracked| tracked.ways.values().copied().collect::<Vec<_>>()).collect()
}

#[test]
fn a_member_whose_port_is_closed_gives_when_it_is_called_and_takes_from_whoever_is_open() {
    let room = Room::new();
    let trackers = [room.tracker.addr];
    let (mut alice, mut bob) = (person(&trackers, &room, "alice", true), person(&trackers, &room, "bob", false));
    meet(&mut alice, &mut bob);
    exchange(&mut alice, &mut bob, "f");
    assert_eq!(got(&bob), [Way::Called]);
    exchange(&mut bob, &mut alice, "g");
    assert_eq!(got(&alice), [Way::Direct]);
}

#[test]
fn a_member_at_another_tracker_is_called_over_the_link() {
    let room = Room::new();
    let two = TestTracker::start_with(|settings| {
        settings.origin = Origin { tracker: 2, incarnation: 2000 };
        settings.others = vec![(1, room.tracker.addr.into())];
    });
    let mut alice = person(&[room.tracker.addr], &room, "alice", true);
    let mut bob = person(&[two.addr], &room, "bob", false);
    meet(&mut alice, &mut bob);
    exchange(&mut alice, &mut bob, "f");
    assert_eq!(got(&bob), [Way::Called]);
}

#[test]
fn two_members_whose_ports_are_closed_meet_at_a_tracker_that_relays() {
    let tracker = TestTracker::start_with(|settings| settings.relay = Some(RelaySettings::of(Limit::NONE)));
    let room = Room { tracker, folder: tempfile::tempdir().expect("a folder") };
    let trackers = [room.tracker.addr];
    let (mut alice, mut bob) = (person(&trackers, &room, "alice", true), person_apart(&trackers, &room, "bob"));
    meet(&mut alice, &mut bob);
    exchange(&mut alice, &mut bob, "f");
    assert_eq!(got(&bob), [Way::Relayed]);
}

#[test]
fn two_members_whose_ports_are_closed_wait_for_each_other_without_a_relay_and_are_told_why() {
    let room = Room::new();
    let trackers = [room.tracker.addr];
    let (mut alice, mut bob) = (person(&trackers, &room, "alice", true), person_apart(&trackers, &room, "bob"));
    meet(&mut alice, &mut bob);
    alice.file("f", &bytes_of(600_000, 1));
    alice.expect("upload_file f lab", "Uploaded\n");
    bob.expect("download_file lab f .", "Downloading...\n");
    let why = || obstacle(&bob);
    wait_until("it is told", || why().is_some_and(|why| why.contains(" refused ")));
    let why = why().expect("told");
    assert!(why.starts_with("alice: 127.0.0.1:") && why.contains(" refused the connection, "), "{why}");
    assert!(why.contains("does not call back") && why.ends_with(", no relay"), "{why}");
    assert!(shown(&mut bob, "f").contains("waiting for members"));
}

#[test]
fn a_member_without_a_place_at_the_relay_hears_whose_places_are_taken() {
    let settings = RelaySettings { ticket_life: LONG, ..RelaySettings::of(Limit::NONE) };
    let tracker = TestTracker::start_with(|options| options.relay = Some(settings));
    let room = Room { tracker, folder: tempfile::tempdir().expect("a folder") };
    let trackers = [room.tracker.addr];
    let (mut alice, mut bob) = (person(&trackers, &room, "alice", true), person_apart(&trackers, &room, "bob"));
    meet(&mut alice, &mut bob);
    let relay = room.tracker.server.core().relay.clone().expect("it relays");
    for client in 1..=4 {
        let end = |name| RelayEnd { user: user(name), client: ClientId([client; 16]) };
        relay.issue((end("alice"), room.tracker.addr.ip()), end("eve"), Instant::now()).expect("a place");
    }
    alice.file("f", &bytes_of(600_000, 1));
    alice.expect("upload_file f lab", "Uploaded\n");
    bob.expect("download_file lab f .", "Downloading...\n");
    let said = "no place at the relay (alice has 4 places already)";
    wait_until("it is told", || obstacle(&bob).is_some_and(|why| why.ends_with(said)));
}

#[test]
fn a_member_who_was_called_to_a_relay_at_which_nobody_comes_quits_at_once() {
    let tracker = TestTracker::start_with(|settings| settings.relay = Some(RelaySettings::of(Limit::NONE)));
    let room = Room { tracker, folder: tempfile::tempdir().expect("a folder") };
    let (mut alice, mut eve) = (person(&[room.tracker.addr], &room, "alice", false), room.tracker.user("eve"));
    alice.expect("create_group lab", "Group created\n");
    eve.join("lab");
    wait_until("the request is known", || alice.types("accept_request lab eve").is_ok());
    alice.file("f", &bytes_of(600_000, 1));
    alice.expect("upload_file f lab", "Uploaded\n");
    let share = eve.find_share("lab", "f").share;
    eve.announce(4001);
    let (client, user) = (alice.node.client, user("alice"));
    let connections = || room.tracker.server.status().connections.total;
    let before = connections();
    let passed = eve.ask(Request::Call { share, user, client, way: CallWay::Relay, from: None });
    assert!(matches!(passed, Reply::CallPassed { ticket: Some(_), .. }), "{}", words(&passed));
    wait_until("alice waits at the relay", || connections() > before);
    let begun = Instant::now();
    drop(alice);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
