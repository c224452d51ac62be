//! Followed groups as users see them. Shares come by themselves, and a user's own files are never lost to them.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(crate) fn place(installation: &Installation, path: &str) -> PathBuf {
    installation.folder.path().join(path)
}

pub(crate) fn write(installation: &Installation, path: &str, content: impl AsRef<[u8]>) {
    let path = place(installation, path);
    fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    fs::write(path, content).expect("room");
}

pub(crate) fn member(installation: &Installation, alice: &mut Program, name: &str, args: &[&str]) -> Program {
    let mut member = installation.person(name, 1, args);
    for line in [&format!("create_user {name} pw"), &format!("login {name} pw"), "join_group lab"] {
        member.say(line);
    }
    alice.expect(&format!("{name} asks to join lab"));
    alice.told(&format!("accept_request lab {name}"), "Request accepted");
    member.expect("You are a member of lab now");
    member
}

/// Following leaves 5 % of the disk free. Without that no file would come, and a test would wait in vain.
fn must_have_room(folder: &Path) {
    let disk = rustix::fs::statvfs(folder).expect("told");
    let folder = folder.display();
    assert!(disk.f_bavail > disk.f_blocks / 20, "less than 5 % of the disk of {folder} is free; set TMPDIR to another");
}

/// Alice, who owns the group lab.
pub(crate) fn owner(installation: &Installation) -> Program {
    must_have_room(installation.folder.path());
    let mut alice = installation.person("alice", 1, &[]);
    for line in ["create_user alice pw", "login alice pw", "create_group lab"] {
        alice.say(line);
    }
    alice.expect("Group created");
    alice
}

/// All files of a folder except hidden or unfinished ones.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut left) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
            if path.is_dir() {
                left.push(path);
            } else if !name.contains(".part") && !name.split('/').any(|part| part.starts_with('.')) {
                // A file that has gone meanwhile is left out.
                found.extend(fs::read(&path).ok().map(|content| (name, content)));
            }
        }
    }
    found
}

fn has(installation: &Installation, path: &str, content: &[u8]) {
    let path = place(installation, path);
    wait_until(&format!("{} is there", path.display()), || fs::read(&path).is_ok_and(|found| found == content));
}

#[test]
fn new_shares_come_to_a_follower_by_themselves_and_with_all_the_earlier_ones() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = owner(&installation);
    let mut bob = member(&installation, &mut alice, "bob", &[]);
    let mut carol = member(&installation, &mut alice, "carol", &[]);
    write(&installation, "alice/old.txt", "old");
    alice.told("upload_file old.txt lab", "Uploaded");
    bob.told("follow_group lab in", "Following the group");
    carol.told("follow_group lab in --all", "Following the group");
    has(&installation, "carol/in/old.txt", b"old");
    write(&installation, "alice/pool/sub/new.txt", "new");
    alice.told("share_folder pool lab", "Sharing the folder");
    has(&installation, "bob/in/sub/new.txt", b"new");
    has(&installation, "carol/in/sub/new.txt", b"new");
    assert!(!place(&installation, "bob/in/old.txt").exists());
    // A new version replaces the old one. A deleted file stays with the members that have it.
    write(&installation, "alice/pool/sub/new.txt", "another version");
    has(&installation, "bob/in/sub/new.txt", b"another version");
    write(&installation, "alice/pool/more", "more");
    has(&installation, "carol/in/more", b"more");
    fs::remove_file(place(&installation, "alice/pool/sub/new.txt")).expect("there");
    wait_until("it is shared no longer", || {
        // A member that has it still shares it.
        !alice.answers("list_files lab").iter().any(|line| line.text.starts_with("sub/new.txt  15 B, 3 members"))
    });
    assert_eq!(fs::read(place(&installation, "bob/in/sub/new.txt")).expect("there"), b"another version");
    bob.told("unfollow_group lab", "Stopped following the group");
    write(&installation, "alice/pool/last", "last");
    has(&installation, "carol/in/last", b"last");
    assert!(!place(&installation, "bob/in/last").exists());
}

