//! Floors at a test's command, for a tracker that is alone.

use super::tracker::TestTracker;
use groupshare::tracker::commit::{BaseError, BaseStore};
use groupshare::tracker::state::State;

/// The base store of a tracker whose log is in memory.
struct Nowhere;

impl BaseStore for Nowhere {
    fn keep(&self, _: &State) -> Result<(), BaseError> {
        Ok(())
    }

    fn clear(&self) -> Result<bool, BaseError> {
        Ok(true)
    }
}

impl TestTracker {
    /// Puts all present changes below the floor. Changes that were hidden at the floor before, and that no change has
    /// named since, are forgotten.
    pub(crate) fn reach_floor(&self) {
        let committer = &self.server.core().committer;
        let pinned =
            committer.pin(committer.state().lamport()).expect("runs").expect("there is a change above the floor");
        assert!(committer.establish(&pinned, &Nowhere).expect("kept"), "nobody else makes changes");
    }
}
