//! What a reader finds first: every file is declared and begins with a sentence, and lib.rs has a sentence for every
//! room.

use crate::source::{Source, Tree};
use crate::tokens::{Token, is_test_mark};
use std::collections::BTreeSet;

/// A folder whose files are whole programs.
const PROGRAMS: &str = "fuzz/fuzz_targets/";

/// Files that no other file declares. Nothing compiles or tests them.
pub(crate) fn undeclared(tree: &Tree) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&Source> = tree.sources.iter().filter(|source| is_root(tree, &source.path)).collect();
    while let Some(source) = next.pop() {
        if seen.insert(&source.path) {
            let found =
                declared(source).into_iter().filter_map(|files| files.iter().find_map(|file| tree.source(file)));
            next.extend(found);
        }
    }
    let left = tree.sources.iter().filter(|source| !seen.contains(&source.path));
    left.map(|source| {
        format!("{} is declared nowhere, so it is not compiled: declare it with `mod`, or delete it", source.path)
    })
    .collect()
}

fn is_root(tree: &Tree, path: &str) -> bool {
    let names = |(file, text): &(String, String)| {
        file.rsplit_once('/').map_or(file.as_str(), |(_, name)| name) == "Cargo.toml"
            && text.contains(&format!("path = \"{}\"", path.trim_start_matches(file.trim_end_matches("Cargo.toml"))))
    };
    tree.texts.iter().any(names) || path.starts_with(PROGRAMS)
}

/// For each `mod x;` of a file, the two places where its file may be.
fn declared(source: &Source) -> Vec<Vec<String>> {
    let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = name.trim_end_matches(".rs");
    let is_top = ["lib", "main", "mod"].contains(&stem);
    let children = if is_top { folder.to_owned() } else { joined(folder, stem) };
    let declared = |module: Module| {
        let inside = module.inside.iter().fold(children.clone(), |folder, part| joined(&folder, part));
        match module.path {
            Some(path) if module.inside.is_empty() => vec![joined(folder, &path)],
            Some(path) => vec![joined(&inside, &path)],
            None => ["", "/mod"].map(|end| joined(&inside, &format!("{}{end}.rs", module.name))).to_vec(),
        }
    };
    modules(&source.tokens).into_iter().filter(|module| !module.is_inline).map(declared).collect()
}

/// A path below a folder, with `..` resolved.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// A declaration of a module.
struct Module {
    name: String,
    line: usize,
    /// The modules around it in the same file: their names, or their folders if attributes set them.
    inside: Vec<String>,
    is_inline: bool,
    /// The file that an attribute names.
    path: Option<String>,
    is_for_tests: bool,
}

fn modules(tokens: &[Token]) -> Vec<Module> {
    let mut out = Vec::new();
    let (mut open, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    for at in 0..tokens.len() {
        match &*tokens[at].text {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                open.retain(|(_, outside)| *outside < depth);
            }
            "mod" if at + 2 < tokens.len() && (tokens[at + 2].is(";") || tokens[at + 2].is("{")) => {
                let name = tokens[at + 1].text.clone();
                let (path, is_for_tests) = attributes(&tokens[..at]);
                let inside = open.iter().map(|(name, _)| name.clone()).collect();
                let is_inline = tokens[at + 2].is("{");
                if is_inline {
                    open.push((path.clone().unwrap_or(name.clone()), depth));
                }
                out.push(Module { name, line: tokens[at].line, inside, is_inline, path, is_for_tests });
            }
            _ => {}
        }
    }
    out
}

/// The `path` among the attributes that end here, and whether one of them is for tests only.
fn attributes(before: &[Token]) -> (Option<String>, bool) {
    let start = before.iter().rposition(|token| [";", "{", "}"].contains(&&*token.text)).map_or(0, |at| at + 1);
    let before = &before[start..];
    let path = before.windows(3).find(|words| words[0].is("path") && words[1].is("="));
    let path = path.map(|words| words[2].text.trim_start_matches('"').to_owned());
    (path, (0..before.len()).any(|at| is_test_mark(&before[at..])))
}

/// Test files beside production code that are not called `tests.rs`, and other files with that name.
pub(crate) fn misnamed_tests(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for source in tree.production() {
        for module in modules(&source.tokens).into_iter().filter(|module| !module.is_inline) {
            let (path, line, name) = (&source.path, module.line, &module.name);
            if module.is_for_tests && name != "tests" {
                out.push(format!("{path}:{line} keeps {name}.rs for tests alone: call that file tests.rs"));
            }
            if !module.is_for_tests && name == "tests" {
                out.push(format!("{path}:{line} builds tests into the programs: put #[cfg(test)] before it"));
            }
        }
    }
    out
}

