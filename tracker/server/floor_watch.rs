//! What the floor keeper has done and what it waits for, for the operator.

use super::floor_status::{FloorStatus, Holdback, HoldbackReason, NextFloor};
use crate::tracker::cluster::other_tracker::LinkStatus;
use crate::tracker::commit::Standing;
use crate::tracker::core::Core;
use crate::tracker::floor::rules::{FloorStep, Standstill};
use crate::tracker::state::State;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A tracker that takes less time than this does not count as holding a floor back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shared by the keeper and the threads that ask for its progress.
#[derive(Default)]
pub(super) struct FloorWatch {
    closed: AtomicBool,
    progress: Mutex<FloorProgress>,
}

#[derive(Default)]
struct FloorProgress {
    /// When this run of the program last reached a floor.
    reached: Option<Instant>,
    /// When the next floor became due.
    due: Option<Instant>,
    next: NextFloor,
}

impl FloorWatch {
    /// Ends the keeper.
    pub(super) fn close(&self, core: &Core) {
        self.closed.store(true, Ordering::Relaxed);
        core.cluster.floor_wakeup().wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self, Standing { state, floor }: &Standing) -> FloorStatus {
        let progress = self.progress.lock();
        let due = progress.due.map_or(Duration::ZERO, |due| due.elapsed());
        let next = match &progress.next {
            NextFloor::HeldBack { .. } if due < PATIENCE => NextFloor::NotDue,
            NextFloor::HeldBack { by, .. } => NextFloor::HeldBack { by: by.clone(), since: due },
            next => next.clone(),
        };
        let reached = progress.reached.map(|reached| reached.elapsed());
        FloorStatus { below: floor.ops, above: state.op_count() - floor.ops, reached, next }
    }

    pub(super) fn note_reached(&self) {
        *self.progress.lock() = FloorProgress { reached: Some(Instant::now()), ..FloorProgress::default() };
    }

    /// The keeper takes this step.
    pub(super) fn note_step(&self, step: &FloorStep, state: &State, core: &Core) {
        let next = match step {
            FloorStep::Wait(standstill) => next_floor(standstill, state, core),
            FloorStep::Establish(_) => NextFloor::Underway,
            // The next standstill shows their result.
            _ => match self.progress.lock().next.clone() {
                NextFloor::Higher | NextFloor::Underway => NextFloor::NotDue,
                next => next,
            },
        };
        let mut progress = self.progress.lock();
        progress.due = if next == NextFloor::NotDue { None } else { progress.due.or_else(|| Some(Instant::now())) };
        progress.next = next;
    }
}

fn next_floor(standstill: &Standstill, state: &State, core: &Core) -> NextFloor {
    let held_back = |by: Vec<Holdback>| NextFloor::HeldBack { by, since: Duration::ZERO };
    match standstill {
        Standstill::NotDue => NextFloor::NotDue,
        Standstill::TakesBase(_) => NextFloor::Higher,
        Standstill::LooksBack(_) => NextFloor::Underway,
        Standstill::Proposer(tracker) => {
            let mut by = holdbacks(&[*tracker].into(), state, core);
            // It has caught up: nobody has asked anything of it yet.
            by.iter_mut().filter(|holdback| holdback.why == HoldbackReason::Behind).for_each(|holdback| {
                holdback.why = HoldbackReason::HasToPropose;
            });
            held_back(by)
        }
        Standstill::Ready(trackers) => held_back(holdbacks(trackers, state, core)),
        Standstill::NotOnTheirList { proposer, trackers } => {
            let why = HoldbackReason::NotOnTheirList { proposer: *proposer };
            held_back(trackers.iter().map(|&tracker| Holdback { tracker, why }).collect())
        }
        Standstill::Promises { promised, of } => NextFloor::BeingAgreed {
            promised: *promised,
            participants: promised + of.len(),
            waiting_for: of.iter().copied().collect(),
        },
        Standstill::Contradiction(between) => NextFloor::Contradiction { between: *between },
    }
}

/// The reason why each of these trackers is not ready.
fn holdbacks(trackers: &BTreeSet<u16>, state: &State, core: &Core) -> Vec<Holdback> {
    let others = core.cluster.others(state, core.committer.standing().floor.mark);
    let connected = |tracker| {
        let mut of_it = others.iter().filter(|other| other.number == tracker);
        tracker == core.cluster.me().origin.tracker
            || of_it.any(|other| matches!(other.status, LinkStatus::Connected { .. }))
    };
    let why = |tracker| match (connected(tracker), state.knows_tracker(tracker)) {
        (true, _) => HoldbackReason::Behind,
        (false, true) => HoldbackReason::NotConnected,
        (false, false) => HoldbackReason::NeverMet,
    };
    trackers.iter().map(|&tracker| Holdback { tracker, why: why(tracker) }).collect()
}
