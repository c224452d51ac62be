//! Passwords typed at a terminal, where they are not shown.

use super::interrupt::{Activity, Interrupt};
use super::writer::TerminalWriter;
use crate::sys::echo_off::{EchoOff, Typing};
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::io;
use zeroize::Zeroizing;

/// Asks a question on the terminal that is standard input and reads the answer, nothing of which is shown. The wait
/// ends with an error on ctrl-C, ctrl-D on an empty line, or a signal.
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

/// The terminal shows nothing of what is typed until this is dropped. Lines and signals stay what they are.
pub(crate) struct NoEcho(Termios);

impl NoEcho {
    pub(crate) fn begin() -> io::Result<Self> {
        let no_echo = Self(tcgetattr(io::stdin())?);
        no_echo.renew();
        Ok(no_echo)
    }

    /// Begins again, should somebody have ended it: a shell does when the program was stopped by ctrl-Z.
    pub(crate) fn renew(&self) {
        let Ok(mut modes) = tcgetattr(io::stdin()) else { return };
        if !in_foreground() {
            return;
        }
        let echo = LocalModes::ECHO | LocalModes::ECHONL;
        if modes.local_modes.intersects(echo) {
            modes.local_modes -= echo;
            // If it fails the terminal is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
        }
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        if in_foreground() {
            // If it fails the terminal is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        }
    }
}

/// Whether the terminal is this program's now. A shell that has put it into the background has the modes that it wants,
/// and the system would stop whoever changes them from there.
fn in_foreground() -> bool {
    tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp())
}
