//! What an operator watches a tracker by. It outlives a restart of the tracker within the program.

pub mod limits;
mod list_sums;

use crate::tracker::audit::Audit;
use crate::tracker::log::Log;
use crate::tracker::metrics::Metrics;
use limits::Limits;
use std::sync::Arc;

/// The default: no output, no audit, and no limits.
#[derive(Debug, Clone, Default)]
pub struct Oversight {
    pub audit: Audit,
    pub log: Arc<Log>,
    pub metrics: Arc<Metrics>,
    pub limits: Arc<Limits>,
}
