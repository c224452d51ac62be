//! The log of a tracker that keeps its ops in memory only.

use groupshare::model::op::Op;
use groupshare::sync::Mutex;
use groupshare::tracker::commit::{AppendError, OpLog, OpSource, ReadBackError};
use groupshare::tracker::state::State;
use std::sync::Arc;

/// Clones are the same log.
#[derive(Debug, Default, Clone)]
pub(crate) struct MemoryLog(Arc<Mutex<Vec<Op>>>);

impl OpLog for MemoryLog {
    fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
        self.0.lock().extend_from_slice(ops);
        Ok(())
    }
}

impl OpSource for MemoryLog {
    fn base(&self) -> Result<State, ReadBackError> {
        Ok(State::new())
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
