//! A refold puts late ops in their place, or puts the ledger on a new floor. It works on copies beside the ledger,
//! slice by slice, while the ledger goes on. Pure.

use super::past::ReachedFloor;
use super::pinned::Pinned;
use super::window::{Opened, Window};
use crate::model::id::{OpOrder, Origin};
use crate::model::op::Op;
use crate::tracker::state::State;
use crate::tracker::state::difference::Affected;
use std::collections::VecDeque;
use std::sync::Arc;

/// The fold of all ops that a ledger holds, and of some late ones.
///
/// Invariants: `state` is the fold of all ops given so far, without those in `rest`. `rest` ascends.
#[derive(Debug)]
pub struct Refold {
    /// The ledger's count of resets when this refold began. A later reset took back ops that are still in here.
    pub(super) epoch: u64,
    /// How many ops of the ledger's window are in here.
    pub(super) followed: usize,
    pub(super) state: State,
    pub(super) window: Window,
    /// The late ops, in their order.
    pub(super) late: Vec<Op>,
    /// What the ops that were folded again can affect.
    pub(super) affected: Affected,
    rest: VecDeque<Arc<Op>>,
    /// The ledger's state when it was last asked.
    before: State,
    /// The place from which on effects count.
    first: Option<OpOrder>,
    /// The new floor for the ledger, if it changes.
    pub(super) floor: Option<ReachedFloor>,
    history: Option<History>,
}

/// Where the ops before the window come from.
#[derive(Debug)]
struct History {
    /// The durable state when the refold began. The log gives all of its ops above the floor.
    durable: State,
    /// The floor on which the fold begins.
    floor: u64,
    /// How many of these ops the log gave or the base contains.
    given: u64,
}

impl Refold {
    /// Folds `late`, which ascends, into a window that reaches the first of these ops.
    pub(super) fn within(epoch: u64, whole: &Window, late: Vec<Op>, before: State) -> Self {
        let first = late[0].order();
        let Opened { window, state, behind } = whole.open(first);
        let (rest, first) = (merge(behind, &late), Some(first));
        let (affected, followed) = (Affected::default(), whole.len());
        Self { epoch, followed, state, window, late, affected, rest, before, first, floor: None, history: None }
    }

    /// Folds all ops above a pinned base on top of it. The log gives the ops that the window does not reach. By then
    /// the log has this base.
    pub(super) fn on_base(epoch: u64, whole: &Window, pinned: &Pinned, (durable, before): (State, State)) -> Self {
        let lamport = pinned.mark.lamport;
        let (state, window) = (pinned.base.clone(), Window::new(pinned.base.clone()));
        let deep = !whole.reaches_above(lamport);
        let history = deep.then(|| History { durable, floor: lamport, given: 0 });
        // On top of the base the present ops mean the same, unless other trackers broke the rules of floors. The
        // refold tells the difference only where that costs little.
        let first = OpOrder { lamport, origin: Origin { tracker: 0, incarnation: 0 } };
        let first = (!deep).then_some(first);
        let (rest, late, affected) = (whole.above(lamport).into(), Vec::new(), Affected::default());
        let floor = Some(ReachedFloor { mark: pinned.mark, ops: pinned.base.op_count() });
        Self { epoch, followed: whole.len(), state, window, late, affected, rest, before, first, floor, history }
    }

    /// Folds `late`, which ascends, into all ops above the floor. The log gives the durable ones. The others are in
    /// the window or in `adrift`.
    pub(super) fn of_all(
        epoch: u64,
        (whole, adrift): (&Window, &[Arc<Op>]),
        late: Vec<Op>,
        (durable, before): (State, State),
    ) -> Self {
        let mut known = whole.since(0);
        known.extend_from_slice(adrift);
        let (first, followed) = (Some(late[0].order()), whole.len());
        let (state, window) = (State::new(), Window::new(State::new()));
        let history = Some(History { durable, floor: before.floor(), given: 0 });
        let (rest, affected) = (merge(known, &late), Affected::default());
        Self { epoch, followed, state, window, late, affected, rest, before, first, floor: None, history }
    }

    /// Whether the log must give all durable ops above the floor through [`Refold::take`] before [`Refold::slice`].
    pub fn needs_history(&self) -> bool {
        self.history.is_some()
    }

    /// The floor whose base must come through [`Refold::begin_from`] before any op.
    pub fn needs_base(&self) -> Option<u64> {
        self.history.as_ref().map(|history| history.floor).filter(|&floor| floor > 0)
    }

    /// Takes the base of the floor, before any op of the log.
    pub fn begin_from(&mut self, base: State) {
        if let Some(history) = self.history.as_mut() {
            history.given = base.op_count();
            self.window = Window::new(base.clone());
            self.state = base;
        }
    }

    /// Takes the next op of the log, in the total order. Skips ops below the floor and ops that are not durable.
    pub fn take(&mut self, op: Op) {
        let Some(history) = self.history.as_mut() else { return };
        if op.lamport <= history.floor || op.id.seq > history.durable.seen(op.id.origin) {
            return;
        }
        history.given += 1;
        let order = op.order();
        while self.rest.front().is_some_and(|next| next.order() < order) {
            self.fold_next();
        }
        while self.rest.front().is_some_and(|next| next.order() == order) {
            self.rest.pop_front();
        }
        self.fold(Arc::new(op));
    }

    /// How many durable ops the log has not given.
    pub fn missing(&self) -> u64 {
        self.history.as_ref().map_or(0, |history| history.durable.op_count().saturating_sub(history.given))
    }

    /// Folds at most `ops` ops. Returns false if none are left.
    pub fn slice(&mut self, ops: usize) -> bool {
        let ops = ops.min(self.rest.len());
        (0..ops).for_each(|_| self.fold_next());
        !self.rest.is_empty()
    }

    /// Leaves out what the late ops have not changed, as far as the fold has come. Called where no thread waits.
    pub fn narrow(&mut self) {
        self.affected.narrow(&self.before, &self.state);
    }

    /// The late ops, if they cannot be folded in.
    pub fn into_late(self) -> Vec<Op> {
        self.late
    }

    /// Takes the ops that the ledger has appended since, and its present state.
    pub(super) fn follow(&mut self, ops: Vec<Arc<Op>>, held: &State) {
        self.followed += ops.len();
        self.rest.extend(ops);
        self.before = held.clone();
    }

    fn fold_next(&mut self) {
        if let Some(op) = self.rest.pop_front() {
            self.fold(op);
        }
    }

    fn fold(&mut self, op: Arc<Op>) {
        self.state.apply(&op);
        if self.first.is_some_and(|first| op.order() >= first) {
            self.affected.note(&op, self.state.caused());
        }
        self.window.push(op, &self.state);
        if let Some(History { durable, .. }) = &self.history {
            let before = &self.before;
            // Late ops that leave the window stay elsewhere until they are durable.
            self.window.trim(|op| {
                let seq = op.id.seq;
                seq <= durable.seen(op.id.origin) || seq > before.seen(op.id.origin)
            });
        }
    }
}

/// All ops in their order. If a place occurs twice, the known op stays.
fn merge(known: Vec<Arc<Op>>, late: &[Op]) -> VecDeque<Arc<Op>> {
    let mut all = known;
    all.extend(late.iter().cloned().map(Arc::new));
    // The stable sort is quick with rows that ascend already.
    all.sort_by_key(|op| op.order());
    all.dedup_by_key(|op| op.order());
    all.into()
}
