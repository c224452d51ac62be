//! The line editor at a real terminal: lines with editing and history, and messages above the current line.

use super::completer::Completer;
use super::hidden_line::HiddenLine;
use super::history;
use super::history::HistoryFile;
use super::input::{Consent, Input, PROMPT, is_yes, read_plain};
use crate::client::command::completion::Candidate;
use crate::client::terminal::interrupt::{Activity, Interrupt, InterruptibleReader};
use crate::client::terminal::line_reader::{LINE_LEN_MAX, LineReader};
use crate::client::terminal::password::{self, NoEcho};
use crate::client::terminal::writer::TerminalWriter;
use crate::model::escape::escape;
use crate::sys::owned_thread::OwnedThread;
use crossbeam_channel::{Sender, bounded};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustyline::completion::Pair;
use rustyline::error::{ReadlineError, Signal};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Event, EventHandler, ExternalPrinter, Helper};
use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Stdin};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The line editor waits in `select`, which knows no descriptor from 1,024 on.
const DESCRIPTORS_MAX: u64 = 1024;
/// The longest line that the arrow keys bring back, in bytes.
const KEPT_LEN_MAX: usize = 4096;

/// Aids for a person who types.
pub struct Aids {
    /// The file with the lines of earlier runs.
    pub history: PathBuf,
    /// Completes names; `None` if the system has no room for a thread.
    pub completer: Option<Completer>,
}

/// A line editor, with the thread that shows messages in it.
pub(crate) struct LineEditor {
    /// Dropped first, which ends the wait of the showing thread.
    editor: Option<Editor<Watcher, DefaultHistory>>,
    hidden: HiddenLine,
    /// Even between two lines the terminal shows nothing: text that is typed ahead may be a password.
    no_echo: Option<NoEcho>,
    history: HistoryFile,
    terminal: TerminalWriter,
    interrupt: Interrupt,
    /// Reads a line where the editor cannot, because descriptors are missing.
    plain: LineReader<InterruptibleReader<Stdin>>,
    /// The rest of several pasted lines.
    pasted: VecDeque<String>,
    /// Whether the last key was ctrl-C. A second one leaves.
    leaving: bool,
    alive: Option<Sender<Infallible>>,
    showing: OwnedThread,
}

impl LineEditor {
    /// Takes the terminal over. Returns `None` if it allows no line editing.
    pub(crate) fn open(terminal: &TerminalWriter, interrupt: &Interrupt, aids: Aids) -> Option<Self> {
        limit_descriptors()?;
        let config = Config::builder().max_history_size(history::LINES_MAX).ok()?;
        let config = config.completion_type(CompletionType::List).build();
        let mut editor: Editor<Watcher, DefaultHistory> = Editor::with_config(config).ok()?;
        let mut above = editor.create_external_printer().ok()?;
        let hidden = HiddenLine::default();
        editor.bind_sequence(Event::Any, EventHandler::Conditional(Box::new(hidden.clone())));
        let (history, told) = HistoryFile::load(aids.history, editor.history_mut());
        told.into_iter().for_each(|line| terminal.event(&line));
        editor.set_helper(Some(Watcher {
            empty: Cell::new(true),
            asking: Cell::new(false),
            completer: aids.completer,
        }));
        let (alive, until) = bounded(0);
        // A thread of its own, because a message waits while the editor returns a line.
        let said = terminal.clone();
        let showing =
            OwnedThread::start("messages", move || said.serve_editor(&until, |text| above.print(text).is_ok())).ok()?;
        Some(Self {
            editor: Some(editor),
            hidden,
            no_echo: NoEcho::begin().ok(),
            history,
            terminal: terminal.clone(),
            interrupt: interrupt.clone(),
            plain: LineReader::new(interrupt.reader(io::stdin())),
            pasted: VecDeque::new(),
            leaving: false,
            alive: Some(alive),
            showing,
        })
    }

    /// The next typed line.
    pub(crate) fn next_input(&mut self) -> Input {
        loop {
            if let Some(line) = self.next_pasted() {
                return line;
            }
            let read = self.edit(PROMPT);
            if self.interrupt.is_ending() {
                return Input::Stopped;
            }
            match read {
                Ok(text) => {
                    self.leaving = false;
                    self.pasted.extend(text.split(['\n', '\r']).map(str::to_owned));
                }
                Err(ReadlineError::Interrupted | ReadlineError::Signal(Signal::Interrupt)) => {
                    let empty = self.watcher().is_none_or(|watcher| watcher.empty.get());
                    if empty && self.leaving {
                        return Input::End;
                    }
                    if empty {
                        self.terminal.event("Press ctrl-C again, or ctrl-D, to leave");
                    }
                    self.leaving = true;
                }
                Err(ReadlineError::Signal(_)) => {}
                Err(ReadlineError::Eof) => return Input::End,
                Err(error) if lacks_descriptors(&error) => {
                    self.terminal.prompt(PROMPT);
                    self.no_echo = None;
                    let line = read_plain(&mut self.plain, &self.interrupt);
                    self.no_echo = NoEcho::begin().ok();
                    return line;
                }
                Err(error) => return Input::Broken(format!("Cannot read from the terminal: {error}")),
            }
        }
    }

