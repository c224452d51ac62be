//! What a tracker knows when it starts: the state, and the window of the latest ops for ops that come late. Pure.

use super::window::Window;
use crate::model::op::Op;
use crate::tracker::state::State;
use std::sync::Arc;

/// The fold of durable ops.
#[derive(Debug, Clone)]
pub struct Past {
    state: State,
    window: Window,
}

impl From<State> for Past {
    /// A fold of which only the outcome is known. Its window is empty: an op that comes late needs all ops.
    fn from(state: State) -> Self {
        Self { window: Window::new(state.clone()), state }
    }
}

impl Past {
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Folds a durable op that comes after all others.
    pub fn apply(&mut self, op: Op) {
        self.state.apply(&op);
        self.window.push(Arc::new(op), &self.state);
        self.window.trim(|_| true);
    }

    pub(super) fn into_parts(self) -> (State, Window) {
        (self.state, self.window)
    }
}
