//! The floor keeper: a thread that moves the floor when it is due, and agrees on it with the other trackers.

use super::floor_watch::FloorWatch;
use crate::model::id::{OpId, Seen};
use crate::model::op::OpBody;
use crate::model::op::floor::{FloorMark, FloorProposal};
use crate::sys::heap;
use crate::tracker::cluster::wakeup::Wakeup;
use crate::tracker::commit::{Committer, EstablishError, Standing};
use crate::tracker::core::Core;
use crate::tracker::floor::pace::FloorPace;
use crate::tracker::floor::rules::{FloorStep, FloorView, HeldOps, Standstill};
use crate::tracker::ledger::Pinned;
use crate::tracker::warn::Warn;
use crate::wire::refusal::{Code, Refusal};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the keeper wakes by itself.
const INTERVAL: Duration = Duration::from_secs(1);
/// The number of ops that wakes it earlier.
const WAKE_OPS: usize = 1024;

/// Wakes the keeper, from the thread that makes ops durable.
pub(super) struct FloorBell {
    wakeup: Arc<Wakeup>,
    ops: usize,
}

impl FloorBell {
    pub(super) fn new(wakeup: Arc<Wakeup>) -> Self {
        Self { wakeup, ops: 0 }
    }

    /// This many ops have become durable. `of_trackers`: some are ops of trackers themselves.
    pub(super) fn note(&mut self, ops: usize, of_trackers: bool) {
        self.ops += ops;
        if of_trackers || self.ops >= WAKE_OPS {
            self.ops = 0;
            self.wakeup.wake();
        }
    }
}

/// The ops of this tracker, for the rules.
struct CommittedOps<'a> {
    committer: &'a Committer,
    /// The base that was last read back.
    read: RefCell<Option<Pinned>>,
    /// Why some of it was unreadable. It may be readable when the rules ask again.
    unread: RefCell<Option<Refusal>>,
}

impl HeldOps for CommittedOps<'_> {
    fn version_at(&self, lamport: u64) -> Option<Vec<Seen>> {
        if let Some(at_hand) = self.committer.version_at(lamport) {
            return Some(at_hand);
        }
        let pinned = self.committer.pin(lamport).unwrap_or_else(|refusal| {
            *self.unread.borrow_mut() = Some(refusal);
            None
        })?;
        Some(self.read.borrow_mut().insert(pinned).vector.clone())
    }
}

pub(super) struct FloorKeeper {
    core: Arc<Core>,
    watch: Arc<FloorWatch>,
    pace: FloorPace,
    proposed: Option<Proposed>,
    /// The base that was made last.
    pinned: Option<Pinned>,
    /// Files below the floor are still there.
    uncleared: bool,
    /// The keeper has dropped the state under the old floor.
    let_go: bool,
    trouble: Trouble,
}

/// The last proposal of this run.
#[derive(Clone, Copy)]
struct Proposed {
    id: OpId,
    at: Instant,
    /// How many ops lie at or below it.
    below: u64,
}

/// The reason why the floor cannot move though it is due. The operator is told when it begins and when it ends.
struct Trouble {
    warn: Warn,
    /// The pause between two attempts.
    pause: Duration,
    why: Option<String>,
    /// When to make the next attempt.
    retry: Option<Instant>,
}

impl Trouble {
    fn begins(&mut self, why: String) {
        self.retry = Some(Instant::now() + self.pause);
        if self.why.is_none() {
            (self.warn)(&format!("old changes cannot be dropped: {why}; the tracker keeps trying"));
        }
        self.why = Some(why);
    }

    fn ends(&mut self) {
        self.retry = None;
        if self.why.take().is_some() {
            (self.warn)("old changes can be dropped again");
        }
    }

    fn must_wait(&self) -> bool {
        self.retry.is_some_and(|retry| Instant::now() < retry)
    }
}

impl FloorKeeper {
    pub(super) fn new(core: Arc<Core>, watch: Arc<FloorWatch>, pace: FloorPace, warn: Warn) -> Self {
        let trouble = Trouble { warn, pause: pace.pause, why: None, retry: None };
        Self { core, watch, pace, proposed: None, pinned: None, uncleared: false, let_go: false, trouble }
    }

