//! Trackers that agree on floors: every rule, and what happens when a tracker loses its disk, is away or is forgotten.

#![cfg(test)]

use super::*;
use crate::model::id::{CommandId, OpOrder, Origin};
use crate::model::op::{Op, OpBody};
use crate::tracker::floor::placing::{OpPlace, Placing};
use std::collections::BTreeMap;

/// How many of the latest ops stay above a floor.
const MARGIN: usize = 16;

/// A tracker with everything on its disk.
#[derive(Clone)]
struct Tracker {
    origin: Origin,
    listed: BTreeSet<u16>,
    base: State,
    floor: FloorMark,
    /// The ops above the floor.
    ops: BTreeMap<OpOrder, Op>,
    state: State,
    proposed: Option<OpId>,
    outdated: bool,
    /// The highest floor that its links have told.
    highest: Option<FloorMark>,
    unplaced: Vec<OpId>,
}

impl HeldOps for Tracker {
    fn version_at(&self, lamport: u64) -> Option<Vec<Seen>> {
        let mut version: BTreeMap<Origin, u64> = self.base.version().collect();
        let below = self.ops.values().filter(|op| op.lamport <= lamport);
        version.extend(below.map(|op| (op.id.origin, op.id.seq)));
        Some(version.into_iter().map(|(origin, seq)| Seen { origin, seq }).collect())
    }
}

impl Tracker {
    fn new(number: u16, listed: &[u16]) -> Self {
        let (base, state) = (State::new(), State::new());
        Self {
            origin: Origin { tracker: number, incarnation: 1 },
            listed: listed.iter().copied().collect(),
            base,
            floor: FloorMark::default(),
            ops: BTreeMap::new(),
            state,
            proposed: None,
            outdated: false,
            highest: None,
            unplaced: Vec::new(),
        }
    }

    fn number(&self) -> u16 {
        self.origin.tracker
    }

    fn issue(&mut self, body: OpBody) -> OpId {
        let id = OpId { origin: self.origin, seq: self.state.seen(self.origin) + 1 };
        let op = Op { id, lamport: self.state.lamport() + 1, command: CommandId::NONE, body };
        self.state.apply(&op);
        self.ops.insert(op.order(), op);
        id
    }

    /// Takes changes of clients.
    fn work(&mut self, changes: usize) -> OpId {
        let mut last = None;
        for _ in 0..changes {
            last = Some(self.issue(OpBody::UnforgetTracker { tracker: 99 }));
        }
        last.expect("there are some")
    }

    fn forget(&mut self, tracker: u16) {
        self.issue(OpBody::ForgetTracker { tracker });
    }

    fn has(&self, id: OpId) -> bool {
        self.ops.values().any(|op| op.id == id) || id.seq <= self.base.seen(id.origin)
    }

    fn fold(&mut self) {
        self.state = self.base.clone();
        self.ops.values().for_each(|op| self.state.apply(op));
    }

    fn step(&self) -> FloorStep {
        let next = self.behind(MARGIN).filter(|_| self.ops.len() >= 2 * MARGIN);
        let (me, listed, state, floor, outdated) =
            (self.number(), &self.listed, &self.state, self.floor, self.outdated);
        let (highest, proposed) = (self.highest, self.proposed);
        FloorView { me, listed, state, floor, highest, next, proposed, outdated, held: self }.step()
    }

    /// The counter of the op that precedes the last `ops` ones.
    fn behind(&self, ops: usize) -> Option<u64> {
        let mut last = self.ops.values().rev();
        let next = last.clone().nth(ops.checked_sub(1)?)?.lamport;
        last.nth(ops).map(|op| op.lamport.min(next - 1))
    }

    /// The base at a counter, and its mark.
    fn pin(&self, lamport: u64) -> (State, FloorMark) {
        let mut base = self.base.clone();
        self.ops.values().filter(|op| op.lamport <= lamport).for_each(|op| base.apply(op));
        base.prune(lamport);
        let mark = FloorMark { lamport, base: base.digest() };
        (base, mark)
    }

