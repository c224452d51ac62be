//! The whole simulated world, and its random events, one after another.

/// Prints an event, if the run has a trace.
macro_rules! say {
    ($world:expr, $($what:tt)*) => {
        if let Some(trace) = &$world.trace {
            trace(&brief(&format!($($what)*)));
        }
    };
}

mod commands;
mod disks;
mod floors;
mod healing;
mod liveness;
mod network;
mod operator;
mod schemes;

use super::census::{Census, Events};
use super::clients::{Command, Dice};
use super::disk::Base;
use super::fates::Fates;
use super::link::Conn;
use super::model::Shown;
use super::tracker::{Tracker, Waiting, Written};
use groupshare::client::picker::split_mix::SplitMix;
use groupshare::model::id::{OpId, UserRef};
use groupshare::model::op::floor::FloorMark;
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::tracker::state::State;
use schemes::Scheme;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Receives the lines about events.
pub(crate) type Trace = Box<dyn Fn(&str)>;

/// The world.
pub(crate) struct World {
    dice: Dice,
    trace: Option<Trace>,
    trackers: Vec<Tracker>,
    conns: Vec<Conn>,
    /// The first connection that is not closed at both ends.
    oldest: usize,
    /// The side of a partition of each tracker.
    sides: Vec<usize>,
    fates: Fates,
    scheme: Option<Scheme>,
    pace: FloorPace,
    /// How often a tracker crashes between two steps, in percent.
    slippery: usize,
    /// Trackers, by index, that all others have forgotten until there is another floor.
    gone: Vec<usize>,
    /// One user is in haste, and makes more changes than trackers remember.
    hasty: bool,
    commands: Vec<Command>,
    /// How many changes operators have made to accounts and groups.
    managed: u128,
    /// Commands, by index, whose client has no answer and may ask again.
    unanswered: Vec<usize>,
    shown: Shown,
    /// Every op that was ever durable.
    ever: BTreeMap<OpId, Op>,
    /// Ops that were lost with a disk, even if other trackers have them.
    lost: BTreeSet<OpId>,
    /// Ops that some tracker has listed as ones without a place.
    unplaced: BTreeSet<OpId>,
    /// All floors that any tracker has established.
    floors: BTreeMap<FloorMark, Rc<Base>>,
    /// Trackers that have lost a disk since the proposal of a floor that no tracker has yet.
    round: Option<BTreeSet<usize>>,
    census: Events,
}

/// An event that can come next.
#[derive(Debug, Clone, Copy)]
enum Event {
    Command,
    Carry,
    BeginWrite,
    EndWrite,
    Dial,
    AskAgain,
    Repeat,
    Start,
    Break,
    Partition,
    Compare,
    Crash,
    Copy,
    Add,
    Wipe,
    Restore,
    Operate,
    Floor,
    Flow,
}

