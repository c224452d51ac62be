//! When bytes may pass under a limit: a token bucket, kept as the moment at which it is no longer empty. Pure: the
//! caller passes the time in, counted from a moment of its choice.

use super::limit::Limit;
use core::num::NonZeroU64;
use core::time::Duration;

/// The bucket holds as many bytes as pass in this time. So a thread that wakes late loses nothing, and bursts stay
/// small.
const BURST: Duration = Duration::from_millis(50);
/// The bytes of this time pass at once. Many small steps are smoother than few large ones.
const STEP: Duration = Duration::from_millis(4);
/// Shortest step, in bytes. Each step costs a system call.
const STEP_LEN_MIN: u64 = 1024;
/// Longest step, in bytes.
const STEP_LEN_MAX: u64 = 64 * 1024;

/// The bucket for all bytes of one direction.
#[derive(Debug)]
pub struct TokenBucket {
    limit: Limit,
    /// The time at which the bytes that have passed are paid for.
    paid: Duration,
}

impl TokenBucket {
    pub fn new(limit: Limit) -> Self {
        Self { limit, paid: Duration::ZERO }
    }

    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Changes to another limit. Bytes that passed under the old limit delay nothing.
    pub fn set_limit(&mut self, limit: Limit, now: Duration) {
        self.limit = limit;
        self.paid = self.paid.min(now);
    }

    /// How many bytes pass in this time. 0 without a limit.
    pub fn len_in(&self, time: Duration) -> u64 {
        let len = |rate: NonZeroU64| u128::from(rate.get()) * time.as_nanos() / NANOS;
        self.limit.bytes_per_second().map_or(0, |rate| u64::try_from(len(rate)).unwrap_or(u64::MAX))
    }

    /// How many of `len` bytes may pass now, at least one unless `len` is 0. [`TokenBucket::pass`] makes them count.
    ///
    /// # Errors
    /// No byte may pass now. The error is the time from which some may.
    pub fn allowance(&self, now: Duration, len: usize) -> Result<usize, Duration> {
        if self.limit == Limit::NONE {
            return Ok(len);
        }
        if self.paid > now {
            return Err(self.paid);
        }
        let step = self.len_in(STEP).clamp(STEP_LEN_MIN, STEP_LEN_MAX);
        Ok(usize::try_from(step).map_or(len, |step| step.min(len)))
    }

    /// This many bytes pass now.
    pub fn pass(&mut self, now: Duration, len: usize) {
        let Some(rate) = self.limit.bytes_per_second() else {
            return;
        };
        // Rounded up, so that the limit is never exceeded.
        let nanos = (len as u128 * NANOS).div_ceil(u128::from(rate.get()));
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.paid = self.paid.max(now.saturating_sub(BURST)).saturating_add(time);
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that pass in ten seconds if the caller always asks `late` after the time at which bytes may pass
    /// again.
    fn bytes_in_ten_seconds(limit: Limit, late: Duration) -> u64 {
        let (mut bucket, mut now, mut passed) = (TokenBucket::new(limit), Duration::from_secs(5), 0);
        let end = now + Duration::from_secs(10);
        while now < end {
            match bucket.allowance(now, 1 << 20) {
                Ok(len) => {
                    bucket.pass(now, len);
                    passed += len as u64;
                }
                Err(when) => now = when + late,
            }
        }
        passed
    }

    #[test]
    fn a_limit_holds_over_ten_seconds_however_late_the_threads_wake() {
        for rate in [20_000, 100_000, 1_000_000, 20_000_000, 1_000_000_000] {
            for late_ms in [0, 1, 10, 40] {
                let passed = bytes_in_ten_seconds(Limit::of(rate), Duration::from_millis(late_ms)) as f64;
                let share = passed / (10 * rate) as f64;
                assert!((0.98..1.02).contains(&share), "{rate} bytes/s, {late_ms} ms late: {share}");
            }
        }
    }

    #[test]
    fn an_allowance_unused_for_long_does_not_come_as_a_burst() {
        let mut bucket = TokenBucket::new(Limit::of(1_000_000));
        let now = Duration::from_secs(1000);
        let mut burst = 0;
        while let Ok(len) = bucket.allowance(now, 1 << 20) {
            bucket.pass(now, len);
            burst += len;
        }
        assert!((50_000..=54_096).contains(&burst), "{burst}");
    }

    #[test]
    fn steps_are_a_few_milliseconds_long_and_never_empty() {
        let step = |rate| TokenBucket::new(Limit::of(rate)).allowance(Duration::from_secs(1), 1 << 20);
        assert_eq!(step(1), Ok(1024));
        assert_eq!(step(1_000_000), Ok(4000));
        assert_eq!(step(u64::MAX), Ok(64 * 1024));
        assert_eq!(step(0), Ok(1 << 20));
        assert_eq!(TokenBucket::new(Limit::of(1_000_000)).allowance(Duration::from_secs(1), 7), Ok(7));
    }

    #[test]
    fn a_new_limit_holds_at_once() {
        let mut bucket = TokenBucket::new(Limit::of(1));
        let now = Duration::from_secs(1);
        bucket.pass(now, 1 << 20);
        assert!(bucket.allowance(now, 1).is_err_and(|when| when > Duration::from_secs(1_000_000)));
        bucket.set_limit(Limit::of(1_000_000), now);
        assert_eq!(bucket.allowance(now, 1 << 20), Ok(4000));
        bucket.pass(now, 1 << 20);
        bucket.set_limit(Limit::NONE, now);
        assert_eq!(bucket.allowance(now, 1 << 20), Ok(1 << 20));
    }
}
