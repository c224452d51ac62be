//! Changes on their way: those that are not durable yet, and the next batch of them.

use super::batch::{Batch, Stage, WriterStage};
use super::log::{AppendError, OpSource};
use super::settled::{Published, Settled};
use crate::model::id::{CommandId, OpId, ShareRef};
use crate::model::op::{Op, OpBody};
use crate::sync::thread;
use crate::sync::{Condvar, Mutex, MutexGuard, RwLock};
use crate::tracker::ledger::accept::Change;
use crate::tracker::ledger::operator::OperatorChange;
use crate::tracker::ledger::{AskRoom, Ledger, Meaning, ReachedFloor, Submission};
use crate::tracker::state::State;
use crate::wire::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::sync::Arc;

/// The answer to a change that was made or was needless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The op that made it; for a repeated command, the first op. `None` if the change was needless, or if the state
    /// has forgotten that op.
    pub op: Option<OpId>,
    /// The share of that op. `None` also for a repeated command.
    pub share: Option<ShareRef>,
}

impl Committed {
    pub(super) const ALREADY: Self = Self { op: None, share: None };

    fn made_by(op: &Op) -> Self {
        let share = match op.body {
            OpBody::CreateShare { .. } => Some(ShareRef(op.id)),
            OpBody::JoinShare { share, .. } => Some(share),
            _ => None,
        };
        Self { op: Some(op.id), share }
    }

    pub(super) fn before(first: Option<OpId>) -> Self {
        Self { op: first, share: None }
    }
}

/// The answer to a change, and the batch that must be durable before the answer may be given.
pub(super) type Accepted = (Committed, Option<Arc<Batch>>);

/// What readers see.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The durable state.
    pub state: Arc<State>,
    /// The floor under it.
    pub floor: ReachedFloor,
}

/// What submitters, readers and the writer share. No thread holds a lock while the log works, while late ops are
/// folded at the side, or while the sink runs. A thread that holds both locks took `uncommitted` before `durable`.
pub(super) struct CommitQueue {
    pub(super) source: Arc<dyn OpSource>,
    pub(super) durable: RwLock<Standing>,
    pub(super) uncommitted: Mutex<Uncommitted>,
    /// Wakes the writer: an op waits, or the committer is to end.
    pub(super) work: Condvar,
    /// Wakes the threads whose late ops wait for another refold.
    pub(super) refolded: Condvar,
    /// Wakes the threads whose ops wait for room.
    pub(super) roomy: Condvar,
    pub(super) stage: Arc<WriterStage>,
}

/// All that is not yet durable.
///
/// Invariants: the ledger holds the durable ops, the batch that the log works on, and `ops`. `underway` holds exactly
/// the commands of the ops that are not durable, each with the last batch that has it.
pub(super) struct Uncommitted {
    pub(super) ledger: Ledger,
    /// The ops that wait for the log, and the batch they will form.
    pub(super) ops: Vec<Op>,
    pub(super) batch: Arc<Batch>,
    /// The batch that the log works on.
    pub(super) writing: Option<Arc<Batch>>,
    pub(super) underway: HashMap<CommandId, Arc<Batch>>,
    /// A thread folds beside the ledger. Meanwhile the ledger drops no op.
    pub(super) refolding: bool,
    /// How many ops the ledger takes until the folding thread has folded more. `None` sets no limit. The limit begins
    /// when new ops overtake that thread. The thread then catches up, because it folds more than it lets in.
    pub(super) room: Option<usize>,
    /// The ledger rests on another floor, which readers do not see yet.
    pub(super) floored: bool,
    /// This tracker is taking over what the others have. Meanwhile it refuses changes of clients.
    pub(super) joining: bool,
    /// The operator has made this tracker refuse changes of clients.
    pub(super) read_only: bool,
    /// Tells whether there is room for a change of a client.
    pub(super) ask_room: Arc<AskRoom>,
    /// Why the last append failed. The next success clears it.
    pub(super) trouble: Option<AppendError>,
    pub(super) closing: bool,
}

