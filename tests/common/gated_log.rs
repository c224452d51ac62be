//! A log that a test can hold up.

use groupshare::model::op::Op;
use groupshare::tracker::commit::{AppendError, OpLog};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Clones are the same log.
#[derive(Debug, Default, Clone)]
pub(crate) struct GatedLog(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    held: Mutex<()>,
    batches: AtomicUsize,
}

impl GatedLog {
    /// Nothing becomes durable until the guard is dropped.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.0.held.lock()
    }

    /// How many batches the log has received. It may be waiting with the last one.
    pub(crate) fn batches(&self) -> usize {
        self.0.batches.load(Ordering::SeqCst)
    }
}

impl OpLog for GatedLog {
    fn append(&mut self, _: &[Op]) -> Result<(), AppendError> {
        self.0.batches.fetch_add(1, Ordering::SeqCst);
        drop(self.0.held.lock());
        Ok(())
    }
}
