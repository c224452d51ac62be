//! The files for the rules: those of this package, or made-up ones.

use crate::tokens::{Token, tokens, without_tests};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no source of this package.
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];
/// The library's files, by the beginnings of their paths.
const LIBRARY: [&str; 9] = ["lib.rs", "model/", "rate/", "wire", "tracker/", "client/", "signals", "sync", "sys"];

/// One Rust file.
pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    /// The tokens without the items for tests.
    pub(crate) production: Vec<Token>,
    /// How many lines the items for tests take.
    pub(crate) test_lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let tokens = tokens(text);
        let (production, test_lines) = without_tests(&tokens);
        Self { path: path.to_owned(), text: text.to_owned(), tokens, production, test_lines }
    }

    /// Whether this is one of these files, or is in one of these folders. Folders end with `/`.
    pub(crate) fn is_in(&self, rooms: &[&str]) -> bool {
        rooms.iter().any(|room| self.path == *room || (room.ends_with('/') && self.path.starts_with(room)))
    }

    /// Whether this file is only for tests or benches.
    pub(crate) fn is_test(&self) -> bool {
        self.is_in(&["tests/", "benches/", "fuzz/"])
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }

    /// Whether this file is part of the library, without its tests.
    pub(crate) fn is_library(&self) -> bool {
        let begins = |room: &&str| self.path.starts_with(*room);
        !self.is_test() && LIBRARY.iter().any(begins)
    }

    /// The module of this file, by its path: `client/app/node.rs` is `client::app::node`.
    pub(crate) fn module(&self) -> Vec<&str> {
        self.path.trim_end_matches(".rs").split('/').filter(|part| *part != "lib").collect()
    }

    /// The first line of its production code with this word.
    pub(crate) fn line_of(&self, word: &str) -> Option<usize> {
        self.production.iter().find(|token| token.is(word)).map(|token| token.line)
    }
}

/// Sources and texts, sorted by path.
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
    /// Markdown and manifests: path and text.
    pub(crate) texts: Vec<(String, String)>,
}

impl Tree {
    /// The files of this package.
    pub(crate) fn of_package() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        walk(root, &|name| [".rs", ".md", ".toml"].iter().any(|end| name.ends_with(end)), &mut paths);
        let tree = Self::new(paths.iter().map(|path| read(path)));
        assert!(tree.sources.len() > 200, "the sources were found");
        tree
    }

    /// Made-up files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
    }

    fn new(files: impl Iterator<Item = (String, String)>) -> Self {
        let (mut sources, mut texts) = (Vec::new(), Vec::new());
        for (path, text) in files {
            match path.ends_with(".rs") {
                true => sources.push(Source::new(&path, &text)),
                false => texts.push((path, text)),
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        texts.sort();
        Self { sources, texts }
    }

    /// The files of the programs.
    pub(crate) fn production(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| !source.is_test())
    }

    pub(crate) fn library(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.is_library())
    }

    /// The text of this file, or an empty one.
    pub(crate) fn text(&self, file: &str) -> &str {
        self.texts.iter().find(|(path, _)| path == file).map_or("", |(_, text)| text)
    }

    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }
}

/// Path and text of what is packaged, and of the scripts.
pub(crate) fn outside_of_rust() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("Makefile")];
    walk(root, &|name| [".sh", ".yml", ".py"].iter().any(|end| name.ends_with(end)), &mut paths);
    walk(&root.join("packaging"), &|name| !name.ends_with(".deb"), &mut paths);
    assert!(paths.len() > 20, "the files were found");
    paths.sort();
    paths.dedup();
    paths.iter().map(|path| read(path)).collect()
}

/// The path below the root, and the text there.
fn read(path: &Path) -> (String, String) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("below the root");
    (path.to_string_lossy().into_owned(), text)
}

fn walk(folder: &Path, is_meant: &dyn Fn(&str) -> bool, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.expect("a folder can be read");
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().expect("it has a type");
        if kind.is_dir() && !SKIPPED.contains(&&*name) {
            walk(&path, is_meant, out);
        } else if kind.is_file() && is_meant(&name) {
            out.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_benches_and_programs_are_no_library() {
        let is_library = |path: &str| Source::new(path, "").is_library();
        for path in
            ["lib.rs", "wire.rs", "wire/conn.rs", "client/start.rs", "tracker/state.rs", "sys/files.rs", "signals.rs"]
        {
            assert!(is_library(path), "{path}");
        }
        for path in
            ["client.rs", "tracker.rs", "tests/common/mod.rs", "benches/load.rs", "client/storage/part/tests.rs"]
        {
            assert!(!is_library(path), "{path}");
        }
    }

    #[test]
    fn a_file_is_a_module_by_its_path() {
        assert_eq!(Source::new("client/app/node.rs", "").module(), ["client", "app", "node"]);
        assert_eq!(Source::new("wire.rs", "").module(), ["wire"]);
        assert!(Source::new("lib.rs", "").module().is_empty());
    }
}
