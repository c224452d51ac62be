//! The ledger: every op that a tracker has taken, durable or not, in the total order. Pure.

pub mod accept;
mod past;
mod window;

pub use past::Past;

use crate::model::id::{CommandId, OpId, Origin};
use crate::model::op::{Op, OpBody};
use crate::tracker::ledger::accept::{Acceptance, Change, accept};
use crate::tracker::state::State;
use crate::tracker::state::difference::{Affected, effects_between};
use crate::tracker::state::effect::Effect;
use crate::wire::refusal::{Code, Refusal};
use std::collections::HashMap;
use window::Window;

/// The largest allowed gap between an op's counter and the highest one seen. A counter gone wild at another tracker
/// cannot use up the numbers.
const LEAP_MAX: u64 = 1 << 32;

/// What became of a change.
#[derive(Debug)]
pub enum Submission {
    /// The command was carried out before, by this op.
    Known(OpId),
    /// Things are as wanted already.
    Already,
    /// This op makes it.
    Made(Op),
}

/// What became of ops of other trackers.
#[derive(Debug)]
pub enum Receipt {
    /// These were not known, and were taken.
    Taken(Vec<Op>),
    /// The place of one of these lies before the window. The ledger takes them once it is given all durable ops.
    TooLate(Vec<Op>),
}

/// What the ops taken since the last cut mean.
#[derive(Debug, Default)]
pub struct Meaning {
    /// What single users are told, by the ids that are canonical now.
    pub effects: Vec<Effect>,
    /// One of them comes before an op that was known. Anything may be different from before then.
    pub late: bool,
    /// Ids may have other aliases than before.
    pub aliased: bool,
}

/// The ledger of one tracker.
///
/// Invariants: `state` is the fold of all ops taken, in their total order; own ops have sequences without a gap.
pub struct Ledger {
    origin: Origin,
    state: State,
    window: Window,
    /// What has come since the last [`Ledger::cut`].
    since_cut: SinceCut,
}

/// What has come since a state.
struct SinceCut {
    since: State,
    /// What each op has caused, while all come in order.
    effects: Vec<Effect>,
    /// Set once an op came late: what the ops that were folded again can affect.
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
        let (state, window) = past.into().into_parts();
        Self { origin, window, since_cut: SinceCut::new(state.clone()), state }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes a change, unless its command was carried out before.
    ///
    /// # Errors
    /// Those of [`accept()`].
    pub fn submit(&mut self, command: CommandId, change: &Change) -> Result<Submission, Refusal> {
        if let Some(first) = self.state.command(change.owner(), command) {
            return Ok(Submission::Known(first));
        }
        let body = match accept(&self.state, change)? {
            Acceptance::Op(body) => body,
            Acceptance::Already => return Ok(Submission::Already),
        };
        Ok(Submission::Made(self.make(command, body)))
    }

    /// Makes a change of this tracker itself, behind which no client stands.
    pub fn submit_own(&mut self, body: OpBody) -> Submission {
        let already = match body {
            OpBody::ForgetTracker { tracker } => self.state.is_forgotten(tracker),
            OpBody::UnforgetTracker { tracker } => !self.state.is_forgotten(tracker),
            _ => false,
        };
        if already { Submission::Already } else { Submission::Made(self.make(CommandId::NONE, body)) }
    }

    fn make(&mut self, command: CommandId, body: OpBody) -> Op {
        // What comes next follows from the state, so that a sequence is used again if its op was taken back.
        let id = OpId { origin: self.origin, seq: self.state.seen(self.origin) + 1 };
        let op = Op { id, lamport: self.state.lamport() + 1, command, body };
        self.append(op.clone(), 0);
        op
    }

    /// Folds an op that comes after all others; `followed_by` others are about to follow it.
    fn append(&mut self, op: Op, followed_by: usize) {
        self.state.apply(&op);
        if self.since_cut.late.is_none() {
            self.since_cut.effects.extend_from_slice(self.state.caused());
        }
        self.window.push(op, &self.state, followed_by);
    }

