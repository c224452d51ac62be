//! Takes a backup of a running tracker: one durable state, whatever clients and floors do meanwhile.
//!
//! The base and the ops above it first go into an unnamed file. So no lock is held for a slow reader. If the floor
//! moves during this, that shows before the first byte has left.

use super::stream::{BackupHead, BackupWriter};
use crate::model::digest::InfoHash;
use crate::model::op::floor::FloorMark;
use crate::sys;
use crate::sys::files;
use crate::sys::space::free_bytes;
use crate::tracker::cluster::version_vector::VersionVector;
use crate::tracker::commit::{BasePart, ReadBackError, Standing};
use crate::tracker::core::Core;
use crate::tracker::manifests::Requester;
use crate::tracker::state::State;
use crate::wire::refusal::{Code, Refusal};
use ring::digest::{Context, SHA256};
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes are in memory at once.
const PART: usize = 256 * 1024;
/// How long a move of the floor may take.
const MOVING_MAX: Duration = Duration::from_secs(60);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// After how many ops the backup checks whether its reader is still there.
const LOOK_EVERY: u64 = 4096;

/// How many bytes of the disk the spooled state must leave to the tracker.
const ROOM_LEFT: u64 = 16 * 1024 * 1024;

/// Why there is no backup.
#[derive(Debug)]
pub enum BackupError {
    /// The reader is gone.
    Gone,
    /// The data folder does not take the spooled state.
    Spool(PathBuf, io::Error),
    /// The spooled state fits into the data folder, but leaves too little room for the tracker.
    NoRoom(PathBuf),
    /// The journal cannot be read.
    Journal(ReadBackError),
    /// The floor was moving for too long.
    Moving,
    /// The journal lacks a part of the state.
    Incomplete,
    /// A list of pieces cannot be read.
    Manifest(InfoHash, Refusal),
    /// A list of pieces was removed while it was read.
    Vanished(InfoHash),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::Gone => f.write_str("nobody takes the backup"),
            BackupError::Spool(folder, error) => {
                write!(f, "cannot prepare the backup in {}: {}", folder.display(), sys::reason(error))
            }
            BackupError::NoRoom(folder) => {
                let left = ROOM_LEFT >> 20;
                write!(f, "a backup would leave less than {left} MiB free in {}; make room first", folder.display())
            }
            BackupError::Journal(error) => write!(f, "cannot read the journal: {error}"),
            BackupError::Moving => f.write_str("the floor moves; try again"),
            BackupError::Incomplete => {
                f.write_str("a part of the journal is missing or damaged; try again, then look with --check")
            }
            BackupError::Manifest(info_hash, refusal) => {
                write!(f, "cannot read the list of pieces {info_hash}: {refusal}")
            }
            BackupError::Vanished(info_hash) => {
                write!(f, "the list of pieces {info_hash} went while it was read; try again")
            }
        }
    }
}

impl std::error::Error for BackupError {}

/// The source of a backup. A restarting tracker does not wait for it.
pub struct BackupSource {
    core: Arc<Core>,
    /// The data folder.
    folder: PathBuf,
    /// The number of the tracker.
    tracker: u16,
}

/// A spooled state: its base, and all ops above that.
struct Spool {
    writer: BackupWriter<BufWriter<SpoolFile>>,
    state: Arc<State>,
}

/// A file that leaves the last bytes of its disk free, for the tracker's journal.
struct SpoolFile(File);

