//! The house rules that a compiler does not check: who may import whom, which rooms stay pure, how long a file may be.
//! Sources are read as tokens, without comments, texts and test modules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders that hold no source of this crate.
const SKIPPED: [&str; 4] = ["target", ".git", "fuzz", "node_modules"];
/// Longest file without its tests, in lines.
const LINES_MAX: usize = 500;
/// Rooms that touch no socket, file, clock, thread or source of randomness: files, and folders with all that is in them.
const PURE: [&str; 11] = [
    "model/",
    "tracker/state.rs",
    "tracker/state/",
    "tracker/ledger/accept.rs",
    "tracker/ledger.rs",
    "tracker/ledger/",
    "tracker/cluster/version_vector.rs",
    "client/command/completion.rs",
    "client/picker/",
    "client/rate/token_bucket.rs",
    "client/rate/fair_queue.rs",
];
/// Pure files that must be there, so that the rule cannot come to hold for nothing.
const PURE_AT_LEAST: [&str; 21] = [
    "client/command/completion.rs",
    "client/rate/token_bucket.rs",
    "client/rate/fair_queue.rs",
    "client/picker/piece_picker.rs",
    "model/bitfield.rs",
    "model/digest.rs",
    "model/id.rs",
    "model/manifest.rs",
    "model/name.rs",
    "model/notice.rs",
    "model/op.rs",
    "model/path.rs",
    "model/piece.rs",
    "model/address.rs",
    "model/tracker_list.rs",
    "tracker/ledger/accept.rs",
    "tracker/ledger.rs",
    "tracker/ledger/window.rs",
    "tracker/cluster/version_vector.rs",
    "tracker/state/effect.rs",
    "tracker/state.rs",
];
/// What a pure room does not name.
const IMPURE_PATHS: [&str; 5] = ["std::net", "std::fs", "std::time", "std::thread", "std::env"];
const IMPURE_NAMES: [&str; 12] = [
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "File",
    "rand",
    "getrandom",
    "SystemRandom",
    "crossbeam_channel",
    "rustix",
    "parking_lot",
];
/// Which room may name which others; a program may name its own room and what is below.
const MAY_NOT_NAME: [(&str, &[&str]); 6] = [
    ("model/", &["wire", "tracker", "client", "sys", "sync"]),
    ("wire/", &["tracker", "client"]),
    ("tracker/", &["client"]),
    ("client/", &["tracker"]),
    ("tracker.rs", &["client"]),
    ("client.rs", &["tracker"]),
];
/// The files that may say `unsafe`.
const UNSAFE: [&str; 2] = ["client/hash/sha1_pair.rs", "sys.rs"];

/// One source file.
struct Source {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
    /// Words and signs without comments, texts and test modules.
    tokens: Vec<String>,
}

impl Source {
    fn is_in(&self, rooms: &[&str]) -> bool {
        rooms.iter().any(|room| self.path == *room || (room.ends_with('/') && self.path.starts_with(room)))
    }

    /// Sources that only tests are made of: those of whole programs, and the tests of a file in a folder of its own.
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    fn has(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| token == word)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(root, &mut paths);
    paths.sort();
    let source = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        Source { path, tokens: without_tests(tokens(&text)), text }
    };
    let sources: Vec<Source> = paths.into_iter().map(source).collect();
    assert!(sources.len() > 30, "the sources were found");
    sources
}

fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.expect("a folder can be read");
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().expect("it has a type");
        if kind.is_dir() && !SKIPPED.contains(&&*name) {
            walk(&path, out);
        } else if kind.is_file() && name.ends_with(".rs") {
            out.push(path);
        }
    }
}

/// Words and signs of Rust source; `::` is one sign. Comments are left out, a text or character is the sign `"`.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        at += match rest {
            ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment_len(rest),
            [c, ..] if c.is_whitespace() => 1,
            ['"', ..] => text_len(rest, &mut out),
            ['b' | 'c', '"', ..] => 1 + text_len(&rest[1..], &mut out),
            ['r', '"' | '#', ..] | ['b' | 'c', 'r', '"' | '#', ..] if raw_text_len(rest).is_some() => {
                out.push("\"".to_owned());
                raw_text_len(rest).expect("it is one")
            }
            ['\'', ..] => char_or_lifetime_len(rest, &mut out),
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let len = rest.iter().position(|c| !c.is_alphanumeric() && *c != '_').unwrap_or(rest.len());
                out.push(rest[..len].iter().collect());
                len
            }
            [':', ':', ..] => {
                out.push("::".to_owned());
                2
            }
            [c, ..] => {
                out.push(c.to_string());
                1
            }
            [] => 1,
        };
    }
    out
}