impl Uncommitted {
    pub(super) fn must_be_open(&self) -> Result<(), Refusal> {
        match &self.trouble {
            Some(trouble @ AppendError::Failed(_)) => Err(Refusal::about(Code::Unavailable, trouble)),
            _ if self.closing => Err(Code::Closing.into()),
            _ => Ok(()),
        }
    }

    /// As [`Uncommitted::must_be_open`]. Also checks that this tracker has taken over what the others have.
    fn must_be_established(&self) -> Result<(), Refusal> {
        self.must_be_open()?;
        if self.joining { Err(Code::Joining.into()) } else { Ok(()) }
    }

    /// Takes note that the ledger took this many ops.
    fn fill(&mut self, ops: usize) {
        self.room = self.room.map(|room| room.saturating_sub(ops));
    }

    /// Adds ops that the ledger has taken from other trackers to the next batch. Returns that batch.
    pub(super) fn enqueue(&mut self, received: Vec<Op>) -> Option<Arc<Batch>> {
        if received.is_empty() {
            return None;
        }
        for op in &received {
            self.underway.insert(op.command, self.batch.clone());
        }
        self.fill(received.len());
        self.ops.extend(received);
        Some(self.batch.clone())
    }

    /// The last batch that is not durable, if there is one. Once it is durable, so is all that the ledger holds.
    pub(super) fn youngest(&self) -> Option<&Arc<Batch>> {
        if self.ops.is_empty() { self.writing.as_ref() } else { Some(&self.batch) }
    }
}

impl CommitQueue {
    /// A queue over a ledger whose ops are all durable.
    pub(super) fn new(ledger: Ledger, source: Arc<dyn OpSource>) -> Self {
        let (stage, state) = (Arc::<WriterStage>::default(), Arc::new(ledger.state().clone()));
        let durable = Standing { state, floor: ledger.floor() };
        let uncommitted = Uncommitted {
            ledger,
            ops: Vec::new(),
            batch: Batch::new(&stage),
            writing: None,
            underway: HashMap::new(),
            refolding: false,
            room: None,
            floored: false,
            joining: false,
            read_only: false,
            ask_room: Arc::new(|_, _| Ok(())),
            trouble: None,
            closing: false,
        };
        Self {
            source,
            durable: RwLock::new(durable),
            uncommitted: Mutex::new(uncommitted),
            work: Condvar::new(),
            refolded: Condvar::new(),
            roomy: Condvar::new(),
            stage,
        }
    }

    /// Accepts a change.
    pub(super) fn submit(&self, command: CommandId, change: &Change) -> Result<Accepted, Refusal> {
        let mut uncommitted = self.roomy();
        let state = uncommitted.ledger.state();
        if state.knows_command(change.owner(), command) {
            let first = state.command(change.owner(), command);
            return Ok((Committed::before(first), uncommitted.underway.get(&command).cloned()));
        }
        uncommitted.must_be_established()?;
        // A report of a lost change comes from a tracker, not from a client.
        if uncommitted.read_only && !matches!(change, Change::NoteUnplaced { .. }) {
            return Err(Code::ReadOnly.into());
        }
        let ask_room = uncommitted.ask_room.clone();
        let submission = uncommitted.ledger.submit_within(command, change, &*ask_room)?;
        Ok(self.enqueue(uncommitted, submission))
    }

    /// As [`CommitQueue::submit`], for a change of the operator.
    pub(super) fn operate(&self, command: CommandId, change: &OperatorChange) -> Result<Accepted, Refusal> {
        let mut uncommitted = self.roomy();
        uncommitted.must_be_established()?;
        let submission = uncommitted.ledger.submit_operator(command, change)?;
        Ok(self.enqueue(uncommitted, submission))
    }

