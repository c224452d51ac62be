//! A program that a test runs. The test reads its output line by line and waits for its end.

use super::deadline::LONG;
use super::wait::wait_until;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use groupshare::client::command::table::{self, Word};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Once};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// A line of a program's output.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub at: Instant,
    /// Whether the line is on standard error.
    pub complaint: bool,
    pub text: String,
}

/// A program with its input open. Dropping this kills the program.
pub(crate) struct Program {
    name: String,
    child: Child,
    pub input: Option<ChildStdin>,
    lines: Receiver<Line>,
    heard: Vec<Line>,
    /// How much of `heard` the test has passed, on standard output and on standard error. Lines on one of them have no
    /// order relative to lines on the other.
    passed: [usize; 2],
    readers: Vec<JoinHandle<()>>,
}

/// Lets programs heed SIGHUP and SIGINT also where these are ignored here, as under nohup(1). A program inherits that a
/// signal is ignored, and it does not inherit a handler.
pub(crate) fn heed_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("told");
        let mask = u64::from_str_radix(mask.trim(), 16).expect("a mask");
        for signal in [SIGHUP, SIGINT].into_iter().filter(|signal| mask & (1 << (signal - 1)) != 0) {
            signal_hook::flag::register(signal, Arc::default()).expect("allowed");
        }
    });
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::complaining_to(command, Stdio::piped())
    }

    /// A program with its standard error directed to `stderr`. The test reads it only if that is a new pipe.
    pub(crate) fn complaining_to(command: &mut Command, stderr: impl Into<Stdio>) -> Self {
        heed_signals();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (said, lines) = unbounded();
        let mut readers = vec![listen(child.stdout.take().expect("piped"), false, said.clone())];
        readers.extend(child.stderr.take().map(|stderr| listen(stderr, true, said)));
        let input = child.stdin.take();
        Self { name, child, input, lines, heard: Vec::new(), passed: [0; 2], readers }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The resident memory of the program, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let field = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("told");
        let kib: u64 = field.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("not closed");
        writeln!(input, "{line}").expect("taken");
    }

    /// Reads one more line.
    fn hear(&mut self, wanted: &str, deadline: Instant) {
        match self.lines.recv_deadline(deadline) {
            Ok(line) => self.heard.push(line),
            Err(RecvTimeoutError::Timeout) => panic!("{} does not say {wanted}, but {:#?}", self.name, self.heard),
            Err(RecvTimeoutError::Disconnected) => panic!("{} ends without {wanted}: {:#?}", self.name, self.heard),
        }
    }

    /// The next line that meets the condition. Earlier lines on the same output are passed over.
    pub(crate) fn next(&mut self, wanted: &str, so: impl Fn(&Line) -> bool) -> Line {
        let deadline = Instant::now() + LONG;
        let mut at = self.passed[0].min(self.passed[1]);
        loop {
            while at == self.heard.len() {
                self.hear(wanted, deadline);
            }
            let line = &self.heard[at];
            let side = usize::from(line.complaint);
            at += 1;
            if at > self.passed[side] && so(line) {
                self.passed[side] = at;
                return line.clone();
            }
        }
    }

    /// The next line with this text, on either output. Earlier lines on the same output are passed over.
    pub(crate) fn expect(&mut self, text: &str) -> Line {
        self.next(text, |line| line.text.contains(text))
    }

    /// Types a line and waits for this output.
    pub(crate) fn told(&mut self, line: &str, said: &str) {
        self.say(line);
        self.expect(said);
    }

    /// Types a command to a client. Returns all its output until the command has ended.
    pub(crate) fn answers(&mut self, line: &str) -> &[Line] {
        self.say(line);
        // Everything before the answers of these commands, on both outputs, belongs to the first command.
        self.say("help exit");
        self.say("frob");
        let before = self.heard.len();
        let help = table::help(Some(Word::Quit));
        let last = help.last().expect("it says something");
        let heard = |lines: &[Line], text: &str| lines[before..].iter().any(|line| line.text.contains(text));
        let deadline = Instant::now() + LONG;
        while !(heard(&self.heard, last) && heard(&self.heard, "'frob'")) {
            self.hear(line, deadline);
        }
        let answers = self.heard.split_off(before).into_iter();
        self.heard.extend(answers.filter(|line| !help.contains(&line.text) && !line.text.contains("'frob'")));
        self.passed = [self.heard.len(); 2];
        &self.heard[before..]
    }

    /// The same, only for standard output.
    pub(crate) fn said(&mut self, line: &str) -> Vec<String> {
        let answers = self.answers(line).iter().filter(|line| !line.complaint);
        answers.map(|line| line.text.clone()).collect()
    }

    /// Types a command to a client again and again until this output comes.
    pub(crate) fn until(&mut self, line: &str, said: &str) {
        wait_until(said, || self.answers(line).iter().any(|answer| answer.text.contains(said)));
    }

    /// Everything that the test has read so far.
    pub(crate) fn heard(&self) -> &[Line] {
        &self.heard
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it has not been waited for");
    }

    /// Kills the program at once, like a power cut. Returns when.
    pub(crate) fn kill(mut self) -> Instant {
        self.child.kill().expect("it runs");
        let at = Instant::now();
        self.child.wait().expect("killed");
        at
    }

    /// Waits for the end. Returns the exit status and the output on standard error.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + LONG;
        loop {
            match self.lines.recv_deadline(deadline) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{} does not end: {:#?}", self.name, self.heard),
            }
        }
        let complaints = self.heard.iter().filter(|line| line.complaint);
        let said = complaints.map(|line| format!("{}\n", line.text)).collect();
        (self.child.wait().expect("ended"), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // This fails if the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

fn listen(from: impl Read + Send + 'static, complaint: bool, said: Sender<Line>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).into_owned();
            // The program may be dropped while it still has output.
            let _ = said.send(Line { at: Instant::now(), complaint, text });
        }
    })
}
