//! A user can read earlier notices again: after they were shown, after a kill, and never those of another user.

use crate::common::installation::Installation;
use crate::common::program::Program;
use groupshare::client::command::table::Word;
use groupshare::client::state::told::TOLD_MAX;
use std::fs;

/// The notices in a repeated list, without their age.
fn told(person: &mut Program) -> Vec<String> {
    let lines = person.said("notices").into_iter();
    lines.map(|line| line.split_once(" ago  ").map_or(line.clone(), |(_, told)| told.to_owned())).collect()
}

#[test]
fn told_notices_are_shown_again_the_latest_first_also_after_a_kill() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = installation.user("alice", &[]);
    let mut bob = installation.user("bob", &[]);
    assert_eq!(told(&mut bob), ["Nothing was told yet"]);
    alice.told("create_group lab", "Group created");
    fs::write(installation.folder.path().join("alice/notes.txt"), b"notes").expect("room");
    alice.told("upload_file notes.txt lab", "Uploaded");
    bob.joins("bob", "lab", &mut alice);
    bob.told("download_file lab notes.txt .", "Download completed");
    let lines = told(&mut bob);
    assert!(lines[0].starts_with("Download completed: [lab] notes.txt  5 B in "), "{lines:?}");
    assert_eq!(lines[1..], ["You are a member of lab now", "2 kept, 500 at most"]);
    assert_eq!(told(&mut alice), ["bob asks to join lab: accept_request lab bob", "1 kept, 500 at most"]);

    // The client has told the tracker, and knows so: the next login repeats nothing.
    bob.told("list_files lab", "notes.txt  5 B, 2 members online with it");
    bob.kill();
    let mut bob = installation.user_again("bob");
    assert_eq!(told(&mut bob), lines, "a restart forgets nothing");
    alice.told("remove_member lab bob", "Member removed");
    bob.expect("You were removed from lab");
    assert!(told(&mut bob).contains(&"You were removed from lab".to_owned()));
    // Another user of the same client got none of them.
    bob.told("logout", "Logout successful");
    bob.told("create_user carol pw", "User created");
    bob.told("login carol pw", "Login successful");
    assert_eq!(told(&mut bob), ["Nothing was told yet"]);
}

#[test]
fn help_says_how_much_is_kept() {
    assert!(Word::Notices.usage().details.contains(&format!("the last {TOLD_MAX},")));
}
