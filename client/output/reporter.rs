//! Shows the results of commands and the events beside them. This is the one place where values become readable text.
//!
//! In words, results go to standard output: the answers to commands, and complete downloads. Everything else goes to
//! standard error. In JSON, everything goes to standard output, one object per line.

use super::event::{Event, Weight};
use super::json;
use super::line_pace::{LineKind, LinePace};
use super::report::Report;
use crate::client::command::failure::Failure;
use crate::client::terminal::writer::TerminalWriter;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Instant;

/// The form of the client's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// Leaves out progress and the acts of others.
    pub quiet: bool,
    /// JSON instead of words.
    pub json: bool,
}

/// Writes all output of the client. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    terminal: TerminalWriter,
    manner: Manner,
    pace: Arc<Mutex<LinePace>>,
}

impl Reporter {
    /// Writes to this terminal.
    pub fn new(terminal: TerminalWriter, manner: Manner) -> Self {
        Self { terminal, manner, pace: Arc::default() }
    }

    /// The terminal of the output.
    pub fn terminal(&self) -> &TerminalWriter {
        &self.terminal
    }

    /// Whether the output is JSON for a program.
    pub fn is_json(&self) -> bool {
        self.manner.json
    }

    /// Answers a successful command. `id` is the program's name for it.
    pub fn answer(&self, id: Option<Value>, report: &Report) {
        if self.manner.json {
            let members = named(id, json::answer(report));
            self.terminal.object(&json::AnswerLine { members, report });
        } else {
            self.terminal.results(report.lines());
        }
    }

    /// Answers a failed command.
    pub fn refuse(&self, id: Option<Value>, failure: &Failure) {
        if self.manner.json {
            self.terminal.object(&named(id, json::refusal(failure)));
        } else {
            self.terminal.error(&failure.why);
        }
    }

    /// Shows an event beside the commands. For a person, acts of others are limited in rate. A program gets all.
    pub fn event(&self, event: &Event) {
        let weight = event.weight();
        if self.manner.quiet && matches!(weight, Weight::News | Weight::Progress) {
            return;
        }
        if self.manner.json {
            return self.terminal.object(&json::event(event));
        }
        let Some(line) = event.line() else { return };
        match event.cause() {
            Some(cause) if !self.pace.lock().take(&cause, &line, Instant::now()) => self.tell_left_out(),
            _ => self.say(weight, &line),
        }
    }

    /// Shows the left-out lines that are due.
    pub fn tell_left_out(&self) {
        let lines = self.pace.lock().due(Instant::now());
        self.say_all(lines);
    }

    /// Shows all left-out lines.
    pub fn tell_rest(&self) {
        let lines = self.pace.lock().rest();
        self.say_all(lines);
    }

    fn say_all(&self, lines: Vec<(LineKind, String)>) {
        for (kind, line) in lines {
            let weight = match kind {
                LineKind::JoinRequest | LineKind::Decision | LineKind::NewVersion | LineKind::Trackers => Weight::News,
                LineKind::Stranded | LineKind::ShareLost | LineKind::Warning => Weight::Trouble,
            };
            self.say(weight, &line);
        }
    }

    fn say(&self, weight: Weight, line: &str) {
        match weight {
            Weight::Result => self.terminal.success(line),
            Weight::Trouble => self.terminal.error(line),
            Weight::News => self.terminal.event(line),
            Weight::Progress => self.terminal.progress(line),
        }
    }
}

/// Adds the program's id to an answer.
fn named(id: Option<Value>, mut members: Map<String, Value>) -> Map<String, Value> {
    members.extend(id.map(|id| ("id".to_owned(), id)));
    members
}
