//! The ledger: every op above the floor that a tracker has taken, durable or not, in the total order. Pure.

pub mod accept;
pub mod operator;
mod past;
mod pinned;
pub mod quota;
mod refold;
mod window;

pub use past::{Past, ReachedFloor};
pub use pinned::{Pinned, Pinning};
pub use refold::Refold;

use crate::model::id::{CommandId, OpId, Origin, Seen};
use crate::model::op::{Op, OpBody};
use crate::tracker::ledger::accept::{Acceptance, Change, accept};
use crate::tracker::ledger::operator::{OperatorChange, accept_operator};
use crate::tracker::state::State;
use crate::tracker::state::difference::{Affected, effects_between};
use crate::tracker::state::effect::Effect;
use crate::wire::refusal::{Code, Refusal};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use window::Window;

/// The largest allowed gap between an op's counter and the highest one seen. So a wild counter at another tracker
/// cannot use up the numbers.
const LEAP_MAX: u64 = 1 << 32;
/// For how many Lamport counters the ledger remembers the version vector that it read back.
const READ_BACK_MAX: usize = 8;
/// The most ops that one call folds: the caller holds a lock.
const APPENDED_MAX: usize = if cfg!(test) { 4 } else { 256 };

/// Checks, in a state, whether there is room for an op.
pub type AskRoom = dyn Fn(&State, &OpBody) -> Result<(), Refusal> + Send + Sync;

/// The outcome of a change.
#[derive(Debug)]
pub enum Submission {
    /// This op carried the command out before; `None` if the origin of the op was dropped.
    Known(Option<OpId>),
    /// Everything was already as wanted.
    Already,
    /// This op makes it.
    Made(Op),
}

/// The outcome of receiving ops of other trackers.
#[derive(Debug, Default)]
pub struct Receipt {
    /// These were unknown, and the ledger took them.
    pub taken: Vec<Op>,
    /// Some ops have their place before known ops. The ledger takes them once this refold is finished.
    pub refold: Option<Box<Refold>>,
    /// These come after all of them. The caller has to give them again.
    pub rest: Vec<Op>,
}

/// The outcome of a finished refold.
#[derive(Debug)]
pub enum Finish {
    /// The ledger took its ops. What it replaced may be large: the caller drops it where no thread waits.
    Swapped(Vec<Op>, Box<Replaced>),
    /// The ledger has gone on: there is more to fold.
    Behind(Box<Refold>),
    /// The ledger took ops back, or now skips some late ones. The caller has to give the late ops again.
    Void(Box<Refold>),
    /// No tracker can have issued such ops. The ledger took none of them.
    Impossible(Box<Refold>),
}

/// The state and the window that a refold has replaced.
#[derive(Debug)]
pub struct Replaced {
    _state: State,
    _window: Window,
}

/// The meaning of the ops taken since the last cut.
#[derive(Debug, Default)]
pub struct Meaning {
    /// What single users are told, with the ids that are canonical now.
    pub effects: Vec<Effect>,
    /// One op has its place before a known one. Anything may have changed since that place.
    pub late: bool,
    /// The ids that have become aliases, or aliases of another id.
    pub aliased: Vec<OpId>,
}

/// The ledger of one tracker.
///
/// Invariants: `state` is the fold of all ops taken, in their total order, on top of the base of the floor. Own ops
/// have sequences without a gap. Each op is durable, in the window or in `adrift`. All ops in it lie above the floor.
pub struct Ledger {
    origin: Origin,
    /// The ledger has no ops at or below it.
    floor: ReachedFloor,
    /// The base that is about to be the floor: the ledger takes no other op at or below it.
    closed: Option<(u64, Vec<Seen>)>,
    state: State,
    window: Window,
    /// Late ops that are not durable yet and may lie before the window.
    adrift: Vec<Arc<Op>>,
    /// How often the ledger took ops back.
    epoch: u64,
    /// How often the ledger folded late ops in.
    late_count: u64,
    /// Version vectors read back from the log, by Lamport counter. Each is valid while no op comes at or below its
    /// counter.
    read_back: VecDeque<(u64, Vec<Seen>)>,
    /// What has come since the last [`Ledger::cut`].
    since_cut: SinceCut,
}

/// What has come since a state.
struct SinceCut {
    since: State,
    /// What each op that came in order has caused.
    effects: Vec<Effect>,
    /// Set once an op came late: everything that the ops folded again can affect.
    late: Option<Affected>,
}

impl SinceCut {
    fn new(since: State) -> Self {
        Self { since, effects: Vec::new(), late: None }
    }
}

