//! A program that a bench runs: what it says, what it uses, and that it ends.

use groupshare::signals;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longer than anything takes that is waited for.
pub(crate) const LONG: Duration = Duration::from_secs(300);
/// How often a program is looked at whose end is awaited.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
/// Of the kernel's clock ticks, which Linux shows at this rate whatever its own is.
const TICKS_PER_S: u64 = 100;

/// What runs; ended when this program is interrupted.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static HANDLER: Once = Once::new();

/// What a program has used up to a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub(crate) struct Usage {
    /// Time on cores, its own and the kernel's for it, its children included.
    pub cpu: Duration,
    /// Most memory that was resident at a time, in bytes.
    pub peak: u64,
}

/// A program; killed when dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<(Instant, String)>,
    heard: Vec<String>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts it; `name` is what it is called when something goes wrong.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        HANDLER.call_once(|| signals::handle(|_| interrupt()).expect("the only handler"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        RUNNING.lock().push(Pid::from_child(&child));
        let (heard, lines) = channel();
        let readers = vec![
            listen(child.stdout.take().expect("piped"), heard.clone()),
            listen(child.stderr.take().expect("piped"), heard),
        ];
        let stdin = child.stdin.take();
        if INTERRUPTED.load(Ordering::SeqCst) {
            interrupt();
        }
        Self { name: name.to_owned(), child, stdin, lines, heard: Vec::new(), readers }
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it is open until `close_input`");
        if let Err(error) = writeln!(stdin, "{line}") {
            self.fail(&format!("cannot be told {line}: {error}"));
        }
    }

    /// Waits for a line that holds `text`; gives it, and when it came.
    pub(crate) fn expect(&mut self, text: &str) -> (Instant, String) {
        self.expect_by(text, Instant::now() + LONG).unwrap_or_else(|| self.fail(&format!("does not say {text}")))
    }

    /// Waits no longer than that for a line that holds `text`.
    pub(crate) fn expect_by(&mut self, text: &str, deadline: Instant) -> Option<(Instant, String)> {
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((at, line)) if line.contains(text) => return Some((at, line)),
                Ok((_, line)) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("has ended and not said {text}")),
            }
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{} {what}; it said:\n{}", self.name, self.heard.join("\n"));
    }

    /// The process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has used until now.
    pub(crate) fn usage(&self) -> Usage {
        let pid = self.pid();
        Usage { cpu: cpu_of(pid), peak: status_of(pid, "VmHWM:").unwrap_or(0) * 1024 }
    }

    /// Bytes that it has handed to `write` and the calls like it, which are those for files: how far a download is.
    pub(crate) fn written(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.child.id())).unwrap_or_default();
        let field = io.lines().find_map(|line| line.strip_prefix("wchar:"));
        field.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until it has written so many bytes.
    pub(crate) fn wait_written(&self, bytes: u64) {
        let deadline = Instant::now() + LONG;
        while self.written() < bytes {
            assert!(Instant::now() < deadline, "{} does not get on", self.name);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it has not been waited for");
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.end();
    }

    /// Waits for its end; gives when that was, and what it has used. Panics unless it ends well.
    pub(crate) fn wait(mut self) -> (Instant, Usage) {
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).expect("it has not been waited for");
        let mut usage = self.usage();
        let deadline = Instant::now() + LONG;
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        while poll(&mut fds, Some(&LOOK)).expect("a descriptor") == 0 {
            // Its memory is gone before it can be waited for.
            usage.peak = usage.peak.max(self.usage().peak);
            assert!(Instant::now() < deadline, "{} does not end", self.name);
        }
        let ended = Instant::now();
        usage.cpu = cpu_of(self.pid());
        let status = self.end();
        self.heard.extend(self.lines.try_iter().map(|(_, line)| line));
        if !status.success() {
            self.fail(&format!("has failed, {status}"));
        }
        (ended, usage)
    }

    /// Reaps it and hears the rest.
    fn end(&mut self) -> ExitStatus {
        self.stdin = None;
        let pid = self.pid();
        // Out of the list first: the number may belong to another process once it is waited for.
        RUNNING.lock().retain(|running| *running != pid);
        let status = self.child.wait().expect("a child");
        self.readers.drain(..).for_each(|reader| reader.join().expect("it only reads"));
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.readers.is_empty() {
            // One that has ended by itself needs no signal.
            let _ = self.child.kill();
            self.end();
        }
    }
}

/// Kills what runs; whoever waits for it then unwinds, which removes the folders.
fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
    for &pid in RUNNING.lock().iter() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn listen(from: impl Read + Send + 'static, heard: Sender<(Instant, String)>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            // The program may be dropped with things still to say.
            let _ = heard.send((Instant::now(), String::from_utf8_lossy(&line).into_owned()));
        }
    })
}

/// The time on cores of a process with its children, those that live included.
fn cpu_of(pid: Pid) -> Duration {
    let pid = pid.as_raw_nonzero();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; utime, stime, cutime and cstime are fields 14 to 17 of proc(5).
    let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?));
    Duration::from_millis(ticks * 1000 / TICKS_PER_S) + children.map(cpu_of).sum::<Duration>()
}

fn status_of(pid: Pid, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.split_ascii_whitespace().next()?.parse().ok()
}
