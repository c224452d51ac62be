//! The client's output: whole lines on standard output and standard error, from any thread, never inside the line that
//! is being typed.
//!
//! Results, including the end of a background download, go to standard output. Refusals and unasked messages go to
//! standard error. Both are plain text without a prefix. Every line is escaped here, so it may contain names from
//! outside as they are.

use super::colour;
use super::colour::Tone;
use super::window::{fitted, window};
use crate::model::escape::escape;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

/// The maximum number of lines that wait while a password is being typed. Further ones are only counted.
const WAITING_MAX: usize = 1000;

/// A handle on standard output and standard error. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct TerminalWriter(Arc<WriterShared>);

struct WriterShared {
    // Held while a line is written, which keeps the lines of several threads apart.
    state: Mutex<WriterState>,
    /// A message here says that lines wait to be shown above the line that is being typed.
    knock: Sender<()>,
    knocked: Receiver<()>,
}

struct WriterState {
    output: Channel,
    error: Channel,
    mode: Mode,
    waiting: VecDeque<(Stream, String)>,
    left_out: usize,
    /// Whether the line at the cursor shows progress, so the next line replaces it.
    underway: bool,
}

struct Channel {
    to: Box<dyn Write + Send>,
    /// Whether this output shows on the screen with the typed lines.
    on_screen: bool,
    /// Whether lines may have colours.
    coloured: bool,
    /// Whether shown text can be replaced on the screen.
    lively: bool,
    /// Whether some output could not be written.
    broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Output,
    Error,
}

/// The current use of the screen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// No use: lines are written at once.
    Free,
    /// The line editor: lines wait until it shows them above the line that is being typed.
    Editing,
    /// A password: lines wait until it is complete.
    Quiet,
}

impl TerminalWriter {
    /// The program's own standard output and standard error.
    pub fn stdio() -> Self {
        let (output, error) = (io::stdout(), io::stderr());
        let coloured = colour::are_wanted(|name| env::var_os(name));
        let lively = env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        let channel = |to: Box<dyn Write + Send>, on_screen| Channel {
            to,
            on_screen,
            coloured: on_screen && coloured,
            lively: on_screen && lively,
            broken: false,
        };
        let (output_on_screen, error_on_screen) = (output.is_terminal(), error.is_terminal());
        Self::with(channel(Box::new(output), output_on_screen), channel(Box::new(error), error_on_screen))
    }

    /// A terminal that writes results to `output` and everything else to `error`, neither of which is a screen.
    pub fn new(output: Box<dyn Write + Send>, error: Box<dyn Write + Send>) -> Self {
        let channel = |to| Channel { to, on_screen: false, coloured: false, lively: false, broken: false };
        Self::with(channel(output), channel(error))
    }

    fn with(output: Channel, error: Channel) -> Self {
        let (mode, waiting) = (Mode::Free, VecDeque::new());
        let state = WriterState { output, error, mode, waiting, left_out: 0, underway: false };
        let (knock, knocked) = bounded(1);
        Self(Arc::new(WriterShared { state: Mutex::new(state), knock, knocked }))
    }

    /// Writes the result of a command: one line on standard output.
    pub fn result(&self, line: &str) {
        self.say(Stream::Output, Tone::Plain, [line]);
    }

    /// Writes the success of long work: one line on standard output.
    pub fn success(&self, line: &str) {
        self.say(Stream::Output, Tone::Good, [line]);
    }

    /// Writes several lines of one result, without other lines between them.
    pub fn results<L: AsRef<str>>(&self, lines: impl IntoIterator<Item = L>) {
        self.say(Stream::Output, Tone::Plain, lines);
    }

    /// Writes why something failed and what to do: one line on standard error.
    pub fn error(&self, line: &str) {
        self.say(Stream::Error, Tone::Bad, [line]);
    }

    /// Writes an unasked message, such as the loss of a tracker: one line on standard error.
    pub fn event(&self, line: &str) {
        self.say(Stream::Error, Tone::Plain, [line]);
    }

    /// Writes progress on standard error. On a screen it replaces the last such line; elsewhere it is a line of its
    /// own.
    pub fn progress(&self, line: &str) {
        let mut state = self.0.state.lock();
        if !state.error.lively {
            drop(state);
            self.say(Stream::Error, Tone::Faint, [line]);
        } else if state.mode == Mode::Free {
            let line = fitted(&escape(line), window(io::stderr()).1);
            let line = if state.error.coloured { Tone::Faint.paint(&line) } else { line };
            state.error.write(&format!("\r{line}\x1b[K"));
            state.underway = true;
        }
    }

    /// Whether [`TerminalWriter::progress`] replaces the last progress, so the caller may write it often.
    pub fn is_lively(&self) -> bool {
        self.0.state.lock().error.lively
    }

    /// Writes an object for a program: one line of JSON on standard output.
    pub(crate) fn object(&self, object: &impl Serialize) {
        let text = serde_json::to_string(object).expect("texts and numbers become JSON") + "\n";
        self.0.state.lock().output.write(&text);
    }

    /// Whether a result could not be written, as when standard output is closed or its disk is full.
    pub fn has_lost_results(&self) -> bool {
        self.0.state.lock().output.broken
    }

