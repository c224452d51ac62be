//! Floors of a tracker that has no other one, when a test wants them.

use super::tracker::TestTracker;
use groupshare::tracker::commit::{BaseError, BaseStore};
use groupshare::tracker::state::State;

/// Where the bases of a tracker go whose log is in memory.
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
    /// All changes there are lie below the floor from now on. What was hidden at the floor before, and was named by no
    /// change since, is forgotten.
    pub(crate) fn reach_floor(&self) {
        let committer = &self.server.core().committer;
        let pinned =
            committer.pin(committer.state().lamport()).expect("runs").expect("there is a change above the floor");
        assert!(committer.establish(&pinned, &Nowhere).expect("kept"), "nobody else makes changes");
    }
}
