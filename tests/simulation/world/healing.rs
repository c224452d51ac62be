//! The end of a run: everything is healed and comes to rest, and then it is judged.

use super::super::census::Census;
use super::super::disk::{bytes, note_of};
use super::super::link::Conn;
use super::super::oracle::Oracle;
use super::super::tracker::Written;
use super::{World, brief};
use groupshare::model::id::OpId;
use groupshare::model::op::Op;
use groupshare::tracker::state::{Fate, State};
use std::collections::BTreeSet;

impl World {
    /// All trackers run and reach each other, possibly through others, until nothing is left to do.
    pub(super) fn heal(&mut self) {
        for t in 0..self.trackers.len() {
            if self.fates.is_alone(t) {
                let own = self.trackers[t].disk.records.iter().filter(|op| usize::from(op.id.origin.tracker) == t + 1);
                self.census.alone += usize::from(own.count() > 0);
            }
        }
        say!(self, "everything is healed");
        self.slippery = 0;
        self.add();
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
        self.resolve();
        if self.dice.percent(20) {
            self.go_on();
        }
    }

    /// Carries messages and writes batches until nothing is left to do.
    pub(super) fn settle(&mut self) {
        let mut running = self.running();
        running.retain(|t| !self.gone.contains(t));
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
            if !busy {
                busy = self.keep_floors();
            }
            if !busy && (!self.gone.is_empty() || !self.take_back()) && !self.mend(&tree) {
                return;
            }
        }
    }

    /// For a while everything goes well, as far as the network allows.
    pub(super) fn flow(&mut self) {
        for _ in 0..1 + self.dice.below(6) {
            for end in self.ends() {
                if self.conns[end.0].ends[end.1].open {
                    self.give(end, 20);
                    self.take(end);
                }
            }
            self.work();
            self.keep_floors();
        }
    }

    /// Lets all trackers take their next steps towards a floor. Returns whether there was one.
    fn keep_floors(&mut self) -> bool {
        let mut busy = false;
        for t in self.running() {
            busy |= self.keep_floor(t);
        }
        busy
    }

    /// Lets all disks work. Returns whether there was something to do.
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

    /// Connects trackers that should be connected and are not. Returns whether there were any.
    fn mend(&mut self, tree: &[(usize, usize)]) -> bool {
        let sound = |conn: &Conn| !conn.broken && conn.ends.iter().all(|end| end.open && end.far.is_some());
        let sound: Vec<[usize; 2]> =
            (0..self.conns.len()).filter(|&conn| sound(&self.conns[conn])).map(|conn| self.of(conn)).collect();
        let lacking = tree.iter().filter(|&&(a, b)| !sound.contains(&[a, b]) && !sound.contains(&[b, a]));
        let lacking: Vec<_> = lacking.copied().collect();
        lacking.iter().for_each(|&(a, b)| self.connect(a, b));
        !lacking.is_empty()
    }

    /// Checks everything that must hold at the end.
    pub(super) fn judge(mut self) -> Census {
        let runs: Vec<_> = self.trackers.iter_mut().map(|tracker| tracker.run.take().expect("it runs")).collect();
        for run in &runs {
            run.told.check_notices(&run.durable);
        }
        // This world keeps the whole history. Here is the part that the trackers still have.
        let shown = std::mem::take(&mut self.shown);
        let mut oracle = Oracle::new(&shown);
        let base = self.trackers[0].disk.base.clone();
        base.iter().flat_map(|base| base.chain()).for_each(|base| oracle.judge_floor(base));
        let floor = self.trackers[0].disk.floor();
        let exists = |op: &&Op| runs.iter().any(|run| op.id.seq <= run.durable.seen(op.id.origin));
        let above = self.ever.values().filter(|op| op.lamport > floor.lamport).filter(exists);
        let mut above: Vec<&Op> = above.collect();
        above.sort_by_key(|op| op.order());
        assert!(above.windows(2).all(|pair| pair[0].order() < pair[1].order()), "two ops have one place");
        oracle.judge(&above);
        let expected = bytes(&oracle.state);
        for (run, tracker) in runs.iter().zip(&self.trackers) {
            assert_eq!(tracker.disk.floor(), floor, "tracker {} is on another floor", tracker.number);
            assert_eq!(
                (run.floor, run.ledger.floor().mark),
                (floor, floor),
                "tracker {} is behind itself",
                tracker.number
            );
            assert!(bytes(&run.durable) == expected, "tracker {} has another state", tracker.number);
            assert!(bytes(run.ledger.state()) == expected, "the ledger of {} has another state", tracker.number);
            assert!(bytes(&tracker.disk.fold()) == expected, "the disk of {} has another state", tracker.number);
            let again = State::decode(&expected).expect("a state can be read again");
            assert!(bytes(&again) == expected);
        }
        self.judge_ops(&oracle);
        self.judge_commands(&oracle);
        let outcomes = oracle.model.outcomes;
        Census { events: self.census, outcomes }
    }

    /// Every op that was durable has its effect, or was lost with a disk, or is listed as one without a place.
    fn judge_ops(&mut self, oracle: &Oracle<'_>) {
        let folded: BTreeSet<OpId> = oracle.folded.iter().map(|op| op.id).collect();
        for (id, op) in &self.ever {
            if folded.contains(id) {
                continue;
            }
            assert!(self.lost.contains(id) || self.unplaced.contains(id), "{op:?} is nowhere, and nobody says so");
            assert_eq!(oracle.state.fate(*id), Fate::Unheard, "{op:?} was never folded");
        }
        for op in self.trackers.iter().flat_map(|tracker| &tracker.disk.unplaced) {
            self.census.listed += 1;
            let note = note_of(op);
            let Some((command, change)) =
                note.filter(|(_, change)| oracle.state.account(change.user().expect("it is a user's")).is_some())
            else {
                continue;
            };
            let told = oracle.state.knows_command(change.owner(), command);
            // With more notes than remembered commands, the first ones are no longer known.
            assert!(told || self.hasty || folded.contains(&op.id), "nobody has told the author of {op:?}");
        }
        if self.is_sound() {
            let gone = oracle.model.outcomes.ground_gone + oracle.model.outcomes.orphaned;
            assert_eq!((gone, self.unplaced.len()), (0, 0), "no disk was lost, and something has no place");
        }
    }

    /// Checks the result of every command. The oracle has judged the outcomes of the ops.
    fn judge_commands(&mut self, oracle: &Oracle<'_>) {
        let folded: BTreeSet<OpId> = oracle.folded.iter().map(|op| op.id).collect();
        for command in &self.commands {
            let owner = command.change.owner();
            // A user that logged in under a forgotten id must log in again.
            let is_there = command
                .change
                .user()
                .is_none_or(|user| oracle.model.users.contains_key(&oracle.model.canonical(user.0)));
            if !is_there {
                continue;
            }
            let known = (oracle.state.knows_command(owner, command.id), oracle.state.command(owner, command.id));
            let expected = oracle.model.command(command.id);
            assert_eq!(known, (expected.is_some(), expected.flatten()), "{:?}", command.id);
            assert!(command.acknowledged.iter().all(|op| self.ever.contains_key(op)), "it was never durable");
            let gone = !command.acknowledged.is_empty() && !command.acknowledged.iter().any(|op| folded.contains(op));
            self.census.gone += usize::from(gone);
        }
    }
}
