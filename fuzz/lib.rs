//! What every fuzz target links: the harness of the tests, and an allocator. It refuses allocations larger than any
//! that the program should make.

#[path = "../tests/fuzz_smoke/targets/mod.rs"]
mod targets;

pub use libfuzzer_sys;
use std::alloc::{GlobalAlloc, Layout, System};

/// Largest allocation, in bytes: many times the longest frame. A larger one means that the program has trusted a
/// claimed length.
const ALLOCATION_MAX: usize = 16 * 1024 * 1024;

struct Capped;

impl Capped {
    fn check(len: usize) {
        if len > ALLOCATION_MAX {
            eprintln!("{len} bytes were asked for at once");
            std::process::abort();
        }
    }
}

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for Capped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::check(layout.size());
        // SAFETY: the caller's promises are the same ones that the system's allocator needs; likewise below.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::check(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        Self::check(len);
        // SAFETY: as above. Every place comes from the same allocator.
        unsafe { System.realloc(place, layout, len) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Capped = Capped;

/// The target of this name.
pub fn target(name: &str) -> fn(&[u8]) {
    targets::target(name)
}

/// Makes the program of a target.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            static TARGET: std::sync::LazyLock<fn(&[u8])> = std::sync::LazyLock::new(|| $crate::target($name));
            TARGET(data)
        });
    };
}