fn block_comment_len(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn text_len(rest: &[char], out: &mut Vec<String>) -> usize {
    out.push("\"".to_owned());
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_text_len(rest: &[char]) -> Option<usize> {
    let mark = rest.iter().position(|&c| c == 'r')? + 1;
    let hashes = rest[mark..].iter().take_while(|&&c| c == '#').count();
    let start = mark + hashes + 1;
    if rest.get(start - 1) != Some(&'"') {
        return None;
    }
    let ends =
        |at: usize| rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    Some((start..rest.len()).find(|&at| ends(at)).map_or(rest.len(), |at| at + 1 + hashes))
}

fn char_or_lifetime_len(rest: &[char], out: &mut Vec<String>) -> usize {
    out.push("\"".to_owned());
    match rest {
        ['\'', '\\', ..] => 3 + rest[3..].iter().position(|&c| c == '\'').unwrap_or(0),
        ['\'', _, '\'', ..] => 3,
        // A lifetime: its name is a word of its own.
        _ => 1,
    }
}

/// Leaves out what stands behind `#[cfg(test)]`: a module, a function, an import.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_mark =
            ["#", "[", "cfg", "(", "test", ")", "]"].iter().zip(&tokens[at..]).filter(|(a, b)| a == b).count() == 7;
        if is_mark {
            at += item_len(&tokens[at + 7..]) + 7;
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

/// Up to the `;` or the closing brace of the first item.
fn item_len(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Every path that the tokens name, with groups of imports spelled out: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tokens: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(&tokens[at]) && (at == 0 || tokens[at - 1] != "::") {
            at += path_from(&tokens[at..], "", &mut out);
        } else {
            at += 1;
        }
    }
    out
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Takes the path at the front; how many tokens it has.
fn path_from(tokens: &[String], before: &str, out: &mut Vec<String>) -> usize {
    let mut path = before.to_owned();
    let mut at = 0;
    while at < tokens.len() && is_word(&tokens[at]) {
        path += &tokens[at];
        at += 1;
        if tokens.get(at).map(String::as_str) != Some("::") {
            break;
        }
        path += "::";
        at += 1;
        if tokens.get(at).map(String::as_str) == Some("{") {
            at += 1;
            while at < tokens.len() && tokens[at] != "}" {
                at += if is_word(&tokens[at]) { path_from(&tokens[at..], &path, out) } else { 1 };
            }
            return at + 1;
        }
    }
    out.push(path);
    at
}

/// The room of this crate that a path leads into, seen from a file.
fn room_of<'a>(path: &'a str, file: &str) -> Option<&'a str> {
    let in_crate = path.strip_prefix("crate::").or_else(|| path.strip_prefix("groupshare::"));
    // A file in a room is a module of the second level, one in a folder of the room of the third.
    let levels = file.trim_end_matches(".rs").split('/').count();
    let supers = path.split("::").take_while(|part| *part == "super").count();
    let through_super = (supers > 0 && supers >= levels).then(|| path.trim_start_matches("super::"));
    in_crate.or(through_super)?.split("::").next()
}

#[test]
fn pure_rooms_name_no_socket_file_clock_thread_or_randomness() {
    let sources = sources();
    for file in PURE_AT_LEAST {
        assert!(sources.iter().any(|source| source.path == file), "{file} is gone; is it still pure elsewhere?");
    }
    for source in sources.iter().filter(|source| source.is_in(&PURE)) {
        for path in paths(&source.tokens) {
            let impure = IMPURE_PATHS.iter().any(|impure| path == *impure || path.starts_with(&format!("{impure}::")));
            assert!(!impure, "{} is pure and names {path}", source.path);
        }
        for name in IMPURE_NAMES {
            assert!(!source.has(name), "{} is pure and names {name}", source.path);
        }
    }
}

#[test]
fn imports_follow_the_arrow() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (room, forbidden) in MAY_NOT_NAME {
            if !source.is_in(&[room]) && source.path != format!("{}.rs", room.trim_end_matches('/')) {
                continue;
            }
            for path in paths(&source.tokens) {
                let leads_to = room_of(&path, &source.path);
                let wrong = leads_to.is_some_and(|room| forbidden.contains(&room));
                assert!(!wrong, "{} names {path}, against the arrow", source.path);
            }
        }
    }
}

