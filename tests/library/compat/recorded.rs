//! What released programs have written, file by file, in a folder for each release. Nothing in there ever changes.

use crate::faulty_disk::MemDisk;
use crate::journal::{Said, fold, op_under, origin};
use crate::starts::{FLOORED_COUNT, FLOORS, SETTINGS, floored, fold_with};
use groupshare::model::op::Op;
use groupshare::tracker::journal::OpenedJournal;
use groupshare::tracker::journal::disk::Disk;
use groupshare::tracker::state::State;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The release whose formats these programs write.
const RELEASE: &str = "1.0";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// The folders of all releases.
pub(crate) fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).expect("there are some");
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    folders.sort();
    folders
}

/// Where what these programs write is recorded.
pub(crate) fn of_this_release() -> PathBuf {
    let folder = root().join(RELEASE);
    fs::create_dir_all(&folder).expect("made");
    folder
}

/// The ops of the recorded journal.
fn ops() -> Vec<Op> {
    (1..=FLOORED_COUNT).map(|seq| op_under(origin(), seq, 0)).collect()
}

/// Without the zeros at its end, which are room that was made beforehand.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..len]
}

/// It is written if it is missing, and is to be committed.
#[test]
fn the_journal_that_this_program_writes_is_recorded() {
    let folder = of_this_release().join("journal");
    if folder.exists() {
        return;
    }
    let disk = floored(&ops());
    fs::create_dir(&folder).expect("made");
    for name in disk.list().expect("memory") {
        let bytes = disk.read(&name).expect("there");
        let bytes = if name.ends_with(".journal") { trimmed(&bytes) } else { &bytes };
        fs::write(folder.join(name), bytes).expect("writable");
    }
    panic!("written, and to be committed: {}", folder.display());
}

/// A disk with the recorded files whose names are so.
fn disk_of(folder: &Path, so: impl Fn(&str) -> bool) -> MemDisk {
    let disk = MemDisk::default();
    for entry in fs::read_dir(folder).expect("there") {
        let path = entry.expect("readable").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if so(name) {
            let mut bytes = fs::read(&path).expect("there");
            if name.ends_with(".journal") {
                bytes.resize(bytes.len() + 600, 0);
            }
            disk.put(name, bytes);
        }
    }
    disk
}

fn state_of(disk: &MemDisk) -> State {
    let said = Said::default();
    let OpenedJournal { past, .. } = said.open(disk, SETTINGS).expect("it starts");
    assert_eq!(said.take(), Vec::<String>::new());
    past.state().clone()
}

#[test]
fn segments_bases_and_checkpoints_of_every_release_are_read() {
    for folder in folders() {
        let folder = folder.join("journal");
        let whole = fold_with(&ops(), &FLOORS);
        let from_checkpoint = state_of(&disk_of(&folder, |_| true));
        let from_base = state_of(&disk_of(&folder, |name| !name.ends_with(".checkpoint")));
        for state in [from_checkpoint, from_base] {
            assert_eq!(state.digest(), whole.digest(), "{}", folder.display());
        }
        assert_ne!(whole.digest(), fold(&ops()).digest(), "the floors show");
    }
}

/// The requests and answers in JSON of a text in which each answer follows its request.
fn answers(text: &str) -> Vec<(&str, Value)> {
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].contains("\"command\"") && !pair[1].contains("\"command\""));
    pairs.map(|pair| (pair[0], serde_json::from_str(pair[1]).expect("an answer"))).collect()
}

/// Whether a value has all members that another one has, at every depth.
fn has_members_of(value: &Value, before: &Value) -> bool {
    match (value, before) {
        (Value::Object(value), Value::Object(before)) => {
            before.iter().all(|(name, before)| value.get(name).is_some_and(|value| has_members_of(value, before)))
        }
        (Value::Array(values), Value::Array(before)) => values
            .first()
            .zip(before.first())
            .map_or(values.is_empty() == before.is_empty(), |(value, before)| has_members_of(value, before)),
        _ => std::mem::discriminant(value) == std::mem::discriminant(before),
    }
}

#[test]
fn requests_in_json_get_the_members_that_every_release_has_given() {
    // Another test holds the page against the tracker.
    let page = fs::read_to_string(root().join("../../docs/JSON.md")).expect("docs/JSON.md");
    let now = answers(page.split("\n## The client").next().expect("the first part"));
    for folder in folders() {
        let text = fs::read_to_string(folder.join("json.txt")).expect("recorded");
        let before = answers(&text);
        assert!(before.len() > 15);
        for (request, answer) in before {
            let there = now.iter().find(|(other, _)| *other == request);
            let (_, value) = there.unwrap_or_else(|| panic!("no answer to {request}"));
            assert!(has_members_of(value, &answer), "{request}: {value}");
        }
    }
}
