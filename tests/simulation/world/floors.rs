//! Floors: trackers agree on them, establish them step by step, and take them over from each other.

use super::super::disk::{Base, Sorted, bytes};
use super::super::link::{BASE_PARTS, EndId, Message};
use super::{World, brief};
use groupshare::model::id::OpId;
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::floor::rules::{FloorStep, FloorView, Standstill};
use groupshare::tracker::ledger::Pinned;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

impl World {
    /// A tracker takes the next step towards a floor. Returns whether there was one.
    pub(super) fn keep_floor(&mut self, t: usize) -> bool {
        let run = self.trackers[t].run.as_ref().expect("it runs");
        if run.stuck {
            return false;
        }
        let keeping = &run.keeping;
        if keeping.durable.is_some() {
            self.trackers[t].stand_on_base();
            say!(self, "{}: stands on floor {}", t + 1, self.trackers[t].disk.floor().lamport);
            self.slips(t, |census| &mut census.crashed_swapped);
            return true;
        }
        if keeping.to_clear {
            self.trackers[t].clear();
            for (conn, side) in self.ends() {
                if self.of(conn)[side] == t {
                    self.conns[conn].ends[side].cursor = 0;
                }
            }
            return true;
        }
        if self.trackers[t].disk.incoming.is_some() {
            return self.start_anew(t);
        }
        (self.higher_floor(t).is_none() && self.trackers[t].note_unplaced()) || self.step(t)
    }

    fn start_anew(&mut self, t: usize) -> bool {
        say!(self, "{}: starts anew", t + 1);
        self.end_tracker(t);
        self.start(t);
        true
    }

    /// A tracker may crash between two steps.
    fn slips(&mut self, t: usize, count: impl Fn(&mut super::Events) -> &mut usize) {
        if self.trackers[t].run.is_some() && self.dice.percent(self.slippery) {
            say!(self, "{}: crashes between two steps", t + 1);
            *count(&mut self.census) += 1;
            self.end_tracker(t);
        }
    }

    /// A connection with the tracker on the highest floor, if that floor is higher than this tracker's.
    pub(super) fn higher_floor(&self, t: usize) -> Option<EndId> {
        let floor = self.trackers[t].run.as_ref().expect("it runs").floor;
        let ends = self.ends().into_iter().filter(|&(conn, side)| self.conns[conn].ends[side].tracker == t);
        let far = |&(conn, side): &EndId| self.conns[conn].ends[side].far_floor();
        ends.filter(|end| far(end) > Some(floor)).max_by_key(far)
    }

    /// Asks the tracker on the highest floor for its base.
    fn want_base(&mut self, t: usize) -> bool {
        let Some((conn, side)) = self.higher_floor(t) else { return false };
        let end = &mut self.conns[conn].ends[side];
        let (mark, asked) = (end.far_floor().expect("it is higher"), end.taking.is_some());
        if !asked {
            end.taking = Some((mark, 0));
            say!(self, "{}: wants the base of floor {}", t + 1, mark.lamport);
            self.conns[conn].send(side, Message::WantBase(mark));
        }
        !asked
    }

    /// Takes the step that the rules demand.
    fn step(&mut self, t: usize) -> bool {
        let highest = self.higher_floor(t).and_then(|(conn, side)| self.conns[conn].ends[side].far_floor());
        let run = self.trackers[t].run.as_mut().expect("it runs");
        let known = (run.durable.op_count(), run.ledger.state().op_count(), run.floor, highest);
        // Nothing has changed since the last wait.
        let waits = run.keeping.waited == Some(known);
        let step = if waits { FloorStep::Wait(Standstill::NotDue) } else { self.next_step(t, highest) };
        let waits = matches!(step, FloorStep::Wait(_));
        self.trackers[t].run.as_mut().expect("it runs").keeping.waited = waits.then_some(known);
        match step {
            FloorStep::Wait(_) => self.want_base(t),
            FloorStep::Yield(floor) => {
                say!(self, "{}: yields to floor {}", t + 1, floor.mark.lamport);
                self.start_anew(t)
            }
            FloorStep::EstablishAlone => self.propose(t, None),
            FloorStep::Propose { participants } => self.propose(t, Some(participants)),
            FloorStep::Ready { proposal, floor } => self.cast(t, &floor, OpBody::ReadyForFloor { proposal }),
            FloorStep::Promise { proposal, floor } => {
                let body = OpBody::PromiseFloor { proposal, floor: floor.clone() };
                self.cast(t, &floor, body)
            }
            FloorStep::Establish(floor) => match self.trackers[t].pin_exactly(&floor) {
                Some(pinned) => {
                    self.census.by_word += usize::from(highest.is_some());
                    self.slips(t, |census| &mut census.crashed_voted);
                    self.trackers[t].run.is_none() || self.keep_base(t, pinned)
                }
                None => false,
            },
        }
    }

