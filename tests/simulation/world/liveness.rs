//! When all is well, floors come.

use super::{World, brief};
use groupshare::model::op::OpBody;
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::tracker::floor::rules::{FloorStep, Standstill};

impl World {
    /// With all connected and changes enough, there is another floor everywhere. Where trackers have promised what
    /// excludes each other there is none before one of them is forgotten.
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
        let (a, b) = self.excluding().expect("a floor comes if nothing is in its way");
        say!(self, "{} and {} have promised what excludes each other", a + 1, b + 1);
        self.census.excluded += 1;
        self.let_go_for_good(a, b);
        assert!(self.common_floor() > before, "no floor comes, also with one tracker forgotten");
    }

    /// A tracker that never was was forgotten and taken back: all wait for it until it is forgotten again.
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

    /// The floor on which all stand.
    fn common_floor(&self) -> FloorMark {
        let floor = self.trackers[0].disk.floor();
        for tracker in &self.trackers {
            assert_eq!(tracker.disk.floor(), floor, "{} stands on another floor", tracker.number);
        }
        floor
    }

    /// Changes that make another floor due.
    fn make_changes(&mut self) {
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

    /// Two trackers of which an operator is told that they have promised floors which exclude each other.
    fn excluding(&self) -> Option<(usize, usize)> {
        self.running().into_iter().find_map(|t| match self.next_step(t, None) {
            FloorStep::Wait(Standstill::Contradiction([a, b])) => Some((usize::from(a) - 1, usize::from(b) - 1)),
            _ => None,
        })
    }

    /// An operator has all forget a tracker until there is another floor, and then takes it back.
    fn let_go_for_good(&mut self, gone: usize, by: usize) {
        self.forgets = true;
        let body = OpBody::ForgetTracker { tracker: self.trackers[gone].number };
        assert!(self.trackers[by].operate(body), "it is not forgotten");
        self.settle();
        self.make_changes();
        self.forgets = false;
        self.settle();
    }
}
