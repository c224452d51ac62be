//! The wish that the client, or the command it is at, end: where signals meet whatever waits.

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Signal, getpid, kill_process};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Carries SIGINT, SIGTERM and SIGHUP to whoever waits. Cheap to clone; all clones are one.
///
/// What a signal ends: in a script, the program. With a person at the terminal, first the command that runs, such as
/// `wait`; if none runs, or it was told already, the program.
#[derive(Clone)]
pub struct Stop(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// An eventfd: readable once a signal has come, for those who wait in `poll`.
    wake: OwnedFd,
    /// Ends what waits for something else than the two above.
    on_signal: Mutex<Option<OnSignal>>,
}

type OnSignal = Box<dyn Fn() + Send>;

struct State {
    ending: bool,
    phase: Phase,
    /// Whether a person is there, who may want back to the prompt.
    person: bool,
    /// Dropped when the command is to end; what hangs on the channel then sees it disconnected.
    running: Option<Sender<Infallible>>,
    cancelled: Receiver<Infallible>,
}

/// What the program is at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading plain lines, or in between.
    Idle,
    /// In the line editor, which only a signal of its own gets out of its wait.
    Editing,
    /// At a command.
    Command,
}

impl Stop {
    /// Nothing is to end yet. `person`: whether somebody sits at the prompt.
    pub fn new(person: bool) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (running, cancelled) = bounded(0);
        let state = State { ending: false, phase: Phase::Idle, person, running: Some(running), cancelled };
        Ok(Self(Arc::new(Shared { state: Mutex::new(state), wake, on_signal: Mutex::new(None) })))
    }

    /// Has this done, in addition, at every signal from now on. It must not wait for anything.
    pub fn on_signal(&self, work: impl Fn() + Send + 'static) {
        *self.0.on_signal.lock() = Some(Box::new(work));
    }

    /// A signal has come. For the handler that `ctrlc` runs on its own thread.
    pub fn signal(&self) {
        let mut state = self.0.state.lock();
        let only_command = state.person && state.phase == Phase::Command && state.running.is_some();
        state.running = None;
        state.ending |= !only_command;
        let editing = state.ending && state.phase == Phase::Editing;
        drop(state);
        // The counter can only be full if nobody has looked for 2^64 signals.
        let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
        if let Some(work) = &*self.0.on_signal.lock() {
            work();
        }
        if editing {
            // The line editor takes SIGINT while it waits and returns. If it has not begun to, the signal comes back
            // here by way of ctrlc and is sent again.
            let _ = kill_process(getpid(), Signal::INT);
        }
    }

    /// Whether the program is to end.
    pub fn is_ending(&self) -> bool {
        self.0.state.lock().ending
    }

    /// Whether the command that runs is to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.state.lock().running.is_none()
    }

    /// Never carries a message; it is disconnected when the command that runs is to end. Take it anew for each command.
    pub fn cancelled(&self) -> Receiver<Infallible> {
        self.0.state.lock().cancelled.clone()
    }

    /// Says what the program is at from now on. A new command starts out as not cancelled, unless the program ends.
    /// Who enters `Editing` looks at `is_ending` next, since a signal that came before is not repeated.
    pub fn enter(&self, phase: Phase) {
        let mut state = self.0.state.lock();
        state.phase = phase;
        if state.ending || state.running.is_some() {
            return;
        }
        let (running, cancelled) = bounded(0);
        (state.running, state.cancelled) = (Some(running), cancelled);
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.0.wake, &mut count);
    }

    /// Whether something is typed within this time, which is read and forgotten, or a signal comes, or nothing can be
    /// typed any more.
    pub(super) fn key_within(&self, from: impl AsFd, time: Duration) -> bool {
        let timeout = Timespec::try_from(time).ok();
        let mut fds = [PollFd::new(&self.0.wake, PollFlags::IN), PollFd::new(&from, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            // A window of another size, for example: what is shown is drawn anew.
            Ok(0) | Err(rustix::io::Errno::INTR) => false,
            Ok(_) if !fds[0].revents().is_empty() => true,
            Ok(_) => {
                let mut keys = [0; 64];
                // Whether these are all the keys or none can be read: somebody wants to go on.
                let _ = rustix::io::read(&from, &mut keys);
                true
            }
            Err(_) => true,
        }
    }

    /// A reader of a descriptor whose waits end when a signal comes.
    pub fn reader<F: AsFd>(&self, from: F) -> StoppableReader<F> {
        StoppableReader { from, stop: self.clone() }
    }
}

