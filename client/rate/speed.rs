//! The recent speed of something.

use std::time::Instant;

/// A look sooner than this, in seconds, does not count: it would measure the clock rather than the speed.
const PAUSE_LEAST_S: f64 = 0.2;
/// The mean is over about this time, in seconds.
const MEMORY_S: f64 = 3.0;

/// The mean speed of the last seconds, from looks at a count of bytes.
#[derive(Debug)]
pub(crate) struct Speed {
    bytes: u64,
    at: Instant,
    bytes_per_s: f64,
}

impl Speed {
    /// The speed of something whose count is `bytes` now.
    pub(crate) fn new(bytes: u64, now: Instant) -> Self {
        Self { bytes, at: now, bytes_per_s: 0.0 }
    }

    /// The count, which never falls, is `bytes` now.
    pub(crate) fn look(&mut self, bytes: u64, now: Instant) {
        let elapsed = now.duration_since(self.at).as_secs_f64();
        if elapsed < PAUSE_LEAST_S {
            return;
        }
        let speed = (bytes - self.bytes) as f64 / elapsed;
        // An exponential mean that begins with the first figure.
        let weight = if self.bytes_per_s == 0.0 { 1.0 } else { (elapsed / MEMORY_S).min(1.0) };
        self.bytes_per_s += (speed - self.bytes_per_s) * weight;
        (self.bytes, self.at) = (bytes, now);
    }

    pub(crate) fn bytes_per_s(&self) -> f64 {
        self.bytes_per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_speed_is_there_at_the_first_look_and_follows_within_seconds() {
        let begun = Instant::now();
        let mut speed = Speed::new(500, begun);
        speed.look(10_000, begun + Duration::from_millis(100));
        assert_eq!(speed.bytes_per_s(), 0.0, "too early to tell");
        speed.look(1_000_500, begun + Duration::from_secs(1));
        assert_eq!(speed.bytes_per_s(), 1e6);
        for second in 2..12 {
            speed.look(1_000_500, begun + Duration::from_secs(second));
        }
        assert!(speed.bytes_per_s() < 3e4, "{}", speed.bytes_per_s());
    }
}
