//! The places that a listener ignores for a moment. Time is passed in.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a place is ignored. A client that connects from there meanwhile succeeds at its next try.
const MOMENT: Duration = Duration::from_secs(1);

/// Places, each with the time at which the listener stops ignoring it.
#[derive(Debug, Default)]
pub(super) struct IgnoredPlaces(Vec<(IpAddr, Instant)>);

impl IgnoredPlaces {
    /// Ignores this place from now on. Returns false if it was ignored already, or if there are `most` such places.
    pub(super) fn add(&mut self, place: IpAddr, now: Instant, most: usize) -> bool {
        let is_new = self.0.len() < most && self.0.iter().all(|(other, _)| *other != place);
        if is_new {
            self.0.push((place, now + MOMENT));
        }
        is_new
    }

    /// Removes the places whose time is over. Returns true if there were any.
    pub(super) fn forget(&mut self, now: Instant) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, until)| *until > now);
        self.0.len() < before
    }

    pub(super) fn places(&self) -> Vec<IpAddr> {
        self.0.iter().map(|(place, _)| *place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_not_heard_for_a_moment_and_no_more_than_so_many_are() {
        let (mut ignored, now) = (IgnoredPlaces::default(), Instant::now());
        let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
        assert!(ignored.add(a, now, 2) && !ignored.add(a, now, 2));
        assert!(ignored.add(b, now + MOMENT / 2, 2) && !ignored.add(c, now, 2));
        assert_eq!(ignored.places(), [a, b]);
        assert!(!ignored.forget(now + MOMENT / 2) && ignored.forget(now + MOMENT));
        assert_eq!(ignored.places(), [b]);
        assert!(ignored.add(c, now + MOMENT, 2));
    }
}