    /// Keeps the floor until the watch is closed.
    pub(super) fn run(mut self) {
        let wakeup = self.core.cluster.floor_wakeup().clone();
        while !self.watch.is_closed() {
            while self.go_on() {}
            wakeup.wait(Instant::now() + INTERVAL);
            if std::mem::take(&mut self.let_go) {
                // The old floor's memory is free now, between blocks in use.
                heap::give_back_free_memory();
            }
        }
    }

    /// Takes the next step. Returns false if the next step has to wait for an event.
    fn go_on(&mut self) -> bool {
        if self.uncleared && !self.trouble.must_wait() {
            self.clear();
        }
        if self.trouble.must_wait() {
            return false;
        }
        let standing = self.core.committer.standing();
        let step = self.next_step(&standing);
        self.watch.note_step(&step, &standing.state, &self.core);
        self.note_reach(&step, standing.floor.mark);
        match step {
            FloorStep::Wait(_) => false,
            FloorStep::EstablishAlone => self.pin_behind_margin().is_some_and(|pinned| self.establish(&pinned)),
            FloorStep::Propose { participants } => self.propose(participants),
            FloorStep::Ready { proposal, floor } => self.vote(OpBody::ReadyForFloor { proposal }, &floor),
            FloorStep::Promise { proposal, floor } => {
                self.vote(OpBody::PromiseFloor { proposal, floor: floor.clone() }, &floor)
            }
            FloorStep::Establish(floor) => self.pin(&floor).is_some_and(|pinned| self.establish(&pinned)),
            FloorStep::Yield(floor) => {
                let lamport = floor.mark.lamport;
                self.core
                    .restart
                    .ask(&format!("it holds changes that came after the trackers had agreed on the floor {lamport}"));
                false
            }
        }
    }

    /// Tells the links whether this tracker is unable to reach the highest floor by itself.
    fn note_reach(&self, step: &FloorStep, own: FloorMark) {
        let between = match step {
            FloorStep::Wait(Standstill::TakesBase(higher)) => Some([own, *higher]),
            _ => None,
        };
        self.core.cluster.base_slot().lock().note_out_of_reach(between);
    }

    /// Old changes are unreadable. If the committer takes no more changes at all, clients learn the reason already.
    fn note_unread(&mut self, refusal: &Refusal) {
        if refusal.code == Code::Unavailable && self.core.committer.trouble().is_none() {
            self.trouble.begins(refusal.to_string());
        }
    }

    fn next_step(&mut self, Standing { state, floor }: &Standing) -> FloorStep {
        let (committer, FloorPace { margin, step, .. }) = (&self.core.committer, self.pace);
        let rows = state.user_count() + state.group_count() + state.share_count();
        let above = state.op_count() - floor.ops;
        let due = self.pace.is_due(above, rows as u64);
        let is_old = |proposed: Proposed| state.op_count().saturating_sub(proposed.below) > 2 * (margin + step);
        let held = CommittedOps { committer, read: RefCell::default(), unread: RefCell::default() };
        let listed = self.core.cluster.table().listed().into_iter().map(|(number, _)| number).collect();
        let view = FloorView {
            me: self.core.cluster.me().origin.tracker,
            listed: &listed,
            state,
            floor: floor.mark,
            highest: self.core.cluster.highest_floor(),
            next: due.then(|| committer.lamport_behind(usize::try_from(margin).unwrap_or(usize::MAX))).flatten(),
            proposed: self.proposed.map(|proposed| proposed.id),
            outdated: self.proposed.is_some_and(is_old),
            held: &held,
        };
        let (step, read, unread) = (view.step(), held.read.take(), held.unread.take());
        // The base takes as much memory as the state, and may take as long to make as this step. So it is kept for
        // this step only.
        if !matches!(step, FloorStep::Wait(_)) {
            self.pinned = read.or_else(|| self.pinned.take());
        }
        if let Some(refusal) = unread {
            self.note_unread(&refusal);
        }
        step
    }

