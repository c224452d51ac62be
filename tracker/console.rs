//! The tracker's console: commands, one per line, on standard input. Its end closes the console, not the tracker.

use crate::model::escape::excerpt;
use crate::sys::owned_thread::OwnedThread;
use crate::sys::waker::Waker;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Longest line that can be a command; longer ones are read and refused.
const LINE_LEN_MAX: usize = 1024;
/// Most characters of an unknown command that the answer repeats.
const SHOWN_MAX: usize = 40;
/// How often a console that is in the background looks whether it is in front again.
const BACKGROUND_PAUSE: Duration = Duration::from_secs(1);

/// What `help` answers: a command and what it does on each line.
pub const HELP: &str = "\
status      show address, fingerprint, how much there is, connections, the relay, the other trackers, and the floor
forget N    have all trackers let go of tracker N: they do not call it, turn it away, and keep no old changes for it
unforget N  have them take it back
help        show this
quit        stop the tracker";

/// What the commands of a console do.
pub trait ConsoleCommands: Send {
    fn status(&self) -> String;
    fn forget(&self, number: u16) -> Result<(), impl Display>;
    fn unforget(&self, number: u16) -> Result<(), impl Display>;
    fn quit(&self);
}

/// A console that is read by a thread of its own.
pub struct Console {
    /// Readable once the thread is to end.
    wake: Arc<Waker>,
    thread: OwnedThread,
}

impl Console {
    /// Reads commands from `input` and answers on `output`.
    ///
    /// # Errors
    /// The system has no descriptor or thread left.
    pub fn start(
        input: impl AsFd + Send + 'static,
        output: impl Write + Send + 'static,
        commands: impl ConsoleCommands + 'static,
    ) -> io::Result<Self> {
        let wake = Arc::new(Waker::new()?);
        let reader = Reader { wake: wake.clone(), line: Vec::new(), too_long: false };
        let output = Mutex::new(output);
        let run = move || reader.run(&input, |line| obey(line, &commands, &mut *output.lock()));
        let thread = OwnedThread::start("console", run)?;
        Ok(Self { wake, thread })
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.wake.wake();
        self.thread.join();
    }
}

/// Carries out one line; false if nothing more is to be read.
fn obey(line: ConsoleLine<'_>, commands: &impl ConsoleCommands, output: &mut impl Write) -> bool {
    let (answer, go_on) = match line {
        ConsoleLine::TooLong => ("The line is too long, type help".to_owned(), true),
        ConsoleLine::Text(text) => match text.trim() {
            "" => return true,
            "quit" | "exit" => {
                commands.quit();
                return false;
            }
            "status" => (commands.status(), true),
            "help" | "?" => (HELP.to_owned(), true),
            other => (obey_about_tracker(other, commands), true),
        },
    };
    // Whoever closed the output does not want to read it.
    let _ = writeln!(output, "{answer}").and_then(|()| output.flush());
    go_on
}

/// Carries out a command with the number of another tracker.
fn obey_about_tracker(text: &str, commands: &impl ConsoleCommands) -> String {
    let (command, number) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let number = number.trim().parse();
    match (command, number) {
        ("forget", Ok(number)) => outcome(number, "forgotten", commands.forget(number)),
        ("unforget", Ok(number)) => outcome(number, "taken back", commands.unforget(number)),
        ("forget" | "unforget", Err(_)) => format!("Usage: {command} <tracker_no>"),
        _ => format!("Unknown command '{}', type help", excerpt(text, SHOWN_MAX)),
    }
}

fn outcome(number: u16, what: &str, outcome: Result<(), impl Display>) -> String {
    match outcome {
        Ok(()) => format!("Tracker {number} is {what}, here at once and at the others as they hear of it"),
        Err(why) => format!("Tracker {number} was not {what}: {why}"),
    }
}

enum ConsoleLine<'a> {
    Text(&'a str),
    TooLong,
}

/// Cuts what comes in into lines.
struct Reader {
    wake: Arc<Waker>,
    line: Vec<u8>,
    /// The rest of this line is skipped.
    too_long: bool,
}

