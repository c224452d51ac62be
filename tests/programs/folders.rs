//! Shared folders as users see them: what comes, changes and goes in a folder does so in the group.

use crate::common::installation::Installation;
use crate::common::program::Program;
use std::fs;
use std::path::PathBuf;

fn place(installation: &Installation, path: &str) -> PathBuf {
    installation.folder.path().join(path)
}

fn write(installation: &Installation, path: &str, content: impl AsRef<[u8]>) {
    let path = place(installation, path);
    fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    fs::write(path, content).expect("room");
}

/// Alice, who owns the group lab and shares the folder `pool` there, and bob, who is a member.
fn pool(installation: &Installation, files: &[&str]) -> (Program, Program) {
    let mut alice = installation.person("alice", 1, &[]);
    for line in ["create_user alice pw", "login alice pw", "create_group lab"] {
        alice.say(line);
    }
    alice.expect("Group created");
    let mut bob = installation.person("bob", 1, &[]);
    for line in ["create_user bob pw", "login bob pw", "join_group lab"] {
        bob.say(line);
    }
    alice.expect("bob asks to join lab");
    alice.told("accept_request lab bob", "Request accepted");
    bob.expect("You are a member of lab now");
    fs::create_dir(place(installation, "alice/pool")).expect("made");
    files.iter().for_each(|file| write(installation, &format!("alice/pool/{file}"), file));
    alice.told("share_folder pool lab", "Sharing the folder");
    // A script waits so for what is there.
    alice.say("wait");
    (alice, bob)
}

/// Bob fetches a file; gives its content.
fn fetched(installation: &Installation, bob: &mut Program, file: &str, to: &str) -> Vec<u8> {
    bob.told(&format!("download_file lab {file} {to}"), "Downloading...");
    bob.expect(&format!("Download completed: [lab] {file}"));
    fs::read(place(installation, &format!("bob/{to}"))).expect("there")
}

#[test]
fn what_comes_changes_and_goes_in_a_shared_folder_does_so_in_the_group() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a.txt", "sub/b.txt", ".hidden", "film.part", "sub/same.txt"]);
    alice.expect("alice/pool in lab: 3 files shared");
    bob.told("list_files lab", "a.txt  5 B, 1 member online with it");
    bob.expect("sub/b.txt  9 B, 1 member online with it");
    assert_eq!(fetched(&installation, &mut bob, "sub/b.txt", "b.txt"), b"sub/b.txt");
    write(&installation, "alice/pool/new/deep/c.txt", "new");
    bob.until("list_files lab", "new/deep/c.txt  3 B, 1 member online with it");
    write(&installation, "alice/pool/a.txt", "another version");
    bob.until("list_files lab", "a.txt  15 B, 1 member online with it");
    assert_eq!(fetched(&installation, &mut bob, "a.txt", "a.txt"), b"another version");
    // The same content at two places is two shares, and one of them ends.
    write(&installation, "alice/pool/new/same.txt", "sub/same.txt");
    bob.until("list_files lab", "new/same.txt  12 B, 1 member online with it");
    fs::remove_file(place(&installation, "alice/pool/sub/same.txt")).expect("there");
    gone(&mut bob, "sub/same.txt");
    assert_eq!(fetched(&installation, &mut bob, "new/same.txt", "same.txt"), b"sub/same.txt");
    fs::rename(place(&installation, "alice/pool/new"), place(&installation, "alice/pool/old")).expect("moved");
    bob.until("list_files lab", "old/deep/c.txt  3 B, 1 member online with it");
    gone(&mut bob, "new/deep/c.txt");
    let refused =
        alice.answers("stop_share lab old/deep/c.txt").iter().any(|line| line.text.contains("unshare_folder"));
    assert!(refused);
    alice.told("unshare_folder pool", "Stopped sharing the folder");
    alice.told("show_folders", "No folder is shared yet");
    gone(&mut bob, "old/deep/c.txt");
}

