//! The longest file and the fullest folder.

use crate::source::Tree;
use std::collections::BTreeMap;

/// Most lines of a file without its tests.
const LINES_MAX: usize = 500;
/// Most files in a folder. A file with a folder of its own name is the face of that folder, and counts there.
const FILES_MAX: usize = 14;
/// Folders with a limit of their own.
const FILES_IN: [(&str, usize); 1] = [("client", 3)];

pub(crate) fn long_files(tree: &Tree) -> Vec<String> {
    let lines = |source: &crate::source::Source| source.text.lines().count() - source.test_lines;
    let long = tree.production().filter(|source| lines(source) > LINES_MAX);
    let told = |source: &crate::source::Source| {
        let lines = lines(source);
        format!(
            "{} has {lines} lines without its tests, {LINES_MAX} is the most: split it by what changes together",
            source.path
        )
    };
    long.map(told).collect()
}

pub(crate) fn full_folders(tree: &Tree) -> Vec<String> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in tree.library().filter(|source| source.path != "lib.rs") {
        let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
        let own = source.path.trim_end_matches(".rs");
        let is_face = tree.sources.iter().any(|other| other.path.starts_with(&format!("{own}/")));
        folders.entry(if is_face { own } else { folder }).or_default().push(name);
    }
    let mut out = Vec::new();
    for (folder, files) in folders {
        let most = FILES_IN.iter().find(|(name, _)| *name == folder).map_or(FILES_MAX, |(_, most)| *most);
        if files.len() > most {
            let (count, files) = (files.len(), files.join(", "));
            out.push(format!("{folder}/ has {count} files, {most} is the most ({files}): give some of them a folder"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_told_and_its_tests_do_not_count() {
        let of = |lines: usize| "fn f() {}\n".repeat(lines);
        let told = |text: &str| long_files(&Tree::of(&[("wire/frame.rs", text)]));
        assert!(told(&of(500)).is_empty());
        let expected =
            "wire/frame.rs has 501 lines without its tests, 500 is the most: split it by what changes together";
        assert_eq!(told(&of(501)), [expected]);
        assert!(told(&format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", of(500), of(100))).is_empty());
        assert_eq!(told(&format!("#[cfg(test)]\nuse x::y;\n{}", of(501))), [expected], "what follows the tests counts");
    }

    fn folder(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("client/app/f{n}.rs")).collect()
    }

    fn told(files: &[String]) -> Vec<String> {
        full_folders(&Tree::of(&files.iter().map(|path| (&**path, "")).collect::<Vec<_>>()))
    }

    #[test]
    fn a_full_folder_is_told() {
        assert!(told(&folder(14)).is_empty());
        let told = told(&folder(15));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("client/app/ has 15 files, 14 is the most (f1.rs, "), "{told:?}");
        assert!(told[0].ends_with("): give some of them a folder"), "{told:?}");
    }

    #[test]
    fn a_face_counts_in_its_folder_and_tests_nowhere() {
        let more = ["client/app.rs", "client/app/f1/inner.rs", "client/app/f1/tests.rs"].map(str::to_owned);
        assert!(told(&[folder(14), more.to_vec()].concat()).is_empty(), "f1.rs left for its folder, app.rs came");
    }

    #[test]
    fn four_files_directly_in_client_are_too_many() {
        let files = |names: &[&str]| names.iter().map(|name| format!("client/{name}.rs")).collect::<Vec<_>>();
        assert!(told(&files(&["args", "keyring", "start"])).is_empty());
        let expected =
            "client/ has 4 files, 3 is the most (args.rs, keyring.rs, names.rs, start.rs): give some of them a folder";
        assert_eq!(told(&files(&["args", "keyring", "names", "start"])), [expected]);
    }
}
