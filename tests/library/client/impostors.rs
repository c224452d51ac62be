//! Connections in the name of a member that was called.

use super::{Person, Room};
use crate::common::client::{Client, words};
use crate::common::deadline::LONG;
use crate::common::identity::secret;
use crate::common::membership::all_pieces;
use crate::common::names::group;
use crate::common::tracker::loopback;
use crate::common::wait::wait_until;
use groupshare::client::reach::interfaces::own_addresses;
use groupshare::model::digest::{InfoHash, KeyId};
use groupshare::model::id::PeerKey;
use groupshare::wire::client_tracker::{PassedCall, Reply, Request};
use groupshare::wire::codec::List;
use groupshare::wire::connection;
use groupshare::wire::frame::{FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::peer::{PeerIdentity, peer_to_peer};
use groupshare::wire::handshake::{Secret, public_key};
use groupshare::wire::peer::{PeerReply, PeerRequest};
use std::net::{SocketAddr, TcpStream};

/// Announces a stub client with the key of this number, at a port where nobody listens.
fn announce(client: &mut Client, number: u8) -> PeerIdentity {
    let secret = secret(number);
    let request = Request::Announce {
        key: PeerKey(public_key(&secret)),
        port: 9,
        interfaces: List::EMPTY,
        announced: None,
        machine: [0; 16],
        round_trip_ms: 0,
    };
    match client.ask(request) {
        Reply::Announced { certificate, .. } => PeerIdentity { secret, certificate },
        other => panic!("not announced but {}", words(&other)),
    }
}

/// The next call to a client.
fn called(client: &mut Client) -> PassedCall {
    loop {
        let said = client.unasked.pop_front().or_else(|| client.next().ok().map(|(_, said)| said));
        if let Reply::Called { call } = said.expect("the tracker is there") {
            return call;
        }
    }
}

/// Dials the caller as this client, and offers its content. Returns whether the caller opens it.
fn is_taken(giver: &PeerIdentity, call: &PassedCall, at: SocketAddr, key: (KeyId, &Secret), gives: InfoHash) -> bool {
    let stream = TcpStream::connect(at).expect("it listens");
    let keys = peer_to_peer(&mut &stream, giver, call.caller.key, key).expect("a member");
    let (mut receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, true).expect("a socket");
    sender.send(UNASKED, &PeerReply::Give { info_hash: gives }).expect("sent");
    let said = receiver.recv(LONG).ok().and_then(|frame| frame.message().ok());
    said == Some(PeerRequest::Open { info_hash: gives })
}

#[test]
fn a_giver_in_the_place_of_a_called_member_gets_no_connection() {
    let room = Room::new();
    let mut alice = room.tracker.user("alice");
    alice.create_group("lab");
    let share = alice.offer("lab", "f", 3, 1);
    let honest = announce(&mut alice, 1);
    alice.hold(share.share, all_pieces());
    let listener = loopback();
    let at = listener.local_addr().expect("bound");
    let mut bob = Person::start(vec![room.tracker.addr], &room.place("bob"), listener, None, Box::new(own_addresses));
    bob.expect("create_user bob pw", "User created\n");
    bob.expect("login bob pw", "Login successful\n");
    bob.expect("join_group lab", "Request sent\n");
    alice.accept("lab", "bob");
    let mut eve = room.tracker.user("eve");
    eve.join("lab");
    alice.accept("lab", "eve");
    // Her second login, under the client id of Alice.
    let mut thief = room.tracker.client();
    thief.id = alice.id;
    thief.log_in("eve");
    let thief = announce(&mut thief, 2);
    assert_eq!(thief.certificate.client, honest.certificate.client);
    let keyring = bob.node.keyring.clone();
    wait_until("the key", || keyring.group_named(&group("lab")).is_some());
    let (id, key) = keyring.of_group(share.group).expect("a member");
    bob.expect("download_file lab f .", "Downloading...\n");
    let call = called(&mut alice);
    let info_hash = share.content.info_hash;
    assert!(!is_taken(&thief, &call, at, (id, &key), info_hash), "it is another user");
    assert!(!is_taken(&announce(&mut eve, 3), &call, at, (id, &key), info_hash), "it is another client");
    assert!(is_taken(&honest, &call, at, (id, &key), info_hash), "it was called");
}