    pub(super) fn next_step(&self, t: usize, highest: Option<FloorMark>) -> FloorStep {
        let tracker = &self.trackers[t];
        let run = tracker.run.as_ref().expect("it runs");
        let others = (0..self.trackers.len()).filter(|&other| other != t && self.fates.is_listed(other));
        let listed: BTreeSet<u16> = others.map(number).collect();
        let above = run.durable.op_count() - tracker.disk.base.as_ref().map_or(0, |base| base.state.op_count());
        let behind = |ops: u64| run.ledger.lamport_behind(ops as usize);
        let proposed = run.durable.proposals().find(|(id, ..)| run.keeping.proposed == Some(*id));
        let (proposed, old) = (proposed.map(|(_, floor, _)| floor), behind(2 * (self.pace.margin + self.pace.step)));
        let view = FloorView {
            me: tracker.number,
            listed: &listed,
            state: &run.durable,
            floor: run.floor,
            highest,
            next: behind(self.pace.margin).filter(|_| self.pace.is_due(above, 0)),
            outdated: proposed.is_some_and(|floor| old.is_some_and(|old| floor.mark.lamport <= old)),
            proposed: run.keeping.proposed,
            held: tracker,
        };
        view.step()
    }

    /// A tracker proposes a floor, or establishes it if the tracker is alone.
    fn propose(&mut self, t: usize, participants: Option<Vec<u16>>) -> bool {
        let run = self.trackers[t].run.as_ref().expect("it runs");
        let Some(lamport) = run.ledger.lamport_behind(self.pace.margin as usize) else { return false };
        let Some(pinned) = self.trackers[t].pin(lamport) else { return false };
        let Some(participants) = participants else {
            self.census.alone_floors += 1;
            return self.keep_base(t, pinned);
        };
        let floor = Arc::new(pinned.proposal(participants));
        let op = self.trackers[t].cast(&floor, OpBody::ProposeFloor { floor: floor.clone() });
        let Some(op) = op else { return false };
        say!(self, "{}: proposes floor {lamport} as {:?}", t + 1, op);
        self.census.proposals += 1;
        self.round.get_or_insert_default();
        let keeping = &mut self.trackers[t].run.as_mut().expect("it runs").keeping;
        self.census.replaced += usize::from(keeping.proposed.replace(op).is_some());
        true
    }

    fn cast(&mut self, t: usize, floor: &Arc<FloorProposal>, body: OpBody) -> bool {
        self.trackers[t].cast(floor, body).is_some()
    }

    /// A tracker makes the base of a floor durable. From here on there is no way back.
    fn keep_base(&mut self, t: usize, pinned: Pinned) -> bool {
        if !self.trackers[t].close_below(&pinned) {
            return false;
        }
        say!(self, "{}: its base of floor {} is durable", t + 1, pinned.mark.lamport);
        let base = self.base(t, &pinned);
        let tracker = &mut self.trackers[t];
        tracker.disk.older = tracker.disk.base.replace(base);
        tracker.run.as_mut().expect("it runs").keeping.durable = Some(pinned);
        self.census.floors += 1;
        self.slips(t, |census| &mut census.crashed_based);
        true
    }

    /// The base that a tracker has computed. All trackers must get the same one for this floor, from the same ops.
    fn base(&mut self, t: usize, pinned: &Pinned) -> Rc<Base> {
        let disk = &self.trackers[t].disk;
        assert_eq!(pinned.after, disk.floor(), "it is made for another floor");
        let mut ops = disk.above();
        ops.retain(|op| op.lamport <= pinned.mark.lamport);
        if let Some(base) = self.floors.get(&pinned.mark) {
            assert!(bytes(&base.state) == bytes(&pinned.base), "two bases of one floor");
            assert_eq!(base.ops, ops, "two histories of one floor");
            return base.clone();
        }
        let mut made = disk.base.as_ref().map_or_else(Default::default, |base| base.made.clone());
        ops.iter().for_each(|op| made.note(op));
        let (mark, state, below) = (pinned.mark, pinned.base.clone(), disk.base.clone());
        let base = Rc::new(Base { mark, state, below, ops, made });
        self.check_chain(t, &base);
        self.round = None;
        self.floors.insert(mark, base.clone());
        base
    }

    /// A tracker on a floor goes on from there: no disk has a floor that excludes this one. Exceptions are losses of
    /// disks, and trackers that were forgotten or added.
    fn check_chain(&mut self, t: usize, base: &Base) {
        for other in 0..self.trackers.len() {
            let disk = &self.trackers[other].disk;
            let chained = base.stands_on(disk.floor()) || disk.base.as_ref().is_some_and(|of| of.stands_on(base.mark));
            if other != t && !chained {
                let losses = self.census.wiped + self.census.restored;
                let unknown = self.census.forgotten + self.census.added;
                assert!(losses > 1 || unknown > 0, "{} and {} have floors that exclude each other", t + 1, other + 1);
                say!(self, "{} and {} have floors that exclude each other", t + 1, other + 1);
                self.note_fork();
            }
        }
    }

