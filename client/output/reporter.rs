//! Says what commands came to and what happens beside them: the one place where a value becomes what is read.
//!
//! In words, results stand on standard output: the answers to commands, and the downloads that have become complete.
//! Everything else is on standard error. In JSON, everything is on standard output, an object per line.

use super::event::{Event, Weight};
use super::json;
use super::report::Report;
use crate::client::command::failure::Failure;
use crate::client::terminal::writer::TerminalWriter;
use serde_json::{Map, Value};

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
}

impl Reporter {
    /// Speaks on this terminal.
    pub fn new(terminal: TerminalWriter, manner: Manner) -> Self {
        Self { terminal, manner }
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
            self.object(id, json::answer(report));
        } else {
            self.terminal.results(report.lines());
        }
    }

    /// Answers a command that was not carried out.
    pub fn refuse(&self, id: Option<Value>, failure: &Failure) {
        if self.manner.json {
            self.object(id, json::refusal(failure));
        } else {
            self.terminal.error(&failure.why);
        }
    }

    /// Tells what happens beside the commands.
    pub fn event(&self, event: &Event) {
        let weight = event.weight();
        if self.manner.quiet && matches!(weight, Weight::News | Weight::Progress) {
            return;
        }
        if self.manner.json {
            return self.object(None, json::event(event));
        }
        match (weight, event.line()) {
            (Weight::Result, Some(line)) => self.terminal.success(&line),
            (Weight::Trouble, Some(line)) => self.terminal.error(&line),
            (Weight::News, Some(line)) => self.terminal.event(&line),
            (Weight::Progress, Some(line)) => self.terminal.progress(&line),
            (_, None) => {}
        }
    }

    fn object(&self, id: Option<Value>, mut members: Map<String, Value>) {
        members.extend(id.map(|id| ("id".to_owned(), id)));
        self.terminal.object(&Value::Object(members));
    }
}
