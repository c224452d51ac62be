//! Searches for files by name: in one group, in all groups, in every order, on a screen and in a script.

use crate::common::installation::{Installation, linked, same_digests};
use crate::common::program::Program;
use crate::common::room::Room;
use crate::sitting::Sitting;
use std::fs;

/// An owner makes a group and shares files of these lengths in it.
fn shares(installation: &Installation, (name, owner): (&str, &mut Program), group: &str, files: &[(&str, usize)]) {
    owner.told(&format!("create_group {group}"), "Group created");
    for (file, len) in files {
        fs::write(installation.folder.path().join(name).join(file), vec![7; *len]).expect("room");
        owner.told(&format!("upload_file '{file}' {group}"), "Uploaded");
    }
}

/// The text before the two spaces on each line of the answer.
fn names(person: &mut Program, line: &str) -> Vec<String> {
    let answers = person.said(line).into_iter();
    answers.map(|line| line.split("  ").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn members_find_files_in_all_their_groups_also_when_a_tracker_is_killed() {
    let installation = Installation::of(2);
    let first = installation.tracker(1);
    let mut second = installation.tracker(2);
    linked(&mut second, 1);
    let (mut alice, mut bob) = (installation.user("alice", &[]), installation.user("bob", &[]));
    let mut carol = installation.user("carol", &[]);
    let lab = [("Lecture 1.PDF", 30), ("lecture 2.pdf", 10), ("notes.txt", 20)];
    shares(&installation, ("alice", &mut alice), "lab", &lab);
    shares(&installation, ("bob", &mut bob), "den", &[("a lecture.pdf", 40), ("secret.pdf", 5)]);
    carol.joins("carol", "lab", &mut alice);
    carol.joins("carol", "den", &mut bob);
    bob.joins("bob", "lab", &mut alice);
    bob.told("download_file lab notes.txt .", "Download completed");
    bob.until("list_files lab", "notes.txt  20 B, 2 members online with it");

    let finds = |carol: &mut Program| {
        assert_eq!(names(carol, "list_files lab '*.pdf'"), ["Lecture 1.PDF", "lecture 2.pdf"]);
        assert_eq!(names(carol, "list_files lab '*.PDF'"), ["Lecture 1.PDF"], "capitals stand for themselves");
        assert_eq!(names(carol, "list_files lab --sort size"), ["Lecture 1.PDF", "notes.txt", "lecture 2.pdf"]);
        assert_eq!(
            names(carol, "find LECTURE"),
            ["No file has such a name"],
            "and a text without a sign stands for what contains it"
        );
        let lectures = ["[den] a lecture.pdf", "[lab] Lecture 1.PDF", "[lab] lecture 2.pdf"];
        assert_eq!(names(carol, "find lecture"), lectures);
        let by_size = ["[den] a lecture.pdf", "[lab] Lecture 1.PDF", "[lab] lecture 2.pdf", "[den] secret.pdf"];
        assert_eq!(names(carol, "find '*.pdf' --sort size"), by_size);
    };
    finds(&mut carol);
    let by_members = ["notes.txt", "Lecture 1.PDF", "lecture 2.pdf"];
    assert_eq!(names(&mut carol, "list_files lab --sort members"), by_members);
    assert_eq!(names(&mut alice, "find s?cret*"), ["No file has such a name"], "of a group she is not in");
    carol.told(
        "list_files lab 'x*' --sort date",
        "'date' is not an order: use name, size or members. Usage: list_files",
    );
    carol.told("list_files lab --sort", "Usage: list_files <group_id> [pattern] [--sort <order>]");

    let mut trackers = [first, second];
    same_digests(&mut trackers);
    let [first, _second] = trackers;
    first.kill();
    finds(&mut carol);
    // A search no longer finds what was withdrawn.
    bob.told("stop_share den secret.pdf", "Stopped sharing");
    assert_eq!(names(&mut carol, "find secret"), ["No file has such a name"]);
    drop(bob);
    carol.until("find 'a lect*'", "[den] a lecture.pdf  40 B, no member online with it");
}

/// How many of the `count` names are on the screen.
fn shown(rows: &[String], count: usize) -> usize {
    (0..count).filter(|n| rows.iter().any(|row| row.starts_with(&format!("film{n:02}.mkv  ")))).count()
}

/// Alice at a terminal. In her group bob shares `count` films.
fn cinema(room: &Room, count: usize) -> Sitting {
    let alice = room.user("alice");
    let mut bob = room.bob_shares(&alice, "aaa");
    for n in 0..count {
        bob.offer("lab", &format!("film{n:02}.mkv"), 3, 7);
    }
    // A line is wider than half a screen, and not wider than one.
    alice.resizes(24, 120);
    alice
}

const MORE: &str = "-- any key for more, q to stop --";

#[test]
fn a_long_list_stops_below_each_window_full() {
    let room = Room::new();
    let alice = cinema(&room, 40);
    alice.enters("list_files lab 'film*'");
    alice.sees("a window full", |rows, _| rows.last().is_some_and(|row| row == MORE) && shown(rows, 23) == 23);
    // Messages that come meanwhile do not break the page.
    let mut carol = room.tracker.user("carol");
    carol.join("lab");
    carol.all_pushed();
    alice.types(" ");
    alice.sees("the rest, and what happened", |rows, _| {
        rows.last().is_some_and(|row| row == ">")
            && rows.iter().any(|row| row.starts_with("film39.mkv  "))
            && rows.iter().any(|row| row == "carol asks to join lab: accept_request lab carol")
            && !rows.iter().any(|row| row == MORE)
    });
    alice.enters("find film");
    alice.sees("a window full", |rows, _| rows.last().is_some_and(|row| row == MORE));
    alice.types("q");
    alice.sees("the prompt below the first window full", |rows, _| {
        rows.last().is_some_and(|row| row == ">") && rows.iter().any(|row| row.starts_with("[lab] film22.mkv  "))
    });
    // A list that fits has no pause.
    alice.enters("list_files lab 'film0*'");
    alice.sees("all of it", |rows, _| rows.last().is_some_and(|row| row == ">") && shown(rows, 10) == 10);
}

#[test]
fn a_list_in_a_script_stops_nowhere_and_a_program_gets_it_in_one_object() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = installation.user("alice", &[]);
    alice.told("create_group lab", "Group created");
    let mut owner = installation.connect(1).expect("a connection");
    owner.create_user("bob");
    owner.log_in("bob");
    owner.join("lab");
    alice.told("accept_request lab bob", "Request accepted");
    // More files than a page of the tracker.
    for n in 0..1100 {
        owner.offer("lab", &format!("film{n:04}.mkv"), 1, 7);
    }
    let listed = names(&mut alice, "list_files lab 'film*'");
    assert_eq!(listed, (0..1100).map(|n| format!("film{n:04}.mkv")).collect::<Vec<_>>());
    assert_eq!(names(&mut alice, "list_files lab").len(), 1100);
    let args = ["--json", "--exec", "login alice pw", "--exec", "list_files lab --sort members"];
    let mut program = installation.person("program", 1, &args);
    let listed = program.next("the list", |line| line.text.contains("\"files\":["));
    let listed: serde_json::Value = serde_json::from_str(&listed.text).expect("an object");
    let names: Vec<&str> =
        listed["files"].as_array().expect("a list").iter().filter_map(|f| f["file_name"].as_str()).collect();
    assert_eq!((names.len(), names[0], names[1099]), (1100, "film0000.mkv", "film1099.mkv"));
    assert_eq!(program.end().0.code(), Some(0));
}
