//! The next input, and how to read a plain line of it.

use crate::client::terminal::interrupt::{Activity, Interrupt};
use crate::client::terminal::line_reader::{LINE_LEN_MAX, LineRead, LineReader};
use crate::sys;
use std::io::Read;

/// Precedes a line that is being typed.
pub(crate) const PROMPT: &str = "> ";

/// The next input.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// A line without its line end.
    Line(String),
    /// Input that cannot be a line; says why.
    Bad(String),
    /// Nothing more: the end of the script, ctrl-D, or ctrl-C twice.
    End,
    /// The input cannot be read any more; says why.
    Broken(String),
    /// A signal asks the program to end.
    Stopped,
}

/// The next plain line. A person's ctrl-C ends the input.
pub(crate) fn read_plain<R: Read>(lines: &mut LineReader<R>, interrupt: &Interrupt) -> Input {
    if interrupt.is_ending() {
        return Input::Stopped;
    }
    interrupt.enter(Activity::Reading);
    let line = lines.next_line();
    interrupt.enter(Activity::Idle);
    let number = lines.number();
    match line {
        LineRead::Text(text) => Input::Line(text),
        LineRead::NotUtf8 => Input::Bad(format!("Line {number} of the input is not valid UTF-8")),
        LineRead::TooLong => Input::Bad(format!("Line {number} of the input is longer than {LINE_LEN_MAX} bytes")),
        LineRead::End => Input::End,
        LineRead::Broken(_) if interrupt.is_ending() => Input::Stopped,
        LineRead::Broken(_) if interrupt.take_pressed() => Input::End,
        LineRead::Broken(error) => Input::Broken(format!("Cannot read standard input: {}", sys::reason(&error))),
    }
}

/// Whether an answer means yes.
pub(crate) fn is_yes(answer: &str) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
}

/// A person's answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consent {
    Yes,
    No,
    /// A line instead of an answer, typed before the question was seen.
    Line(String),
    /// No answer, or input that is read later.
    Unanswered,
}

impl Consent {
    /// The meaning of a line that was read after a question.
    pub(crate) fn of(answer: String) -> Self {
        let is_no = ["", "n", "no"].iter().any(|no| answer.trim().eq_ignore_ascii_case(no));
        match is_yes(&answer) {
            true => Consent::Yes,
            false if is_no => Consent::No,
            false => Consent::Line(answer),
        }
    }
}
