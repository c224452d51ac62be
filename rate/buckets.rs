//! How often something may happen, counted for each of many. Time is passed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// So many at once, then one per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many may follow each other without a pause.
    pub burst: u32,
    /// Time in which one more becomes free.
    pub interval: Duration,
}

/// Counters are looked through for those that are full again when there are more than this many.
const PRUNE_LEN_MIN: usize = 4096;

/// The generic cell rate algorithm (ITU-T I.371): per key the time at which its bucket will be full again.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    pace: Pace,
    full_at: HashMap<K, Instant>,
    prune_at: usize,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, full_at: HashMap::new(), prune_at: PRUNE_LEN_MIN }
    }

    /// Whether one more may be taken now.
    pub(crate) fn allows(&self, key: &K, now: Instant) -> bool {
        let behind = self.full_at.get(key).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        behind + self.pace.interval <= self.pace.interval * self.pace.burst
    }

    pub(crate) fn take(&mut self, key: &K, now: Instant) {
        let full_at = self.full_at.entry(key.clone()).or_insert(now);
        *full_at = (*full_at).max(now) + self.pace.interval;
        if self.full_at.len() > self.prune_at {
            self.full_at.retain(|_, at| *at > now);
            self.prune_at = PRUNE_LEN_MIN.max(2 * self.full_at.len());
        }
    }

    pub(crate) fn give_back(&mut self, key: &K) {
        if let Some(at) = self.full_at.get_mut(key) {
            *at -= self.pace.interval;
        }
    }

    pub(crate) fn refill(&mut self, key: &K) {
        self.full_at.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_for_each_interval_may_be_taken() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let mut buckets = Buckets::new(Pace { burst: 3, interval: second });
        let mut taken = |key: &'static str, at| {
            let allowed = buckets.allows(&key, at);
            if allowed {
                buckets.take(&key, at);
            }
            allowed
        };
        assert!((0..3).all(|_| taken("ann", start)) && !taken("ann", start));
        assert!(taken("bob", start), "others are not concerned");
        assert!(taken("ann", start + second) && !taken("ann", start + second));
        assert!((0..3).all(|_| taken("ann", start + 9 * second)) && !taken("ann", start + 9 * second));
    }

    #[test]
    fn counters_that_are_full_again_are_forgotten() {
        let mut buckets = Buckets::new(Pace { burst: 3, interval: Duration::from_secs(1) });
        let start = Instant::now();
        for number in 0..3 * PRUNE_LEN_MIN as u32 {
            buckets.take(&number, start + Duration::from_secs(10) * number);
        }
        assert!(buckets.full_at.len() <= PRUNE_LEN_MIN + 1);
    }
}
