//! How many pieces a download asks for on all its connections together. Pure: the time is passed in.
//!
//! Each connection asks for what its own way holds. What comes in on all of them shares one line: where that is thin, each
//! connection is slower than it seems, and its pieces would be asked of others too and come twice.

use crate::model::piece::PIECE_LEN;
use std::time::{Duration, Instant};

/// So many pieces may be asked for in any case.
const ASKED_MIN: usize = 8;
/// And besides as many as come in in this time.
const AHEAD: Duration = Duration::from_secs(4);
/// How fast the measured rate falls: it is about the mean of this time. It rises at once.
const FALL: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct AskBound {
    /// Pieces that are asked for and may still come.
    asked: usize,
    /// Bytes that had come in at the last look.
    came: u64,
    looked: Instant,
    /// Bytes in a second.
    rate: f64,
}

impl AskBound {
    pub fn new(now: Instant) -> Self {
        Self { asked: 0, came: 0, looked: now, rate: 0.0 }
    }

    /// Whether one more piece may be asked for.
    pub fn has_room(&self) -> bool {
        self.asked < ASKED_MIN + (self.rate * AHEAD.as_secs_f64() / f64::from(PIECE_LEN)) as usize
    }

    /// A piece is asked for.
    pub fn ask(&mut self) {
        self.asked += 1;
    }

    /// So many pieces that were asked for have come, or nobody counts on them any more.
    pub fn settle(&mut self, count: usize) {
        self.asked -= count;
    }

    /// So many bytes have come in so far.
    pub fn look(&mut self, came: u64, now: Instant) {
        let time = now.saturating_duration_since(self.looked).as_secs_f64();
        if time > 0.0 {
            let rate = came.saturating_sub(self.came) as f64 / time;
            let share = (time / FALL.as_secs_f64()).min(1.0);
            self.rate = rate.max(self.rate + (rate - self.rate) * share);
            (self.came, self.looked) = (came, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(200);

    fn most(bound: &mut AskBound) -> usize {
        let mut count = 0;
        while bound.has_room() {
            bound.ask();
            count += 1;
        }
        bound.settle(count);
        count
    }

    #[test]
    fn a_thin_line_is_asked_for_a_few_pieces_and_a_fast_one_for_as_many_as_it_brings() {
        let (mut bound, mut now) = (AskBound::new(Instant::now()), Instant::now());
        assert_eq!(most(&mut bound), ASKED_MIN);
        let mut came = 0;
        for (rate, least, upto) in [(125_000, 8, 9), (100_000_000, 700, 800), (125_000, 8, 9)] {
            for _ in 0..100 {
                now += TICK;
                came += rate / 5;
                bound.look(came, now);
            }
            assert!((least..=upto).contains(&most(&mut bound)), "{rate}: {}", most(&mut bound));
        }
    }

    #[test]
    fn a_pause_of_a_moment_does_not_count() {
        let begun = Instant::now();
        let mut bound = AskBound::new(begun);
        bound.look(20_000_000, begun + TICK);
        let before = most(&mut bound);
        bound.look(20_000_000, begun + 2 * TICK);
        assert!(most(&mut bound) > before / 2 && most(&mut bound) < before);
    }
}
