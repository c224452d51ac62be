//! What an operator watches a tracker by. It outlives a start anew.

use crate::tracker::log::Log;
use crate::tracker::metrics::Metrics;
use std::sync::Arc;

/// By default nobody watches.
#[derive(Debug, Clone, Default)]
pub struct Oversight {
    pub log: Arc<Log>,
    pub metrics: Arc<Metrics>,
}
