//! A member: the client's program at a site. The test talks to it in JSON.

use crate::common::deadline::LONG;
use crate::network::Site;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running client. Dropping this kills it.
pub(crate) struct Member {
    pub name: String,
    pub folder: PathBuf,
    child: Child,
    input: ChildStdin,
    said: Receiver<(Instant, Value)>,
    /// Events that came before an answer and that no caller has taken yet.
    events: VecDeque<(Instant, Value)>,
}

impl Member {
    /// Starts a client in a folder with a tracker_info.txt.
    pub(crate) fn start(name: &str, site: &Site, folder: PathBuf, args: &[&str]) -> Self {
        let mut command = site.command(env!("CARGO_BIN_EXE_client"));
        command.args(["--json", "--state-dir", "state"]).args(args).current_dir(&folder);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (say, said) = unbounded();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).expect("an object");
                // The member may be dropped while it still has output.
                let _ = say.send((Instant::now(), value));
            }
        });
        Self { name: name.to_owned(), folder, child, input, said, events: VecDeque::new() }
    }

    fn hear(&self, deadline: Instant) -> Option<(Instant, Value)> {
        match self.said.recv_deadline(deadline) {
            Ok(heard) => Some(heard),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("{} has ended", self.name),
        }
    }

    /// The answer to a command.
    pub(crate) fn ask(&mut self, command: &str, args: &Value) -> Value {
        let line = json!({ "command": command, "command_args": args });
        writeln!(self.input, "{line}").expect("taken");
        let deadline = Instant::now() + LONG;
        loop {
            let (at, value) = self.hear(deadline).unwrap_or_else(|| panic!("{}: no answer to {line}", self.name));
            if value.get("status").is_some() {
                return value;
            }
            self.events.push_back((at, value));
        }
    }

    pub(crate) fn does(&mut self, command: &str, args: &Value) -> Value {
        let answer = self.ask(command, args);
        assert_eq!(answer["status"], "success", "{}: {command} {args}: {answer}", self.name);
        answer
    }

    /// The next event that meets the condition, and its time. Earlier events are skipped. `None` if no such event comes
    /// within this time.
    pub(crate) fn event(&mut self, within: Duration, holds: impl Fn(&Value) -> bool) -> Option<(Instant, Value)> {
        let deadline = Instant::now() + within;
        loop {
            let event = self.events.pop_front().or_else(|| self.hear(deadline))?;
            if holds(&event.1) {
                return Some(event);
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // This fails if the client has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
