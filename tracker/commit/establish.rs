//! The floor under the ledger: the base that it can be put on, the votes of this tracker, and the move itself.

use super::batch::COMMIT_WAIT_MAX;
use super::log::{BaseError, BaseStore};
use super::queue::{Accepted, CommitQueue, Standing};
use super::turn::{SLICE, none_missing};
use crate::model::id::Seen;
use crate::model::op::OpBody;
use crate::tracker::ledger::{Finish, Pinned, Pinning, Replaced};
use crate::wire::refusal::Refusal;
use std::fmt;

/// Why a floor was not established.
#[derive(Debug)]
pub enum EstablishError {
    /// The base was not kept. The floor is where it was.
    Base(BaseError),
    /// No more changes are taken.
    Refused(Refusal),
}

impl fmt::Display for EstablishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EstablishError::Base(error) => error.fmt(f),
            EstablishError::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for EstablishError {}

impl From<Refusal> for EstablishError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl CommitQueue {
    /// Folds what lies at or below a Lamport counter, beside the ledger.
    pub(super) fn pin(&self, lamport: u64) -> Result<Option<Pinned>, Refusal> {
        let pinning = {
            let uncommitted = self.uncommitted.lock();
            uncommitted.must_be_open()?;
            uncommitted.ledger.pin(lamport, &self.durable.read().state)
        };
        let Some(mut pinning) = pinning else { return self.pin_deep(lamport) };
        while pinning.slice(SLICE) {
            self.give_way()?;
        }
        Ok(Some(pinning.finish()))
    }

    /// The same with all ops above the floor from the log, for what lies below the window.
    fn pin_deep(&self, lamport: u64) -> Result<Option<Pinned>, Refusal> {
        let _turn = self.take_turn()?;
        let (depth, Standing { state, floor }) = {
            let ledger = &self.uncommitted.lock().ledger;
            let durable = self.durable.read().clone();
            let deep = ledger.may_stand_at(lamport) && !ledger.reaches(lamport);
            (ledger.depth(&durable.state).filter(|_| deep), durable)
        };
        let Some(depth) = depth else { return Ok(None) };
        let base = self.base_of(floor.mark.lamport)?;
        let (mut pinning, mut missing) = (Pinning::on_base(floor.mark, lamport, base), state.op_count() - floor.ops);
        self.read_in_order(|op| {
            if op.lamport > floor.mark.lamport && op.id.seq <= state.seen(op.id.origin) {
                missing = missing.saturating_sub(1);
                pinning.take(&op);
            }
        })?;
        none_missing(missing)?;
        let pinned = pinning.finish();
        self.uncommitted.lock().ledger.note_read_back(lamport, pinned.vector.clone(), depth);
        Ok(Some(pinned))
    }

    /// Makes a change of this tracker itself if the ledger holds exactly the ops of a version vector up to there.
    pub(super) fn vote(&self, body: OpBody, (lamport, vector): (u64, &[Seen])) -> Result<Option<Accepted>, Refusal> {
        let mut uncommitted = self.uncommitted.lock();
        uncommitted.must_be_open()?;
        if uncommitted.ledger.version_at(lamport).as_deref() != Some(vector) {
            return Ok(None);
        }
        let submission = uncommitted.ledger.submit_own(body);
        Ok(Some(self.enqueue(uncommitted, submission)))
    }

    /// Puts the ledger on a pinned base once that is kept. Returns when readers see it; false if the ledger holds
    /// another op below. Late ops wait meanwhile, changes do not.
    pub(super) fn establish(&self, pinned: &Pinned, bases: &dyn BaseStore) -> Result<bool, EstablishError> {
        let _turn = self.take_turn()?;
        if !self.uncommitted.lock().ledger.close_below(pinned) {
            return Ok(false);
        }
        if let Err(error) = bases.keep(&pinned.base) {
            self.uncommitted.lock().ledger.reopen();
            return Err(EstablishError::Base(error));
        }
        let mut replaced = None;
        while replaced.is_none() {
            replaced = self.put_on(pinned)?;
        }
        self.publish_floor()?;
        // Only now: before, the durable state shared most of it.
        drop(replaced);
        Ok(true)
    }

    /// Folds the ops above a base on top of it, while changes go on. Returns what that has replaced; `None` if ops were
    /// taken back meanwhile.
    fn put_on(&self, pinned: &Pinned) -> Result<Option<Box<Replaced>>, Refusal> {
        let refold = {
            let mut uncommitted = self.uncommitted.lock();
            uncommitted.must_be_open()?;
            uncommitted.ledger.establish(pinned, &self.durable.read().state)
        };
        let Some(refold) = refold else { return Ok(None) };
        let (mut uncommitted, finish) = self.fold_to_the_end(refold)?;
        match finish {
            Finish::Behind(refold) | Finish::Void(refold) | Finish::Impossible(refold) => {
                drop((uncommitted, refold));
                Ok(None)
            }
            Finish::Swapped(_, replaced) => {
                uncommitted.floored = true;
                Ok(Some(replaced))
            }
        }
    }

    /// Has the writer publish the state on the new floor, with a batch of no ops if need be. A batch that was refused
    /// leaves readers with the state on the old floor.
    fn publish_floor(&self) -> Result<(), Refusal> {
        loop {
            let batch = {
                let mut uncommitted = self.uncommitted.lock();
                if uncommitted.ledger.floor() == self.durable.read().floor {
                    return Ok(());
                }
                uncommitted.must_be_open()?;
                uncommitted.floored = true;
                uncommitted.batch.clone()
            };
            self.work.notify_one();
            // What was refused here is tried again.
            let _ = batch.wait(COMMIT_WAIT_MAX);
        }
    }
}
