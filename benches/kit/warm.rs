//! Memory that the machine has at hand. A virtual machine gives free memory back to its host. The next program that
//! touches it pays for that: 1 GiB may take 2 s more. That would favour later runs in a comparison.

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::path::Path;

/// How much memory is touched. It is about as much as a run and its page cache take, within these bounds.
const TOUCHED: (u64, u64) = (2 << 30, 4 << 30);
/// Most repeats of a run during which memory went back to the host.
const REPEATS: usize = 3;
/// Where the kernel counts the free memory that went to the host, in KiB. Not every kernel does.
const REPORTED: &str = "/sys/module/page_reporting/parameters/reported_kib";

/// Runs this with warm memory and with the source in the page cache. If memory went to the host meanwhile, it runs this
/// again. `undo` removes the files of a run.
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

/// Reads the source, then touches free memory.
pub(crate) fn warm(source: &Path) {
    let read = File::open(source).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
    let len = read.expect("the source is there").saturating_mul(3).clamp(TOUCHED.0, TOUCHED.1);
    // The bytes are ones: for zeros the system would touch no memory.
    drop(black_box(vec![1_u8; len as usize]));
}

fn reported_kib() -> Option<u64> {
    fs::read_to_string(REPORTED).ok()?.trim().parse().ok()
}
