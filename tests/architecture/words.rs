//! Words that production code avoids, or uses only in a few places.

use crate::source::{Source, Tree};
use crate::tokens::{Token, is_test_mark};

/// The files in which `unsafe` may stand.
pub(crate) const UNSAFE: &[&str] = &["client/hash/sha1_lanes.rs", "sys.rs", "sys/heap.rs"];
/// Lints that a file may switch off, and the reason.
pub(crate) const ALLOWED: &[(&str, &str, &str)] = &[
    ("client/hash/sha1_lanes.rs", "unsafe_code", "the CPU's instructions for SHA-1 are called as unsafe functions"),
    ("sys.rs", "unsafe_code", "calls of libc that no crate wraps"),
    ("sys/heap.rs", "unsafe_code", "calls of libc that no crate wraps"),
];
const ASYNCHRONOUS: [&str; 7] = ["async", "await", "tokio", "async_std", "smol", "futures", "mio"];

/// Production code uses blocking threads, and nothing asynchronous.
pub(crate) fn asynchronous(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for source in &tree.sources {
        for (line, word) in ASYNCHRONOUS.iter().filter_map(|word| Some((source.line_of(word)?, word))) {
            out.push(format!(
                "{}:{line} says {word}, but nothing is asynchronous here: use a thread that blocks",
                source.path
            ));
        }
    }
    let manifest = tree.texts.iter().find(|(path, _)| path == "Cargo.toml").map_or("", |(_, text)| text);
    for (line, text) in manifest.lines().enumerate() {
        let name = text.split(['=', '.', ' ']).next().unwrap_or_default();
        if ASYNCHRONOUS.contains(&&*name.replace('-', "_")) {
            out.push(format!(
                "Cargo.toml:{} depends on {name}, but nothing is asynchronous here: take it out",
                line + 1
            ));
        }
    }
    out
}

/// `unsafe` in other places, and allowed files without `unsafe`.
pub(crate) fn stray_unsafe(tree: &Tree, places: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for source in tree.sources.iter().filter(|source| !source.is_in(&["fuzz/"])) {
        match source.line_of("unsafe") {
            Some(line) if !places.contains(&&*source.path) => {
                let places = places.join(" or ");
                out.push(format!(
                    "{}:{line} says unsafe, which stands in {places} only: call a safe function there",
                    source.path
                ));
            }
            None if places.contains(&&*source.path) => {
                out.push(format!("{} may say unsafe and does not: take it off the list", source.path));
            }
            _ => {}
        }
    }
    out
}

/// Lints that production code switches off without an entry in the list, and entries without such code.
pub(crate) fn stray_allows(tree: &Tree, list: &[(&str, &str, &str)]) -> Vec<String> {
    let mut out = Vec::new();
    let found: Vec<(&Source, usize, String)> = tree.production().flat_map(allows).collect();
    for (source, line, lint) in &found {
        if !list.iter().any(|(file, name, _)| *file == source.path && name == lint) {
            out.push(format!(
                "{}:{line} switches off {lint}: do what the lint asks for, or list it with the reason",
                source.path
            ));
        }
    }
    for (file, lint, _) in list {
        if !found.iter().any(|(source, _, name)| source.path == *file && name == lint) {
            out.push(format!("{file} may switch off {lint} and does not: take it off the list"));
        }
    }
    out
}

/// The lints in `allow` and `expect` attributes.
fn allows(source: &Source) -> Vec<(&Source, usize, String)> {
    let tokens = &source.production;
    let mut out = Vec::new();
    for at in 2..tokens.len() {
        let is_attribute = tokens[at - 1].is("[") && (tokens[at - 2].is("#") || tokens[at - 2].is("!"));
        if is_attribute && (tokens[at].is("allow") || tokens[at].is("expect")) {
            let inside = tokens[at + 2..].iter().take_while(|token| !token.is(")"));
            let lint = inside.map(|token| &*token.text).collect::<String>();
            out.extend(lint.split(',').map(|lint| (source, tokens[at].line, lint.to_owned())));
        }
    }
    out
}

/// Errors that are plain strings.
pub(crate) fn untyped_errors(tree: &Tree) -> Vec<String> {
    let told = |(source, line): (&Source, usize)| {
        format!(
            "{}:{line} has a Result with String for an error: make it a type, so that programs can tell it from others",
            source.path
        )
    };
    let places = |source| text_errors(source).into_iter().map(move |line| (source, line));
    tree.production().flat_map(places).map(told).collect()
}

/// The lines where `Result<_, String>` begins.
fn text_errors(source: &Source) -> Vec<usize> {
    let tokens = &source.production;
    let begins =
        (0..tokens.len()).filter(|at| tokens[*at].is("Result") && tokens.get(at + 1).is_some_and(|t| t.is("<")));
    begins.filter(|at| second_argument(&tokens[at + 2..]) == ["String"]).map(|at| tokens[at].line).collect()
}

