//! The rate limiter for data from other members. No thread waits in it: a connection learns when it may go on.

use crate::rate::limit::Limit;
use crate::rate::token_bucket::TokenBucket;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The rate limiter of all downloads.
#[derive(Debug)]
pub struct Downlink {
    begun: Instant,
    /// Set while there is no limit, so no thread needs the lock.
    unlimited: AtomicBool,
    bucket: Mutex<TokenBucket>,
}

impl Downlink {
    pub fn new(limit: Limit) -> Arc<Self> {
        let unlimited = AtomicBool::new(limit == Limit::NONE);
        Arc::new(Self { begun: Instant::now(), unlimited, bucket: Mutex::new(TokenBucket::new(limit)) })
    }

    pub fn limit(&self) -> Limit {
        self.bucket.lock().limit()
    }

    /// Sets another limit from now on. Connections that wait under the old one may wait a little longer.
    pub fn set_limit(&self, limit: Limit) {
        let mut bucket = self.bucket.lock();
        self.unlimited.store(limit == Limit::NONE, Ordering::Relaxed);
        bucket.set_limit(limit, self.begun.elapsed());
    }

    /// Takes bytes with `take`, which gets the most that it may take and returns how many it took.
    ///
    /// # Errors
    /// The limit allows nothing now. The error is the time from which on the limit allows something.
    pub fn take<T>(&self, take: impl FnOnce(usize) -> (usize, T)) -> Result<T, Instant> {
        if self.unlimited.load(Ordering::Relaxed) {
            return Ok(take(usize::MAX).1);
        }
        let allowed = self.bucket.lock().allowance(self.begun.elapsed(), usize::MAX);
        // For a time beyond the range of `Instant`, the caller asks again at once, and gets the same answer.
        let allowed = allowed.map_err(|when| self.begun.checked_add(when).unwrap_or_else(Instant::now))?;
        let (taken, result) = take(allowed);
        self.bucket.lock().pass(self.begun.elapsed(), taken);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_connection_that_may_take_nothing_learns_when_it_may() {
        let downlink = Downlink::new(Limit::of(10));
        assert_eq!(downlink.take(|most| (most, most)), Ok(1024));
        let when = downlink.take(|_| (0, ())).expect_err("used up for 102 seconds");
        let wait = when.saturating_duration_since(downlink.begun);
        assert!(wait > Duration::from_secs(102) && wait < Duration::from_secs(200), "{wait:?}");
        downlink.set_limit(Limit::NONE);
        assert_eq!(downlink.take(|most| (most, most)), Ok(usize::MAX));
    }
}
