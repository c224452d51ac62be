//! Signals as events: ctrl-C, and the wish from outside that the program end.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::pipe;
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// SIGTERM and SIGINT in a program that asks a person now and then. During a question they end the question. At any
/// other time they end the program at once, as without this.
#[derive(Debug)]
pub struct QuestionSignals {
    ends_program: Arc<AtomicBool>,
    told: UnixStream,
}

impl QuestionSignals {
    /// Must be called once.
    ///
    /// # Errors
    /// Those of socketpair(2) and sigaction(2).
    pub fn new() -> io::Result<Self> {
        let ends_program = Arc::new(AtomicBool::new(true));
        let (told, tell) = UnixStream::pair()?;
        told.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_default(signal, ends_program.clone())?;
            pipe::register(signal, tell.try_clone()?)?;
        }
        Ok(Self { ends_program, told })
    }

    /// Runs a question. Returns `None` if a signal came meanwhile.
    pub fn ask<T>(&self, question: impl FnOnce() -> T) -> Option<T> {
        self.ends_program.store(false, Ordering::SeqCst);
        let answer = question();
        self.ends_program.store(true, Ordering::SeqCst);
        let is_told = (&self.told).read(&mut [0]).is_ok();
        (!is_told).then_some(answer)
    }

    /// Waits for input during a question. Returns false if a signal has come.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait_for(&self, input: impl AsFd) -> io::Result<bool> {
        loop {
            let mut fds = [PollFd::new(&self.told, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => return Ok(fds[0].revents().is_empty()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_hangup_ignored() -> bool {
    // Each bit of this mask is an ignored signal. The lowest bit is signal 1.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}
