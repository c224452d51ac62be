//! What the endpoint needs of the tracker that it observes.

use super::gauges::Gauges;
use std::fmt;

/// Why a tracker cannot do its work, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwell(pub String);

impl fmt::Display for Unwell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwell {}

/// The observed tracker, which may be starting.
pub trait Observed: Send + Sync {
    /// Its present gauges; `None` while it starts.
    fn gauges(&self) -> Option<Gauges>;

    /// Whether batches of changes finish. Does not touch the disk.
    ///
    /// # Errors
    /// What a batch has waited for too long.
    fn healthy(&self) -> Result<(), Unwell>;

    /// Whether it can serve clients.
    ///
    /// # Errors
    /// Why not.
    fn ready(&self) -> Result<(), Unwell>;
}
