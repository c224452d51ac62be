//! How the engine is set up.

use crate::client::rate::downlink::Downlink;
use std::sync::Arc;
use std::time::Duration;

/// Most workers that the pool may have.
pub const WORKERS_MAX: usize = 64;
/// Fewest workers that the pool has by itself: while one waits for the disk the other goes on.
const WORKERS_LEAST: usize = 2;
/// Most workers that the pool has by itself: the complete-file hash, which is one chain, lets no more be of use to one
/// download.
const WORKERS_MOST: usize = 8;

/// As many workers as there are cores, within bounds. More than can run at a time would interrupt the one that takes
/// the complete-file hash on, and leave it behind.
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(WORKERS_LEAST, usize::from).clamp(WORKERS_LEAST, WORKERS_MOST)
}

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Workers of the pool.
    pub workers: usize,
    /// How long a download waits for a member that holds what is missing before it fails; none: for ever.
    pub patience: Option<Duration>,
    /// How fast pieces may come in.
    pub downlink: Arc<Downlink>,
}
