//! The users and things in the messages.

use groupshare::model::digest::{InfoHash, KeyId, Sha1Digest};
use groupshare::model::id::{
    ClientId, CommandId, GroupRef, OpId, OpOrder, Origin, PeerKey, RelayTicket, ShareRef, UserRef,
};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::piece::Layout;
use groupshare::wire::certificate::Certificate;
use groupshare::wire::client_tracker::{CallWay, GroupKey, PassedCall, Password, Peer, RelayPlace};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::contact::{Contact, INTERFACES_MAX, Interface};
use groupshare::wire::handshake::Secret;
use std::net::SocketAddr;

pub(super) const COMMAND: CommandId = CommandId([0xc0; 16]);
pub(super) const CLIENT: ClientId = ClientId([0xd0; 16]);
pub(super) const TICKET: RelayTicket = RelayTicket([0x71; 16]);
pub(super) const PEER_KEY: PeerKey = PeerKey([0x9e; 32]);
pub(super) const INFO_HASH: InfoHash = InfoHash([0x1f; 32]);
pub(super) const TRACKER: Origin = Origin { tracker: 1, incarnation: 0x1a2b_3c4d_5e6f_7081 };
pub(super) const ALICE: UserRef = UserRef(OpId { origin: TRACKER, seq: 1 });
pub(super) const BOB: UserRef = UserRef(OpId { origin: TRACKER, seq: 2 });
pub(super) const LAB: GroupRef = GroupRef(OpId { origin: TRACKER, seq: 3 });
pub(super) const FILM: ShareRef = ShareRef(OpId { origin: TRACKER, seq: 0x0102 });
pub(super) const PLACE: OpOrder = OpOrder { lamport: 9, origin: TRACKER };

pub(super) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user name")
}

pub(super) fn lab() -> GroupId {
    GroupId::parse("lab").expect("a group name")
}

pub(super) fn film() -> FileName {
    FileName::parse("film.mkv").expect("a file name")
}

pub(super) fn password(text: &str) -> Password {
    Password::new(text).expect("a password")
}

pub(super) fn content() -> Content {
    let layout = Layout::new(1_000_000).expect("not too long");
    Content { layout, sha1: Sha1Digest([0x5a; 20]), info_hash: INFO_HASH, file_count: 1 }
}

pub(super) fn blob<const MAX: usize>(bytes: &[u8]) -> Blob<MAX> {
    Blob::new(bytes.to_vec()).expect("few bytes")
}

pub(super) fn list<T, const MAX: usize>(values: Vec<T>) -> List<T, MAX> {
    List::new(values).expect("few values")
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn peer() -> Peer {
    let addrs = list(vec![addr("10.0.0.2:18000"), addr("[2001:db8::2]:18000")]);
    Peer { client: CLIENT, user: user("bob"), key: PEER_KEY, addrs, held: 2 }
}

pub(super) fn certificate() -> Certificate {
    Certificate { client: CLIENT, user: user("bob"), key: PEER_KEY, end: 0x6a00_0000, signature: [0x51; 64] }
}

pub(super) fn interfaces() -> List<Interface, INTERFACES_MAX> {
    list(vec![Interface { ip: addr("10.0.0.2:1").ip(), prefix: 24 }])
}

pub(super) fn contact() -> Contact {
    Contact {
        certificate: certificate(),
        seen: addr("192.0.2.7:40000"),
        port: 18000,
        interfaces: interfaces(),
        announced: Some(addr("192.0.2.8:19000")),
        proved: list(vec![addr("192.0.2.7:18000")]),
        machine: [0xac; 16],
        round_trip_ms: 20,
    }
}

pub(super) fn group_key() -> GroupKey {
    GroupKey { group: LAB, name: lab(), id: KeyId([0x1d; 16]), key: Secret([0x5e; 32]) }
}

pub(super) fn passed_call() -> PassedCall {
    PassedCall {
        share: FILM,
        group: LAB,
        info_hash: INFO_HASH,
        way: CallWay::Relay,
        caller: certificate(),
        addrs: list(vec![addr("192.0.2.7:18000")]),
        start_ms: 0,
        relay: Some(RelayPlace { tracker: 1, ticket: TICKET }),
    }
}
