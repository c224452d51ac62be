//! Decoders of everything that travels: frames, the messages of every direction, manifests, ops. A value has one form
//! in bytes. Everything else is refused, with a reason of one line.

use super::is_one_line;
use groupshare::model::op::Op;
use groupshare::tracker::journal::record;
use groupshare::tracker::journal::record::{NUMBER_MAX, OP_LEN_MAX, RecordPosition};
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::codec::{DecodeError, Wire, from_bytes, to_bytes};
use groupshare::wire::frame::{self, Frame, HEADER_LEN, LENGTH_LEN, Message};
use groupshare::wire::manifest;
use groupshare::wire::peer::{PeerReply, PeerRequest};
use groupshare::wire::tracker_tracker::LinkMessage;
use groupshare::{model::digest::InfoHash, model::manifest::Manifest};
use std::fmt::Debug;
use std::path::{Component, Path};

/// Bytes as a whole frame of any direction.
pub(super) fn frame(data: &[u8]) {
    match Frame::parse(data) {
        Ok(Frame { kind, request, body, .. }) => {
            let header = [&((data.len() - LENGTH_LEN) as u32).to_be_bytes()[..], &[kind], &request.to_be_bytes()];
            assert_eq!([header.concat(), body.to_vec()].concat(), data);
            check::<Request>(kind, body, false);
            check::<Reply>(kind, body, false);
            check::<PeerRequest>(kind, body, false);
            check_answer(kind, body);
            check::<LinkMessage>(kind, body, false);
        }
        Err(error) => assert!(matches!(error, DecodeError::Truncated | DecodeError::Trailing(_)), "{error:?}"),
    }
}

/// The number of a kind and a body: from a client to a tracker.
pub(super) fn request(data: &[u8]) {
    kind_and_body(data, |kind, body| check::<Request>(kind, body, false));
}

/// From a tracker to a client.
pub(super) fn reply(data: &[u8]) {
    kind_and_body(data, |kind, body| check::<Reply>(kind, body, false));
}

/// From a leecher to a seeder.
pub(super) fn peer_request(data: &[u8]) {
    kind_and_body(data, |kind, body| check::<PeerRequest>(kind, body, false));
}

/// From a seeder to a leecher.
pub(super) fn peer_reply(data: &[u8]) {
    kind_and_body(data, check_answer);
}

/// From a tracker to another one.
pub(super) fn link_message(data: &[u8]) {
    kind_and_body(data, |kind, body| check::<LinkMessage>(kind, body, false));
}

fn kind_and_body(data: &[u8], check: impl Fn(u8, &[u8])) {
    if let Some((&kind, body)) = data.split_first() {
        check(kind, body);
    }
}

/// The data of a piece is the rest of its frame and has no end of its own.
fn check_answer(kind: u8, body: &[u8]) {
    const PIECE: u8 = 3;
    check::<PeerReply>(kind, body, kind == PIECE);
}

/// Decodes a message. If it is valid, it encodes to the same bytes, and is invalid with a byte less or more.
fn check<M: Message + PartialEq + Debug>(kind: u8, body: &[u8], has_tail: bool) {
    const REQUEST: u32 = 7;
    let read = |body| Frame::new(kind, REQUEST, body).message::<M>();
    let message = match read(body) {
        Ok(message) => message,
        Err(error) => return assert!(is_one_line(&error), "{error}"),
    };
    let mut written = frame::of(REQUEST, &message);
    if has_tail {
        written.extend_from_slice(body);
        frame::end(&mut written);
    }
    assert_eq!(written[LENGTH_LEN], kind);
    assert_eq!(&written[HEADER_LEN..], body, "{message:?}");
    let again = Frame::parse(&written).and_then(|frame| frame.message::<M>());
    assert_eq!(again.as_ref(), Ok(&message));
    if has_tail {
        return;
    }
    if let [shorter @ .., _] = body {
        assert_eq!(read(shorter), Err(DecodeError::Truncated), "{message:?}");
    }
    assert_eq!(read(&[body, &[0]].concat()), Err(DecodeError::Trailing(1)), "{message:?}");
}

/// Decodes a value. If it is valid, it encodes to the same bytes.
fn canonical<T: Wire + Debug>(data: &[u8]) -> Option<T> {
    match from_bytes::<T>(data) {
        Ok(value) => {
            assert_eq!(to_bytes(&value), data, "{value:?}");
            Some(value)
        }
        Err(error) => {
            assert!(is_one_line(&error), "{error}");
            None
        }
    }
}

/// Bytes as a manifest. Sections of unknown kinds are skipped, and everything else has one form. No file of the
/// manifest lies outside the folder of the download.
pub(super) fn manifest(data: &[u8]) {
    let read = match from_bytes::<Manifest>(data) {
        Ok(read) => read,
        Err(error) => return assert!(is_one_line(&error), "{error}"),
    };
    let (bytes, info_hash) = manifest::encode(&read).expect("it was not longer than this");
    assert_eq!(manifest::decode(data, info_hash).as_ref(), Ok(&read), "sections change the info hash");
    assert!(bytes.len() < data.len() || bytes == data);
    let attributes = read.attributes().len();
    assert!(attributes == 0 || attributes == read.files().len());
    assert_eq!(manifest::decode(&bytes, info_hash).as_ref(), Ok(&read));
    let InfoHash(mut other) = info_hash;
    other[0] ^= 1;
    assert_eq!(manifest::decode(&bytes, InfoHash(other)), Err(DecodeError::Value("the info hash")));
    assert_eq!(read.pieces().len(), read.layout().count() as usize);
    assert_eq!(read.files().iter().map(|file| file.len).sum::<u64>(), read.layout().size());
    let folder = Path::new("/home/member/downloads/film.part");
    let mut places: Vec<_> = read.files().iter().map(|file| file.path.placed_in(folder)).collect();
    for place in &places {
        let below = place.strip_prefix(folder).expect("it begins there");
        assert!(below.components().all(|part| matches!(part, Component::Normal(_))), "{place:?}");
        assert!(is_one_line(&place.display()), "{place:?}");
    }
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| !pair[1].starts_with(&pair[0])), "every file has a place of its own");
}

/// Bytes as an op, and the journal record of that op.
pub(super) fn op(data: &[u8]) {
    let Some(op) = canonical::<Op>(data) else { return };
    let (seq, batch) = (op.lamport.min(NUMBER_MAX), op.id.seq.min(NUMBER_MAX));
    let (mut bytes, place) = (Vec::new(), RecordPosition { seq, batch, left: 3 });
    assert_eq!(record::put(place, &op, &mut bytes), data.len() <= OP_LEN_MAX);
    let Some(record) = record::take(&bytes) else { return assert!(bytes.is_empty()) };
    assert_eq!((record.place, record.op, record.byte_len()), (place, data, bytes.len()));
    assert!(record::take(&bytes[..bytes.len() - 1]).is_none());
    let at = data.len() % bytes.len();
    bytes[at] ^= 0x10;
    assert!(record::take(&bytes).is_none(), "a record with a wrong bit passes its checksum");
}
