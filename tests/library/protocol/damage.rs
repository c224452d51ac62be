//! Bytes that are not a message: cut, continued, changed, made up. None of them decodes as a message, and none does
//! harm.

use super::golden;
use super::schema::{self, Size, example_of_variant, recode};
use groupshare::wire::codec::DecodeError;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Checks this many generated cases, the same ones in every run. A failure names the smallest case found.
pub(super) fn for_all<S: Strategy>(cases: u32, of: &S, check: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(of, |value| {
        check(value);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Whether this is `Piece`. Its data is the rest of the frame, without an end of its own.
fn has_tail(name: &str, bytes: &[u8]) -> bool {
    name == "PeerReply" && bytes.first() == Some(&3)
}

#[test]
fn a_message_cut_anywhere_is_truncated() {
    for (name, bytes) in golden::encoded().into_iter().filter(|(name, bytes)| !has_tail(name, bytes)) {
        for cut in 0..bytes.len() {
            assert_eq!(recode(name, &bytes[..cut]), Err(DecodeError::Truncated), "{name} {} at {cut}", bytes[0]);
        }
    }
}

#[test]
fn a_message_of_the_longest_kind_cut_near_every_edge_is_truncated() {
    for choice in schema::choices() {
        for variant in choice.variants.iter().filter(|variant| !has_tail(choice.name, &[variant.number])) {
            let bytes = example_of_variant(variant, Size::Longest);
            let cuts = (0..bytes.len()).filter(|cut| *cut < 100 || cut % 65_521 == 0 || bytes.len() - cut < 100);
            for cut in cuts {
                let decoded = recode(choice.name, &bytes[..cut]);
                assert_eq!(decoded, Err(DecodeError::Truncated), "{} at {cut}", variant.name);
            }
        }
    }
}

#[test]
fn bytes_behind_a_message_are_refused() {
    for (name, mut bytes) in golden::encoded().into_iter().filter(|(name, bytes)| !has_tail(name, bytes)) {
        bytes.push(0);
        assert_eq!(recode(name, &bytes), Err(DecodeError::Trailing(1)), "{name} {}", bytes[0]);
        bytes.extend([0xff; 9]);
        assert_eq!(recode(name, &bytes), Err(DecodeError::Trailing(10)), "{name} {}", bytes[0]);
    }
}

/// Bytes that decode have one form only.
fn check_refused_or_canonical(name: &str, bytes: &[u8]) {
    let Ok(encoded) = recode(name, bytes) else { return };
    if name == "Manifest" && encoded != bytes {
        // Sections of unknown kinds are skipped.
        let hashed = 12 + u32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")) as usize;
        assert_eq!(encoded[..hashed], bytes[..hashed]);
        return assert_eq!(recode(name, &encoded).as_ref(), Ok(&encoded));
    }
    assert_eq!(encoded, bytes, "{name}");
}

#[test]
fn random_bytes_are_refused_or_the_one_form_of_what_they_say() {
    // Small numbers are lengths and counts that lead further into a value.
    let small = || prop::collection::vec(prop_oneof![4 => 0..=3u8, 1 => any::<u8>()], 0..300);
    let bodies = prop_oneof![prop::collection::vec(any::<u8>(), 0..300), small()];
    for choice in schema::choices() {
        for variant in &choice.variants {
            for_all(400, &bodies, |body| {
                check_refused_or_canonical(choice.name, &[&[variant.number], &body[..]].concat());
            });
        }
    }
    for_all(2000, &small(), |body| {
        let len = (body.len() as u32 / 2).to_be_bytes();
        check_refused_or_canonical("Manifest", &[b"GSMANIF\x02", &len[..], &body].concat());
        check_refused_or_canonical("Op", &body);
    });
}

#[test]
fn changed_messages_are_refused_or_the_one_form_of_what_they_say_then() {
    let encoded = golden::encoded();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    for_all(20_000, &(any::<prop::sample::Index>(), changes), |(which, changes)| {
        let (name, mut bytes) = which.get(&encoded).clone();
        for (at, byte) in changes {
            *at.get_mut(&mut bytes) = byte;
        }
        check_refused_or_canonical(name, &bytes);
    });
}

#[test]
fn every_byte_of_every_message_changed_to_every_value_is_refused_or_the_one_form_of_what_it_says() {
    for (name, bytes) in golden::encoded() {
        for at in 0..bytes.len() {
            for byte in 0..=u8::MAX {
                let mut changed = bytes.clone();
                changed[at] = byte;
                check_refused_or_canonical(name, &changed);
            }
        }
    }
}
