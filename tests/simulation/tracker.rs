//! A tracker: a disk, and while it runs a ledger with what is not durable yet. Batches go to the disk as the committer has
//! it: one is written while the next one gathers, and if one fails, all that is not durable is taken back.

use super::link::EndId;
use super::told::Told;
use groupshare::model::id::{CommandId, OpId, Origin};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::ledger::{Finish, Ledger, Meaning, Past, Submission};
use groupshare::tracker::state::State;
use groupshare::wire::refusal::Refusal;

/// A tracker.
pub(crate) struct Tracker {
    pub number: u16,
    /// How often it has started.
    pub boots: u64,
    /// What survives, in the order in which it was written.
    pub disk: Vec<Op>,
    /// What the disk was at some moments before.
    pub copies: Vec<Vec<Op>>,
    pub run: Option<Running>,
}

/// A tracker that runs.
pub(crate) struct Running {
    pub origin: Origin,
    pub ledger: Ledger,
    pub durable: State,
    pub told: Told,
    /// What the disk works on.
    pub working: Option<Batch>,
    /// What gathers meanwhile.
    pub gathering: Batch,
    /// The disk has failed for good: nothing is taken before a restart.
    pub stuck: bool,
}

/// What becomes durable together.
#[derive(Default)]
pub(crate) struct Batch {
    pub ops: Vec<Op>,
    /// What they mean and the state that they lead to, once they are written.
    pub meaning: Meaning,
    pub after: State,
    pub waiting: Waiting,
}

/// Who waits for a batch: commands by index, with the op behind each, and ends of connections.
#[derive(Default)]
pub(crate) struct Waiting {
    pub commands: Vec<(usize, Option<OpId>)>,
    pub ends: Vec<EndId>,
}

/// What is said to a command at once.
pub(crate) enum Answer {
    /// It is durable.
    Done(Option<OpId>),
    /// It will be told.
    Later,
    Refused(Refusal),
    /// The disk has failed.
    Unavailable,
}

/// How a write ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Kept,
    Full,
    /// Nobody knows how many of the ops the disk has kept; it is this many.
    Failed(usize),
}

/// The fold of ops in their order.
pub(crate) fn fold(ops: &[Op]) -> State {
    let mut ops: Vec<&Op> = ops.iter().collect();
    ops.sort_by_key(|op| op.order());
    let mut state = State::new();
    ops.into_iter().for_each(|op| state.apply(op));
    state
}

impl Running {
    /// Whether there is something to write and the disk is idle.
    pub(crate) fn may_begin(&self) -> bool {
        self.working.is_none() && !self.gathering.ops.is_empty()
    }

    /// The last batch that is not durable.
    fn youngest(&mut self) -> Option<&mut Batch> {
        if self.gathering.ops.is_empty() { self.working.as_mut() } else { Some(&mut self.gathering) }
    }
}

impl Tracker {
    /// A tracker with an empty disk that has not started.
    pub(crate) fn new(number: u16) -> Self {
        Self { number, boots: 0, disk: Vec::new(), copies: Vec::new(), run: None }
    }

    /// Starts it on what its disk holds, under a new incarnation.
    pub(crate) fn start(&mut self, incarnation: u64) {
        self.boots += 1;
        let origin = Origin { tracker: self.number, incarnation };
        let mut ops = self.disk.clone();
        ops.sort_by_key(Op::order);
        // From a checkpoint, with what is behind it.
        let checkpoint = ops.len() - ops.len().min(self.boots as usize % 7);
        let mut past = Past::from(fold(&ops[..checkpoint]));
        ops.drain(checkpoint..).for_each(|op| past.apply(op));
        let durable = past.state().clone();
        let ledger = Ledger::new(origin, past);
        let told = Told::new(&durable, &self.disk);
        let (working, gathering, stuck) = Default::default();
        self.run = Some(Running { origin, ledger, durable, told, working, gathering, stuck });
    }

    /// Whoever is logged in is shown the notices of the durable state: reading them names those.
    fn showing(change: &Change, durable: &State) -> Change {
        match *change {
            Change::ReadNotices { user, through, .. } => {
                Change::ReadNotices { user, through, shown: durable.notices_digest(user, through) }
            }
            _ => change.clone(),
        }
    }

