//! A terminal that does not show what a person types.

use rustix::fd::AsFd;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io;

/// Keeps the echo off until it is dropped.
#[derive(Debug)]
pub struct EchoOff<T: AsFd> {
    terminal: T,
    before: Termios,
}

/// What a program reads while the echo is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// Each key at once. Ctrl-C still sends its signal, so the program must restore the echo when it ends.
    Keys,
    /// Each key at once, ctrl-C too.
    PlainKeys,
    /// Whole lines. Ctrl-C still sends its signal.
    Lines,
}

impl<T: AsFd> EchoOff<T> {
    /// Switches the echo of a terminal off.
    ///
    /// # Errors
    /// Those of tcgetattr(3) and tcsetattr(3), also if this is not a terminal.
    pub fn begin(terminal: T, typing: Typing) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes -= LocalModes::ECHO | LocalModes::ECHONL;
        if typing != Typing::Lines {
            hidden.local_modes -= LocalModes::ICANON;
            hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
            hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        }
        if typing == Typing::PlainKeys {
            hidden.local_modes -= LocalModes::ISIG;
        }
        // Ctrl-Z and ctrl-\ send no signals: a shell would turn the echo on again.
        hidden.special_codes[SpecialCodeIndex::VSUSP] = 0;
        hidden.special_codes[SpecialCodeIndex::VQUIT] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for EchoOff<T> {
    fn drop(&mut self) {
        // A failure means that the terminal is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
