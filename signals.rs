//! Signals as events: ctrl-C, and the wish from outside that the program end.

use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: the user pressed ctrl-C.
    Interrupt,
    /// SIGTERM: the program has to end.
    End,
    /// SIGHUP: the terminal is gone, or the program has to read its files again.
    Hangup,
}

/// From now on calls `handler` at every signal, on its own threads. SIGHUP stays ignored if it was ignored when the
/// program started, as under nohup(1). Must be called once.
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
    // Each bit of this mask is an ignored signal. The lowest bit is signal 1.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}
