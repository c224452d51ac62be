//! How often floors come. Pure.

use std::time::Duration;

/// How many ops a tracker lets gather above its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloorPace {
    /// The number of latest ops that stay above every floor, so that late ops find their place among them.
    pub margin: u64,
    /// The least number of ops between two floors.
    pub step: u64,
    /// The pause before a failed step is tried again.
    pub pause: Duration,
}

impl Default for FloorPace {
    fn default() -> Self {
        Self { margin: 8192, step: 8192, pause: Duration::from_secs(10) }
    }
}

impl FloorPace {
    /// Whether the next floor is due, with this many ops above the present one and this many rows in the state. The
    /// cost of a base grows with the rows, so a large state has fewer bases.
    pub fn is_due(&self, above: u64, rows: u64) -> bool {
        above >= self.margin + self.step.max(rows / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_state_has_fewer_floors() {
        let pace = FloorPace { margin: 10, step: 5, ..FloorPace::default() };
        assert!(!pace.is_due(14, 0) && pace.is_due(15, 0));
        assert!(pace.is_due(15, 23) && !pace.is_due(15, 24) && pace.is_due(110, 400));
    }
}
