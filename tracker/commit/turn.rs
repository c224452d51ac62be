//! The turn to fold beside the ledger: for late ops and for a new floor. One thread has it at a time.

use super::queue::CommitQueue;
use crate::sync::thread;
use crate::tracker::ledger::Refold;
use crate::wire::refusal::Refusal;

/// Ops that are folded until others get their turn.
pub(super) const SLICE: usize = 256;

/// The right to fold beside the ledger.
pub(super) struct RefoldTurn<'a>(&'a CommitQueue);

impl Drop for RefoldTurn<'_> {
    /// A panic ends the turn too.
    fn drop(&mut self) {
        self.0.uncommitted.lock().refolding = false;
        self.0.refolded.notify_all();
    }
}

impl CommitQueue {
    /// Waits for the turn.
    ///
    /// # Errors
    /// No more changes are taken.
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

    pub(super) fn fold_all(&self, refold: &mut Refold) -> Result<(), Refusal> {
        while refold.slice(SLICE) {
            self.give_way()?;
        }
        Ok(())
    }

    /// Lets others have their turn at the processor.
    ///
    /// # Errors
    /// No more changes are taken.
    pub(super) fn give_way(&self) -> Result<(), Refusal> {
        thread::yield_now();
        self.uncommitted.lock().must_be_open()
    }
}
