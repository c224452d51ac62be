//! The worked example of docs/PROTOCOL.md. The test repeats its conversation with the same keys, and every byte must
//! equal the document. It also plays the example to the real handshake.

use super::annotated::{bytes, digits};
use super::document::blocks;
use groupshare::model::digest::{KeyId, Sha1Digest};
use groupshare::model::id::{ClientId, CommandId, Origin, PeerKey, Seen};
use groupshare::model::manifest::{FileEntry, Manifest};
use groupshare::model::name::UserId;
use groupshare::model::op::floor::FloorMark;
use groupshare::model::path::RelPath;
use groupshare::wire::certificate::{Certificate, SignerKey};
use groupshare::wire::client_tracker::{Password, Reply, Request};
use groupshare::wire::codec::{Blob, List, Payload, to_bytes};
use groupshare::wire::frame::{self, FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::features::Features;
use groupshare::wire::handshake::peer::peer_accepts;
use groupshare::wire::handshake::refusal_in_clear;
use groupshare::wire::handshake::{self, Caller, HandshakeError, Secret};
use groupshare::wire::manifest;
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::record_layer::{Opener, Sealer};
use groupshare::wire::refusal::{Code, Refusal};
use groupshare::wire::tracker_tracker::LinkMessage;
use groupshare::wire::transport_keys::TransportKeys;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sha1::{Digest, Sha1};
use snow::{Builder, HandshakeState};
use std::io::{self, Cursor, Read, Write};

const TRACKER_KEY: [u8; 32] = [9; 32];
const SEEDER_KEY: [u8; 32] = [0x0b; 32];
const LEECHER_KEY: [u8; 32] = [0x0c; 32];
const GROUP_KEY: [u8; 32] = [7; 32];
const KEY_ID: KeyId = KeyId([0xa5; 16]);
const LINK_KEY: [u8; 32] = [6; 32];
const LINK_ID: KeyId = KeyId([0x6b; 16]);
const FILE: &[u8] = b"hello\n";

/// Both handshake messages with their wire format, and the keys of both sides.
struct Meeting {
    opening: Vec<u8>,
    answer: Vec<u8>,
    near: TransportKeys,
    far: TransportKeys,
}

/// A handshake of two clients.
fn meet_peers() -> Meeting {
    let their = handshake::public_key(&Secret(SEEDER_KEY));
    let pattern = "Noise_IKpsk2_25519_AESGCM_SHA256";
    let preface = b"GRPSHARE\x00\x04\x02";
    let builder = || Builder::new(pattern.parse().expect("snow knows it")).prologue(preface).expect("once");
    let keyed = || builder().psk(2, &GROUP_KEY).expect("once");
    let near = keyed().local_private_key(&LEECHER_KEY).expect("once").remote_public_key(&their).expect("once");
    let far = keyed().local_private_key(&SEEDER_KEY).expect("once");
    let near = near.fixed_ephemeral_key_for_testing_only(&[3; 32]).build_initiator();
    let far = far.fixed_ephemeral_key_for_testing_only(&[4; 32]).build_responder();
    converse(preface, near.expect("builds"), far.expect("builds"), &brought())
}

/// The payload of the first message between clients: what the caller knows, the id of the group's key, and the caller's
/// certificate.
fn brought() -> Vec<u8> {
    [&to_bytes(&Features::KNOWN)[..], &KEY_ID.0, &to_bytes(&certificate())].concat()
}

fn certificate() -> Certificate {
    let key = PeerKey(handshake::public_key(&Secret(LEECHER_KEY)));
    Certificate::new((ClientId([0xd0; 16]), user("bob"), key), 0x6a00_0000, |bytes| {
        signing_key().sign(bytes).as_ref().try_into().expect("64 bytes")
    })
}

fn signing_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[0x0e; 32]).expect("32 bytes")
}

/// A handshake with these ephemeral keys, made only with snow and the document.
fn meet(pattern: &str, preface: &[u8], psk: &[u8; 32], [near, far]: [[u8; 32]; 2]) -> Meeting {
    let builder = || Builder::new(pattern.parse().expect("snow knows it")).prologue(preface).expect("once");
    let keyed = || if pattern.contains("psk0") { builder().psk(0, psk).expect("once") } else { builder() };
    let near = keyed().fixed_ephemeral_key_for_testing_only(&near).build_initiator();
    let far = keyed().local_private_key(&TRACKER_KEY).expect("once").fixed_ephemeral_key_for_testing_only(&far);
    converse(preface, near.expect("builds"), far.build_responder().expect("builds"), &to_bytes(&Features::KNOWN))
}

