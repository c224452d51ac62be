//! A tracker: a disk, and while it runs a ledger with the ops that are not yet durable. Batches go to the disk as in
//! the committer: one is written while the next one gathers. If one fails, all ops that are not durable are undone.

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
    /// Earlier copies of the disk.
    pub copies: Vec<Disk>,
    pub run: Option<Running>,
}

/// A running tracker.
pub(crate) struct Running {
    pub origin: Origin,
    pub ledger: Ledger,
    pub durable: State,
    /// The floor under the published state.
    pub floor: FloorMark,
    pub told: Told,
    /// What the tracker knows of the next floor.
    pub keeping: Keeping,
    /// The batch that the disk is writing.
    pub working: Option<Batch>,
    /// The batch that gathers meanwhile.
    pub gathering: Batch,
    /// The disk has failed for good. The tracker takes nothing before a restart.
    pub stuck: bool,
}

/// What a tracker remembers of the next floor while it runs.
#[derive(Default)]
pub(crate) struct Keeping {
    /// The base of the next floor is durable, and memory is still on the floor before.
    pub durable: Option<Pinned>,
    /// Memory is on the new floor, and records below the floor before are still there.
    pub to_clear: bool,
    /// The same, and no batch has been written since.
    pub unpublished: bool,
    /// What it knew at its last wait: how many ops are durable and how many are taken, its floor, and a higher one.
    pub waited: Option<(u64, u64, FloorMark, Option<FloorMark>)>,
    /// Its last proposal in this run.
    pub proposed: Option<OpId>,
}

/// Ops that become durable together.
#[derive(Default)]
pub(crate) struct Batch {
    pub ops: Vec<Op>,
    /// The meaning of the ops, and the state after them once they are written.
    pub meaning: Meaning,
    pub after: State,
    pub floor: FloorMark,
    pub waiting: Waiting,
}

/// What waits for a batch: commands by index, each with its op, and ends of connections.
#[derive(Default)]
pub(crate) struct Waiting {
    pub commands: Vec<(usize, Option<OpId>)>,
    pub ends: Vec<EndId>,
}

/// The immediate answer to a command.
pub(crate) enum Answer {
    /// The change is durable.
    Done(Option<OpId>),
    /// The answer comes later.
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
    /// The disk has kept this many of the ops, and the tracker cannot tell how many.
    Failed(usize),
}

impl Running {
    /// Whether there is something to write and the disk is idle.
    pub(crate) fn may_begin(&self) -> bool {
        self.working.is_none() && (!self.gathering.ops.is_empty() || self.keeping.unpublished)
    }

    /// Whether this vote was cast and is not yet durable.
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

    /// Starts the tracker with what its disk holds, under a new incarnation.
    pub(crate) fn start(&mut self, incarnation: u64) {
        self.boots += 1;
        let origin = Origin { tracker: self.number, incarnation };
        let mut above = self.disk.above();
        // From a checkpoint, with the records behind it.
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

    /// Fills in what a client's tracker adds. A user who reads notices names those of the durable state. A user who
    /// changes the password has proved the one that the tracker knows.
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

    /// Takes a command. If its answer comes later, it waits in a batch.
    pub(crate) fn submit(&mut self, index: usize, id: CommandId, change: &Change) -> Answer {
        let run = self.run.as_mut().expect("it runs");
        if run.ledger.state().knows_command(change.owner(), id) {
            let first = run.ledger.state().command(change.owner(), id);
            let underway = |batch: &&mut Batch| batch.ops.iter().any(|op| op.command == id);
            // The later batch, if the command is in both: its op may be the first by now.
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

    /// An operator changes an account or a group. Returns the op, if there is one.
    pub(crate) fn manage(&mut self, command: CommandId, change: &OperatorChange) -> Option<Op> {
        let run = self.run.as_mut().filter(|run| !run.stuck)?;
        let Ok(Submission::Made(op)) = run.ledger.submit_operator(command, change) else { return None };
        run.gathering.ops.push(op.clone());
        Some(op)
    }

    /// An operator makes all trackers forget one, or take it back. Returns whether that changes anything.
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

    /// Tells the next author whose change has no place. Returns whether there was one to tell.
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

    /// The base of a floor, if all ops below the floor are durable. Ops outside the window come from the disk.
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

    /// Reads the disk's ops at or below a floor, if the window does not reach them.
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

    /// The same, if it is exactly the proposed base.
    pub(crate) fn pin_exactly(&self, floor: &FloorProposal) -> Option<Pinned> {
        let pinned = self.pin(floor.mark.lamport)?;
        let same = (pinned.after, pinned.mark, &pinned.vector) == (floor.after, floor.mark, &floor.vector);
        same.then_some(pinned)
    }

    /// Makes an op about a floor, while exactly the ops of that floor are here. Returns its id.
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

    /// From now on takes no ops below this floor except those of its base. Returns whether it holds no others.
    pub(crate) fn close_below(&mut self, pinned: &Pinned) -> bool {
        self.read_back(pinned.mark.lamport);
        self.run.as_mut().expect("it runs").ledger.close_below(pinned)
    }

    /// Whether the tracker is between two floors. Late ops wait meanwhile.
    pub(crate) fn is_establishing(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.keeping.durable.is_some())
    }

    /// Puts the ledger on the durable base.
    pub(crate) fn stand_on_base(&mut self) {
        let run = self.run.as_mut().expect("it runs");
        let pinned = run.keeping.durable.take().expect("it is durable");
        let refold = run.ledger.establish(&pinned, &run.durable).expect("nothing else was taken below it");
        let late = put(&mut run.ledger, refold, &self.disk);
        assert!(late.is_empty(), "no op comes with a base");
        (run.keeping.to_clear, run.keeping.unpublished) = (true, true);
    }

    /// Drops records below the older base.
    pub(crate) fn clear(&mut self) {
        self.disk.clear();
        self.run.as_mut().expect("it runs").keeping.to_clear = false;
    }

    /// Takes ops that came in at an end. False if they are not taken. Otherwise the end waits in a batch, or has
    /// nothing to wait for.
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

    /// Begins to write the batch that has gathered.
    pub(crate) fn begin(&mut self) {
        let run = self.run.as_mut().expect("it runs");
        let mut batch = std::mem::take(&mut run.gathering);
        let cut = run.ledger.cut();
        (batch.after, batch.floor) = (cut.after().clone(), cut.floor().mark);
        batch.meaning = cut.meaning(&batch.ops);
        run.keeping.unpublished = false;
        run.working = Some(batch);
    }

    /// Ends the write of a batch. Returns everything that waited for it. If it was not kept, that includes what waits
    /// for the next batch. Also returns the ops if they are durable now.
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
        // The batch would have published the floor. Now another batch does.
        run.keeping.unpublished = run.ledger.floor().mark != run.floor;
        (vec![batch.waiting, std::mem::take(&mut run.gathering).waiting], Vec::new())
    }
}

/// Passes ops to a ledger until it has taken all. Returns those that it took.
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

/// Ends a refold, and puts its result in the place of the ledger's state. Returns the late ops.
fn put(ledger: &mut Ledger, mut refold: Box<Refold>, disk: &Disk) -> Vec<Op> {
    if refold.needs_history() {
        if refold.needs_base().is_some() {
            refold.begin_from(disk.base_state());
        }
        disk.above().into_iter().for_each(|op| refold.take(op));
        assert_eq!(refold.missing(), 0, "the disk lacks durable ops");
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
