//! Interrupts: a signal ends the running command or the client, and wakes every waiting thread.

use crate::signals::Signal;
use crate::sys::waker::Waker;
use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::process::{getpid, kill_process};
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// How long a signal waits for the line editor to return by itself. The editor does so a moment after a complete line.
/// Signals without a pause would keep it from getting there.
const EDITOR_PAUSE: Duration = Duration::from_millis(10);

/// Carries signals to waiting threads. Cheap to clone; all clones share one state.
///
/// In a script every signal ends the program. With a person at the terminal, every signal except ctrl-C ends it too. A
/// person's ctrl-C ends the running command. A second ctrl-C ends the program only if the command still goes on.
/// Without a running command, ctrl-C waits for the next activity: a command does not begin then, and a prompt takes it
/// as a key.
#[derive(Clone)]
pub struct Interrupt(Arc<InterruptShared>);

struct InterruptShared {
    state: Mutex<InterruptState>,
    /// Signalled when the activity changes.
    entered: Condvar,
    /// Readable when threads in `poll` should return.
    wake: Waker,
    /// Also runs at every signal.
    on_signal: Mutex<Option<OnSignal>>,
}

type OnSignal = Box<dyn Fn() + Send>;

struct InterruptState {
    ending: bool,
    /// Whether the running command should end.
    cancelled: bool,
    /// Whether ctrl-C was pressed and no activity has taken it yet.
    pressed: bool,
    activity: Activity,
    /// Whether there is a person, who may want to return to the prompt.
    person: bool,
}

/// The activity of the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Between activities.
    Idle,
    /// Reading plain lines.
    Reading,
    /// In the line editor. Only a signal of its own ends its wait.
    Editing,
    /// Carrying out a command.
    Command,
}

impl Interrupt {
    /// The initial state. `person` says whether a person sits at the prompt.
    pub fn new(person: bool) -> io::Result<Self> {
        let state =
            InterruptState { ending: false, cancelled: false, pressed: false, activity: Activity::Idle, person };
        Ok(Self(Arc::new(InterruptShared {
            state: Mutex::new(state),
            entered: Condvar::new(),
            wake: Waker::new()?,
            on_signal: Mutex::new(None),
        })))
    }

    /// Also runs `work`, which must not wait, at every signal from now on.
    pub fn on_signal(&self, work: impl Fn() + Send + 'static) {
        *self.0.on_signal.lock() = Some(Box::new(work));
    }

    /// A signal has come.
    pub fn signal(&self, signal: Signal) {
        let mut state = self.0.state.lock();
        state.ending |= signal != Signal::Interrupt || !state.person;
        if state.activity == Activity::Editing {
            self.0.entered.wait_for(&mut state, EDITOR_PAUSE);
        }
        match state.activity {
            _ if state.ending => {}
            Activity::Command if state.cancelled => state.ending = true,
            Activity::Command => state.cancelled = true,
            Activity::Idle | Activity::Reading => state.pressed = true,
            Activity::Editing => {}
        }
        let editing = state.activity == Activity::Editing;
        drop(state);
        self.0.wake.wake();
        if let Some(work) = &*self.0.on_signal.lock() {
            work();
        }
        if editing {
            // The line editor takes SIGINT while it waits, and returns. If it is not waiting yet, or has stopped
            // waiting, the signal comes back here.
            let _ = kill_process(getpid(), rustix::process::Signal::INT);
        }
    }

    /// Whether the program should end.
    pub fn is_ending(&self) -> bool {
        self.0.state.lock().ending
    }

    /// Whether the running command should end.
    pub fn is_cancelled(&self) -> bool {
        let state = self.0.state.lock();
        state.cancelled || state.ending
    }

    /// Whether ctrl-C was pressed since the last command and no activity has taken it. It counts as taken after this
    /// call.
    pub(crate) fn take_pressed(&self) -> bool {
        mem::take(&mut self.0.state.lock().pressed)
    }

