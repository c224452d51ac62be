//! A batch: ops that become durable together, and the threads and reactions that wait for them.

use crate::sync::{Condvar, Mutex};
use crate::wire::refusal::{Code, Refusal};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a submitter waits for the log before it is told that the log does not answer.
pub const COMMIT_WAIT_MAX: Duration = Duration::from_secs(30);

/// Called with the outcome of a change, for submitters that do not block until then.
pub type Reaction = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

/// The current stage of the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for changes.
    Idle,
    /// It compares states, to find out which users late ops concern.
    Comparing,
    /// It waits for the log.
    Writing,
    /// It tells others of what has become durable.
    Telling,
}

/// How long the writer has been at one stage of a batch. Displayed in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Underway {
    stage: Stage,
    pub since: Duration,
}

impl fmt::Display for Underway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.since.as_secs();
        match self.stage {
            Stage::Comparing => write!(f, "changes of another tracker have been put in their place for {seconds} s"),
            Stage::Writing => write!(f, "the disk has not answered for {seconds} s"),
            Stage::Idle | Stage::Telling => write!(f, "others have been told of earlier changes for {seconds} s"),
        }
    }
}

/// The stage of the writer, shared with all batches. A submitter that waits in vain is told this stage.
pub(super) struct WriterStage(Mutex<(Stage, Instant)>);

impl Default for WriterStage {
    fn default() -> Self {
        Self(Mutex::new((Stage::Idle, Instant::now())))
    }
}

impl WriterStage {
    pub(super) fn enter(&self, stage: Stage) {
        *self.0.lock() = (stage, Instant::now());
    }

    /// The writer's stage; `None` while it waits for changes.
    pub(super) fn underway(&self, now: Instant) -> Option<Underway> {
        let (stage, since) = *self.0.lock();
        (stage != Stage::Idle).then(|| Underway { stage, since: now.saturating_duration_since(since) })
    }

    /// The refusal of a change whose outcome is still unknown after this long.
    fn no_answer(&self, after: Duration) -> Refusal {
        let why = Underway { stage: self.0.lock().0, since: after };
        Refusal::about(Code::Unavailable, format!("{why}; the change may still be made"))
    }
}

/// Ops that become durable together, with everything that waits for them.
pub(super) struct Batch {
    pub(super) progress: Mutex<BatchProgress>,
    settled: Condvar,
    stage: Arc<WriterStage>,
}

#[derive(Default)]
pub(super) struct BatchProgress {
    pub(super) outcome: Option<Result<(), Refusal>>,
    /// Empty once there is an outcome.
    reactions: Vec<Reaction>,
}

impl Batch {
    pub(super) fn new(stage: &Arc<WriterStage>) -> Arc<Self> {
        Arc::new(Self { progress: Mutex::default(), settled: Condvar::new(), stage: stage.clone() })
    }

    /// Wakes the waiting threads. Returns the reactions, for the caller to run.
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
                return progress.outcome.clone().unwrap_or_else(|| Err(self.stage.no_answer(longest)));
            }
        }
    }
}

/// A change that was accepted and is not durable yet.
#[must_use]
pub struct Pending(pub(super) Arc<Batch>);

impl Pending {
    /// Blocks until the change is durable or refused after all, for at most [`COMMIT_WAIT_MAX`].
    pub fn wait(self) -> Result<(), Refusal> {
        self.0.wait(COMMIT_WAIT_MAX)
    }

    /// A probe that can later tell why there is no outcome.
    pub fn probe(&self) -> PendingProbe {
        PendingProbe(self.0.stage.clone())
    }

    /// Runs the reaction once the change is durable or refused after all: at once if the outcome is known, else from
    /// the sink.
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

/// Tells why a change has no outcome.
pub struct PendingProbe(Arc<WriterStage>);

impl PendingProbe {
    /// The refusal of a change whose outcome is still unknown after this long.
    pub fn no_answer(&self, after: Duration) -> Refusal {
        self.0.no_answer(after)
    }
}