impl Ledger {
    /// A ledger that holds the ops of a past and issues its own under `origin`.
    pub fn new(origin: Origin, past: impl Into<Past>) -> Self {
        let (floor, state, window) = past.into().into_parts();
        let since_cut = SinceCut::new(state.clone());
        let (closed, read_back, adrift) = (None, VecDeque::new(), Vec::new());
        Self { origin, floor, closed, state, window, adrift, epoch: 0, late_count: 0, read_back, since_cut }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn floor(&self) -> ReachedFloor {
        self.floor
    }

    /// The Lamport counter of the op that precedes the last `ops` ones. `None` if it lies before the window.
    pub fn lamport_behind(&self, ops: usize) -> Option<u64> {
        self.window.lamport_behind(ops)
    }

    /// The version vector of all ops at or below a Lamport counter, by origin. `None` if it is unknown: the window
    /// begins above the counter, and no valid vector was read back for it.
    pub fn version_at(&self, lamport: u64) -> Option<Vec<Seen>> {
        let read_back = || self.read_back.iter().find(|(at, _)| *at == lamport).map(|(_, vector)| vector.clone());
        pinned::version_at(&self.window, lamport).or_else(read_back)
    }

    /// A number that stands for the ops below the window. `None` if some op is not durable. The number changes when an
    /// op comes in there.
    pub fn depth(&self, durable: &State) -> Option<u64> {
        let kept = |op: &Arc<Op>| op.id.seq <= durable.seen(op.id.origin);
        self.adrift.iter().all(kept).then_some(self.late_count)
    }

    /// Takes note of a version vector that was read back for a Lamport counter, if the depth is still the same.
    pub fn note_read_back(&mut self, lamport: u64, vector: Vec<Seen>, depth: u64) {
        if depth == self.late_count {
            self.read_back.truncate(READ_BACK_MAX - 1);
            self.read_back.push_front((lamport, vector));
        }
    }

    /// Whether a floor can be put there: it is above the present one and within the valid counters.
    pub fn may_stand_at(&self, lamport: u64) -> bool {
        lamport > self.floor.mark.lamport && lamport <= self.state.lamport()
    }

    /// Whether the window begins at or below this counter.
    pub fn reaches(&self, lamport: u64) -> bool {
        self.window.up_to(lamport).is_some()
    }

    /// Begins to fold the ops at or below a Lamport counter. `None` if no floor can be put there, if the durable state
    /// lacks one of the ops, or if the window begins above the counter.
    pub fn pin(&self, lamport: u64, durable: &State) -> Option<Pinning> {
        let kept = |seen: &Seen| seen.seq <= durable.seen(seen.origin);
        let may_be = self.may_stand_at(lamport) && pinned::version_at(&self.window, lamport)?.iter().all(kept);
        may_be.then(|| Pinning::new(self.floor.mark, lamport, &self.window))?
    }

    /// From now on refuses every op at or below a pinned base that is not part of it. Returns false if the ledger
    /// holds such an op already.
    pub fn close_below(&mut self, pinned: &Pinned) -> bool {
        let lamport = pinned.mark.lamport;
        let exact = self.floor.mark == pinned.after && self.version_at(lamport).as_ref() == Some(&pinned.vector);
        self.closed = exact.then(|| (lamport, pinned.vector.clone()));
        exact
    }

    /// Takes ops at every place above the floor again.
    pub fn reopen(&mut self) {
        self.closed = None;
    }

    /// Begins to put the ledger on a pinned base, and closes the ledger below it. `durable` is the state of the
    /// durable ops. `None` if the ledger holds another op below the base. Only one refold may be underway, until the
    /// state on the new floor is durable.
    pub fn establish(&mut self, pinned: &Pinned, durable: &State) -> Option<Box<Refold>> {
        if !self.close_below(pinned) {
            return None;
        }
        let states = (durable.clone(), self.state.clone());
        Some(Box::new(Refold::on_base(self.epoch, &self.window, pinned, states)))
    }

    /// Makes a change, unless its command was carried out before.
    ///
    /// # Errors
    /// Those of [`accept()`].
    pub fn submit(&mut self, command: CommandId, change: &Change) -> Result<Submission, Refusal> {
        self.submit_within(command, change, &|_, _| Ok(()))
    }

    /// As [`Ledger::submit`], if `ask` finds room for the op in the state before it.
    ///
    /// # Errors
    /// Those of [`accept()`] and of `ask`.
    pub fn submit_within(&mut self, command: CommandId, change: &Change, ask: &AskRoom) -> Result<Submission, Refusal> {
        if self.state.knows_command(change.owner(), command) {
            return Ok(Submission::Known(self.state.command(change.owner(), command)));
        }
        let body = match accept(&self.state, change)? {
            Acceptance::Op(body) => body,
            Acceptance::Already => return Ok(Submission::Already),
        };
        ask(&self.state, &body)?;
        Ok(Submission::Made(self.make(command, body)))
    }

    /// Makes a change for the operator.
    ///
    /// # Errors
    /// Those of [`accept_operator()`].
    pub fn submit_operator(&mut self, command: CommandId, change: &OperatorChange) -> Result<Submission, Refusal> {
        match accept_operator(&self.state, change)? {
            Acceptance::Op(body) => Ok(Submission::Made(self.make(command, body))),
            Acceptance::Already => Ok(Submission::Already),
        }
    }

    /// Makes a change of this tracker's own, without a client.
    pub fn submit_own(&mut self, body: OpBody) -> Submission {
        let already = match body {
            OpBody::ForgetTracker { tracker } => self.state.is_forgotten(tracker),
            OpBody::UnforgetTracker { tracker } => !self.state.is_forgotten(tracker),
            _ => false,
        };
        if already { Submission::Already } else { Submission::Made(self.make(CommandId::NONE, body)) }
    }

    fn make(&mut self, command: CommandId, body: OpBody) -> Op {
        // The state gives the sequence. So the next op uses the sequence of an op that was taken back.
        let id = OpId { origin: self.origin, seq: self.state.seen(self.origin) + 1 };
        let op = Op { id, lamport: self.state.lamport() + 1, command, body };
        self.append(op.clone());
        op
    }

    /// Folds an op that comes after all others.
    fn append(&mut self, op: Op) {
        self.state.apply(&op);
        self.since_cut.effects.extend_from_slice(self.state.caused());
        self.window.push(Arc::new(op), &self.state);
    }

    /// Takes the ops of other trackers that are new, leave no gap and have a place above the floor. `durable` is the
    /// state of the durable ops. Takes few at a time: [`Receipt::rest`] has the others. Only one refold may be
    /// underway.
    ///
    /// # Errors
    /// `Malformed` if no tracker can have issued such ops. In that case the ledger takes none.
    pub fn receive(&mut self, ops: Vec<Op>, durable: &State) -> Result<Receipt, Refusal> {
        let mut ops = self.unknown(ops);
        let highest = self.state.lamport().saturating_add(LEAP_MAX);
        if ops.iter().any(|op| op.lamport > highest) || !ascend_by_origin(&ops) {
            return Err(impossible());
        }
        ops.sort_by_key(Op::order);
        let late = self.count_late(&ops);
        if late == 0 {
            let rest = ops.split_off(ops.len().min(APPENDED_MAX));
            ops.iter().for_each(|op| self.append(op.clone()));
            return Ok(Receipt { taken: ops, refold: None, rest });
        }
        let rest = ops.split_off(late);
        let refold = if self.window.reaches(ops[0].order()) {
            Refold::within(self.epoch, &self.window, ops, self.state.clone())
        } else {
            let states = (durable.clone(), self.state.clone());
            Refold::of_all(self.epoch, (&self.window, &self.adrift), ops, states)
        };
        Ok(Receipt { taken: Vec::new(), refold: Some(Box::new(refold)), rest })
    }

    /// How many of these ascending ops have their place before a known op.
    fn count_late(&self, ops: &[Op]) -> usize {
        self.state.last().map_or(0, |last| ops.partition_point(|op| op.order() <= last))
    }

    /// Whether some of these ops have their place before a known op.
    pub fn is_late(&self, ops: &[Op]) -> bool {
        let unknown = |op: &&Op| op.id.seq > self.state.seen(op.id.origin) && self.has_place_for(op);
        self.state.last().is_some_and(|last| ops.iter().filter(unknown).any(|op| op.order() <= last))
    }

    /// Whether an op has a place. The op must lie above the floor. A higher floor may be promised, or about to become
    /// this ledger's floor. At or below that floor, only the ops that are part of it have a place.
    fn has_place_for(&self, op: &Op) -> bool {
        let promised = self.state.gate().is_some_and(|floor| floor.excludes(op.id, op.lamport));
        let outside = |(lamport, vector): &(u64, Vec<Seen>)| op.lamport <= *lamport && !pinned::contains(vector, op);
        op.lamport > self.floor.mark.lamport && !promised && !self.closed.as_ref().is_some_and(outside)
    }

    /// Takes the late ops of a refold that has folded everything it was given.
    pub fn finish(&mut self, mut refold: Box<Refold>) -> Finish {
        if refold.epoch != self.epoch || !refold.late.iter().all(|op| self.has_place_for(op)) {
            return Finish::Void(refold);
        }
        let more = self.window.since(refold.followed);
        let few = more.len() <= APPENDED_MAX;
        refold.follow(more, &self.state);
        if !few || refold.slice(APPENDED_MAX) {
            return Finish::Behind(refold);
        }
        if refold.state.op_count() != self.state.op_count() + refold.late.len() as u64 {
            // Two ops at one place, or ops of one origin in an order that contradicts their sequences.
            return Finish::Impossible(refold);
        }
        if refold.needs_history() {
            self.adrift.extend(refold.late.iter().cloned().map(Arc::new));
        }
        let Refold { state, window, late, affected, floor, .. } = *refold;
        if let Some(first) = late.first() {
            self.late_count += 1;
            self.read_back.retain(|(lamport, _)| *lamport < first.lamport);
        }
        if let Some(floor) = floor {
            // The window has all ops above it.
            self.adrift.clear();
            self.closed = None;
            self.floor = floor;
        }
        let replaced = Box::new(Replaced {
            _state: std::mem::replace(&mut self.state, state),
            _window: std::mem::replace(&mut self.window, window),
        });
        match &mut self.since_cut.late {
            None => self.since_cut.late = Some(affected),
            Some(before) => before.append(affected),
        }
        Finish::Swapped(late, replaced)
    }

    /// Begins a new cut. Returns what tells the meaning of the ops since the last one.
    pub fn cut(&mut self) -> Cut {
        let since = std::mem::replace(&mut self.since_cut, SinceCut::new(self.state.clone()));
        Cut { since, after: self.state.clone(), floor: self.floor }
    }

    fn unknown(&self, ops: Vec<Op>) -> Vec<Op> {
        let mut seen: HashMap<Origin, u64> = HashMap::new();
        let mut unknown = ops;
        unknown.retain(|op| {
            let seen = seen.entry(op.id.origin).or_insert_with(|| self.state.seen(op.id.origin));
            let next = op.id.seq == *seen + 1 && self.has_place_for(op);
            *seen += u64::from(next);
            next
        });
        unknown
    }

    /// Takes back every op that is not part of the durable state. That state may still be on the previous floor.
    pub fn reset(&mut self, durable: &State) {
        if self.adrift.iter().any(|op| op.id.seq > durable.seen(op.id.origin)) {
            // The snapshots of the window contain the ops that are taken back.
            self.window = Window::new(durable.clone());
        }
        self.adrift.clear();
        self.epoch += 1;
        self.window.retain(durable);
        self.state = if durable.floor() == self.floor.mark.lamport { durable.clone() } else { self.window.fold() };
        self.since_cut = SinceCut::new(durable.clone());
    }

    /// Takes note of the durable state. The window then drops its oldest durable ops, unless a refold is underway,
    /// which needs them.
    pub fn settle(&mut self, durable: &State) {
        let kept = |op: &Op| op.id.seq <= durable.seen(op.id.origin);
        self.adrift.retain(|op| !kept(op));
        self.window.trim(kept);
    }
}

/// The ops between two cuts, for telling their meaning.
pub struct Cut {
    since: SinceCut,
    after: State,
    floor: ReachedFloor,
}

impl Cut {
    /// The state after them.
    pub fn after(&self) -> &State {
        &self.after
    }

