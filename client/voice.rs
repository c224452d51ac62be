//! Says what commands came to and what happens beside them: the one place where a value becomes what is read.
//!
//! On standard output stand results: the answers to commands, and the downloads that have become complete. Everything
//! else is on standard error.

use super::event::{Event, Weight};
use super::failure::Failure;
use super::report::Report;
use super::terminal::Terminal;

/// The voice of the client. Cheap to clone.
#[derive(Clone)]
pub struct Voice {
    terminal: Terminal,
    quiet: bool,
}

impl Voice {
    /// Speaks on this terminal. A quiet one says nothing of what is under way and what others have done.
    pub fn new(terminal: Terminal, quiet: bool) -> Self {
        Self { terminal, quiet }
    }

    /// Where it speaks.
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Answers a command that was carried out.
    pub fn answer(&self, report: &Report) {
        self.terminal.results(report.lines());
    }

    /// Answers a command that was not carried out.
    pub fn refuse(&self, failure: &Failure) {
        self.terminal.error(&failure.why);
    }

    /// Tells what happens beside the commands.
    pub fn event(&self, event: &Event) {
        match event.weight() {
            Weight::Result => self.terminal.result(&event.line()),
            Weight::Trouble => self.terminal.error(&event.line()),
            Weight::News if self.quiet => {}
            Weight::News => self.terminal.event(&event.line()),
        }
    }
}
