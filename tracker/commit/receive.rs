//! How other trackers' ops come into the ledger. The thread that brings late ops folds them in beside the ledger.

use super::batch::Batch;
use super::queue::CommitQueue;
use crate::model::op::Op;
use crate::sync::thread;
use crate::tracker::ledger::{Finish, Receipt, Refold, Replaced, impossible};
use crate::wire::refusal::Refusal;
use std::sync::Arc;

/// The result of receiving ops of other trackers.
#[derive(Default)]
pub(super) struct Reception {
    /// The batches that hold them. Empty if all are durable.
    pub(super) batches: Vec<Arc<Batch>>,
    /// What refolds have replaced. The caller drops it once the batches are durable.
    pub(super) replaced: Vec<Replaced>,
}

impl Reception {
    fn note(&mut self, batch: Option<Arc<Batch>>) {
        let batch = batch.filter(|batch| self.batches.last().is_none_or(|last| !Arc::ptr_eq(last, batch)));
        self.batches.extend(batch);
    }
}

impl CommitQueue {
    /// Takes ops of other trackers.
    pub(super) fn receive(&self, ops: Vec<Op>) -> Result<Reception, Refusal> {
        let mut reception = Reception::default();
        let mut ops = ops;
        loop {
            let (rest, refold) = self.receive_some(ops, &mut reception)?;
            ops = rest;
            if let Some(refold) = refold {
                // Ops that have to come again belong before the others.
                let mut again = self.fold_in(refold, &mut reception)?;
                again.append(&mut ops);
                ops = again;
            }
            if ops.is_empty() {
                return Ok(reception);
            }
            thread::yield_now();
        }
    }

    /// Takes the ops that come after all others, a few at a time. Waits for its turn if some are late.
    fn receive_some(&self, ops: Vec<Op>, reception: &mut Reception) -> Result<(Vec<Op>, Option<Box<Refold>>), Refusal> {
        let mut uncommitted = self.uncommitted.lock();
        uncommitted.must_be_open()?;
        loop {
            if uncommitted.refolding && uncommitted.ledger.is_late(&ops) {
                self.refolded.wait(&mut uncommitted);
            } else if uncommitted.room == Some(0) {
                self.roomy.wait(&mut uncommitted);
            } else {
                break;
            }
            uncommitted.must_be_open()?;
        }
        let durable = self.durable.read().state.clone();
        let Receipt { taken, refold, rest } = uncommitted.ledger.receive(ops, &durable)?;
        uncommitted.refolding |= refold.is_some();
        uncommitted.enqueue(taken);
        // Some known ops may not be durable yet. The committer may take such an op back while the late ops are folded
        // in.
        reception.note(uncommitted.youngest().cloned());
        drop(uncommitted);
        self.work.notify_one();
        Ok((rest, refold))
    }

    /// Folds late ops in while changes go on. Returns the ops that the caller has to give again.
    fn fold_in(&self, refold: Box<Refold>, reception: &mut Reception) -> Result<Vec<Op>, Refusal> {
        let _turn = self.taken_turn();
        let (mut uncommitted, finish) = self.fold_to_the_end(refold)?;
        match finish {
            Finish::Behind(refold) | Finish::Void(refold) => {
                drop(uncommitted);
                Ok(refold.into_late())
            }
            Finish::Impossible(refold) => {
                drop((uncommitted, refold));
                Err(impossible())
            }
            Finish::Swapped(late, replaced) => {
                let batch = uncommitted.enqueue(late);
                drop(uncommitted);
                self.work.notify_one();
                reception.note(batch);
                reception.replaced.push(*replaced);
                Ok(Vec::new())
            }
        }
    }
}
