//! Every length at its cap and one over it, in every message.

use super::schema::{self, DIRECTIONS, Size, choices, claim_over_cap, example, example_of_variant, recode};
use groupshare::model::manifest::FILES_MAX;
use groupshare::model::name::NameError;
use groupshare::model::path::{COMPONENTS_MAX, PATH_LEN_MAX};
use groupshare::model::piece::PIECES_MAX;
use groupshare::wire::codec::DecodeError;
use groupshare::wire::frame::{EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX, HEADER_LEN, LENGTH_LEN};
use groupshare::wire::tracker_tracker::OPS_FRAME_LEN_MAX;

#[test]
fn every_message_is_read_with_all_its_fields_at_their_shortest_and_at_their_longest() {
    for choice in choices() {
        for variant in &choice.variants {
            for size in [Size::Shortest, Size::Longest] {
                let bytes = example_of_variant(variant, size);
                let what = format!("{} {} {size:?}", choice.name, variant.name);
                assert!(
                    recode(choice.name, &bytes).as_ref() == Ok(&bytes),
                    "{what}: {:?}",
                    recode(choice.name, &bytes)
                );
            }
        }
    }
}

#[test]
fn every_message_at_its_longest_fits_into_a_frame() {
    for choice in choices().iter().filter(|choice| DIRECTIONS.contains(&choice.name)) {
        for variant in &choice.variants {
            // The kind is part of the header, and the length does not count itself.
            let len = HEADER_LEN - LENGTH_LEN + example_of_variant(variant, Size::Longest).len() - 1;
            // The sender of ops counts their bytes, and ends the list before the frame gets too long.
            let len = if variant.name == "Ops" { OPS_FRAME_LEN_MAX } else { len };
            assert!(len <= FRAME_LEN_MAX, "{}: {len}", variant.name);
            let early = choice.name == "PeerRequest"
                || ["CreateUser", "Login", "Resume", "Heartbeat", "Refused", "LoggedIn"].contains(&&*variant.name);
            assert!(!early || len <= EARLY_FRAME_LEN_MAX, "{}: {len}", variant.name);
        }
    }
}

#[test]
fn one_over_the_cap_is_refused_in_every_field_of_every_message_before_its_bytes_are_there() {
    let mut claims = 0;
    for choice in choices() {
        for variant in &choice.variants {
            let mut before = vec![variant.number];
            for (field, of) in &variant.fields {
                if let Some((claim, len, max)) = claim_over_cap(of) {
                    let bytes = [&before[..], &claim].concat();
                    let expected = Err(DecodeError::OverCap { len, max });
                    assert_eq!(recode(choice.name, &bytes), expected, "{} {field}", variant.name);
                    claims += 1;
                }
                before.extend(example(of, Size::Shortest));
            }
        }
    }
    assert!(claims > 60, "texts, lists and blobs were found: {claims}");
}

#[test]
fn one_over_the_cap_is_refused_inside_the_entries_of_lists_too() {
    for (list, of) in [
        ("Groups", "GroupLine"),
        ("Members", "MemberLine"),
        ("Files", "FileLine"),
        ("Found", "FoundFile"),
        ("Peers", "Peer"),
        ("Keys", "GroupKey"),
    ] {
        let replies = choices().into_iter().find(|choice| choice.name == "Reply").expect("there");
        let number = replies.variants.iter().find(|variant| variant.name == list).expect("there").number;
        let (_, fields) = schema::structs().into_iter().find(|(name, _)| *name == of).expect("there");
        let mut before = vec![number, 0, 0, 0, 1];
        for (field, of) in &fields {
            if let Some((claim, len, max)) = claim_over_cap(of) {
                let bytes = [&before[..], &claim].concat();
                assert_eq!(recode("Reply", &bytes), Err(DecodeError::OverCap { len, max }), "{list} {field}");
            }
            before.extend(example(of, Size::Shortest));
        }
    }
}

#[test]
fn a_list_that_claims_its_cap_without_the_bytes_is_cut_off_at_the_first_entry() {
    // The claim allocates no more than the bytes can hold.
    for (name, number, cap) in
        [("Reply", 4, 1024_u32), ("PeerReply", 64, 4096), ("Reply", 12, 1024), ("LinkMessage", 2, 4096)]
    {
        let bytes = [&[number][..], &cap.to_be_bytes()].concat();
        assert_eq!(recode(name, &bytes), Err(DecodeError::Truncated));
    }
}

/// A manifest with a hashed part up to a count.
fn manifest(parts: &[&[u8]]) -> Vec<u8> {
    let hashed = parts.concat();
    [&b"GSMANIF\x02"[..], &(hashed.len() as u32).to_be_bytes(), &hashed, &[0]].concat()
}

