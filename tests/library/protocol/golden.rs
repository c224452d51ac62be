//! Every message beside its bytes, which are handwritten. The encoder must make them, and the decoder must read them.

mod cast;
mod client_tracker;
mod manifest;
mod notice;
mod op;
mod peer;
mod tracker_tracker;

use super::annotated::{bytes, digits};
use super::schema::{self, Variant};
use client_tracker::{holdings, replies, requests};
use groupshare::wire::codec::{Wire, from_bytes, to_bytes};
use manifest::manifests;
use op::ops;
use peer::{answers, asks};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use tracker_tracker::links;

pub(super) use notice::notices;
pub(super) use op::op_bodies;

/// Encodes each value to the given bytes, and decodes these to the same value.
fn check<T: Wire + Debug + PartialEq>(fixtures: &[(T, &str)]) {
    for (value, text) in fixtures {
        let (encoded, expected) = (to_bytes(value), bytes(text));
        assert!(encoded == expected, "{value:?} is\n{}, not\n{}", digits(&encoded), digits(&expected));
        assert_eq!(from_bytes::<T>(&expected).as_ref(), Ok(value));
    }
}

/// The fixtures of a choice, numbers first, in the order of the code.
fn numbers_of(name: &str) -> Vec<u8> {
    let choice = schema::choices().into_iter().find(|choice| choice.name == name).expect("it is in the list");
    choice.variants.iter().map(|Variant { number, .. }| *number).collect()
}

fn check_all<T: Wire + Debug + PartialEq>(name: &str, fixtures: &[(T, &str)]) {
    let numbers: Vec<u8> = fixtures.iter().map(|(value, _)| to_bytes(value)[0]).collect();
    assert_eq!(numbers, numbers_of(name), "every {name} has its bytes here, in order");
    check(fixtures);
}

#[test]
fn every_request_has_the_bytes_written_here() {
    check_all("Request", &requests());
}

#[test]
fn every_reply_has_the_bytes_written_here() {
    check_all("Reply", &replies());
}

#[test]
fn every_ask_has_the_bytes_written_here() {
    check_all("PeerRequest", &asks());
}

#[test]
fn every_answer_has_the_bytes_written_here() {
    check_all("PeerReply", &answers());
}

#[test]
fn every_message_between_trackers_has_the_bytes_written_here() {
    check_all("LinkMessage", &links());
}

#[test]
fn every_holding_has_the_bytes_written_here() {
    check_all("Holding", &holdings());
}

#[test]
fn every_notice_has_the_bytes_written_here() {
    check_all("Notice", &notices());
}

#[test]
fn every_op_has_the_bytes_written_here() {
    check_all("OpBody", &op_bodies());
    check(&ops());
}

#[test]
fn manifests_have_the_bytes_written_here() {
    check(&manifests());
}

/// The bytes of everything above, with the names of their types. The damage tests start from these bytes.
pub(super) fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    fn all<T: Wire>(name: &'static str, fixtures: Vec<(T, &str)>) -> Vec<(&'static str, Vec<u8>)> {
        fixtures.iter().map(|(value, _)| (name, to_bytes(value))).collect()
    }
    [
        all("Request", requests()),
        all("Reply", replies()),
        all("PeerRequest", asks()),
        all("PeerReply", answers()),
        all("LinkMessage", links()),
        all("Holding", holdings()),
        all("Notice", notices()),
        all("OpBody", op_bodies()),
        all("Op", ops()),
        all("Manifest", manifests()),
    ]
    .concat()
}

/// The first inputs of the fuzzer: the target, the bytes in front, and the fixtures.
fn beginnings() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    // An op's id, counter and command; the share of `Hold`; the place of `Noticed`.
    let (op, hold, noticed) =
        (vec![1; 18 + 8 + 16], [vec![22], vec![1; 18]].concat(), [vec![68], vec![1; 18]].concat());
    vec![
        ("request", Vec::new(), "Request"),
        ("reply", Vec::new(), "Reply"),
        ("peer_request", Vec::new(), "PeerRequest"),
        ("peer_reply", Vec::new(), "PeerReply"),
        ("link_message", Vec::new(), "LinkMessage"),
        ("request", hold, "Holding"),
        ("reply", noticed, "Notice"),
        ("op", op, "OpBody"),
        ("op", Vec::new(), "Op"),
        ("manifest", Vec::new(), "Manifest"),
    ]
}

/// Missing inputs are written to that folder, and a developer commits them.
#[test]
fn the_fuzzer_begins_with_every_message() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut written = Vec::new();
    for (target, front, name) in beginnings() {
        let entries = fs::read_dir(corpora.join(target)).expect("a corpus");
        let there: BTreeSet<Vec<u8>> =
            entries.map(|entry| fs::read(entry.expect("readable").path()).expect("readable")).collect();
        for (_, bytes) in encoded().into_iter().filter(|(of, _)| *of == name) {
            let input = [&front[..], &bytes].concat();
            if !there.contains(&input) {
                let path = corpora.join(target).join(format!("{name}-{:08x}", crc32fast::hash(&input)));
                fs::write(&path, &input).expect("room");
                written.push(path);
            }
        }
    }
    assert!(written.is_empty(), "written, and to be committed: {written:?}");
}