    /// Takes those ops of other trackers that are new and leave no gap. Returns them in the order in which they came.
    /// Only an op whose place lies before the window needs `all`: every op that was durable at a time since which
    /// nothing was settled.
    ///
    /// # Errors
    /// `Malformed` if no tracker can have issued such ops. Then nothing was taken.
    pub fn receive(&mut self, ops: Vec<Op>, all: Option<Vec<Op>>) -> Result<Receipt, Refusal> {
        let ops = self.unknown(ops);
        let highest = self.state.lamport().saturating_add(LEAP_MAX);
        if ops.iter().any(|op| op.lamport > highest) {
            return Err(impossible());
        }
        let mut last = self.state.last();
        let in_order = ops.iter().all(|op| last.replace(op.order()).is_none_or(|last| last < op.order()));
        if in_order {
            ops.iter().for_each(|op| self.append(op.clone(), 0));
            return Ok(Receipt::Taken(ops));
        }
        let before = self.state.clone();
        let first = ops.iter().map(Op::order).min().expect("something came late");
        let again = match all {
            _ if self.window.reaches(first) => {
                let (state, again) = self.window.open(&ops, first);
                self.state = state;
                again
            }
            Some(all) => self.reopen(&ops, all),
            None => return Ok(Receipt::TooLate(ops)),
        };
        let affected = self.since_cut.late.get_or_insert_default();
        again.iter().for_each(|op| affected.note(op));
        let ascend = again.windows(2).all(|pair| pair[0].order() < pair[1].order());
        let count = again.len();
        again.into_iter().zip(1..).for_each(|(op, number)| self.append(op, count - number));
        if !ascend || self.state.op_count() != before.op_count() + ops.len() as u64 {
            // Two in one place, or those of one origin in another order than that of their sequences.
            self.window.retain(&before);
            self.state = before;
            return Err(impossible());
        }
        Ok(Receipt::Taken(ops))
    }

    /// What the ops mean that have come since the last cut; `ops` are all of them.
    pub fn cut(&mut self, ops: &[Op]) -> Meaning {
        let SinceCut { since, effects, late } =
            std::mem::replace(&mut self.since_cut, SinceCut::new(self.state.clone()));
        match late {
            None => {
                let aliased = since.alias_count() != self.state.alias_count();
                Meaning { effects, late: false, aliased }
            }
            Some(mut affected) => {
                ops.iter().for_each(|op| affected.note(op));
                Meaning { effects: effects_between(&since, &self.state, affected), late: true, aliased: true }
            }
        }
    }

    fn unknown(&self, ops: Vec<Op>) -> Vec<Op> {
        let mut seen: HashMap<Origin, u64> = HashMap::new();
        let mut unknown = ops;
        unknown.retain(|op| {
            let seen = seen.entry(op.id.origin).or_insert_with(|| self.state.seen(op.id.origin));
            let next = op.id.seq == *seen + 1;
            *seen += u64::from(next);
            next
        });
        unknown
    }

    /// Begins the fold again. Returns all ops in order: the durable ones, those in the window, and these.
    fn reopen(&mut self, late: &[Op], durable: Vec<Op>) -> Vec<Op> {
        self.state = State::new();
        let window = std::mem::replace(&mut self.window, Window::new(State::new()));
        let mut all = durable;
        all.extend(window.into_ops());
        all.extend_from_slice(late);
        // Stable, which is quick with rows that ascend already, and keeps what was known where a place is taken twice.
        all.sort_by_key(Op::order);
        all.dedup_by_key(|op| op.order());
        all
    }

    /// Takes back every op that is not part of the durable state.
    pub fn reset(&mut self, durable: &State) {
        self.window.retain(durable);
        self.state = durable.clone();
        self.since_cut = SinceCut::new(durable.clone());
    }

    /// Takes note of what has become durable. The window lets go of its oldest durable ops.
    pub fn settle(&mut self, durable: &State) {
        self.window.trim(durable);
    }
}