/// Files that do not begin with a sentence.
pub(crate) fn silent_files(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    // A fuzz target is a single line, and its name says what it is.
    for source in tree.sources.iter().filter(|source| !source.is_in(&["fuzz/fuzz_targets/"])) {
        let comment: Vec<&str> = source.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let first = comment.split(|line| line.trim().is_empty()).next().unwrap_or_default().concat();
        let first = first.trim();
        let begins = first.starts_with(|c: char| c.is_alphabetic() || c == '`');
        if !begins || !first.ends_with(['.', ':', '!', '?']) {
            out.push(format!("{}:1 begins with no sentence: say behind //! what the file is", source.path));
        }
    }
    out
}

/// Rooms that lib.rs declares without a sentence: layers, programs, and everything directly in a program.
pub(crate) fn silent_rooms(tree: &Tree) -> Vec<String> {
    let Some(map) = tree.source("lib.rs") else { return vec!["lib.rs is gone".to_owned()] };
    let lines: Vec<&str> = map.text.lines().collect();
    let mut out = Vec::new();
    let is_room = |module: &Module| match &module.inside[..] {
        [] => true,
        [program] => ["client", "tracker"].contains(&&**program),
        _ => false,
    };
    for module in modules(&map.tokens).into_iter().filter(is_room) {
        let before = module.line.checked_sub(2).and_then(|at| lines.get(at)).map_or("", |line| line.trim());
        if !before.starts_with("///") || !before.ends_with('.') {
            let room = [module.inside, vec![module.name]].concat().join("/");
            out.push(format!(
                "lib.rs:{} declares {room} and does not say what it is: put a sentence before it",
                module.line
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: (&str, &str) = (
        "Cargo.toml",
        "[lib]\npath = \"lib.rs\"\n[[test]]\npath = \"tests/all/main.rs\"\n[[bench]]\npath = \"benches/main.rs\"",
    );

    #[test]
    fn a_file_that_is_declared_nowhere_is_told() {
        let tree = Tree::of(&[
            MANIFEST,
            ("lib.rs", "pub mod wire; pub mod client { pub mod app { pub mod node; } }"),
            ("wire.rs", "mod conn;"),
            ("wire/conn.rs", "#[cfg(test)] mod tests;"),
            ("wire/conn/tests.rs", ""),
            ("wire/lost.rs", ""),
            ("client/app/node.rs", ""),
            ("tests/all/main.rs", "#[path = \"../common\"]\nmod common { mod b; } mod a;"),
            ("tests/all/a.rs", ""),
            ("tests/common/b.rs", ""),
            ("tests/common/c.rs", ""),
            ("benches/main.rs", "#[path = \"../tests/common/c.rs\"] mod c; mod soak { mod x; }"),
            ("benches/soak/x.rs", ""),
        ]);
        let expected = "wire/lost.rs is declared nowhere, so it is not compiled: declare it with `mod`, or delete it";
        assert_eq!(undeclared(&tree), [expected]);
    }

    #[test]
    fn files_of_tests_are_called_so() {
        let tree = Tree::of(&[
            ("wire/a.rs", "mod x;\n#[cfg(test)]\nmod check;\n#[cfg(test)] mod tests;"),
            ("wire/b.rs", "mod tests;"),
        ]);
        let expected = [
            "wire/a.rs:3 keeps check.rs for tests alone: call that file tests.rs",
            "wire/b.rs:1 builds tests into the programs: put #[cfg(test)] before it",
        ];
        assert_eq!(misnamed_tests(&tree), expected);
    }

    #[test]
    fn a_file_without_a_sentence_is_told() {
        let told = |text: &str| silent_files(&Tree::of(&[("model/a.rs", text)])).len();
        assert_eq!(told("//! Names.\n"), 0);
        assert_eq!(told("//! Names that\n//! people choose.\n//!\n//! More\n"), 0);
        for text in ["", "use std::fs;", "//! Names\n", "//!\n//! Names.\n", "// Names.\n"] {
            assert_eq!(told(text), 1, "{text}");
        }
        let told = silent_files(&Tree::of(&[("model/a.rs", "")]));
        assert_eq!(told, ["model/a.rs:1 begins with no sentence: say behind //! what the file is"]);
    }

    #[test]
    fn a_room_without_a_sentence_in_the_map_is_told() {
        let map = "pub mod model {\n    pub mod name;\n}\n/// The program.\npub mod client {\n    /// Rates.\n    pub mod \
                   rate {\n        pub mod limit;\n    }\n    pub mod start;\n}\n";
        let expected = [
            "lib.rs:1 declares model and does not say what it is: put a sentence before it",
            "lib.rs:10 declares client/start and does not say what it is: put a sentence before it",
        ];
        assert_eq!(silent_rooms(&Tree::of(&[("lib.rs", map)])), expected);
    }
}
