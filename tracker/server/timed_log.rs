//! A log that counts and times its appends.

use crate::model::op::Op;
use crate::tracker::commit::{AppendError, OpLog};
use crate::tracker::metrics::Metrics;
use crate::tracker::state::State;
use std::sync::Arc;

pub(super) struct TimedLog {
    pub(super) log: Box<dyn OpLog>,
    pub(super) metrics: Arc<Metrics>,
}

impl OpLog for TimedLog {
    fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
        self.metrics.commits().measure(ops.len(), || self.log.append(ops))
    }

    fn kept(&mut self, state: &State) {
        self.log.kept(state);
    }
}
