//! Hidden passwords that are typed at a terminal.

use super::interrupt::{Activity, Interrupt};
use super::writer::TerminalWriter;
use crate::sys::echo_off::{EchoOff, Typing};
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::io;
use zeroize::Zeroizing;

/// Asks a question on the terminal of standard input, and reads the answer without echo. Ctrl-C, ctrl-D on an empty
/// line, or a signal ends the wait with an error.
pub(crate) fn ask(question: &str, terminal: &TerminalWriter, interrupt: &Interrupt) -> io::Result<Zeroizing<String>> {
    interrupt.enter(Activity::Command);
    let quiet = terminal.keep_quiet();
    let echo = EchoOff::begin(io::stdin(), Typing::Keys)?;
    terminal.ask(question);
    let config = rpassword::ConfigBuilder::new().input_reader(interrupt.reader(io::stdin())).output_discard().build();
    let answer = rpassword::read_password_with_config(config);
    drop(echo);
    terminal.end_line();
    drop(quiet);
    interrupt.enter(Activity::Idle);
    answer.map(Zeroizing::new)
}

/// The terminal shows no typed text until this is dropped. Lines and signals work as before.
pub(crate) struct NoEcho(Termios);

impl NoEcho {
    pub(crate) fn begin() -> io::Result<Self> {
        let no_echo = Self(tcgetattr(io::stdin())?);
        no_echo.renew();
        Ok(no_echo)
    }

    /// Turns the echo off again after something has turned it on, as a shell does after ctrl-Z.
    pub(crate) fn renew(&self) {
        let Ok(mut modes) = tcgetattr(io::stdin()) else { return };
        if !in_foreground() {
            return;
        }
        let echo = LocalModes::ECHO | LocalModes::ECHONL;
        if modes.local_modes.intersects(echo) {
            modes.local_modes -= echo;
            // This fails only if the terminal is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
        }
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        if in_foreground() {
            // This fails only if the terminal is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        }
    }
}

/// Whether this program is in the foreground of the terminal. In the background the terminal has the modes of the
/// shell, and the system would stop a program that changes them.
fn in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}