    /// Notes the new activity. A command begins as cancelled if ctrl-C was pressed before. After entering `Editing`,
    /// the caller must check `is_ending` and `take_pressed`, because earlier signals are not repeated.
    pub fn enter(&self, activity: Activity) {
        let mut state = self.0.state.lock();
        state.activity = activity;
        self.0.entered.notify_all();
        state.cancelled = activity == Activity::Command && mem::take(&mut state.pressed);
        if !state.ending && !state.cancelled && !state.pressed {
            self.0.wake.clear();
        }
    }

    /// Whether a person sits at the prompt.
    pub(crate) fn serves_person(&self) -> bool {
        self.0.state.lock().person
    }

    /// Waits at most this long. Returns true on a key, on a signal, or when no key can come any more. The key is read
    /// and dropped.
    pub(crate) fn key_within(&self, from: impl AsFd, time: Duration) -> bool {
        self.keys_within(from, time).is_some()
    }

    /// The keys that come within this time. The result is empty on a signal, or when no key can come any more.
    pub(crate) fn keys_within(&self, from: impl AsFd, time: Duration) -> Option<Vec<u8>> {
        let timeout = Timespec::try_from(time).ok();
        let mut fds = [PollFd::new(&self.0.wake, PollFlags::IN), PollFd::new(&from, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            // The window has another size, for example, so the caller redraws its content.
            Ok(0) | Err(rustix::io::Errno::INTR) => None,
            Ok(_) if fds[0].revents().is_empty() => {
                let mut keys = [0; 64];
                // Whatever came, the user wants to go on.
                let read = rustix::io::read(&from, &mut keys).unwrap_or(0);
                Some(keys[..read].to_vec())
            }
            Ok(_) | Err(_) => Some(Vec::new()),
        }
    }

    /// A reader of a descriptor whose waits end when a signal comes.
    pub fn reader<F: AsFd>(&self, from: F) -> InterruptibleReader<F> {
        InterruptibleReader { from, interrupt: self.clone() }
    }
}

/// Reads a descriptor until a signal ends the wait. From then on, `read` returns an error at once, until the next
/// activity begins. The error is not of the kind `Interrupted`, after which many callers would try again.
pub struct InterruptibleReader<F> {
    from: F,
    interrupt: Interrupt,
}

impl<F: AsFd> io::Read for InterruptibleReader<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut fds = [PollFd::new(&self.interrupt.0.wake, PollFlags::IN), PollFd::new(&self.from, PollFlags::IN)];
            // The next input of a person or a script has no deadline.
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
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn interrupt(person: bool) -> Interrupt {
        Interrupt::new(person).expect("an eventfd")
    }

    #[test]
    fn in_a_script_a_signal_ends_command_and_program() {
        let interrupt = interrupt(false);
        interrupt.enter(Activity::Command);
        assert!(!interrupt.is_cancelled());
        interrupt.signal(Signal::Interrupt);
        assert!(interrupt.is_ending() && interrupt.is_cancelled());
        interrupt.enter(Activity::Command);
        assert!(interrupt.is_cancelled(), "an ending program begins no command");
    }

    #[test]
    fn at_a_terminal_the_first_ctrl_c_ends_the_command_and_the_second_the_program() {
        let interrupt = interrupt(true);
        interrupt.enter(Activity::Command);
        interrupt.signal(Signal::Interrupt);
        assert!(interrupt.is_cancelled() && !interrupt.is_ending());
        interrupt.signal(Signal::Interrupt);
        assert!(interrupt.is_ending());
    }

    #[test]
    fn the_command_after_a_cancelled_one_runs() {
        let interrupt = interrupt(true);
        interrupt.enter(Activity::Command);
        interrupt.signal(Signal::Interrupt);
        interrupt.enter(Activity::Idle);
        interrupt.enter(Activity::Command);
        assert!(!interrupt.is_cancelled());
    }