/// Prints how long it takes. docs/PERFORMANCE.md has the figure.
#[test]
fn a_newly_shared_file_begins_to_come_to_a_follower_at_once() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = owner(&installation);
    let mut bob = member(&installation, &mut alice, "bob", &[]);
    bob.told("follow_group lab in", "Following the group");
    bob.until("show_folders", "follows lab: 0 files");
    let mut took: Vec<_> = (0..9)
        .map(|n| {
            write(&installation, &format!("alice/{n}"), n.to_string());
            alice.told(&format!("upload_file {n} lab"), "Uploaded");
            let shared = Instant::now();
            has(&installation, &format!("bob/in/{n}"), n.to_string().as_bytes());
            shared.elapsed()
        })
        .collect();
    took.sort();
    eprintln!("here after {:?} in the median, {:?} at most", took[4], took[8]);
}

#[test]
fn a_file_shared_while_the_follower_is_away_comes_at_its_next_login() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = owner(&installation);
    let mut bob = member(&installation, &mut alice, "bob", &[]);
    bob.told("follow_group lab in", "Following the group");
    bob.until("show_folders", "follows lab: 0 files");
    bob.kill();
    write(&installation, "alice/offline.txt", "offline");
    alice.told("upload_file offline.txt lab", "Uploaded");
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob pw", "Login successful");
    has(&installation, "bob/in/offline.txt", b"offline");
    // A file that the user has deleted does not come again.
    bob.until("show_folders", "follows lab: 1 file");
    fs::remove_file(place(&installation, "bob/in/offline.txt")).expect("there");
    bob.told("logout", "Logout successful");
    bob.told("login bob pw", "Login successful");
    write(&installation, "alice/next.txt", "next");
    alice.told("upload_file next.txt lab", "Uploaded");
    has(&installation, "bob/in/next.txt", b"next");
    assert!(!place(&installation, "bob/in/offline.txt").exists());
}

#[test]
fn nothing_of_ones_own_is_overwritten_and_nothing_leaves_the_folder() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = owner(&installation);
    let mut bob = member(&installation, &mut alice, "bob", &[]);
    write(&installation, "bob/in/mine.txt", "mine");
    write(&installation, "bob/elsewhere/keep", "keep");
    write(&installation, "bob/in/taken/mine", "a folder");
    std::os::unix::fs::symlink("../elsewhere", place(&installation, "bob/in/link")).expect("made");
    bob.told("follow_group lab in", "Following the group");
    for (path, content) in
        [("mine.txt", "theirs"), ("link/keep", "theirs"), ("link/new", "theirs"), ("taken", "a file"), ("ok", "fine")]
    {
        write(&installation, &format!("alice/pool/{path}"), content);
    }
    alice.told("share_folder pool lab", "Sharing the folder");
    has(&installation, "bob/in/ok", b"fine");
    for name in ["link/keep", "link/new", "mine.txt", "taken"] {
        wait_until(&format!("{name} is told"), || {
            bob.answers("show_folders");
            bob.heard().iter().any(|line| line.text.contains(&format!("{name} is not downloaded")))
        });
    }
    assert_eq!(fs::read(place(&installation, "bob/in/mine.txt")).expect("there"), b"mine");
    assert_eq!(
        files(&place(&installation, "bob/in/taken")).len(),
        1,
        "nothing comes into a folder that is in its place"
    );
    assert_eq!(files(&place(&installation, "bob/elsewhere")), BTreeMap::from([("keep".to_owned(), b"keep".to_vec())]));
    // A file that came and was edited here is no longer replaced.
    write(&installation, "bob/in/ok", "edited by bob");
    write(&installation, "alice/pool/ok", "a new version");
    bob.expect("ok is not downloaded: a new version is shared, and the file here was changed");
    assert_eq!(fs::read(place(&installation, "bob/in/ok")).expect("there"), b"edited by bob");
    bob.told("share_folder in lab", "cannot overlap");
}