    fn say<L: AsRef<str>>(&self, stream: Stream, tone: Tone, lines: impl IntoIterator<Item = L>) {
        let mut state = self.0.state.lock();
        let tone = if state.channel(stream).coloured { tone } else { Tone::Plain };
        let text: String = lines.into_iter().map(|line| tone.paint(&escape(line.as_ref())) + "\n").collect();
        let on_screen = state.channel(stream).on_screen;
        if on_screen {
            state.end_underway();
        }
        if state.mode == Mode::Free || !on_screen {
            state.channel(stream).write(&text);
        } else if state.waiting.len() < WAITING_MAX {
            state.waiting.push_back((stream, text));
        } else {
            state.left_out += 1;
        }
        if state.mode == Mode::Editing && on_screen {
            // An earlier knock without an answer covers this line too.
            let _ = self.0.knock.try_send(());
        }
    }

    /// Shows a question without a line end, on standard error and so apart from the results.
    pub(crate) fn ask(&self, question: &str) {
        self.0.state.lock().error.write(&escape(question));
    }

    /// Shows the prompt without a line editor.
    pub(crate) fn prompt(&self, prompt: &str) {
        self.0.state.lock().output.write(prompt);
    }

    /// Ends a line without echo, or text that is no line of its own.
    pub(crate) fn end_line(&self) {
        let mut state = self.0.state.lock();
        if !state.end_underway() {
            state.error.write("\n");
        }
    }

    /// Leaves the screen to the line editor until the guard is dropped.
    pub(crate) fn leave_to_editor(&self) -> ScreenGuard<'_> {
        self.leave(Mode::Editing)
    }

    /// Keeps the screen quiet until the guard is dropped.
    pub(crate) fn keep_quiet(&self) -> ScreenGuard<'_> {
        self.leave(Mode::Quiet)
    }

    fn leave(&self, mode: Mode) -> ScreenGuard<'_> {
        let mut state = self.0.state.lock();
        state.end_underway();
        state.mode = mode;
        ScreenGuard(self)
    }

    /// Whether standard output is a screen on which shown text can be replaced.
    pub(super) fn has_screen(&self) -> bool {
        self.0.state.lock().output.lively
    }

    /// Writes text to the screen that is no line, such as a page.
    pub(super) fn draw(&self, text: &str) {
        self.0.state.lock().output.write(text);
    }

    /// Passes waiting lines to `show`, which puts them above the line that is being typed and may block. Returns when
    /// `until` is disconnected or `show` fails.
    pub(crate) fn serve_editor(&self, until: &Receiver<Infallible>, mut show: impl FnMut(String) -> bool) {
        loop {
            select! {
                recv(self.0.knocked) -> _ => {}
                recv(until) -> _ => return,
            }
            let mut state = self.0.state.lock();
            let batch = if state.mode == Mode::Editing { state.take_waiting() } else { Vec::new() };
            drop(state);
            let text: String = batch.into_iter().map(|(_, text)| text).collect();
            if !text.is_empty() && !show(text) {
                return;
            }
        }
    }
}

/// Another part of the program has the screen until this is dropped. Then the waiting lines are written.
pub(crate) struct ScreenGuard<'a>(&'a TerminalWriter);

impl Drop for ScreenGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.0.state.lock();
        state.mode = Mode::Free;
        for (stream, text) in state.take_waiting() {
            state.channel(stream).write(&text);
        }
    }
}

impl WriterState {
    fn channel(&mut self, stream: Stream) -> &mut Channel {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        }
    }

    /// Clears the progress line. Returns whether there was one.
    fn end_underway(&mut self) -> bool {
        let was = std::mem::take(&mut self.underway);
        if was {
            self.error.write("\r\x1b[K");
        }
        was
    }

    fn take_waiting(&mut self) -> Vec<(Stream, String)> {
        let mut waiting: Vec<_> = self.waiting.drain(..).collect();
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            waiting.push((Stream::Error, format!("{left_out} more messages were left out\n")));
        }
        waiting
    }
}

impl Channel {
    /// Writes, and ignores a failure: there is no one to tell, and the commands still have their effect.
    fn write(&mut self, text: &str) {
        self.broken |= self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()).is_err();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Keeps the written text, for tests.
    #[derive(Clone, Default)]
    pub(crate) struct Sheet(Arc<Mutex<Vec<u8>>>);

