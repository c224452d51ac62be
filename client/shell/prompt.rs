//! The source of commands: the line editor at a terminal, plain lines of a script, or the command line.

use super::editor::{Aids, LineEditor};
use super::input::{Consent, Input, PROMPT, is_yes, read_plain};
use crate::client::command::parse::asks_password;
use crate::client::command::types::PasswordPrompt;
use crate::client::terminal::interrupt::Interrupt;
use crate::client::terminal::line_reader::LineReader;
use crate::client::terminal::password::{self, NoEcho};
use crate::client::terminal::writer::TerminalWriter;
use std::fmt;
use std::io::{self, IsTerminal, Read};
use std::vec;
use zeroize::Zeroizing;

/// The source of commands.
pub struct Prompt {
    source: InputSource,
    terminal: TerminalWriter,
    interrupt: Interrupt,
    /// Whether no person reacts to the results of commands.
    script: bool,
}

enum InputSource {
    Editor(Box<LineEditor>),
    Plain {
        lines: LineReader<Box<dyn Read>>,
        /// Whether to show the prompt: on a terminal without line editing.
        shown: bool,
    },
    /// Commands of the command line, whose missing passwords are read from standard input.
    Given(vec::IntoIter<String>, Answers),
}

/// The source of passwords that are missing in the commands.
enum Answers {
    /// A person types the answers at a terminal. The terminal stays without echo until the last answer is there,
    /// because one may be typed ahead.
    Person(Option<NoEcho>),
    /// One per line.
    Lines(LineReader<Box<dyn Read>>),
}

impl Prompt {
    /// Standard input, with line editing if it and standard output are a terminal.
    pub fn stdio(terminal: &TerminalWriter, interrupt: &Interrupt, aids: impl FnOnce() -> Aids) -> Self {
        let person = io::stdin().is_terminal();
        let on_screen = person && io::stdout().is_terminal();
        let editor = if on_screen { LineEditor::open(terminal, interrupt, aids()) } else { None };
        let source = match editor {
            Some(editor) => InputSource::Editor(Box::new(editor)),
            None => InputSource::Plain { lines: stdin_lines(interrupt), shown: on_screen },
        };
        Self { source, terminal: terminal.clone(), interrupt: interrupt.clone(), script: !person }
    }

    /// These commands, one after the other. Standard input delivers only their missing passwords.
    pub fn commands(commands: Vec<String>, terminal: &TerminalWriter, interrupt: &Interrupt) -> Self {
        let answers = if io::stdin().is_terminal() {
            let asked = commands.iter().any(|command| asks_password(command));
            Answers::Person(asked.then(|| NoEcho::begin().ok()).flatten())
        } else {
            Answers::Lines(stdin_lines(interrupt))
        };
        let source = InputSource::Given(commands.into_iter(), answers);
        Self { source, terminal: terminal.clone(), interrupt: interrupt.clone(), script: true }
    }

    /// A script.
    pub fn script(from: impl Read + 'static, terminal: &TerminalWriter, interrupt: &Interrupt) -> Self {
        let source = InputSource::Plain { lines: LineReader::new(Box::new(from)), shown: false };
        Self { source, terminal: terminal.clone(), interrupt: interrupt.clone(), script: true }
    }

    /// Whether no person reacts. Then the end of the input waits for downloads, and failures show in the exit code.
    pub fn is_script(&self) -> bool {
        self.script
    }

    /// The next command.
    pub fn next_input(&mut self) -> Input {
        match &mut self.source {
            InputSource::Editor(editor) => editor.next_input(),
            InputSource::Plain { lines, shown } => {
                if *shown {
                    self.terminal.prompt(PROMPT);
                }
                let input = read_plain(lines, &self.interrupt);
                if *shown && !matches!(input, Input::Line(_)) {
                    self.terminal.end_line();
                }
                input
            }
            InputSource::Given(..) if self.interrupt.is_ending() => Input::Stopped,
            InputSource::Given(commands, answers) => {
                if let Answers::Person(no_echo) = answers {
                    no_echo.take_if(|_| !commands.as_slice().iter().any(|command| asks_password(command)));
                }
                commands.next().map_or(Input::End, Input::Line)
            }
        }
    }

    /// Whether the terminal shows typed text while a command runs, including ctrl-C.
    pub(crate) fn echoes(&self) -> bool {
        !matches!(self.source, InputSource::Editor(_))
    }

