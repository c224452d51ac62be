//! A tracker: a disk, and while it runs a ledger with what is not durable yet. Batches go to the disk as the committer has
//! it: one is written while the next one gathers, and if one fails, all that is not durable is taken back.

use super::disk::{Disk, note_of};
use super::link::EndId;
use super::told::Told;
use groupshare::model::id::{CommandId, OpId, Origin, Seen};
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::floor::rules::HeldOps;
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::ledger::operator::OperatorChange;
use groupshare::tracker::ledger::{Finish, Ledger, Meaning, Past, Pinned, Pinning, ReachedFloor, Refold, Submission};
use groupshare::tracker::state::State;
use groupshare::wire::refusal::Refusal;

/// A tracker.
pub(crate) struct Tracker {
    pub number: u16,
    /// How often it has started.
    pub boots: u64,
    pub disk: Disk,
    /// What the disk was at some moments before.
    pub copies: Vec<Disk>,
    pub run: Option<Running>,
}

/// A tracker that runs.
pub(crate) struct Running {
    pub origin: Origin,
    pub ledger: Ledger,
    pub durable: State,
    /// The floor under that state.
    pub floor: FloorMark,
    pub told: Told,
    /// What it knows of the floor that is agreed on.
    pub keeping: Keeping,
    /// What the disk works on.
    pub working: Option<Batch>,
    /// What gathers meanwhile.
    pub gathering: Batch,
    /// The disk has failed for good: nothing is taken before a restart.
    pub stuck: bool,
}

/// What a tracker remembers of the floor that comes next, as long as it runs.
#[derive(Default)]
pub(crate) struct Keeping {
    /// The base of the next floor is durable, and memory is still on the floor before.
    pub durable: Option<Pinned>,
    /// Memory has changed, and records below the floor before are still there.
    pub to_clear: bool,
    /// The same, and no batch has been written since.
    pub unpublished: bool,
    /// What it knew when it had to wait: how many ops are durable and how many are taken, its floor and a higher one.
    pub waited: Option<(u64, u64, FloorMark, Option<FloorMark>)>,
    /// Its last proposal in this run.
    pub proposed: Option<OpId>,
}

/// What becomes durable together.
#[derive(Default)]
pub(crate) struct Batch {
    pub ops: Vec<Op>,
    /// What they mean and the state that they lead to, once they are written.
    pub meaning: Meaning,
    pub after: State,
    pub floor: FloorMark,
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

impl Running {
    /// Whether there is something to write and the disk is idle.
    pub(crate) fn may_begin(&self) -> bool {
        self.working.is_none() && (!self.gathering.ops.is_empty() || self.keeping.unpublished)
    }

    /// Whether a vote was cast that is not durable yet.
    fn has_cast(&self, body: &OpBody, me: u16) -> bool {
        let state = self.ledger.state();
        match body {
            OpBody::ReadyForFloor { proposal } => {
                state.proposals().any(|(id, _, ready)| id == *proposal && ready.contains(&me))
            }
            OpBody::PromiseFloor { proposal, .. } => {
                state.promises().any(|(id, _, by)| id == *proposal && by.contains(&me))
            }
            _ => self.working.iter().chain([&self.gathering]).flat_map(|batch| &batch.ops).any(|op| op.body == *body),
        }
    }

    /// The last batch that is not durable.
    fn youngest(&mut self) -> Option<&mut Batch> {
        if self.gathering.ops.is_empty() { self.working.as_mut() } else { Some(&mut self.gathering) }
    }
}

impl Tracker {
    /// A tracker with an empty disk that has not started.
    pub(crate) fn new(number: u16) -> Self {
        Self { number, boots: 0, disk: Disk::default(), copies: Vec::new(), run: None }
    }

    /// Starts it on what its disk holds, under a new incarnation.
    pub(crate) fn start(&mut self, incarnation: u64) {
        self.boots += 1;
        let origin = Origin { tracker: self.number, incarnation };
        let mut above = self.disk.above();
        // From a checkpoint, with what is behind it.
        let checkpoint = above.len() - above.len().min(self.boots as usize % 7);
        let mut state = self.disk.base_state();
        above.drain(..checkpoint).for_each(|op| state.apply(&op));
        let floor = self.disk.floor();
        let ops = self.disk.base.as_ref().map_or(0, |base| base.state.op_count());
        let mut past = Past::new(state, ReachedFloor { mark: floor, ops });
        above.into_iter().for_each(|op| past.apply(op));
        let durable = past.state().clone();
        let ledger = Ledger::new(origin, past);
        let told = Told::new(&durable, &self.disk.made());
        let (keeping, working, gathering, stuck) = Default::default();
        self.run = Some(Running { origin, ledger, durable, floor, told, keeping, working, gathering, stuck });
    }

