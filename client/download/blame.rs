//! Counts failures of a user's clients, or of an address, and computes the pause that follows. Pure: the time is passed
//! in.

use std::time::{Duration, Instant};

/// Pause before the next dial of a peer that is not to blame.
pub(super) const RETRY: Duration = Duration::from_millis(500);
/// The maximum number of times that a pause doubles.
const DOUBLED_MAX: u32 = 10;

/// The pause after this many failures: [`RETRY`], doubled with each failure but the first.
pub(super) fn pause_after(failures: u32, pause_max: Duration) -> Duration {
    (RETRY * 2u32.pow(failures.saturating_sub(1).min(DOUBLED_MAX))).min(pause_max)
}

/// Failures in a row, and the pause after the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blame {
    pub failures: u32,
    pub not_before: Instant,
}

impl Blame {
    pub(super) fn none(now: Instant) -> Self {
        Self { failures: 0, not_before: now }
    }

    /// Counts a failure. The pause is `pause_max` at most.
    pub(super) fn fail(&mut self, now: Instant, pause_max: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.pause(now + pause_after(self.failures, pause_max));
    }

    /// Sets a pause until this time. An earlier pause that lasts longer stays.
    pub(super) fn pause(&mut self, until: Instant) {
        self.not_before = self.not_before.max(until);
    }
}

/// Lets a pause end early on an event, such as a peer that comes online. Limits how often.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amnesty {
    last: Option<Instant>,
}

/// The minimum time between two early ends of pauses, for one peer, user or address.
const AMNESTY_PAUSE: Duration = Duration::from_secs(5);

impl Amnesty {
    /// Whether a pause may end early now. If so, this use counts.
    pub(super) fn grant(&mut self, now: Instant) -> bool {
        let granted = self.last.is_none_or(|last| now.duration_since(last) >= AMNESTY_PAUSE);
        if granted {
            self.last = Some(now);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_never_get_shorter() {
        let (now, most) = (Instant::now(), 4 * RETRY);
        let mut blame = Blame::none(now);
        for pause in [RETRY, 2 * RETRY, most, most, most] {
            blame.fail(now, most);
            assert_eq!(blame.not_before, now + pause);
        }
        blame.pause(now + RETRY);
        assert_eq!(blame.not_before, now + most);
        assert_eq!(pause_after(0, most), RETRY);
        assert_eq!(pause_after(u32::MAX, Duration::MAX), RETRY * 1024);
    }

    #[test]
    fn a_pause_ends_early_only_so_often() {
        let (now, mut amnesty) = (Instant::now(), Amnesty::default());
        assert!(amnesty.grant(now) && !amnesty.grant(now) && !amnesty.grant(now + AMNESTY_PAUSE / 2));
        assert!(amnesty.grant(now + AMNESTY_PAUSE));
    }
}
