//! How many pieces leave an uplink without a limit at a time while others wait. The rate of the uplink is unknown; the
//! sockets show it. Pure: the time is passed in.
//!
//! If a few pieces leave as fast as more would, the uplink is slow, and those few arrive sooner. If more pieces leave
//! faster, the far sides are slow, and the seeder serves more of them. A piece that leaves at once shows that nothing
//! is scarce.

use crate::model::piece::PIECE_LEN;
use std::time::{Duration, Instant};

/// The minimum and the maximum number of pieces that leave at a time.
pub(super) const BREADTH_MIN: usize = 3;
const BREADTH_MAX: usize = 128;
/// A whole piece that leaves within this time shows that nothing is scarce.
const AT_ONCE: Duration = Duration::from_millis(128);
/// After that, nothing counts as scarce for this long.
const PLENTY: Duration = Duration::from_secs(10);
/// The length of a measurement.
const WINDOW: Duration = Duration::from_secs(2);
/// In percent: with twice as many pieces the rate has to be at least this much of the former rate. Otherwise the number
/// goes back.
const GAIN: u64 = 130;
/// After a failed trial the next one comes after this time. The pause doubles each time.
const TRIAL_PAUSE: Duration = Duration::from_secs(16);
const TRIAL_PAUSE_MAX: Duration = Duration::from_secs(256);

/// The state of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    None,
    /// The number has just doubled. The field is the rate before, in bytes a second.
    Begins(u64),
    /// The rate with twice as many is being measured.
    Runs(u64),
}

#[derive(Debug)]
pub(super) struct Breadth {
    most: usize,
    plenty_until: Option<Instant>,
    trial: Trial,
    next_trial: Option<Instant>,
    pause: Duration,
    window_since: Option<Instant>,
    /// Bytes that full sockets have taken in the window.
    taken: u64,
}

impl Default for Breadth {
    fn default() -> Self {
        Self {
            most: BREADTH_MIN,
            plenty_until: None,
            trial: Trial::None,
            next_trial: None,
            pause: TRIAL_PAUSE,
            window_since: None,
            taken: 0,
        }
    }
}

impl Breadth {
    /// How many pieces may leave at a time. `None` if nothing is scarce.
    pub(super) fn most(&self, now: Instant) -> Option<usize> {
        if self.plenty_until.is_some_and(|until| now < until) { None } else { Some(self.most) }
    }

    /// Notes that this many bytes of a piece have left in this time.
    pub(super) fn left(&mut self, len: u32, time: Duration, now: Instant) {
        if len == PIECE_LEN && time <= AT_ONCE {
            self.plenty_until = Some(now + PLENTY);
        }
    }

    /// Notes that a full socket has taken this many bytes. `others_wait` says whether requests wait because no more
    /// pieces may leave.
    pub(super) fn take(&mut self, len: u64, others_wait: bool, now: Instant) {
        if !others_wait {
            if self.trial != Trial::None {
                self.most /= 2;
            }
            (self.trial, self.window_since, self.taken) = (Trial::None, None, 0);
            return;
        }
        let since = *self.window_since.get_or_insert(now);
        self.taken += len;
        let time = now.saturating_duration_since(since);
        if time >= WINDOW {
            let rate = u128::from(self.taken) * 1000 / time.as_millis().max(1);
            (self.window_since, self.taken) = (Some(now), 0);
            self.judge(u64::try_from(rate).unwrap_or(u64::MAX), now);
        }
    }

    /// Judges the rate of the last window, in bytes a second.
    fn judge(&mut self, rate: u64, now: Instant) {
        self.trial = match self.trial {
            Trial::None if self.next_trial.is_none_or(|at| at <= now) && self.most < BREADTH_MAX => {
                self.most *= 2;
                Trial::Begins(rate)
            }
            Trial::None => Trial::None,
            // The first window covers the time before and after the change.
            Trial::Begins(before) => Trial::Runs(before),
            Trial::Runs(before) if rate >= before.saturating_mul(GAIN) / 100 => {
                (self.next_trial, self.pause) = (None, TRIAL_PAUSE);
                Trial::None
            }
            Trial::Runs(_) => {
                self.most /= 2;
                self.next_trial = Some(now + self.pause);
                self.pause = (2 * self.pause).min(TRIAL_PAUSE_MAX);
                Trial::None
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    /// The number of pieces after each second, for an uplink whose rate depends on that number.
    fn after_seconds(seconds: u32, rate: impl Fn(usize) -> u64) -> Vec<usize> {
        let (mut breadth, mut now) = (Breadth::default(), Instant::now());
        let mut most = Vec::new();
        for step in 0..10 * seconds {
            now += STEP;
            breadth.take(rate(breadth.most) / 10, true, now);
            if step % 10 == 9 {
                most.push(breadth.most);
            }
        }
        most
    }

    #[test]
    fn a_thin_uplink_is_tried_now_and_then_and_keeps_to_a_few() {
        let most = after_seconds(600, |_| 250_000);
        assert!(most.iter().all(|most| [BREADTH_MIN, 2 * BREADTH_MIN].contains(most)));
        let tried = most.iter().filter(|most| **most > BREADTH_MIN).count();
        assert!((1..=40).contains(&tried), "{tried} of 600 seconds");
    }

    #[test]
    fn slow_far_sides_of_a_fast_uplink_are_all_served_soon() {
        let most = after_seconds(60, |most| 125_000 * most as u64);
        assert!(most[39] >= 96, "{most:?}");
        let of_twenty = after_seconds(600, |most| 125_000 * most.min(20) as u64);
        assert!(of_twenty.iter().all(|most| *most <= 48) && of_twenty[30] >= 20, "{of_twenty:?}");
    }

    #[test]
    fn a_piece_that_leaves_at_once_shows_that_nothing_is_scarce_for_a_while() {
        let (mut breadth, now) = (Breadth::default(), Instant::now());
        breadth.left(PIECE_LEN / 2, AT_ONCE / 2, now);
        breadth.left(PIECE_LEN, 2 * AT_ONCE, now);
        assert_eq!(breadth.most(now), Some(BREADTH_MIN));
        breadth.left(PIECE_LEN, AT_ONCE, now);
        assert_eq!([now, now + PLENTY].map(|now| breadth.most(now)), [None, Some(BREADTH_MIN)]);
    }

    #[test]
    fn a_trial_ends_without_an_answer_when_nobody_waits() {
        let (mut breadth, begun) = (Breadth::default(), Instant::now());
        breadth.take(1, true, begun);
        breadth.take(1, true, begun + WINDOW);
        assert_eq!(breadth.most, 2 * BREADTH_MIN);
        breadth.take(1, false, begun + WINDOW);
        assert_eq!((breadth.most, breadth.trial), (BREADTH_MIN, Trial::None));
    }
}
