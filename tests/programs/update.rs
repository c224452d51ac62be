//! New versions as users take them. Equal parts are not downloaded, the old file is replaced in one step, and kills in
//! the middle cost nothing.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use std::fs;
use std::path::{Path, PathBuf};

/// Eight pieces.
pub(super) const LEN: usize = 4 << 20;

/// Bytes in which no two pieces are equal, also with those of another seed.
pub(super) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed << 1 | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// The path of `notes` in a user's folder.
pub(super) fn notes_of(installation: &Installation, name: &str) -> PathBuf {
    installation.folder.path().join(name).join("notes")
}

/// A user whom ann accepts into the group.
pub(super) fn member(installation: &Installation, ann: &mut Program, name: &str, options: &[&str]) -> Program {
    let mut member = installation.person(name, 1, options);
    for line in [format!("create_user {name} pw"), format!("login {name} pw"), "join_group lab".to_owned()] {
        member.say(&line);
    }
    ann.expect(&format!("{name} asks to join lab"));
    ann.told(&format!("accept_request lab {name}"), "Request accepted");
    member.expect("You are a member of lab now");
    member
}

/// Ann shares notes in a group, and so do the others, who have downloaded them from her.
pub(super) fn shared_by_all(installation: &Installation, bytes: &[u8], others: &[&str]) -> (Program, Vec<Program>) {
    let mut ann = installation.person("ann", 1, &[]);
    for line in ["create_user ann pw", "login ann pw", "create_group lab"] {
        ann.say(line);
    }
    ann.expect("Group created");
    fs::write(notes_of(installation, "ann"), bytes).expect("room");
    ann.told("upload_file notes lab", "Uploaded");
    let mut members = Vec::new();
    for name in others {
        let mut member = member(installation, &mut ann, name, &[]);
        member.told("download_file lab notes .", "Download completed");
        members.push(member);
    }
    let all = if others.is_empty() { "1 member online" } else { &format!("{} members online", 1 + others.len()) };
    ann.until("list_files lab", all);
    (ann, members)
}

/// Ann shares this as the new version.
pub(super) fn replaced_by(installation: &Installation, ann: &mut Program, bytes: &[u8]) {
    fs::write(notes_of(installation, "ann"), bytes).expect("room");
    ann.told("upload_file notes lab", "Uploaded");
}

pub(super) fn holds(path: &Path, bytes: &[u8]) -> bool {
    fs::read(path).is_ok_and(|found| found == bytes)
}

/// The files in a user's folder, except those of the client.
pub(super) fn files_of(installation: &Installation, name: &str) -> Vec<String> {
    let entries = fs::read_dir(installation.folder.path().join(name)).expect("there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("read").file_name().into_string().expect("text")).collect();
    names.retain(|name| !["state", "tracker_info.txt"].contains(&&**name));
    names.sort();
    names
}

#[test]
fn members_are_told_of_a_new_version_and_take_the_difference_in_the_place_of_the_old_one() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let old = noise(LEN, 1);
    let (mut ann, mut members) = shared_by_all(&installation, &old, &["bob", "cem"]);
    let new = [&b"a line more"[..], &old].concat();
    replaced_by(&installation, &mut ann, &new);
    for (member, name) in members.iter_mut().zip(["bob", "cem"]) {
        member.expect("ann has shared a new version of notes in lab: update_file lab notes");
        assert!(holds(&notes_of(&installation, name), &old), "the old one stays");
        member.told("update_file lab notes", "Download completed: [lab] notes  4.2 MB");
        assert!(holds(&notes_of(&installation, name), &new));
        wait_until("nothing is left beside", || files_of(&installation, name) == ["notes"]);
        member.told("show_downloads", "from the old version");
        member.told("update_file lab notes", "You have the latest version");
    }
    ann.until("list_files lab", "3 members online with it");
}

#[test]
fn an_update_of_which_all_is_here_already_ends_without_anybody() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let old = noise(LEN, 7);
    let (mut ann, mut members) = shared_by_all(&installation, &old, &["bob"]);
    let new = &old[64 * 1024..];
    replaced_by(&installation, &mut ann, new);
    members[0].expect("ann has shared a new version of notes in lab");
    members[0].told("update_file lab notes", "Download completed: [lab] notes  4.1 MB");
    assert!(holds(&notes_of(&installation, "bob"), new));
}

#[test]
fn a_file_changed_here_is_not_replaced_and_the_new_version_goes_elsewhere() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let old = noise(LEN, 2);
    let (mut ann, mut members) = shared_by_all(&installation, &old, &["bob", "cem"]);
    let new = [&old[..LEN / 2], b"something else", &old[LEN / 2..]].concat();
    replaced_by(&installation, &mut ann, &new);
    // Of the same length as before, and longer.
    let edited = [[&b"mine"[..], &old[4..]].concat(), [&b"mine"[..], &old].concat()];
    for ((member, name), edited) in members.iter_mut().zip(["bob", "cem"]).zip(&edited) {
        member.expect("ann has shared a new version of notes in lab");
        let notes = notes_of(&installation, name);
        fs::write(&notes, edited).expect("room");
        member.told("update_file lab notes", "was changed here and is not replaced");
        member.told("update_file lab notes newer", "Download completed");
        assert!(holds(&notes, edited) && holds(&notes.with_file_name("newer"), &new));
        member.told("show_downloads", "4.2 MB from the old version");
    }
}

