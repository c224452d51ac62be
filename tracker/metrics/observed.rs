//! What the door has to know of the tracker behind it.

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

/// The tracker behind the door, which may be starting.
pub trait Observed: Send + Sync {
    /// How it is doing; `None` while it starts.
    fn gauges(&self) -> Option<Gauges>;

    /// Whether batches of changes come to their end. Does not touch the disk.
    ///
    /// # Errors
    /// What one has waited for too long.
    fn healthy(&self) -> Result<(), Unwell>;

    /// Whether it can serve clients.
    ///
    /// # Errors
    /// Why not.
    fn ready(&self) -> Result<(), Unwell>;
}
