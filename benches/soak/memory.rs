//! The memory of each program over time. It may grow only by what the program has to keep.

use crate::common::program::Program;
use crate::kit::table::median;
use std::collections::BTreeMap;

/// What may come and go for no countable reason, in KiB: threads, and memory that the allocator keeps ready.
const SLACK_KIB: u64 = 8 * 1024;
/// What a tracker may keep of each change for good, in bytes: its command id, and its trace in the state.
const CHANGE_BYTES: u64 = 512;
/// Fewer samples than this prove nothing.
const SAMPLES_MIN: usize = 6;

/// The samples of one program.
struct Seen {
    /// Whether the same process runs all the time.
    lasts: bool,
    /// Resident memory in KiB, and the number of changes at that time.
    samples: Vec<(u64, u64)>,
}

/// The samples of all programs.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<String, Seen>);

impl Memory {
    /// Samples the memory of a program after so many changes. `lasts` says that the program is never killed.
    pub(crate) fn note(&mut self, name: &str, program: &Program, lasts: bool, changes: u64) {
        let kib = program.resident() / 1024;
        let seen = self.0.entry(name.to_owned()).or_insert_with(|| Seen { lasts, samples: Vec::new() });
        seen.samples.push((kib, changes));
    }

    /// Prints all figures. False if a program has grown by more than it may.
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
            // The first third shows the cost of each trouble when it first comes. Later the memory varies by tens of
            // megabytes while there are troubles, most of all during a fold of late changes. The least value shows what
            // a program keeps.
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
