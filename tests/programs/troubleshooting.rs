//! The guide's section on trouble quotes messages of the programs. The test causes each trouble and compares the
//! messages.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::console::warning;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The line without the parts that differ from case to case: addresses, paths, keys.
fn without_names(line: &str) -> String {
    let name_of = |word: &str| {
        let ends = word.trim_matches(|end: char| "(),;:'`".contains(end));
        let stands_for = match ends {
            _ if ends.contains('/') => "PATH",
            _ if ends.parse::<std::net::SocketAddr>().is_ok() => "ADDRESS",
            _ if ends.ends_with('…') || ends.len() == 64 => "KEY",
            _ => return word.to_owned(),
        };
        word.replace(ends, stands_for)
    };
    line.split(' ').map(name_of).collect::<Vec<_>>().join(" ")
}

/// The messages in the guide's table.
fn quoted() -> BTreeSet<String> {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/GUIDE.md")).expect("readable");
    let (_, section) = guide.split_once("\n## Troubleshooting\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("another section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(said, _)| without_names(said)).collect()
}

/// The messages of trackers that cannot start.
fn trackers_that_cannot_start(said: &mut Vec<String>) {
    let installation = Installation::of(2);
    let mut fail = |args: &[&str]| said.push(installation.fail(args).1);
    let taken = TcpListener::bind(installation.addrs[0]).expect("free");
    fail(&["tracker_info.txt", "1"]);
    drop(taken);
    let (running, _) = installation.start(&["tracker_info.txt", "1"]);
    fail(&["--data-dir", "tracker_info.txt.data/tracker-1", "tracker_info.txt", "2"]);
    drop(running);
    let key = installation.folder.path().join("tracker_info.txt.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("allowed");
    fail(&["tracker_info.txt", "1"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("allowed");
    // An address that is reserved for documents (RFC 5737).
    installation.list("192.0.2.7:5000\n");
    fail(&["tracker_info.txt", "1"]);
}

/// A tracker's message about another one with a different key.
fn trackers_with_two_keys(said: &mut Vec<String>) {
    let installation = Installation::of(2);
    let _first = installation.tracker(1);
    let machine = installation.machine("other", &installation.addrs);
    fs::remove_file(machine.join("tracker_info.txt.key")).expect("copied");
    let mut second = installation.tracker_on(&machine, 2);
    let line = second.expect("tracker 1 is not connected").text;
    said.push(warning(&line).expect("a line of the log"));
}

/// The message of a client that finds another one at its address.
fn a_client_without_a_place(said: &mut Vec<String>) {
    let installation = Installation::of(1);
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_client"));
    command.current_dir(installation.folder.path()).args(["--state-dir", "state", &addr, "tracker_info.txt"]);
    said.push(Program::start(&mut command).complaint());
}

/// The message of a client that only its own machine reaches.
fn a_client_for_its_own_machine(said: &mut Vec<String>) {
    let installation = Installation::of(1);
    // An address that is reserved for documents (RFC 5737).
    installation.list("203.0.113.7:5000\n");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_client"));
    command.current_dir(installation.folder.path()).args(["--state-dir", "state", "127.0.0.1:0"]);
    said.push(Program::start(&mut command).expect("Other machines").text);
}

/// The messages of clients without a tracker, with one whose key has changed, and with a damaged pin.
fn clients_without_their_tracker(said: &mut Vec<String>) {
    let installation = Installation::of(1);
    let mut person = installation.person("bob", 1, &[]);
    person.say("login bob builder");
    said.push(person.expect("No tracker").text);
    let tracker = installation.tracker(1);
    person.say("create_user bob builder");
    person.expect("User created");
    drop(tracker);
    fs::remove_file(installation.folder.path().join("tracker_info.txt.key")).expect("made");
    let _another = installation.tracker(1);
    // The first answers may still come from the earlier tracker.
    let mut is_told = |words: &str| {
        loop {
            person.say("login bob builder");
            let line = person.expect("No tracker").text;
            if line.contains(words) {
                return line;
            }
        }
    };
    said.push(is_told("poses"));
    let pins = installation.folder.path().join("bob/state/pins");
    let pin = fs::read_dir(&pins).expect("there").next().expect("one").expect("read").path();
    fs::write(&pin, "garbage").expect("damaged");
    said.push(is_told("is damaged"));
    assert_eq!(fs::read(&pin).expect("it stays there"), b"garbage");
}

/// The messages to members who lack the right.
fn members_who_are_refused(said: &mut Vec<String>) {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| installation.person(name, 1, &[]));
    for name in ["alice", "bob"] {
        fs::write(installation.folder.path().join(name).join("film.mkv"), name).expect("room");
    }
    let says = |person: &mut Program, line: &str, words: &str| {
        person.say(line);
        person.expect(words).text
    };
    said.push(says(&mut bob, "login bob builder", "Invalid username"));
    for (person, name) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        says(person, &format!("create_user {name} builder"), "User created");
        says(person, &format!("login {name} builder"), "Login successful");
    }
    says(&mut alice, "create_group lab", "Group created");
    says(&mut alice, "upload_file film.mkv lab", "Uploaded");
    said.push(says(&mut bob, "list_files lab", "not a member"));
    says(&mut bob, "join_group lab", "Request sent");
    says(&mut alice, "accept_request lab bob", "Request accepted");
    bob.expect("You are a member of lab now");
    said.push(says(&mut bob, "upload_file film.mkv lab", "Another file"));
    said.push(says(&mut bob, "download_file lab film.mkv .", "there already"));
}

/// The message at the prompt that corresponds to a script's message. A person can wait for the tracker.
fn at_the_prompt(line: String) -> String {
    let gives_up = line.starts_with("No tracker can be reached");
    line + if gives_up { "; the client keeps trying" } else { "" }
}

#[test]
fn the_programs_say_what_the_guide_quotes() {
    let mut said = Vec::new();
    trackers_that_cannot_start(&mut said);
    trackers_with_two_keys(&mut said);
    a_client_without_a_place(&mut said);
    a_client_for_its_own_machine(&mut said);
    clients_without_their_tracker(&mut said);
    members_who_are_refused(&mut said);
    let said: BTreeSet<String> = said.iter().map(|line| at_the_prompt(without_names(line))).collect();
    assert_eq!(said, quoted());
}
