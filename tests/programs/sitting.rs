//! A person at a pseudo-terminal. It types keys at a program and reads the screen.

use crate::common::deadline::LONG;
use crate::common::program::heed_signals;
use parking_lot::{Condvar, Mutex};
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use vt100::Parser;

/// Keys that are no characters.
pub(crate) const UP: &str = "\x1b[A";
pub(crate) const DOWN: &str = "\x1b[B";
pub(crate) const LEFT: &str = "\x1b[D";
pub(crate) const HOME: &str = "\x01";
pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_D: &str = "\x04";
pub(crate) const BACKSPACE: &str = "\x7f";
pub(crate) const TAB: &str = "\t";
pub(crate) const ENTER: &str = "\r";

/// A program on a terminal of its own. Dropping this kills the program.
pub(crate) struct Sitting {
    child: Child,
    pty: Arc<Pty>,
    screen: Arc<Screen>,
    reader: Option<JoinHandle<()>>,
}

/// The contents of the screen, and whether the program still has it.
struct Screen {
    shown: Mutex<Shown>,
    changed: Condvar,
}

struct Shown {
    parser: Parser,
    ended: bool,
}

impl Shown {
    /// The rows from the first to the last that is not empty or has the cursor, without spaces at their ends.
    fn rows(&self) -> Vec<String> {
        let screen = self.parser.screen();
        let cursor = usize::from(screen.cursor_position().0);
        let mut rows: Vec<String> = screen.rows(0, screen.size().1).map(|row| row.trim_end().to_owned()).collect();
        while rows.len() > cursor + 1 && rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }
}

impl Sitting {
    /// Starts a program in a folder, on a terminal of this many rows and columns.
    pub(crate) fn start(program: &str, args: &[&str], folder: &Path, rows: u16, columns: u16) -> Self {
        Self::start_with(program, args, folder, (rows, columns), &[("TERM", "xterm")])
    }

    /// The same with these variables set. An empty value unsets its variable.
    pub(crate) fn start_with(
        program: &str,
        args: &[&str],
        folder: &Path,
        (rows, columns): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Self {
        heed_signals();
        let (pty, pts) = open().expect("a pseudo-terminal");
        pty.resize(Size::new(rows, columns)).expect("resized");
        let mut command =
            Command::new(program).args(args).current_dir(folder).env_remove("NO_COLOR").env("HOME", folder);
        for (name, value) in variables {
            command = if value.is_empty() { command.env_remove(name) } else { command.env(name, value) };
        }
        let child = command.spawn(pts).expect("started");
        let pty = Arc::new(pty);
        let shown = Shown { parser: Parser::new(rows, columns, 1000), ended: false };
        let screen = Arc::new(Screen { shown: Mutex::new(shown), changed: Condvar::new() });
        let reader = std::thread::spawn({
            let (pty, screen) = (pty.clone(), screen.clone());
            move || watch(&pty, &screen)
        });
        Self { child, pty, screen, reader: Some(reader) }
    }

    /// Presses keys.
    pub(crate) fn types(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("the terminal takes it");
    }

    /// Types a line and ends it.
    pub(crate) fn enters(&self, line: &str) {
        self.types(line);
        self.types(ENTER);
    }

    /// Changes the size of the window.
    pub(crate) fn resizes(&self, rows: u16, columns: u16) {
        self.screen.shown.lock().parser.screen_mut().set_size(rows, columns);
        self.pty.resize(Size::new(rows, columns)).expect("resized");
    }

    /// The present rows of the screen.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.screen.shown.lock().rows()
    }

    /// Waits until the screen meets the condition.
    pub(crate) fn sees(&self, what: &str, so: impl Fn(&[String], &vt100::Screen) -> bool) {
        let deadline = Instant::now() + LONG;
        let mut shown = self.screen.shown.lock();
        while !so(&shown.rows(), shown.parser.screen()) {
            let rows = || shown.rows().join("\n");
            assert!(!shown.ended, "the program has ended without showing {what}, but:\n{}", rows());
            let late = self.screen.changed.wait_until(&mut shown, deadline).timed_out();
            assert!(!late, "the screen does not show {what}, but:\n{}", shown.rows().join("\n"));
        }
    }

    /// Waits until some row contains this text.
    pub(crate) fn shows(&self, text: &str) {
        self.sees(text, |rows, _| rows.iter().any(|row| row.contains(text)));
    }

    /// Waits until these are the last rows, with the cursor behind the last of them.
    pub(crate) fn ends_with(&self, last: &[&str]) {
        self.sees(&format!("{last:#?} at its end"), |rows, screen| {
            let from = rows.len().saturating_sub(last.len());
            let same = rows[from..].iter().map(|row| row.trim_end()).eq(last.iter().map(|row| row.trim_end()));
            let (row, column) = screen.cursor_position();
            let width = last.last().map_or(0, |row| row.chars().count());
            same && usize::from(row) + 1 == rows.len() && usize::from(column) == width
        });
    }

    /// Waits until these are the last rows. Returns the colour of this text in them.
    pub(crate) fn colour_of(&self, text: &str) -> vt100::Color {
        self.shows(text);
        let shown = self.screen.shown.lock();
        let screen = shown.parser.screen();
        let rows: Vec<String> = screen.rows(0, screen.size().1).collect();
        let row = rows.iter().rposition(|row| row.contains(text)).expect("it is shown");
        let column = rows[row].find(text).map(|at| rows[row][..at].chars().count()).expect("it is in the row");
        screen.cell(row as u16, column as u16).expect("on the screen").fgcolor()
    }

    /// Whether the terminal shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&*self.pty).expect("a terminal");
        modes.local_modes.contains(rustix::termios::LocalModes::ECHO)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it has not been waited for");
    }

    /// Waits for the end of the program.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LONG;
        let mut shown = self.screen.shown.lock();
        while !shown.ended {
            let late = self.screen.changed.wait_until(&mut shown, deadline).timed_out();
            assert!(!late, "it does not end:\n{}", shown.rows().join("\n"));
        }
        drop(shown);
        self.child.wait().expect("ended")
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        // This fails if the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Shows the program's output until the program has closed its terminal.
fn watch(mut pty: &Pty, screen: &Screen) {
    let mut bytes = [0; 4096];
    loop {
        let read = pty.read(&mut bytes).unwrap_or(0);
        let mut shown = screen.shown.lock();
        shown.parser.process(&bytes[..read]);
        shown.ended = read == 0;
        let ended = shown.ended;
        drop(shown);
        screen.changed.notify_all();
        if ended {
            return;
        }
    }
}
