//! A client with `--json`, as a program in any language uses it: an object per line, over pipes.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::schema::Schema;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A program that drives a client, and checks every line against the schema.
pub(crate) struct Driver {
    client: Program,
    pub(crate) folder: PathBuf,
    schema: Schema,
    /// The commands that have run.
    pub(crate) done: BTreeSet<String>,
    /// The names of the events so far.
    events: Vec<String>,
}

impl Driver {
    pub(crate) fn start(installation: &Installation, name: &str, options: &[&str]) -> Self {
        let args: Vec<&str> = ["--json"].iter().chain(options).copied().collect();
        Self::of(installation.person(name, 1, &args), installation, name)
    }

    /// The same client, started again.
    pub(crate) fn again(installation: &Installation, name: &str) -> Self {
        Self::of(installation.person_again(name, &["--json"]), installation, name)
    }

    fn of(client: Program, installation: &Installation, name: &str) -> Self {
        let folder = installation.folder.path().join(name);
        Self { client, folder, schema: Schema::of_client(), done: BTreeSet::new(), events: Vec::new() }
    }

    pub(crate) fn kill(self) {
        self.client.kill();
    }

    /// How many events of this name came.
    pub(crate) fn told_of(&self, event: &str) -> usize {
        self.events.iter().filter(|heard| *heard == event).count()
    }

    pub(crate) fn tell(&mut self, line: &str) {
        self.client.say(line);
    }

    /// The next object that meets the condition. Others are skipped.
    pub(crate) fn next(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.client.line();
            let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(object.is_object() && object.get("status").is_some() != object.get("event").is_some(), "{line}");
            self.schema.check(&object).unwrap_or_else(|error| panic!("{error}"));
            self.events.extend(object["event"].as_str().map(str::to_owned));
            if holds(&object) {
                return object;
            }
        }
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Value {
        self.next(|object| object.get("status").is_some())
    }

    /// The next event of this name.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.next(|object| object["event"] == name)
    }

    pub(crate) fn ask(&mut self, command: &str, args: Value) -> Value {
        let line = json!({ "command": command, "command_args": args, "id": command });
        self.schema.check_as("command", &line).unwrap_or_else(|error| panic!("{error}"));
        self.tell(&line.to_string());
        let answer = self.answer();
        assert_eq!(answer["id"], command, "{answer}");
        answer
    }

    pub(crate) fn succeeds(&mut self, command: &str, args: Value) -> Value {
        let answer = self.ask(command, args);
        assert_eq!(answer["status"], "success", "{answer}");
        self.schema.check_as(&format!("answer_{command}"), &answer).unwrap_or_else(|error| panic!("{error}"));
        self.done.insert(command.to_owned());
        answer
    }

    /// A client with a new user logged in.
    pub(crate) fn logged_in(installation: &Installation, name: &str) -> Self {
        let mut driver = Self::start(installation, name, &[]);
        assert_eq!(driver.event("listening")["ip"], "127.0.0.1");
        let account = json!({ "user_id": name, "passwd": "pw" });
        assert_eq!(driver.succeeds("create_user", account.clone())["message"], "User created");
        assert_eq!(driver.succeeds("login", account)["user_id"], name);
        driver
    }

    /// Ends the client's input. Returns the exit code, and the output on standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        self.client.close_input();
        let (status, error) = self.client.end();
        (status.code(), error)
    }
}

const NAME: &str = "Übung 3 – \"дом\".txt";
const SHA1: &str = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";

