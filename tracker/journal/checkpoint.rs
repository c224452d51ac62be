//! Checkpoints: snapshots of the state in files, each with its position in the journal, so that a start need not
//! replay everything. Checkpoints are dispensable: in place of a damaged one recovery takes the one before, or the
//! base.

use super::disk::{Disk, remove_if_there};
use super::record::JournalPosition;
use super::segment::SegmentPlace;
use super::state_file::{StateFileError, StateFileKind, UnsoundStateFile};
use crate::sys;
use crate::sys::owned_thread::OwnedThread;
use crate::tracker::state::State;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;

/// Checkpoints are named by the last record in them.
const KIND: StateFileKind =
    StateFileKind { magic: *b"GSHCHKP\n", version: 4, suffix: ".checkpoint", temp: "checkpoint.new" };
/// How many checkpoints a journal keeps.
const KEPT: usize = 2;

/// The name of the checkpoint whose last record is `seq`.
pub fn name(seq: u64) -> String {
    KIND.name(seq)
}

/// The last record, from the name of a checkpoint; `None` if the name is no checkpoint's.
pub fn seq(name: &str) -> Option<u64> {
    KIND.number(name)
}

/// Writes a checkpoint durably and removes all but the latest ones.
pub fn write(disk: &dyn Disk, position: JournalPosition, state: &State) -> Result<(), StateFileError> {
    KIND.write(disk, &name(position.seq), SegmentPlace::behind(position), state)?;
    for old in all(disk).map_err(StateFileError::Unchanged)?.into_iter().skip(KEPT) {
        remove_if_there(disk, &name(old)).map_err(StateFileError::Unchanged)?;
    }
    Ok(())
}

/// The last record before each checkpoint, the latest first.
pub fn all(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    KIND.all(disk)
}

/// Reads a checkpoint.
pub fn read(disk: &dyn Disk, seq: u64) -> Result<(JournalPosition, State), UnsoundStateFile> {
    let (place, state) = KIND.read(disk, &name(seq))?;
    let is_it = place.position.seq == seq && place == SegmentPlace::behind(place.position);
    if is_it { Ok((place.position, state)) } else { Err(UnsoundStateFile::WrongPosition) }
}

/// Writes checkpoints on a thread of its own, one at a time.
pub struct Checkpointer {
    /// Dropped to end the thread.
    give: Option<Sender<(JournalPosition, State)>>,
    thread: OwnedThread,
    monitor: Arc<CheckpointMonitor>,
}

/// What the writing thread shares with the callers.
#[derive(Default)]
struct CheckpointMonitor {
    status: Mutex<CheckpointStatus>,
    idle: Condvar,
}

#[derive(Default)]
struct CheckpointStatus {
    busy: bool,
    /// Why the disk can no longer be trusted.
    failed: Option<String>,
}

impl Checkpointer {
    /// Starts the thread, which warns of checkpoints that it could not write.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(disk: Arc<dyn Disk>, warn: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        let (give, take) = bounded(1);
        let monitor = Arc::new(CheckpointMonitor::default());
        let shared = monitor.clone();
        let run = move || shared.run(&*disk, &take, &warn);
        let thread = OwnedThread::start("checkpoint", run)?;
        Ok(Self { give: Some(give), thread, monitor })
    }

    /// Whether a checkpoint is being written.
    pub fn is_busy(&self) -> bool {
        self.monitor.status.lock().busy
    }

    /// Lets the thread write a checkpoint, unless it is writing one.
    pub fn offer(&self, position: JournalPosition, state: &State) {
        let mut status = self.monitor.status.lock();
        if !status.busy {
            status.busy = self.give.as_ref().is_some_and(|give| give.try_send((position, state.clone())).is_ok());
        }
    }

    /// Why the disk can no longer be trusted, if an fsync of a checkpoint has failed.
    pub fn failed(&self) -> Option<String> {
        self.monitor.status.lock().failed.clone()
    }

    /// Waits until no checkpoint is being written.
    pub fn wait_idle(&self) {
        let mut status = self.monitor.status.lock();
        while status.busy {
            self.monitor.idle.wait(&mut status);
        }
    }
}

impl CheckpointMonitor {
    fn run(&self, disk: &dyn Disk, take: &Receiver<(JournalPosition, State)>, warn: &dyn Fn(&str)) {
        for (position, state) in take {
            // Also if a panic ends the thread.
            let _idle = IdleOnDrop(self);
            match write(disk, position, &state) {
                Ok(()) => {}
                Err(StateFileError::Unchanged(error)) => {
                    warn(&format!("cannot write a checkpoint: {}; the journal goes on without it", sys::reason(&error)))
                }
                Err(StateFileError::Uncertain(error)) => {
                    let reason = format!("cannot fsync a checkpoint: {}", sys::reason(&error));
                    self.status.lock().failed = Some(reason);
                }
            }
        }
    }
}

struct IdleOnDrop<'a>(&'a CheckpointMonitor);

impl Drop for IdleOnDrop<'_> {
    fn drop(&mut self) {
        self.0.status.lock().busy = false;
        self.0.idle.notify_all();
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.give = None;
        self.thread.join();
    }
}
