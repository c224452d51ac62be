//! How often floors come. Pure.

use std::time::Duration;

/// How far above its base a tracker lets ops gather.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloorPace {
    /// The latest ops, which stay above every floor: what comes late finds its place among them.
    pub margin: u64,
    /// The least number of ops from one floor to the next.
    pub step: u64,
    /// How long to wait before what has failed is tried again.
    pub pause: Duration,
}

impl Default for FloorPace {
    fn default() -> Self {
        Self { margin: 8192, step: 8192, pause: Duration::from_secs(10) }
    }
}

impl FloorPace {
    /// Whether the next floor is due with so many ops above this one and so many rows in the state. A base costs as much
    /// as there are rows, so a large state has fewer of them.
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
