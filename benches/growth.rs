//! What the size of an input costs where somebody else chooses it. `cargo bench -- growth` doubles each input again and
//! again, and fails if the cost of one clearly more than doubles. `only=NAME,NAME` takes those with these words in
//! their names.

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

/// Samples of each size. The shortest counts: nothing makes work shorter, and other programs make it longer.
const SAMPLES: usize = 5;
/// After this long one sample is enough.
const LONG: Duration = Duration::from_millis(500);
/// How often an input is measured before its growth counts as a finding.
const ATTEMPTS: usize = 2;
/// Doublings over which the growth is taken, the last ones.
const DOUBLINGS: usize = 3;
/// The largest mean growth of a doubling. Sorting comes to 2.2, memory that leaves the caches to 2.5, a square to 4.
const GROWTH_MAX: f64 = 2.7;

/// Something that somebody else makes as large as they like.
struct Input {
    name: &'static str,
    /// The sizes: this one, and all that follow from doubling it up to the last.
    first: usize,
    last: usize,
    /// Makes an input of a size. What it gives does the work and says what that took.
    prepare: fn(usize) -> Work,
}

/// The work that an input makes, once more with each call.
type Work = Box<dyn FnMut() -> Duration>;

impl Input {
    const fn new(name: &'static str, (first, last): (usize, usize), prepare: fn(usize) -> Work) -> Self {
        Self { name, first, last, prepare }
    }

    fn sizes(&self) -> impl Iterator<Item = usize> {
        let last = self.last;
        std::iter::successors(Some(self.first), |size| Some(size * 2)).take_while(move |size| *size <= last)
    }

    /// The least time of each size.
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

    /// Measures again if that looks like a finding: another program may have been in the way.
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

/// How much a doubling makes of the cost, over the last ones.
fn growth(times: &[Duration]) -> f64 {
    let last = &times[times.len() - DOUBLINGS - 1..];
    (last[DOUBLINGS].as_secs_f64() / last[0].as_secs_f64()).powf(1.0 / DOUBLINGS as f64)
}

/// What this thread takes for the work.
fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = thread_time();
    let made = black_box(work());
    let took = thread_time() - start;
    drop(made);
    took
}

/// What all threads of this process take for the work.
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
