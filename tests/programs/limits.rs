//! Messages to people and programs that reach a limit of the operator.

use crate::common::installation::Installation;
use crate::common::program::Program;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// A limit, ann's earlier commands, her refused command, and its message. `#` stands for a time.
type Case = (&'static str, &'static [&'static str], &'static str, &'static str);

const CASES: [Case; 12] = [
    (
        "groups_owned=1",
        &["create_group lab"],
        "create_group den",
        "This would be over a limit: you own 1 groups of 1; leave one, or ask the operator",
    ),
    (
        "memberships=1",
        &["create_group lab"],
        "create_group den",
        "This would be over a limit: you are in 1 groups of 1; leave one, or ask the operator",
    ),
    (
        "requests=1",
        &["join_group eve1"],
        "join_group eve2",
        "This would be over a limit: you wait for 1 groups of 1; withdraw one with leave_group, or ask the operator",
    ),
    (
        "asked=1",
        &["join_group eve1"],
        "join_group eve2",
        "Too many attempts, wait a little and try again: 1 requests to join an hour; the next one in #",
    ),
    (
        "shares=1",
        &["create_group lab", "upload_file one lab"],
        "upload_file two lab",
        "This would be over a limit: you share 1 files of 1; stop sharing some, or ask the operator",
    ),
    (
        "manifest_bytes=5000",
        &["create_group lab", "upload_file one lab"],
        "upload_file two lab",
        "This would be over a limit: the lists of pieces of your shares would take 8.2 kB of 5.0 kB; stop sharing some, \
         or ask the operator",
    ),
    (
        "changes=1",
        &["create_group lab"],
        "create_group den",
        "Too many attempts, wait a little and try again: 1 changes an hour; the next one in #",
    ),
    (
        "groups=3",
        &["create_group lab"],
        "create_group den",
        "The installation is full: 3 groups of 3; ask the operator",
    ),
    (
        "all_shares=1",
        &["create_group lab", "upload_file one lab"],
        "upload_file two lab",
        "The installation is full: 1 files of 1 are shared; ask the operator",
    ),
    (
        "all_bytes=5000",
        &["create_group lab", "upload_file one lab"],
        "upload_file two lab",
        "The installation is full: all lists of pieces would take 8.2 kB of 5.0 kB; ask the operator",
    ),
    ("users=2", &["logout"], "create_user bob secret", "The installation is full: 2 users of 2; ask the operator"),
    (
        "accounts=2",
        &["logout"],
        "create_user bob secret",
        "Too many attempts, wait a little and try again: 2 accounts an hour from this address; the next one in #",
    ),
];

/// The beginnings of the answers to the earlier commands.
const DONE: [&str; 4] = ["Group created", "Request sent", "Uploaded", "Logout successful"];

/// Ann at a tracker with this limit, and Eve, who owns two groups.
fn ann(limit: &str) -> (Installation, Program, Program) {
    let installation = Installation::of(1);
    let tracker = installation.tracker_with(installation.folder.path(), 1, &["--limit", limit]);
    let mut eve = installation.connect(1).expect("it listens");
    eve.create_user("eve");
    let mut ann = installation.person("ann", 1, &[]);
    ann.told("create_user ann secret", "User created");
    ann.told("login ann secret", "Login successful");
    for name in ["one", "two"] {
        fs::write(installation.folder.path().join("ann").join(name), name).expect("room");
    }
    (installation, tracker, ann)
}

fn is_told(text: &str, words: &str) -> bool {
    words.strip_suffix('#').map_or(text == words, |start| text.starts_with(start))
}

#[test]
fn a_user_who_meets_a_limit_is_told_which_one_and_what_to_do() {
    for (limit, before, line, words) in CASES {
        let (installation, _tracker, mut ann) = ann(limit);
        if ["requests", "asked", "groups="].iter().any(|start| limit.starts_with(start)) {
            let mut eve = installation.connect(1).expect("it listens");
            eve.log_in("eve");
            ["eve1", "eve2"].iter().for_each(|name| eve.create_group(name));
        }
        for line in before {
            let answers = ann.answers(line);
            let is_done = answers.iter().any(|answer| DONE.iter().any(|done| answer.text.starts_with(done)));
            assert!(is_done, "{limit}: {line}: {answers:?}");
        }
        let answers = ann.answers(line);
        assert!(answers.iter().any(|answer| is_told(&answer.text, words)), "{limit}: {line}: {answers:?}");
    }
}

#[test]
fn programs_are_told_the_same_as_people() {
    let words = "This would be over a limit: you own 1 groups of 1; leave one, or ask the operator";
    let installation = Installation::of(1);
    let options = ["--limit", "groups_owned=1", "--json", "127.0.0.1:0"];
    let mut tracker = Program::start(&mut installation.command(&options));
    let said = tracker.expect("JSON for programs on ").text;
    let addr = said.trim_start_matches("JSON for programs on ").split(',').next().expect("an address");
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let mut answers = BufReader::new(stream.try_clone().expect("a socket"));
    let mut ask = |command: &str, args: Value| -> Value {
        let request = json!({"command": command, "command_args": args, "sender_ip": "127.0.0.1", "sender_port": 7000});
        stream.write_all(format!("{request}\n").as_bytes()).expect("taken");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("an answer");
        serde_json::from_str(&answer).expect("JSON")
    };
    let who = json!({"user_id": "ann", "passwd": "secret"});
    let lab = json!({"group_id": "lab"});
    for (command, args) in [("create_user", who.clone()), ("login", who), ("create_group", lab)] {
        assert_eq!(ask(command, args)["status"], "success", "{command}");
    }
    assert_eq!(ask("create_group", json!({"group_id": "den"})), json!({"status": "error", "message": words}));
    let mut client = installation.person("bob", 1, &["--json"]);
    for line in [
        r#"{"command":"create_user","command_args":{"user_id":"bob","passwd":"x"}}"#,
        r#"{"command":"login","command_args":{"user_id":"bob","passwd":"x"}}"#,
        r#"{"command":"create_group","command_args":{"group_id":"bobs"}}"#,
        r#"{"command":"create_group","command_args":{"group_id":"more"}}"#,
    ] {
        client.say(line);
    }
    let answer: Value = serde_json::from_str(&client.expect("QuotaReached").text).expect("JSON");
    assert_eq!((&answer["status"], &answer["code"]), (&json!("error"), &json!("QuotaReached")));
    assert_eq!(answer["message"], words);
}
