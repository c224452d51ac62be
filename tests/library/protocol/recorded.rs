//! The bytes of every message as released programs say them. They stay as they are: what a later version has besides is
//! recorded in a folder of its own.

use super::golden::encoded;
use super::schema::{choices, recode};
use super::vectors::are_accepted;
use crate::compat::recorded::{folders, of_this_release};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Lines of a name and bytes in hexadecimal digits.
fn lines(path: &Path) -> Vec<(String, Vec<u8>)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (name, digits) = line.split_once(' ').expect("a name and digits");
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
        (name.to_owned(), (0..digits.len()).step_by(2).map(byte).collect())
    };
    text.lines().map(line).collect()
}

#[test]
fn every_message_that_a_release_says_is_understood() {
    for folder in folders() {
        for (name, bytes) in lines(&folder.join("wire.txt")) {
            assert_eq!(recode(&name, &bytes).as_ref(), Ok(&bytes), "{name} of {}", folder.display());
        }
    }
}

/// Bytes that are taken apart and put together again may mean something else by now. So the values that are written by
/// hand must still have the bytes.
#[test]
fn the_bytes_of_every_release_still_mean_the_same_message() {
    let now: BTreeSet<(&str, Vec<u8>)> = encoded().into_iter().collect();
    for folder in folders() {
        for (name, bytes) in lines(&folder.join("wire.txt")) {
            let means = now.contains(&(name.as_str(), bytes.clone()));
            assert!(means, "{name} {bytes:02x?} of {} has no value in tests/library/protocol/golden", folder.display());
        }
    }
}

#[test]
fn the_openings_of_every_release_are_accepted() {
    for folder in folders() {
        let openings = lines(&folder.join("handshake.txt"));
        are_accepted(|label| openings.iter().find(|(name, _)| name == label).expect("recorded").1.clone());
    }
}

/// Those that are missing are written there, and are to be committed.
#[test]
fn every_message_is_among_those_that_are_recorded() {
    let recorded: Vec<_> = folders().iter().flat_map(|folder| lines(&folder.join("wire.txt"))).collect();
    let known: BTreeSet<_> = recorded.iter().map(|(name, bytes)| (name.as_str(), bytes[0])).collect();
    let is_new = |(name, bytes): &(&str, Vec<u8>)| {
        let is_known = match choices().iter().any(|choice| choice.name == *name) {
            true => known.contains(&(name, bytes[0])),
            false => recorded.iter().any(|(other, there)| other == name && there == bytes),
        };
        !is_known
    };
    let new: Vec<_> = encoded().into_iter().filter(is_new).collect();
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text: String = new.iter().map(|(name, bytes)| format!("{name} {}\n", digits(bytes))).collect();
    if !text.is_empty() {
        let path = of_this_release().join("wire.txt");
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, before + &text).expect("writable");
    }
    assert!(text.is_empty(), "written, and to be committed: wire.txt");
    for choice in choices() {
        let lacking = choice.variants.iter().find(|variant| !known.contains(&(choice.name, variant.number)));
        assert!(lacking.is_none(), "{} {lacking:?} is not recorded", choice.name);
    }
}