/// The second of the generic arguments that begin here, up to the closing `>`.
fn second_argument(tokens: &[Token]) -> Vec<&str> {
    let (mut depth, mut arguments) = (0, vec![Vec::new()]);
    for (at, token) in tokens.iter().enumerate() {
        match &*token.text {
            "<" | "(" | "[" => depth += 1,
            ">" if at > 0 && tokens[at - 1].is("-") => {}
            ">" if depth == 0 => break,
            ">" | ")" | "]" => depth -= 1,
            "," if depth == 0 => {
                arguments.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(argument) = arguments.last_mut() {
            argument.push(&*token.text);
        }
    }
    arguments.into_iter().nth(1).unwrap_or_default()
}

/// Code in production files that is only for tests, apart from the module `tests`.
pub(crate) fn pieces_for_tests(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for source in tree.production() {
        for at in (0..source.tokens.len()).filter(|at| is_test_mark(&source.tokens[*at..])) {
            let words = source.tokens[at..].iter().map(|token| &*token.text).skip_while(|word| *word != "]");
            let words: Vec<&str> = words.skip(1).take_while(|word| !["{", ";"].contains(word)).collect();
            if !words.ends_with(&["mod", "tests"]) {
                let line = source.tokens[at].line;
                out.push(format!(
                    "{}:{line} keeps something for tests alone: move it into the module tests",
                    source.path
                ));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn async_code_and_crates_for_it_are_told() {
        let tree = Tree::of(&[
            ("client/a.rs", "\nasync fn f() {}"),
            ("Cargo.toml", "[dependencies]\nasync-std = \"1\"\nmiow = \"1\""),
        ]);
        let expected = [
            "client/a.rs:2 says async, but nothing is asynchronous here: use a thread that blocks",
            "Cargo.toml:2 depends on async-std, but nothing is asynchronous here: take it out",
        ];
        assert_eq!(asynchronous(&tree), expected);
    }

    #[test]
    fn unsafe_code_elsewhere_and_a_place_without_it_are_told() {
        let tree = Tree::of(&[("sys.rs", ""), ("wire/a.rs", "unsafe {}"), ("fuzz/lib.rs", "unsafe {}")]);
        let expected = [
            "sys.rs may say unsafe and does not: take it off the list",
            "wire/a.rs:1 says unsafe, which stands in sys.rs only: call a safe function there",
        ];
        assert_eq!(stray_unsafe(&tree, &["sys.rs"]), expected);
    }

    #[test]
    fn lints_that_are_switched_off_are_told_unless_listed() {
        let tree = Tree::of(&[
            ("wire/a.rs", "#![allow(dead_code)]\n#[expect(clippy::x, y)] fn f() {}"),
            ("tests/b.rs", "#[allow(z)] fn f() {}"),
        ]);
        let expected = [
            "wire/a.rs:1 switches off dead_code: do what the lint asks for, or list it with the reason",
            "wire/a.rs:2 switches off y: do what the lint asks for, or list it with the reason",
            "wire/a.rs may switch off gone and does not: take it off the list",
        ];
        assert_eq!(stray_allows(&tree, &[("wire/a.rs", "clippy::x", "why"), ("wire/a.rs", "gone", "why")]), expected);
    }

    #[test]
    fn a_result_with_words_for_an_error_is_told() {
        let told = |text: &str| untyped_errors(&Tree::of(&[("client/a.rs", text)]));
        let expected = "client/a.rs:2 has a Result with String for an error: make it a type, so that programs can tell it from others";
        assert_eq!(told("\nfn f() -> Result<Vec<(u8, String)>, String> {}"), [expected]);
        assert_eq!(told("\ntype F = Box<dyn Fn(u8) -> Result<(), String>>;"), [expected]);
        for fine in [
            "Result<String, Error>",
            "Result<Vec<(u8, String)>, Error>",
            "io::Result<String>",
            "Result<(), Error<String>>",
        ] {
            assert!(told(&format!("fn f() -> {fine} {{}}")).is_empty(), "{fine}");
        }
        assert!(told("#[cfg(test)] mod tests { fn f() -> Result<(), String> {} }").is_empty());
    }

    #[test]
    fn the_check_tells_an_item_for_tests_alone_outside_of_their_module() {
        let told = |text: &str| pieces_for_tests(&Tree::of(&[("client/a.rs", text)]));
        let expected = "client/a.rs:2 keeps something for tests alone: move it into the module tests";
        assert_eq!(told("\n#[cfg(test)]\nfn helper() {}"), [expected]);
        assert!(told("#[cfg(test)]\nmod tests { }").is_empty());
        assert!(told("#[cfg(test)]\npub(in crate::client) mod tests;").is_empty());
        assert!(told("#[cfg(all(test, not(explore)))]\nmod tests;").is_empty());
    }
}