/// Reads a descriptor until a signal ends the wait; then `read` returns an error at once, now and later, until the next
/// phase begins. The error is not of kind `Interrupted`, which many callers take for a reason to try again.
pub struct StoppableReader<F> {
    from: F,
    stop: Stop,
}

impl<F: AsFd> io::Read for StoppableReader<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut fds = [PollFd::new(&self.stop.0.wake, PollFlags::IN), PollFd::new(&self.from, PollFlags::IN)];
            // What a person or a script will type next, and when, has no deadline.
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if !fds[0].revents().is_empty() {
                return Err(io::Error::other("a signal ended the wait"));
            }
            match rustix::io::read(&self.from, &mut *buf) {
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::TryRecvError;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn in_a_script_a_signal_ends_command_and_program() {
        let stop = Stop::new(false).expect("an eventfd");
        stop.enter(Phase::Command);
        let cancelled = stop.cancelled();
        assert_eq!(cancelled.try_recv(), Err(TryRecvError::Empty));
        stop.signal();
        assert!(stop.is_ending() && stop.is_cancelled());
        assert_eq!(cancelled.try_recv(), Err(TryRecvError::Disconnected));
        stop.enter(Phase::Command);
        assert!(stop.is_cancelled(), "an ending program begins no command");
    }

    #[test]
    fn at_a_terminal_the_first_signal_ends_the_command_and_the_second_the_program() {
        let stop = Stop::new(true).expect("an eventfd");
        stop.enter(Phase::Command);
        stop.signal();
        assert!(stop.is_cancelled() && !stop.is_ending());
        stop.signal();
        assert!(stop.is_ending());
    }

    #[test]
    fn the_command_after_a_cancelled_one_runs() {
        let stop = Stop::new(true).expect("an eventfd");
        stop.enter(Phase::Command);
        stop.signal();
        stop.enter(Phase::Idle);
        stop.enter(Phase::Command);
        assert!(!stop.is_cancelled());
        assert_eq!(stop.cancelled().try_recv(), Err(TryRecvError::Empty));
    }

    #[test]
    fn at_a_terminal_a_signal_between_commands_ends_the_program() {
        let stop = Stop::new(true).expect("an eventfd");
        stop.enter(Phase::Idle);
        stop.signal();
        assert!(stop.is_ending());
    }

    #[test]
    fn a_key_a_signal_and_the_end_are_noticed_and_otherwise_the_time_passes() {
        let stop = Stop::new(true).expect("an eventfd");
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        assert!(!stop.key_within(&ours, Duration::from_millis(1)));
        (&theirs).write_all(b"\x1b[A").expect("room for three bytes");
        assert!(stop.key_within(&ours, Duration::from_secs(60)));
        assert!(!stop.key_within(&ours, Duration::from_millis(1)), "all of it was one key");
        stop.enter(Phase::Command);
        stop.signal();
        assert!(stop.key_within(&ours, Duration::from_secs(60)));
        stop.enter(Phase::Idle);
        drop(theirs);
        assert!(stop.key_within(&ours, Duration::from_secs(60)));
    }

    #[test]
    fn a_reader_that_waits_is_woken_by_a_signal() {
        let stop = Stop::new(false).expect("an eventfd");
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut reader = stop.reader(ours);
        let waiting = std::thread::spawn(move || {
            let mut buf = [0; 8];
            let first = reader.read(&mut buf).map_err(|error| error.kind());
            let second = reader.read(&mut buf).map_err(|error| error.kind());
            (first, second)
        });
        (&theirs).write_all(b"x").expect("room for a byte");
        stop.signal();
        let (first, second) = waiting.join().expect("the reader returns");
        // The byte and the signal race; the signal is what counts once it is there.
        assert!(matches!(first, Ok(1) | Err(io::ErrorKind::Other)), "{first:?}");
        assert_eq!(second, Err(io::ErrorKind::Other));
    }

    #[test]
    fn a_reader_hands_on_what_comes_and_the_end() {
        let stop = Stop::new(false).expect("an eventfd");
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        (&theirs).write_all(b"abc").expect("room for three bytes");
        drop(theirs);
        let mut reader = stop.reader(ours);
        let mut buf = [0; 8];
        assert_eq!(reader.read(&mut buf).expect("bytes"), 3);
        assert_eq!(reader.read(&mut buf).expect("the end"), 0);
    }
}
