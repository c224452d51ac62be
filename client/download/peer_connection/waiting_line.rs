//! How many connections with something to deliver wait for a worker. The dispatcher counts them, workers look between
//! frames.

use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub(crate) struct WaitingLine(AtomicUsize);

impl WaitingLine {
    /// So many wait now.
    pub(crate) fn set(&self, waiting: usize) {
        self.0.store(waiting, Ordering::Relaxed);
    }

    /// Whether any waits.
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Promises a worker to one of those who wait. False if all have been promised one, or none waits.
    pub(crate) fn promise(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| waiting.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_those_who_wait_is_promised_one_worker() {
        let line = WaitingLine::default();
        assert!(!line.is_there() && !line.promise());
        line.set(2);
        assert!(line.is_there() && line.promise() && line.promise());
        assert!(!line.is_there() && !line.promise());
    }
}
