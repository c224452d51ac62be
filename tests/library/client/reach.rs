//! What a client tells its user about how others can reach it.

use super::{OwnAddresses, Person};
use crate::common::names::user;
use crate::common::room::Room;
use crate::common::wait::wait_until;
use groupshare::client::reach::interfaces::own_addresses;
use groupshare::tracker::presence::ClientKey;
use groupshare::wire::client_tracker::{ReachClass, Reply};
use groupshare::wire::codec::List;
use groupshare::wire::contact::Interface;
use parking_lot::Mutex;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// Makes the tracker tell this client a result of its test.
fn tell(room: &Room, person: &Person, name: &str, addr: &str, found: ReachClass) {
    let core = room.tracker.server.core();
    let user = core.state().user_named(&user(name)).expect("there");
    let channel = core.logins.channel(&ClientKey { user, client: person.node.client }).expect("logged in");
    let addr: SocketAddr = addr.parse().expect("an address");
    channel.queue(&Reply::Reach { addr, found });
    core.slow_consumers.flush_on(channel);
}

#[test]
fn a_client_that_others_cannot_reach_says_so_once_for_each_finding() {
    let room = Room::new();
    let alice = room.person("alice");
    let told = |addr, found| tell(&room, &alice, "alice", addr, found);
    told("203.0.113.7:18000", ReachClass::Reached);
    told("203.0.113.7:18000", ReachClass::NotTried);
    told("203.0.113.7:18000", ReachClass::Refused);
    told("203.0.113.7:18000", ReachClass::Refused);
    told("203.0.113.9:18000", ReachClass::NoAnswer);
    told("203.0.113.7:18000", ReachClass::Refused);
    told("203.0.113.7:18000", ReachClass::OtherProgram);
    let meaning = "; you can still exchange files with members who can be reached\n";
    let lines: String = [
        "203.0.113.7:18000 (the connection was refused)",
        "203.0.113.9:18000 (no answer)",
        "203.0.113.7:18000 (another program answers there)",
    ]
    .map(|what| format!("Others cannot reach you at {what}{meaning}"))
    .concat();
    wait_until("the last one is said", || alice.events.holds("another program"));
    assert_eq!(alice.events.take(), lines);
}

#[test]
fn a_client_that_moves_to_another_network_tells_its_tracker() {
    let room = Room::new();
    drop(room.group_of(&[]));
    let own = |last: u8| List::first_of(vec![Interface { ip: [192, 168, 1, last].into(), prefix: 24 }]);
    let place = Arc::new(Mutex::new(own(5)));
    let told = place.clone();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let own_addresses: OwnAddresses = Box::new(move |_| told.lock().clone());
    let mut alice = Person::start(vec![room.tracker.addr], &room.place("alice"), listener, None, own_addresses);
    alice.expect("login alice pw", "Login successful\n");
    let core = room.tracker.server.core();
    let user = core.state().user_named(&user("alice")).expect("there");
    let key = ClientKey { user, client: alice.node.client };
    let known = || core.presence.contact(key).map(|contact| contact.interfaces.clone());
    assert_eq!(known(), Some(own(5)));
    *place.lock() = own(6);
    wait_until("the tracker hears of it", || known() == Some(own(6)));
}

#[test]
fn a_named_address_that_is_told_to_nobody_is_said_once() {
    let room = Room::new();
    drop(room.group_of(&[]));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let named = Some("203.0.113.7:7000".parse().expect("an address"));
    let trackers = vec![room.tracker.addr];
    let mut alice = Person::start(trackers, &room.place("alice"), listener, named, Box::new(own_addresses));
    for _ in 0..2 {
        alice.expect("login alice pw", "Login successful\n");
        alice.expect("logout", "Logout successful\n");
    }
    let said =
        "Others do not learn 203.0.113.7:7000: the tracker sees you at 127.0.0.1 and cannot verify that address\n";
    assert_eq!(alice.events.take(), said);
}

#[test]
fn nothing_is_said_where_the_tracker_reaches_the_client() {
    let room = Room::new();
    let mut alice = room.person("alice");
    alice.expect("logout", "Logout successful\n");
    alice.expect("login alice pw", "Login successful\n");
    assert_eq!(alice.events.take(), "");
}
