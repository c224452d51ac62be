//! Passwords that are typed before the question, by quick fingers, a plain paste or `expect`.

use crate::common::room::Room;
use crate::sitting::{CTRL_C, CTRL_D, ENTER, Sitting, UP};
use crate::terminal::{ARGUMENTS, COLUMNS, ROWS};
use rustix::process::Signal;
use std::fs;

impl Sitting {
    /// Types these lines, all at once.
    fn pastes(&self, lines: &[&str]) {
        self.types(&lines.iter().map(|line| (*line).to_owned() + ENTER).collect::<String>());
    }

    /// Fails if the screen shows one of these, or a command for which it was mistaken.
    fn has_not_shown(&self, secrets: &[&str]) {
        let rows = self.rows();
        let shown = rows.iter().any(|row| secrets.iter().any(|secret| row.contains(secret)));
        assert!(!shown && !rows.iter().any(|row| row.contains("Unknown command")), "{rows:#?}");
    }
}

#[test]
fn passwords_that_are_pasted_behind_their_commands_are_passwords_and_are_not_shown() {
    let room = Room::new();
    let mut ann = room.person("ann");
    ann.pastes(&["create_user ann", "wonderland", "wonderland", "login ann", "wonderland", "list_groups"]);
    ann.ends_with(&["> list_groups", "No groups yet; make one with create_group", "> "]);
    ann.shows("User created");
    ann.shows("Login successful");
    ann.pastes(&["change_password", "wonderland", "rabbit-hole", "rabbit-hole", "logout", "login ann", "rabbit-hole"]);
    ann.ends_with(&["> login ann", "Password for ann: ", "Login successful", "> "]);
    ann.shows("Password changed");
    ann.has_not_shown(&["wonder", "rabbit"]);
    ann.types(UP);
    ann.ends_with(&["> login ann"]);
    ann.types(CTRL_C);
    ann.ends_with(&["> login ann", "> "]);
    ann.types(CTRL_D);
    assert_eq!(ann.ends().code(), Some(0));
    let kept = fs::read_to_string(room.place("ann").join("state/history")).expect("kept");
    assert!(!kept.contains("wonder") && !kept.contains("rabbit"), "{kept}");
}

#[test]
fn text_typed_during_a_command_goes_unshown_to_the_prompt_that_asks_for_it() {
    let room = Room::new();
    let alice = room.user("alice");
    let _bob = room.bob_shares(&alice, "film.mkv");
    alice.enters("download_file lab film.mkv .");
    alice.ends_with(&["Downloading...", "> "]);
    alice.enters("wait");
    alice.ends_with(&["> wait", ""]);
    alice.pastes(&["change_password", "wonderland", "rabbit-hole"]);
    alice.types("rabbit-");
    // Unlike ctrl-C, it keeps the typed text.
    alice.signal(Signal::INT);
    alice.ends_with(&["New password: ", "The same again: "]);
    alice.enters("hole");
    alice.ends_with(&["Password changed", "> "]);
    alice.sees("no password that was tried on the line above", |rows, _| {
        !rows.iter().any(|row| row.contains("rabbit") || row.contains("wonderland") && !row.contains("alice"))
    });
}

#[test]
fn a_paste_that_says_so_ends_a_password_as_typing_does() {
    let room = Room::new();
    let ann = room.person("ann");
    ann.enters("create_user ann");
    ann.ends_with(&["New password for ann: "]);
    ann.types("\x1b[200~wonderland\x1b[201~");
    ann.types(ENTER);
    ann.ends_with(&["The same again: "]);
    ann.types("\x1b[200~wonderland\nlist_groups\n\x1b[201~");
    ann.ends_with(&["User created", "> list_groups", "Please login first", "> "]);
    ann.has_not_shown(&["wonder"]);
}

#[test]
fn a_password_prompt_shows_nothing_of_the_lines_before_it_and_leaves_nothing_for_those_after_it() {
    let room = Room::new();
    let ann = room.person("ann");
    ann.enters("create_user ann wonderland");
    ann.ends_with(&["User created", "> "]);
    ann.enters("login ann");
    ann.ends_with(&["Password for ann: "]);
    // The line before, a line from the history, a completed line, cut text, and a corrected password.
    ann.types(UP);
    ann.types("\x12create\t\x15rabbit\x7f\x17wonderland");
    ann.ends_with(&["Password for ann: "]);
    ann.enters("");
    ann.ends_with(&["Password for ann: ", "Login successful", "> "]);
    // The last cut text does not come back.
    ann.types("\x19#");
    ann.ends_with(&["> #"]);
}

#[test]
fn a_password_typed_ahead_is_no_command_on_a_terminal_without_line_editing() {
    let room = Room::new();
    let desk = room.desk("ann");
    let program = env!("CARGO_BIN_EXE_client");
    let ann = Sitting::start_with(program, &ARGUMENTS, &desk, (ROWS, COLUMNS), &[("TERM", "dumb")]);
    ann.ends_with(&["> "]);
    ann.pastes(&["create_user ann", "wonderland", "wonderland", "login ann", "wonderland", "list_groups"]);
    ann.shows("No groups yet; make one with create_group");
    ann.shows("User created");
    ann.shows("Login successful");
    ann.has_not_shown(&[]);
}

#[test]
fn commands_of_the_command_line_take_passwords_that_are_typed_ahead_and_show_none() {
    let room = Room::new();
    let exec = ["--exec", "create_user ann", "--exec", "login ann", "--exec", "change_password"];
    let arguments: Vec<&str> = ARGUMENTS.into_iter().chain(exec).collect();
    let mut ann = Sitting::start(env!("CARGO_BIN_EXE_client"), &arguments, &room.desk("ann"), ROWS, COLUMNS);
    ann.ends_with(&["New password for ann: "]);
    ann.pastes(&["wonderland", "wonderland", "wonderland", "wonderland", "rabbit-hole", "rabbit-hole"]);
    assert_eq!(ann.ends().code(), Some(0));
    ann.shows("Password changed");
    ann.has_not_shown(&["wonder", "rabbit"]);
}

#[test]
fn the_terminal_shows_again_what_is_typed_once_the_client_has_left() {
    let room = Room::new();
    let desk = room.desk("ann");
    for leave in ["quit\r", CTRL_D] {
        let client = env!("CARGO_BIN_EXE_client");
        let both = format!("'{client}' {}; stty -a", ARGUMENTS.join(" "));
        let mut ann = Sitting::start("sh", &["-c", &both], &desk, ROWS, COLUMNS);
        ann.ends_with(&["> "]);
        ann.types(leave);
        let words = |rows: &[String]| -> Vec<String> { rows.join(" ").split_whitespace().map(str::to_owned).collect() };
        ann.sees("the modes of the terminal", |rows, _| words(rows).iter().any(|word| word == "echo"));
        assert_eq!(ann.ends().code(), Some(0));
    }
}
