//! Programs that a bench runs. It measures what they use, and they end with the bench.

use crate::common::deadline::LONG;
use crate::common::namespaces::{again, unshare};
use crate::common::program::Program;
use crate::common::wait::wait_until;
use groupshare::signals;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the bench checks whether a program has ended.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
/// Clock ticks per second. Linux always reports at this rate.
const TICKS_PER_S: u64 = 100;

/// Programs that run or have run. They end when this program is interrupted.
static STARTED: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static HANDLER: Once = Once::new();

/// The resources that a program has used up to a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub(crate) struct Usage {
    /// Time on cores, in user and kernel mode, with its children.
    pub cpu: Duration,
    /// Peak resident memory, in bytes.
    pub peak: u64,
}

/// Starts a program that ends when this one is interrupted.
pub(crate) fn start(command: &mut Command) -> Program {
    HANDLER.call_once(|| signals::handle(|_| interrupt()).expect("the only handler"));
    let program = Program::start(command);
    STARTED.lock().push(pidfd_of(&program));
    if INTERRUPTED.load(Ordering::SeqCst) {
        interrupt();
    }
    program
}

/// Runs this bench again in fresh namespaces in which this trial succeeds. Prints a line if there can be none.
pub(crate) fn again_inside(trial: &str) {
    match unshare(trial, &[]) {
        Err(missing) => println!("Not measured: {missing}"),
        Ok(unshare) => {
            let mut child = again(unshare).args(std::env::args_os().skip(1)).spawn().expect("it has started before");
            // The child runs as long as its input is open.
            let input = child.stdin.take();
            let status = child.wait().expect("started");
            drop(input);
            assert!(status.success(), "it has failed in its namespaces, as told above");
        }
    }
}

/// Kills the running programs. The threads that wait for them unwind, and so remove the folders.
fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
    for pidfd in &*STARTED.lock() {
        // A program that has ended needs no signal.
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
}

fn pidfd_of(program: &Program) -> OwnedFd {
    pidfd_open(program.pid(), PidfdFlags::empty()).expect("it has not been waited for")
}

impl Program {
    /// The resources that the program has used until now.
    pub(crate) fn usage(&self) -> Usage {
        usage_of(self.pid())
    }

    /// Bytes that the program has passed to `write` and similar calls for files. They show the progress of a download.
    pub(crate) fn written(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid().as_raw_nonzero())).unwrap_or_default();
        let field = io.lines().find_map(|line| line.strip_prefix("wchar:"));
        field.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until the program has written this many bytes.
    pub(crate) fn wait_written(&self, bytes: u64) {
        wait_until("it gets on", || self.written() >= bytes);
    }

    /// Waits for the end of the program. Returns when that was, and the used resources. Panics unless the program
    /// succeeds.
    pub(crate) fn wait(mut self) -> (Instant, Usage) {
        let pidfd = pidfd_of(&self);
        let mut usage = self.usage();
        let deadline = Instant::now() + LONG;
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        while poll(&mut fds, Some(&LOOK)).expect("a descriptor") == 0 {
            // The kernel frees the memory of a process before a wait can see it.
            usage.peak = usage.peak.max(self.usage().peak);
            assert!(Instant::now() < deadline, "it does not end: {:#?}", self.heard());
        }
        let ended = Instant::now();
        usage.cpu = cpu_of(self.pid());
        let (status, said) = self.end();
        assert!(status.success(), "it has failed, {status}: {said}");
        (ended, usage)
    }
}

/// The resources that a process has used until now.
pub(crate) fn usage_of(pid: Pid) -> Usage {
    Usage { cpu: cpu_of(pid), peak: status_of(pid, "VmHWM:").unwrap_or(0) * 1024 }
}

/// The time on cores of a process and its children, with those that still run.
fn cpu_of(pid: Pid) -> Duration {
    let pid = pid.as_raw_nonzero();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold any character. utime, stime, cutime and cstime are fields 14 to 17 of proc(5).
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