    fn proposal(&self, participants: Vec<u16>) -> FloorProposal {
        let behind = self.behind(MARGIN).expect("due");
        let mark = self.pin(behind).1;
        let vector = self.version_at(behind).expect("all is there");
        FloorProposal { after: self.floor, mark, vector, participants }
    }

    fn propose(&mut self, participants: &[u16]) -> (OpId, Arc<FloorProposal>) {
        let floor = Arc::new(self.proposal(participants.to_vec()));
        let id = self.issue(OpBody::ProposeFloor { floor: Arc::clone(&floor) });
        self.proposed = Some(id);
        (id, floor)
    }

    fn promise(&mut self, (proposal, floor): &(OpId, Arc<FloorProposal>)) {
        self.issue(OpBody::PromiseFloor { proposal: *proposal, floor: Arc::clone(floor) });
    }

    fn establish(&mut self, lamport: u64) {
        (self.base, self.floor) = self.pin(lamport);
        self.ops.retain(|order, _| order.lamport > lamport);
        self.fold();
    }

    /// A start: later ops are of another run.
    fn restart(&mut self) {
        self.origin.incarnation += 1;
        self.proposed = None;
    }

    /// A start on top of a base or beside a promise.
    fn start_on(&mut self, base: State, floor: FloorMark, mut placing: Placing) {
        let ops = std::mem::take(&mut self.ops);
        for (order, op) in ops {
            match placing.place(&op) {
                OpPlace::Known => {}
                OpPlace::Kept => drop(self.ops.insert(order, op)),
                OpPlace::Nowhere => self.unplaced.push(op.id),
            }
        }
        (self.base, self.floor) = (base, floor);
        self.fold();
        self.restart();
    }

    /// Loses its disk.
    fn wiped(&mut self) {
        let incarnation = self.origin.incarnation + 1;
        *self = Self::new(self.number(), &self.listed.iter().copied().collect::<Vec<_>>());
        self.origin.incarnation = incarnation;
    }

    /// Takes the next step. Returns false if there is none.
    fn go_on(&mut self) -> bool {
        match self.step() {
            FloorStep::Wait(_) => return false,
            FloorStep::EstablishAlone => {
                let lamport = self.proposal(Vec::new()).mark.lamport;
                self.establish(lamport);
            }
            FloorStep::Propose { participants } => drop(self.propose(&participants)),
            FloorStep::Ready { proposal, floor } => {
                assert_eq!(self.pin(floor.mark.lamport).1, floor.mark);
                self.issue(OpBody::ReadyForFloor { proposal });
            }
            FloorStep::Promise { proposal, floor } => {
                assert_eq!(self.pin(floor.mark.lamport).1, floor.mark);
                self.promise(&(proposal, floor));
            }
            FloorStep::Establish(floor) => {
                self.establish(floor.mark.lamport);
                assert_eq!(self.floor, floor.mark);
            }
            FloorStep::Yield(gate) => {
                let (base, floor) = (self.base.clone(), self.floor);
                let placing = Placing::on_promise(&base, &gate);
                self.start_on(base, floor, placing);
            }
        }
        true
    }

    fn receive(&mut self, op: &Op) {
        let gate = self.state.gate().is_some_and(|gate| gate.excludes(op.id, op.lamport));
        if !gate && op.lamport > self.floor.lamport && op.id.seq == self.state.seen(op.id.origin) + 1 {
            self.ops.insert(op.order(), op.clone());
            self.fold();
        }
    }
}

/// What two linked trackers do for each other.
fn meet(a: &mut Tracker, b: &mut Tracker) {
    if a.floor > b.floor {
        return meet(b, a);
    }
    if a.floor < b.floor {
        a.highest = Some(b.floor);
        if !(matches!(a.step(), FloorStep::Establish(_)) && a.go_on()) {
            a.start_on(b.base.clone(), b.floor, Placing::on_base(&b.base, a.floor.lamport));
        }
        a.highest = None;
        assert_eq!(a.floor, b.floor);
    }
    a.ops.values().for_each(|op| b.receive(op));
    b.ops.values().for_each(|op| a.receive(op));
}

