//! The floor under the ledger: making the base for it, the votes of this tracker, and moving the floor.

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
    /// The base could not be kept. The floor stays where it was.
    Base(BaseError),
    /// The committer takes no more changes.
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
    /// Folds all ops up to a Lamport counter, beside the ledger.
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

    /// As [`CommitQueue::pin`], for a floor below the window: reads all ops above the present floor from the log.
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

    /// Makes a change of this tracker's own if the ledger holds exactly the ops of a version vector up to a Lamport
    /// counter.
    pub(super) fn vote(&self, body: OpBody, (lamport, vector): (u64, &[Seen])) -> Result<Option<Accepted>, Refusal> {
        let mut uncommitted = self.uncommitted.lock();
        uncommitted.must_be_open()?;
        if uncommitted.ledger.version_at(lamport).as_deref() != Some(vector) {
            return Ok(None);
        }
        let submission = uncommitted.ledger.submit_own(body);
        Ok(Some(self.enqueue(uncommitted, submission)))
    }

    /// Keeps a pinned base and then puts the ledger on it. Returns when readers see it. Returns false if the ledger
    /// holds other ops below the floor. Late ops wait meanwhile; changes go on.
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
        // Dropped only now: until now it shared most of its memory with the durable state.
        drop(replaced);
        Ok(true)
    }

    /// Folds the ops above a base on top of it, while changes go on. Returns what that has replaced; `None` if the
    /// committer took ops back meanwhile.
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

    /// Has the writer publish the state on the new floor, with an empty batch if need be. After a refused batch
    /// readers still see the state on the old floor.
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
            // After a refusal the loop tries again.
            let _ = batch.wait(COMMIT_WAIT_MAX);
        }
    }
}