impl Write for SpoolFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = ROOM_LEFT + bytes.len() as u64;
        if free_bytes(&self.0)?.is_some_and(|free| free < needed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl BackupSource {
    pub fn new(core: Arc<Core>, folder: PathBuf, tracker: u16) -> Self {
        Self { core, folder, tracker }
    }

    /// Writes a backup. Flushing `out` fails once its reader is gone.
    ///
    /// # Errors
    /// The written bytes are no backup.
    pub fn write(&self, out: impl Write) -> Result<(), BackupError> {
        let mut out = BufWriter::with_capacity(PART, out);
        let Spool { writer, state } = self.spool(&mut out)?;
        let mut writer = writer.moved(|spool| {
            self.pour(spool, &mut out)?;
            Ok::<_, BackupError>(out)
        })?;
        let mut listed: Vec<InfoHash> = state.listed_info_hashes().collect();
        drop(state);
        listed.sort_unstable();
        listed.dedup();
        listed.into_iter().try_for_each(|info_hash| self.put_manifest(info_hash, &mut writer))?;
        writer.end().map_err(gone)
    }

    /// Spools a state. Tries again if the floor moves meanwhile.
    fn spool(&self, out: &mut impl Write) -> Result<Spool, BackupError> {
        let until = Instant::now() + MOVING_MAX;
        loop {
            if let Some(spool) = self.try_spool(out)? {
                return Ok(spool);
            }
            if Instant::now() > until {
                return Err(BackupError::Moving);
            }
            out.flush().map_err(gone)?;
            thread::sleep(PAUSE);
        }
    }

    /// Returns `None` if the floor has moved.
    fn try_spool(&self, out: &mut impl Write) -> Result<Option<Spool>, BackupError> {
        let standing = self.core.committer.standing();
        let Standing { state, floor } = &standing;
        let folder = files::open_folder(&self.folder).map_err(|error| self.not_spooled(error))?;
        let file = files::make_unnamed_in(&folder).map_err(|error| self.not_spooled(error))?;
        let head =
            BackupHead { tracker: self.tracker, time: sys::unix_time_s(), floor: floor.mark, digest: state.digest() };
        let writer = BackupWriter::begin(BufWriter::with_capacity(PART, SpoolFile(file)), &head);
        let mut writer = writer.map_err(|error| self.not_spooled(error))?;
        if self.put_base(floor.mark, &mut writer)? && self.put_ops(&standing, &mut writer, out)? {
            return Ok(Some(Spool { writer, state: standing.state }));
        }
        let newest = self.core.source.base().map_err(BackupError::Journal)?;
        if newest.floor() == floor.mark.lamport { Err(BackupError::Incomplete) } else { Ok(None) }
    }

    /// Returns false if the journal no longer has the base of this floor.
    fn put_base(&self, floor: FloorMark, writer: &mut BackupWriter<impl Write>) -> Result<bool, BackupError> {
        if floor == FloorMark::default() {
            return Ok(true);
        }
        let (mut sum, mut offset) = (Context::new(&SHA256), 0);
        loop {
            let part = self.core.bases.part(floor, offset, PART).map_err(BackupError::Journal)?;
            let Some(BasePart { total, bytes }) = part else { return Ok(false) };
            sum.update(&bytes);
            writer.base(&bytes).map_err(|error| self.not_spooled(error))?;
            offset += bytes.len() as u64;
            if bytes.is_empty() || offset >= total {
                return Ok(sum.finish().as_ref() == floor.base);
            }
        }
    }

    /// Returns false if these are not all ops of the state above its floor.
    fn put_ops(
        &self,
        standing: &Standing,
        writer: &mut BackupWriter<impl Write>,
        out: &mut impl Write,
    ) -> Result<bool, BackupError> {
        let Standing { state, floor } = standing;
        let (mut given, mut count, mut done) = (VersionVector::default(), 0, Ok(()));
        let read = self.core.source.read(&mut |op| {
            // Leaves out ops that became durable later, and ops that were written a second time.
            if op.lamport > floor.mark.lamport && op.id.seq <= state.seen(op.id.origin) && given.give(&op) {
                count += 1;
                done = writer.op(&op).map_err(|error| self.not_spooled(error));
                if count % LOOK_EVERY == 0 {
                    done = std::mem::replace(&mut done, Ok(())).and_then(|()| out.flush().map_err(gone));
                }
            }
            done.is_ok()
        });
        read.map_err(BackupError::Journal)?;
        done?;
        Ok(count == state.op_count() - floor.ops)
    }

    /// Writes the spooled state.
    fn pour(&self, spool: BufWriter<SpoolFile>, out: &mut impl Write) -> Result<(), BackupError> {
        let SpoolFile(mut file) = spool.into_inner().map_err(|error| self.not_spooled(error.into_error()))?;
        file.rewind().map_err(|error| self.not_spooled(error))?;
        let mut bytes = vec![0; PART];
        loop {
            let len = file.read(&mut bytes).map_err(|error| self.not_spooled(error))?;
            if len == 0 {
                return Ok(());
            }
            out.write_all(&bytes[..len]).map_err(gone)?;
        }
    }

    fn put_manifest(&self, info_hash: InfoHash, writer: &mut BackupWriter<impl Write>) -> Result<(), BackupError> {
        let (mut offset, mut whole) = (0, None);
        loop {
            let (total, part) = match self.core.manifests.read(info_hash, offset, Requester::Operator) {
                Ok(Some(read)) => read,
                Ok(None) if offset > 0 => return Err(BackupError::Vanished(info_hash)),
                // It is damaged, or another version of this program has made it. A start on the backup sees it as
                // missing.
                Ok(None) => return writer.absent(info_hash).map_err(gone),
                Err(Refusal { code: Code::BadManifest, .. }) => return writer.absent(info_hash).map_err(gone),
                Err(refusal) => return Err(BackupError::Manifest(info_hash, refusal)),
            };
            if offset == 0 {
                writer.manifest(info_hash, total).map_err(gone)?;
                whole = Some(total);
            }
            if part.is_empty() || whole != Some(total) {
                return Err(BackupError::Vanished(info_hash));
            }
            writer.part(&part).map_err(gone)?;
            // A manifest has at most 128 MiB.
            offset += part.len() as u32;
            if offset == total {
                return Ok(());
            }
        }
    }

    fn not_spooled(&self, error: io::Error) -> BackupError {
        match error.kind() {
            io::ErrorKind::StorageFull => BackupError::NoRoom(self.folder.clone()),
            _ => BackupError::Spool(self.folder.clone(), error),
        }
    }
}

/// Writing fails only if the reader is gone.
fn gone(_: io::Error) -> BackupError {
    BackupError::Gone
}