/// Plays a handshake whose first message has a payload.
fn converse(preface: &[u8], mut near: HandshakeState, mut far: HandshakeState, brings: &[u8]) -> Meeting {
    let say = |from: &mut HandshakeState, to: &mut HandshakeState, brings: &[u8]| {
        let mut message = [0; 512];
        let len = from.write_message(brings, &mut message).expect("writes");
        to.read_message(&message[..len], &mut [0; 512]).expect("reads");
        [&(len as u16).to_be_bytes()[..], &message[..len]].concat()
    };
    let opening = [preface, &say(&mut near, &mut far, brings)].concat();
    let answer = say(&mut far, &mut near, &to_bytes(&Features::KNOWN));
    let transport = |state: HandshakeState| TransportKeys::of(state, Features::KNOWN).expect("finished");
    Meeting { opening, answer, near: transport(near), far: transport(far) }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user name")
}

fn hello() -> Manifest {
    let file = FileEntry { path: RelPath::parse("hello.txt").expect("a path"), len: FILE.len() as u64 };
    Manifest::new(vec![file], vec![Sha1Digest(Sha1::digest(FILE).into())]).expect("a manifest")
}

fn piece(request: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frame::begin(&mut out, request, &PeerReply::Piece { data: Payload { len: FILE.len() as u32 } });
    out.extend_from_slice(FILE);
    frame::end(&mut out);
    out
}

fn meet_trackers() -> Meeting {
    let preface = [b"GRPSHARE\x00\x04\x0a", &LINK_ID.0[..]].concat();
    meet("Noise_NNpsk0_25519_AESGCM_SHA256", &preface, &LINK_KEY, [[0x0a; 32], [0x0b; 32]])
}

fn hello_of_tracker_1() -> LinkMessage {
    let seen = |tracker, incarnation, seq| Seen { origin: Origin { tracker, incarnation }, seq };
    let seen = List::new(vec![seen(1, 0xa1, 1), seen(2, 0xa2, 7)]).expect("few");
    LinkMessage::Hello { tracker: 1, instance: [0x17; 16], floor: FloorMark::default(), seen }
}

/// Everything that the document shows, by its label.
fn conversation() -> Vec<(&'static str, Vec<u8>)> {
    let mut said = Vec::new();
    let tracker_public = handshake::public_key(&Secret(TRACKER_KEY));
    said.push(("tracker-public-key", tracker_public.to_vec()));
    said.push(("tracker-fingerprint", handshake::fingerprint(&tracker_public).0.to_vec()));

    let pattern = "Noise_NX_25519_AESGCM_SHA256";
    let tracker = meet(pattern, b"GRPSHARE\x00\x04\x01", &GROUP_KEY, [[1; 32], [2; 32]]);
    let create_user = Request::CreateUser {
        command: CommandId([0xc0; 16]),
        user: user("alice"),
        password: Password::new("secret").expect("not empty"),
    };
    let create_user = frame::of(1, &create_user);
    let refused = frame::of(1, &Reply::refused(&Refusal::about(Code::UserExists, "alice")));
    said.push(("create-user-record", Sealer::default().seal(&tracker.near, &create_user).to_vec()));
    said.push(("refused-record", Sealer::default().seal(&tracker.far, &refused).to_vec()));
    said.extend([("client-opening", tracker.opening), ("tracker-answer", tracker.answer)]);
    said.extend([("create-user-frame", create_user.to_vec()), ("refused-frame", refused.to_vec())]);

    let peer = meet_peers();
    said.push(("seeder-public-key", handshake::public_key(&Secret(SEEDER_KEY)).to_vec()));
    said.push(("signer-public-key", signing_key().public_key().as_ref().to_vec()));
    said.push(("certificate", to_bytes(&certificate())));
    let (encoded, info_hash) = manifest::encode(&hello()).expect("short");
    let open = frame::of(1, &PeerRequest::Open { info_hash });
    let get_piece = frame::of(2, &PeerRequest::GetPiece { piece: 0 });
    let opened = frame::of(1, &PeerReply::Opened { bits: Blob::new(vec![0x80]).expect("short") });
    let (mut near, mut far) = (Sealer::default(), Sealer::default());
    said.push(("open-record", near.seal(&peer.near, &open).to_vec()));
    said.push(("opened-record", far.seal(&peer.far, &opened).to_vec()));
    said.push(("get-piece-record", near.seal(&peer.near, &get_piece).to_vec()));
    said.push(("piece-record", far.seal(&peer.far, &piece(2)).to_vec()));
    said.extend([("leecher-opening", peer.opening), ("seeder-answer", peer.answer)]);
    let frames = [("open-frame", open), ("opened-frame", opened), ("get-piece-frame", get_piece)];
    said.extend(frames.map(|(name, frame)| (name, frame.to_vec())));
    said.extend([("piece-frame", piece(2)), ("manifest", encoded), ("info-hash", info_hash.0.to_vec())]);
    said.push(("unknown-key", refusal_in_clear(Code::UnknownKey).to_vec()));

    let link = meet_trackers();
    let hello = frame::of(UNASKED, &hello_of_tracker_1());
    said.push(("hello-record", Sealer::default().seal(&link.near, &hello).to_vec()));
    said.extend([("link-opening", link.opening), ("link-answer", link.answer), ("hello-frame", hello.to_vec())]);
    said.push(("other-cluster", refusal_in_clear(Code::OtherCluster).to_vec()));
    said
}

