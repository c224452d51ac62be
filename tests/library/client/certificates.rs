//! Certificates of complete clients: renewed in time, valid without a tracker, replaced when one has ended.

use super::{Person, Room};
use crate::common::names::user;
use crate::common::relay::Relay;
use crate::common::subject::bytes_of;
use crate::common::tracker::cluster;
use crate::common::wait::wait_until;
use crate::common::wiretap::Wiretap;
use groupshare::client::reach::identity::Certified;
use groupshare::rate::limit::Limit;
use groupshare::tracker::presence::ClientKey;
use groupshare::wire::certificate::CERTIFICATE_LIFE;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// How long a certificate is valid, in seconds.
const DAY_S: u64 = CERTIFICATE_LIFE.as_secs();

/// The tracker's last certificate for a client.
fn certified(person: &Person) -> Certified {
    person.node.identity.certified().expect("a tracker was reached")
}

/// Ages the certificate of a client by `by_s` seconds. `believes` gives the time that the client assumes, from the real
/// time.
fn age(person: &Person, name: &str, by_s: u64, believes: impl Fn(u64) -> u64) {
    let (identity, now) = (&person.node.identity, certified(person));
    let certificate = cluster().certify(identity.client(), user(name), identity.key(), now.now_s - by_s);
    let (now_s, heard) = (believes(now.now_s), Instant::now());
    assert!(identity.take(Certified { certificate, now_s, heard, ..now }));
}

#[test]
fn a_certificate_is_renewed_long_before_it_ends() {
    let room = Room::new();
    let alice = room.person("alice");
    wait_until("the certificate", || alice.node.identity.certificate().is_some());
    let fresh = certified(&alice).certificate.end;
    age(&alice, "alice", DAY_S * 2 / 5, |now_s| now_s);
    age(&alice, "alice", DAY_S * 3 / 5, |now_s| now_s);
    wait_until("a new certificate", || certified(&alice).certificate.end >= fresh);
}

#[test]
fn a_client_whose_certificate_has_ended_gets_another_one_by_itself() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let data = bytes_of(900_000, 14);
    alice.file("f", &data);
    alice.expect("upload_file f lab", "Uploaded\n");
    let bob = &mut others[0];
    // It ended an hour ago. Bob does not know: by his clock it is almost new.
    age(bob, "bob", DAY_S + 3600, |now_s| now_s - DAY_S - 3000);
    let ended = certified(bob).certificate;
    bob.expect("download_file lab f .", "Downloading...\n");
    bob.sees("Download completed");
    assert!(bob.read("f") == data);
    wait_until("a new certificate", || certified(bob).certificate.end > ended.end);
}

#[test]
fn a_tracker_knows_how_long_its_answers_take_to_a_client() {
    let room = Room::new();
    drop(room.person("alice"));
    let way = Duration::from_millis(20);
    let far = Relay::to(room.tracker.addr, move |_, asked, _| {
        if !asked {
            std::thread::park_timeout(way);
        }
    });
    let mut alice = Person::sit_down(far.addr, &room.place("alice"));
    alice.expect("login alice pw", "Login successful\n");
    let core = room.tracker.server.core();
    let user = core.state().user_named(&user("alice")).expect("there");
    let key = ClientKey { user, client: alice.node.client };
    wait_until("the contact", || core.presence.contact(key).is_some());
    let contact = core.presence.contact(key).expect("there");
    assert!(Duration::from_millis(contact.round_trip_ms.into()) >= way, "{} ms", contact.round_trip_ms);
}

#[test]
fn members_connect_to_each_other_anew_while_no_tracker_is_there() {
    let room = Room::new();
    let (alice, mut others) = room.group_of(&["bob"]);
    drop(alice);
    // Alice is behind a relay, and gives ever more slowly until the tracker is gone.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let relay = Wiretap::to(listener.local_addr().expect("bound"));
    let mut alice = Person::sit_down_behind(room.tracker.addr, &room.place("alice"), listener, relay.addr);
    // Otherwise bob may call her, and she dials him past the relay.
    alice.log_in_behind(&room, "alice");
    let data = bytes_of(6_000_000, 15);
    alice.file("f", &data);
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.node.uplink.set_limit(Limit::of(1_000_000));
    let bob = &mut others[0];
    bob.expect("download_file lab f .", "Downloading...\n");
    wait_until("bob takes from alice", || relay.seen().len() > 600_000);
    alice.node.uplink.set_limit(Limit::of(10_000));
    let Room { tracker, folder: _folder } = room;
    drop(tracker);
    wait_until("the loss is seen", || bob.types("list_groups").is_err());
    let last = || relay.passed().iter().map(|(connection, ..)| *connection).max();
    let before = last();
    relay.cut();
    alice.node.uplink.set_limit(Limit::NONE);
    bob.sees("Download completed");
    assert!(bob.read("f") == data);
    assert!(last() > before, "it came over another connection");
}
