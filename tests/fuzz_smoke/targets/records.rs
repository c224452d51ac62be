//! Records on an established channel. A far side with the keys may send any records. Only what it put into them comes
//! out, in whole frames.

use super::handshake::peer_keys;
use super::script::Script;
use groupshare::wire::frame::{EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX, HEADER_LEN, LENGTH_LEN, PIECE_KIND};
use groupshare::wire::peer::PeerReply;
use groupshare::wire::record_layer::{Opener, RECORD_PLAIN_MAX};
use groupshare::wire::transport_keys::TransportKeys;

/// Makes records as a far side that knows the keys could.
struct Liar<'a> {
    keys: &'a TransportKeys,
    nonce: u64,
    /// The bytes on the socket.
    cipher: Vec<u8>,
    /// The plaintext in the records.
    plain: Vec<u8>,
}

impl Liar<'_> {
    fn record(&mut self, plain: &[u8]) {
        let mut sealed = plain.to_vec();
        let tag = self.keys.seal(self.nonce, &mut sealed);
        self.nonce += 1;
        self.cipher.extend_from_slice(&((sealed.len() + tag.len()) as u16).to_be_bytes());
        self.cipher.extend_from_slice(&sealed);
        self.cipher.extend_from_slice(&tag);
        self.plain.extend_from_slice(plain);
    }

    /// A correct frame.
    fn frame(&mut self, body_len: usize, kind: u8) {
        let mut frame = ((HEADER_LEN - LENGTH_LEN + body_len) as u32).to_be_bytes().to_vec();
        frame.push(kind);
        frame.resize(HEADER_LEN + body_len, kind);
        frame.chunks(RECORD_PLAIN_MAX).for_each(|part| self.record(part));
    }
}

/// The incoming bytes are cut into this many parts at most.
const PARTS_MAX: usize = 2000;

/// The input decides which records and other bytes come in, how many at a time, and how long frames may be.
pub(super) fn records(data: &[u8]) {
    let (near, far) = peer_keys();
    let mut script = Script::new(data);
    let (Some(long), Some(step)) = (script.byte(), script.number()) else { return };
    let frame_len_max = if long % 2 == 0 { EARLY_FRAME_LEN_MAX } else { FRAME_LEN_MAX };
    let mut liar = Liar { keys: near, nonce: 0, cipher: Vec::new(), plain: Vec::new() };
    let mut honest = true;
    while let Some(what) = script.byte() {
        match what % 8 {
            0..=2 => liar.frame(usize::from(what % 8) * 19, what),
            3 => {
                let len = usize::from(script.number().unwrap_or(0)) * 2;
                liar.frame(len, what);
                honest &= HEADER_LEN - LENGTH_LEN + len <= frame_len_max;
            }
            4 | 5 => {
                let len = usize::from(script.byte().unwrap_or(0));
                liar.record(script.bytes(len));
                honest = false;
            }
            6 => {
                // A full record that begins with any bytes.
                let mut plain = script.bytes(HEADER_LEN).to_vec();
                plain.resize(RECORD_PLAIN_MAX, what);
                liar.record(&plain);
                honest = false;
            }
            _ => {
                let len = usize::from(script.byte().unwrap_or(0));
                liar.cipher.extend_from_slice(script.bytes(len));
                honest = false;
            }
        }
        if liar.cipher.len() > 2 * FRAME_LEN_MAX {
            break;
        }
    }
    let step = usize::from(step).max(liar.cipher.len() / PARTS_MAX).max(1);
    let out = open(far, &liar.cipher, Opener::new(frame_len_max), frame_len_max, step);
    let spread = open(far, &liar.cipher, Opener::new(frame_len_max).spread(PIECE_KIND), frame_len_max, step);
    assert_eq!(out, spread, "it is the same where pieces stay in their records");
    assert!(liar.plain.starts_with(&out), "the opened frames are not those that were sealed");
    assert!(!honest || out.len() == liar.plain.len(), "valid frames were lost");
}

/// Takes the bytes in, `step` at a time, until one is wrong. Returns all frames.
fn open(keys: &TransportKeys, mut cipher: &[u8], mut opener: Opener, frame_len_max: usize, step: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        match opener.advance(keys) {
            Ok(true) => {
                let Ok(frame) = opener.frame() else { return out };
                let body = match frame.message() {
                    Ok(PeerReply::Piece { data }) => frame.payload(data.len).iter().collect::<Vec<_>>().concat(),
                    _ => frame.body.to_vec(),
                };
                let len = HEADER_LEN - LENGTH_LEN + body.len();
                assert!(len <= frame_len_max);
                out.extend_from_slice(&(len as u32).to_be_bytes());
                out.push(frame.kind);
                out.extend_from_slice(&frame.request.to_be_bytes());
                out.extend_from_slice(&body);
                opener.next_frame();
                opener.release();
                continue;
            }
            Ok(false) if cipher.is_empty() => return out,
            Ok(false) => assert!(opener.wanted_len() > 0),
            Err(_) => return out,
        }
        let room = opener.room();
        let len = room.len().min(step).min(cipher.len());
        assert!(len > 0, "there is always room");
        let (now, later) = cipher.split_at(len);
        room[..len].copy_from_slice(now);
        opener.filled(len);
        cipher = later;
    }
}
