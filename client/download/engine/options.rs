//! The options of the engine: the number of workers, the patience, and the rate limit.

use crate::client::rate::downlink::Downlink;
use std::sync::Arc;
use std::time::Duration;

/// The maximum number of workers of the pool.
pub const WORKERS_MAX: usize = 64;
/// The minimum number of workers by default: while one waits for the disk, the other goes on.
const WORKERS_LEAST: usize = 2;
/// The maximum number of workers by default. The whole hash is one chain, so a single download has no use for more.
const WORKERS_MOST: usize = 8;

/// How long a download of a script waits by default for a member with the missing pieces.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// As many workers as cores, within bounds. More workers would interrupt the one that computes the whole hash, which
/// would fall behind.
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