/// Waits until a file is not shared any more.
fn gone(bob: &mut Program, file: &str) {
    crate::common::wait::wait_until("it is shared no longer", || {
        !bob.answers("list_files lab").iter().any(|line| line.text.starts_with(&format!("{file}  ")))
    });
}

#[test]
fn what_happens_while_a_client_was_killed_or_logged_out_is_made_up_for() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a", "b", "c", "d", "e", "f"]);
    alice.expect("alice/pool in lab: 6 files shared");
    alice.kill();
    write(&installation, "alice/pool/a", "changed");
    write(&installation, "alice/pool/new", "new");
    fs::remove_file(place(&installation, "alice/pool/b")).expect("there");
    fs::rename(place(&installation, "alice/pool/c"), place(&installation, "alice/pool/moved")).expect("moved");
    let mut alice = installation.person_again("alice", &[]);
    alice.told("login alice pw", "Login successful");
    gone(&mut bob, "b");
    gone(&mut bob, "c");
    for line in [
        "a  7 B, 1 member online",
        "new  3 B, 1 member online",
        "moved  1 B, 1 member online",
        "d  1 B, 1 member online",
    ] {
        bob.until("list_files lab", line);
    }
    assert_eq!(fetched(&installation, &mut bob, "moved", "moved"), b"c");
}

#[test]
fn files_that_are_gone_at_once_stay_shared_until_the_user_agrees_and_a_folder_that_is_away_ends_nothing() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a", "b", "c", "d"]);
    alice.expect("alice/pool in lab: 4 files shared");
    let (pool, away) = (place(&installation, "alice/pool"), place(&installation, "alice/away"));
    fs::rename(&pool, &away).expect("moved");
    alice.expect("alice/pool in lab: it is not there, or another folder is in its place");
    bob.told("list_files lab", "a  1 B");
    fs::rename(&away, &pool).expect("moved");
    alice.until("show_folders", "shared in lab: 4 files");
    for file in ["a", "b", "c"] {
        fs::remove_file(pool.join(file)).expect("there");
    }
    alice.expect("alice/pool in lab: 3 of its files are gone and stay shared");
    alice.until("show_folders", "shared in lab: 4 files, 3 gone");
    bob.told("list_files lab", "a  1 B");
    alice.told("share_folder pool lab", "Sharing the folder");
    alice.expect("alice/pool in lab: 3 files no longer shared");
    alice.until("show_folders", "shared in lab: 1 file");
    ["a", "b", "c"].iter().for_each(|file| gone(&mut bob, file));
}

#[test]
fn folders_that_overlap_are_refused() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, _bob) = pool(&installation, &["sub/a"]);
    alice.told("create_group class", "Group created");
    for folder in ["pool/sub", "pool", "."] {
        alice.told(&format!("share_folder {folder} class"), "two shared folders cannot overlap");
    }
    fs::create_dir(place(&installation, "alice/state/x")).expect("made");
    alice.told("share_folder state/x lab", "holds this client's own state");
    alice.told("share_folder nowhere lab", "No such file or directory");
    alice.told("share_folder tracker_info.txt lab", "is not a folder");
    alice.told("unshare_folder state", "is not a shared folder");
    alice.told("share_folder state nowhere", "Group does not exist");
}

#[test]
fn a_script_shares_what_is_there_before_it_ends() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &[]);
    alice.told("unshare_folder pool", "Stopped sharing");
    alice.told("logout", "Logout successful");
    for number in 0..30 {
        write(&installation, &format!("alice/pool/{number}"), "content");
    }
    let commands = ["--exec", "login alice pw", "--exec", "share_folder pool lab"];
    let mut script = installation.person_again("alice", &commands);
    script.close_input();
    let (status, error) = script.end();
    assert!(status.success(), "{error}");
    bob.told("list_files lab", "0  7 B, no member online with it");
    bob.until("list_files lab", "29  7 B, no member online with it");
}