fn impossible() -> Refusal {
    Refusal::about(Code::Malformed, "changes that no tracker can have made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{GroupRef, ShareRef, UserRef};
    use crate::model::name::{FileName, GroupId, UserId};
    use crate::model::op::PasswordHash;
    use crate::tracker::state::effect::Told;
    use crate::tracker::state::tests::{content, histories};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const HERE: Origin = Origin { tracker: 1, incarnation: 1 };
    const THERE: Origin = Origin { tracker: 2, incarnation: 7 };

    fn take(ledger: &mut Ledger, ops: &[Op]) -> Vec<Op> {
        take_with(ledger, ops, &[])
    }

    fn take_with(ledger: &mut Ledger, ops: &[Op], all: &[Op]) -> Vec<Op> {
        match ledger.receive(ops.to_vec(), Some(all.to_vec())).expect("possible") {
            Receipt::Taken(taken) => taken,
            Receipt::TooLate(_) => panic!("all ops were there"),
        }
    }

    fn user(name: &str) -> Change {
        Change::CreateUser { name: UserId::parse(name).expect(name), password: PasswordHash("p".into()) }
    }

    /// A change that is not refused and had not been made.
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
        // Both sides give the name away; tracker 1 wins, since the counters are equal.
        let ours = make(&mut here, 2, &group("lab"));
        let theirs = [make(&mut there, 3, &group("lab")), make(&mut there, 4, &group("late"))];
        there.cut(&theirs);
        let received = take(&mut there, std::slice::from_ref(&ours));
        let meaning = there.cut(&received);
        assert!(meaning.late);
        let renamed = meaning.effects.iter().any(|effect| matches!(effect.what, Told::Noticed { .. }));
        assert!(
            renamed && meaning.effects.contains(&Effect { to: alice, what: Told::Joined { group: GroupRef(ours.id) } })
        );
        // A gap is passed over, what is known too.
        assert!(take(&mut here, &theirs[1..]).is_empty());
        assert_eq!(take(&mut here, &theirs), theirs);
        assert!(take(&mut here, &theirs).is_empty());
        assert_eq!(here.state().digest(), there.state().digest());
        assert_eq!(here.state().group_name(GroupRef(theirs[0].id)), GroupId::parse("lab~2").ok());
    }

    #[test]
    fn a_command_repeated_elsewhere_is_not_carried_out_again() {
        let (mut here, mut there) = (Ledger::new(HERE, State::new()), Ledger::new(THERE, State::new()));
        let first = make(&mut here, 1, &user("alice"));
        take(&mut there, std::slice::from_ref(&first));
        let again = there.submit(CommandId([1; 16]), &user("alice")).expect("known");
        assert!(matches!(again, Submission::Known(id) if id == first.id));
    }

    /// Alice repeats two commands here that were carried out there, where she has gone on since.
    #[test]
    fn what_a_repeated_command_made_here_is_told_as_what_the_first_made() {
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
        // So that all of this comes later in the order.
        (10..20).for_each(|n| drop(make(&mut here, n, &user(&format!("u{n}")))));
        for (n, change) in [(2, create("left")), (3, create("kept")), (4, share("kept"))] {
            make(&mut here, n, &change);
        }
        here.cut(&[]);
        let first = take(&mut here, &first);
        let told = here.cut(&first).effects;
        let has = |what: Told| told.contains(&Effect { to: alice, what });
        assert!(has(Told::Departed { group: GroupRef(first[0].id) }), "{told:?}");
        assert!(has(Told::KeyChanged { group: GroupRef(first[1].id) }), "the key is made of the id: {told:?}");
        assert!(has(Told::ShareEnded { share: ShareRef(first[2].id) }), "{told:?}");
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let mut ledger = Ledger::new(HERE, State::new());
        make(&mut ledger, 1, &user("alice"));
        let durable = ledger.state().clone();
        let mut there = Ledger::new(THERE, State::new());
        let early = make(&mut there, 9, &user("zoe"));
        make(&mut ledger, 2, &user("bob"));
        take(&mut ledger, std::slice::from_ref(&early));
        ledger.reset(&durable);
        assert!(ledger.cut(&[]).effects.is_empty());
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
            let refusal = ledger.receive(ops, Some(all.to_vec())).expect_err("is refused");
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
        // Later than the window goes back.
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

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// However ops arrive, in whatever lots, from whichever state on: the outcome is their fold in their order, and
        /// what was told adds up to what there is to know.
        #[test]
        fn any_arrival_leads_to_the_same_state(ops in histories(), picks in proptest::collection::vec(any::<u8>(), 200), known in any::<u8>()) {
            let mut sorted: BTreeMap<_, Op> = ops.into_iter().map(|op| (op.order(), op)).collect();
            // An op behind a gap would be left out for good.
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
            // From a checkpoint somewhere, and what was read behind it.
            let (folded, read) = durable.split_at(usize::from(picks[1]) % (known + 1));
            let mut start = State::new();
            folded.iter().for_each(|op| start.apply(op));
            let mut past = Past::from(start);
            read.iter().for_each(|op| past.apply(op.clone()));
            let mut ledger = Ledger::new(HERE, past);
            let mut members: std::collections::BTreeSet<(GroupRef, UserRef)> = Default::default();
            for lot in arrival[known..].chunks(usize::from(picks[0]) % 5 + 1) {
                let received = take_with(&mut ledger, lot, &durable);
                prop_assert_eq!(&received, lot);
                // What is told goes by the ids that hold by then.
                let state = ledger.state().clone();
                members = members.into_iter().map(|(group, user)| {
                    (GroupRef(state.canonical(group.0)), UserRef(state.canonical(user.0)))
                }).collect();
                for effect in ledger.cut(&received).effects {
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
    }
}
