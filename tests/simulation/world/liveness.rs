//! If all is well, floors come.

use super::{World, brief};
use groupshare::model::op::OpBody;
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::tracker::floor::rules::{FloorStep, Standstill};

impl World {
    /// If all trackers are connected and there are enough changes, another floor comes everywhere.
    pub(super) fn go_on(&mut self) {
        self.forget_nobody();
        let before = self.common_floor();
        for _ in 0..3 {
            self.make_changes();
            if self.common_floor() > before {
                return;
            }
        }
        self.tell_floors();
        panic!("no floor comes, and nothing is in its way");
    }

    /// If trackers have promised floors that exclude each other, no floor comes before one of them is forgotten.
    /// `status` names the two, and an operator forgets one.
    pub(super) fn resolve(&mut self) {
        while let Some(pair) = self.excluding() {
            say!(self, "{} and {} have promised what excludes each other", pair[0] + 1, pair[1] + 1);
            self.tell_floors();
            self.census.excluded += usize::from(self.gone.is_empty());
            let one = pair[self.dice.below(2)];
            self.gone.push(one);
            for t in self.running() {
                if t != one {
                    self.say_of(t, self.trackers[one].number, true);
                }
            }
            self.settle();
        }
        if !self.gone.is_empty() {
            self.make_changes();
            self.gone.clear();
            self.settle();
        }
    }

    /// A tracker that never existed was forgotten and taken back. All wait for it until it is forgotten again.
    fn forget_nobody(&mut self) {
        let number = self.trackers.len() as u16 + 1;
        let state = self.durable(0);
        if state.tracker_numbers().any(|of| of == number) && !state.is_forgotten(number) {
            self.trackers[0].operate(OpBody::ForgetTracker { tracker: number });
        }
        self.settle();
    }

    fn tell_floors(&self) {
        for t in self.running() {
            let state = self.durable(t);
            say!(self, "{}: {:?}", t + 1, self.next_step(t, None));
            let numbers: Vec<u16> = state.tracker_numbers().filter(|&number| !state.is_forgotten(number)).collect();
            say!(self, "{}: {} ops, knows {numbers:?}", t + 1, state.op_count());
            let proposals = state.proposals().map(|(id, floor, by)| ("proposed", id, floor, by));
            for (what, id, floor, by) in
                proposals.chain(state.promises().map(|(id, floor, by)| ("promised", id, floor, by)))
            {
                let FloorProposal { after, mark, participants, .. } = &**floor;
                say!(self, "    {what} {id:?}: {} after {} of {participants:?} by {by:?}", mark.lamport, after.lamport);
            }
        }
    }

    /// The floor of all trackers.
    fn common_floor(&self) -> FloorMark {
        let floor = self.trackers[0].disk.floor();
        for tracker in &self.trackers {
            assert_eq!(tracker.disk.floor(), floor, "{} stands on another floor", tracker.number);
        }
        floor
    }

    /// Makes changes until another floor is due.
    fn make_changes(&mut self) {
        self.let_users_in();
        let due = (self.pace.margin + self.pace.step) as usize;
        let enough = self.ever.len() + due + 1;
        for _ in 0..20 * due {
            if self.ever.len() >= enough {
                break;
            }
            let t = self.some_running().expect("all run");
            self.command(t);
            self.work();
            self.work();
        }
        self.settle();
    }

    /// Two trackers that have promised floors which exclude each other, as an operator hears of them. Forgotten
    /// trackers do not count.
    fn excluding(&self) -> Option<[usize; 2]> {
        let mut asked = self.running().into_iter().filter(|t| !self.gone.contains(t));
        asked.find_map(|t| match self.next_step(t, None) {
            FloorStep::Wait(Standstill::Contradiction(numbers)) => Some(numbers.map(|number| usize::from(number) - 1)),
            _ => None,
        })
    }
}
