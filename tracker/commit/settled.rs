//! The outcome of a batch, as the sink gets it: what has become durable, and the reactions to run.

use super::batch::Reaction;
use crate::model::id::OpId;
use crate::model::op::Op;
use crate::tracker::ledger::ReachedFloor;
use crate::tracker::state::State;
use crate::tracker::state::effect::Effect;
use crate::wire::refusal::Refusal;
use std::sync::Arc;

/// A batch that has become durable.
#[derive(Debug, Clone)]
pub struct Published {
    /// The durable state from now on.
    pub after: Arc<State>,
    /// The floor under it.
    pub floor: ReachedFloor,
    /// The ops that led to it, in the order in which they came.
    pub ops: Vec<Op>,
    /// The effects of these ops.
    pub effects: Vec<Effect>,
    /// The ids that have become aliases, or aliases of another id.
    pub aliased: Vec<OpId>,
}

/// The outcome of a batch.
pub struct Settled {
    /// The batch; `None` if the log did not keep it.
    pub published: Option<Published>,
    outcome: Result<(), Refusal>,
    /// The last one first.
    reactions: Vec<Reaction>,
}

impl Settled {
    pub(super) fn new(
        published: Option<Published>,
        outcome: Result<(), Refusal>,
        mut reactions: Vec<Reaction>,
    ) -> Self {
        reactions.reverse();
        Self { published, outcome, reactions }
    }

    /// Runs the reactions. Dropping does the same.
    pub fn react(mut self) {
        self.let_react();
    }

    fn let_react(&mut self) {
        while let Some(reaction) = self.reactions.pop() {
            reaction(self.outcome.clone());
        }
    }
}

impl Drop for Settled {
    /// Runs the reactions even if a panic kept the sink from it.
    fn drop(&mut self) {
        self.let_react();
    }
}
