//! The resources of members during a row: memory, threads, connections, and traffic on their links.

use super::network::Star;
use super::tools::{Cast, PORT};
use crate::kit::program::usage_of;
use rustix::process::Pid;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The pause between two samples.
const PAUSE: Duration = Duration::from_millis(100);

/// The measurements of a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Bytes that all givers have sent, and bytes that the most limited taker has received. Headers do not count.
    pub sent: u64,
    pub got: u64,
    /// Packets per second of all givers.
    pub packets_per_s: f64,
    /// Peak memory of a giver and of a taker, in bytes.
    pub memory: [u64; 2],
    /// Most threads of a giver and of a taker.
    pub threads: [usize; 2],
    /// Most simultaneous connections at the first giver.
    pub connections: usize,
    /// Time on cores of all givers, and of all takers.
    pub cpu: [Duration; 2],
    /// The share of time in which the machine's cores worked, for any program. Near 1 the machine is the bottleneck,
    /// not the links.
    pub busy: f64,
}

/// Samples again and again until its end.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    most: Arc<Most>,
    thread: JoinHandle<()>,
    sides: [Vec<Pid>; 2],
    begun: Instant,
    before: Before,
}

#[derive(Debug, Default)]
struct Most {
    threads: [AtomicUsize; 2],
    connections: AtomicUsize,
}

/// The counters before the row.
struct Before {
    sent: u64,
    packets: u64,
    got: Vec<u64>,
    cpu: [Duration; 2],
    /// Ticks of all cores, and their idle ticks.
    ticks: [u64; 2],
}

impl Watch {
    pub(crate) fn start(star: &Star, cast: &Cast, sides: [Vec<Pid>; 2]) -> Self {
        let pids = sides.clone();
        let (over, most) = (Arc::new(AtomicBool::new(false)), Arc::new(Most::default()));
        let thread = {
            let (over, most) = (over.clone(), most.clone());
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    for (side, pids) in pids.iter().enumerate() {
                        let count = pids.iter().map(|pid| threads_of(*pid)).max().unwrap_or(0);
                        most.threads[side].fetch_max(count, Ordering::Relaxed);
                    }
                    most.connections.fetch_max(connections_at(pids[0][0]), Ordering::Relaxed);
                    thread::park_timeout(PAUSE);
                }
            })
        };
        let before = Before::now(star, cast, &sides);
        Self { over, most, thread, sides, begun: Instant::now(), before }
    }

    pub(crate) fn end(self, star: &Star, cast: &Cast) -> Seen {
        let took = self.begun.elapsed();
        self.over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().expect("it only looks");
        let now = Before::now(star, cast, &self.sides);
        let got = now.got.iter().zip(&self.before.got).map(|(now, before)| now - before);
        let memory = self.sides.each_ref().map(|side| side.iter().map(|&pid| usage_of(pid).peak).max().unwrap_or(0));
        Seen {
            sent: now.sent - self.before.sent,
            got: got.max().unwrap_or(0),
            packets_per_s: (now.packets - self.before.packets) as f64 / took.as_secs_f64(),
            memory,
            threads: self.most.threads.each_ref().map(|most| most.load(Ordering::Relaxed)),
            connections: self.most.connections.load(Ordering::Relaxed),
            cpu: [0, 1].map(|side| now.cpu[side] - self.before.cpu[side]),
            busy: {
                let [all, idle] = [0, 1].map(|of| (now.ticks[of] - self.before.ticks[of]) as f64);
                1.0 - idle / all.max(1.0)
            },
        }
    }
}

impl Before {
    fn now(star: &Star, cast: &Cast, sides: &[Vec<Pid>; 2]) -> Self {
        let given = cast.givers.iter().map(|site| star.traffic(site));
        Self {
            sent: given.clone().map(|traffic| traffic.sent).sum(),
            packets: given.map(|traffic| traffic.packets).sum(),
            got: cast.takers.iter().map(|site| star.traffic(site).got).collect(),
            cpu: sides.each_ref().map(|side| side.iter().map(|&pid| usage_of(pid).cpu).sum()),
            ticks: ticks(),
        }
    }
}

/// Ticks of all cores since the start of the machine, and their idle ticks.
fn ticks() -> [u64; 2] {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    let fields: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // `idle` and `iowait`. The guest's time, from field nine on, is part of the fields before.
    [fields.iter().take(8).sum(), fields.iter().skip(3).take(2).sum()]
}

fn threads_of(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).map_or(0, |threads| threads.count())
}

/// Established connections to the port of a giver, as the kernel of its machine reports.
fn connections_at(pid: Pid) -> usize {
    let text = fs::read_to_string(format!("/proc/{}/net/tcp", pid.as_raw_nonzero())).unwrap_or_default();
    let port = format!(":{PORT:04X}");
    let stands = |line: &&str| {
        let mut fields = line.split_ascii_whitespace();
        fields.nth(1).is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some("01")
    };
    text.lines().filter(stands).count()
}