    /// The floor under that state.
    pub fn floor(&self) -> ReachedFloor {
        self.floor
    }

    /// The meaning of `ops`, which must be all ops of the cut. After late ops this compares states, which takes a
    /// while.
    pub fn meaning(self, ops: &[Op]) -> Meaning {
        let SinceCut { since, effects, late } = self.since;
        let aliased = self.after.aliased_since(&since);
        match late {
            None => Meaning { effects, late: false, aliased },
            Some(mut affected) => {
                ops.iter().for_each(|op| affected.note(op, &[]));
                affected.note_effects(&effects);
                Meaning { effects: effects_between(&since, &self.after, affected), late: true, aliased }
            }
        }
    }
}

/// Whether the sequences of each origin ascend in the total order.
fn ascend_by_origin(ops: &[Op]) -> bool {
    let mut last = HashMap::new();
    ops.iter().all(|op| last.insert(op.id.origin, op.order()).is_none_or(|last| last < op.order()))
}

/// The refusal of ops that no tracker can have issued.
pub fn impossible() -> Refusal {
    Refusal::about(Code::Malformed, "changes that no tracker can have made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{GroupRef, ShareRef, UserRef};
    use crate::model::name::{FileName, GroupId, UserId};
    use crate::model::op::PasswordHash;
    use crate::model::op::floor::{FloorMark, FloorProposal};
    use crate::model::op::group_access::GroupAccess;
    use crate::tracker::state::effect::Told;
    use crate::tracker::state::tests::{self, content};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const HERE: Origin = Origin { tracker: 1, incarnation: 1 };
    /// An origin that issues no ops in histories.
    const BUSY: Origin = Origin { tracker: 1, incarnation: 99 };
    const THERE: Origin = Origin { tracker: 2, incarnation: 7 };

    fn take(ledger: &mut Ledger, ops: &[Op]) -> Vec<Op> {
        take_with(ledger, ops, &[])
    }

    fn take_with(ledger: &mut Ledger, ops: &[Op], durable: &[Op]) -> Vec<Op> {
        give(ledger, ops.to_vec(), durable).expect("possible")
    }

    /// Gives ops to a ledger until it has taken all of them. Returns the ops that it took.
    fn give(ledger: &mut Ledger, ops: Vec<Op>, durable: &[Op]) -> Result<Vec<Op>, Refusal> {
        let (mut ops, mut taken) = (ops, Vec::new());
        loop {
            let mut receipt = ledger.receive(ops, &fold(durable))?;
            taken.append(&mut receipt.taken);
            ops = receipt.rest;
            let mut refold = receipt.refold;
            while let Some(mut underway) = refold.take() {
                give_history(&mut underway, durable);
                while underway.slice(3) {}
                underway.narrow();
                match ledger.finish(underway) {
                    Finish::Swapped(mut late, _) => taken.append(&mut late),
                    Finish::Behind(behind) => refold = Some(behind),
                    Finish::Void(_) => panic!("nothing was taken back"),
                    Finish::Impossible(_) => return Err(impossible()),
                }
            }
            if ops.is_empty() {
                return Ok(taken);
            }
        }
    }

    /// Histories without promised floors: every op has its place, whatever came before it.
    fn histories() -> impl Strategy<Value = Vec<Op>> {
        tests::histories().prop_map(|mut ops| {
            for op in &mut ops {
                if matches!(op.body, OpBody::PromiseFloor { .. }) {
                    op.body = OpBody::ForgetTracker { tracker: 9 };
                }
            }
            ops
        })
    }

    fn fold(ops: &[Op]) -> State {
        fold_on(&[], ops)
    }

    /// The fold of ops with floors between them, as far as ops lie above these floors.
    fn fold_on(floors: &[u64], ops: &[Op]) -> State {
        let (mut state, ops) = (State::new(), in_order(ops));
        let mut rest = &ops[..];
        for &floor in floors {
            let (below, above) = rest.split_at(rest.partition_point(|op| op.lamport <= floor));
            if below.last().is_none_or(|last| last.lamport < floor) {
                break;
            }
            below.iter().for_each(|op| state.apply(op));
            state.prune(floor);
            rest = above;
        }
        rest.iter().for_each(|op| state.apply(op));
        state
    }

    fn in_order(ops: &[Op]) -> Vec<Op> {
        let mut ops = ops.to_vec();
        ops.sort_by_key(Op::order);
        ops
    }

    /// Does what the log does for a refold that needs it. Also has the bases of floors.
    fn give_history(refold: &mut Refold, log: &[Op]) {
        give_history_on(&[], refold, log);
    }

    fn give_history_on(floors: &[u64], refold: &mut Refold, log: &[Op]) {
        if refold.needs_history() && refold.missing() > 0 {
            if let Some(floor) = refold.needs_base() {
                let below: Vec<Op> = log.iter().filter(|op| op.lamport <= floor).cloned().collect();
                refold.begin_from(fold_on(floors, &below));
            }
            in_order(log).into_iter().for_each(|op| refold.take(op));
            assert_eq!(refold.missing(), 0);
        }
    }

    fn user(name: &str) -> Change {
        Change::CreateUser { name: UserId::parse(name).expect(name), password: PasswordHash("p".into()) }
    }

    /// Makes a change, which must be new and not refused.
    fn make(ledger: &mut Ledger, n: u8, change: &Change) -> Op {
        match ledger.submit(CommandId([n; 16]), change).expect("is accepted") {
            Submission::Made(op) => op,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ops_that_come_late_find_their_place_and_those_they_concern_are_told() {
        let (mut here, mut there) = (Ledger::new(HERE, State::new()), Ledger::new(THERE, State::new()));
        let alice = make(&mut here, 1, &user("alice"));
        take(&mut there, std::slice::from_ref(&alice));
        let alice = UserRef(alice.id);
        let group = |name| Change::CreateGroup { user: alice, group: GroupId::parse(name).expect(name) };
        // Both sides give the name away. Tracker 1 wins, since the counters are equal.
        let ours = make(&mut here, 2, &group("lab"));
        let theirs = [make(&mut there, 3, &group("lab")), make(&mut there, 4, &group("late"))];
        there.cut();
        let received = take(&mut there, std::slice::from_ref(&ours));
        let meaning = there.cut().meaning(&received);
        assert!(meaning.late);
        let renamed = meaning.effects.iter().any(|effect| matches!(effect.what, Told::Noticed { .. }));
        assert!(
            renamed && meaning.effects.contains(&Effect { to: alice, what: Told::Joined { group: GroupRef(ours.id) } })
        );
        // The ledger skips ops after a gap, and known ops.
        assert!(take(&mut here, &theirs[1..]).is_empty());
        assert_eq!(take(&mut here, &theirs), theirs);
        assert!(take(&mut here, &theirs).is_empty());
        assert_eq!(here.state().digest(), there.state().digest());
        assert_eq!(here.state().group_name(GroupRef(theirs[0].id)), GroupId::parse("lab~2").ok());
    }

    /// An owner opens a group here, which lets in a user who waits. The group was closed elsewhere before, which has
    /// turned the user down. So the opening lets in nobody.
    #[test]
    fn a_user_whom_an_opened_group_let_in_hears_that_the_group_was_closed_before() {
        for is_left_empty in [false, true] {
            let (mut here, mut there) = (Ledger::new(HERE, State::new()), Ledger::new(THERE, State::new()));
            let [ann, cat] = [(1, "ann"), (2, "cat")].map(|(n, name)| UserRef(make(&mut there, n, &user(name)).id));
            let lab = GroupId::parse("lab").expect("a name");
            let created = make(&mut there, 3, &Change::CreateGroup { user: ann, group: lab.clone() });
            make(&mut there, 4, &Change::JoinGroup { user: cat, group: lab.clone() });
            take(&mut here, &there.window.since(0).iter().map(|op| Op::clone(op)).collect::<Vec<_>>());
            let access = |access| Change::SetGroup { user: ann, group: lab.clone(), access };
            let closed = make(&mut here, 5, &access(GroupAccess::Closed));
            // So that the group is opened later than it was closed.
            make(&mut there, 6, &user("dan"));
            make(&mut there, 7, &access(GroupAccess::Open));
            if is_left_empty {
                make(&mut there, 8, &Change::LeaveGroup { user: ann, group: lab.clone() });
            }
            assert!(there.state().is_member(GroupRef(created.id), cat));
            there.cut();
            let late = take(&mut there, std::slice::from_ref(&closed));
            let told = there.cut().meaning(&late).effects;
            assert!(!there.state().is_member(GroupRef(created.id), cat));
            let departed = Effect { to: cat, what: Told::Departed { group: GroupRef(created.id) } };
            assert!(told.contains(&departed), "{told:?}");
        }
    }

    #[test]
    fn a_command_repeated_elsewhere_is_not_carried_out_again() {
        let (mut here, mut there) = (Ledger::new(HERE, State::new()), Ledger::new(THERE, State::new()));
        let first = make(&mut here, 1, &user("alice"));
        take(&mut there, std::slice::from_ref(&first));
        let again = there.submit(CommandId([1; 16]), &user("alice")).expect("known");
        assert!(matches!(again, Submission::Known(id) if id == Some(first.id)));
    }

    /// Another tracker has carried out two commands of alice, and later ones too. Alice repeats the two here.
    #[test]
    fn the_effect_of_a_repeated_command_is_told_as_that_of_the_first() {
        let (mut here, mut there) = (Ledger::new(HERE, State::new()), Ledger::new(THERE, State::new()));
        let alice = make(&mut here, 1, &user("alice"));
        take(&mut there, std::slice::from_ref(&alice));
        let alice = UserRef(alice.id);
        let group = |name: &str| GroupId::parse(name).expect(name);
        let create = |name| Change::CreateGroup { user: alice, group: group(name) };
        let leave = |name| Change::LeaveGroup { user: alice, group: group(name) };
        let share = |name| {
            let (group, name) = (group(name), FileName::parse("f").expect("a name"));
            Change::Share { user: alice, group, name, content: content(1) }
        };
        let stop =
            |name| Change::StopShare { user: alice, group: group(name), name: FileName::parse("f").expect("a name") };
        let first: Vec<Op> = [(2, create("left")), (3, create("kept")), (4, share("kept"))]
            .into_iter()
            .chain([(5, leave("left")), (6, stop("kept"))])
            .map(|(n, change)| make(&mut there, n, &change))
            .collect();
        // So that these ops come later in the order.
        (10..20).for_each(|n| drop(make(&mut here, n, &user(&format!("u{n}")))));
        for (n, change) in [(2, create("left")), (3, create("kept")), (4, share("kept"))] {
            make(&mut here, n, &change);
        }
        here.cut();
        let first = take(&mut here, &first);
        let told = here.cut().meaning(&first).effects;
        let has = |what: Told| told.contains(&Effect { to: alice, what });
        assert!(has(Told::Departed { group: GroupRef(first[0].id) }), "{told:?}");
        assert!(has(Told::KeyChanged { group: GroupRef(first[1].id) }), "the key is made of the id: {told:?}");
        assert!(has(Told::ShareEnded { share: ShareRef(first[2].id) }), "{told:?}");
    }

    /// Alice repeats a command at another tracker. She has made so many changes since that the command is unknown
    /// there.
    #[test]
    fn a_group_and_its_former_alias_are_told_as_two_groups() {
        for leaves in [false, true] {
            let [mut here, mut there, mut busy] = [HERE, THERE, BUSY].map(|origin| Ledger::new(origin, State::new()));
            let alice = make(&mut here, 1, &user("alice"));
            [&mut there, &mut busy].into_iter().for_each(|ledger| drop(take(ledger, std::slice::from_ref(&alice))));
            let alice = UserRef(alice.id);
            let lab = GroupId::parse("lab").expect("a name");
            let create = Change::CreateGroup { user: alice, group: lab.clone() };
            let first = make(&mut here, 2, &create);
            // So that the repetition comes later in the order.
            let mut late: Vec<Op> = (10..30).map(|n| make(&mut there, n, &user(&format!("u{n}")))).collect();
            let again = make(&mut there, 2, &create);
            late.push(again.clone());
            late.extend(leaves.then(|| make(&mut there, 3, &Change::LeaveGroup { user: alice, group: lab })));
            take(&mut here, &late);
            assert_eq!(here.state().canonical(again.id), first.id);
            let others: Vec<Op> = (40..56)
                .map(|n: u8| {
                    let former = busy.state().account(alice).expect("alice").password_op;
                    let password = PasswordHash(format!("{n}").into());
                    make(&mut busy, n, &Change::ChangePassword { user: alice, former, password })
                })
                .collect();
            here.cut();
            let others = take(&mut here, &others);
            let told = here.cut().meaning(&others).effects;
            let [first, again] = [first, again].map(|op| GroupRef(op.id));
            assert_eq!([first, again].map(|group| here.state().is_member(group, alice)), [true, !leaves]);
            let joined = Effect { to: alice, what: Told::Joined { group: if leaves { first } else { again } } };
            assert!(told.contains(&joined), "{told:?}");
        }
    }

    #[test]
    fn ops_that_are_taken_back_leave_no_trace() {
        let mut ledger = Ledger::new(HERE, State::new());
        make(&mut ledger, 1, &user("alice"));
        let durable = ledger.state().clone();
        let mut there = Ledger::new(THERE, State::new());
        let early = make(&mut there, 9, &user("zoe"));
        make(&mut ledger, 2, &user("bob"));
        take(&mut ledger, std::slice::from_ref(&early));
        ledger.reset(&durable);
        assert!(ledger.cut().meaning(&[]).effects.is_empty());
        assert_eq!(ledger.state().digest(), durable.digest());
        assert_eq!(make(&mut ledger, 3, &user("bob")).id.seq, 2);
        assert_eq!(take(&mut ledger, &[early]).len(), 1);
        assert_eq!(ledger.state().user_count(), 3);
    }

    #[test]
    fn ops_that_no_tracker_can_have_made_change_nothing() {
        let mut there = Ledger::new(THERE, State::new());
        let theirs =
            [make(&mut there, 1, &user("a")), make(&mut there, 2, &user("b")), make(&mut there, 3, &user("c"))];
        let refused = |ledger: &mut Ledger, ops: Vec<Op>, all: &[Op]| {
            let digest = ledger.state().digest();
            let refusal = give(ledger, ops, all).expect_err("is refused");
            assert_eq!((refusal.code, ledger.state().digest()), (Code::Malformed, digest));
        };
        let with = |op: &Op, lamport| Op { lamport, ..op.clone() };
        let mut here = Ledger::new(HERE, State::new());
        let own = make(&mut here, 9, &user("zoe"));
        refused(&mut here, vec![with(&theirs[0], u64::MAX)], &[]);
        refused(&mut here, vec![with(&theirs[0], 7), with(&theirs[1], 7)], &[]);
        refused(&mut here, vec![with(&theirs[0], 7), with(&theirs[1], 6)], &[]);
        take(&mut here, &[with(&theirs[0], 7), with(&theirs[1], 8)]);
        refused(&mut here, vec![with(&theirs[2], 7)], &[]);
        refused(&mut here, vec![with(&theirs[2], 1)], &[]);
        // The window no longer reaches back this far.
        let all = [own, with(&theirs[0], 7), with(&theirs[1], 8)];
        let mut again = Ledger::new(HERE, here.state().clone());
        refused(&mut again, vec![with(&theirs[2], 7)], &all);
        refused(&mut again, vec![with(&theirs[2], 5)], &all);
        for ledger in [&mut here, &mut again] {
            let received = take_with(ledger, &[with(&theirs[2], 9)], &all);
            assert_eq!((received.len(), ledger.state().user_count()), (1, 4));
            assert_eq!(make(ledger, 10, &user("yan")).id.seq, 2);
        }
        assert_eq!(here.state().digest(), again.state().digest());
    }

    #[test]
    fn up_to_a_promised_floor_only_its_own_ops_are_taken() {
        let mut ledger = Ledger::new(HERE, State::new());
        (1..=4).for_each(|n| drop(make(&mut ledger, n, &user(&format!("u{n}")))));
        let late = |tracker, lamport| accounts(Origin { tracker, incarnation: 1 }, std::iter::once(lamport));
        // This op is being folded in when the promise is made.
        let mut underway = ledger.receive(late(5, 1), &State::new()).expect("possible").refold.expect("late");
        let part = late(3, 2);
        let vector = vec![Seen { origin: HERE, seq: 3 }, Seen { origin: part[0].id.origin, seq: 1 }];
        let mark = FloorMark { lamport: 3, base: [1; 32] };
        let floor = FloorProposal { after: FloorMark::default(), mark, vector, participants: vec![1] };
        let proposal = OpId { origin: HERE, seq: 5 };
        ledger.submit_own(OpBody::PromiseFloor { proposal, floor: Arc::new(floor) });
        while underway.slice(5) {}
        assert!(matches!(ledger.finish(underway), Finish::Void(_)));
        assert!(take(&mut ledger, &late(4, 3)).is_empty() && !ledger.is_late(&late(4, 3)));
        assert_eq!(take(&mut ledger, &part).len(), 1);
        assert_eq!(take(&mut ledger, &late(6, 4)).len(), 1);
        assert_eq!(ledger.version_at(3).map(|vector| vector.len()), Some(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// The order, the lots and the starting state in which ops arrive do not matter. The outcome is their fold in
        /// their order. The effects told add up to the difference.
        #[test]
        fn any_arrival_leads_to_the_same_state(ops in histories(), picks in proptest::collection::vec(any::<u8>(), 200), known in any::<u8>()) {
            let mut sorted: BTreeMap<_, Op> = ops.into_iter().map(|op| (op.order(), op)).collect();
            // An op after a gap would be left out for good.
            let mut seen: HashMap<Origin, u64> = HashMap::new();
            sorted.retain(|_, op| {
                let seen = seen.entry(op.id.origin).or_default();
                let next = op.id.seq == *seen + 1;
                *seen += u64::from(next);
                next
            });
            let mut expected = State::new();
            sorted.values().for_each(|op| expected.apply(op));
            let mut lines: BTreeMap<Origin, Vec<Op>> = BTreeMap::new();
            for op in sorted.values() {
                lines.entry(op.id.origin).or_default().push(op.clone());
            }
            let mut lines: Vec<_> = lines.into_values().map(Vec::into_iter).collect();
            let arrival: Vec<Op> = picks.iter().chain(&[0; 400]).filter_map(|&pick| {
                lines.retain(|line| line.len() > 0);
                let at = usize::from(pick) % lines.len().max(1);
                lines.get_mut(at)?.next()
            }).collect();
            prop_assert_eq!(arrival.len(), sorted.len());

            let known = usize::from(known) % (arrival.len() + 1);
            let mut durable: Vec<Op> = arrival[..known].to_vec();
            durable.sort_unstable_by_key(Op::order);
            // Starts from a checkpoint, and reads the ops after it.
            let (folded, read) = durable.split_at(usize::from(picks[1]) % (known + 1));
            let mut start = State::new();
            folded.iter().for_each(|op| start.apply(op));
            let mut past = Past::from(start);
            read.iter().for_each(|op| past.apply(op.clone()));
            let mut ledger = Ledger::new(HERE, past);
            let mut members: std::collections::BTreeSet<(GroupRef, UserRef)> = Default::default();
            for lot in arrival[known..].chunks(usize::from(picks[0]) % 5 + 1) {
                let received = take_with(&mut ledger, lot, &durable);
                prop_assert_eq!(in_order(&received), in_order(lot));
                // The effects have the ids that are canonical by then.
                let state = ledger.state().clone();
                members = members.into_iter().map(|(group, user)| {
                    (GroupRef(state.canonical(group.0)), UserRef(state.canonical(user.0)))
                }).collect();
                for effect in ledger.cut().meaning(&received).effects {
                    match effect.what {
                        Told::Joined { group } => drop(members.insert((group, effect.to))),
                        Told::Departed { group } => drop(members.remove(&(group, effect.to))),
                        _ => {}
                    }
                }
                durable.extend_from_slice(lot);
                ledger.settle(&state);
            }
            prop_assert_eq!(ledger.state().digest(), expected.digest());
            ledger.state().check();
            if known == 0 {
                let groups = sorted.values().filter(|op| matches!(op.body, OpBody::CreateGroup { .. })).map(|op| GroupRef(op.id));
                let own = groups.filter(|&group| expected.canonical(group.0) == group.0);
                let all: std::collections::BTreeSet<_> = own.flat_map(|group| expected.members(group).map(move |user| (group, user))).collect();
                prop_assert_eq!(members, all);
            }
        }

        /// While late ops are folded in, users make changes, other trackers' ops come, and batches become durable. Now
        /// and then the log refuses a batch. The outcome is the fold of all ops taken.
        #[test]
        fn a_ledger_goes_on_while_late_ops_are_folded_in(ops in histories(), picks in proptest::collection::vec(any::<u8>(), 400)) {
            let mut sorted = in_order(&ops);
            sorted.dedup_by_key(|op| op.order());
            let mut lines: BTreeMap<Origin, Vec<Op>> = BTreeMap::new();
            for op in sorted {
                let line = lines.entry(op.id.origin).or_default();
                if op.id.seq == line.len() as u64 + 1 {
                    line.push(op);
                }
            }
            lines.retain(|_, line| !line.is_empty());
            let mut world = Busy::new(picks);
            for line in lines.values().rev() {
                world.bring(line);
            }
            world.settle();
            let expected = fold(&world.log);
            prop_assert_eq!(world.ledger.state().digest(), expected.digest());
            prop_assert_eq!(expected.op_count(), world.log.len() as u64);
            let all: usize = lines.values().map(Vec::len).sum();
            prop_assert_eq!(world.log.iter().filter(|op| op.id.origin != BUSY).count(), all);
            let own: Vec<u64> = world.log.iter().filter(|op| op.id.origin == BUSY).map(|op| op.id.seq).collect();
            prop_assert_eq!(own, (1..=world.ledger.state().seen(BUSY)).collect::<Vec<_>>());
            world.ledger.state().check();
        }

        /// The same, while floors are promised and put under the ledger. The ledger never takes ops below a floor, nor
        /// the ops that follow them. The outcome is the fold of all ops taken, with the floors between.
        #[test]
        fn a_ledger_goes_on_while_floors_come(ops in tests::histories(), picks in proptest::collection::vec(any::<u8>(), 400)) {
            let mut sorted = in_order(&ops);
            sorted.dedup_by_key(|op| op.order());
            let mut lines: BTreeMap<Origin, Vec<Op>> = BTreeMap::new();
            for op in sorted {
                let line = lines.entry(op.id.origin).or_default();
                if op.id.seq == line.len() as u64 + 1 {
                    line.push(op);
                }
            }
            lines.retain(|_, line| !line.is_empty());
            let mut world = Busy::new(picks);
            world.floors_come = true;
            for line in lines.values().rev() {
                world.bring(line);
            }
            world.settle();
            let expected = fold_on(&world.floors, &world.log);
            prop_assert_eq!(world.ledger.state().digest(), expected.digest());
            prop_assert_eq!(world.ledger.floor().mark.lamport, expected.floor());
            prop_assert_eq!(expected.op_count(), world.log.len() as u64);
            let mut ledger = Ledger::new(BUSY, world.past());
            // The window gives the same as the log.
            let late = accounts(Origin { tracker: 9, incarnation: 1 }, [expected.floor() + 1].into_iter());
            let mut taken = Vec::new();
            world.ledger.reopen();
            for ledger in [&mut world.ledger, &mut ledger] {
                let refold = ledger.receive(late.clone(), &expected).expect("possible").refold;
                let Some(mut refold) = refold else { continue };
                give_history_on(&world.floors, &mut refold, &world.log);
                while refold.slice(5) {}
                prop_assert!(matches!(ledger.finish(refold), Finish::Swapped(..)));
                ledger.state().check();
                taken.push(ledger.state().digest());
            }
            prop_assert!(taken.is_empty() || taken[0] == taken[1]);
        }
    }

    /// A ledger with a log, which goes through random events.
    struct Busy {
        ledger: Ledger,
        log: Vec<Op>,
        durable: State,
        gathering: Vec<Op>,
        picks: Vec<u8>,
        at: usize,
        floors_come: bool,
        pinned: Option<Pinned>,
        /// All established floors.
        floors: Vec<u64>,
    }

    impl Busy {
        fn new(picks: Vec<u8>) -> Self {
            let (ledger, durable, log) = (Ledger::new(BUSY, State::new()), State::new(), Vec::new());
            let (pinned, floors) = (None, Vec::new());
            Self { ledger, log, durable, gathering: Vec::new(), picks, at: 0, floors_come: false, pinned, floors }
        }

        /// What a start finds if it reads no op above the floor.
        fn past(&self) -> Past {
            Past::new(self.ledger.state().clone(), self.ledger.floor())
        }

        fn pick(&mut self) -> u8 {
            self.at += 1;
            self.picks[self.at % self.picks.len()]
        }

        /// Makes all gathered ops durable.
        fn settle(&mut self) {
            let after = self.ledger.cut().after().clone();
            self.log.append(&mut self.gathering);
            self.durable = after;
        }

        /// Random events while a refold is underway.
        fn happen(&mut self) {
            match self.pick() % 8 {
                0..4 => {
                    let n = self.at;
                    let command = CommandId((n as u128).to_be_bytes());
                    if let Ok(Submission::Made(op)) = self.ledger.submit(command, &user(&format!("own{n}"))) {
                        self.gathering.push(op);
                    }
                }
                4 => self.settle(),
                5 if self.pick() < 32 => {
                    self.gathering.clear();
                    self.ledger.reset(&self.durable);
                    assert_eq!(self.ledger.state().digest(), fold_on(&self.floors, &self.log).digest());
                }
                _ => {}
            }
        }

        /// Gives the ops of one origin until they are durable.
        fn bring(&mut self, line: &[Op]) {
            while self.ledger.state().seen(line[0].id.origin) < line.len() as u64 {
                let from = self.ledger.state().seen(line[0].id.origin) as usize;
                if !self.ledger.has_place_for(&line[from]) {
                    self.ledger.reopen();
                    self.pinned = None;
                    if !self.ledger.has_place_for(&line[from]) {
                        break;
                    }
                }
                let len = usize::from(self.pick()) % 12 + 1;
                self.give(line[from..].iter().take(len).cloned().collect());
                self.happen();
                if self.pick() < 128 {
                    self.settle();
                    self.ledger.settle(&self.durable.clone());
                }
                if self.floors_come {
                    self.go_on_with_floor();
                }
            }
            self.settle();
        }

        /// A step on the way to the next floor.
        fn go_on_with_floor(&mut self) {
            let behind = usize::from(self.pick()) % 20;
            let Some(pinned) = self.pinned.take() else {
                let lamport = self.ledger.lamport_behind(behind);
                let pinning = lamport.and_then(|lamport| self.ledger.pin(lamport, &self.durable));
                if let Some(mut pinning) = pinning {
                    while pinning.slice(5) {
                        self.happen();
                    }
                    self.pinned = Some(pinning.finish());
                }
                return;
            };
            match behind {
                0..10 => drop(self.ledger.close_below(&pinned)),
                _ => return self.establish(&pinned),
            }
            self.pinned = Some(pinned);
        }

        fn establish(&mut self, pinned: &Pinned) {
            let Some(mut refold) = self.ledger.establish(pinned, &self.durable) else {
                return assert_ne!(self.ledger.version_at(pinned.mark.lamport), Some(pinned.vector.clone()));
            };
            loop {
                while refold.slice(5) {
                    self.happen();
                }
                refold.narrow();
                (0..self.pick() % 8).for_each(|_| self.happen());
                match self.ledger.finish(refold) {
                    Finish::Swapped(..) => break,
                    Finish::Behind(behind) => refold = behind,
                    Finish::Void(_) => return,
                    Finish::Impossible(_) => panic!("trackers made them"),
                }
            }
            self.floors.push(pinned.mark.lamport);
            assert_eq!(self.ledger.floor(), ReachedFloor { mark: pinned.mark, ops: pinned.base.op_count() });
            (0..self.pick() % 8).for_each(|_| self.happen());
            self.settle();
            assert_eq!(self.ledger.version_at(pinned.mark.lamport), Some(version(&pinned.base)));
        }

        fn give(&mut self, ops: Vec<Op>) {
            let mut receipt = self.ledger.receive(ops, &self.durable).expect("possible");
            self.gathering.append(&mut receipt.taken);
            let Some(mut refold) = receipt.refold else { return };
            give_history_on(&self.floors, &mut refold, &self.log);
            loop {
                while refold.slice(5) {
                    self.happen();
                }
                refold.narrow();
                (0..self.pick() % 8).for_each(|_| self.happen());
                match self.ledger.finish(refold) {
                    Finish::Swapped(mut late, _) => return self.gathering.append(&mut late),
                    Finish::Behind(behind) => refold = behind,
                    Finish::Void(_) => return,
                    Finish::Impossible(_) => panic!("trackers made them"),
                }
            }
        }
    }

    fn version(state: &State) -> Vec<Seen> {
        state.version().map(|(origin, seq)| Seen { origin, seq }).collect()
    }

    /// Ops of one origin, with these Lamport counters.
    fn accounts(origin: Origin, lamports: impl Iterator<Item = u64>) -> Vec<Op> {
        let account = |(seq, lamport): (u64, u64)| Op {
            id: OpId { origin, seq },
            lamport,
            command: CommandId((u128::from(origin.tracker) << 64 | u128::from(seq)).to_be_bytes()),
            body: OpBody::CreateUser {
                name: UserId::parse(&format!("u{}x{seq}", origin.tracker)).expect("a name"),
                password: PasswordHash("p".into()),
            },
        };
        (1..).zip(lamports).map(account).collect()
    }

    #[test]
    fn the_latest_ops_stay_in_the_window_and_late_ones_among_them_need_no_log() {
        let log = accounts(THERE, 1..=1000);
        let mut ledger = Ledger::new(HERE, State::new());
        take(&mut ledger, &log);
        ledger.settle(&fold(&log));
        let late = |tracker, lamport| accounts(Origin { tracker, incarnation: 1 }, std::iter::once(lamport));
        let mut needs_log = |tracker, lamport| {
            let receipt = ledger.receive(late(tracker, lamport), &fold(&log)).expect("possible");
            receipt.refold.expect("late").needs_history()
        };
        // 4 snapshots of 8 ops, and up to 7 more.
        assert!(!needs_log(3, 1000 - 32));
        assert!(needs_log(4, 1000 - 41));
    }

    #[test]
    fn ops_that_were_folded_in_before_the_window_and_refused_by_the_log_leave_no_trace() {
        let log = accounts(THERE, (1..=200).map(|n| n * 2));
        let durable = fold(&log);
        let mut ledger = Ledger::new(HERE, durable.clone());
        let late = accounts(Origin { tracker: 3, incarnation: 1 }, [3, 5].into_iter());
        take_with(&mut ledger, &late, &log);
        assert_eq!(ledger.state().op_count(), 202);
        ledger.reset(&durable);
        assert_eq!(ledger.state().digest(), durable.digest());
        // The window must not have folded the late ops either.
        let again = accounts(Origin { tracker: 4, incarnation: 1 }, [399].into_iter());
        take_with(&mut ledger, &again, &log);
        assert_eq!(ledger.state().digest(), fold(&[log.clone(), again.clone()].concat()).digest());
        // Two late ops below the window in a row, neither of them durable.
        take_with(&mut ledger, &late[..1], &log);
        take_with(&mut ledger, &accounts(Origin { tracker: 5, incarnation: 1 }, [2].into_iter()), &log);
        assert_eq!(ledger.state().op_count(), 203);
    }
}
