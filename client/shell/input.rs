//! What is typed next, and how a plain line of it is read.

use crate::client::terminal::interrupt::{Activity, Interrupt};
use crate::client::terminal::line_reader::{LINE_LEN_MAX, LineRead, LineReader};
use crate::sys;
use std::io::Read;

/// What stands before a line that is typed.
pub(crate) const PROMPT: &str = "> ";

/// What is typed next.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// A line without its line end.
    Line(String),
    /// Something that cannot be a line; says why.
    Bad(String),
    /// Nothing more: the end of the script, ctrl-D, or ctrl-C twice.
    End,
    /// Nothing more can be read; says why.
    Broken(String),
    /// A signal asks the program to end.
    Stopped,
}

/// The next plain line; ctrl-C of a person ends them.
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

/// What a person says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consent {
    Yes,
    No,
    /// No answer but a line, which was typed before the question was seen.
    Line(String),
    /// Nothing, or something that is read later.
    Unanswered,
}

impl Consent {
    /// What a line says that was read behind a question.
    pub(crate) fn of(answer: String) -> Self {
        let is_no = ["", "n", "no"].iter().any(|no| answer.trim().eq_ignore_ascii_case(no));
        match is_yes(&answer) {
            true => Consent::Yes,
            false if is_no => Consent::No,
            false => Consent::Line(answer),
        }
    }
}
