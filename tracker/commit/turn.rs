//! The turn to fold beside the ledger, for late ops and for a new floor. One thread at a time has it.

use super::queue::{CommitQueue, Uncommitted};
use crate::model::op::Op;
use crate::sync::{MutexGuard, thread};
use crate::tracker::ledger::{Finish, Refold};
use crate::tracker::state::State;
use crate::wire::refusal::{Code, Refusal};
use std::fmt;

/// How many ops a thread folds before other threads get the processor.
pub(super) const SLICE: usize = 256;

/// The right to fold beside the ledger.
pub(super) struct RefoldTurn<'a>(&'a CommitQueue);

impl Drop for RefoldTurn<'_> {
    /// A panic ends the turn too.
    fn drop(&mut self) {
        let mut uncommitted = self.0.uncommitted.lock();
        uncommitted.refolding = false;
        self.0.make_room(&mut uncommitted, None);
        drop(uncommitted);
        self.0.refolded.notify_all();
    }
}

impl CommitQueue {
    /// Waits for the turn.
    ///
    /// # Errors
    /// The committer takes no more changes.
    pub(super) fn take_turn(&self) -> Result<RefoldTurn<'_>, Refusal> {
        let mut uncommitted = self.uncommitted.lock();
        uncommitted.must_be_open()?;
        while uncommitted.refolding {
            self.refolded.wait(&mut uncommitted);
            uncommitted.must_be_open()?;
        }
        uncommitted.refolding = true;
        drop(uncommitted);
        Ok(RefoldTurn(self))
    }

    /// The turn of a thread that has set [`super::queue::Uncommitted::refolding`].
    pub(super) fn taken_turn(&self) -> RefoldTurn<'_> {
        RefoldTurn(self)
    }

    /// Folds what a refold needs and gives the result to the ledger, while changes go on. Returns the outcome, which
    /// is never [`Finish::Behind`], and the lock under which the ledger took it. What the ledger gives up may be
    /// large: the caller drops it after the lock.
    pub(super) fn fold_to_the_end(
        &self,
        mut refold: Box<Refold>,
    ) -> Result<(MutexGuard<'_, Uncommitted>, Finish), Refusal> {
        self.give_history(&mut refold)?;
        loop {
            self.fold_all(&mut refold)?;
            refold.narrow();
            let mut uncommitted = self.uncommitted.lock();
            uncommitted.must_be_open()?;
            match uncommitted.ledger.finish(refold) {
                Finish::Behind(behind) => {
                    // From now on it lets in fewer ops than it folds.
                    uncommitted.room = Some(0);
                    refold = behind;
                }
                finish => {
                    self.make_room(&mut uncommitted, None);
                    return Ok((uncommitted, finish));
                }
            }
        }
    }

    fn fold_all(&self, refold: &mut Refold) -> Result<(), Refusal> {
        while refold.slice(SLICE) {
            self.give_way()?;
        }
        Ok(())
    }

    /// If a refold needs it, has the log give it all durable ops above the floor.
    fn give_history(&self, refold: &mut Refold) -> Result<(), Refusal> {
        if !refold.needs_history() {
            return Ok(());
        }
        if let Some(floor) = refold.needs_base() {
            refold.begin_from(self.base_of(floor)?);
        }
        self.read_in_order(|op| refold.take(op))?;
        // A fold of some of them would pass for the state.
        none_missing(refold.missing())
    }

    /// The base of a floor.
    pub(super) fn base_of(&self, floor: u64) -> Result<State, Refusal> {
        let base = self.source.base().map_err(|error| unreadable(&error))?;
        if base.floor() == floor { Ok(base) } else { Err(unreadable(&"the newest base belongs to another floor")) }
    }

    /// Reads all ops of the log in their total order.
    pub(super) fn read_in_order(&self, mut take: impl FnMut(Op)) -> Result<(), Refusal> {
        let (mut count, mut gone_on) = (0, Ok(()));
        let read = self.source.read_in_order(&mut |op| {
            take(op);
            count += 1;
            if count % SLICE == 0 {
                gone_on = self.give_way();
            }
            gone_on.is_ok()
        });
        gone_on?;
        read.map_err(|error| unreadable(&error))
    }

    /// After a slice, yields the processor to other threads and makes room for half as many new ops.
    ///
    /// # Errors
    /// The committer takes no more changes.
    pub(super) fn give_way(&self) -> Result<(), Refusal> {
        thread::yield_now();
        let mut uncommitted = self.uncommitted.lock();
        if let Some(room) = uncommitted.room {
            self.make_room(&mut uncommitted, Some(room + SLICE / 2));
        }
        uncommitted.must_be_open()
    }

    /// Sets how many more ops the ledger takes.
    fn make_room(&self, uncommitted: &mut Uncommitted, room: Option<usize>) {
        if uncommitted.room != room {
            uncommitted.room = room;
            self.roomy.notify_all();
        }
    }
}

/// Refuses a result that lacks some of the ops.
pub(super) fn none_missing(missing: u64) -> Result<(), Refusal> {
    if missing == 0 { Ok(()) } else { Err(unreadable(&format_args!("{missing} of them are not in the journal"))) }
}

fn unreadable(why: &dyn fmt::Display) -> Refusal {
    Refusal::about(Code::Unavailable, format!("old changes cannot be read: {why}"))
}
