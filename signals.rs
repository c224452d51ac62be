//! Signals as events: ctrl-C, and that somebody outside wants the program to end.

use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: ctrl-C was pressed.
    Interrupt,
    /// SIGTERM: the program is to end.
    End,
    /// SIGHUP: the terminal is gone, or something is to be read anew.
    Hangup,
}

/// Has this done at every signal from now on, on threads of their own. SIGHUP stays ignored if it was when the program was
/// started, as nohup(1) has it. To be called once.
///
/// # Errors
/// Those of starting a thread, and of sigaction(2).
pub fn handle(handler: impl Fn(Signal) + Send + Sync + 'static) -> io::Result<()> {
    let interrupted = Arc::new(handler);
    let ended = interrupted.clone();
    let mut signals = if is_hangup_ignored() { Signals::new([SIGTERM]) } else { Signals::new([SIGTERM, SIGHUP]) }?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        signals.forever().for_each(|signal| ended(if signal == SIGHUP { Signal::Hangup } else { Signal::End }))
    })?;
    ctrlc::set_handler(move || interrupted(Signal::Interrupt)).map_err(io::Error::other)
}

fn is_hangup_ignored() -> bool {
    // Every bit of this mask is a signal that is ignored, the lowest one that with number 1.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}
