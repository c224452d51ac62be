//! Limits the requests under way on a connection, so that other callers are still answered in time. Pure.

use std::time::Duration;

/// The number of requests under way: at first, at least, and at most.
const LIMITS: (usize, usize, usize) = (256, 16, 2048);
/// With this many bytes of requests under way, no further request leaves.
const BYTES_MAX: usize = 256 * 1024;
/// A slower reply shows that too many requests are under way.
const SLOW: Duration = Duration::from_secs(2);

/// The window grows by one with every quick reply, so it doubles with every round trip. Every slow reply makes it
/// smaller.
#[derive(Debug)]
pub(super) struct RequestWindow {
    limit: usize,
    under_way: usize,
    bytes: usize,
}

impl RequestWindow {
    pub(super) fn new() -> Self {
        Self { limit: LIMITS.0, under_way: 0, bytes: 0 }
    }

    /// Whether another request may leave. With none under way, one always may.
    pub(super) fn has_room(&self) -> bool {
        self.under_way == 0 || (self.under_way < self.limit && self.bytes < BYTES_MAX)
    }

    /// Notes that a request of this many bytes has left.
    pub(super) fn sent(&mut self, len: usize) {
        self.under_way += 1;
        self.bytes += len;
    }

    /// Notes the reply to a request of this many bytes, and how long it took.
    pub(super) fn replied(&mut self, len: usize, took: Duration) {
        self.under_way -= 1;
        self.bytes -= len;
        let (_, least, most) = LIMITS;
        self.limit = if took > SLOW { self.limit.saturating_sub(2).max(least) } else { (self.limit + 1).min(most) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(100);

    /// Sends until there is no room. Returns how many requests left.
    fn fill(window: &mut RequestWindow, len: usize) -> usize {
        let before = window.under_way;
        while window.has_room() {
            window.sent(len);
        }
        window.under_way - before
    }

    #[test]
    fn requests_under_way_double_with_each_round_trip_up_to_a_cap() {
        let mut window = RequestWindow::new();
        for expected in [256, 512, 1024, 2048, 2048] {
            assert_eq!(fill(&mut window, 50), expected);
            (0..expected).for_each(|_| window.replied(50, QUICK));
        }
    }

    #[test]
    fn a_slow_tracker_is_asked_little_at_a_time_and_more_again_once_it_is_quick() {
        let mut window = RequestWindow::new();
        let sent = fill(&mut window, 50);
        (0..sent).for_each(|_| window.replied(50, SLOW + QUICK));
        assert_eq!(fill(&mut window, 50), 16);
        (0..16).for_each(|_| window.replied(50, QUICK));
        assert_eq!(fill(&mut window, 50), 32);
    }

    #[test]
    fn bytes_under_way_are_bounded_and_a_long_request_goes_alone() {
        let mut window = RequestWindow::new();
        assert_eq!(fill(&mut window, BYTES_MAX / 4), 4);
        (0..4).for_each(|_| window.replied(BYTES_MAX / 4, QUICK));
        assert_eq!(fill(&mut window, 2 * BYTES_MAX), 1);
    }
}
