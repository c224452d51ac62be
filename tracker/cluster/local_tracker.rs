//! The identity of this tracker for the others.

use crate::model::address::TrackerAddr;
use crate::model::id::Origin;

/// This tracker, as its program start and the list of trackers describe it.
#[derive(Debug, Clone)]
pub struct LocalTracker {
    /// The origin under which it issues ops.
    pub origin: Origin,
    /// A random number of this run. It tells apart two programs with one number.
    pub instance: [u8; 16],
    /// The addresses of the other trackers in the list at the start, by number.
    pub others: Vec<(u16, TrackerAddr)>,
}
