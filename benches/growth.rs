//! How the cost of an input grows with its size, for inputs whose size others choose. `cargo bench -- growth` doubles
//! each input again and again. It fails if the cost of one grows clearly faster than its size. `only=NAME,NAME` takes
//! only the inputs with these words in their names.

mod fold;
mod lists;
mod logs;
mod manifests;
mod messages;
mod sessions;
mod swarms;
pub(crate) mod town;

use crate::kit::options::Options;
use crate::kit::table::Table;
use groupshare::sys::thread_time;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

/// Samples of each size. The shortest counts: other programs only ever make work longer.
const SAMPLES: usize = 5;
/// After this long one sample is enough.
const LONG: Duration = Duration::from_millis(500);
/// How often an input is measured before its growth counts as a finding.
const ATTEMPTS: usize = 2;
/// The growth is taken over this many doublings, the last ones.
const DOUBLINGS: usize = 3;
/// The largest mean growth of a doubling. Sorting has 2.2, memory that outgrows the caches 2.5, and a square 4.
const GROWTH_MAX: f64 = 2.7;

/// An input that others may make as large as they like.
struct Input {
    name: &'static str,
    /// The first and the last size. Each size is double the one before.
    first: usize,
    last: usize,
    /// Prepares an input of one size. The result does the work and returns its time.
    prepare: fn(usize) -> Work,
}

/// The work on an input. Each call does it once more.
type Work = Box<dyn FnMut() -> Duration>;

impl Input {
    const fn new(name: &'static str, (first, last): (usize, usize), prepare: fn(usize) -> Work) -> Self {
        assert!(first << DOUBLINGS <= last, "these are too few doublings");
        Self { name, first, last, prepare }
    }

    fn sizes(&self) -> impl Iterator<Item = usize> {
        let last = self.last;
        std::iter::successors(Some(self.first), |size| Some(size * 2)).take_while(move |size| *size <= last)
    }

    /// The shortest time for each size.
    fn measure(&self) -> Vec<Duration> {
        let least = |size| {
            let mut work = (self.prepare)(size);
            let mut samples = vec![work()];
            while samples.len() < SAMPLES && samples.iter().sum::<Duration>() < LONG {
                samples.push(work());
            }
            *samples.iter().min().expect("some samples")
        };
        self.sizes().map(least).collect()
    }

    /// Measures again after a finding, since another program may have disturbed the first measurement.
    fn settle(&self) -> Vec<Duration> {
        let mut times = self.measure();
        for _ in 1..ATTEMPTS {
            if growth(&times) <= GROWTH_MAX {
                break;
            }
            times = self.measure();
        }
        times
    }
}

/// By which factor a doubling raises the cost, over the last doublings.
fn growth(times: &[Duration]) -> f64 {
    let last = &times[times.len() - DOUBLINGS - 1..];
    (last[DOUBLINGS].as_secs_f64() / last[0].as_secs_f64()).powf(1.0 / DOUBLINGS as f64)
}

/// The time that this thread takes for the work.
fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = thread_time();
    let made = black_box(work());
    let took = thread_time() - start;
    drop(made);
    took
}

/// The time that all threads of this process take for the work.
fn timed_in_all<T>(work: impl FnOnce() -> T) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        // Neither is negative.
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let start = now();
    let made = black_box(work());
    let took = now() - start;
    drop(made);
    took
}

pub(crate) fn bench(options: &Options) {
    let only = options.words("only", "");
    let inputs = [
        manifests::INPUTS,
        messages::INPUTS,
        fold::INPUTS,
        logs::INPUTS,
        lists::INPUTS,
        swarms::INPUTS,
        sessions::INPUTS,
    ];
    let mut table = Table::new(&["", "first", "last", "ms", "growth"]);
    let mut found = Vec::new();
    for input in inputs.into_iter().flatten().filter(|input| only.iter().any(|word| input.name.contains(word.as_str())))
    {
        let times = input.settle();
        let (grows, last) = (growth(&times), *times.last().expect("several sizes"));
        let last_size = input.sizes().last().expect("several sizes");
        let ms = format!("{:.2}", last.as_secs_f64() * 1e3);
        table.line(vec![
            input.name.to_owned(),
            input.first.to_string(),
            last_size.to_string(),
            ms,
            format!("{grows:.2}"),
        ]);
        if grows > GROWTH_MAX {
            found.push(format!("{}: {grows:.2} times the cost for twice the size", input.name));
        }
    }
    table.print();
    if !found.is_empty() {
        eprintln!("\nThe cost of these grows faster than their size:\n{}", found.join("\n"));
        std::process::exit(1);
    }
}
