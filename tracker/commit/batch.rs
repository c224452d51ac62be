//! A batch: ops that become durable together, and those who wait for them.

use crate::sync::{Condvar, Mutex};
use crate::wire::refusal::{Code, Refusal};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a submitter waits for the log before it is told that the log does not answer.
pub const COMMIT_WAIT_MAX: Duration = Duration::from_secs(30);

/// Called with the outcome of a change, for those who do not block until it is known.
pub type Reaction = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

/// Those who wait until some ops become durable together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) progress: Mutex<BatchProgress>,
    settled: Condvar,
}

#[derive(Default)]
pub(super) struct BatchProgress {
    pub(super) outcome: Option<Result<(), Refusal>>,
    /// Empty once there is an outcome.
    reactions: Vec<Reaction>,
}

impl Batch {
    /// Wakes those who wait. Returns the reactions, which the caller runs.
    pub(super) fn settle(&self, outcome: Result<(), Refusal>) -> Vec<Reaction> {
        let mut progress = self.progress.lock();
        progress.outcome.get_or_insert(outcome);
        self.settled.notify_all();
        std::mem::take(&mut progress.reactions)
    }

    pub(super) fn wait(&self, longest: Duration) -> Result<(), Refusal> {
        let deadline = Instant::now() + longest;
        let mut progress = self.progress.lock();
        loop {
            if let Some(outcome) = &progress.outcome {
                return outcome.clone();
            }
            if self.settled.wait_until(&mut progress, deadline).timed_out() {
                return progress.outcome.clone().unwrap_or_else(|| Err(no_answer(longest)));
            }
        }
    }
}

/// The refusal of a change whose outcome is not known after this long.
pub fn no_answer(after: Duration) -> Refusal {
    let about = format!("the disk has not answered for {} s; the change may still be made", after.as_secs());
    Refusal::about(Code::Unavailable, about)
}

/// A change that was accepted and is not durable yet.
#[must_use]
pub struct Pending(pub(super) Arc<Batch>);

impl Pending {
    /// Blocks until the change is durable or refused after all, for at most [`COMMIT_WAIT_MAX`].
    pub fn wait(self) -> Result<(), Refusal> {
        self.0.wait(COMMIT_WAIT_MAX)
    }

    /// Runs the reaction when the change is durable or refused after all: at once if that is known, else by the sink.
    pub fn then(self, reaction: Reaction) {
        let mut progress = self.0.progress.lock();
        match progress.outcome.clone() {
            Some(outcome) => {
                drop(progress);
                reaction(outcome);
            }
            None => progress.reactions.push(reaction),
        }
    }
}
