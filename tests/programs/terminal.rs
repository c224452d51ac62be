//! The client as a person at a terminal sees it: keys go in, and the screen afterwards counts.

use crate::common::client::Client;
use crate::common::room::Room;
use crate::common::wait::wait_until;
use crate::sitting::{BACKSPACE, CTRL_C, CTRL_D, DOWN, ENTER, HOME, LEFT, Sitting, TAB, UP};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

pub(crate) const ROWS: u16 = 24;
pub(crate) const COLUMNS: u16 = 80;
pub(crate) const ARGUMENTS: [&str; 4] = ["--state-dir", "state", "127.0.0.1:0", "tracker_info.txt"];

impl Room {
    /// The folder of a person, with the list of trackers in it.
    pub(crate) fn desk(&self, name: &str) -> PathBuf {
        let place = self.place(name);
        fs::write(place.join("tracker_info.txt"), format!("{}\n", self.tracker.addr)).expect("writable");
        place
    }

    /// Starts a client, which shows its prompt.
    pub(crate) fn person(&self, name: &str) -> Sitting {
        let person = Sitting::start(env!("CARGO_BIN_EXE_client"), &ARGUMENTS, &self.desk(name), ROWS, COLUMNS);
        person.sees("the prompt", |rows, _| {
            matches!(rows, [listening, prompt] if listening.starts_with("Listening for other members on ") && prompt == ">")
        });
        person
    }

    /// The same, with a login to a new account.
    pub(crate) fn user(&self, name: &str) -> Sitting {
        let person = self.person(name);
        person.enters(&format!("create_user {name} wonderland"));
        person.ends_with(&["User created", "> "]);
        person.enters(&format!("login {name} wonderland"));
        person.ends_with(&["Login successful", "> "]);
        person
    }

    /// Bob is in Alice's group lab. He shares a file of this name there, and never gives it to anybody.
    pub(crate) fn bob_shares(&self, alice: &Sitting, name: &str) -> Client {
        alice.enters("create_group lab");
        alice.ends_with(&["Group created", "> "]);
        let mut bob = self.tracker.user("bob");
        bob.join("lab");
        alice.ends_with(&["bob asks to join lab: accept_request lab bob", "> "]);
        alice.enters("accept_request lab bob");
        alice.ends_with(&["Request accepted", "> "]);
        bob.offer("lab", name, 3, 7);
        bob
    }
}

/// Types this, and presses the tab key until the line has become `line`. Names that come too late for one press are
/// there for the next.
fn completes(person: &Sitting, typed: &str, line: &str) {
    person.types(typed);
    wait_until(line, || {
        // The effect of a key appears on the screen together with the next key.
        person.types(TAB);
        person.types("#");
        person.sees("a mark", |rows, _| rows.last().is_some_and(|row| row.ends_with('#')));
        let completed = person.rows().last().is_some_and(|row| row.strip_suffix('#') == Some(line));
        person.types(BACKSPACE);
        person.sees("no mark", |rows, _| rows.last().is_some_and(|row| !row.ends_with('#')));
        completed
    });
}

#[test]
fn a_line_is_edited_and_comes_back_with_the_arrow_keys() {
    let room = Room::new();
    let person = room.person("ann");
    person.types("elp quti");
    person.types(LEFT);
    person.types(BACKSPACE);
    person.types("\x1b[C");
    person.types("t");
    person.types(HOME);
    person.types("h");
    person.sees("the edited line", |rows, screen| {
        rows.last().is_some_and(|row| row == "> help quit") && screen.cursor_position().1 == 3
    });
    person.types(ENTER);
    person.ends_with(&["'exit' does the same.", "> "]);
    person.enters("help logout");
    person.ends_with(&["Log out; sharing stops and downloads pause until the next login.", "> "]);
    person.types(UP);
    person.ends_with(&["> help logout"]);
    person.types(UP);
    person.ends_with(&["> help quit"]);
    person.types(DOWN);
    person.ends_with(&["> help logout"]);
}

