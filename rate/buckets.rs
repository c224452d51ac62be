//! How often something may happen, counted for each key. The caller passes the time in.

use crate::model::address::SITE_SHARE;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A burst at once, then one per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many may follow each other without a pause.
    pub burst: u64,
    /// The time after which one more is free.
    pub interval: Duration,
}

impl Pace {
    /// The pace of a whole site where a network has this one.
    pub(crate) fn of_site(self) -> Self {
        Self { burst: self.burst.saturating_mul(SITE_SHARE), interval: self.interval / SITE_SHARE as u32 }
    }

    /// The time after which `count` more are free.
    fn time_of(self, count: u64) -> Duration {
        let nanos = self.interval.as_nanos().saturating_mul(count.into());
        Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
    }
}

/// If there are more counters than this, the full ones are removed.
const PRUNE_LEN_MIN: usize = 4096;

/// The generic cell rate algorithm (ITU-T I.371). It keeps, for each key, the time at which the key's bucket is full
/// again.
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

    /// Changes to another pace. The count of those taken stays, up to the new burst.
    pub(crate) fn set_pace(&mut self, pace: Pace, now: Instant) {
        let [old, new] = [self.pace.interval, pace.interval].map(|interval| interval.as_nanos().max(1));
        for at in self.full_at.values_mut() {
            // The interval and the time behind are hours at most.
            let behind = at.saturating_duration_since(now).as_nanos().saturating_mul(new) / old;
            *at = now + Duration::from_nanos(behind.try_into().unwrap_or(u64::MAX)).min(pace.time_of(pace.burst));
        }
        self.pace = pace;
    }

    /// Whether one more may be taken now.
    pub(crate) fn allows(&self, key: &K, now: Instant) -> bool {
        self.wait(key, 1, now).is_zero()
    }

    /// How long until `count` may be taken at once; zero if now.
    pub(crate) fn wait(&self, key: &K, count: u64, now: Instant) -> Duration {
        let pace = self.pace;
        self.behind(key, now).saturating_add(pace.time_of(count)).saturating_sub(pace.time_of(pace.burst))
    }

    /// How many are taken and not yet free again.
    pub(crate) fn taken(&self, key: &K, now: Instant) -> u64 {
        let interval = self.pace.interval.as_nanos().max(1);
        self.behind(key, now).as_nanos().div_ceil(interval).try_into().unwrap_or(u64::MAX)
    }

    /// The key with the most taken, and how many; `None` if none are.
    pub(crate) fn most_taken(&self, now: Instant) -> Option<(K, u64)> {
        let (key, _) = self.full_at.iter().max_by_key(|(_, at)| **at)?;
        Some((key.clone(), self.taken(key, now))).filter(|(_, taken)| *taken > 0)
    }

    /// The time until the key's bucket is full again.
    fn behind(&self, key: &K, now: Instant) -> Duration {
        self.full_at.get(key).map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    pub(crate) fn take(&mut self, key: &K, now: Instant) {
        self.take_many(key, 1, now);
    }

    /// Takes `count` at once.
    pub(crate) fn take_many(&mut self, key: &K, count: u64, now: Instant) {
        let full_at = self.full_at.entry(key.clone()).or_insert(now);
        *full_at = (*full_at).max(now) + self.pace.time_of(count);
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

    impl<K> Buckets<K> {
        /// How many counters there are.
        pub(crate) fn len(&self) -> usize {
            self.full_at.len()
        }
    }

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
    fn many_may_be_taken_at_once_and_another_pace_keeps_how_many_are_taken() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let mut buckets = Buckets::new(Pace { burst: 10, interval: second });
        assert_eq!(buckets.wait(&"ann", 10, start), Duration::ZERO);
        assert_eq!(buckets.wait(&"ann", 11, start), second);
        buckets.take_many(&"ann", 8, start);
        assert_eq!((buckets.taken(&"ann", start), buckets.taken(&"ann", start + 3 * second)), (8, 5));
        assert_eq!(buckets.wait(&"ann", 3, start), second);
        assert_eq!((buckets.most_taken(start), buckets.most_taken(start + 8 * second)), (Some(("ann", 8)), None));
        buckets.set_pace(Pace { burst: 100, interval: second / 10 }, start);
        assert_eq!((buckets.taken(&"ann", start), buckets.wait(&"ann", 92, start)), (8, Duration::ZERO));
        buckets.set_pace(Pace { burst: 4, interval: 2 * second }, start);
        assert_eq!((buckets.taken(&"ann", start), buckets.wait(&"ann", 1, start)), (4, 2 * second));
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