impl World {
    /// The world of a seed. Its trackers have empty disks.
    pub(crate) fn new(seed: u64, trace: Option<Trace>) -> Self {
        let mut dice = Dice(SplitMix(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        let scheme = match dice.below(100) {
            0..2 => Some(Scheme::Torn),
            2 => Some(Scheme::PutBack),
            _ => None,
        };
        let count = match scheme {
            Some(_) => 3 + dice.below(2),
            None if dice.percent(8) => 1,
            None => 2 + dice.below(4),
        };
        let fates = Fates::new(&mut dice, count);
        // The votes about one floor must not make the next one due.
        let (margin, step) = (dice.below(8) as u64, (2 * count + 2 + dice.below(8)) as u64);
        let pace = FloorPace { margin, step, ..FloorPace::default() };
        let slippery = if dice.percent(40) { 10 } else { 0 };
        let mut world = Self {
            dice,
            trace,
            trackers: (1..).map(Tracker::new).take(count).collect(),
            conns: Vec::new(),
            oldest: 0,
            sides: vec![0; count],
            fates,
            scheme,
            pace,
            slippery,
            gone: Vec::new(),
            hasty: seed % 250 == 77,
            commands: Vec::new(),
            managed: 0,
            unanswered: Vec::new(),
            shown: Shown::new(),
            ever: BTreeMap::new(),
            lost: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            floors: BTreeMap::new(),
            round: None,
            census: Events::default(),
        };
        let listed = (0..count).filter(|&t| world.fates.is_listed(t)).collect::<Vec<_>>();
        listed.into_iter().for_each(|t| world.start(t));
        world
    }

    /// Lets events come, then heals everything and judges.
    pub(crate) fn run(mut self) -> Census {
        if self.dice.percent(75) || self.hasty || self.scheme.is_some() {
            self.set_the_stage();
        }
        if let Some(scheme) = self.scheme {
            self.play(scheme);
        }
        // The activity of clients and the quality of the network differ from seed to seed.
        let (busy, network) = (10 + self.dice.below(30), 10 + self.dice.below(50));
        let losses = if self.hasty {
            0
        } else if self.fates.rough {
            10
        } else {
            1
        };
        let weights = [
            (busy * 10, Event::Command),
            (network * 10, Event::Carry),
            (150, Event::BeginWrite),
            (140, Event::EndWrite),
            (60, Event::Dial),
            (30, Event::AskAgain),
            (30, Event::Repeat),
            (30, Event::Start),
            (20, Event::Break),
            (20, Event::Partition),
            (10, Event::Compare),
            (8, Event::Crash),
            (20, Event::Copy),
            (10, Event::Add),
            (2 * losses, Event::Wipe),
            (3 * losses, Event::Restore),
            (30, Event::Operate),
            (80, Event::Floor),
            (if self.slippery > 0 { 250 } else { 20 }, Event::Flow),
        ];
        let all = weights.iter().map(|(weight, _)| weight).sum();
        let steps = match self.scheme {
            // The result of a scheme must remain to the end.
            Some(_) => self.dice.below(20),
            None if self.slippery > 0 => 180 + self.dice.below(150),
            None => 80 + self.dice.below(150),
        };
        for step in 0..steps {
            if self.hasty && [20, 40, 60].contains(&step) {
                self.make_haste();
            }
            let mut n = self.dice.below(all);
            let event = weights.iter().find(|(weight, _)| {
                let found = n < *weight;
                n = n.saturating_sub(*weight);
                found
            });
            self.happen(event.expect("the weights add up").1);
        }
        self.heal();
        self.judge()
    }

    /// Makes the first user act in haste.
    fn make_haste(&mut self) {
        let mut ever = self.ever.values();
        let first = ever.find(|op| matches!(op.body, OpBody::CreateUser { .. })).map(|op| UserRef(op.id));
        if let Some(user) = first {
            self.haste(user);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Command => self.some_running().into_iter().for_each(|t| self.command(t)),
            Event::Carry => self.carry(),
            Event::BeginWrite => self.begin_write(),
            Event::EndWrite => self.end_write(),
            Event::Dial => self.dial(),
            Event::AskAgain => self.ask_again(),
            Event::Repeat => self.repeat(),
            Event::Start => self.start_some(),
            Event::Break => self.break_some(),
            Event::Partition => self.partition(),
            Event::Compare => self.compare(),
            Event::Crash => self.crash(),
            Event::Copy => self.copy(),
            Event::Add => self.add(),
            Event::Wipe => self.wipe(),
            Event::Restore => self.restore(),
            Event::Operate => self.operate(),
            Event::Flow => self.flow(),
            Event::Floor => {
                if let Some(t) = self.some_running() {
                    self.keep_floor(t);
                }
            }
        }
    }

    /// Begins with changes that are known everywhere, so that all sides of a partition change the same things.
    fn set_the_stage(&mut self) {
        let Some(t) = self.some_running() else { return };
        let slippery = std::mem::take(&mut self.slippery);
        for _ in 0..15 + self.dice.below(25) {
            self.command(t);
            // Begins a write and ends it.
            self.work();
            self.work();
        }
        self.settle();
        self.slippery = slippery;
    }

    fn running(&self) -> Vec<usize> {
        (0..self.trackers.len()).filter(|&t| self.trackers[t].run.is_some()).collect()
    }

    fn some_running(&mut self) -> Option<usize> {
        let running = self.running();
        self.dice.pick(&running)
    }

    fn some_listed(&mut self) -> Option<usize> {
        let listed: Vec<usize> = (0..self.trackers.len()).filter(|&t| self.fates.is_listed(t)).collect();
        self.dice.pick(&listed)
    }

    fn durable(&self, t: usize) -> &State {
        &self.trackers[t].run.as_ref().expect("it runs").durable
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
            // An empty batch needs no write.
            _ if len == 0 => Written::Kept,
            0..91 => Written::Kept,
            91..99 => Written::Full,
            _ => Written::Failed(self.dice.below(len + 1)),
        };
        self.finish(t, written);
    }

    fn finish(&mut self, t: usize, written: Written) {
        let late =
            self.trackers[t].run.as_ref().and_then(|run| run.working.as_ref()).is_some_and(|batch| batch.meaning.late);
        self.census.late += usize::from(late && written == Written::Kept);
        self.census.failed_writes += usize::from(written != Written::Kept);
        let floor = self.trackers[t].run.as_ref().map(|run| run.floor);
        let (waiting, ops) = self.trackers[t].finish(written);
        say!(self, "{}: written: {written:?}{}", t + 1, if late { ", late" } else { "" });
        for op in ops {
            match &op.body {
                OpBody::ProposeFloor { floor } => {
                    say!(self, "    {:?} {} proposes {}", op.id, op.lamport, floor.mark.lamport)
                }
                OpBody::PromiseFloor { proposal, floor } => {
                    say!(self, "    {:?} {} promises {} of {proposal:?}", op.id, op.lamport, floor.mark.lamport);
                }
                body => say!(self, "    {:?} {} {body:?}", op.id, op.lamport),
            }
            let by = usize::from(op.id.origin.tracker) - 1;
            self.census.by_a_third += usize::from(self.fates.are_apart(t, by));
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
        self.let_go(t);
        if self.trackers[t].run.as_ref().map(|run| run.floor) != floor {
            self.say_have(t);
        }
    }

    fn note_durable(&mut self, op: Op) {
        let known = self.ever.entry(op.id).or_insert_with(|| op.clone());
        assert_eq!(*known, op, "two ops have one name");
    }

    /// Two trackers with the same ops on the same floor must have the same state.
    fn compare(&mut self) {
        let (Some(a), Some(b)) = (self.some_running(), self.some_running()) else { return };
        let floor = |t: usize| self.trackers[t].run.as_ref().map(|run| run.floor);
        let same_floor = floor(a) == floor(b);
        let (a, b) = (self.durable(a), self.durable(b));
        if same_floor && a.version().eq(b.version()) {
            assert_eq!(a.digest(), b.digest(), "the states differ");
        }
    }
}

/// A line with short ids: `tracker.incarnation.seq`.
fn brief(line: &str) -> String {
    let line = line.replace("OpId { origin: Origin { tracker: ", "").replace(", incarnation: ", ".");
    line.replace(" }, seq: ", ".").replace(" })", ")").replace("password: PasswordHash(..)", "..")
}