/// Keeps all trackers linked until none of them has a step left.
fn settle(trackers: &mut [&mut Tracker]) {
    let mut quiet = 0;
    for _ in 0..60 {
        let mut busy = false;
        for at in 0..trackers.len() {
            busy |= trackers[at].go_on();
            for other in at + 1..trackers.len() {
                let (left, right) = trackers.split_at_mut(other);
                meet(left[at], right[0]);
            }
        }
        // Every tracker must hear of the last step.
        quiet = if busy { 0 } else { quiet + 1 };
        if quiet == 2 {
            return;
        }
    }
    panic!("they do not come to rest");
}

fn agree(trackers: &[&Tracker]) {
    let first = trackers[0];
    for tracker in trackers {
        assert_eq!((tracker.floor, tracker.state.digest()), (first.floor, first.state.digest()));
    }
}

/// Three trackers that list each other and have no ops yet.
fn three() -> [Tracker; 3] {
    [Tracker::new(1, &[2, 3]), Tracker::new(2, &[1, 3]), Tracker::new(3, &[1, 2])]
}

/// Three trackers that have met, each with changes of its own.
fn three_at_work() -> [Tracker; 3] {
    let [mut a, mut b, mut c] = three();
    for tracker in [&mut a, &mut b, &mut c] {
        tracker.work(1);
    }
    settle(&mut [&mut a, &mut b, &mut c]);
    [a, b, c]
}

/// `a` has proposed a floor, and all trackers are ready for it.
fn all_ready() -> ([Tracker; 3], (OpId, Arc<FloorProposal>)) {
    let [mut a, mut b, mut c] = three_at_work();
    a.work(2 * MARGIN);
    meet(&mut a, &mut b);
    meet(&mut a, &mut c);
    let proposal = a.propose(&[1, 2, 3]);
    for tracker in [&mut b, &mut c] {
        meet(&mut a, tracker);
        tracker.issue(OpBody::ReadyForFloor { proposal: proposal.0 });
        meet(&mut a, tracker);
    }
    a.issue(OpBody::ReadyForFloor { proposal: proposal.0 });
    ([a, b, c], proposal)
}

#[test]
fn a_floor_is_the_same_everywhere() {
    let [mut a, mut b, mut c] = three_at_work();
    assert_eq!(a.step(), FloorStep::Wait(Standstill::NotDue));
    for round in 1..5 {
        a.work(2 * MARGIN);
        b.work(3);
        c.work(1);
        let before = a.floor;
        settle(&mut [&mut a, &mut b, &mut c]);
        agree(&[&a, &b, &c]);
        assert!(a.floor > before, "round {round}");
        assert!(a.floor.lamport >= a.state.promised_at() || a.state.promised_at() > before.lamport);
    }
}

#[test]
fn a_lone_tracker_asks_nobody() {
    let mut lone = Tracker::new(1, &[]);
    lone.work(2 * MARGIN);
    assert_eq!(lone.step(), FloorStep::EstablishAlone);
    lone.go_on();
    assert_eq!((lone.ops.len(), lone.floor.lamport), (MARGIN, MARGIN as u64));
    assert_eq!(lone.step(), FloorStep::Wait(Standstill::NotDue));
}

#[test]
fn a_tracker_that_was_never_met_holds_floors_back_until_it_comes_or_is_forgotten() {
    let [mut a, mut b, mut c] = three();
    a.work(2 * MARGIN);
    settle(&mut [&mut a, &mut b]);
    let missing = Standstill::Ready(BTreeSet::from([3]));
    assert_eq!([a.step(), b.step()], [FloorStep::Wait(missing.clone()), FloorStep::Wait(missing)]);
    let (mut with, mut without) = ([a.clone(), b.clone()], [a, b]);
    let [a, b] = &mut with;
    settle(&mut [a, b, &mut c]);
    assert!(with[0].floor > FloorMark::default());
    agree(&[&with[0], &with[1], &c]);
    let [a, b] = &mut without;
    a.forget(3);
    settle(&mut [a, b]);
    assert!(without[0].floor > FloorMark::default());
    agree(&[&without[0], &without[1]]);
}