#[test]
fn a_manifest_with_too_many_files_or_pieces_is_refused_from_its_counts() {
    let over = |cap: usize| ((cap + 1) as u32).to_be_bytes();
    let files = manifest(&[&over(FILES_MAX)]);
    assert_eq!(recode("Manifest", &files), Err(DecodeError::OverCap { len: FILES_MAX + 1, max: FILES_MAX }));
    let cap = PIECES_MAX as usize;
    let pieces = manifest(&[&[0, 0, 0, 1, 0, 1, b'f', 0, 0, 0, 0, 0, 0, 0, 0], &over(cap)]);
    assert_eq!(recode("Manifest", &pieces), Err(DecodeError::OverCap { len: cap + 1, max: cap }));
    let path = manifest(&[&[0, 0, 0, 1], &((PATH_LEN_MAX + 1) as u16).to_be_bytes()]);
    let expected = DecodeError::OverCap { len: PATH_LEN_MAX + 1, max: PATH_LEN_MAX };
    assert_eq!(recode("Manifest", &path), Err(expected));
    // The highest permitted count, without the bytes.
    assert_eq!(recode("Manifest", &manifest(&[&(FILES_MAX as u32).to_be_bytes()])), Err(DecodeError::Truncated));
}

#[test]
fn a_path_at_its_cap_is_read_and_a_component_over_its_own_is_not() {
    let mut path = ("c".repeat(253) + "/").repeat(12);
    path.push_str(&"c".repeat(PATH_LEN_MAX - path.len()));
    assert_eq!(recode("FileEntry", &file_entry(&path)), Ok(file_entry(&path)));
    let component = |len| file_entry(&format!("d/{}/f", "c".repeat(len)));
    assert_eq!(recode("FileEntry", &component(255)), Ok(component(255)));
    assert_eq!(recode("FileEntry", &component(256)), Err(DecodeError::Name(NameError::TooLong(255))));
    let deep = |components| file_entry(&vec!["d"; components].join("/"));
    assert_eq!(recode("FileEntry", &deep(COMPONENTS_MAX)), Ok(deep(COMPONENTS_MAX)));
    let too_deep = NameError::TooDeep(COMPONENTS_MAX);
    assert_eq!(recode("FileEntry", &deep(COMPONENTS_MAX + 1)), Err(DecodeError::Name(too_deep)));
}

fn file_entry(path: &str) -> Vec<u8> {
    [&(path.len() as u16).to_be_bytes()[..], path.as_bytes(), &[0; 8]].concat()
}

#[test]
fn names_are_capped_without_their_suffix_and_refused_unless_canonical() {
    let name = |text: &str| {
        let bytes = [&[13, 1][..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
        recode("Request", &bytes).map(drop)
    };
    let longest = "n".repeat(64);
    assert_eq!(name(&longest), Ok(()));
    assert_eq!(name(&format!("{longest}~2")), Ok(()));
    assert_eq!(name(&format!("{longest}n")), Err(DecodeError::Name(NameError::TooLong(64))));
    for (text, error) in [
        ("", NameError::Empty),
        ("..", NameError::Dots),
        ("a/b", NameError::Character('/')),
        ("a\u{85}", NameError::Character('\u{85}')),
        ("a\u{200f}b", NameError::Character('\u{200f}')),
        ("a\u{2066}b", NameError::Character('\u{2066}')),
        ("a\u{feff}", NameError::Character('\u{feff}')),
        ("\u{a0}a", NameError::OuterSpace),
        ("u\u{308}", NameError::NotNormalized),
        ("a~1", NameError::Tilde),
        ("a~4294967296", NameError::Tilde),
        ("a~+2", NameError::Tilde),
    ] {
        assert_eq!(name(text), Err(DecodeError::Name(error)), "{text:?}");
    }
    assert_eq!(recode("Request", &[13, 1, 0, 2, 0xc3, 0x28]), Err(DecodeError::Utf8));
}

#[test]
fn an_empty_password_is_none() {
    let bytes = [&[5][..], &[0; 16], &[0, 0]].concat();
    assert_eq!(recode("Request", &bytes), Err(DecodeError::Value("a password")));
}

#[test]
fn numbers_that_no_message_has_are_unknown() {
    for choice in choices() {
        for number in 0..=u8::MAX {
            if choice.variants.iter().all(|variant| variant.number != number) {
                let decoded = recode(choice.name, &[number, 0, 0, 0, 0]);
                assert_eq!(decoded, Err(DecodeError::UnknownKind(number)), "{}", choice.name);
            }
        }
    }
}
