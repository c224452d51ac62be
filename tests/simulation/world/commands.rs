//! Clients: they issue commands anywhere, and ask again where an answer is lost.

use super::super::clients::{Command, change};
use super::super::facts::text;
use super::super::told::Made;
use super::super::tracker::Answer;
use super::{World, brief};
use groupshare::model::id::{CommandId, OpId};

impl World {
    /// A client issues a new command.
    pub(super) fn command(&mut self) {
        let Some(t) = self.some_running() else { return };
        let mut made = Made::default();
        self.trackers[t].disk.iter().for_each(|op| made.note(op));
        let durable = self.durable(t).clone();
        let mut made = made.canonical(&durable);
        // A disk that has failed may hold more than is durable.
        made.users.retain(|user| durable.account(*user).is_some());
        made.groups.retain(|group| durable.group_name(*group).is_some());
        let n = self.commands.len();
        let change = change(&mut self.dice, &durable, &made, n);
        let id = CommandId((n as u128 + 1).to_be_bytes());
        self.commands.push(Command { id, change, acknowledged: None });
        self.census.commands += 1;
        self.submit(t, n);
    }

    fn submit(&mut self, t: usize, n: usize) {
        let (id, change) = (self.commands[n].id, self.commands[n].change.clone());
        if let Some(user) = change.user() {
            // Whoever logs in is shown the notices.
            let run = self.trackers[t].run.as_ref().expect("it runs");
            for (at, notice) in run.durable.notices(user, usize::MAX) {
                self.shown.insert((run.origin, user, at, text(&notice)));
            }
        }
        let answer = self.trackers[t].submit(n, id, &change);
        match answer {
            Answer::Done(op) => self.answer(t, n, op),
            Answer::Later => say!(self, "{}: command {n} {change:?} is accepted", t + 1),
            Answer::Refused(refusal) => say!(self, "{}: command {n} {change:?} is refused: {refusal}", t + 1),
            Answer::Unavailable => self.unanswered.push(n),
        }
    }

    /// A tracker answers. The answer may not arrive.
    pub(super) fn answer(&mut self, t: usize, n: usize, op: Option<OpId>) {
        if self.dice.percent(10) {
            say!(self, "{}: the answer to command {n} is lost", t + 1);
            return self.unanswered.push(n);
        }
        say!(self, "{}: command {n} is acknowledged, by {op:?}", t + 1);
        self.census.acknowledged += 1;
        if let Some(op) = op {
            assert!(op.seq <= self.durable(t).seen(op.origin), "acknowledged before it is durable");
            self.commands[n].acknowledged = Some(op);
        }
    }

    /// A client without an answer asks again, anywhere.
    pub(super) fn ask_again(&mut self) {
        let Some(t) = self.some_running().filter(|_| !self.unanswered.is_empty()) else { return };
        let n = self.dice.below(self.unanswered.len());
        let n = self.unanswered.swap_remove(n);
        self.submit(t, n);
    }

    /// A command comes once more, anywhere.
    pub(super) fn repeat(&mut self) {
        let Some(t) = self.some_running().filter(|_| !self.commands.is_empty()) else { return };
        let n = self.dice.below(self.commands.len());
        self.submit(t, n);
    }
}