#[test]
fn nothing_is_asynchronous() {
    for source in sources() {
        for word in ["async", "await", "tokio", "async_std", "smol", "futures", "mio"] {
            assert!(!source.has(word), "{} says {word}", source.path);
        }
    }
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("readable");
    for word in ["tokio", "async-std", "smol", "futures", "mio"] {
        let declares = |line: &str| line.split(['=', '.', ' ']).next() == Some(word);
        assert!(!manifest.lines().any(declares), "Cargo.toml depends on {word}");
    }
}

#[test]
fn every_file_begins_with_a_sentence_that_says_what_it_is() {
    for source in sources() {
        let comment: Vec<&str> = source.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let first = comment.split(|line| line.trim().is_empty()).next().unwrap_or_default().concat();
        let first = first.trim();
        assert!(first.starts_with(|c: char| c.is_alphabetic() || c == '`'), "{} begins with no sentence", source.path);
        assert!(first.ends_with(['.', ':', '!', '?']), "{} begins with no whole sentence: {first}", source.path);
    }
}

#[test]
fn unsafe_code_lives_in_two_rooms() {
    for source in sources().iter().filter(|source| !UNSAFE.contains(&&*source.path)) {
        assert!(!source.has("unsafe"), "{} says unsafe", source.path);
    }
}

#[test]
fn no_file_is_longer_than_one_noun_needs() {
    let lines = |source: &Source| source.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    let sources = sources();
    let long = sources.iter().filter(|source| !source.is_test()).map(|source| (&source.path, lines(source)));
    let long: Vec<_> = long.filter(|(_, lines)| *lines > LINES_MAX).collect();
    assert!(long.is_empty(), "more than {LINES_MAX} lines without their tests: {long:?}");
}

#[test]
fn every_file_of_a_room_is_in_the_map() {
    // A file that lib.rs does not declare is neither compiled nor tested.
    let sources = sources();
    let mut files: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in &sources {
        if let Some((room, _)) = source.path.split_once('/') {
            files.entry(room).or_default().push(source);
        }
    }
    for room in ["model", "wire", "tracker", "client"] {
        for source in files.get(room).into_iter().flatten() {
            let name = source.path.trim_end_matches(".rs").rsplit('/').next().expect("a name");
            let declares = |tokens: &[String]| tokens.windows(2).any(|pair| pair[0] == "mod" && pair[1] == name);
            let others = sources.iter().filter(|other| other.path != source.path);
            let declared = match source.is_test() {
                true => others.filter(|other| other.path.starts_with(room)).any(|other| declares(&tokens(&other.text))),
                false => others.into_iter().any(|other| declares(&other.tokens)),
            };
            assert!(declared, "{} is declared nowhere", source.path);
        }
    }
}

mod tools {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        without_tests(tokens(text))
    }

    #[test]
    fn comments_texts_characters_and_tests_are_no_code() {
        let text = r###"
            // async
            /* unsafe /* tokio */ await */
            fn f<'a>(c: &'a str) -> char { let _ = ("async \" fn", r#"unsafe " "#, b"x", '\'', '"', '\u{41}'); 'b' }
            #[cfg(test)]
            mod tests { fn g() { unsafe {} } }
            #[cfg(test)]
            use std::fs;
            fn last() {}
        "###;
        let words = words(text);
        for word in ["async", "unsafe", "tokio", "await", "tests", "fs", "g"] {
            assert!(!words.iter().any(|other| other == word), "{word}: {words:?}");
        }
        assert!(words.windows(2).any(|pair| pair == ["fn", "last"]), "{words:?}");
    }

    #[test]
    fn paths_are_found_in_groups_and_in_code() {
        let found = paths(&words("use crate::{model::name, client::{a, b::c}}; fn f() { std::fs::read(super::x) }"));
        for path in ["crate::model::name", "crate::client::a", "crate::client::b::c", "std::fs::read", "super::x"] {
            assert!(found.iter().any(|other| other == path), "{path}: {found:?}");
        }
    }

    #[test]
    fn rooms_are_found_from_the_crate_and_through_super() {
        assert_eq!(room_of("crate::client::link", "tracker/server.rs"), Some("client"));
        assert_eq!(room_of("groupshare::client", "tracker.rs"), Some("client"));
        assert_eq!(room_of("super::super::client::link", "tracker/server.rs"), Some("client"));
        assert_eq!(room_of("super::client", "tracker/server.rs"), None);
        assert_eq!(room_of("super::super::client", "tracker/state/fold.rs"), None);
        assert_eq!(room_of("std::net", "tracker/server.rs"), None);
    }
}
