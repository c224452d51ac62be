//! Lists and searches in a group with many files. Measures the time of the client's program from its start to its end,
//! its peak memory, the tracker's processor time, and the bytes on the connection.
//! `cargo bench -- finding files=100000 rounds=3`.

use crate::common::names::PASSWORD;
use crate::common::relay::Relay;
use crate::common::tracker::TestTracker;
use crate::growth::town::Town;
use crate::kit::options::Options;
use crate::kit::program::usage_of;
use crate::kit::table::{Table, median};
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the bench samples the client's memory. Nothing tells it after the end.
const LOOK: Duration = Duration::from_millis(1);

/// The command after the login, and whether its output is JSON.
const COMMANDS: [(&str, bool); 8] = [
    ("limit", false),
    ("list_files lab", false),
    ("list_files lab", true),
    ("list_files lab --sort size", false),
    ("list_files lab '*777'", false),
    ("find '*777'", false),
    ("list_files lab '*'", false),
    ("find '*[0-9]*[0-9]*[0-9]*[0-9]*[0-9]*[0-9]*x'", false),
];

/// The cost of a run.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Cost {
    took: Duration,
    tracker_cpu: Duration,
    peak: u64,
}

/// The processor time of this process. The tracker is in it.
fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A client's program that logs in at this tracker, runs one command and ends.
fn run(folder: &Path, tracker: SocketAddr, (line, json): (&str, bool)) -> Cost {
    fs::write(folder.join("tracker_info.txt"), format!("{tracker}\n")).expect("writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    let login = format!("login alice '{PASSWORD}'");
    command.current_dir(folder).args(json.then_some("--json")).args(["--exec", &login, "--exec", line]);
    command.args(["--state-dir", "state", "127.0.0.1:0", "tracker_info.txt"]);
    let (begun, cpu) = (Instant::now(), own_cpu());
    let mut client = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("started");
    let pid = Pid::from_child(&client);
    let mut peak = 0;
    let status = loop {
        peak = peak.max(usage_of(pid).peak);
        if let Some(status) = client.try_wait().expect("it is ours") {
            break status;
        }
        thread::sleep(LOOK);
    };
    assert!(status.success(), "{line}: {status}");
    Cost { took: begun.elapsed(), tracker_cpu: own_cpu() - cpu, peak }
}

/// The bytes that come from the tracker.
fn bytes(folder: &Path, tracker: &TestTracker, command: (&str, bool)) -> usize {
    let came = Arc::new(AtomicUsize::new(0));
    let seen = came.clone();
    let relay = Relay::to(tracker.addr, move |_, asks, bytes| {
        if !asks {
            seen.fetch_add(bytes.len(), Ordering::Relaxed);
        }
    });
    run(folder, relay.addr, command);
    came.load(Ordering::Relaxed)
}

pub(crate) fn bench(options: &Options) {
    let (files, rounds) = (options.number("files", 100_000), options.number("rounds", 3));
    let mut town = Town::default();
    let alice = town.person("alice");
    let lab = town.group("lab", alice);
    for n in 0..files {
        town.share(lab, alice, n, 1);
    }
    let tracker = town.tracker();
    let folder = tempfile::tempdir().expect("a folder");
    let mut table = Table::new(&["of the files", "s", "client, most MiB", "tracker, CPU s", "from the tracker, kB"]);
    for command in COMMANDS {
        let costs: Vec<Cost> = (0..rounds).map(|_| run(folder.path(), tracker.addr, command)).collect();
        let (line, json) = command;
        table.line(vec![
            format!("`{line}`{}", if json { ", JSON" } else { "" }),
            format!("{:.2}", median(costs.iter().map(|cost| cost.took)).as_secs_f64()),
            format!("{:.1}", median(costs.iter().map(|cost| cost.peak)) as f64 / f64::from(1 << 20)),
            format!("{:.2}", median(costs.iter().map(|cost| cost.tracker_cpu)).as_secs_f64()),
            format!("{}", bytes(folder.path(), &tracker, command) / 1000),
        ]);
    }
    table.print();
}
