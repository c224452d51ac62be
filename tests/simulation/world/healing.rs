//! The end of it: everything is healed and comes to rest, and then it is judged.

use super::super::census::Census;
use super::super::link::Conn;
use super::super::oracle::Oracle;
use super::super::tracker::Written;
use super::{World, brief};
use groupshare::model::id::OpId;
use groupshare::model::op::Op;
use groupshare::tracker::state::State;
use std::convert::Infallible;

impl World {
    /// Everything runs and reaches everything, if only through others; until nothing is left to do.
    pub(super) fn heal(&mut self) {
        for t in 0..self.trackers.len() {
            if self.fates.is_alone(t) {
                let own = self.trackers[t].disk.iter().filter(|op| usize::from(op.id.origin.tracker) == t + 1);
                self.census.alone += usize::from(own.count() > 0);
            }
        }
        say!(self, "everything is healed");
        self.fates.heal();
        self.sides.fill(0);
        for t in 0..self.trackers.len() {
            if self.trackers[t].run.as_ref().is_some_and(|run| run.stuck) {
                self.end_tracker(t);
            }
            if self.trackers[t].run.is_none() {
                self.start(t);
            }
        }
        while !self.unanswered.is_empty() && self.dice.percent(90) {
            self.ask_again();
        }
        self.settle();
    }

    /// Carries and writes until there is nothing left to do.
    pub(super) fn settle(&mut self) {
        let running = self.running();
        let tree = self.fates.tree(&mut self.dice, &running);
        for round in 0.. {
            assert!(round < 10_000, "it never ends");
            let mut busy = false;
            for end in self.ends() {
                if self.conns[end.0].ends[end.1].open {
                    let count = 1 + self.dice.below(60);
                    busy |= self.give(end, count);
                    busy |= self.take(end);
                }
            }
            busy |= self.work();
            if !busy && !self.take_back() && !self.mend(&tree) {
                return;
            }
        }
    }

    /// Lets all disks work; whether there was something to do.
    pub(super) fn work(&mut self) -> bool {
        let mut busy = false;
        for t in self.running() {
            let run = self.trackers[t].run.as_ref().expect("it runs");
            if run.working.is_some() {
                self.finish(t, Written::Kept);
                busy = true;
            } else if run.may_begin() {
                self.trackers[t].begin();
                busy = true;
            }
        }
        busy
    }

    /// Connects those who should be connected and are not; whether there were some.
    fn mend(&mut self, tree: &[(usize, usize)]) -> bool {
        let sound = |conn: &Conn| !conn.broken && conn.ends.iter().all(|end| end.open && end.far.is_some());
        let sound: Vec<[usize; 2]> =
            (0..self.conns.len()).filter(|&conn| sound(&self.conns[conn])).map(|conn| self.of(conn)).collect();
        let lacking = tree.iter().filter(|&&(a, b)| !sound.contains(&[a, b]) && !sound.contains(&[b, a]));
        let lacking: Vec<_> = lacking.copied().collect();
        lacking.iter().for_each(|&(a, b)| self.connect(a, b));
        !lacking.is_empty()
    }

    /// What has to hold at the end.
    pub(super) fn judge(mut self) -> Census {
        let runs: Vec<_> = self.trackers.iter_mut().map(|tracker| tracker.run.take().expect("it runs")).collect();
        for run in &runs {
            run.told.check_notices(&run.durable);
        }
        // The whole history is kept here: of it, this is what the trackers still have.
        let exists = |op: &&Op| runs.iter().any(|run| op.id.seq <= run.durable.seen(op.id.origin));
        let mut ops: Vec<&Op> = self.ever.values().filter(exists).collect();
        ops.sort_by_key(|op| op.order());
        assert!(ops.windows(2).all(|pair| pair[0].order() < pair[1].order()), "two ops have one place");
        let oracle = Oracle::judge(&ops, &self.shown);
        let expected = bytes(&oracle.state);
        for (run, tracker) in runs.iter().zip(&self.trackers) {
            assert_eq!(run.durable.op_count(), tracker.disk.len() as u64, "an op was written twice");
            assert!(bytes(&run.durable) == expected, "tracker {} has another state", tracker.number);
            assert!(bytes(run.ledger.state()) == expected, "the ledger of {} has another state", tracker.number);
            let again = State::decode(&expected).expect("a state can be read again");
            assert!(bytes(&again) == expected);
        }
        for id in self.ever.keys().filter(|id| oracle.state.seen(id.origin) < id.seq) {
            assert!(self.lost.contains(id), "{id:?} is nowhere, and no disk was lost that had it");
        }
        for command in &self.commands {
            assert_eq!(
                oracle.state.command(command.change.owner(), command.id),
                oracle.model.command(command.id),
                "{:?}",
                command.id
            );
            // What an op has to come to is what the oracle has judged. One that is nowhere went with a disk.
            assert!(command.acknowledged.iter().all(|op| self.ever.contains_key(op)), "it was never durable");
            let is_there = |op: &OpId| op.seq <= oracle.state.seen(op.origin);
            let gone = !command.acknowledged.is_empty() && !command.acknowledged.iter().any(is_there);
            self.census.gone += usize::from(gone);
        }
        self.census.outcomes = oracle.model.outcomes;
        self.census
    }
}

fn bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(()) = state.encode(|part| {
        bytes.extend_from_slice(part);
        Ok::<(), Infallible>(())
    });
    bytes
}
