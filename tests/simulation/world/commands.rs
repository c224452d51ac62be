//! Clients issue commands anywhere, and ask again after a lost answer.

use super::super::clients::{Command, change};
use super::super::tracker::Answer;
use super::{World, brief};
use groupshare::model::id::{CommandId, OpId, OpOrder, UserRef};
use groupshare::model::op::PasswordHash;
use groupshare::tracker::ledger::accept::Change;

impl World {
    /// A client issues a new command.
    pub(super) fn command(&mut self, t: usize) {
        let durable = self.durable(t).clone();
        let made = self.trackers[t].disk.made().canonical(&durable);
        let n = self.commands.len();
        let change = change(&mut self.dice, &durable, &made, n);
        self.issue(t, change);
    }

    /// A client issues this command. Returns its index.
    fn issue(&mut self, t: usize, change: Change) -> usize {
        let n = self.commands.len();
        // Like random ids, they differ from the first byte on.
        let id = CommandId((n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes());
        self.commands.push(Command { id, change, acknowledged: Vec::new() });
        self.census.commands += 1;
        self.submit(t, n);
        n
    }

    /// A user makes some hundred changes at two trackers. Then the user repeats some of them, and the one that made the
    /// account.
    pub(super) fn haste(&mut self, user: UserRef) {
        let knows = |t: &usize| self.durable(*t).account(user).is_some();
        let knowing: Vec<usize> = self.running().into_iter().filter(knows).collect();
        let own = |command: &Command| command.change.user() == Some(user) || command.acknowledged.contains(&user.0);
        let mut made: Vec<usize> = (0..self.commands.len()).filter(|&n| own(&self.commands[n])).collect();
        let two: Vec<usize> = (0..2).filter_map(|_| self.dice.pick(&knowing)).collect();
        for step in 0..700 {
            let Some(t) = self.dice.pick(&two) else { return };
            match self.dice.pick(&made) {
                Some(n) if self.dice.percent(10) => self.submit(t, n),
                _ => {
                    let password = PasswordHash(format!("hasty password {step}").into());
                    made.push(self.issue(t, Change::ChangePassword { user, former: user.0, password }));
                }
            }
            if step % 100 == 99 {
                self.work();
            }
        }
    }

    fn submit(&mut self, t: usize, n: usize) {
        let (id, change) = (self.commands[n].id, self.commands[n].change.clone());
        if let Change::ReadNotices { user, through, .. } = change {
            self.show(t, user, through);
        }
        if self.higher_floor(t).is_some() {
            say!(self, "{}: command {n} is refused: it takes over a base", t + 1);
            self.census.joining += 1;
            return self.unanswered.push(n);
        }
        let answer = self.trackers[t].submit(n, id, &change);
        match answer {
            Answer::Done(op) => self.answer(t, n, op),
            Answer::Later => say!(self, "{}: command {n} {change:?} is accepted", t + 1),
            Answer::Refused(refusal) => say!(self, "{}: command {n} {change:?} is refused: {refusal}", t + 1),
            Answer::Unavailable => self.unanswered.push(n),
        }
    }

    /// Notes the notices that a tracker shows to a user who will mark them as read.
    fn show(&mut self, t: usize, user: UserRef, through: OpOrder) {
        let run = self.trackers[t].run.as_ref().expect("it runs");
        let mut notices = run.durable.notices(user, usize::MAX);
        notices.retain(|(at, _)| *at <= through);
        if let Some(digest) = run.durable.notices_digest(user, through) {
            let before = self.shown.insert((run.origin, digest), notices.clone());
            assert!(before.is_none_or(|before| before == notices), "one digest names two lists of notices");
        }
    }

    /// A tracker answers. The answer may be lost.
    pub(super) fn answer(&mut self, t: usize, n: usize, op: Option<OpId>) {
        if self.dice.percent(10) {
            say!(self, "{}: the answer to command {n} is lost", t + 1);
            return self.unanswered.push(n);
        }
        say!(self, "{}: command {n} is acknowledged, by {op:?}", t + 1);
        self.census.acknowledged += 1;
        if let Some(op) = op {
            assert!(op.seq <= self.durable(t).seen(op.origin), "acknowledged before it is durable");
            self.commands[n].acknowledged.push(op);
        }
    }

    /// A client without an answer asks again, anywhere.
    pub(super) fn ask_again(&mut self) {
        let Some(t) = self.some_running().filter(|_| !self.unanswered.is_empty()) else { return };
        let n = self.dice.below(self.unanswered.len());
        let n = self.unanswered.swap_remove(n);
        self.submit(t, n);
    }

    /// A command comes once more, at any tracker.
    pub(super) fn repeat(&mut self) {
        let Some(t) = self.some_running().filter(|_| !self.commands.is_empty()) else { return };
        let n = self.dice.below(self.commands.len());
        self.submit(t, n);
    }
}