    /// The base that leaves the margin above it. `None` if the ledger does not yet reach back that far.
    fn pin_behind_margin(&self) -> Option<Pinned> {
        let margin = usize::try_from(self.pace.margin).unwrap_or(usize::MAX);
        let lamport = self.core.committer.lamport_behind(margin)?;
        // Fails when the committer takes no more changes.
        self.core.committer.pin(lamport).ok()?
    }

    /// Proposes a floor to the other trackers.
    fn propose(&mut self, participants: Vec<u16>) -> bool {
        if self.proposed.is_some_and(|proposed| proposed.at.elapsed() < self.pace.pause) {
            return false;
        }
        let Some(pinned) = self.pin_behind_margin() else { return false };
        let floor = Arc::new(pinned.proposal(participants));
        if !floor.fits() {
            let (origins, trackers) = (floor.vector.len(), floor.participants.len());
            self.trouble.begins(format!("{trackers} trackers with {origins} starts are too many to agree"));
            return false;
        }
        let body = OpBody::ProposeFloor { floor: floor.clone() };
        let committed = self.core.committer.vote(body, (pinned.mark.lamport, &pinned.vector));
        // This fails if the log does not keep the proposal. Clients that make changes then learn the reason.
        let Some(id) = committed.ok().flatten().and_then(|committed| committed.op) else { return false };
        self.proposed = Some(Proposed { id, at: Instant::now(), below: pinned.base.op_count() });
        self.pinned = Some(pinned);
        true
    }

    /// Makes a vote on a floor, if this tracker holds exactly the floor's ops.
    fn vote(&mut self, body: OpBody, floor: &FloorProposal) -> bool {
        let up_to = (floor.mark.lamport, &floor.vector[..]);
        self.pin(floor).is_some() && matches!(self.core.committer.vote(body, up_to), Ok(Some(_)))
    }

    /// The base of a floor whose ops are here. `None` if some are not here, or if they make another base.
    fn pin(&mut self, floor: &FloorProposal) -> Option<Pinned> {
        let is_it = |pinned: &&Pinned| pinned.after == floor.after && pinned.vector == floor.vector;
        let same_place = |pinned: &&Pinned| pinned.mark.lamport == floor.mark.lamport;
        if self.pinned.as_ref().filter(same_place).filter(is_it).is_none() {
            let pinned = self.core.committer.pin(floor.mark.lamport);
            self.pinned = pinned.inspect_err(|refusal| self.note_unread(refusal)).ok()?;
        }
        let pinned = self.pinned.as_ref().filter(is_it)?;
        if pinned.mark != floor.mark {
            let (here, there) = (in_words(pinned.mark), in_words(floor.mark));
            let why = format!("THE STATES DIFFER up to {here} here, {there} elsewhere. Please report this");
            self.trouble.begins(why);
            // This tracker can go on with the base of the others, if they establish the floor.
            let between = Some([floor.after, floor.mark]);
            self.core.cluster.base_slot().lock().note_out_of_reach(between);
            return None;
        }
        Some(pinned.clone())
    }

    /// Establishes a base, and then removes what no start needs.
    fn establish(&mut self, pinned: &Pinned) -> bool {
        let core = self.core.clone();
        match core.committer.establish(pinned, &*core.bases) {
            Ok(true) => {}
            Ok(false) => return true,
            Err(EstablishError::Base(error)) => {
                self.trouble.begins(error.to_string());
                return false;
            }
            // The committer takes no more changes; clients learn the reason.
            Err(EstablishError::Refused(_)) => return false,
        }
        self.pinned = None;
        self.watch.note_reached();
        core.cluster.wake();
        self.clear();
        self.let_go = true;
        true
    }

    /// Removes what no start needs.
    fn clear(&mut self) {
        let cleared = self.core.bases.clear();
        self.uncleared = !matches!(cleared, Ok(true));
        match cleared {
            Ok(_) => self.trouble.ends(),
            Err(error) => self.trouble.begins(error.to_string()),
        }
    }
}

/// A floor, in words that two operators can compare.
fn in_words(mark: FloorMark) -> String {
    let [a, b, c, d, ..] = mark.base;
    format!("change {} ({a:02x}{b:02x}{c:02x}{d:02x})", mark.lamport)
}