    /// Waits until the ledger takes another op.
    fn roomy(&self) -> MutexGuard<'_, Uncommitted> {
        let mut uncommitted = self.uncommitted.lock();
        while uncommitted.room == Some(0) {
            self.roomy.wait(&mut uncommitted);
        }
        uncommitted
    }

    /// As [`CommitQueue::submit`], for a change of this tracker's own.
    pub(super) fn submit_own(&self, body: OpBody) -> Result<Accepted, Refusal> {
        let mut uncommitted = self.uncommitted.lock();
        uncommitted.must_be_open()?;
        let submission = uncommitted.ledger.submit_own(body);
        Ok(self.enqueue(uncommitted, submission))
    }

    pub(super) fn enqueue(&self, mut uncommitted: MutexGuard<'_, Uncommitted>, submission: Submission) -> Accepted {
        let op = match submission {
            Submission::Made(op) => op,
            Submission::Known(first) => return (Committed::before(first), None),
            Submission::Already => return (Committed::ALREADY, uncommitted.youngest().cloned()),
        };
        let (committed, batch) = (Committed::made_by(&op), uncommitted.batch.clone());
        uncommitted.underway.insert(op.command, batch.clone());
        uncommitted.fill(1);
        uncommitted.ops.push(op);
        drop(uncommitted);
        self.work.notify_one();
        (committed, Some(batch))
    }

    /// The next batch, with what is to be published. `None` at the end.
    pub(super) fn next(&self) -> Option<(Published, Arc<Batch>)> {
        let mut uncommitted = self.uncommitted.lock();
        while uncommitted.ops.is_empty() && !uncommitted.floored {
            if uncommitted.closing {
                return None;
            }
            self.work.wait(&mut uncommitted);
        }
        // The yield gives submitters the core. While changes keep coming, they join the batch.
        let mut gathered = 0;
        while gathered < uncommitted.ops.len() {
            gathered = uncommitted.ops.len();
            MutexGuard::unlocked(&mut uncommitted, thread::yield_now);
        }
        uncommitted.floored = false;
        let ops = std::mem::take(&mut uncommitted.ops);
        let cut = uncommitted.ledger.cut();
        let next = Batch::new(&self.stage);
        let batch = std::mem::replace(&mut uncommitted.batch, next);
        uncommitted.writing = Some(batch.clone());
        drop(uncommitted);
        self.stage.enter(Stage::Comparing);
        let (after, floor) = (Arc::new(cut.after().clone()), cut.floor());
        let Meaning { effects, aliased, .. } = cut.meaning(&ops);
        Some((Published { after, floor, ops, effects, aliased }, batch))
    }

    pub(super) fn publish(&self, published: &Published, batch: &Arc<Batch>) {
        let mut uncommitted = self.uncommitted.lock();
        uncommitted.writing = None;
        for op in &published.ops {
            // Another tracker may have given the same command again, in a batch that follows.
            if uncommitted.underway.get(&op.command).is_some_and(|last| Arc::ptr_eq(last, batch)) {
                uncommitted.underway.remove(&op.command);
            }
        }
        uncommitted.trouble = None;
        if !uncommitted.refolding {
            uncommitted.ledger.settle(&published.after);
        }
        // Under the lock, so that a repeated command finds its first op underway or durable.
        let standing = Standing { state: published.after.clone(), floor: published.floor };
        let before = std::mem::replace(&mut *self.durable.write(), standing);
        drop(uncommitted);
        // After a refold it may share little with the new one.
        drop(before);
    }

    /// Takes back all that is not durable, and refuses the submitters that wait for it.
    pub(super) fn abandon(&self, error: AppendError) -> Settled {
        let refusal = Refusal::about(Code::Unavailable, &error);
        let mut uncommitted = self.uncommitted.lock();
        uncommitted.ledger.reset(&self.durable.read().state);
        uncommitted.ops.clear();
        uncommitted.trouble = Some(error);
        let next = Batch::new(&self.stage);
        let gathering = std::mem::replace(&mut uncommitted.batch, next);
        let writing = uncommitted.writing.take();
        uncommitted.underway.clear();
        drop(uncommitted);
        let mut reactions = gathering.settle(Err(refusal.clone()));
        reactions.extend(writing.iter().flat_map(|batch| batch.settle(Err(refusal.clone()))));
        Settled::new(None, Err(refusal), reactions)
    }
}
