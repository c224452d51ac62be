//! Tests of folders with a number: upgrades step by step, and stopped at each of their acts.

use super::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};

fn shout(folder: &Path) -> io::Result<()> {
    let text = fs::read_to_string(folder.join("text"))?;
    fs::write(folder.join("text"), text.to_uppercase())
}

/// Adds to what is there: done twice, it would be seen.
fn sign(folder: &Path) -> io::Result<()> {
    let text = fs::read_to_string(folder.join("text"))?;
    fs::write(folder.join("text"), text + "!")?;
    fs::remove_file(folder.join("old"))
}

const fn kind(steps: &'static [UpgradeStep]) -> FolderKind {
    FolderKind { name: "test folder", oldest: 0, steps, stays: |name| name == "lock", shared: &["shared"] }
}

const ONE: FolderKind = kind(&[shout]);
const TWO: FolderKind = kind(&[shout, sign]);

/// A folder as it was before there were numbers.
fn without_number() -> tempfile::TempDir {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| temp.path().join(name);
    for folder in ["shared", "deep", "deep/er"] {
        fs::create_dir(at(folder)).expect("made");
    }
    for (name, text) in [("lock", ""), ("text", "hello"), ("old", "1"), ("shared/a", "a"), ("deep/er/b", "b")] {
        fs::write(at(name), text).expect("written");
    }
    temp
}

