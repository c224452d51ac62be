//! A terminal that does not show what is typed.

use rustix::fd::AsFd;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io;

/// Echo is off, and each key is handed on at once, until this is dropped.
#[derive(Debug)]
pub struct EchoOff<T: AsFd> {
    terminal: T,
    before: Termios,
}

/// What ctrl-C does while the echo is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptKey {
    /// It sends its signal. The program has to end in good order, or the echo stays off.
    Signals,
    /// It is a key like any other.
    IsRead,
}

impl<T: AsFd> EchoOff<T> {
    /// Switches the echo of a terminal off.
    ///
    /// # Errors
    /// Those of tcgetattr(3) and tcsetattr(3); it is no terminal.
    pub fn begin(terminal: T, interrupt: InterruptKey) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON;
        if interrupt == InterruptKey::IsRead {
            hidden.local_modes -= LocalModes::ISIG;
        }
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Ctrl-Z and ctrl-\ do not send theirs: a shell would turn the echo on again.
        hidden.special_codes[SpecialCodeIndex::VSUSP] = 0;
        hidden.special_codes[SpecialCodeIndex::VQUIT] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for EchoOff<T> {
    fn drop(&mut self) {
        // If it fails the terminal is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
