//! The log of a tracker that keeps its ops in memory only.

use groupshare::model::op::Op;
use groupshare::sync::Mutex;
use groupshare::tracker::commit::{AppendError, BaseError, BaseStore, OpLog, OpSource, ReadBackError};
use groupshare::tracker::state::State;
use std::sync::Arc;

/// Clones are the same log.
#[derive(Debug, Default, Clone)]
pub(crate) struct MemoryLog(Arc<Mutex<Vec<Op>>>, Arc<Mutex<State>>);

impl OpLog for MemoryLog {
    fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
        self.0.lock().extend_from_slice(ops);
        Ok(())
    }
}

impl BaseStore for MemoryLog {
    fn keep(&self, base: &State) -> Result<(), BaseError> {
        *self.1.lock() = base.clone();
        Ok(())
    }

    fn clear(&self) -> Result<(), BaseError> {
        Ok(())
    }
}

impl OpSource for MemoryLog {
    fn base(&self) -> Result<State, ReadBackError> {
        Ok(self.1.lock().clone())
    }

    fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        self.0.lock().iter().cloned().all(take);
        Ok(())
    }

    fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        let mut ops = self.0.lock().clone();
        ops.sort_by_key(Op::order);
        ops.into_iter().all(take);
        Ok(())
    }
}
