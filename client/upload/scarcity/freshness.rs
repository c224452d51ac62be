//! Which pieces of a content were given to somebody. Whoever shared the content gives each piece once before it gives one
//! twice, as long as others wait. Pure.

use crate::model::bitfield::Bitfield;
use crate::model::piece::{Layout, PieceIndex};
use std::time::Duration;

/// Where nothing has left for this long, it is no use to wait for somebody who wants what nobody has: all who are here may
/// have that from elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Freshness {
    given: Bitfield,
    never_given: u32,
}

impl Freshness {
    pub fn new(layout: Layout) -> Self {
        Self { given: Bitfield::none(layout), never_given: layout.count() }
    }

    /// The whole piece was given to somebody.
    pub fn give(&mut self, piece: PieceIndex) {
        self.never_given -= u32::from(self.given.insert(piece));
    }

    /// Whether a piece that nobody was given comes before this one. `idle` is how long nothing has left.
    pub fn is_stale(&self, piece: PieceIndex, idle: Duration) -> bool {
        self.never_given > 0 && self.given.has(piece) && idle < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_stale_while_another_was_given_to_nobody_unless_nobody_wants_that() {
        let layout = Layout::new(3 * 512 * 1024).expect("small");
        let [a, b, c] = [0, 1, 2].map(|piece| layout.index(piece).expect("there"));
        let mut fresh = Freshness::new(layout);
        assert!(!fresh.is_stale(a, Duration::ZERO));
        fresh.give(a);
        fresh.give(a);
        assert!(fresh.is_stale(a, Duration::ZERO) && !fresh.is_stale(b, Duration::ZERO));
        assert!(!fresh.is_stale(a, PATIENCE));
        fresh.give(b);
        fresh.give(c);
        assert!(!fresh.is_stale(a, Duration::ZERO));
    }
}
