//! Programs and their output line by line, and trackers that cannot start.

use crate::common::installation::Installation;
use crate::common::program::Program;
use std::process::{Output, Stdio};

impl Installation {
    /// Starts a tracker and waits until it reports that it runs. Returns that line.
    pub(crate) fn start(&self, args: &[&str]) -> (Program, String) {
        let mut tracker = Program::start(&mut self.command(args));
        let banner = tracker.line();
        (tracker, banner)
    }

    /// Starts a tracker that cannot run.
    pub(crate) fn fail(&self, args: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.command(args).stdin(Stdio::null()).output().expect("started");
        assert_eq!(stdout, b"", "{}", String::from_utf8_lossy(&stdout));
        let said = String::from_utf8(stderr).expect("text");
        assert_eq!(said.lines().count(), 1, "one line: {said}");
        (status.code().expect("an exit code"), said.trim_end().to_owned())
    }
}

/// A line of a tracker's log without its time and level. `None` for a line about an event.
pub(crate) fn warning(line: &str) -> Option<String> {
    let (_time_and_level, words) = line.split_once("tracker: ").filter(|_| !line.contains(" kind="))?;
    Some(format!("tracker: {words}"))
}

impl Program {
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// The next line on standard output.
    pub(crate) fn line(&mut self) -> String {
        self.next("a line", |line| !line.complaint).text
    }

    /// The next line on standard error.
    pub(crate) fn complaint(&mut self) -> String {
        self.next("a complaint", |line| line.complaint).text
    }

    /// The next line of a tracker's log except those about events, without its time and level.
    pub(crate) fn logged(&mut self) -> String {
        warning(&self.next("a line of the log", |line| line.complaint && warning(&line.text).is_some()).text)
            .expect("looked for")
    }

    /// Waits for the end of a tracker. Returns its exit code and the remaining lines of this kind.
    pub(crate) fn end_logged(&mut self) -> (Option<i32>, Vec<String>) {
        let (status, said) = self.end();
        (status.code(), said.lines().filter_map(warning).collect())
    }
}
