//! The tracker's console: commands, one a line, on standard input. The end of the input closes the console, but not
//! the tracker.

use crate::model::escape::escape;
use crate::sys::echo_off::{EchoOff, Typing};
use crate::sys::owned_thread::OwnedThread;
use crate::sys::waker::Waker;
use crate::tracker::operator::answer::{Outcome, RESTARTING, Row};
use crate::tracker::operator::command::OperatorCommand;
use crate::tracker::operator::dialogue::{AskError, Dialogue, Gone, OperatorCaller, OperatorCommands};
use crate::wire::client_tracker::Password;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// The longest line for a command. Longer ones are read and refused.
const LINE_LEN_MAX: usize = 1024;
/// How often a console in the background checks whether it is in the foreground again.
const BACKGROUND_PAUSE: Duration = Duration::from_secs(1);

/// The console, with its thread.
pub struct Console {
    /// Readable when the thread has to end.
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
        commands: Arc<dyn OperatorCommands>,
    ) -> io::Result<Self> {
        let wake = Arc::new(Waker::new()?);
        let reader = Reader { input, wake: wake.clone(), unread: VecDeque::new(), ended: false };
        let run = move || obey_lines(reader, ConsoleOutput(output), &*commands);
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

/// Carries out lines until the input or the thread ends.
fn obey_lines(mut reader: Reader<impl AsFd>, mut output: ConsoleOutput<impl Write>, commands: &dyn OperatorCommands) {
    while let Some(line) = reader.next_line() {
        let command = match line {
            ConsoleLine::TooLong => Err("The line is too long, type help".to_owned()),
            ConsoleLine::Text(text) => OperatorCommand::of_line(&text).map_err(|error| error.to_string()),
        };
        let outcome = match command {
            Ok(None) => continue,
            Ok(Some(command)) => {
                let mut dialogue = ConsoleDialogue { reader: &mut reader, output: &mut output };
                commands.carry_out(OperatorCaller::Console, command, &mut dialogue)
            }
            Err(words) => {
                output.say(&words);
                continue;
            }
        };
        match outcome {
            Outcome::Refused(refusal) => output.say(&refusal.words),
            Outcome::Restarting => output.say(RESTARTING),
            Outcome::Quit => return,
            Outcome::Done | Outcome::Gone => {}
        }
    }
}

/// The output of the console.
struct ConsoleOutput<W>(W);

impl<W: Write> ConsoleOutput<W> {
    fn say(&mut self, words: &str) {
        // If the output is closed, the answer has no reader.
        let _ = writeln!(self.0, "{words}").and_then(|()| self.0.flush());
    }
}

/// The console during a command.
struct ConsoleDialogue<'a, I, W> {
    reader: &'a mut Reader<I>,
    output: &'a mut ConsoleOutput<W>,
}

impl<I: AsFd, W: Write> Dialogue for ConsoleDialogue<'_, I, W> {
    fn row(&mut self, row: &Row) -> Result<(), Gone> {
        self.output.say(&row.words);
        Ok(())
    }

    fn complain(&mut self, line: &str) -> Result<(), Gone> {
        self.output.say(&escape(line));
        Ok(())
    }

    fn bytes(&mut self, _: &[u8]) -> Result<(), Gone> {
        // No command of the console gives bytes.
        Err(Gone)
    }

    fn ask(&mut self, question: &str) -> Result<Password, AskError> {
        // Without a terminal nothing is displayed anyway.
        let terminal = self.reader.input.as_fd().try_clone_to_owned();
        let echo = terminal.and_then(|terminal| EchoOff::begin(terminal, Typing::Lines));
        // If the output is closed, the question has no reader.
        let _ = write!(self.output.0, "{question}").and_then(|()| self.output.0.flush());
        let hidden = self.reader.next_line();
        drop(echo);
        let _ = writeln!(self.output.0);
        match hidden {
            Some(ConsoleLine::Text(text)) => Password::new(text.trim_end_matches('\r')).ok_or(AskError::NoPassword),
            Some(ConsoleLine::TooLong) => Err(AskError::NoPassword),
            None => Err(AskError::Gone),
        }
    }
}

/// The result of a read.
enum Filled {
    Bytes,
    /// The input has ended.
    End,
    /// The thread has to end, or the input is gone.
    Told,
}

enum ConsoleLine {
    Text(String),
    TooLong,
}

/// Splits the input into lines.
struct Reader<I> {
    input: I,
    wake: Arc<Waker>,
    /// Bytes read beyond the last line.
    unread: VecDeque<u8>,
    /// Whether the input has ended.
    ended: bool,
}

