//! A file with many sharers gets a new version from its first sharer. A member with the old version hears of it and
//! keeps its file.

use crate::common::installation::Installation;
use crate::common::program::Program;
use std::fs;
use std::path::PathBuf;

fn path(installation: &Installation, name: &str) -> PathBuf {
    installation.folder.path().join(name).join("film.mkv")
}

fn write(installation: &Installation, name: &str, byte: u8) {
    fs::write(path(installation, name), vec![byte; 3_000_000]).expect("room");
}

/// Alice has shared a film in the group that she founded.
fn sharing(installation: &Installation, options: &[&str]) -> Program {
    let mut alice = installation.person("alice", 1, options);
    for line in ["create_user alice pw", "login alice pw", "create_group lab", "set_group lab open"] {
        alice.say(line);
    }
    alice.expect("Everybody can join now");
    write(installation, "alice", 1);
    alice.told("upload_file film.mkv lab", "Uploaded");
    alice
}

fn member(installation: &Installation, name: &str) -> Program {
    let mut member = installation.person(name, 1, &[]);
    for line in [format!("create_user {name} pw"), format!("login {name} pw"), "join_group lab".to_owned()] {
        member.say(&line);
    }
    member.expect("You are a member of lab now");
    member
}

#[test]
fn an_author_shares_a_new_version_and_who_has_the_old_one_is_told_and_keeps_it_also_after_a_kill() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut alice = sharing(&installation, &[]);
    let (mut bob, mut carol) = (member(&installation, "bob"), member(&installation, "carol"));
    for member in [&mut bob, &mut carol] {
        member.told("download_file lab film.mkv .", "Downloading...");
        member.expect("Download completed: [lab] film.mkv");
        // With this answer the tracker has heard of it.
        member.told("list_files lab", "online with it");
    }
    alice.until("list_files lab", "film.mkv  3.0 MB, 3 members online with it");
    carol.kill();
    write(&installation, "alice", 2);
    alice.told("upload_file film.mkv lab", "Uploaded");
    bob.expect("alice has shared a new version of film.mkv in lab: update_file lab film.mkv");
    bob.told("list_files lab", "film.mkv  3.0 MB, 1 member online with it");
    // The tracker and absent members learn nothing else.
    tracker.kill();
    let _tracker = installation.tracker(1);
    let mut carol = installation.person_again("carol", &[]);
    carol.told("login carol pw", "Login successful");
    carol.expect("alice has shared a new version of film.mkv in lab");
    assert_eq!(fs::read(path(&installation, "carol")).expect("there"), vec![1; 3_000_000]);
    carol.told("upload_file film.mkv lab", "Another file is shared under this name");
    carol.told("download_file lab film.mkv new.mkv", "Downloading...");
    carol.expect("Download completed: [lab] film.mkv");
    let new = installation.folder.path().join("carol/new.mkv");
    assert_eq!(fs::read(new).expect("there"), vec![2; 3_000_000]);
    alice.until("list_files lab", "film.mkv  3.0 MB, 2 members online with it");
    // The old version ends like any share.
    bob.until("stop_share lab film.mkv", "Stopped sharing");
}

#[test]
fn a_download_of_the_old_version_goes_on_from_who_has_it_and_is_told_of_the_new_one() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = sharing(&installation, &[]);
    let mut bob = member(&installation, "bob");
    bob.told("download_file lab film.mkv .", "Downloading...");
    bob.expect("Download completed: [lab] film.mkv");
    alice.told("limit upload 1k", "upload ");
    bob.told("limit upload 1k", "upload ");
    let mut carol = member(&installation, "carol");
    carol.told("download_file lab film.mkv .", "Downloading...");
    carol.until("show_downloads", "from ");
    write(&installation, "alice", 2);
    alice.told("upload_file film.mkv lab", "Uploaded");
    bob.expect("alice has shared a new version of film.mkv in lab");
    carol.expect("There is a new version of film.mkv in lab: update_file lab film.mkv");
    // Bob is killed in the middle. When he is back, he gives the pieces that he has.
    bob.kill();
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob pw", "Login successful");
    carol.expect("Download completed: [lab] film.mkv");
    assert_eq!(fs::read(path(&installation, "carol")).expect("there"), vec![1; 3_000_000]);
    // She has an old version, and the new one replaces it.
    alice.told("limit upload none", "upload ");
    carol.told("update_file lab film.mkv", "Downloading...");
    carol.expect("Download completed: [lab] film.mkv");
    assert_eq!(fs::read(path(&installation, "carol")).expect("there"), vec![2; 3_000_000]);
}
