//! Everything there is, and what happens to it: one thing after another, as the dice have it.

/// Tells what happens, if anybody wants to know.
macro_rules! say {
    ($world:expr, $($what:tt)*) => {
        if let Some(trace) = &$world.trace {
            trace(&brief(&format!($($what)*)));
        }
    };
}

mod healing;

use super::census::Census;
use super::clients::{Command, Dice, change};
use super::facts::text;
use super::link::{Conn, EndId, Message};
use super::oracle::Shown;
use super::told::{Made, Told};
use super::tracker::{Answer, Tracker, Waiting, Written};
use groupshare::client::picker::split_mix::SplitMix;
use groupshare::model::id::{CommandId, OpId, Origin, Seen};
use groupshare::model::op::Op;
use groupshare::tracker::cluster::version_vector::VersionVector;
use groupshare::tracker::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// Where lines about what happens go.
pub(crate) type Trace = Box<dyn Fn(&str)>;

/// The world.
pub(crate) struct World {
    dice: Dice,
    trace: Option<Trace>,
    trackers: Vec<Tracker>,
    conns: Vec<Conn>,
    /// On which side of a partition each tracker is.
    sides: Vec<usize>,
    commands: Vec<Command>,
    /// Commands, by index, whose client has no answer and may ask again.
    unanswered: Vec<usize>,
    shown: Shown,
    /// Every op that was ever durable.
    ever: BTreeMap<OpId, Op>,
    /// Those that went with a disk, whether or not others have them.
    lost: BTreeSet<OpId>,
    census: Census,
}