#[test]
fn a_user_without_an_old_version_is_told_so() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut ann, _) = shared_by_all(&installation, &noise(100, 3), &[]);
    ann.told("update_file lab notes", "You have the latest version");
    ann.told("stop_share lab notes", "Stopped sharing");
    ann.told("update_file lab notes", "File does not exist in this group");
    let mut bob = member(&installation, &mut ann, "bob", &[]);
    ann.told("upload_file notes lab", "Uploaded");
    bob.told("update_file lab notes", "You have no notes from lab yet; download_file gets it");
}

#[test]
fn an_update_that_is_killed_goes_on_at_the_next_login_and_the_old_file_stays_until_the_end() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let old = noise(LEN, 4);
    let (mut ann, mut members) = shared_by_all(&installation, &old, &["bob"]);
    let mut bob = members.pop().expect("bob");
    let new = [&noise(LEN, 5)[..], &old].concat();
    replaced_by(&installation, &mut ann, &new);
    bob.expect("ann has shared a new version of notes in lab");
    // The new bytes come so slowly that they are still missing.
    bob.told("limit download 200k", "download  200");
    bob.told("update_file lab notes", "Downloading...");
    let part = notes_of(&installation, "bob").with_file_name("notes.part");
    wait_until("the part is there", || part.exists());
    bob.kill();
    assert!(holds(&notes_of(&installation, "bob"), &old));
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob pw", "Login successful");
    bob.expect("Download completed: [lab] notes");
    assert!(holds(&notes_of(&installation, "bob"), &new));
    wait_until("nothing is left beside", || files_of(&installation, "bob") == ["notes"]);
    ann.until("list_files lab", "2 members online with it");
}

#[test]
fn a_download_of_the_old_version_goes_over_to_the_new_one() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let old = noise(LEN, 6);
    let (mut ann, mut members) = shared_by_all(&installation, &old, &["bob"]);
    let mut cem = member(&installation, &mut ann, "cem", &["--download-limit", "300k"]);
    cem.told("download_file lab notes .", "Downloading...");
    let part = notes_of(&installation, "cem").with_file_name("notes.part");
    wait_until("the part is there", || part.exists());
    let new = [&old[..], b"and more"].concat();
    replaced_by(&installation, &mut ann, &new);
    cem.expect("There is a new version of notes in lab: update_file lab notes");
    cem.told("update_file lab notes", "Downloading...");
    cem.told("limit download none", "download  no limit");
    cem.expect("Download completed: [lab] notes");
    assert!(holds(&notes_of(&installation, "cem"), &new));
    wait_until("nothing is left beside", || files_of(&installation, "cem") == ["notes"]);
    // A member that has not asked for the new version keeps the old one.
    assert!(holds(&notes_of(&installation, "bob"), &old));
    drop(members.pop());
}

#[test]
fn a_download_of_a_folder_goes_over_to_its_new_version_and_keeps_what_has_come() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut ann, _) = shared_by_all(&installation, &noise(100, 8), &[]);
    let album = |name: &str| installation.folder.path().join(name).join("album");
    let (film, more) = (noise(LEN, 9), noise(700_000, 10));
    fs::create_dir(album("ann")).expect("made");
    for (path, bytes) in [("film", &film[..]), ("list", b"one"), ("old", &more)] {
        fs::write(album("ann").join(path), bytes).expect("room");
    }
    ann.told("upload_file album lab", "Uploaded");
    let mut cem = member(&installation, &mut ann, "cem", &["--download-limit", "300k"]);
    cem.told("download_file lab album .", "Downloading...");
    let part = album("cem").with_file_name("album.part");
    let has_data = || fs::read(part.join("film")).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0));
    wait_until("something of the film has come", has_data);
    fs::write(album("ann").join("list"), "one, two").expect("room");
    fs::rename(album("ann").join("old"), album("ann").join("a new name")).expect("renamed");
    ann.told("upload_file album lab", "Uploaded");
    cem.expect("There is a new version of album in lab: update_file lab album");
    cem.told("update_file lab album", "Downloading...");
    assert!(has_data(), "received pieces are kept");
    // Killed now, it goes on after its next start.
    cem.kill();
    let mut cem = installation.person_again("cem", &[]);
    cem.told("login cem pw", "Login successful");
    cem.expect("Download completed: [lab] album");
    for (path, bytes) in [("film", &film[..]), ("list", b"one, two"), ("a new name", &more)] {
        assert!(holds(&album("cem").join(path), bytes), "{path}");
    }
    assert!(!album("cem").join("old").exists());
    wait_until("nothing is left beside", || files_of(&installation, "cem") == ["album"]);
}
