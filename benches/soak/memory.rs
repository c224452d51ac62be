//! How much memory each program has over the time, and whether that grows by more than what there is to keep.

use crate::common::program::Program;
use crate::kit::table::median;
use std::collections::BTreeMap;

/// What may come and go without a reason that can be counted, in KiB: threads, and what the allocator holds ready.
const SLACK_KIB: u64 = 8 * 1024;
/// What may be kept of each change for good, in bytes: its command id, and what it leaves in the state.
const CHANGE_BYTES: u64 = 512;
/// Fewer samples than this tell nothing.
const SAMPLES_MIN: usize = 6;

/// What was seen of one program.
struct Seen {
    /// Whether it is one and the same process all the time.
    lasts: bool,
    /// KiB of resident memory, and the number of changes there were by then.
    samples: Vec<(u64, u64)>,
}

/// What was seen of all programs.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<String, Seen>);

impl Memory {
    /// Looks how much a program has now, after so many changes; `lasts` says that it is never killed.
    pub(crate) fn note(&mut self, name: &str, program: &Program, lasts: bool, changes: u64) {
        let kib = program.resident() / 1024;
        let seen = self.0.entry(name.to_owned()).or_insert_with(|| Seen { lasts, samples: Vec::new() });
        seen.samples.push((kib, changes));
    }

    /// Tells all figures; false if something has grown by more than it may.
    pub(crate) fn judge(&self) -> bool {
        let mut flat = true;
        for (name, seen) in &self.0 {
            let count = seen.samples.len();
            let peak = seen.samples.iter().map(|sample| sample.0).max().unwrap_or(0);
            if count < SAMPLES_MIN || !seen.lasts {
                let why = if seen.lasts { "too few samples" } else { "begun anew again and again" };
                println!("memory     {name}: {peak} KiB at most, {why}");
                continue;
            }
            // The first third shows what each trouble takes when it comes for the first time. What trouble takes for a while,
            // a fold of late changes most of all, comes and goes by tens of megabytes; what is kept shows in the least.
            let third = count / 3;
            let of = |samples: &[(u64, u64)]| {
                let kib = samples.iter().map(|sample| sample.0);
                (kib.min().unwrap_or(0), median(samples.iter().map(|sample| sample.1)))
            };
            let thirds = [0, third, count - third].map(|from| of(&seen.samples[from..from + third]));
            let [first, then, last] = thirds;
            let (grown, changes) = (last.0 as i64 - then.0 as i64, last.1 - then.1);
            let allowed = SLACK_KIB + changes * CHANGE_BYTES / 1024;
            println!(
                "memory     {name}: {}, {} and {} KiB at least in the thirds of the run, {peak} at most; grown by {grown} in the \
                 last {changes} changes, {allowed} are allowed",
                first.0, then.0, last.0
            );
            let all: Vec<_> = seen.samples.iter().map(|sample| sample.0).collect();
            println!("           {all:?}");
            flat &= grown <= allowed as i64;
        }
        flat
    }
}
