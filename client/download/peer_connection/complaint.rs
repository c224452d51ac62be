//! A complaint about a wrong piece that the peer has not answered yet. Pure: the time is passed in.

use std::time::{Duration, Instant};

/// The longest silence of a peer before its answer to a complaint. Earlier requested pieces come first, and may be
/// slow.
const COMPLAINT_SILENCE: Duration = Duration::from_secs(5);
/// The longest wait for an answer, whatever comes before it.
const COMPLAINT_DEADLINE: Duration = Duration::from_secs(60);

/// A complaint before its answer. Earlier requested pieces come first.
#[derive(Debug)]
pub(super) struct Complaint {
    request: u32,
    since: Instant,
    /// When bytes last came in, and the total then.
    heard: Instant,
    polled: u64,
}

impl Complaint {
    pub(super) fn new(request: u32, now: Instant, polled: u64) -> Self {
        Self { request, since: now, heard: now, polled }
    }

    /// The number of the request.
    pub(super) fn request(&self) -> u32 {
        self.request
    }

    /// Checks the time. Returns true once the peer has been silent for too long, or has sent something else for too
    /// long. `polled` counts all received bytes. `held_back` says whether the rate limiter keeps this end from reading.
    pub(super) fn is_late(&mut self, now: Instant, polled: u64, held_back: bool) -> bool {
        if self.polled != polled || held_back {
            (self.polled, self.heard) = (polled, now);
        }
        now.duration_since(self.heard) >= COMPLAINT_SILENCE || now.duration_since(self.since) >= COMPLAINT_DEADLINE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_an_answer_and_so_is_something_else_for_too_long() {
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let mut silent = Complaint::new(1, begun, 0);
        assert!(!silent.is_late(begun + COMPLAINT_SILENCE - second, 0, false));
        assert!(silent.is_late(begun + COMPLAINT_SILENCE, 0, false));
        let mut slow = Complaint::new(1, begun, 0);
        for number in 1..60 {
            assert!(!slow.is_late(begun + second * number, u64::from(number), false));
        }
        assert!(slow.is_late(begun + COMPLAINT_DEADLINE, 60, false));
        let mut held_back = Complaint::new(1, begun, 0);
        assert!(!held_back.is_late(begun + 2 * COMPLAINT_SILENCE, 0, true));
    }
}