    #[test]
    fn ctrl_c_just_after_a_line_ends_the_command_that_begins_and_not_the_program() {
        let interrupt = interrupt(true);
        interrupt.signal(Signal::Interrupt);
        interrupt.enter(Activity::Command);
        assert!(interrupt.is_cancelled() && !interrupt.is_ending());
        let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
        assert!(interrupt.reader(ours).read(&mut [0]).is_err(), "the command's question ends at once");
        interrupt.enter(Activity::Idle);
        interrupt.enter(Activity::Command);
        assert!(!interrupt.is_cancelled());
    }

    #[test]
    fn ctrl_c_just_after_a_command_is_a_key_at_the_next_prompt() {
        let interrupt = interrupt(true);
        interrupt.enter(Activity::Command);
        interrupt.enter(Activity::Idle);
        interrupt.signal(Signal::Interrupt);
        interrupt.enter(Activity::Editing);
        assert!(!interrupt.is_ending());
        assert!(interrupt.take_pressed());
        assert!(!interrupt.take_pressed());
    }

    #[test]
    fn ctrl_c_ends_the_wait_for_a_plain_line_and_not_the_program() {
        let interrupt = interrupt(true);
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut reader = interrupt.reader(ours);
        interrupt.enter(Activity::Reading);
        interrupt.signal(Signal::Interrupt);
        assert!(reader.read(&mut [0]).is_err());
        assert!(interrupt.take_pressed() && !interrupt.is_ending());
        interrupt.enter(Activity::Reading);
        (&theirs).write_all(b"x").expect("room for a byte");
        assert_eq!(reader.read(&mut [0]).expect("the byte"), 1);
    }

    #[test]
    fn an_end_signal_ends_the_program_in_any_activity() {
        for activity in [Activity::Idle, Activity::Reading, Activity::Command] {
            let interrupt = interrupt(true);
            interrupt.enter(activity);
            interrupt.signal(Signal::End);
            assert!(interrupt.is_ending());
        }
    }

    #[test]
    fn a_key_a_signal_and_the_end_are_noticed_and_otherwise_the_time_passes() {
        let interrupt = interrupt(true);
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        assert!(!interrupt.key_within(&ours, Duration::from_millis(1)));
        (&theirs).write_all(b"\x1b[A").expect("room for three bytes");
        assert!(interrupt.key_within(&ours, Duration::from_secs(60)));
        assert!(!interrupt.key_within(&ours, Duration::from_millis(1)), "all of it was one key");
        interrupt.enter(Activity::Command);
        interrupt.signal(Signal::Interrupt);
        assert!(interrupt.key_within(&ours, Duration::from_secs(60)));
        interrupt.enter(Activity::Idle);
        drop(theirs);
        assert!(interrupt.key_within(&ours, Duration::from_secs(60)));
    }

    #[test]
    fn a_reader_that_waits_is_woken_by_a_signal() {
        let interrupt = interrupt(false);
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut reader = interrupt.reader(ours);
        let waiting = std::thread::spawn(move || {
            let mut buf = [0; 8];
            let first = reader.read(&mut buf).map_err(|error| error.kind());
            let second = reader.read(&mut buf).map_err(|error| error.kind());
            (first, second)
        });
        (&theirs).write_all(b"x").expect("room for a byte");
        interrupt.signal(Signal::Interrupt);
        let (first, second) = waiting.join().expect("the reader returns");
        // The byte and the signal race; the signal is what counts once it is there.
        assert!(matches!(first, Ok(1) | Err(io::ErrorKind::Other)), "{first:?}");
        assert_eq!(second, Err(io::ErrorKind::Other));
    }

    #[test]
    fn a_reader_hands_on_what_comes_and_the_end() {
        let interrupt = interrupt(false);
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        (&theirs).write_all(b"abc").expect("room for three bytes");
        drop(theirs);
        let mut reader = interrupt.reader(ours);
        let mut buf = [0; 8];
        assert_eq!(reader.read(&mut buf).expect("bytes"), 3);
        assert_eq!(reader.read(&mut buf).expect("the end"), 0);
    }
}
