//! Another tracker as `status` shows it to the operator.

use crate::model::address::TrackerAddr;
use crate::model::units::age;
use std::fmt;
use std::time::Duration;

/// Another tracker, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherTracker {
    pub number: u16,
    /// Its address in the list; `None` if this tracker's list lacks it.
    pub addr: Option<TrackerAddr>,
    pub status: LinkStatus,
}

/// The floor of another tracker, compared with the one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFloor {
    Same,
    Lower,
    /// If it gives its base: how many percent of the base are here.
    Higher(Option<u64>),
}

/// Whether another tracker is connected, and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkStatus {
    Connected {
        lasts: Duration,
        floor: LinkFloor,
        /// The number of changes here that it has not confirmed as durable.
        there_behind: u64,
        /// The number of its changes that are not durable here yet.
        here_behind: u64,
        /// Whether both trackers had equal states from the same changes, at the last comparison.
        agrees: Option<bool>,
    },
    Away {
        lasts: Duration,
        why: Option<String>,
    },
    /// The cluster has forgotten it.
    Forgotten,
}

impl fmt::Display for OtherTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr.as_ref().map_or_else(|| "not on the list".into(), TrackerAddr::to_string);
        write!(f, "tracker {:<3} {addr}, ", self.number)?;
        match &self.status {
            LinkStatus::Connected { lasts, floor: LinkFloor::Lower, .. } => {
                write!(f, "connected for {}, takes over what this one has", age(*lasts))
            }
            LinkStatus::Connected { lasts, floor: LinkFloor::Higher(percent), .. } => {
                write!(f, "connected for {}, this one takes over what it has", age(*lasts))?;
                percent.iter().try_for_each(|percent| write!(f, ", {percent} %"))
            }
            LinkStatus::Connected { lasts, floor: LinkFloor::Same, there_behind, here_behind, agrees } => {
                let agrees = match agrees {
                    Some(true) => "same digest",
                    Some(false) => "ANOTHER DIGEST, please report this",
                    None => "digest not compared yet",
                };
                write!(f, "connected for {}, {there_behind} changes behind", age(*lasts))?;
                write!(f, ", this one {here_behind} behind, {agrees}")
            }
            LinkStatus::Away { lasts, why } => {
                write!(f, "not connected for {}", age(*lasts))?;
                why.iter().try_for_each(|why| write!(f, ": {why}"))
            }
            LinkStatus::Forgotten => write!(f, "forgotten; unforget {} takes it back", self.number),
        }
    }
}
