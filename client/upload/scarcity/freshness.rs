//! Which pieces of a content were already given to any member. The seeder that shared the content gives each piece once
//! before it gives one twice, as long as others wait for new pieces. Pure: the time is passed in.
//!
//! Members do not say what they hold. They know pieces of zeros from the digests, and have others from each other, or
//! from this client before a restart. No member asks for a piece that all have. So the rule rests after a refused
//! member has waited in vain, until a piece is given for the first time again.

use crate::model::bitfield::Bitfield;
use crate::model::piece::{Layout, PieceIndex};
use std::time::{Duration, Instant};

/// If nothing has left for this long, waiting for a member that wants a new piece is useless. All members here may have
/// that piece from elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);
/// The wait also ends after this time without another new piece, so a slow member does not delay the others longer.
const PATIENCE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Freshness {
    given: Bitfield,
    /// When a member was first refused since the last new piece.
    refused_since: Option<Instant>,
    /// Whether a member has waited in vain since the last new piece.
    rests: bool,
}

impl Freshness {
    pub fn new(layout: Layout) -> Self {
        Self { given: Bitfield::none(layout), refused_since: None, rests: false }
    }

    /// Notes that the piece was given to a member. An interrupted transfer counts too: a member that interrupts the
    /// same piece over and over delays no other.
    pub fn give(&mut self, piece: PieceIndex) {
        if self.given.insert(piece) {
            (self.refused_since, self.rests) = (None, false);
        }
    }

    /// Whether pieces that no member has received come before this one. `idle` is the time in which nothing has left.
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
        assert!(fresh.is_stale(a, Duration::ZERO, now), "a member wants such pieces");
        assert!(!fresh.is_stale(a, Duration::ZERO, now + PATIENCE_MAX), "the member takes too long");
        fresh.give(c);
        assert!(!fresh.is_stale(a, Duration::ZERO, now));
    }

    /// One piece is all zeros, or all members here had it before.
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
