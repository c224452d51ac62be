//! Checkpoints: a snapshot of the state in a file, with its position in the journal, so that a start need not replay
//! everything. Nothing depends on them: recovery passes over a damaged one for the one before, or for the whole
//! journal.

use super::disk::{Disk, DiskFile, write_all_at};
use super::file_name::{number_in, numbered};
use super::record::{JournalPosition, NUMBER_MAX};
use crate::sys;
use crate::sys::owned_thread::OwnedThread;
use crate::tracker::state::State;
use crate::wire::codec::{DecodeError, Decoder, Wire};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use ring::digest::{Context, SHA256, digest};
use std::fmt;
use std::io;
use std::sync::Arc;

/// The version of the format.
const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"GSHCHKP\n";
const HEAD_LEN: usize = 8 + 2 + 16;
const DIGEST_LEN: usize = 32;
const SUFFIX: &str = ".checkpoint";
/// The name of a checkpoint that is not whole yet.
const TEMP: &str = "checkpoint.new";
/// How many are kept.
const KEPT: usize = 2;

/// Why a checkpoint was not written.
#[derive(Debug)]
pub enum CheckpointError {
    /// What was there before is there still.
    Unchanged(io::Error),
    /// The disk did not confirm that what was written is durable.
    Uncertain(io::Error),
}

/// What is wrong with a checkpoint, as a clause whose subject is its path.
#[derive(Debug)]
pub enum UnsoundCheckpoint {
    /// The disk does not give it.
    Unreadable(io::Error),
    /// It has no room for its head and its checksum.
    TooShort,
    /// Its bytes do not have the checksum behind them.
    WrongChecksum,
    /// It has another magic or version.
    OtherVersion,
    /// Its head does not say where it stands.
    NoPosition(DecodeError),
    /// Its head says another place than its name, or one that no journal has.
    WrongPosition,
    /// What follows the head is no state.
    NotAState(DecodeError),
}

impl fmt::Display for UnsoundCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {}", sys::reason(error)),
            Self::TooShort => f.write_str("is too short"),
            Self::WrongChecksum => f.write_str("is damaged: its checksum is wrong"),
            Self::OtherVersion => f.write_str("was written by another version"),
            Self::NoPosition(error) => error.fmt(f),
            Self::WrongPosition => f.write_str("does not position where its name says"),
            Self::NotAState(error) => write!(f, "does not hold a state: {error}"),
        }
    }
}

impl std::error::Error for UnsoundCheckpoint {}

/// The name of the checkpoint that stands at a record.
pub fn name(seq: u64) -> String {
    numbered(seq, SUFFIX)
}

/// The place that the name of a checkpoint tells; `None` if this is not the name of one.
pub fn seq(name: &str) -> Option<u64> {
    number_in(name, SUFFIX).filter(|&seq| seq <= NUMBER_MAX)
}

/// Writes a checkpoint to a new file, makes it durable, then gives it its name. Removes all checkpoints but the last
/// two.
pub fn write(disk: &dyn Disk, position: JournalPosition, state: &State) -> Result<(), CheckpointError> {
    let mut file = write_temp(disk, position, state).map_err(|error| {
        // The next one overwrites what is left of it.
        let _ = disk.remove(TEMP);
        CheckpointError::Unchanged(error)
    })?;
    file.sync_data().map_err(CheckpointError::Uncertain)?;
    disk.rename(TEMP, &name(position.seq)).map_err(CheckpointError::Unchanged)?;
    disk.sync_folder().map_err(CheckpointError::Uncertain)?;
    for old in all(disk).map_err(CheckpointError::Unchanged)?.into_iter().skip(KEPT) {
        disk.remove(&name(old)).map_err(CheckpointError::Unchanged)?;
    }
    Ok(())
}

fn write_temp(disk: &dyn Disk, position: JournalPosition, state: &State) -> io::Result<Box<dyn DiskFile>> {
    let mut file = disk.create(TEMP)?;
    let mut context = Context::new(&SHA256);
    let mut end = 0;
    let mut put = |bytes: &[u8]| {
        context.update(bytes);
        write_all_at(&mut *file, bytes, end)?;
        end += bytes.len() as u64;
        Ok::<(), io::Error>(())
    };
    let mut head = MAGIC.to_vec();
    VERSION.put(&mut head);
    position.put(&mut head);
    put(&head)?;
    state.encode(&mut put)?;
    write_all_at(&mut *file, context.finish().as_ref(), end)?;
    Ok(file)
}

/// The last record before each checkpoint, the latest first.
pub fn all(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut all: Vec<u64> = disk.list()?.iter().filter_map(|name| seq(name)).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    Ok(all)
}

/// Reads a checkpoint.
pub fn read(disk: &dyn Disk, seq: u64) -> Result<(JournalPosition, State), UnsoundCheckpoint> {
    let bytes = disk.read(&name(seq)).map_err(UnsoundCheckpoint::Unreadable)?;
    let whole = bytes.len().checked_sub(DIGEST_LEN).filter(|&len| len >= HEAD_LEN);
    let (content, checksum) = bytes.split_at(whole.ok_or(UnsoundCheckpoint::TooShort)?);
    if digest(&SHA256, content).as_ref() != checksum {
        return Err(UnsoundCheckpoint::WrongChecksum);
    }
    let (head, state) = content.split_at(HEAD_LEN);
    let (start, position) = head.split_at(10);
    if start[..8] != MAGIC || start[8..] != VERSION.to_be_bytes() {
        return Err(UnsoundCheckpoint::OtherVersion);
    }
    let position = JournalPosition::take(&mut Decoder::new(position)).map_err(UnsoundCheckpoint::NoPosition)?;
    if position.seq != seq || position.seq > NUMBER_MAX || position.batch > NUMBER_MAX {
        return Err(UnsoundCheckpoint::WrongPosition);
    }
    Ok((position, State::decode(state).map_err(UnsoundCheckpoint::NotAState)?))
}

/// Writes checkpoints on a thread of its own, one at a time.
pub struct Checkpointer {
    /// Dropped to end the thread.
    give: Option<Sender<(JournalPosition, State)>>,
    thread: OwnedThread,
    monitor: Arc<CheckpointMonitor>,
}

/// What the thread that writes shares with the one that asks.
#[derive(Default)]
struct CheckpointMonitor {
    status: Mutex<CheckpointStatus>,
    idle: Condvar,
}

#[derive(Default)]
struct CheckpointStatus {
    busy: bool,
    /// Why the disk is not to be trusted any more.
    failed: Option<String>,
}

impl Checkpointer {
    /// Starts the thread. It warns of checkpoints that it could not write.
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

    /// Why the disk is not to be trusted any more, if an fsync of a checkpoint has failed.
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
                Err(CheckpointError::Unchanged(error)) => {
                    warn(&format!("cannot write a checkpoint: {}; the journal goes on without it", sys::reason(&error)))
                }
                Err(CheckpointError::Uncertain(error)) => {
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
