//! Who this tracker is to the others.

use crate::model::address::TrackerAddr;
use crate::model::id::Origin;

/// What the program start and the list of trackers say of this tracker.
#[derive(Debug, Clone)]
pub struct LocalTracker {
    /// Under which it issues ops.
    pub origin: Origin,
    /// Random, made at the start: tells two programs of one number apart.
    pub instance: [u8; 16],
    /// Where the list had the other trackers at the start, by their numbers.
    pub others: Vec<(u16, TrackerAddr)>,
}
