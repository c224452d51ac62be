//! How the engine is set up: workers, patience, limit.

use crate::client::rate::downlink::Downlink;
use std::sync::Arc;
use std::time::Duration;

/// Most workers that the pool may have.
pub const WORKERS_MAX: usize = 64;
/// Fewest workers by default: while one waits for the disk the other goes on.
const WORKERS_LEAST: usize = 2;
/// Most workers by default. The whole hash is one chain, and a single download has no use for more.
const WORKERS_MOST: usize = 8;

/// How long a download of a script waits for a member that has what is missing, unless it is told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// As many workers as there are cores, within bounds. More would interrupt the one that computes the whole hash, and
/// the hash would fall behind.
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(WORKERS_LEAST, usize::from).clamp(WORKERS_LEAST, WORKERS_MOST)
}

#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub workers: usize,
    /// How long a download without any useful connection waits before it fails. `None` is for ever.
    pub patience: Option<Duration>,
    pub downlink: Arc<Downlink>,
}