#[test]
fn the_worked_example_is_what_this_code_says_byte_for_byte() {
    let mut said = conversation();
    let mut shown: Vec<(String, Vec<u8>)> =
        blocks("hex ").into_iter().map(|(label, text)| (label, bytes(&text))).collect();
    said.sort();
    shown.sort();
    for (label, bytes) in &said {
        let there = shown.iter().find(|(other, _)| other == label).map(|(_, bytes)| digits(bytes));
        assert_eq!(there.as_ref(), Some(&digits(bytes)), "{label}");
    }
    assert_eq!(said.len(), shown.len(), "nothing else is shown");
}

/// A far side that has sent everything in advance.
struct Script(Cursor<Vec<u8>>, Vec<u8>);

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Script {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.1.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown(label: &str) -> Vec<u8> {
    let found = blocks("hex ").into_iter().find(|(other, _)| other == label);
    bytes(&found.unwrap_or_else(|| panic!("the document shows no {label}")).1)
}

#[test]
fn the_openings_of_the_example_are_accepted_by_trackers_and_seeder() {
    are_accepted(shown);
}

/// With the keys of the example a tracker and a seeder accept the openings of these labels.
pub(super) fn are_accepted(shown: impl Fn(&str) -> Vec<u8>) {
    let mut client = Script(Cursor::new(shown("client-opening")), Vec::new());
    let accepted = handshake::tracker_accepts(&mut client, &Secret(TRACKER_KEY), &(LINK_ID, Secret(LINK_KEY)), || ());
    assert!(matches!(accepted, Ok(Caller::Client(_))), "{accepted:?}");
    assert_eq!(client.1.len(), 2 + 32 + 48 + 8 + 16);
    let mut tracker = Script(Cursor::new(shown("link-opening")), Vec::new());
    let accepted = handshake::tracker_accepts(&mut tracker, &Secret(TRACKER_KEY), &(LINK_ID, Secret(LINK_KEY)), || ());
    assert!(matches!(accepted, Ok(Caller::Tracker(_))), "{accepted:?}");
    assert_eq!(tracker.1.len(), 2 + 32 + 8 + 16);
    let mut tracker = Script(Cursor::new(shown("link-opening")), Vec::new());
    let turned = handshake::tracker_accepts(&mut tracker, &Secret(TRACKER_KEY), &(KEY_ID, Secret(GROUP_KEY)), || ());
    assert!(matches!(turned, Err(HandshakeError::Turned(Code::OtherCluster))));
    assert_eq!(tracker.1, refusal_in_clear(Code::OtherCluster));
    let mut leecher = Script(Cursor::new(shown("leecher-opening")), Vec::new());
    let admit = |_, certificate: &Certificate| {
        let signer = signing_key().public_key().as_ref().try_into().expect("32 bytes");
        certificate.verify(&SignerKey(signer), 0x69ff_0000).expect("the tracker signed it");
        Ok(Secret(GROUP_KEY))
    };
    let caller = peer_accepts(&mut leecher, &Secret(SEEDER_KEY), admit).expect("accepted");
    assert_eq!((caller.key, caller.certificate), (KEY_ID, certificate()));
    assert_eq!(leecher.1.len(), 2 + 32 + 8 + 16);
    let mut leecher = Script(Cursor::new(shown("leecher-opening")), Vec::new());
    let turned = peer_accepts(&mut leecher, &Secret(SEEDER_KEY), |_, _| Err(Code::UnknownKey)).map(drop);
    assert!(matches!(turned, Err(HandshakeError::Turned(Code::UnknownKey))));
    assert_eq!(leecher.1, refusal_in_clear(Code::UnknownKey));
}

#[test]
fn the_records_of_the_example_open_to_its_frames() {
    let peer = meet_peers();
    let mut opener = Opener::new(FRAME_LEN_MAX);
    for label in ["opened", "piece"] {
        let record = shown(&format!("{label}-record"));
        opener.room()[..record.len()].copy_from_slice(&record);
        opener.filled(record.len());
        assert_eq!(opener.advance(&peer.near), Ok(true));
        let frame = opener.frame().expect("a frame");
        let bytes = shown(&format!("{label}-frame"));
        assert_eq!((frame.kind, frame.body), (bytes[4], &bytes[9..]));
        opener.next_frame();
    }
}
