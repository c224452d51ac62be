//! Whom and what the messages speak of.

use groupshare::model::digest::{InfoHash, KeyId, Sha1Digest};
use groupshare::model::id::{ClientId, CommandId, GroupRef, OpId, OpOrder, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::piece::Layout;
use groupshare::wire::client_tracker::{GroupKey, Password, Peer};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::handshake::Secret;

pub(super) const COMMAND: CommandId = CommandId([0xc0; 16]);
pub(super) const CLIENT: ClientId = ClientId([0xd0; 16]);
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

pub(super) fn peer() -> Peer {
    Peer { client: CLIENT, user: user("bob"), addr: "10.0.0.2:18000".parse().expect("an address"), held: 2 }
}

pub(super) fn group_key() -> GroupKey {
    GroupKey { group: LAB, name: lab(), id: KeyId([0x1d; 16]), key: Secret([0x5e; 32]) }
}
