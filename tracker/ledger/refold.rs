//! A refold puts ops that came late in their place, or puts the ledger on a new floor. It works on copies beside the
//! ledger, slice by slice, while the ledger goes on. Pure.

use super::past::ReachedFloor;
use super::pinned::Pinned;
use super::window::{Opened, Window};
use crate::model::id::{OpOrder, Origin};
use crate::model::op::Op;
use crate::tracker::state::State;
use crate::tracker::state::difference::Affected;
use std::collections::VecDeque;
use std::sync::Arc;

/// The fold of all ops that a ledger holds and of some that came late.
///
/// Invariants: `state` is the fold of all ops that were given so far without those in `rest`; `rest` ascends.
#[derive(Debug)]
pub struct Refold {
    /// The ledger's count of resets when this began. What was taken back since is still in here.
    pub(super) epoch: u64,
    /// How many ops of the ledger's window are in here.
    pub(super) followed: usize,
    pub(super) state: State,
    pub(super) window: Window,
    /// The late ops, in their order.
    pub(super) late: Vec<Op>,
    /// What the ops can affect that were folded again.
    pub(super) affected: Affected,
    rest: VecDeque<Arc<Op>>,
    /// What the ledger held when it was asked last.
    before: State,
    /// The place from which on it matters what ops affect.
    first: Option<OpOrder>,
    /// The floor that it puts the ledger on, if that is another one.
    pub(super) floor: Option<ReachedFloor>,
    history: Option<History>,
}

/// Where the ops before the window come from.
#[derive(Debug)]
struct History {
    /// What was durable when the refold began. The log gives all of it that is above the floor.
    durable: State,
    /// The floor on which the fold begins.
    floor: u64,
    /// How many of these ops were given or lie in the base.
    given: u64,
}

impl Refold {
    /// Folds `late`, which ascend, into a window that reaches the first of them.
    pub(super) fn within(epoch: u64, whole: &Window, late: Vec<Op>, before: State) -> Self {
        let first = late[0].order();
        let Opened { window, state, behind } = whole.open(first);
        let (rest, first) = (merge(behind, &late), Some(first));
        let (affected, followed) = (Affected::default(), whole.len());
        Self { epoch, followed, state, window, late, affected, rest, before, first, floor: None, history: None }
    }

    /// Folds all ops above a pinned base on top of it. Those that the window does not reach come from the log, whose
    /// base it is by then.
    pub(super) fn on_base(epoch: u64, whole: &Window, pinned: &Pinned, (durable, before): (State, State)) -> Self {
        let lamport = pinned.mark.lamport;
        let (state, window) = (pinned.base.clone(), Window::new(pinned.base.clone()));
        let deep = !whole.reaches_above(lamport);
        let history = deep.then(|| History { durable, floor: lamport, given: 0 });
        // What is there already means the same on top of the base, unless others have broken the rules of floors. That is
        // told where it costs little.
        let first = OpOrder { lamport, origin: Origin { tracker: 0, incarnation: 0 } };
        let first = (!deep).then_some(first);
        let (rest, late, affected) = (whole.above(lamport).into(), Vec::new(), Affected::default());
        let floor = Some(ReachedFloor { mark: pinned.mark, ops: pinned.base.op_count() });
        Self { epoch, followed: whole.len(), state, window, late, affected, rest, before, first, floor, history }
    }

    /// Folds `late`, which ascend, into all ops above the floor: those that are durable come from the log. The others
    /// are in the window or among `adrift`.
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

    /// Whether the log has to give all durable ops above the floor through [`Refold::take`] before [`Refold::slice`].
    pub fn needs_history(&self) -> bool {
        self.history.is_some()
    }

    /// The floor whose base has to be given through [`Refold::begin_from`] before any op.
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

    /// Takes the next op of the log, in the total order. Passes over ops below the floor and ops that are not durable.
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

    /// Folds at most so many ops. Returns false if none are left.
    pub fn slice(&mut self, ops: usize) -> bool {
        let ops = ops.min(self.rest.len());
        (0..ops).for_each(|_| self.fold_next());
        !self.rest.is_empty()
    }

    /// Leaves out whatever the late ops have not changed, as far as all is folded. Done where nobody waits.
    pub fn narrow(&mut self) {
        self.affected.narrow(&self.before, &self.state);
    }

    /// The late ops, when they cannot be folded in.
    pub fn into_late(self) -> Vec<Op> {
        self.late
    }

    /// Takes ops that the ledger has appended since, and what it holds now.
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
            // Late ops that go are kept elsewhere until they are durable.
            self.window.trim(|op| {
                let seq = op.id.seq;
                seq <= durable.seen(op.id.origin) || seq > before.seen(op.id.origin)
            });
        }
    }
}

/// All of them in their order. Where a place is taken twice, what was known stays.
fn merge(known: Vec<Arc<Op>>, late: &[Op]) -> VecDeque<Arc<Op>> {
    let mut all = known;
    all.extend(late.iter().cloned().map(Arc::new));
    // Stable, which is quick with rows that ascend already.
    all.sort_by_key(|op| op.order());
    all.dedup_by_key(|op| op.order());
    all.into()
}