impl World {
    /// The world of a seed, with nothing in it but trackers with empty disks.
    pub(crate) fn new(seed: u64, trace: Option<Trace>) -> Self {
        let mut dice = Dice(SplitMix(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        let count = 2 + dice.below(4);
        let tracker = |number| Tracker { number, boots: 0, disk: Vec::new(), run: None };
        let mut world = Self {
            dice,
            trace,
            trackers: (1..).map(tracker).take(count).collect(),
            conns: Vec::new(),
            sides: vec![0; count],
            commands: Vec::new(),
            unanswered: Vec::new(),
            shown: Shown::new(),
            ever: BTreeMap::new(),
            lost: BTreeSet::new(),
            census: Census::default(),
        };
        (0..count).for_each(|t| world.start(t));
        world
    }

    /// Lets things happen, then heals everything and judges.
    pub(crate) fn run(mut self) -> Census {
        if self.dice.percent(75) {
            self.set_the_stage();
        }
        // How busy clients are, and how well the network does, is different from seed to seed.
        let (busy, network) = (10 + self.dice.below(30), 10 + self.dice.below(50));
        for _ in 0..80 + self.dice.below(120) {
            match self.dice.below(busy + network + 50) {
                n if n < busy => self.command(),
                n if n < busy + network => self.carry(),
                n => match n - busy - network {
                    0..15 => self.begin_write(),
                    15..29 => self.end_write(),
                    29..35 => self.dial(),
                    35..38 => self.ask_again(),
                    38..41 => self.repeat(),
                    41..44 => self.start_some(),
                    44..46 => self.break_some(),
                    46..48 => self.partition(),
                    48 => self.crash(),
                    _ => self.compare(),
                },
            }
        }
        self.heal();
        self.judge()
    }

    /// Begins with what is known everywhere, so that all sides of a partition change the same things.
    fn set_the_stage(&mut self) {
        for _ in 0..15 + self.dice.below(25) {
            self.command();
            self.work();
        }
        self.settle();
    }

    fn running(&self) -> Vec<usize> {
        (0..self.trackers.len()).filter(|&t| self.trackers[t].run.is_some()).collect()
    }

    fn some_running(&mut self) -> Option<usize> {
        let running = self.running();
        self.dice.pick(&running)
    }

    fn durable(&self, t: usize) -> &State {
        &self.trackers[t].run.as_ref().expect("it runs").durable
    }

    /// A client issues a new command.
    fn command(&mut self) {
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
        self.commands.push(Command { id, change, acknowledged: false });
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
    fn answer(&mut self, t: usize, n: usize, op: Option<OpId>) {
        if self.dice.percent(10) {
            say!(self, "{}: the answer to command {n} is lost", t + 1);
            return self.unanswered.push(n);
        }
        say!(self, "{}: command {n} is acknowledged, by {op:?}", t + 1);
        self.census.acknowledged += 1;
        if op.is_some() {
            let command = &mut self.commands[n];
            let durable = self.trackers[t].disk.iter().any(|op| op.command == command.id);
            assert!(durable, "acknowledged before it is durable");
            command.acknowledged = true;
        }
    }

    /// A client without an answer asks again, anywhere.
    fn ask_again(&mut self) {
        let Some(t) = self.some_running().filter(|_| !self.unanswered.is_empty()) else { return };
        let n = self.dice.below(self.unanswered.len());
        let n = self.unanswered.swap_remove(n);
        self.submit(t, n);
    }

    /// A command comes once more, anywhere.
    fn repeat(&mut self) {
        let Some(t) = self.some_running().filter(|_| !self.commands.is_empty()) else { return };
        let n = self.dice.below(self.commands.len());
        self.submit(t, n);
    }

    fn begin_write(&mut self) {
        let Some(t) = self.some_running() else { return };
        if self.trackers[t].run.as_ref().is_some_and(|run| run.may_begin()) {
            self.trackers[t].begin();
        }
    }

    fn end_write(&mut self) {
        let Some(t) = self.some_running() else { return };
        let Some(batch) = self.trackers[t].run.as_ref().and_then(|run| run.working.as_ref()) else { return };
        let len = batch.ops.len();
        let written = match self.dice.below(100) {
            0..94 => Written::Kept,
            94..99 => Written::Full,
            _ => Written::Failed(self.dice.below(len + 1)),
        };
        self.finish(t, written);
    }

    fn finish(&mut self, t: usize, written: Written) {
        let late =
            self.trackers[t].run.as_ref().and_then(|run| run.working.as_ref()).is_some_and(|batch| batch.meaning.late);
        self.census.late += usize::from(late && written == Written::Kept);
        self.census.failed_writes += usize::from(written != Written::Kept);
        let (waiting, ops) = self.trackers[t].finish(written);
        say!(self, "{}: written: {written:?}{}", t + 1, if late { ", late" } else { "" });
        for op in ops {
            say!(self, "    {:?} {} {:?}", op.id, op.lamport, op.body);
            self.note_durable(op);
        }
        for Waiting { commands, ends } in waiting {
            for (n, op) in commands {
                if written == Written::Kept {
                    self.answer(t, n, op);
                } else {
                    self.unanswered.push(n);
                }
            }
            for (conn, side) in ends {
                let end = &mut self.conns[conn].ends[side];
                end.waits = false;
                end.refused |= written != Written::Kept;
            }
        }
    }

    fn note_durable(&mut self, op: Op) {
        let known = self.ever.entry(op.id).or_insert_with(|| op.clone());
        assert_eq!(*known, op, "two ops have one name");
    }

    fn start_some(&mut self) {
        let down: Vec<usize> = (0..self.trackers.len()).filter(|&t| self.trackers[t].run.is_none()).collect();
        if let Some(t) = self.dice.pick(&down) {
            self.start(t);
        }
    }

    fn start(&mut self, t: usize) {
        // At random, but different each time.
        let incarnation = (self.dice.below(1 << 10) as u64) << 10 | self.trackers[t].boots;
        self.trackers[t].start(incarnation);
        say!(self, "{}: starts as {incarnation} with {} ops", t + 1, self.trackers[t].disk.len());
        self.trackers[t].disk.clone().into_iter().for_each(|op| self.note_durable(op));
    }

    /// A tracker ends without warning. Of what it was writing any part is on the disk; and at times the disk is lost, or
    /// replaced by an older copy of itself.
    fn crash(&mut self) {
        let Some(t) = self.some_running() else { return };
        self.census.restarts += 1;
        self.end_tracker(t);
        let disk = &mut self.trackers[t].disk;
        let kept = match self.dice.below(10) {
            0 => 0,
            1 => self.dice.below(disk.len() + 1),
            _ => disk.len(),
        };
        let gone = disk.split_off(kept);
        say!(self, "{}: crashes, {} ops are lost with its disk", t + 1, gone.len());
        if !gone.is_empty() {
            self.census.empty_disks += usize::from(kept == 0);
            self.census.older_disks += usize::from(kept > 0);
        }
        self.lost.extend(gone.into_iter().map(|op| op.id));
    }

    fn end_tracker(&mut self, t: usize) {
        let mut run = self.trackers[t].run.take().expect("it runs");
        if let Some(batch) = run.working.take() {
            let kept = self.dice.below(batch.ops.len() + 1);
            for op in &batch.ops[..kept] {
                self.trackers[t].disk.push(op.clone());
            }
            self.unanswered.extend(batch.waiting.commands.into_iter().map(|(n, _)| n));
        }
        self.unanswered.extend(run.gathering.waiting.commands.into_iter().map(|(n, _)| n));
        self.note_shown(run.origin, &run.told);
        for end in self.ends() {
            if self.conns[end.0].ends[end.1].tracker == t {
                self.close(end);
            }
        }
    }

    /// All ends that are open.
    fn ends(&self) -> Vec<EndId> {
        let all = (0..self.conns.len()).flat_map(|conn| [(conn, 0), (conn, 1)]);
        all.filter(|&(conn, side)| self.conns[conn].ends[side].open).collect()
    }

    fn close(&mut self, (conn, side): EndId) {
        self.conns[conn].close(side);
        self.break_off(conn);
    }

    fn break_off(&mut self, conn: usize) {
        let arrives = [0, 1].map(|side| {
            let len = self.conns[conn].ends[side].inbox.len();
            self.dice.below(len + 1)
        });
        self.conns[conn].break_off(arrives);
    }

    fn break_some(&mut self) {
        let ends = self.ends();
        if let Some((conn, _)) = self.dice.pick(&ends) {
            say!(self, "the connection of {} and {} breaks", self.of(conn)[0] + 1, self.of(conn)[1] + 1);
            self.break_off(conn);
        }
    }

    /// Whose a connection is.
    fn of(&self, conn: usize) -> [usize; 2] {
        [0, 1].map(|side| self.conns[conn].ends[side].tracker)
    }

    fn partition(&mut self) {
        let parts = 1 + self.dice.below(3).min(1 + self.dice.below(2));
        for t in 0..self.sides.len() {
            self.sides[t] = self.dice.below(parts);
        }
        say!(self, "the network is {:?}", self.sides);
    }

    fn dial(&mut self) {
        let (Some(a), Some(b)) = (self.some_running(), self.some_running()) else { return };
        if a != b && self.sides[a] == self.sides[b] {
            self.connect(a, b);
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        say!(self, "{} calls {}", a + 1, b + 1);
        self.conns.push(Conn::new([a, b]));
        self.greet((self.conns.len() - 1, 0));
    }

    fn greet(&mut self, (conn, side): EndId) {
        let t = self.conns[conn].ends[side].tracker;
        let seen = self.durable(t).version().map(|(origin, seq)| Seen { origin, seq }).collect();
        self.conns[conn].send(side, Message::Hello(seen));
    }

    /// Something is taken from a connection, or given to one.
    fn carry(&mut self) {
        let ends = self.ends();
        let Some(end) = self.dice.pick(&ends) else { return };
        if self.dice.percent(50) {
            self.take(end);
        } else {
            let count = 1 + self.dice.below(6);
            self.give(end, count);
        }
    }

    /// An end gives some of the ops that the far side lacks; whether there were any.
    fn give(&mut self, (conn, side): EndId, count: usize) -> bool {
        let end = &mut self.conns[conn].ends[side];
        let (disk, cursor) = (&self.trackers[end.tracker].disk, &mut end.cursor);
        let durable = &self.trackers[end.tracker].run.as_ref().expect("ends end with their tracker").durable;
        let Some(far) = &mut end.far else { return false };
        let mut ops = Vec::new();
        while let Some(op) = disk.get(*cursor).filter(|_| ops.len() < count) {
            *cursor += 1;
            if op.id.seq <= durable.seen(op.id.origin) && far.give(op) {
                ops.push(op.clone());
            }
        }
        if ops.is_empty() {
            return false;
        }
        say!(self, "{} gives {} ops to {}", self.of(conn)[side] + 1, ops.len(), self.of(conn)[1 - side] + 1);
        self.conns[conn].send(side, Message::Ops(ops));
        true
    }

    /// An end takes what comes next, if it has come; whether there was something.
    fn take(&mut self, (conn, side): EndId) -> bool {
        let [here, there] = [side, 1 - side].map(|side| self.of(conn)[side]);
        if self.sides[here] != self.sides[there] || self.conns[conn].ends[side].waits {
            return false;
        }
        if self.ask_for_all((conn, side)) {
            return true;
        }
        match self.conns[conn].ends[side].inbox.pop_front() {
            None if self.conns[conn].broken => {
                self.close((conn, side));
                return true;
            }
            // It still has to ask.
            None => return self.conns[conn].ends[side].refused,
            Some(Message::Hello(seen)) => self.enter((conn, side), &seen),
            Some(Message::GiveAgain(seen)) => {
                let end = &mut self.conns[conn].ends[side];
                (end.far, end.cursor) = (Some(VersionVector::new(&seen)), 0);
            }
            Some(Message::Ops(_)) if self.conns[conn].ends[side].refused => {}
            Some(Message::Ops(ops)) => {
                say!(self, "{} takes {} ops from {}", here + 1, ops.len(), there + 1);
                let far = self.conns[conn].ends[side].far.as_mut();
                far.expect("the greeting comes first").note(&ops);
                match self.trackers[here].receive(ops, (conn, side)) {
                    Ok(waits) => self.conns[conn].ends[side].waits = waits,
                    Err(_) => self.conns[conn].ends[side].refused = true,
                }
            }
        }
        true
    }

    /// An end at which ops could not be kept asks for them again, if it can keep them by now; whether it does.
    fn ask_for_all(&mut self, (conn, side): EndId) -> bool {
        let end = &self.conns[conn].ends[side];
        let stuck = self.trackers[end.tracker].run.as_ref().is_some_and(|run| run.stuck);
        if !end.refused || stuck || !self.dice.percent(30) {
            return false;
        }
        let seen = self.durable(end.tracker).version().map(|(origin, seq)| Seen { origin, seq }).collect();
        self.conns[conn].ends[side].refused = false;
        self.conns[conn].send(side, Message::GiveAgain(seen));
        self.census.asked_again += 1;
        true
    }

    /// The far side has said what it has. An older connection with it ends.
    fn enter(&mut self, (conn, side): EndId, seen: &[Seen]) {
        let [here, there] = [side, 1 - side].map(|side| self.of(conn)[side]);
        for old in self.ends() {
            let of = &self.conns[old.0];
            let with = (of.ends[old.1].tracker, of.ends[1 - old.1].tracker);
            // Nothing is ended by a greeting that is still on its way.
            if old.0 != conn && with == (here, there) && of.ends[old.1].far.is_some() {
                self.close(old);
            }
        }
        self.conns[conn].ends[side].far = Some(VersionVector::new(seen));
        if side == 1 {
            self.greet((conn, side));
        }
    }

    /// Two trackers that know the same have the same state.
    fn compare(&mut self) {
        let (Some(a), Some(b)) = (self.some_running(), self.some_running()) else { return };
        let (a, b) = (self.durable(a), self.durable(b));
        if a.version().eq(b.version()) {
            assert_eq!(a.digest(), b.digest(), "the states differ");
        }
    }

    fn note_shown(&mut self, origin: Origin, told: &Told) {
        let told = told.notices().map(|(user, (at, notice))| (origin, user, *at, text(notice)));
        self.shown.extend(told);
    }
}

/// Ids are long in full: `tracker.incarnation.seq` will do.
fn brief(line: &str) -> String {
    let line = line.replace("OpId { origin: Origin { tracker: ", "").replace(", incarnation: ", ".");
    line.replace(" }, seq: ", ".").replace(" })", ")").replace("password: PasswordHash(..)", "..")
}
