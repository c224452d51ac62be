//! How much memory each program has over the time, and whether that grows by more than what there is to keep.

use crate::bench::median;
use crate::common::program::Program;
use std::collections::BTreeMap;

/// What may come and go without a reason that can be counted, in KiB: threads, and what the allocator holds ready.
const SLACK_KIB: u64 = 8 * 1024;
/// What a tracker may keep of each change, in KiB: the op among the latest 65,536, its command id, and the account, group
/// or share that it makes with all the index entries.
const CHANGE_KIB: u64 = 2;
/// Fewer samples than this tell nothing.
const SAMPLES_MIN: usize = 6;

/// What was seen of one program.
struct Seen {
    keeps_changes: bool,
    /// KiB of resident memory, and the number of changes there were by then.
    samples: Vec<(u64, u64)>,
}

/// What was seen of all programs.
#[derive(Default)]
pub struct Memory(BTreeMap<String, Seen>);

impl Memory {
    /// Looks how much a program has now, after so many changes; `keeps_changes` says that it is to keep them.
    pub fn note(&mut self, name: &str, program: &Program, keeps_changes: bool, changes: u64) {
        let kib = program.resident() / 1024;
        let seen = self.0.entry(name.to_owned()).or_insert_with(|| Seen { keeps_changes, samples: Vec::new() });
        seen.samples.push((kib, changes));
    }

    /// Tells all figures; false if something has grown by more than it may.
    pub fn judge(&self) -> bool {
        let mut flat = true;
        for (name, seen) in &self.0 {
            let count = seen.samples.len();
            if count < SAMPLES_MIN {
                let kib: Vec<_> = seen.samples.iter().map(|sample| sample.0).collect();
                println!("memory     {name}: {kib:?} KiB, too few samples to judge");
                continue;
            }
            let third = count / 3;
            let of = |samples: &[(u64, u64)]| {
                (median(samples.iter().map(|sample| sample.0)), median(samples.iter().map(|sample| sample.1)))
            };
            let (first, last) = (of(&seen.samples[..third]), of(&seen.samples[count - third..]));
            let (grown, changes) = (last.0 as i64 - first.0 as i64, last.1 - first.1);
            let allowed = SLACK_KIB + if seen.keeps_changes { changes * CHANGE_KIB } else { 0 };
            let peak = seen.samples.iter().map(|sample| sample.0).max().unwrap_or(0);
            println!(
                "memory     {name}: {} KiB in the first third, {} in the last, {peak} at most; grown by {grown} in {changes} \
                 changes, {allowed} are allowed",
                first.0, last.0
            );
            flat &= grown <= allowed as i64;
        }
        flat
    }
}
