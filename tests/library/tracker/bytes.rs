//! The bytes on the wire hold no secret. Bytes that are not a message of the protocol end their connection.

use super::refused_code;
use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::manifest::manifest;
use crate::common::membership::announcement;
use crate::common::names::{PASSWORD, command, group};
use crate::common::tracker::TestTracker;
use crate::common::wiretap::Wiretap;
use groupshare::wire::client_tracker::{MANIFEST_PART_MAX, Request};
use groupshare::wire::codec::Blob;
use groupshare::wire::frame::{self, EARLY_FRAME_LEN_MAX, UNASKED};
use groupshare::wire::refusal::Code;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

#[test]
fn passwords_names_and_keys_never_cross_the_wire_in_the_clear() {
    let tracker = TestTracker::start();
    let relay = Wiretap::to(tracker.addr);
    let mut ann = Client::connect(relay.addr);
    ann.create_user("ann the first");
    let token = ann.log_in("ann the first");
    ann.create_group("secret society");
    let content = ann.offer("secret society", "plans.pdf", 3, 1).content;
    let key = ann.keys().remove(0);
    assert!(relay.seen().len() > 1000, "everything went through the relay");
    for secret in [
        PASSWORD.as_bytes(),
        b"ann the first",
        b"secret society",
        b"plans.pdf",
        &key.key.0,
        token.as_bytes(),
        &content.info_hash.0,
    ] {
        assert!(!relay.saw(secret), "{}", String::from_utf8_lossy(secret));
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
    let mut truncated = frame::of(5, &announcement(9));
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
    let preface = b"GRPSHARE\x00\x04\x01";
    let mut inputs = vec![vec![0; 5000], b"GET / HTTP/1.1\r\n\r\n".to_vec(), random(5000), random(3)];
    inputs.push([&preface[..], &[0xff, 0xff], &random(300)].concat());
    inputs.push([&preface[..], &[0, 40], &random(40), &random(5000)].concat());
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
    // Other versions and dialects get a refusal in the clear.
    for (input, code) in [
        (b"GRPSHARE\x00\x03\x01", Code::Version),
        (b"GRPSHARE\x00\x05\x01", Code::TooNew),
        (b"GRPSHARE\x00\x04\x02", Code::UnknownKind),
    ] {
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
