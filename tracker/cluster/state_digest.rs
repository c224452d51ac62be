//! The digest of the durable state. It is computed when nothing has changed for a while, and rarely enough to cost
//! little.

use crate::tracker::state::State;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A state is at rest after this long without a change.
pub(crate) const QUIET: Duration = Duration::from_secs(1);
/// The pause after a digest, as a multiple of its duration.
const REST: u32 = 50;

pub(crate) struct StateDigest {
    state: Arc<State>,
    since: Instant,
    digest: Option<[u8; 32]>,
    rests_until: Instant,
}

impl StateDigest {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: Arc::default(), since: now, digest: None, rests_until: now }
    }

    /// The digest of the present durable state. `compute` returns it with its duration.
    pub(crate) fn of(
        &mut self,
        state: &Arc<State>,
        now: Instant,
        compute: impl FnOnce(&State) -> ([u8; 32], Duration),
    ) -> Option<[u8; 32]> {
        if !Arc::ptr_eq(&self.state, state) {
            (self.state, self.since, self.digest) = (state.clone(), now, None);
        }
        let quiet = now.saturating_duration_since(self.since) >= QUIET;
        if self.digest.is_none() && quiet && now >= self.rests_until {
            let (digest, took) = compute(state);
            self.digest = Some(digest);
            self.rests_until = now + took * REST;
        }
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_computed_once_it_is_quiet_once_for_each_state_and_takes_a_small_part_of_the_time() {
        let start = Instant::now();
        let mut digest = StateDigest::new(start);
        let mut count = 0;
        let mut at = |state: &Arc<State>, ms: u64| {
            let took = Duration::from_millis(100);
            let compute = |_: &State| {
                count += 1;
                ([count; 32], took)
            };
            digest.of(state, start + Duration::from_millis(ms), compute).map(|digest| digest[0])
        };
        let [first, second, third] = [(); 3].map(|()| Arc::new(State::new()));
        assert_eq!((at(&first, 0), at(&first, 999), at(&first, 1000)), (None, None, Some(1)));
        assert_eq!(at(&first, 60_000), Some(1), "it is the same state");
        assert_eq!((at(&second, 60_000), at(&second, 61_000)), (None, Some(2)));
        // 100 ms of work, then five seconds of rest.
        assert_eq!((at(&third, 62_000), at(&third, 65_999), at(&third, 66_000)), (None, None, Some(3)));
    }
}
