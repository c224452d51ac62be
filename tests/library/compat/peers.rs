//! Peers of other versions, made with nothing but snow and what docs/PROTOCOL.md says.

use crate::common::deadline::LONG;
use crate::common::identity::{peer_key, secret};
use crate::common::subject::{all, bytes, bytes_of, subject_of, user};
use crate::common::tracker::TestTracker;
use crate::member::{Member, key};
use groupshare::client::download::transfer::{Subject, TransferProgress};
use groupshare::model::id::ClientId;
use groupshare::model::piece::PIECE_LEN;
use groupshare::wire::client_tracker::{Peer, Reply, Request};
use groupshare::wire::codec::{Blob, List, Payload};
use groupshare::wire::connection::{self, FrameReceiver, FrameSender};
use groupshare::wire::frame::{self, FRAME_LEN_MAX};
use groupshare::wire::handshake::features::Features;
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::transport_keys::TransportKeys;
use snow::Builder;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

const PIECE: usize = PIECE_LEN as usize;

/// A message of a handshake, behind its length.
fn message(stream: &mut impl Read) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).expect("a length");
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).expect("a message");
    message
}

fn say(stream: &mut impl Write, message: &[u8]) {
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat()).expect("sent");
}

/// Accepts a leecher as a client does that knows these features and no others.
fn accept_knowing(features: Features, mut stream: TcpStream) -> (FrameReceiver, Arc<FrameSender>) {
    let preface = b"GRPSHARE\x00\x04\x02";
    let mut theirs = [0; 11];
    stream.read_exact(&mut theirs).expect("a preface");
    assert_eq!(&theirs, preface);
    let (own, group) = (secret(1), key(7).key);
    let noise = Builder::new("Noise_IKpsk2_25519_AESGCM_SHA256".parse().expect("snow knows it")).prologue(preface);
    let noise = noise.expect("once").local_private_key(&own.0).expect("once").psk(2, &group.0);
    let mut noise = noise.expect("once").build_responder().expect("builds");
    let mut brought = [0; 512];
    let len = noise.read_message(&message(&mut stream), &mut brought).expect("it is for this client");
    assert_eq!(brought[..8], Features::KNOWN.0.to_be_bytes(), "what the caller knows comes first");
    assert_eq!(brought[8..24], key(7).id.0, "then comes what any version brings along, {len} bytes");
    let mut answer = [0; 512];
    let len = noise.write_message(&features.0.to_be_bytes(), &mut answer).expect("writes");
    say(&mut stream, &answer[..len]);
    let keys = TransportKeys::of(noise, features).expect("finished");
    connection::split(stream, keys, FRAME_LEN_MAX, true).expect("a socket")
}

/// Serves everything of a content, and nothing that not every program knows.
fn serve(data: &[u8], (mut receiver, sender): (FrameReceiver, Arc<FrameSender>)) {
    while let Ok(frame) = receiver.recv(LONG) {
        let request = frame.request;
        let reply = match frame.message::<PeerRequest>().expect("it is understood") {
            PeerRequest::Open { .. } => {
                PeerReply::Opened { bits: Blob::new(all(&subject_of(data)).as_bytes().to_vec()).expect("short") }
            }
            PeerRequest::GetPiece { piece } => {
                let bytes = data.chunks(PIECE).nth(piece as usize).expect("it is there");
                let mut out = Vec::new();
                frame::begin(&mut out, request, &PeerReply::Piece { data: Payload { len: bytes.len() as u32 } });
                out.extend_from_slice(bytes);
                frame::end(&mut out);
                let _ = sender.send_frame(&out);
                continue;
            }
            PeerRequest::KeepAlive {} | PeerRequest::BadPiece { .. } => PeerReply::Alive {},
            other => panic!("a client that does not know it is asked: {other:?}"),
        };
        let _ = sender.send(request, &reply);
    }
}

/// Somebody who has `old` gets `new` from a client that knows these features, besides those of its version.
fn update_from(features: Features, old: &[u8], new: &[u8]) -> TransferProgress {
    let (before, after): (Subject, Subject) = (subject_of(old), subject_of(new));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addrs = List::new(vec![listener.local_addr().expect("bound")]).expect("one");
    let data = new.to_vec();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, data) = (stream.expect("somebody"), data.clone());
            thread::spawn(move || serve(&data, accept_knowing(features, stream)));
        }
    });
    let leecher = Member::new(2);
    let download = leecher.update(&after, old, &before);
    let held = after.content.layout.count();
    let peer = Peer { client: ClientId([1; 16]), user: user(1), key: peer_key(1), addrs, held };
    leecher.engine.peers(1, vec![peer]);
    leecher.expect_finished(new);
    download.progress(Instant::now())
}

#[test]
fn a_seeder_that_knows_no_blocks_is_asked_for_whole_pieces_only() {
    let old = bytes(4 * PIECE + 77);
    let new = [&bytes_of(3001, 7)[..], &old].concat();
    for features in [Features(0), Features(u64::MAX - Features::KNOWN.0)] {
        let TransferProgress { received, reused, .. } = update_from(features, &old, &new);
        assert_eq!((received, reused), (new.len() as u64, 0), "{features:?}");
    }
}

/// Connects to a tracker as a client does that knows these features.
fn connect_knowing(features: u64, tracker: &TestTracker) -> (FrameReceiver, Arc<FrameSender>) {
    let preface = b"GRPSHARE\x00\x04\x01";
    let mut stream = TcpStream::connect(tracker.addr).expect("it listens");
    let noise = Builder::new("Noise_NX_25519_AESGCM_SHA256".parse().expect("snow knows it")).prologue(preface);
    let mut noise = noise.expect("once").build_initiator().expect("builds");
    let (mut first, mut brought) = ([0; 512], [0; 512]);
    let len = noise.write_message(&features.to_be_bytes(), &mut first).expect("writes");
    stream.write_all(preface).expect("sent");
    say(&mut stream, &first[..len]);
    let len = noise.read_message(&message(&mut stream), &mut brought).expect("the tracker's answer");
    assert_eq!(brought[..len], Features::KNOWN.0.to_be_bytes());
    connection::split(stream, TransportKeys::of(noise, Features(features)).expect("finished"), FRAME_LEN_MAX, false)
        .expect("a socket")
}

#[test]
fn a_tracker_serves_clients_that_know_less_and_clients_that_know_more() {
    let tracker = TestTracker::start();
    for features in [0, u64::MAX, 1 << 63] {
        let (mut receiver, sender) = connect_knowing(features, &tracker);
        sender.send(1, &Request::Heartbeat {}).expect("sent");
        assert_eq!(receiver.recv(LONG).expect("an answer").message(), Ok(Reply::Done {}), "{features:x}");
    }
}
