//! What a tracker knows when it starts: the state, and the window of the latest ops, into which late ops go. Pure.

use super::window::Window;
use crate::model::op::Op;
use crate::model::op::floor::FloorMark;
use crate::tracker::state::State;
use std::sync::Arc;

/// The floor that a ledger stands on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReachedFloor {
    pub mark: FloorMark,
    /// How many ops lie at or below it.
    pub ops: u64,
}

/// The fold of durable ops.
#[derive(Debug, Clone)]
pub struct Past {
    floor: ReachedFloor,
    state: State,
    window: Window,
}

impl From<State> for Past {
    /// A fold without its ops.
    fn from(state: State) -> Self {
        Self::new(state, ReachedFloor::default())
    }
}

impl Past {
    /// A fold without its ops, and the floor under it. The window is empty, so a late op needs all ops above the
    /// floor.
    pub fn new(state: State, floor: ReachedFloor) -> Self {
        Self { floor, window: Window::new(state.clone()), state }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Folds a durable op that comes after all others.
    pub fn apply(&mut self, op: Op) {
        self.state.apply(&op);
        self.window.push(Arc::new(op), &self.state);
        self.window.trim(|_| true);
    }

    /// The floor below which there are no ops.
    pub fn floor(&self) -> ReachedFloor {
        self.floor
    }

    pub(super) fn into_parts(self) -> (ReachedFloor, State, Window) {
        (self.floor, self.state, self.window)
    }
}