    /// The line after `prompt`, unless the program has to end.
    fn edit(&mut self, prompt: &str) -> Result<String, ReadlineError> {
        self.interrupt.enter(Activity::Editing);
        let read = if self.interrupt.is_ending() {
            Err(ReadlineError::Eof)
        } else if self.interrupt.take_pressed() {
            self.watcher().into_iter().for_each(|watcher| watcher.empty.set(true));
            Err(ReadlineError::Interrupted)
        } else if let Some(editor) = &mut self.editor {
            self.no_echo.as_ref().inspect(|no_echo| no_echo.renew());
            let _screen = self.terminal.leave_to_editor();
            editor.readline(prompt)
        } else {
            Err(ReadlineError::Eof)
        };
        self.interrupt.enter(Activity::Idle);
        read
    }

    /// Asks for a password without showing it. Text that is typed ahead is part of it. Returns `None` if none is given.
    pub(crate) fn password(&mut self, question: &str) -> Option<Zeroizing<String>> {
        self.hidden.begin();
        let read = self.edit(&escape(question));
        let typed = self.hidden.end();
        match read {
            Ok(_) => Some(typed),
            Err(error) if lacks_descriptors(&error) => password::ask(question, &self.terminal, &self.interrupt).ok(),
            Err(_) => None,
        }
    }

    fn watcher(&self) -> Option<&Watcher> {
        self.editor.as_ref().and_then(Editor::helper)
    }

    /// The next of several pasted lines.
    pub(crate) fn next_pasted(&mut self) -> Option<Input> {
        let line = self.pasted.pop_front()?;
        Some(if line.len() > LINE_LEN_MAX {
            Input::Bad(format!("The line is longer than {LINE_LEN_MAX} bytes"))
        } else {
            Input::Line(line)
        })
    }

    /// Whether a pasted line waits.
    pub(crate) fn holds_line(&self) -> bool {
        !self.pasted.is_empty()
    }

    /// Asks a question for yes or no. Ctrl-D counts as yes, and anything else as no.
    pub(crate) fn confirm(&mut self, question: &str) -> bool {
        let read = self.answer(question);
        self.interrupt.is_ending()
            || read.map_or_else(|error| matches!(error, ReadlineError::Eof), |answer| is_yes(&answer))
    }

    /// Asks for a decision.
    pub(crate) fn decide(&mut self, question: &str) -> Consent {
        let Ok(typed) = self.answer(&escape(question)) else { return Consent::Unanswered };
        let mut lines = typed.split(['\n', '\r']).map(str::to_owned);
        let consent = lines.next().map_or(Consent::Unanswered, Consent::of);
        self.pasted.extend(lines);
        if let Consent::Line(line) = consent {
            // The line was typed ahead, and is read next.
            self.pasted.push_front(line);
            return Consent::Unanswered;
        }
        consent
    }

    fn answer(&mut self, question: &str) -> Result<String, ReadlineError> {
        self.leaving = false;
        self.watcher().into_iter().for_each(|watcher| watcher.asking.set(true));
        let read = self.edit(question);
        self.watcher().into_iter().for_each(|watcher| watcher.asking.set(false));
        read
    }

    /// Adds a line to the history.
    pub(crate) fn keep(&mut self, line: &str) {
        let Some(editor) = self.editor.as_mut().filter(|_| line.len() <= KEPT_LEN_MAX) else { return };
        // A failure loses only a line of the history.
        let _ = editor.add_history_entry(line);
        self.history.append(editor.history_mut());
    }
}

/// Limits descriptors to the numbers that the editor can use: it would panic beyond them. Code that needs more
/// descriptors gets an error instead.
fn limit_descriptors() -> Option<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current > DESCRIPTORS_MAX) {
        limit.current = Some(DESCRIPTORS_MAX);
        setrlimit(Resource::Nofile, limit).ok()?;
    }
    Some(())
}

fn lacks_descriptors(error: &ReadlineError) -> bool {
    let number = match error {
        ReadlineError::Io(error) => error.raw_os_error(),
        ReadlineError::Errno(errno) => Some(*errno as i32),
        _ => None,
    };
    number == Some(Errno::MFILE.raw_os_error())
}

impl Drop for LineEditor {
    fn drop(&mut self) {
        self.editor = None;
        self.alive = None;
        // The thread ends now that nothing can be shown any more.
        self.showing.join();
    }
}

/// Notes whether the line is empty at ctrl-C, which the editor does not tell, and completes names.
struct Watcher {
    empty: Cell<bool>,
    /// Whether a question is open, whose answer is no command.
    asking: Cell<bool>,
    completer: Option<Completer>,
}

impl Hinter for Watcher {
    type Hint = String;

    fn hint(&self, line: &str, _pos: usize, _ctx: &Context<'_>) -> Option<String> {
        self.empty.set(line.is_empty());
        None
    }
}

impl rustyline::completion::Completer for Watcher {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let completer = self.completer.as_ref().filter(|_| !self.asking.get());
        let (start, candidates) =
            completer.and_then(|completer| completer.complete(&line[..pos])).unwrap_or((pos, Vec::new()));
        let pair = |candidate: Candidate| Pair { display: candidate.shown, replacement: candidate.put };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

impl Highlighter for Watcher {}
impl Validator for Watcher {}
impl Helper for Watcher {}