    /// Notes two floors that exclude each other.
    fn note_fork(&mut self) {
        self.census.forks += 1;
        self.census.forks_by_loss += usize::from(self.census.forgotten + self.census.added == 0);
    }

    /// Whether no disk was ever lost, and all trackers have always known each other.
    pub(super) fn is_sound(&self) -> bool {
        self.lost.is_empty() && self.census.forgotten + self.census.added == 0
    }

    /// An end sends the base that the far side has requested, if its floor is still the same.
    pub(super) fn give_base(&mut self, (conn, side): EndId, floor: FloorMark) {
        let disk = &self.trackers[self.of(conn)[side]].disk;
        match disk.base.clone().filter(|base| base.mark == floor) {
            Some(base) => {
                (0..BASE_PARTS).for_each(|part| self.conns[conn].send(side, Message::Base(base.clone(), part)));
            }
            None => self.conns[conn].send(side, Message::NoBase),
        }
    }

    /// A part of a base comes in at an end. With the complete base the tracker restarts.
    pub(super) fn take_part(&mut self, (conn, side): EndId, base: &Rc<Base>, part: usize) {
        let t = self.of(conn)[side];
        let taking = &mut self.conns[conn].ends[side].taking;
        if *taking != Some((base.mark, part)) {
            return;
        }
        *taking = Some((base.mark, part + 1));
        if part + 1 == BASE_PARTS && base.mark > self.trackers[t].disk.floor() {
            say!(self, "{}: has the base of floor {}", t + 1, base.mark.lamport);
            self.trackers[t].disk.incoming = Some(base.clone());
        }
    }

    /// Before a tracker starts, its folder moves to the base that it takes over, and ops without a place are taken out.
    /// Returns false if the tracker crashes meanwhile.
    pub(super) fn adopt(&mut self, t: usize) -> bool {
        while let Some(Sorted { base, placed, unplaced }) = self.trackers[t].disk.sort_out(number(t)) {
            let before = (self.trackers[t].disk.floor(), self.trackers[t].disk.holds());
            say!(
                self,
                "{}: goes on from floor {}, {} ops have no place",
                t + 1,
                base.as_ref().map_or(0, |b| b.mark.lamport),
                unplaced.len()
            );
            if self.trackers[t].disk.incoming.is_some() {
                self.census.transfers += 1;
            } else {
                self.census.yields += 1;
            }
            self.trackers[t].disk.list(&unplaced);
            self.unplaced.extend(unplaced.iter().map(|op| op.id));
            if self.stumbles(t, |census| &mut census.crashed_listed) {
                return false;
            }
            let disk = &mut self.trackers[t].disk;
            let needed = disk.records.len();
            disk.records.extend(placed);
            if self.stumbles(t, |census| &mut census.crashed_copied) {
                return false;
            }
            let disk = &mut self.trackers[t].disk;
            disk.needed = needed;
            disk.base = base;
            self.check_adopted(t, &before, &unplaced);
            if self.stumbles(t, |census| &mut census.crashed_adopted) {
                return false;
            }
            self.trackers[t].disk.tidy();
        }
        self.trackers[t].disk.tidy();
        true
    }

    fn stumbles(&mut self, t: usize, count: impl Fn(&mut super::Events) -> &mut usize) -> bool {
        let stumbles = self.dice.percent(2 * self.slippery);
        if stumbles {
            say!(self, "{}: crashes before it has started", t + 1);
            *count(&mut self.census) += 1;
        }
        stumbles
    }

    /// Every earlier op of a disk has its place now, or is listed. The exception is an op below the disk's own floor,
    /// if the other floor excludes that floor.
    fn check_adopted(&mut self, t: usize, (floor, before): &(FloorMark, BTreeSet<OpId>), unplaced: &[Op]) {
        let disk = &self.trackers[t].disk;
        let after = disk.holds();
        for op in unplaced {
            assert!(!after.contains(&op.id), "{:?} is listed, and has its place", op.id);
        }
        let base = disk.base.as_ref().map_or(0, |base| base.state.op_count());
        assert_eq!(disk.fold().op_count(), base + disk.above().len() as u64, "an op is not folded");
        let gone = before.difference(&after).filter(|id| !self.unplaced.contains(id));
        let gone: Vec<OpId> = gone.copied().collect();
        if !gone.is_empty() {
            say!(self, "{}: sets its own base aside", t + 1);
            let below = gone.iter().all(|id| self.ever[id].lamport <= floor.lamport);
            assert!(below && !self.is_sound(), "{gone:?} are gone, and nobody says so");
            self.census.set_aside += 1;
            self.note_fork();
            self.lost.extend(gone);
        }
    }
}

fn number(t: usize) -> u16 {
    t as u16 + 1
}
