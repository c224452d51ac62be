//! What released programs have written, file by file, in a folder for each release. Nothing in there ever changes.

use crate::faulty_disk::MemDisk;
use crate::journal::{Said, fold, op_under, origin};
use crate::starts::{FLOORED_COUNT, FLOORS, SETTINGS, floored, fold_with};
use groupshare::model::digest::Fingerprint;
use groupshare::model::op::Op;
use groupshare::model::tracker_list::TrackerList;
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

/// Whether a schema takes all that an earlier one took: it has every part of it, at every depth. Lists may be longer.
fn has_all_of(schema: &Value, before: &Value) -> bool {
    match (schema, before) {
        (Value::Object(schema), Value::Object(before)) => before.iter().all(|(keyword, before)| {
            keyword == "description" || schema.get(keyword).is_some_and(|there| has_all_of(there, before))
        }),
        (Value::Array(schema), Value::Array(before)) => {
            before.iter().all(|before| schema.iter().any(|there| has_all_of(there, before)))
        }
        _ => schema == before,
    }
}

#[test]
fn the_json_of_a_client_has_the_members_that_every_release_has_given() {
    let schema = |path: PathBuf| -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("a schema")).expect("it is JSON")
    };
    // Another test holds the schema against the client.
    let now = schema(root().join("../../docs/client.schema.json"));
    for folder in folders() {
        let before = schema(folder.join("client.schema.json"));
        assert!(before["$defs"].as_object().is_some_and(|defs| defs.len() > 50));
        assert_eq!(
            now["$defs"]["command"]["required"], before["$defs"]["command"]["required"],
            "a program says no more"
        );
        for (part, before) in before
            .as_object()
            .expect("a schema")
            .iter()
            .filter(|(part, _)| !["$defs", "description"].contains(&part.as_str()))
        {
            assert!(has_all_of(&now[part], before), "{part}");
        }
        for (name, before) in before["$defs"].as_object().expect("definitions") {
            assert!(has_all_of(&now["$defs"][name], before), "{name} was {before}");
        }
    }
}

#[test]
fn a_list_of_trackers_in_every_form_that_a_release_takes_is_read() {
    let text = fs::read_to_string(root().join("1.0/tracker_info.txt")).expect("recorded");
    let list = TrackerList::parse(&text).expect("it is known");
    let trackers: Vec<String> = list.trackers().iter().map(ToString::to_string).collect();
    let expected = [
        "192.0.2.1:5000",
        "192.0.2.2:5001",
        "192.0.2.3:5002",
        "[2001:db8::4]:5003",
        "[2001:db8::5]:5004",
        "tracker.example.org:5005",
        "[fe80::6%eth0]:5006",
        "[fe80::7%3]:5007",
    ];
    assert_eq!(trackers, expected);
    assert_eq!(list.fingerprint(), Some(Fingerprint([7; 32])));
}