#[test]
fn the_lowest_number_proposes_and_others_name_the_trackers_they_wait_for() {
    let [mut a, mut b, c] = three_at_work();
    b.work(2 * MARGIN);
    assert_eq!(b.step(), FloorStep::Wait(Standstill::Proposer(1)));
    meet(&mut a, &mut b);
    assert_eq!(a.step(), FloorStep::Propose { participants: vec![1, 2, 3] });
    a.go_on();
    a.go_on();
    meet(&mut a, &mut b);
    assert!(matches!(b.step(), FloorStep::Ready { .. }));
    assert!(b.go_on() && !b.go_on());
    assert_eq!(b.step(), FloorStep::Wait(Standstill::Ready(BTreeSet::from([3]))));
    drop(c);
}

#[test]
fn lists_that_differ_hold_floors_back() {
    let (mut a, mut b) = (Tracker::new(1, &[2]), Tracker::new(2, &[1, 3]));
    a.work(2 * MARGIN);
    settle(&mut [&mut a, &mut b]);
    let trackers = BTreeSet::from([3]);
    assert_eq!(b.step(), FloorStep::Wait(Standstill::NotOnTheirList { proposer: 1, trackers }));
    assert_eq!(a.floor, FloorMark::default());
    a.listed.insert(3);
    assert_eq!(a.step(), FloorStep::Propose { participants: vec![1, 2, 3] }, "the other one came to nothing");
}

#[test]
fn a_proposal_that_comes_to_nothing_is_replaced() {
    let ([mut a, mut b, _], (first, _)) = all_ready();
    let step = a.step();
    assert!(matches!(step, FloorStep::Promise { proposal, .. } if proposal == first), "{step:?}");
    // A late op below the proposal changes the ops there.
    let mut late = Tracker::new(3, &[]);
    late.origin.incarnation = 7;
    late.work(1);
    late.ops.values().for_each(|op| a.receive(op));
    assert_eq!(a.step(), FloorStep::Propose { participants: vec![1, 2, 3] });
    a.go_on();
    meet(&mut a, &mut b);
    assert!(matches!(b.step(), FloorStep::Ready { proposal, .. } if Some(proposal) == a.proposed));
    // A proposal that lies far back is replaced too.
    a.go_on();
    assert!(matches!(a.step(), FloorStep::Wait(Standstill::Ready(_))));
    a.outdated = true;
    assert!(matches!(a.step(), FloorStep::Propose { .. }));
}

#[test]
fn no_floor_lies_below_the_promises_of_the_one_before() {
    let [mut a, mut b, mut c] = three_at_work();
    a.work(2 * MARGIN);
    settle(&mut [&mut a, &mut b, &mut c]);
    let promised = a.state.promised_at();
    assert!(promised > a.floor.lamport);
    let low = a.propose(&[1, 2, 3]);
    assert!(low.1.mark.lamport < promised);
    meet(&mut a, &mut b);
    assert!(!matches!(b.step(), FloorStep::Ready { .. }), "{:?}", b.step());
    a.work(2 * MARGIN);
    assert!(matches!(a.step(), FloorStep::Propose { .. }));
}

#[test]
fn a_proposer_that_was_started_again_does_not_promise_first() {
    let ([mut a, ..], (first, _)) = all_ready();
    a.restart();
    let step = a.step();
    assert!(matches!(step, FloorStep::Propose { .. }), "{step:?}");
    a.go_on();
    assert!(a.state.proposals().all(|(id, ..)| id != first));
}