/// Every file in a folder with what it holds.
fn files_of(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("there") {
        let entry = entry.expect("read");
        let name = entry.file_name().into_string().expect("a name");
        if entry.file_type().expect("told").is_dir() {
            files.extend(files_of(&entry.path()).into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else {
            files.insert(name, fs::read_to_string(entry.path()).expect("there"));
        }
    }
    files
}

/// What is in a folder after an upgrade to the format of `TWO`, which `before` is kept of.
fn upgraded(before: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut files = before.clone();
    files.remove("old");
    files.insert("text".into(), "HELLO!".into());
    files.insert("format".into(), format!("test folder 2\nwritten by {}\n", env!("CARGO_PKG_VERSION")));
    let kept = before.iter().filter(|(name, _)| *name != "lock");
    files.extend(kept.map(|(name, text)| (format!("{BEFORE}/{name}"), text.clone())));
    files
}

#[test]
fn a_folder_that_is_new_has_the_number_of_this_program_and_is_opened_again() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    fs::write(temp.path().join("lock"), "").expect("written");
    assert_eq!(TWO.open(temp.path()).expect("new"), None);
    fs::write(temp.path().join("text"), "hello").expect("written");
    assert_eq!(TWO.open(temp.path()).expect("known"), None);
    TWO.check(temp.path()).expect("known");
    assert_eq!(files_of(temp.path())["text"], "hello");
    assert!(!temp.path().join(BEFORE).exists());
}

#[test]
fn an_older_folder_is_upgraded_step_by_step_and_what_was_there_is_kept() {
    let temp = without_number();
    let before = files_of(temp.path());
    let error = TWO.check(temp.path()).expect_err("nothing may be changed").to_string();
    assert!(error.contains("has format 0") && error.contains("with format 2") && !error.contains('\n'), "{error}");
    assert_eq!(files_of(temp.path()), before);
    assert_eq!(TWO.open(temp.path()).expect("upgraded"), Some(0));
    assert_eq!(files_of(temp.path()), upgraded(&before));
    assert_eq!(TWO.open(temp.path()).expect("known"), None);
}

#[test]
fn only_what_was_there_before_the_last_upgrade_is_kept() {
    let temp = without_number();
    assert_eq!(ONE.open(temp.path()).expect("upgraded"), Some(0));
    let kept = |name: &str| files_of(&temp.path().join(BEFORE)).remove(name);
    assert_eq!((kept("text"), kept("format")), (Some("hello".into()), None));
    assert_eq!(TWO.open(temp.path()).expect("upgraded"), Some(1));
    assert_eq!((kept("text"), kept("before-upgrade/text")), (Some("HELLO".into()), None));
    assert_eq!(kept("format").expect("numbered by then").lines().next(), Some("test folder 1"));
}

#[test]
fn a_newer_folder_is_refused_in_one_line_that_names_both_versions() {
    let temp = without_number();
    TWO.open(temp.path()).expect("upgraded");
    let format = temp.path().join(FORMAT);
    fs::write(&format, "test folder 2\nwritten by 7.1.0\nand more\n").expect("written");
    let files = files_of(temp.path());
    for error in [ONE.open(temp.path()).map(drop), ONE.check(temp.path())] {
        let error = error.expect_err("it is newer").to_string();
        let this = env!("CARGO_PKG_VERSION");
        let words = format!("has format 2 of version 7.1.0, and this is version {this}, which knows formats up to 1");
        assert!(error.contains(&words) && error.contains("before-upgrade") && !error.contains('\n'), "{error}");
    }
    assert_eq!(files_of(temp.path()), files);
    fs::write(temp.path().join(BEFORE).join(FORMAT), "test folder 2\nwritten by 7.0.0\n").expect("written");
    let error = ONE.open(temp.path()).expect_err("it is newer").to_string();
    assert!(!error.contains("before-upgrade"), "what was there before is too new as well: {error}");
    fs::write(&format, "").expect("written");
    assert!(matches!(TWO.open(temp.path()), Err(FormatError::Unreadable(_))));
    let late = FolderKind { oldest: 3, ..kind(&[shout]) };
    fs::write(&format, "test folder 2\n").expect("written");
    let error = late.open(temp.path()).expect_err("no step leads on").to_string();
    assert!(error.contains("has format 2") && error.contains("from 3 on") && !error.contains('\n'), "{error}");
}

/// Opens a folder until it was stopped at this act. True if it was not.
fn opens_before(folder: &Path, act: usize) -> bool {
    let mut acts = 0;
    let opened = TWO.open_as_far_as(folder, &mut |_| {
        acts += 1;
        if acts > act { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    });
    opened.is_ok()
}

#[test]
fn an_upgrade_that_is_stopped_at_any_act_once_and_again_loses_nothing() {
    let mut act = 0;
    loop {
        let temp = without_number();
        ONE.open(temp.path()).expect("upgraded");
        let before = files_of(temp.path());
        if opens_before(temp.path(), act) {
            break;
        }
        // The next start is stopped too, at each of its own acts.
        let mut again = 0;
        while !opens_before(temp.path(), again) {
            again += 1;
        }
        let mut files = before.clone();
        files.retain(|name, _| !name.starts_with(BEFORE));
        let expected = BTreeMap::from_iter(upgraded(&files).into_iter().map(|(name, text)| match &*name {
            "text" => (name, "HELLO!".to_owned()),
            _ => (name, text),
        }));
        assert_eq!(files_of(temp.path()), expected, "stopped at act {act}");
        act += 1;
    }
    assert!(act > 20, "{act}");
}

#[test]
fn a_step_that_fails_leaves_the_folder_as_it_was() {
    let temp = without_number();
    fs::remove_file(temp.path().join("old")).expect("there");
    let before = files_of(temp.path());
    let error = TWO.open(temp.path()).expect_err("a step lacks a file").to_string();
    assert!(error.starts_with(&format!("cannot upgrade {}: ", temp.path().display())), "{error}");
    assert_eq!(files_of(temp.path()), before);
    assert!(!temp.path().join(NEW).exists(), "it takes no room");
    assert_eq!(ONE.open(temp.path()).expect("another program upgrades it"), Some(0));
    assert!(!temp.path().join(NEW).exists());
}

#[test]
fn files_of_a_shared_folder_are_not_copied_and_dead_links_keep_their_places() {
    let temp = without_number();
    symlink("/nowhere", temp.path().join("link")).expect("made");
    ONE.open(temp.path()).expect("upgraded");
    let inode = |name: &str| fs::metadata(temp.path().join(name)).expect("there").ino();
    assert_eq!(inode("shared/a"), inode("before-upgrade/shared/a"));
    assert_ne!(inode("deep/er/b"), inode("before-upgrade/deep/er/b"));
    assert!(temp.path().join("link").is_symlink());
}

#[test]
fn a_folder_that_is_the_root_of_a_disk_is_new_and_is_upgraded() {
    let temp = without_number();
    for folder in ["lost+found", ".snapshots"] {
        fs::create_dir(temp.path().join(folder)).expect("made");
    }
    assert_eq!(TWO.open(temp.path()).expect("upgraded"), Some(0));
    assert!(temp.path().join("lost+found").exists() && !temp.path().join(BEFORE).join("lost+found").exists());
    let temp = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(temp.path().join("lost+found")).expect("made");
    symlink(std::env::temp_dir(), temp.path().join("text")).expect("made");
    assert_eq!(TWO.open(temp.path()).expect("new"), None);
    assert!(temp.path().join(FORMAT).exists());
}

#[test]
fn an_upgrade_refuses_a_link_to_a_folder_on_another_disk() {
    let (temp, other) = (without_number(), tempfile::tempdir().expect("a temporary folder"));
    fs::rename(temp.path().join("deep"), other.path().join("deep")).expect("one disk");
    symlink(other.path().join("deep"), temp.path().join("deep")).expect("made");
    let before = files_of(other.path());
    let error = TWO.open(temp.path()).expect_err("no step would meet it").to_string();
    assert!(error.starts_with("cannot upgrade ") && error.contains("it is a link"), "{error}");
    assert!(!error.contains('\n') && temp.path().join("text").exists(), "{error}");
    assert_eq!(files_of(other.path()), before);
}