#[test]
fn a_program_shares_a_file_and_another_one_downloads_it() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = Driver::logged_in(&installation, "alice");
    let mut bob = Driver::logged_in(&installation, "bob");
    alice.succeeds("create_group", json!({ "group_id": "lab" }));
    bob.succeeds("join_group", json!({ "group_id": "lab" }));
    let asked = alice.event("join_requested");
    assert_eq!((&asked["group_id"], &asked["user_id"]), (&json!("lab"), &json!("bob")));
    assert_eq!(alice.succeeds("list_requests", json!({ "group_id": "lab" }))["requests"], json!(["bob"]));
    alice.succeeds("accept_request", json!({ "group_id": "lab", "user_id": "bob" }));
    assert_eq!(bob.event("request_accepted")["group_id"], "lab");
    let groups = bob.succeeds("list_groups", json!({}));
    assert_eq!(
        groups["groups"],
        json!([{
            "group_id": "lab",
            "owner": "alice",
            "owners": 1,
            "members": 2,
            "access": "ask",
            "role": "member",
        }])
    );

    let data = b"The quick brown fox jumps over the lazy dog";
    fs::write(alice.folder.join(NAME), data).expect("room");
    let shared = alice.succeeds("upload_file", json!({ "file_path": NAME, "group_id": "lab" }));
    let what = json!({ "id": "upload_file", "status": "success", "group_id": "lab", "file_name": NAME, "size": 43,
        "files": 1, "fileSha": SHA1 });
    assert_eq!(shared, what);
    let listed = bob.succeeds("list_files", json!({ "group_id": "lab" }));
    let file = json!({ "file_name": NAME, "size": 43, "files": 1, "fileSha": SHA1, "sharers": 1, "online": 1 });
    assert_eq!(listed["files"], json!([file]));
    let begun =
        bob.succeeds("download_file", json!({ "group_id": "lab", "file_name": NAME, "destination_path": "got" }));
    assert_eq!(begun["file_path"], bob.folder.join("got").to_str().expect("text"));
    let completed = bob.event("download_completed");
    assert_eq!((&completed["file_path"], &completed["size"]), (&begun["file_path"], &json!(43)));
    assert_eq!((&completed["group_id"], &completed["file_name"]), (&json!("lab"), &json!(NAME)));
    assert!(completed["seconds"].is_f64(), "{completed}");
    assert_eq!(fs::read(bob.folder.join("got")).expect("there"), data);
    let shown = bob.succeeds("show_downloads", json!({}));
    assert_eq!((&shown["downloads"][0]["state"], &shown["downloads"][0]["done"]), (&json!("completed"), &json!(43)));
    let brought = json!([{ "user_id": "alice", "bytes": 43, "way": "direct" }]);
    assert_eq!(shown["downloads"][0]["delivered"], brought, "the last way, though the connection is gone");
    let members = alice.succeeds("list_members", json!({ "group_id": "lab" }));
    let online = |user: &str, owner: bool| json!({ "user_id": user, "owner": owner, "online": 1 });
    assert_eq!(members["members"], json!([online("alice", true), online("bob", false)]));
    bob.succeeds("quit", json!({}));
    assert_eq!(bob.end(), (Some(0), String::new()));
    assert_eq!(alice.end(), (Some(0), String::new()));
}

#[test]
fn a_program_hears_how_far_a_download_is() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = Driver::logged_in(&installation, "alice");
    alice.succeeds("create_group", json!({ "group_id": "lab" }));
    fs::write(alice.folder.join("f"), vec![7; 3_000_000]).expect("room");
    alice.succeeds("upload_file", json!({ "file_path": "f", "group_id": "lab" }));
    alice.succeeds("logout", json!({}));
    let mut again = Driver::start(&installation, "alice-elsewhere", &[]);
    again.succeeds("login", json!({ "user_id": "alice", "passwd": "pw" }));
    again.succeeds("download_file", json!({ "group_id": "lab", "file_name": "f", "destination_path": "." }));
    let progress = again.event("download_progress");
    let file = json!({ "event": "download_progress", "group_id": "lab", "file_name": "f", "state": "running",
        "done": 0, "size": 3_000_000, "bytes_per_second": 0, "members": 0, "delivered": [], "reused": 0, "obstacles": [] });
    assert_eq!(progress, file);
    alice.succeeds("login", json!({ "user_id": "alice", "passwd": "pw" }));
    assert_eq!(again.event("download_completed")["size"], 3_000_000);
}