#[test]
fn a_tracker_takes_no_op_that_a_promise_excludes() {
    let ([mut a, mut b, _], proposal) = all_ready();
    a.promise(&proposal);
    let mut empty = Tracker::new(4, &[]);
    let alone = empty.work(1);
    meet(&mut a, &mut empty);
    assert!(!a.has(alone));
    assert!(empty.state.gate().is_some());
    // The same holds for a tracker that only heard of the promise.
    meet(&mut a, &mut b);
    let mut other = Tracker::new(5, &[]);
    let alone = other.work(1);
    meet(&mut b, &mut other);
    assert!(!b.has(alone));
}

#[test]
fn a_tracker_that_returns_empty_and_takes_changes_before_it_links() {
    let ([mut a, mut b, mut c], _) = all_ready();
    // All have promised; only a has dropped its ops. c returns empty and takes a change at a low counter.
    a.go_on();
    meet(&mut a, &mut b);
    meet(&mut a, &mut c);
    assert!(b.go_on() && c.go_on());
    meet(&mut a, &mut c);
    meet(&mut a, &mut b);
    assert!(matches!(a.step(), FloorStep::Establish(_)));
    a.go_on();
    c.wiped();
    let alone = c.work(1);
    meet(&mut b, &mut c);
    assert!(!b.has(alone), "b has promised");
    settle(&mut [&mut a, &mut b, &mut c]);
    agree(&[&a, &b, &c]);
    assert_eq!((c.unplaced, a.unplaced, b.unplaced), (vec![alone], vec![], vec![]));
}

#[test]
fn an_op_of_a_tracker_that_is_gone_held_by_one() {
    let [mut a, mut b, mut c] = three_at_work();
    let gone = c.work(1);
    meet(&mut b, &mut c);
    a.forget(3);
    a.work(2 * MARGIN);
    // a does not have the op: its first proposal lacks it.
    let (first, floor) = a.propose(&[1, 2]);
    assert!(floor.mark.lamport > 2);
    for op in a.ops.values().cloned().collect::<Vec<_>>() {
        b.receive(&op);
    }
    assert!(!matches!(b.step(), FloorStep::Ready { proposal, .. } if proposal == first), "b holds more");
    settle(&mut [&mut a, &mut b]);
    agree(&[&a, &b]);
    assert!(a.floor > FloorMark::default() && a.has(gone) && a.unplaced.is_empty() && b.unplaced.is_empty());
}

#[test]
fn a_tracker_gives_up_the_ops_that_a_promise_of_others_excludes() {
    let ([mut a, mut b, mut c], proposal) = all_ready();
    // a promises. c has not heard of that, and takes what an empty tracker gives it.
    a.promise(&proposal);
    let mut empty = Tracker::new(4, &[1, 2, 3]);
    let alone = empty.work(1);
    empty.ops.values().for_each(|op| c.receive(op));
    let own = c.work(1);
    assert!(c.has(alone));
    meet(&mut a, &mut b);
    meet(&mut a, &mut c);
    assert!(matches!(c.step(), FloorStep::Yield(_)));
    settle(&mut [&mut a, &mut b, &mut c, &mut empty]);
    agree(&[&a, &b, &c]);
    assert!(a.floor >= proposal.1.mark && a.has(own));
    assert_eq!((c.unplaced, empty.unplaced), (vec![alone], vec![alone]));
}

#[test]
fn a_floor_is_established_on_the_word_of_a_tracker_that_stands_on_it() {
    let ([mut a, mut b, mut c], proposal) = all_ready();
    a.promise(&proposal);
    for tracker in [&mut b, &mut c] {
        meet(&mut a, tracker);
        tracker.go_on();
        meet(&mut a, tracker);
    }
    a.go_on();
    let incarnation = b.origin.incarnation;
    assert!(b.floor < a.floor && a.floor == proposal.1.mark);
    b.highest = Some(a.floor);
    assert_eq!(b.step(), FloorStep::Establish(Arc::clone(&proposal.1)));
    // A floor unknown to it has to come as a whole base. Meanwhile it makes no vote.
    let other = FloorMark { base: [9; 32], ..a.floor };
    b.highest = Some(other);
    assert_eq!(b.step(), FloorStep::Wait(Standstill::TakesBase(other)));
    let mut late = c.clone();
    late.ops.clear();
    late.fold();
    late.highest = Some(a.floor);
    assert_eq!(late.step(), FloorStep::Wait(Standstill::TakesBase(a.floor)));
    meet(&mut a, &mut b);
    assert_eq!((b.floor, b.origin.incarnation), (a.floor, incarnation), "without a base and a start");
}

