//! Where typed lines come from: the line editor at a terminal, plain lines in a script.

use super::command::Ask;
use super::editor::{LineEditor, PROMPT};
use super::hidden;
use super::lines::{LINE_LEN_MAX, Line, Lines};
use super::stop::Stop;
use super::terminal::Terminal;
use std::io::{self, IsTerminal, Read};

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

/// The source of typed lines.
pub struct Prompt {
    source: Source,
    terminal: Terminal,
    stop: Stop,
    /// Whether a person types on a terminal.
    person: bool,
}

enum Source {
    Editor(Box<LineEditor>),
    Plain {
        lines: Lines<Box<dyn Read>>,
        /// Whether the prompt is shown: on a terminal that has no line editing.
        shown: bool,
    },
}

impl Prompt {
    /// Standard input: with line editing where it and standard output are a terminal.
    pub fn stdio(terminal: &Terminal, stop: &Stop) -> Self {
        let person = io::stdin().is_terminal();
        let on_screen = person && io::stdout().is_terminal();
        let editor = if on_screen { LineEditor::open(terminal, stop) } else { None };
        let source = match editor {
            Some(editor) => Source::Editor(Box::new(editor)),
            None => Source::Plain { lines: Lines::new(Box::new(stop.reader(io::stdin()))), shown: on_screen },
        };
        Self { source, terminal: terminal.clone(), stop: stop.clone(), person }
    }

    /// A script.
    pub fn script(from: impl Read + 'static, terminal: &Terminal, stop: &Stop) -> Self {
        let source = Source::Plain { lines: Lines::new(Box::new(from)), shown: false };
        Self { source, terminal: terminal.clone(), stop: stop.clone(), person: false }
    }

    /// Whether nobody is there to react: then the end of input waits for downloads, and failures show in the exit code.
    pub fn is_script(&self) -> bool {
        !self.person
    }

    /// The next line.
    pub fn next_input(&mut self) -> Input {
        match &mut self.source {
            Source::Editor(editor) => editor.next_input(),
            Source::Plain { lines, shown } => {
                if *shown {
                    self.terminal.prompt(PROMPT);
                }
                let input = read_plain(lines, &self.stop);
                if *shown && !matches!(input, Input::Line(_)) {
                    self.terminal.end_line();
                }
                input
            }
        }
    }

    /// Puts a line into the history, where there is one. Not for lines that hold a password.
    pub fn keep(&mut self, line: &str) {
        if let Source::Editor(editor) = &mut self.source {
            editor.keep(line);
        }
    }

    /// Asks for a password: a person without echo, a script by taking its next line. What was pasted behind the command
    /// counts as a script, since it is on the screen already. The error says why there is none.
    pub fn password(&mut self, ask: &Ask) -> Result<String, String> {
        let pasted = match &mut self.source {
            Source::Editor(editor) => editor.next_pasted(),
            Source::Plain { lines, .. } if !self.person => Some(read_plain(lines, &self.stop)),
            Source::Plain { .. } => None,
        };
        match pasted {
            Some(Input::Line(line)) => return Ok(line),
            Some(Input::Bad(why) | Input::Broken(why)) => return Err(why),
            Some(Input::End) => return Err("The input ends where the password should follow".to_owned()),
            Some(Input::Stopped) => return Err("Cancelled".to_owned()),
            None => {}
        }
        let answer = |question: &str| {
            hidden::ask(question, &self.terminal, &self.stop).map_err(|_| "Cancelled, no password was given".to_owned())
        };
        let first = answer(&ask.prompt)?;
        if ask.twice && answer("The same again: ")? != first {
            return Err("The two passwords differ, please try again".to_owned());
        }
        Ok(first)
    }
}

/// The next line of a script.
pub(super) fn read_plain<R: Read>(lines: &mut Lines<R>, stop: &Stop) -> Input {
    if stop.is_ending() {
        return Input::Stopped;
    }
    let line = lines.next_line();
    let number = lines.number();
    match line {
        Line::Text(text) => Input::Line(text),
        Line::NotUtf8 => Input::Bad(format!("Line {number} of the input is not valid UTF-8")),
        Line::TooLong => Input::Bad(format!("Line {number} of the input is longer than {LINE_LEN_MAX} bytes")),
        Line::End => Input::End,
        Line::Broken(_) if stop.is_ending() => Input::Stopped,
        Line::Broken(error) => Input::Broken(format!("Cannot read standard input: {}", words(&error))),
    }
}

/// What an error says, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
