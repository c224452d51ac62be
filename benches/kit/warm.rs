//! Memory that the machine has at hand. A virtual machine gives free memory back to its host, and whoever touches it
//! next pays for that: 1 GiB may take 2 s more. So it would decide a comparison who comes first after a pause.

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::path::Path;

/// How much memory is touched: as much as a run and its page cache take, within bounds.
const TOUCHED: (u64, u64) = (2 << 30, 4 << 30);
/// How often a run is repeated at most during which memory went back to the host.
const REPEATS: usize = 3;
/// How much free memory went to the host, in KiB; where the kernel counts it.
const REPORTED: &str = "/sys/module/page_reporting/parameters/reported_kib";

/// Runs this with warm memory and with the source in the page cache. Runs it again if memory went to the host meanwhile;
/// `undo` clears away what a run has made.
pub(crate) fn with_warm_memory<T>(source: &Path, mut run: impl FnMut() -> T, mut undo: impl FnMut()) -> T {
    for _ in 0..REPEATS {
        warm(source);
        let before = reported_kib();
        let outcome = run();
        if reported_kib() == before {
            return outcome;
        }
        undo();
    }
    warm(source);
    run()
}

/// Reads the source, then has memory at hand that nobody uses.
pub(crate) fn warm(source: &Path) {
    let read = File::open(source).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
    let len = read.expect("the source is there").saturating_mul(3).clamp(TOUCHED.0, TOUCHED.1);
    // Ones, since zeros would be touched by nobody.
    drop(black_box(vec![1_u8; len as usize]));
}

fn reported_kib() -> Option<u64> {
    fs::read_to_string(REPORTED).ok()?.trim().parse().ok()
}
