//! Bytes on a connection, cut in any way into records, frames and lines.

use super::{Input, timed};
use groupshare::model::digest::KeyId;
use groupshare::model::id::{Origin, Seen};
use groupshare::model::op::floor::FloorMark;
use groupshare::tracker::cluster::version_vector::VersionVector;
use groupshare::wire::client_tracker::Request;
use groupshare::wire::codec::List;
use groupshare::wire::frame::{self, FRAME_LEN_MAX, HEADER_LEN, LENGTH_LEN, UNASKED};
use groupshare::wire::handshake::{Caller, Secret, client_to_tracker, tracker_accepts};
use groupshare::wire::record_layer::{Opener, Sealer};
use groupshare::wire::tracker_tracker::LinkMessage;
use groupshare::wire::transport_keys::TransportKeys;
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::thread;

pub(super) const INPUTS: &[Input] = &[
    Input::new("bytes of a frame, one at a time", (1 << 12, 1 << 16), |len| {
        let sealed = seal([frame_of(len)].into_iter());
        Box::new(move || timed(|| open(&sealed, 1)))
    }),
    Input::new("bytes of a frame, at once", (1 << 16, 1 << 20), |len| {
        let sealed = seal([frame_of(len - HEADER_LEN)].into_iter());
        Box::new(move || timed(|| open(&sealed, usize::MAX)))
    }),
    Input::new("frames", (1 << 9, 1 << 14), |count| {
        let sealed = seal((0..count).map(|n| frame::of(n as u32, &Request::Heartbeat {}).to_vec()));
        Box::new(move || timed(|| open(&sealed, usize::MAX)))
    }),
    Input::new("frames, bytes one at a time", (1 << 8, 1 << 12), |count| {
        let sealed = seal((0..count).map(|n| frame::of(n as u32, &Request::Heartbeat {}).to_vec()));
        Box::new(move || timed(|| open(&sealed, 1)))
    }),
    Input::new("origins that a tracker tells", (1 << 10, 1 << 14), |count| {
        let origin = |n: usize| Origin { tracker: 1 + (n % 3) as u16, incarnation: n as u64 };
        let seen = List::first_of((0..count).map(|n| Seen { origin: origin(n), seq: 1 }).collect());
        let hello = LinkMessage::Hello { tracker: 2, instance: [1; 16], floor: FloorMark::default(), seen };
        let bytes = frame::of(UNASKED, &hello);
        Box::new(move || {
            timed(|| {
                let read = frame::Frame::parse(&bytes).and_then(|frame| frame.message::<LinkMessage>());
                let Ok(LinkMessage::Hello { seen, .. }) = read else { panic!("a greeting") };
                VersionVector::new(&seen)
            })
        })
    }),
];

/// The keys of both sides of a connection.
fn keys() -> &'static (TransportKeys, TransportKeys) {
    static KEYS: LazyLock<(TransportKeys, TransportKeys)> = LazyLock::new(|| {
        let (near, far) = UnixStream::pair().expect("descriptors");
        let link = (KeyId([1; 16]), Secret([2; 32]));
        let accepts = thread::spawn(move || match tracker_accepts(&mut &far, &Secret([9; 32]), &link, || ()) {
            Ok(Caller::Client(keys)) => keys,
            _ => panic!("a client calls"),
        });
        let (keys, _) = client_to_tracker(&mut &near).expect("a tracker answers");
        (keys, accepts.join().expect("it accepts"))
    });
    &KEYS
}

fn frame_of(body_len: usize) -> Vec<u8> {
    let mut bytes = ((HEADER_LEN - LENGTH_LEN + body_len) as u32).to_be_bytes().to_vec();
    bytes.resize(HEADER_LEN + body_len, 1);
    bytes
}

fn seal(frames: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut sealer = Sealer::default();
    frames.flat_map(|frame| sealer.seal(&keys().0, &frame).to_vec()).collect()
}

/// Takes in `step` bytes at a time. Returns how many frames they had.
fn open(mut sealed: &[u8], step: usize) -> usize {
    let mut opener = Opener::new(FRAME_LEN_MAX);
    let mut count = 0;
    loop {
        while opener.advance(&keys().1).expect("in order") {
            count += 1;
            opener.next_frame();
        }
        if sealed.is_empty() {
            return count;
        }
        let room = opener.room();
        let len = room.len().min(step).min(sealed.len());
        room[..len].copy_from_slice(&sealed[..len]);
        opener.filled(len);
        sealed = &sealed[len..];
    }
}