#[test]
fn a_program_is_told_the_code_of_a_failed_download() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = Driver::logged_in(&installation, "alice");
    alice.succeeds("create_group", json!({ "group_id": "lab" }));
    fs::write(alice.folder.join("f"), vec![7; 3_000_000]).expect("room");
    alice.succeeds("upload_file", json!({ "file_path": "f", "group_id": "lab" }));
    alice.succeeds("logout", json!({}));
    let mut again = Driver::start(&installation, "alice-elsewhere", &[]);
    again.succeeds("login", json!({ "user_id": "alice", "passwd": "pw" }));
    again.succeeds("download_file", json!({ "group_id": "lab", "file_name": "f", "destination_path": "." }));
    again.tell(&json!({ "command": "leave_group", "command_args": { "group_id": "lab" } }).to_string());
    // The answer may come before the event or after it.
    let (mut answer, mut failed) = (Value::Null, Value::Null);
    while answer.is_null() || failed.is_null() {
        let object = again.next(|object| object["event"] == "download_failed" || object.get("status").is_some());
        let slot = if object.get("status").is_some() { &mut answer } else { &mut failed };
        *slot = object;
    }
    assert_eq!(answer["status"], "success", "{answer}");
    let reason = "you are no longer a member of the group";
    assert_eq!((&failed["group_id"], &failed["file_name"]), (&json!("lab"), &json!("f")), "{failed}");
    assert_eq!((&failed["code"], &failed["reason"]), (&json!("NotMember"), &json!(reason)), "{failed}");
    let shown = again.succeeds("show_downloads", json!({}))["downloads"][0].clone();
    assert_eq!((&shown["state"], &shown["code"]), (&json!("failed"), &json!("NotMember")), "{shown}");
    assert_eq!(shown["reason"], reason);
}

#[test]
fn an_error_answers_a_wrong_line_and_the_client_reads_the_next_one() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut driver = Driver::logged_in(&installation, "alice");
    let long = format!("{{\"command\":\"{}\"}}", "x".repeat(1_000_000));
    for (line, said) in [
        ("{\"command\":", "The line is not JSON: "),
        ("{\"command\":\"login\",\"id\":1} {}", "The line is not JSON: "),
        ("[\"login\"]", "Unknown command"),
        ("{\"command\":\"login\",\"command_args\":7}", "command_args is not an object"),
        ("{\"command\":\"create_group\",\"command_args\":{\"group_id\":[]}}", "The line is no command: invalid type"),
        ("{\"command\":\"quit\",\"command\":\"list_groups\"}", "The line is no command: duplicate field `command`"),
        (&long, "is longer than 65536 bytes"),
    ] {
        driver.tell(line);
        let answer = driver.answer();
        let message = answer["message"].as_str().expect("a text");
        assert!(answer["status"] == "error" && message.contains(said), "{line}: {answer}");
    }
    let answer = driver.ask("join_group", json!({ "group_id": "nowhere" }));
    let refused = json!({ "id": "join_group", "status": "error", "code": "NoSuchGroup",
        "message": "Group does not exist: nowhere" });
    assert_eq!(answer, refused);
    // Lines as at the prompt work too. Without an id of its own a command has its number.
    driver.tell("list_groups");
    assert_eq!(driver.answer(), json!({ "id": 11, "status": "success", "groups": [] }));
    driver.tell("\n# a comment, which gets no answer\n{\"command\":\"nothing\"}");
    assert_eq!((&driver.answer()["id"], driver.ask("logout", json!({}))["id"].clone()), (&json!(12), json!("logout")));
    driver.tell("limit");
    assert_eq!(driver.answer()["id"], 14);
    assert_eq!(driver.end(), (Some(1), String::new()));
}

#[test]
fn without_a_tracker_a_program_is_told_so() {
    let installation = Installation::of(1);
    let mut driver = Driver::start(&installation, "early", &["--exec", "login alice pw"]);
    let answer = driver.answer();
    assert_eq!((&answer["status"], &answer["code"]), (&json!("error"), &json!("NoTracker")), "{answer}");
    assert_eq!(driver.end(), (Some(4), String::new()));
}
