//! Which pieces of a content were given to somebody. Whoever shared the content gives each piece once before it gives one
//! twice, as long as others wait and want those. Pure: the time is passed in.
//!
//! Takers do not say what they hold. They have what is all zeros from its digest, and other pieces from each other, or from
//! this client before it was started anew. Nobody asks for what all of them have. So the rule rests once those who were
//! refused have waited in vain, until a piece is given for the first time again.

use crate::model::bitfield::Bitfield;
use crate::model::piece::{Layout, PieceIndex};
use std::time::{Duration, Instant};

/// Where nothing has left for this long, it is no use to wait for somebody who wants what nobody has: all who are here may
/// have that from elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nor is it after this time without another new piece: whoever takes long over one keeps the others waiting no longer.
const PATIENCE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Freshness {
    given: Bitfield,
    /// When somebody was refused first since the last new piece.
    refused_since: Option<Instant>,
    /// Somebody has waited in vain since the last new piece.
    rests: bool,
}

impl Freshness {
    pub fn new(layout: Layout) -> Self {
        Self { given: Bitfield::none(layout), refused_since: None, rests: false }
    }

    /// The piece was given to somebody. It counts even if it broke off: whoever breaks off the same piece over and over
    /// keeps nobody waiting for it.
    pub fn give(&mut self, piece: PieceIndex) {
        if self.given.insert(piece) {
            (self.refused_since, self.rests) = (None, false);
        }
    }

    /// Whether a piece that nobody was given comes before this one, whose turn it is. `idle` is how long nothing has left.
    pub fn is_stale(&mut self, piece: PieceIndex, idle: Duration, now: Instant) -> bool {
        if self.given.is_complete() || !self.given.has(piece) {
            return false;
        }
        let since = *self.refused_since.get_or_insert(now);
        self.rests |= idle >= PATIENCE || now.saturating_duration_since(since) >= PATIENCE_MAX;
        !self.rests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER_ASKED_FOR: u32 = 7;

    fn fresh_of(pieces: u64) -> (Freshness, Layout) {
        let layout = Layout::new(pieces * 512 * 1024).expect("small");
        (Freshness::new(layout), layout)
    }

    #[test]
    fn a_piece_is_stale_while_another_was_given_to_nobody_unless_nobody_wants_that() {
        let (mut fresh, layout) = fresh_of(3);
        let [a, b, c] = [0, 1, 2].map(|piece| layout.index(piece).expect("there"));
        let now = Instant::now();
        assert!(!fresh.is_stale(a, Duration::ZERO, now));
        fresh.give(a);
        fresh.give(a);
        assert!(fresh.is_stale(a, Duration::ZERO, now) && !fresh.is_stale(b, Duration::ZERO, now));
        assert!(!fresh.is_stale(a, PATIENCE, now));
        fresh.give(b);
        assert!(fresh.is_stale(a, Duration::ZERO, now), "somebody wants such pieces");
        assert!(!fresh.is_stale(a, Duration::ZERO, now + PATIENCE_MAX), "but takes long over them");
        fresh.give(c);
        assert!(!fresh.is_stale(a, Duration::ZERO, now));
    }

    /// One piece is all zeros, or all who are here had it before.
    #[test]
    fn a_piece_that_nobody_asks_for_keeps_the_others_waiting_once_and_not_each_time() {
        let (mut fresh, layout) = fresh_of(100);
        let wanted = || layout.indexes().filter(|piece| piece.get() != NEVER_ASKED_FOR);
        wanted().for_each(|piece| fresh.give(piece));
        let (begun, step) = (Instant::now(), PATIENCE / 20);
        let mut waited = Duration::ZERO;
        for piece in wanted() {
            let mut idle = Duration::ZERO;
            while fresh.is_stale(piece, idle, begun + waited) {
                idle += step;
                waited += step;
            }
            fresh.give(piece);
        }
        assert_eq!(waited, PATIENCE);
    }
}