    impl Sheet {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).expect("only text is written")
        }
    }

    impl Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A terminal, and the sheets of its standard output and standard error.
    pub(crate) fn sheets(on_screen: bool) -> (TerminalWriter, Sheet, Sheet) {
        let (output, error) = (Sheet::default(), Sheet::default());
        let terminal = TerminalWriter::with(channel(&output, on_screen), channel(&error, on_screen));
        (terminal, output, error)
    }

    fn channel(sheet: &Sheet, on_screen: bool) -> Channel {
        Channel { to: Box::new(sheet.clone()), on_screen, coloured: on_screen, lively: on_screen, broken: false }
    }

    #[test]
    fn results_and_everything_else_go_to_different_places() {
        let (terminal, output, error) = sheets(false);
        terminal.result("User created");
        terminal.error("Group does not exist: lab");
        terminal.event("The tracker 127.0.0.1:5000 is lost");
        terminal.results(["lab", "math"]);
        assert_eq!(output.text(), "User created\nlab\nmath\n");
        assert_eq!(error.text(), "Group does not exist: lab\nThe tracker 127.0.0.1:5000 is lost\n");
    }

    #[test]
    fn a_name_from_outside_cannot_act_on_the_terminal_or_make_a_second_line() {
        let (terminal, output, _) = sheets(false);
        terminal.result("x\x1b[2J\nUser created\u{202e}");
        assert_eq!(output.text(), "x\\u{1b}[2J\\u{a}User created\\u{202e}\n");
    }

    #[test]
    fn lines_of_several_threads_do_not_mix() {
        let (terminal, output, _) = sheets(false);
        std::thread::scope(|scope| {
            for letter in ["a", "b", "c", "d"] {
                let terminal = terminal.clone();
                scope.spawn(move || {
                    for _ in 0..200 {
                        terminal.results([letter.repeat(50), letter.repeat(50)]);
                    }
                });
            }
        });
        let text = output.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1600);
        for pair in lines.chunks(2) {
            assert!(pair[0].len() == 50 && pair[0] == pair[1], "{pair:?}");
        }
    }

    #[test]
    fn a_closed_output_is_remembered_and_harms_nobody() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let terminal = TerminalWriter::new(Box::new(Closed), Box::new(Closed));
        terminal.error("nobody hears");
        assert!(!terminal.has_lost_results());
        terminal.result("nobody hears");
        assert!(terminal.has_lost_results());
    }

    #[test]
    fn while_a_password_is_typed_lines_wait_and_follow_in_order() {
        let (terminal, output, error) = sheets(true);
        let quiet = terminal.keep_quiet();
        terminal.event("first");
        terminal.result("second");
        assert_eq!(output.text() + &error.text(), "");
        drop(quiet);
        terminal.result("third");
        assert_eq!((output.text().as_str(), error.text().as_str()), ("second\nthird\n", "first\n"));
    }

    #[test]
    fn on_a_screen_errors_are_red_and_successes_green_and_elsewhere_lines_are_plain() {
        for (on_screen, said, complained) in [
            (true, "\x1b[32mdone\x1b[0m\nlist\n", "\x1b[31mno\\u{1b}\x1b[0m\nnews\n"),
            (false, "done\nlist\n", "no\\u{1b}\nnews\n"),
        ] {
            let (terminal, output, error) = sheets(on_screen);
            terminal.success("done");
            terminal.result("list");
            terminal.error("no\x1b");
            terminal.event("news");
            assert_eq!((output.text().as_str(), error.text().as_str()), (said, complained));
        }
    }

    #[test]
    fn on_a_screen_progress_replaces_itself_and_goes_when_something_is_said() {
        let (terminal, output, error) = sheets(true);
        terminal.progress("1 %");
        terminal.progress("2 %");
        terminal.result("done");
        assert_eq!(error.text(), "\r\x1b[2m1 %\x1b[0m\x1b[K\r\x1b[2m2 %\x1b[0m\x1b[K\r\x1b[K");
        assert_eq!(output.text(), "done\n");
        let (terminal, _, error) = sheets(false);
        terminal.progress("1 %");
        terminal.progress("2 %");
        assert_eq!(error.text(), "1 %\n2 %\n");
    }

    #[test]
    fn output_that_is_not_on_the_screen_does_not_wait() {
        let (output, error) = (Sheet::default(), Sheet::default());
        let terminal = TerminalWriter::with(channel(&output, true), channel(&error, false));
        let _editing = terminal.leave_to_editor();
        terminal.result("on the screen");
        terminal.error("in a file");
        assert_eq!((output.text().as_str(), error.text().as_str()), ("", "in a file\n"));
    }

    #[test]
    fn the_lines_that_wait_have_a_limit() {
        let (terminal, _, error) = sheets(true);
        let quiet = terminal.keep_quiet();
        for _ in 0..WAITING_MAX + 2 {
            terminal.event("x");
        }
        drop(quiet);
        assert_eq!(error.text().lines().count(), WAITING_MAX + 1);
        assert!(error.text().ends_with("x\n2 more messages were left out\n"));
    }

    #[test]
    fn while_a_line_is_typed_the_editor_shows_what_is_said() {
        let (terminal, output, error) = sheets(true);
        let (alive, until) = bounded(0);
        let (shown, show) = bounded(1);
        let serving = {
            let terminal = terminal.clone();
            std::thread::spawn(move || terminal.serve_editor(&until, |text| shown.send(text).is_ok()))
        };
        let editing = terminal.leave_to_editor();
        terminal.result("Download completed: f");
        assert_eq!(show.recv(), Ok("Download completed: f\n".to_owned()));
        drop(editing);
        terminal.result("written");
        assert_eq!((output.text().as_str(), error.text().as_str()), ("written\n", ""));
        drop(alive);
        serving.join().expect("the server ends");
    }
}
