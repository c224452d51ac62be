//! What an operator watches a tracker by. It outlives a start anew.

pub mod limits;
mod list_sums;

use crate::tracker::audit::Audit;
use crate::tracker::log::Log;
use crate::tracker::metrics::Metrics;
use limits::Limits;
use std::sync::Arc;

/// By default nobody watches, and nothing is limited.
#[derive(Debug, Clone, Default)]
pub struct Oversight {
    pub audit: Audit,
    pub log: Arc<Log>,
    pub metrics: Arc<Metrics>,
    pub limits: Arc<Limits>,
}
