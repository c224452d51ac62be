//! A complaint about a wrong piece, which the peer has yet to answer. Pure: the time is passed in.

use std::time::{Duration, Instant};

/// How long a peer that gave a wrong piece may say nothing before it answers the complaint. One that answers may be
/// honest. The pieces that it was asked for before come first, and may be slow.
const COMPLAINT_SILENCE: Duration = Duration::from_secs(5);
/// No answer is waited for longer than this, whatever comes before it.
const COMPLAINT_DEADLINE: Duration = Duration::from_secs(60);

/// A complaint that the peer has yet to answer, after the pieces that it was asked for before.
#[derive(Debug)]
pub(super) struct Complaint {
    request: u32,
    since: Instant,
    /// When bytes came in last, and how many had by then.
    heard: Instant,
    polled: u64,
}

/// What has become of a complaint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComplaintState {
    Waits,
    /// The peer says nothing.
    Ignored,
    /// The peer says something else.
    Late,
}

impl Complaint {
    pub(super) fn new(request: u32, now: Instant, polled: u64) -> Self {
        Self { request, since: now, heard: now, polled }
    }

    /// The number of the request.
    pub(super) fn request(&self) -> u32 {
        self.request
    }

    /// Looks at the time. `polled` bytes have come in so far. `held_back` if the limit keeps this end from reading.
    pub(super) fn look(&mut self, now: Instant, polled: u64, held_back: bool) -> ComplaintState {
        if self.polled != polled || held_back {
            (self.polled, self.heard) = (polled, now);
        }
        if now.duration_since(self.heard) >= COMPLAINT_SILENCE {
            ComplaintState::Ignored
        } else if now.duration_since(self.since) >= COMPLAINT_DEADLINE {
            ComplaintState::Late
        } else {
            ComplaintState::Waits
        }
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
        assert_eq!(silent.look(begun + COMPLAINT_SILENCE - second, 0, false), ComplaintState::Waits);
        assert_eq!(silent.look(begun + COMPLAINT_SILENCE, 0, false), ComplaintState::Ignored);
        let mut slow = Complaint::new(1, begun, 0);
        for number in 1..60 {
            assert_eq!(slow.look(begun + second * number, u64::from(number), false), ComplaintState::Waits);
        }
        assert_eq!(slow.look(begun + COMPLAINT_DEADLINE, 60, false), ComplaintState::Late);
        let mut held_back = Complaint::new(1, begun, 0);
        assert_eq!(held_back.look(begun + 2 * COMPLAINT_SILENCE, 0, true), ComplaintState::Waits);
    }
}