    /// Whoever is logged in is shown the notices of the durable state: reading them names those. Whoever changes the
    /// password has proved the one that the tracker knows.
    fn showing(change: &Change, run: &Running) -> Change {
        match change.clone() {
            Change::ReadNotices { user, through, .. } => {
                Change::ReadNotices { user, through, shown: run.durable.notices_digest(user, through) }
            }
            Change::ChangePassword { user, former, password } => {
                let known = run.ledger.state().account(user).map(|account| account.password_op);
                Change::ChangePassword { user, former: known.unwrap_or(former), password }
            }
            change => change,
        }
    }

    /// Takes a command. If it is answered later, it waits in a batch.
    pub(crate) fn submit(&mut self, index: usize, id: CommandId, change: &Change) -> Answer {
        let run = self.run.as_mut().expect("it runs");
        if run.ledger.state().knows_command(change.owner(), id) {
            let first = run.ledger.state().command(change.owner(), id);
            let underway = |batch: &&mut Batch| batch.ops.iter().any(|op| op.command == id);
            // The later one, if it comes in both: its op may be the first by now.
            let batch = if underway(&&mut run.gathering) {
                Some(&mut run.gathering)
            } else {
                run.working.as_mut().filter(underway)
            };
            return wait(batch, index, first);
        }
        if run.stuck {
            return Answer::Unavailable;
        }
        let change = Self::showing(change, run);
        match run.ledger.submit(id, &change) {
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

    /// Its operator changes an account or a group. Gives the op, if there is one.
    pub(crate) fn manage(&mut self, command: CommandId, change: &OperatorChange) -> Option<Op> {
        let run = self.run.as_mut().filter(|run| !run.stuck)?;
        let Ok(Submission::Made(op)) = run.ledger.submit_operator(command, change) else { return None };
        run.gathering.ops.push(op.clone());
        Some(op)
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

    /// Tells the next author whose change has no place; whether there was one to tell.
    pub(crate) fn note_unplaced(&mut self) -> bool {
        let run = self.run.as_mut().expect("it runs");
        let Some(op) = self.disk.unplaced.get(self.disk.told) else { return false };
        let note = note_of(op).filter(|(_, change)| {
            let is_placed = op.id.seq <= run.durable.seen(op.id.origin);
            !is_placed && run.durable.account(change.user().expect("it is a user's")).is_some()
        });
        let Some((command, change)) =
            note.filter(|(command, change)| !run.durable.knows_command(change.owner(), *command))
        else {
            self.disk.told += 1;
            return true;
        };
        let Ok(Submission::Made(op)) = run.ledger.submit(command, &change) else { return false };
        run.gathering.ops.push(op);
        true
    }

    /// The base of a floor, if all below it is durable. What the window does not reach comes from the disk.
    pub(crate) fn pin(&self, lamport: u64) -> Option<Pinned> {
        let run = self.run.as_ref().expect("it runs");
        if run.ledger.reaches(lamport) || !run.ledger.may_stand_at(lamport) {
            return Some(run.ledger.pin(lamport, &run.durable)?.finish());
        }
        run.ledger.depth(&run.durable)?;
        let mut pinning = Pinning::on_base(self.disk.floor(), lamport, self.disk.base_state());
        let is_durable = |op: &&Op| op.id.seq <= run.durable.seen(op.id.origin);
        self.disk.above().iter().filter(is_durable).for_each(|op| pinning.take(op));
        Some(pinning.finish())
    }

    /// Takes note of what the disk has at or below a floor, if the window does not reach it.
    fn read_back(&mut self, lamport: u64) {
        if self.run.as_ref().is_some_and(|run| run.ledger.reaches(lamport)) {
            return;
        }
        let Some(pinned) = self.pin(lamport) else { return };
        let run = self.run.as_mut().expect("it runs");
        if let Some(depth) = run.ledger.depth(&run.durable) {
            run.ledger.note_read_back(lamport, pinned.vector, depth);
        }
    }

    /// The same, if it is exactly what is proposed.
    pub(crate) fn pin_exactly(&self, floor: &FloorProposal) -> Option<Pinned> {
        let pinned = self.pin(floor.mark.lamport)?;
        let same = (pinned.after, pinned.mark, &pinned.vector) == (floor.after, floor.mark, &floor.vector);
        same.then_some(pinned)
    }

    /// Makes an op about a floor, while exactly the ops of that floor are here; its id.
    pub(crate) fn cast(&mut self, floor: &FloorProposal, body: OpBody) -> Option<OpId> {
        self.read_back(floor.mark.lamport);
        let run = self.run.as_mut().expect("it runs");
        if run.has_cast(&body, self.number) || run.ledger.version_at(floor.mark.lamport)? != floor.vector {
            return None;
        }
        let Submission::Made(op) = run.ledger.submit_own(body) else { unreachable!("it is always made") };
        let id = op.id;
        run.gathering.ops.push(op);
        Some(id)
    }

    /// Nothing but what a base is made of is taken below it any more; whether it holds nothing else.
    pub(crate) fn close_below(&mut self, pinned: &Pinned) -> bool {
        self.read_back(pinned.mark.lamport);
        self.run.as_mut().expect("it runs").ledger.close_below(pinned)
    }

    /// Whether it is between two floors: late ops wait meanwhile.
    pub(crate) fn is_establishing(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.keeping.durable.is_some())
    }

    /// Puts the ledger on the base that is durable.
    pub(crate) fn stand_on_base(&mut self) {
        let run = self.run.as_mut().expect("it runs");
        let pinned = run.keeping.durable.take().expect("it is durable");
        let refold = run.ledger.establish(&pinned, &run.durable).expect("nothing else was taken below it");
        let late = put(&mut run.ledger, refold, &self.disk);
        assert!(late.is_empty(), "no op comes with a base");
        (run.keeping.to_clear, run.keeping.unpublished) = (true, true);
    }

    /// Lets go of records below the older base.
    pub(crate) fn clear(&mut self) {
        self.disk.clear();
        self.run.as_mut().expect("it runs").keeping.to_clear = false;
    }

    /// Takes ops that came in at an end; false if they are not taken, else the end waits in a batch or has nothing to wait
    /// for.
    pub(crate) fn receive(&mut self, ops: Vec<Op>, end: EndId) -> Result<bool, &'static str> {
        let run = self.run.as_mut().expect("it runs");
        if run.stuck {
            return Err("the disk has failed");
        }
        let Running { ledger, durable, .. } = run;
        let received = take_all(ledger, ops, durable, &self.disk);
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
        let cut = run.ledger.cut();
        (batch.after, batch.floor) = (cut.after().clone(), cut.floor().mark);
        batch.meaning = cut.meaning(&batch.ops);
        run.keeping.unpublished = false;
        run.working = Some(batch);
    }

    /// Ends the write of a batch. Gives who waited, for this one and if it was not kept for the next; and the ops if they
    /// are durable now.
    pub(crate) fn finish(&mut self, written: Written) -> (Vec<Waiting>, Vec<Op>) {
        let run = self.run.as_mut().expect("it runs");
        let batch = run.working.take().expect("there is one");
        if written == Written::Kept {
            self.disk.records.extend_from_slice(&batch.ops);
            (run.durable, run.floor) = (batch.after.clone(), batch.floor);
            run.ledger.settle(&run.durable);
            run.told.publish(&batch);
            return (vec![batch.waiting], batch.ops);
        }
        if let Written::Failed(kept) = written {
            self.disk.records.extend_from_slice(&batch.ops[..kept]);
            run.stuck = true;
        }
        run.ledger.reset(&run.durable);
        // The floor that the batch would have published waits for another one.
        run.keeping.unpublished = run.ledger.floor().mark != run.floor;
        (vec![batch.waiting, std::mem::take(&mut run.gathering).waiting], Vec::new())
    }
}

/// Gives ops to a ledger until it has taken them all. Returns those it took.
fn take_all(ledger: &mut Ledger, ops: Vec<Op>, durable: &State, disk: &Disk) -> Vec<Op> {
    let (mut ops, mut taken) = (ops, Vec::new());
    loop {
        let mut receipt = ledger.receive(ops, durable).expect("a tracker made them");
        taken.append(&mut receipt.taken);
        ops = receipt.rest;
        if let Some(refold) = receipt.refold {
            taken.append(&mut put(ledger, refold, disk));
        }
        if ops.is_empty() {
            return taken;
        }
    }
}

impl HeldOps for Tracker {
    fn version_at(&self, lamport: u64) -> Option<Vec<Seen>> {
        let run = self.run.as_ref().expect("it runs");
        run.ledger.version_at(lamport).or_else(|| self.disk.version_at(lamport))
    }
}

/// Folds a refold to its end and puts it in the ledger's place. Returns the late ops.
fn put(ledger: &mut Ledger, mut refold: Box<Refold>, disk: &Disk) -> Vec<Op> {
    if refold.needs_history() {
        if refold.needs_base().is_some() {
            refold.begin_from(disk.base_state());
        }
        disk.above().into_iter().for_each(|op| refold.take(op));
        assert_eq!(refold.missing(), 0, "the disk has what is durable");
    }
    while refold.slice(usize::MAX) {}
    refold.narrow();
    match ledger.finish(refold) {
        Finish::Swapped(late, _) => late,
        _ => panic!("a tracker made them, and nothing has happened meanwhile"),
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
