//! Waits until a condition holds.

use super::deadline::LONG;
use std::time::{Duration, Instant};

/// Checks the condition again and again until it holds.
pub(crate) fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