#[test]
fn a_tracker_that_lost_ops_it_promised_promises_nothing_else() {
    let ([mut a, mut b, mut c], first) = all_ready();
    a.promise(&first);
    meet(&mut a, &mut c);
    c.promise(&first);
    let former = c.clone();
    c.wiped();
    // It hears of another promised floor, and of its own promise. It lacks some of the ops that it promised then.
    b.ops.values().filter(|op| op.lamport <= 2).for_each(|op| c.receive(op));
    let other = Arc::new(FloorProposal {
        after: FloorMark::default(),
        mark: c.pin(2).1,
        vector: c.version_at(2).expect("it has that"),
        participants: vec![1, 2, 3],
    });
    let id = OpId { origin: b.origin, seq: b.state.seen(b.origin) + 1 };
    b.promise(&(id, other));
    let votes = [&former, &b].into_iter().flat_map(|from| from.ops.values());
    let votes: Vec<Op> = votes.filter(|op| matches!(op.body, OpBody::PromiseFloor { .. })).cloned().collect();
    for op in votes {
        c.state.apply(&Op { id: OpId { seq: c.state.seen(op.id.origin) + 1, ..op.id }, ..op });
    }
    assert_eq!(c.state.promises().count(), 2);
    let step = c.step();
    assert!(!matches!(step, FloorStep::Promise { .. } | FloorStep::Ready { .. }), "{step:?}");
}

/// Trackers 1 and 2 have promised floors that exclude each other. Each has an op of a tracker that is gone, and the
/// other lacks it. Trackers that keep their disks do not get into this state.
fn contradiction() -> [Tracker; 3] {
    let [mut a, mut b, mut c] = three_at_work();
    for (number, tracker) in [(8, &mut a), (9, &mut b)] {
        let mut gone = Tracker::new(number, &[]);
        gone.work(1);
        gone.ops.values().for_each(|op| tracker.receive(op));
        tracker.forget(number);
        tracker.work(2 * MARGIN);
    }
    // Each has all ops that the other has issued.
    let own: Vec<Op> = [&a, &b].into_iter().flat_map(|from| from.ops.values().cloned()).collect();
    for (tracker, foreign) in [(&mut a, 9), (&mut b, 8)] {
        own.iter().filter(|op| op.id.origin.tracker != foreign).for_each(|op| tracker.receive(op));
        let proposal = tracker.propose(&[1, 2, 3]);
        tracker.promise(&proposal);
    }
    meet(&mut a, &mut b);
    meet(&mut a, &mut c);
    meet(&mut b, &mut c);
    [a, b, c]
}

#[test]
fn no_tracker_yields_ops_that_it_has_promised() {
    let [a, b, c] = contradiction();
    for (tracker, other) in [(&a, 2), (&b, 1)] {
        assert_eq!(tracker.state.promises().count(), 2);
        let told = Standstill::Contradiction([tracker.number(), other]);
        assert_eq!(tracker.step(), FloorStep::Wait(told));
    }
    // A third tracker yields to the higher one only. Otherwise it would restart forever.
    let gate = c.state.gate().expect("two").clone();
    match c.step() {
        FloorStep::Yield(to) => assert_eq!(to, gate),
        step => assert!(matches!(step, FloorStep::Promise { .. } | FloorStep::Wait(_)), "{step:?}"),
    }
}

