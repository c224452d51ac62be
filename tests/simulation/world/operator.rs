//! What operators do: they have all trackers forget one, and take it back.

use super::{World, brief};
use groupshare::model::op::OpBody;

impl World {
    /// An operator has all forget a tracker, or take it back. There is one more number than there are trackers.
    pub(super) fn operate(&mut self) {
        let Some(t) = self.some_running() else { return };
        let gone: Vec<u16> = self.durable(t).forgotten().collect();
        let back = self.dice.pick(&gone).filter(|_| self.dice.percent(50));
        let forget = back.is_none();
        let number = back.unwrap_or_else(|| self.dice.below(self.trackers.len() + 1) as u16 + 1);
        if number == self.trackers[t].number {
            return;
        }
        self.say_of(t, number, forget);
    }

    /// The operator of a tracker has all forget another one, or take it back; whether that changes anything.
    pub(super) fn say_of(&mut self, t: usize, number: u16, forget: bool) -> bool {
        let body = if forget {
            OpBody::ForgetTracker { tracker: number }
        } else {
            OpBody::UnforgetTracker { tracker: number }
        };
        let changes = self.trackers[t].operate(body);
        if changes {
            say!(self, "{}: tracker {number} is {}", t + 1, if forget { "forgotten" } else { "taken back" });
            *(if forget { &mut self.census.forgotten } else { &mut self.census.taken_back }) += 1;
        }
        changes
    }

    /// Whether a tracker lets go of another one.
    pub(super) fn has_forgotten(&self, here: usize, there: usize) -> bool {
        self.durable(here).is_forgotten(self.trackers[there].number)
    }

    /// A tracker ends its connections with those that are forgotten.
    pub(super) fn let_go(&mut self, t: usize) {
        for (conn, side) in self.ends() {
            let [here, there] = [side, 1 - side].map(|side| self.of(conn)[side]);
            if here == t && self.has_forgotten(here, there) {
                say!(self, "{}: ends a connection with {}, which is forgotten", here + 1, there + 1);
                self.census.let_go += 1;
                self.close((conn, side));
            }
        }
    }

    /// Every tracker that is still forgotten somewhere is taken back; whether there was one.
    pub(super) fn take_back(&mut self) -> bool {
        let count = self.trackers.len() as u16;
        let mut found = false;
        for tracker in self.trackers.iter_mut() {
            let Some(run) = &tracker.run else { continue };
            let state = run.ledger.state().clone();
            for number in state.forgotten().filter(|number| *number <= count) {
                found |= tracker.operate(OpBody::UnforgetTracker { tracker: number });
            }
        }
        found
    }
}