#[test]
fn a_message_appears_above_the_line_that_is_being_typed() {
    let room = Room::new();
    let alice = room.user("alice");
    alice.enters("create_group lab");
    alice.ends_with(&["Group created", "> "]);
    let mut bob = room.tracker.user("bob");
    alice.types("create_group ttic");
    for _ in 0.."ttic".len() {
        alice.types(LEFT);
    }
    bob.join("lab");
    alice.sees("the message above the line, and the cursor where it was", |rows, screen| {
        let last: Vec<&str> = rows.iter().rev().take(2).map(String::as_str).collect();
        last == ["> create_group ttic", "bob asks to join lab: accept_request lab bob"]
            && usize::from(screen.cursor_position().0) + 1 == rows.len()
            && screen.cursor_position().1 == "> create_group ".len() as u16
    });
    alice.types("a");
    alice.types(ENTER);
    alice.ends_with(&["bob asks to join lab: accept_request lab bob", "> create_group attic", "Group created", "> "]);
}

#[test]
fn messages_do_not_tear_a_line_that_is_longer_than_the_window() {
    let room = Room::new();
    let alice = room.user("alice");
    alice.enters("create_group lab");
    alice.ends_with(&["Group created", "> "]);
    let long = format!("upload_file {} la", "x".repeat(90));
    alice.types(&long);
    let (first, rest) = long.split_at(usize::from(COLUMNS) - 2);
    let typed = [format!("> {first}"), rest.to_owned()];
    alice.ends_with(&[&typed[0], &typed[1]]);
    for name in ["bob", "carol"] {
        room.tracker.user(name).join("lab");
        alice.ends_with(&[&format!("{name} asks to join lab: accept_request lab {name}"), &typed[0], &typed[1]]);
    }
}

#[test]
fn the_line_is_right_after_the_window_has_changed_its_size() {
    let room = Room::new();
    let person = room.person("ann");
    person.types("help create_group and-some-more-words-that-fill-it");
    person.ends_with(&["> help create_group and-some-more-words-that-fill-it"]);
    person.resizes(ROWS, 100);
    person.types("!");
    person.ends_with(&["> help create_group and-some-more-words-that-fill-it!"]);
    person.resizes(12, 40);
    person.types("?");
    person.ends_with(&["> help create_group and-some-more-words-", "that-fill-it!?"]);
    person.types(CTRL_C);
    person.ends_with(&["that-fill-it!?", "> "]);
    person.enters("help quit");
    person.ends_with(&["'exit' does the same.", "> "]);
}

#[test]
fn ctrl_c_clears_the_line_and_a_second_one_leaves() {
    let room = Room::new();
    let mut person = room.person("ann");
    person.types("help qu");
    person.types(CTRL_C);
    person.ends_with(&["> help qu", "> "]);
    person.enters("help quit");
    person.ends_with(&["'exit' does the same.", "> "]);
    person.types(CTRL_C);
    person.ends_with(&["Press ctrl-C again, or ctrl-D, to leave", "> "]);
    person.types(CTRL_C);
    assert_eq!(person.ends().code(), Some(0));
}

#[test]
fn ctrl_d_leaves_at_once_where_nothing_runs() {
    let room = Room::new();
    let mut person = room.user("ann");
    person.types(CTRL_D);
    assert_eq!(person.ends().code(), Some(0));
}

