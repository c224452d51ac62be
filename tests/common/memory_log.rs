//! The log of a tracker that keeps its ops and the newest base only in memory.

use groupshare::model::op::Op;
use groupshare::model::op::floor::FloorMark;
use groupshare::sync::Mutex;
use groupshare::tracker::commit::{AppendError, BaseError, BasePart, BaseStore, OpLog, OpSource, ReadBackError};
use groupshare::tracker::state::State;
use std::convert::Infallible;
use std::sync::Arc;

/// Clones are the same log.
#[derive(Debug, Default, Clone)]
pub(crate) struct MemoryLog {
    ops: Arc<Mutex<Vec<Op>>>,
    base: Arc<Mutex<State>>,
}

impl MemoryLog {
    /// The ops above the base, in the order in which they came.
    fn above(&self) -> Vec<Op> {
        let floor = self.base.lock().floor();
        self.ops.lock().iter().filter(|op| op.lamport > floor).cloned().collect()
    }
}

impl OpLog for MemoryLog {
    fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
        self.ops.lock().extend_from_slice(ops);
        Ok(())
    }
}

impl OpSource for MemoryLog {
    fn base(&self) -> Result<State, ReadBackError> {
        Ok(self.base.lock().clone())
    }

    fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        self.above().into_iter().all(take);
        Ok(())
    }

    fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        let mut ops = self.above();
        ops.sort_by_key(Op::order);
        ops.into_iter().all(take);
        Ok(())
    }
}

/// It gives its base to other trackers and takes none from them.
impl BaseStore for MemoryLog {
    fn keep(&self, base: &State) -> Result<(), BaseError> {
        *self.base.lock() = base.clone();
        Ok(())
    }

    fn clear(&self) -> Result<bool, BaseError> {
        let above = self.above();
        *self.ops.lock() = above;
        Ok(true)
    }

    fn part(&self, floor: FloorMark, offset: u64, len: usize) -> Result<Option<BasePart>, ReadBackError> {
        let base = self.base.lock();
        if (FloorMark { lamport: base.floor(), base: base.digest() }) != floor {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let Ok(()) = base.encode(|part| {
            bytes.extend_from_slice(part);
            Ok::<_, Infallible>(())
        });
        let total = bytes.len() as u64;
        let bytes = bytes.into_iter().skip(offset as usize).take(len).collect();
        Ok(Some(BasePart { total, bytes }))
    }
}