    /// Takes a command. If it is answered later, it waits in a batch.
    pub(crate) fn submit(&mut self, index: usize, id: CommandId, change: &Change) -> Answer {
        let run = self.run.as_mut().expect("it runs");
        if let Some(first) = run.ledger.state().command(change.owner(), id) {
            let underway = |batch: &&mut Batch| batch.ops.iter().any(|op| op.command == id);
            let batch = run.working.as_mut().filter(underway);
            let batch = batch.or_else(|| Some(&mut run.gathering).filter(underway));
            return wait(batch, index, Some(first));
        }
        if run.stuck {
            return Answer::Unavailable;
        }
        match run.ledger.submit(id, &Self::showing(change, &run.durable)) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(Submission::Known(_)) => unreachable!("it was looked for"),
            Ok(Submission::Already) => wait(run.youngest(), index, None),
            Ok(Submission::Made(op)) => {
                let id = op.id;
                run.gathering.ops.push(op);
                wait(Some(&mut run.gathering), index, Some(id))
            }
        }
    }

    /// Its operator has all forget a tracker, or take it back; whether that changes anything.
    pub(crate) fn operate(&mut self, body: OpBody) -> bool {
        let run = self.run.as_mut().expect("it runs");
        if run.stuck {
            return false;
        }
        match run.ledger.submit_own(body) {
            Submission::Made(op) => run.gathering.ops.push(op),
            Submission::Already => return false,
            Submission::Known(_) => unreachable!("no command is behind it"),
        }
        true
    }

    /// Takes ops that came in at an end; false if they are not taken, else the end waits in a batch or has nothing to wait
    /// for.
    pub(crate) fn receive(&mut self, ops: Vec<Op>, end: EndId) -> Result<bool, &'static str> {
        let run = self.run.as_mut().expect("it runs");
        if run.stuck {
            return Err("the disk has failed");
        }
        let Running { ledger, durable, .. } = run;
        let log = || {
            let mut ops: Vec<Op> = self.disk.clone();
            ops.sort_by_key(Op::order);
            ops
        };
        let received = take_all(ledger, ops, durable, log);
        let batch = if received.is_empty() { run.youngest() } else { Some(&mut run.gathering) };
        let Some(batch) = batch else { return Ok(false) };
        batch.ops.extend(received);
        batch.waiting.ends.push(end);
        Ok(true)
    }

    /// Begins to write what has gathered.
    pub(crate) fn begin(&mut self) {
        let run = self.run.as_mut().expect("it runs");
        let mut batch = std::mem::take(&mut run.gathering);
        batch.after = run.ledger.state().clone();
        batch.meaning = run.ledger.cut().meaning(&batch.ops);
        run.working = Some(batch);
    }

    /// Ends the write of a batch. Gives who waited, for this one and if it was not kept for the next; and the ops if they
    /// are durable now.
    pub(crate) fn finish(&mut self, written: Written) -> (Vec<Waiting>, Vec<Op>) {
        let run = self.run.as_mut().expect("it runs");
        let batch = run.working.take().expect("there is one");
        if written == Written::Kept {
            self.disk.extend_from_slice(&batch.ops);
            run.durable = batch.after.clone();
            run.ledger.settle(&run.durable);
            run.told.publish(&batch);
            return (vec![batch.waiting], batch.ops);
        }
        if let Written::Failed(kept) = written {
            self.disk.extend_from_slice(&batch.ops[..kept]);
            run.stuck = true;
        }
        run.ledger.reset(&run.durable);
        (vec![batch.waiting, std::mem::take(&mut run.gathering).waiting], Vec::new())
    }
}

/// Gives ops to a ledger until it has taken them all. Returns those it took.
fn take_all(ledger: &mut Ledger, ops: Vec<Op>, durable: &State, log: impl Fn() -> Vec<Op>) -> Vec<Op> {
    let (mut ops, mut taken) = (ops, Vec::new());
    loop {
        let mut receipt = ledger.receive(ops, durable).expect("a tracker made them");
        taken.append(&mut receipt.taken);
        ops = receipt.rest;
        if let Some(mut refold) = receipt.refold {
            if refold.needs_history() {
                log().into_iter().for_each(|op| refold.take(op));
                assert_eq!(refold.missing(), 0, "the disk has what is durable");
            }
            while refold.slice(usize::MAX) {}
            refold.narrow();
            let Finish::Swapped(mut late, _) = ledger.finish(refold) else { panic!("a tracker made them") };
            taken.append(&mut late);
        }
        if ops.is_empty() {
            return taken;
        }
    }
}

fn wait(batch: Option<&mut Batch>, index: usize, op: Option<OpId>) -> Answer {
    match batch {
        None => Answer::Done(op),
        Some(batch) => {
            batch.waiting.commands.push((index, op));
            Answer::Later
        }
    }
}