    /// Asks a person a question for yes or no. The end of the input counts as yes.
    pub fn confirm(&mut self, question: &str) -> bool {
        match &mut self.source {
            InputSource::Editor(editor) => editor.confirm(question),
            InputSource::Plain { lines, .. } => {
                self.terminal.ask(question);
                match read_plain(lines, &self.interrupt) {
                    Input::Line(answer) => is_yes(&answer),
                    Input::Bad(_) => false,
                    Input::End | Input::Broken(_) | Input::Stopped => true,
                }
            }
            InputSource::Given(..) => true,
        }
    }

    /// Whether there is a person to ask. False if the person has already typed a line that would count as the answer.
    pub(crate) fn can_ask(&self) -> bool {
        match &self.source {
            InputSource::Editor(editor) => !editor.holds_line(),
            InputSource::Plain { lines, .. } => !self.script && !lines.holds_line(),
            InputSource::Given(..) => false,
        }
    }

    /// Asks a person for a decision.
    pub(crate) fn decide(&mut self, question: &str) -> Consent {
        match &mut self.source {
            InputSource::Editor(editor) => editor.decide(question),
            InputSource::Plain { lines, .. } => {
                self.terminal.ask(question);
                match read_plain(lines, &self.interrupt) {
                    Input::Line(answer) => Consent::of(answer),
                    Input::Bad(_) | Input::End | Input::Broken(_) | Input::Stopped => Consent::Unanswered,
                }
            }
            InputSource::Given(..) => Consent::Unanswered,
        }
    }

    /// Adds a line to the history, if there is one. The caller leaves out lines with a password.
    pub fn keep(&mut self, line: &str) {
        if let InputSource::Editor(editor) = &mut self.source {
            editor.keep(line);
        }
    }

    /// Asks for a password: a person without echo, a script by reading its next line. Text that was pasted after the
    /// command counts as a script, because it is already on the screen. The error says why there is none.
    pub fn password(&mut self, ask: &PasswordPrompt) -> Result<Zeroizing<String>, PasswordError> {
        let pasted = match &mut self.source {
            InputSource::Editor(editor) => editor.next_pasted(),
            InputSource::Plain { lines, .. } if self.script || lines.holds_line() => {
                Some(read_plain(lines, &self.interrupt))
            }
            InputSource::Given(_, Answers::Lines(lines)) => Some(read_plain(lines, &self.interrupt)),
            InputSource::Plain { .. } | InputSource::Given(_, Answers::Person(_)) => None,
        };
        match pasted {
            Some(Input::Line(line)) => return Ok(Zeroizing::new(line)),
            Some(Input::Bad(why) | Input::Broken(why)) => return Err(PasswordError::Unreadable(why)),
            Some(Input::End) => return Err(PasswordError::InputEnds),
            Some(Input::Stopped) => return Err(PasswordError::Cancelled),
            None => {}
        }
        let first = self.hidden(&ask.text)?;
        if ask.twice && self.hidden("The same again: ")? != first {
            return Err(PasswordError::Differ);
        }
        Ok(first)
    }

    /// Asks a person for hidden input.
    fn hidden(&mut self, question: &str) -> Result<Zeroizing<String>, PasswordError> {
        let answer = match &mut self.source {
            InputSource::Editor(editor) => editor.password(question),
            InputSource::Plain { .. } | InputSource::Given(..) => {
                password::ask(question, &self.terminal, &self.interrupt).ok()
            }
        };
        answer.ok_or(PasswordError::NotGiven)
    }
}

/// Why there is no password.
#[derive(Debug)]
pub enum PasswordError {
    /// The line cannot be read, for this reason.
    Unreadable(String),
    InputEnds,
    Cancelled,
    NotGiven,
    Differ,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordError::Unreadable(why) => why,
            PasswordError::InputEnds => "The input ends where the password should follow",
            PasswordError::Cancelled => "Cancelled",
            PasswordError::NotGiven => "Cancelled, no password was given",
            PasswordError::Differ => "The two passwords differ, please try again",
        })
    }
}

fn stdin_lines(interrupt: &Interrupt) -> LineReader<Box<dyn Read>> {
    LineReader::new(Box::new(interrupt.reader(io::stdin())))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Prompt {
        /// A person who types lines.
        pub(crate) fn person(from: impl Read + 'static, terminal: &TerminalWriter, interrupt: &Interrupt) -> Self {
            Self { script: false, ..Self::script(from, terminal, interrupt) }
        }
    }
}