impl Reader {
    fn run(mut self, input: &impl AsFd, mut obey: impl FnMut(ConsoleLine<'_>) -> bool) {
        let mut buf = [0; 512];
        while self.wait(input) {
            match rustix::io::read(input, &mut buf) {
                Ok(0) => {
                    self.end_line(&mut obey);
                    return;
                }
                Ok(len) => {
                    if !self.take(&buf[..len], &mut obey) {
                        return;
                    }
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                // A terminal that is gone, a closed descriptor: there will be no more commands.
                Err(_) => return,
            }
        }
    }

    /// Waits until something can be read; false if the thread is to end.
    fn wait(&self, input: &impl AsFd) -> bool {
        loop {
            let background = in_background(input);
            let mut fds = [PollFd::new(&*self.wake, PollFlags::IN), PollFd::new(input, PollFlags::IN)];
            // A process in the background is stopped if it reads from its terminal.
            let (watched, timeout) = if background { (1, Some(BACKGROUND_PAUSE)) } else { (2, None) };
            let timeout = timeout.and_then(|pause| Timespec::try_from(pause).ok());
            match poll(&mut fds[..watched], timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return false,
            }
            if !fds[0].revents().is_empty() {
                return false;
            }
            if !background && !fds[1].revents().is_empty() && !in_background(input) {
                return true;
            }
        }
    }

    fn take(&mut self, bytes: &[u8], obey: &mut impl FnMut(ConsoleLine<'_>) -> bool) -> bool {
        for &byte in bytes {
            if byte == b'\n' {
                if !self.end_line(obey) {
                    return false;
                }
            } else if self.line.len() < LINE_LEN_MAX {
                self.line.push(byte);
            } else {
                self.too_long = true;
            }
        }
        true
    }

    fn end_line(&mut self, obey: &mut impl FnMut(ConsoleLine<'_>) -> bool) -> bool {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            obey(ConsoleLine::TooLong)
        } else {
            obey(ConsoleLine::Text(&String::from_utf8_lossy(&line)))
        }
    }
}

/// Whether this is a terminal that somebody else is using now.
fn in_background(input: &impl AsFd) -> bool {
    // Fails for anything but this process's own terminal, and then nobody can be in front of it.
    rustix::termios::tcgetpgrp(input).is_ok_and(|front| front != rustix::process::getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, unbounded};
    use std::fs::File;

    struct Script(Sender<&'static str>);

    impl ConsoleCommands for Script {
        fn status(&self) -> String {
            "fine".into()
        }
        fn forget(&self, number: u16) -> Result<(), impl Display> {
            if number == 1 { Err("it is this one") } else { Ok(()) }
        }
        fn unforget(&self, number: u16) -> Result<(), impl Display> {
            if number == 2 { Ok(()) } else { Err("it is not forgotten") }
        }
        fn quit(&self) {
            self.0.send("quit").expect("somebody listens");
        }
    }

    fn pipe() -> (File, File) {
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        (read.into(), write.into())
    }

    fn console() -> (File, Console, File, Receiver<&'static str>) {
        let ((input, typed), (shown, output)) = (pipe(), pipe());
        let (done, events) = unbounded();
        (typed, Console::start(input, output, Script(done)).expect("started"), shown, events)
    }

    fn all(mut shown: File) -> String {
        let mut text = String::new();
        io::Read::read_to_string(&mut shown, &mut text).expect("text");
        text
    }

    #[test]
    fn commands_are_answered_and_quit_is_the_last_one() {
        let (mut typed, _console, shown, events) = console();
        typed.write_all(b"status\n\n  help \r\nfrob\x1b[2J\nquit\nstatus\n").expect("taken");
        assert_eq!(events.recv(), Ok("quit"));
        assert_eq!(all(shown), format!("fine\n{HELP}\nUnknown command 'frob\\u{{1b}}[2J', type help\n"));
    }

    #[test]
    fn trackers_are_forgotten_and_taken_back_by_their_numbers() {
        let (mut typed, _console, shown, _events) = console();
        typed.write_all(b"forget 2\nforget\t 1\nunforget 2\nunforget 3\n").expect("taken");
        typed.write_all(b"forget\nunforget two\nforget 65536\nforget 2 3\nunforgettable 2\n").expect("taken");
        drop(typed);
        let expected = "\
Tracker 2 is forgotten, here at once and at the others as they hear of it
Tracker 1 was not forgotten: it is this one
Tracker 2 is taken back, here at once and at the others as they hear of it
Tracker 3 was not taken back: it is not forgotten
Usage: forget <tracker_no>
Usage: unforget <tracker_no>
Usage: forget <tracker_no>
Usage: forget <tracker_no>
Unknown command 'unforgettable 2', type help
";
        assert_eq!(all(shown), expected);
    }

    #[test]
    fn the_end_of_input_closes_the_console_and_nothing_else() {
        let (mut typed, _console, shown, events) = console();
        typed.write_all(b"status").expect("taken");
        drop(typed);
        assert_eq!(all(shown), "fine\n", "a last line needs no end");
        assert!(events.recv().is_err(), "nothing was stopped");
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_a_console_ends_whenever_it_is_told() {
        let (mut typed, console, shown, _events) = console();
        typed.write_all(&[b'x'; 3 * LINE_LEN_MAX]).expect("taken");
        typed.write_all(b"\nstatus\n").expect("taken");
        let mut first = [0; 37];
        let mut shown = shown;
        io::Read::read_exact(&mut shown, &mut first).expect("two answers");
        assert_eq!(&first, b"The line is too long, type help\nfine\n");
        drop(console);
        assert_eq!(all(shown), "");
    }
}