impl<I: AsFd> Reader<I> {
    /// The next line; the last one may lack its end. `None` at the end of the input, or if the thread has to end. In
    /// that case an unfinished line is no command.
    fn next_line(&mut self) -> Option<ConsoleLine> {
        let (mut line, mut too_long) = (Vec::new(), false);
        loop {
            while let Some(byte) = self.unread.pop_front() {
                match byte {
                    b'\n' => return Some(ConsoleLine::of(&line, too_long)),
                    // The loop skips the rest of this line.
                    _ if line.len() == LINE_LEN_MAX => too_long = true,
                    _ => line.push(byte),
                }
            }
            if self.ended {
                return None;
            }
            match self.fill() {
                Filled::Bytes => {}
                Filled::End => {
                    self.ended = true;
                    return Some(ConsoleLine::of(&line, too_long));
                }
                Filled::Told => {
                    self.ended = true;
                    return None;
                }
            }
        }
    }

    fn fill(&mut self) -> Filled {
        let mut buf = [0; 512];
        while self.wait() {
            match rustix::io::read(&self.input, &mut buf) {
                Ok(0) => return Filled::End,
                Ok(len) => {
                    self.unread.extend(&buf[..len]);
                    return Filled::Bytes;
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                // The terminal is gone, or the descriptor closed: no more commands can come.
                Err(_) => break,
            }
        }
        Filled::Told
    }

    /// Waits until there is something to read. Returns false if the thread has to end.
    fn wait(&self) -> bool {
        let input = &self.input;
        loop {
            let background = in_background(input);
            let mut fds = [PollFd::new(&*self.wake, PollFlags::IN), PollFd::new(input, PollFlags::IN)];
            // The system stops a background process that reads from its terminal.
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
}

impl ConsoleLine {
    fn of(line: &[u8], too_long: bool) -> Self {
        if too_long { Self::TooLong } else { Self::Text(String::from_utf8_lossy(line).into_owned()) }
    }
}

/// Whether the input is a terminal and this process is in its background.
fn in_background(input: &impl AsFd) -> bool {
    // Fails for anything but this process's own terminal. Without one there is no background.
    rustix::termios::tcgetpgrp(input).is_ok_and(|front| front != rustix::process::getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::operator::answer::CommandRefusal;
    use crossbeam_channel::{Receiver, Sender, unbounded};
    use std::fs::File;

    struct Script(Sender<&'static str>);

    impl OperatorCommands for Script {
        fn carry_out(&self, _: OperatorCaller, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome {
            let words = match command {
                OperatorCommand::Quit => {
                    self.0.send("quit").expect("somebody listens");
                    return Outcome::Quit;
                }
                OperatorCommand::Forget(1) => {
                    return Outcome::Refused(CommandRefusal { code: "Own".into(), words: "it is this one".into() });
                }
                OperatorCommand::Trackers => return Outcome::Restarting,
                OperatorCommand::Status => "fine".to_owned(),
                OperatorCommand::ResetPassword(_) => match to.ask("New one: ") {
                    Ok(password) => format!("it is {}", password.reveal()),
                    Err(error) => format!("{error:?}"),
                },
                other => format!("{other:?}"),
            };
            to.row(&Row::success(words)).expect("taken");
            Outcome::Done
        }

        fn turned_away(&self, _: u32) {}
    }

    fn pipe() -> (File, File) {
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        (read.into(), write.into())
    }

    fn console() -> (File, Console, File, Receiver<&'static str>) {
        let ((input, typed), (shown, output)) = (pipe(), pipe());
        let (done, events) = unbounded();
        (typed, Console::start(input, output, Arc::new(Script(done))).expect("started"), shown, events)
    }

    fn all(mut shown: File) -> String {
        let mut text = String::new();
        io::Read::read_to_string(&mut shown, &mut text).expect("text");
        text
    }

    #[test]
    fn commands_are_answered_and_quit_is_the_last_one() {
        let (mut typed, _console, shown, events) = console();
        typed.write_all(b"status\n\n  forget 2 \r\nforget 1\ntrackers\nfrob\x1b[2J\nforget\n").expect("taken");
        typed.write_all(b"quit\nstatus\n").expect("taken");
        assert_eq!(events.recv(), Ok("quit"));
        let expected = "\
fine
Forget(2)
it is this one
the tracker is starting anew, try again
Unknown command 'frob\\u{1b}[2J', type help
Usage: forget <tracker_no>
";
        assert_eq!(all(shown), expected);
    }

    #[test]
    fn a_question_takes_the_next_line() {
        let (mut typed, _console, shown, _events) = console();
        typed
            .write_all(b"reset_password ann\nstatus\nstatus\nreset_password ann\n\nreset_password ann")
            .expect("taken");
        drop(typed);
        assert_eq!(all(shown), "New one: \nit is status\nfine\nNew one: \nNoPassword\nNew one: \nGone\n");
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

    #[test]
    fn a_line_that_is_half_typed_when_the_tracker_stops_is_no_command() {
        let (mut typed, console, shown, _events) = console();
        typed.write_all(b"status\nstatus").expect("taken");
        let mut shown = shown;
        let mut first = [0; 5];
        io::Read::read_exact(&mut shown, &mut first).expect("an answer");
        drop(console);
        assert_eq!(all(shown), "");
    }
}
