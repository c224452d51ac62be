//! Says what commands came to and what happens beside them: the one place where a value becomes what is read.
//!
//! In words, results stand on standard output: the answers to commands, and the downloads that have become complete.
//! Everything else is on standard error. In JSON, everything is on standard output, an object per line.

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

/// How the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// Nothing is said of what is under way and what others have done.
    pub quiet: bool,
    /// JSON instead of words.
    pub json: bool,
}

/// Says everything that the client says. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    terminal: TerminalWriter,
    manner: Manner,
    pace: Arc<Mutex<LinePace>>,
}

impl Reporter {
    /// Speaks on this terminal.
    pub fn new(terminal: TerminalWriter, manner: Manner) -> Self {
        Self { terminal, manner, pace: Arc::default() }
    }

    /// Where it speaks.
    pub fn terminal(&self) -> &TerminalWriter {
        &self.terminal
    }

    /// Whether it speaks to a program, in JSON.
    pub fn is_json(&self) -> bool {
        self.manner.json
    }

    /// Answers a command that was carried out; `id` is what a program has called it.
    pub fn answer(&self, id: Option<Value>, report: &Report) {
        if self.manner.json {
            let members = named(id, json::answer(report));
            self.terminal.object(&json::AnswerLine { members, report });
        } else {
            self.terminal.results(report.lines());
        }
    }

    /// Answers a command that was not carried out.
    pub fn refuse(&self, id: Option<Value>, failure: &Failure) {
        if self.manner.json {
            self.terminal.object(&named(id, json::refusal(failure)));
        } else {
            self.terminal.error(&failure.why);
        }
    }

    /// Tells what happens beside the commands. A person is told of what others do at a pace; a program is told of all.
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

    /// Tells what had no line of its own, as far as it is time for that.
    pub fn tell_left_out(&self) {
        let lines = self.pace.lock().due(Instant::now());
        self.say_all(lines);
    }

    /// Tells all that had no line of its own.
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

/// An answer to what a program has called this.
fn named(id: Option<Value>, mut members: Map<String, Value>) -> Map<String, Value> {
    members.extend(id.map(|id| ("id".to_owned(), id)));
    members
}
