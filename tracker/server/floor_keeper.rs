//! The keeper of the floor: a thread that moves the floor when it is due, and agrees on it with the other trackers.

use super::floor_status::{FloorStatus, NextFloor};
use crate::tracker::commit::{EstablishError, Standing};
use crate::tracker::core::Core;
use crate::tracker::floor::pace::FloorPace;
use crate::tracker::ledger::Pinned;
use crate::tracker::warn::Warn;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the keeper looks without being woken.
const INTERVAL: Duration = Duration::from_secs(1);
/// Ops after which it is woken.
const WAKE_OPS: usize = 1024;

/// Wakes the keeper from the thread on which ops become durable. Dropping it ends the keeper.
pub(super) struct FloorBell {
    ring: Sender<()>,
    ops: usize,
}

impl FloorBell {
    pub(super) fn new() -> (Self, Receiver<()>) {
        let (ring, rung) = bounded(1);
        (Self { ring, ops: 0 }, rung)
    }

    /// So many ops have become durable; `votes` are among them.
    pub(super) fn note(&mut self, ops: usize, votes: bool) {
        self.ops += ops;
        if votes || self.ops >= WAKE_OPS {
            self.ops = 0;
            // Full if it is awake already.
            let _ = self.ring.try_send(());
        }
    }
}

/// What the keeper has done, for the operator.
#[derive(Default)]
pub(super) struct FloorWatch(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    reached: Option<Instant>,
    next: NextFloor,
}

impl FloorWatch {
    pub(super) fn status(&self, standing: &Standing) -> FloorStatus {
        let watched = self.0.lock();
        let below = standing.floor.ops;
        FloorStatus {
            below,
            above: standing.state.op_count() - below,
            reached: watched.reached.map(|at| at.elapsed()),
            next: watched.next.clone(),
        }
    }

    fn note_reached(&self) {
        self.0.lock().reached = Some(Instant::now());
    }
}

pub(super) struct FloorKeeper {
    core: Arc<Core>,
    watch: Arc<FloorWatch>,
    pace: FloorPace,
    /// Something below the floor is there still.
    uncleared: bool,
    trouble: Trouble,
}

/// What keeps the floor where it is though it could move. The operator is told when it begins and when it ends.
struct Trouble {
    warn: Warn,
    /// From one attempt to the next.
    pause: Duration,
    why: Option<String>,
    /// When to try again.
    retry: Option<Instant>,
}

impl Trouble {
    fn begins(&mut self, why: String) {
        self.retry = Some(Instant::now() + self.pause);
        if self.why.is_none() {
            (self.warn)(&format!("old changes cannot be let go of: {why}; that is tried again and again"));
        }
        self.why = Some(why);
    }

    fn ends(&mut self) {
        self.retry = None;
        if self.why.take().is_some() {
            (self.warn)("old changes can be let go of again");
        }
    }

    fn must_wait(&self) -> bool {
        self.retry.is_some_and(|retry| Instant::now() < retry)
    }
}

impl FloorKeeper {
    pub(super) fn new(core: Arc<Core>, watch: Arc<FloorWatch>, pace: FloorPace, warn: Warn) -> Self {
        let trouble = Trouble { warn, pause: pace.pause, why: None, retry: None };
        Self { core, watch, pace, uncleared: false, trouble }
    }

    /// Keeps the floor until the bell is gone.
    pub(super) fn run(mut self, rung: &Receiver<()>) {
        while rung.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Disconnected) {
            while !self.trouble.must_wait() && self.go_on() {}
        }
    }

    /// Takes the next step. Returns false if there is none.
    fn go_on(&mut self) -> bool {
        if std::mem::take(&mut self.uncleared) {
            self.clear();
            return true;
        }
        let core = self.core.clone();
        let Standing { state, floor } = core.committer.standing();
        let rows = state.user_count() + state.group_count() + state.share_count();
        if !self.pace.is_due(state.op_count() - floor.ops, rows as u64) || !self.is_alone() {
            return false;
        }
        let margin = usize::try_from(self.pace.margin).unwrap_or(usize::MAX);
        // No more changes are taken if it is refused.
        let pinned = core.committer.lamport_behind(margin).and_then(|lamport| core.committer.pin(lamport).ok()?);
        pinned.is_some_and(|pinned| self.establish(&pinned))
    }

    /// Whether there is nobody to agree with.
    fn is_alone(&self) -> bool {
        let (me, state) = (self.core.cluster.me(), self.core.state());
        let known = state.tracker_numbers().chain(me.others.iter().map(|(number, _)| *number));
        known.into_iter().all(|number| number == me.origin.tracker || state.is_forgotten(number))
    }

    /// Puts the tracker on a base, and removes what no start needs then.
    fn establish(&mut self, pinned: &Pinned) -> bool {
        let core = self.core.clone();
        match core.committer.establish(pinned, &*core.bases) {
            Ok(true) => {}
            Ok(false) => return true,
            Err(EstablishError::Base(error)) => {
                self.trouble.begins(error.to_string());
                return false;
            }
            // No more changes are taken, and whoever makes one is told why.
            Err(EstablishError::Refused(_)) => return false,
        }
        self.watch.note_reached();
        core.cluster.wake();
        self.clear();
        true
    }

    /// Removes what no start needs.
    fn clear(&mut self) {
        match self.core.bases.clear() {
            Ok(()) => self.trouble.ends(),
            Err(error) => {
                self.uncleared = true;
                self.trouble.begins(error.to_string());
            }
        }
    }
}