/// All disks were restored to copies from before a floor, and one of them later to its state on that floor. That
/// tracker meanwhile hears what the others have promised.
#[test]
fn no_tracker_yields_ops_of_its_base() {
    let [mut a, mut b, c] = three_at_work();
    let mut ahead = c;
    let before = ahead.floor;
    ahead.work(2 * MARGIN);
    ahead.establish(ahead.behind(MARGIN).expect("there are more"));
    for tracker in [&mut a, &mut b] {
        tracker.work(3 * MARGIN);
    }
    let proposal = a.propose(&[1, 2, 3]);
    assert!(proposal.1.after == before && proposal.1.mark.lamport > ahead.floor.lamport);
    b.promise(&proposal);
    let promise = b.ops.values().last().expect("the promise").clone();
    let id = OpId { seq: ahead.state.seen(b.origin) + 1, ..promise.id };
    ahead.receive(&Op { id, ..promise });
    assert_eq!(ahead.state.promises().count(), 1, "it has heard of it");
    let step = ahead.step();
    assert!(!matches!(step, FloorStep::Yield(_)), "{step:?}");
    assert_eq!(ahead.state.gate(), None, "what it has a place for is what others on its floor have a place for");
}

#[test]
fn forgetting_one_of_two_that_exclude_each_other_lets_go_of_its_floor() {
    let [mut a, mut b, mut c] = contradiction();
    let gate = c.state.gate().expect("two").clone();
    settle(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(a.floor, FloorMark::default());
    // The third tracker follows the higher promise. The digests decide which one that is.
    let is_of_b = a.ops.values().any(|op| gate.excludes(op.id, op.lamport));
    let (stays, gone) = if is_of_b { (&mut b, 1) } else { (&mut a, 2) };
    stays.forget(gone);
    settle(&mut [stays, &mut c]);
    agree(&[stays, &c]);
    assert!(c.floor > FloorMark::default());
}

#[test]
fn a_promise_of_a_forgotten_tracker_that_took_its_ops_with_it_blocks_nothing() {
    let [mut a, mut b, mut c] = three_at_work();
    // c has promised a floor with an op that all others have lost.
    c.work(2 * MARGIN);
    let proposal = c.propose(&[1, 2, 3]);
    c.promise(&proposal);
    for tracker in [&mut a, &mut b] {
        let vote = c.ops.values().last().expect("the promise").clone();
        let id = OpId { seq: tracker.state.seen(c.origin) + 1, ..vote.id };
        let vote = Op { id, ..vote };
        tracker.ops.insert(vote.order(), vote);
        tracker.fold();
    }
    a.work(2 * MARGIN);
    settle(&mut [&mut a, &mut b]);
    assert!(matches!(a.step(), FloorStep::Wait(Standstill::Promises { .. })), "{:?}", a.step());
    a.forget(3);
    settle(&mut [&mut a, &mut b]);
    agree(&[&a, &b]);
    assert!(a.floor > FloorMark::default());
}

#[test]
fn a_forgotten_tracker_is_not_asked_and_takes_the_base_when_it_is_taken_back() {
    let [mut a, mut b, mut c] = three_at_work();
    let alone = c.work(1);
    a.forget(3);
    a.work(2 * MARGIN);
    settle(&mut [&mut a, &mut b]);
    assert!(a.floor > FloorMark::default());
    a.issue(OpBody::UnforgetTracker { tracker: 3 });
    settle(&mut [&mut a, &mut b, &mut c]);
    agree(&[&a, &b, &c]);
    assert_eq!(c.unplaced, [alone]);
}

#[test]
fn a_proposer_that_is_gone_after_its_promise_is_not_needed_any_more() {
    let ([mut a, mut b, mut c], proposal) = all_ready();
    a.promise(&proposal);
    meet(&mut a, &mut b);
    settle(&mut [&mut b, &mut c]);
    assert_eq!(b.floor, proposal.1.mark, "its word is there");
    // It returns and goes on.
    settle(&mut [&mut a, &mut b, &mut c]);
    agree(&[&a, &b, &c]);
}
