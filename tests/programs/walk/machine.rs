//! A client of a user on a machine: a program with a folder and a state directory of its own.

use crate::common::installation::Installation;
use crate::common::program::Program;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::PathBuf;

/// How a client ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Quit,
    Term,
    HangUp,
    Kill,
}

pub(super) const ENDS: [End; 4] = [End::Quit, End::Term, End::HangUp, End::Kill];

pub(super) struct Machine {
    pub name: &'static str,
    pub user: &'static str,
    /// The folder in which the client starts.
    pub folder: PathBuf,
    program: Option<Program>,
    /// Events that no caller has asked for yet.
    events: Vec<Value>,
}

const ARGS: [&str; 2] = ["--json", "--quiet"];

impl Machine {
    pub(super) fn new(installation: &Installation, name: &'static str, user: &'static str) -> Self {
        let folder = installation.folder.path().join(name);
        let program = Some(installation.person(name, 1, &ARGS));
        let folder = folder.canonicalize().expect("made");
        Self { name, user, folder, program, events: Vec::new() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.program.is_some()
    }

    /// Starts the client again and logs in.
    pub(super) fn begin(&mut self, installation: &Installation) {
        self.program = Some(installation.person_again(self.name, &ARGS));
        self.log_in();
    }

    pub(super) fn log_in(&mut self) {
        self.succeeds("login", json!({ "user_id": self.user, "passwd": "pw" }));
    }

    pub(super) fn end(&mut self, how: End) {
        self.events.clear();
        let mut program = self.program.take().expect("it runs");
        match how {
            End::Quit => {
                // Its output stays unread meanwhile: it may end downloads.
                program.say("{\"command\":\"quit\"}");
                program.end();
            }
            End::Term | End::HangUp => {
                program.signal(if matches!(how, End::Term) { Signal::TERM } else { Signal::HUP });
                program.end();
            }
            End::Kill => {
                program.kill();
            }
        }
    }

    fn object(&mut self) -> Value {
        let line = self.program.as_mut().expect("it runs").line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    pub(super) fn ask(&mut self, command: &str, args: Value) -> Value {
        let line = json!({ "command": command, "command_args": args, "id": command }).to_string();
        self.program.as_mut().expect("it runs").say(&line);
        loop {
            let object = self.object();
            if object.get("status").is_some() {
                assert_eq!(object["id"], command, "{object}");
                return object;
            }
            self.events.push(object);
        }
    }

    pub(super) fn succeeds(&mut self, command: &str, args: Value) -> Value {
        let answer = self.ask(command, args);
        assert_eq!(answer["status"], "success", "{}: {command}: {answer}; {:#?}", self.name, self.events);
        answer
    }

    /// Waits for the end of the download of a file. Returns the event.
    pub(super) fn ended(&mut self, file: &str) -> Value {
        let ends = ["download_completed", "download_failed", "download_lost"];
        let so = |event: &Value| event["file_name"] == file && ends.iter().any(|end| event["event"] == **end);
        if let Some(at) = self.events.iter().position(so) {
            return self.events.remove(at);
        }
        loop {
            let object = self.object();
            if so(&object) {
                return object;
            }
            self.events.push(object);
        }
    }

    /// Drops the events of earlier downloads of a file.
    pub(super) fn forget_ends(&mut self, file: &str) {
        self.events.retain(|event| event["file_name"] != file);
    }

    /// The latest download of a file in `show_downloads`.
    pub(super) fn download(&mut self, file: &str) -> Option<Value> {
        let shown = self.succeeds("show_downloads", json!({}));
        let downloads = shown["downloads"].as_array().expect("a list").clone();
        downloads.into_iter().rev().find(|download| download["file_name"] == file)
    }

    /// The files of the group: name, SHA-1, number of sharers, number of online clients with pieces.
    pub(super) fn files(&mut self) -> Vec<(String, u64, u64)> {
        let listed = self.succeeds("list_files", json!({ "group_id": "lab" }));
        let files = listed["files"].as_array().expect("a list").iter();
        let number = |value: &Value| value.as_u64().expect("a number");
        files
            .map(|file| {
                let name = file["file_name"].as_str().expect("a name").to_owned();
                (name, number(&file["sharers"]), number(&file["online"]))
            })
            .collect()
    }
}