#[test]
fn ctrl_c_ends_the_command_and_not_the_download() {
    let room = Room::new();
    let mut alice = room.user("alice");
    let _bob = room.bob_shares(&alice, "film.mkv");
    alice.enters("download_file lab film.mkv .");
    alice.ends_with(&["Downloading...", "> "]);
    alice.enters("wait");
    alice.ends_with(&["> wait", ""]);
    alice.types(CTRL_C);
    alice.ends_with(&["> "]);
    // Meanwhile the client checks which pieces of the file it has.
    wait_until("the download waits for members", || {
        alice.enters("show_downloads");
        alice.sees("an answer", |rows, _| {
            rows.iter().rev().find(|row| row.contains("film.mkv")).is_some_and(|row| row.starts_with("[D]"))
        });
        alice
            .rows()
            .iter()
            .any(|row| row.contains("[D] [lab] film.mkv  0 % of 1.6 MB, waiting for members who have it"))
    });
    alice.enters("quit");
    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn ctrl_c_ends_what_it_is_pressed_at_and_nothing_is_left_unasked() {
    let room = Room::new();
    let mut alice = room.user("alice");
    let _bob = room.bob_shares(&alice, "film.mkv");
    alice.enters("download_file lab film.mkv .");
    alice.ends_with(&["Downloading...", "> "]);
    // As from a keyboard, whatever the program is doing.
    for _ in 0..20 {
        alice.enters("wait");
        alice.ends_with(&["> wait", ""]);
        alice.types(CTRL_C);
        alice.ends_with(&["> "]);
    }
    // As another process may send it, without the terminal.
    alice.signal(Signal::INT);
    alice.ends_with(&["Press ctrl-C again, or ctrl-D, to leave", "> "]);
    alice.signal(Signal::INT);
    alice.ends_with(&["1 download runs; it goes on after the next login. Leave? [y/N] "]);
    alice.signal(Signal::INT);
    alice.ends_with(&["> "]);
    alice.enters("wait");
    alice.ends_with(&["> wait", ""]);
    alice.signal(Signal::TERM);
    assert_eq!(alice.ends().code(), Some(130));
}

#[test]
fn ctrl_c_asks_first_where_no_line_editor_is() {
    let room = Room::new();
    let first = room.user("alice");
    let _bob = room.bob_shares(&first, "film.mkv");
    drop(first);
    let variables = [("TERM", "dumb")];
    let desk = room.desk("alice");
    let mut alice = Sitting::start_with(env!("CARGO_BIN_EXE_client"), &ARGUMENTS, &desk, (ROWS, COLUMNS), &variables);
    alice.ends_with(&["> "]);
    alice.enters("login alice wonderland");
    alice.ends_with(&["Login successful", "> "]);
    alice.enters("download_file lab film.mkv .");
    alice.ends_with(&["Downloading...", "> "]);
    let question = "1 download runs; it goes on after the next login. Leave? [y/N] ";
    alice.types(CTRL_C);
    alice.ends_with(&[question]);
    alice.enters("n");
    alice.ends_with(&["> "]);
    alice.types(CTRL_C);
    alice.ends_with(&[question]);
    alice.types(CTRL_C);
    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn a_password_that_is_asked_for_is_not_shown() {
    let room = Room::new();
    let person = room.person("ann");
    person.enters("create_user ann");
    person.ends_with(&["> create_user ann", "New password for ann: "]);
    person.enters("wonderland");
    person.ends_with(&["New password for ann: ", "The same again: "]);
    person.enters("wonderland");
    person.ends_with(&["New password for ann: ", "The same again: ", "User created", "> "]);
    person.enters("login ann");
    person.ends_with(&["Password for ann: "]);
    person.types("wonder");
    person.types(CTRL_C);
    person.ends_with(&["Cancelled, no password was given", "> "]);
    person.enters("login ann");
    person.ends_with(&["Password for ann: "]);
    person.enters("wonderland");
    person.ends_with(&["Password for ann: ", "Login successful", "> "]);
    assert!(!person.rows().iter().any(|row| row.contains("wonder")), "{:#?}", person.rows());
    // And the history does not keep it either.
    person.types(UP);
    person.ends_with(&["> login ann"]);
}

#[test]
fn the_client_asks_before_a_user_leaves_while_a_download_runs() {
    let room = Room::new();
    let mut alice = room.user("alice");
    let _bob = room.bob_shares(&alice, "film.mkv");
    alice.enters("download_file lab film.mkv .");
    alice.ends_with(&["Downloading...", "> "]);
    let question = "1 download runs; it goes on after the next login. Leave? [y/N] ";
    alice.types(CTRL_D);
    alice.ends_with(&["> ", question]);
    alice.enters("");
    alice.ends_with(&[question, "> "]);
    alice.types(CTRL_C);
    alice.ends_with(&["Press ctrl-C again, or ctrl-D, to leave", "> "]);
    alice.types(CTRL_C);
    alice.ends_with(&["> ", question]);
    alice.types(CTRL_C);
    alice.ends_with(&[question, "> "]);
    // This is not an answer to the question, but the next line.
    alice.types(UP);
    alice.ends_with(&["> download_file lab film.mkv ."]);
    alice.types(CTRL_C);
    alice.ends_with(&["> download_file lab film.mkv .", "> "]);
    alice.types(CTRL_D);
    alice.ends_with(&["> ", question]);
    alice.enters("y");
    assert_eq!(alice.ends().code(), Some(0));
    assert!(room.place("alice").join("film.mkv.part").exists(), "it goes on after the next login");
}

#[test]
fn lines_come_back_in_the_next_session_but_never_a_password() {
    let room = Room::new();
    let mut first = room.user("ann");
    let mut second = room.person("ann");
    first.enters("help logout");
    first.ends_with(&["Log out; sharing stops and downloads pause until the next login.", "> "]);
    second.enters("help quit");
    second.ends_with(&["'exit' does the same.", "> "]);
    first.enters("change_password wonderland rabbit-hole");
    first.ends_with(&["Password changed", "> "]);
    first.enters("list_groups");
    first.ends_with(&["No groups yet; make one with create_group", "> "]);
    for person in [&mut first, &mut second] {
        person.types(CTRL_D);
        assert_eq!(person.ends().code(), Some(0));
    }
    let kept = room.place("ann").join("state/history");
    assert_eq!(fs::read_to_string(&kept).expect("kept"), "#V2\nhelp logout\nhelp quit\nlist_groups\n");
    assert_eq!(fs::metadata(&kept).expect("kept").permissions().mode() & 0o777, 0o600);
    let again = room.person("ann");
    for line in ["> list_groups", "> help quit", "> help logout", "> help logout"] {
        again.types(UP);
        again.ends_with(&[line]);
    }
}

#[test]
fn a_damaged_history_is_put_aside_and_told() {
    let room = Room::new();
    let state = room.place("ann").join("state");
    fs::create_dir(&state).expect("a folder");
    fs::write(state.join("history"), b"#V2\nhelp \xff\n").expect("written");
    let person = Sitting::start(env!("CARGO_BIN_EXE_client"), &ARGUMENTS, &room.desk("ann"), ROWS, 200);
    person.shows("history was damaged and has been moved to ");
    person.enters("help quit");
    person.ends_with(&["'exit' does the same.", "> "]);
    assert_eq!(fs::read_to_string(state.join("history")).expect("made anew"), "#V2\nhelp quit\n");
}

#[test]
fn the_tab_key_completes_commands_groups_users_files_and_paths() {
    let room = Room::new();
    let alice = room.user("alice");
    let place = room.place("alice");
    fs::create_dir(place.join("my films")).expect("a folder");
    fs::write(place.join("my films/summer 1.mkv"), "1").expect("written");
    fs::write(place.join("my films/summer 2.mkv"), "2").expect("written");
    let mut bob = room.bob_shares(&alice, "the film.mkv");
    room.tracker.user("carol").join("lab");
    alice.ends_with(&["carol asks to join lab: accept_request lab carol", "> "]);
    bob.create_group("bobs attic");
    for (typed, line) in [
        ("logo", "> logout "),
        ("join_group b", "> join_group \"bobs attic\" "),
        ("list_files l", "> list_files lab "),
        ("accept_request lab c", "> accept_request lab carol "),
        ("remove_member lab b", "> remove_member lab bob "),
        ("download_file lab t", "> download_file lab \"the film.mkv\" "),
        ("download_file lab x my\\ f", "> download_file lab x \"my films/"),
        ("upload_file 'my films/s", "> upload_file 'my films/summer "),
        ("upload_file \"my films/summer 1.mkv\" ", "> upload_file \"my films/summer 1.mkv\" lab "),
        ("limit u", "> limit upload "),
    ] {
        completes(&alice, typed, line);
        alice.types(CTRL_C);
        alice.ends_with(&["> "]);
    }
    // Another press of the key lists both names, and the line goes on below.
    completes(&alice, "upload_file my\\ films/s", "> upload_file \"my films/summer ");
    alice.types(TAB);
    alice.types(TAB);
    alice.ends_with(&["my films/summer 1.mkv  my films/summer 2.mkv", "> upload_file \"my films/summer "]);
    completes(&alice, "2", "> upload_file \"my films/summer 2.mkv\" ");
    completes(&alice, "l", "> upload_file \"my films/summer 2.mkv\" lab ");
    alice.types(ENTER);
    alice.ends_with(&["> upload_file \"my films/summer 2.mkv\" lab", "Uploading...", "Uploaded", "> "]);
}

#[test]
fn the_tab_key_does_not_wait_for_a_tracker_that_is_gone() {
    let room = Room::new();
    let alice = room.user("alice");
    let bob = room.bob_shares(&alice, "film.mkv");
    completes(&alice, "download_file lab ", "> download_file lab film.mkv ");
    alice.types(CTRL_C);
    drop(bob);
    let Room { tracker, folder: _folder } = room;
    drop(tracker);
    alice.shows("was lost");
    completes(&alice, "download_file l", "> download_file lab ");
    completes(&alice, "", "> download_file lab film.mkv ");
}

#[test]
fn watch_shows_how_much_each_member_gives_or_takes() {
    let room = Room::new();
    let alice = room.user("alice");
    let bob = room.user("bob");
    alice.enters("create_group lab");
    alice.ends_with(&["Group created", "> "]);
    bob.enters("join_group lab");
    bob.ends_with(&["Request sent", "> "]);
    alice.ends_with(&["bob asks to join lab: accept_request lab bob", "> "]);
    alice.enters("accept_request lab bob");
    bob.ends_with(&["You are a member of lab now", "> "]);
    fs::write(room.place("alice").join("film.mkv"), vec![7; 60_000_000]).expect("written");
    alice.enters("limit upload 1M");
    alice.ends_with(&["upload  1.0 MB/s", "download  no limit", "> "]);
    alice.enters("upload_file film.mkv lab");
    alice.ends_with(&["Uploaded", "> "]);
    bob.enters("download_file lab film.mkv .");
    bob.ends_with(&["Downloading...", "> "]);
    bob.enters("watch");
    bob.sees("who delivers how much", |rows, _| {
        matches!(rows, [film, member, .., last] if film.starts_with("[D] [lab] film.mkv  ") && film.contains(" % of 60.0 MB, ")
            && film.contains("B/s from 1 member, ") && film.ends_with(" s left")
            && member.starts_with("      alice ") && member.ends_with(" (100 %, direct)")
            && last == "Press any key to go back")
    });
    alice.enters("watch");
    alice.sees("who takes how much", |rows, _| {
        rows[0].starts_with("[U] [lab] film.mkv  to bob (direct), ") && rows[0].ends_with(" MB given")
    });
    // In a small window the last line stays.
    bob.resizes(2, 20);
    bob.sees("a small page", |rows, _| rows == ["[D] [lab] film.mkv…", "Press any key to g…"]);
    bob.resizes(ROWS, COLUMNS);
    bob.shows("Press any key to go back");
    bob.types(" ");
    bob.sees("the prompt below what was seen last", |rows, _| {
        rows.iter().any(|row| row.starts_with("[D] [lab] film.mkv  ")) && rows.last().is_some_and(|row| row == ">")
    });
    alice.types(CTRL_C);
    alice.sees("the prompt below what was seen last", |rows, _| {
        matches!(rows, [.., watch, upload, prompt] if watch == "> watch" && upload.starts_with("[U] ") && prompt == ">")
    });
    bob.enters("cancel_download lab film.mkv");
    bob.ends_with(&["Cancelled", "> "]);
}

#[test]
fn an_event_during_watch_is_told_afterwards() {
    let room = Room::new();
    let alice = room.user("alice");
    alice.enters("create_group lab");
    alice.ends_with(&["Group created", "> "]);
    alice.enters("watch");
    alice.ends_with(&["Nothing is under way", "", "Press any key to go back"]);
    let mut bob = room.tracker.user("bob");
    bob.join("lab");
    // The tracker pushes before it answers.
    bob.all_pushed();
    alice.types("q");
    alice.shows("bob asks to join lab: accept_request lab bob");
    alice.sees("nothing of the page", |rows, _| !rows.iter().any(|row| row.starts_with("Press any key")));
}

#[test]
fn colours_are_for_those_who_want_them() {
    let room = Room::new();
    let person = |variables: &[(&str, &str)]| {
        let program = env!("CARGO_BIN_EXE_client");
        let person = Sitting::start_with(program, &ARGUMENTS, &room.desk("ann"), (ROWS, COLUMNS), variables);
        person.shows(">");
        person.enters("list_groups");
        person.colour_of("Please login first")
    };
    assert_eq!(person(&[("TERM", "xterm")]), vt100::Color::Idx(1));
    assert_eq!(person(&[("TERM", "xterm"), ("NO_COLOR", "1")]), vt100::Color::Default);
    assert_eq!(person(&[("TERM", "dumb")]), vt100::Color::Default);
}

#[test]
fn hashing_shows_on_one_line_how_far_it_is() {
    let room = Room::new();
    let alice = room.user("alice");
    alice.enters("create_group lab");
    alice.ends_with(&["Group created", "> "]);
    // Holes take no room, and the client hashes them too.
    let file = fs::File::create(room.place("alice").join("disk.img")).expect("made");
    file.set_len(40_000_000_000).expect("it takes no room");
    alice.enters("upload_file disk.img lab");
    alice.sees("how far it is, in one line", |rows, _| {
        matches!(rows, [.., uploading, hashing] if uploading == "Uploading..."
            && hashing.starts_with("Hashing: ") && hashing.contains(" % of 40.0 GB, ") && hashing.ends_with(" left"))
    });
    alice.types(CTRL_C);
    alice.sees("the prompt", |rows, _| {
        rows.last().is_some_and(|row| row == ">") && !rows.iter().any(|row| row.starts_with("Hashing"))
    });
}

#[test]
fn at_a_prompt_the_user_is_asked_whether_other_content_is_to_be_shared() {
    let room = Room::new();
    let alice = room.user("alice");
    let film = room.place("alice").join("film");
    fs::write(&film, "one").expect("room");
    alice.enters("create_group lab");
    alice.ends_with(&["Group created", "> "]);
    alice.enters("upload_file film lab");
    alice.ends_with(&["Uploaded", "> "]);
    alice.enters("logout");
    alice.ends_with(&["Logout successful", "> "]);
    fs::write(&film, "another").expect("room");
    alice.enters("login alice wonderland");
    alice.sees("that it has changed", |rows, _| rows.concat().contains("has changed since it was shared"));
    alice.enters("limit");
    alice.sees("a question", |rows, _| rows.concat().ends_with("as it is now? [y/N]"));
    alice.enters("y");
    alice.ends_with(&["Uploaded", "> "]);
    alice.enters("list_files lab");
    alice.sees("the new file", |rows, _| rows.concat().contains("film  7 B"));
}

#[test]
fn a_hostile_name_does_nothing_to_the_screen() {
    let room = Room::new();
    let alice = room.user("alice");
    let place = room.place("alice");
    let name = "a\x1b[2J\x1b]0;title\x07\u{202e}b";
    fs::write(place.join(name), "x").expect("a file system takes it");
    alice.enters("create_group lab");
    alice.ends_with(&["Group created", "> "]);
    // A folder with such a file is reported by its name.
    fs::create_dir(place.join("folder")).expect("made");
    fs::rename(place.join(name), place.join("folder").join(name)).expect("moved");
    alice.enters("upload_file folder lab");
    // The line is longer than the width of the screen.
    let escaped = "a\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{202e}b";
    alice.sees("the name as text", |rows, _| rows.concat().contains(escaped));
    alice.shows("> upload_file folder lab");
    alice.types("upload_file folder/");
    alice.types(TAB);
    alice.types("x");
    alice.ends_with(&["> upload_file folder/x"]);
}