#[test]
fn a_sharer_fills_its_part_of_the_room_and_no_more() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = owner(&installation);
    let mut bob = member(&installation, &mut alice, "bob", &[]);
    bob.told("follow_group lab in --max-size=16K", "Following the group");
    write(&installation, "alice/a", vec![1; 8000]);
    alice.told("upload_file a lab", "Uploaded");
    has(&installation, "bob/in/a", &[1; 8000]);
    // A file takes at least 4 KiB.
    write(&installation, "alice/b", "b");
    alice.told("upload_file b lab", "Uploaded");
    bob.expect("the files of alice have used their part of the 16.0 kB and wait for room");
    assert!(!place(&installation, "bob/in/b").exists());
    bob.told("follow_group lab in --max-size=32K", "Following the group");
    has(&installation, "bob/in/b", b"b");
}

#[test]
fn of_many_files_that_come_few_lines_are_told_and_of_no_new_version_to_update() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = owner(&installation);
    let mut bob = member(&installation, &mut alice, "bob", &[]);
    let mut carol = member(&installation, &mut alice, "carol", &["--json"]);
    bob.told("follow_group lab in", "Following the group");
    carol.say("follow_group lab in");
    carol.expect("Following the group");
    for n in 0..60 {
        write(&installation, &format!("alice/pool/{n}"), n.to_string());
    }
    write(&installation, "alice/pool/last", "last");
    alice.told("share_folder pool lab", "Sharing the folder");
    for name in ["bob", "carol"] {
        for n in 0..60 {
            has(&installation, &format!("{name}/in/{n}"), n.to_string().as_bytes());
        }
        has(&installation, &format!("{name}/in/last"), b"last");
    }
    let counted = |text: &str| {
        let (_, told) = text.split_once("in from lab: ")?;
        if told.ends_with("has come") { Some(1) } else { told.split(' ').next()?.parse::<usize>().ok() }
    };
    wait_until("all that has come is told", || {
        bob.answers("wait");
        bob.heard().iter().filter_map(|line| counted(&line.text)).sum::<usize>() == 61
    });
    let lines = bob.heard().iter().filter(|line| counted(&line.text).is_some()).count();
    assert!(lines <= 20, "{lines}");
    // A file that the user has requested is reported separately.
    write(&installation, "alice/alone", "alone");
    bob.told("unfollow_group lab", "Stopped following the group");
    alice.told("upload_file alone lab", "Uploaded");
    bob.told("download_file lab alone in/alone", "Download completed: [lab] alone");
    write(&installation, "alice/pool/last", "another version");
    has(&installation, "carol/in/last", b"another version");
    carol.expect("\"event\":\"folder_came\"");
    let said = [bob.heard(), carol.heard()].concat().into_iter().map(|line| line.text);
    let said: Vec<String> = said.filter(|line| !line.contains("alone")).collect();
    assert!(!said.iter().any(|line| line.contains("ownload completed") || line.contains("download_completed")));
    let to_update: Vec<_> = said.iter().filter(|line| line.contains("update_file")).collect();
    // Bob no longer follows.
    assert!(to_update.len() <= 1, "{to_update:?}");
}

#[test]
fn a_share_that_ends_while_it_comes_is_given_up_until_shared_again() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = owner(&installation);
    let mut bob = member(&installation, &mut alice, "bob", &[]);
    bob.told("follow_group lab in", "Following the group");
    alice.told("limit upload 64K", "upload  ");
    write(&installation, "alice/film", vec![7; 4 << 20]);
    alice.told("upload_file film lab", "Uploaded");
    wait_until("it is coming", || place(&installation, "bob/in/film.part").exists());
    alice.told("stop_share lab film", "Stopped sharing");
    wait_until("nothing is left of it", || {
        let left = fs::read_dir(place(&installation, "bob/in")).expect("there").count();
        left == 0 && bob.answers("show_downloads").iter().all(|line| !line.text.contains("film"))
    });
    alice.told("limit upload none", "upload  ");
    alice.told("upload_file film lab", "Uploaded");
    has(&installation, "bob/in/film", &vec![7; 4 << 20]);
}
