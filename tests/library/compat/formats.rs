//! docs/COMPATIBILITY.md's table of formats against the source and against what is recorded.

use super::recorded::{folders, of_this_release};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with the source of the library.
const SOURCES: [&str; 5] = ["client", "model", "sys", "tracker", "wire"];
/// The constants that name a format, or have its number.
const NAMING: [&str; 4] = ["KIND", "MAGIC", "HEADER", "GREETING"];
/// What every version of a format begins with, and what is said between programs of one version only.
const NONE: [&str; 2] = ["client/storage/part/sidecar.rs KIND", "tracker/operator/frame.rs GREETING"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The files in which the source declares what a format begins with. What is declared for tests is left out.
fn declared() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut declared = Vec::new();
    for path in SOURCES.iter().flat_map(|folder| sources(&root.join(folder))) {
        let place = path.strip_prefix(root).expect("below it").display().to_string();
        if !place.ends_with(".rs") || place.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        let production = text.split("#[cfg(test)]\nmod tests").next().expect("the first part");
        for line in production.lines() {
            let Some((name, of)) = line.trim_start_matches("pub ").trim_start_matches("pub(super) ").split_once(": ")
            else {
                continue;
            };
            let name = name.strip_prefix("const ").unwrap_or_default();
            let is_format = ["[u8; 8]", "&str", "StateFileKind", "FolderKind"].iter().any(|kind| of.starts_with(kind));
            if NAMING.contains(&name) && is_format && !NONE.contains(&format!("{place} {name}").as_str()) {
                declared.push(place.clone());
            }
        }
    }
    declared.sort();
    declared
}

/// The table of the page: for each source file the number of the format, and where it is recorded.
fn documented() -> BTreeMap<String, (String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMPATIBILITY.md");
    let page = fs::read_to_string(path).expect("docs/COMPATIBILITY.md");
    let (_, section) = page.split_once("\n## Formats\n").expect("a section");
    let section = section.split("\n## ").next().expect("the first part");
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let plain = |cell: &str| cell.trim_matches('`').to_owned();
    let row = |row: &str| match &cells(row)[..] {
        [_, number, source, recorded] => (plain(source), (number.clone(), plain(recorded))),
        other => panic!("{other:?}"),
    };
    rows.map(row).collect()
}

#[test]
fn every_format_of_the_program_is_in_the_table_with_the_number_that_the_source_has() {
    let documented = documented();
    for source in declared() {
        assert!(
            documented.contains_key(&source),
            "{source} declares a format that docs/COMPATIBILITY.md does not have"
        );
    }
    for (source, (number, _)) in &documented {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{source}: {error}"));
        let is_declared = [
            format!("VERSION: u16 = {number};"),
            format!("VERSION: u32 = {number};"),
            format!("version: {number},"),
            format!("GSMANIF\\x0{number}\""),
            format!("download {number}\""),
            format!("#V{number}\\n"),
        ];
        let steps =
            text.split_once("    steps: &[").and_then(|(_, rest)| rest.split_once("],\n")).map(|(steps, _)| steps);
        let is_step = steps.is_some_and(|steps| (steps.matches(',').count() + 1).to_string() == *number);
        let is_plain = number == "-";
        assert!(
            is_plain || is_step || is_declared.iter().any(|it| text.contains(it)),
            "{source} has not number {number}"
        );
    }
}

#[test]
fn every_format_of_the_table_is_recorded() {
    let newest = of_this_release();
    assert!(folders().contains(&newest));
    for (source, (_, recorded)) in documented() {
        assert!(newest.join(&recorded).exists(), "{source}: {recorded} is not recorded");
    }
}
