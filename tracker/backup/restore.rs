//! Makes a data folder from a backup. The folder has another name until it is whole, so that no tracker starts on half
//! of one.

use super::stream::{BackupChunk, BackupHead, BackupReader, StreamError};
use crate::model::digest::InfoHash;
use crate::model::op::Op;
use crate::model::op::floor::FloorMark;
use crate::sys;
use crate::sys::files;
use crate::sys::local::socket;
use crate::sys::random::random_bytes;
use crate::tracker::commit::{AppendError, BaseError};
use crate::tracker::data_dir;
use crate::tracker::data_dir::{DataDir, DataDirError};
use crate::tracker::journal::base::adoption::UnplacedSink;
use crate::tracker::journal::disk::RealDisk;
use crate::tracker::journal::{self, Journal, JournalError, JournalOwner, JournalSettings, OpenedJournal};
use crate::tracker::manifests::{
    self, CheckedManifest, ManifestPart, ManifestUpload, Manifests, ManifestsError, Requester,
};
use crate::tracker::state::State;
use crate::tracker::warn::Warn;
use crate::wire::refusal::{Code, Refusal};
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::iter;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The suffix of a folder that is not whole yet.
const UNFINISHED: &str = ".restoring";
/// How many ops become durable at once.
const OPS_AT_ONCE: usize = 1024;
/// How many manifests become durable at once.
const MANIFESTS_AT_ONCE: usize = 256;

/// Why no data folder was made. Each error is one line.
#[derive(Debug)]
pub enum RestoreError {
    Stream(StreamError),
    /// The folder is not empty.
    NotEmpty(PathBuf),
    /// An interrupted restore has left this folder.
    LeftOver(PathBuf),
    /// A file system is mounted there, so no folder can take its name.
    Mount(PathBuf),
    /// Root would make files in it that its owner, a user of this number, cannot open.
    Foreign(PathBuf, u32),
    /// The folder cannot be made.
    Folder(PathBuf, io::Error),
    DataDir(DataDirError),
    Journal(JournalError),
    Base(BaseError),
    Append(AppendError),
    Manifests(ManifestsError),
    /// The disk does not take a list of pieces.
    Manifest(InfoHash, Refusal),
    /// The system has no random bytes.
    System(io::Error),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Stream(error) => error.fmt(f),
            RestoreError::NotEmpty(folder) => {
                write!(f, "{} is not empty; name a folder that is new", folder.display())
            }
            RestoreError::LeftOver(folder) => write!(
                f,
                "{} is there, from a restore that runs or was cut short; remove it if none runs",
                folder.display()
            ),
            RestoreError::Mount(folder) => {
                write!(f, "{} is a mount point; name a new folder in it", folder.display())
            }
            RestoreError::Foreign(folder, owner) => write!(
                f,
                "{} belongs to user {owner}, who could not open what root makes; restore as that user",
                folder.display()
            ),
            RestoreError::Folder(folder, error) => {
                write!(f, "cannot make the folder {}: {}", folder.display(), sys::reason(error))
            }
            RestoreError::DataDir(error) => error.fmt(f),
            RestoreError::Journal(error) => error.fmt(f),
            RestoreError::Base(error) => error.fmt(f),
            RestoreError::Append(error) => error.fmt(f),
            RestoreError::Manifests(error) => error.fmt(f),
            RestoreError::Manifest(info_hash, refusal) => {
                write!(f, "cannot keep the list of pieces {info_hash}: {refusal}")
            }
            RestoreError::System(error) => write!(f, "cannot restore: {}", sys::reason(error)),
        }
    }
}

impl std::error::Error for RestoreError {}

macro_rules! from_error {
    ($($error:ident => $variant:ident),* $(,)?) => {
        $(impl From<$error> for RestoreError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}
from_error!(
    StreamError => Stream,
    DataDirError => DataDir,
    JournalError => Journal,
    BaseError => Base,
    AppendError => Append,
    ManifestsError => Manifests,
);

fn damaged(what: &'static str) -> RestoreError {
    RestoreError::Stream(StreamError::Damaged(what))
}

/// The content of a new data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    pub users: usize,
    pub groups: usize,
    pub files: usize,
    /// Lists of pieces that the backup lacks.
    pub absent: usize,
}

/// Makes a data folder for the tracker of this number, durably.
///
/// # Errors
/// In that case no folder is left.
pub fn restore(
    backup: (BackupHead, BackupReader<impl Read>),
    folder: &Path,
    tracker: u16,
    warn: Warn,
) -> Result<Restored, RestoreError> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let failed = |error| RestoreError::Folder(folder.clone(), error);
    may_be_made(&folder)?;
    let place = Unfinished::make(&folder)?;
    let data_dir = DataDir::open(&place.0)?;
    let restored = fill(backup, &data_dir, tracker, warn)?;
    let sync = |path: &Path| files::open_folder(path).and_then(|folder| files::sync_folder(&folder));
    sync(&place.0).and_then(|()| fs::rename(&place.0, &folder)).map_err(failed)?;
    sync(parent(&folder)).map_err(failed)?;
    Ok(restored)
}

fn parent(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Refuses a path where no folder can be made, before much is read.
fn may_be_made(folder: &Path) -> Result<(), RestoreError> {
    let place = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let owner = fs::metadata(place).map_err(|error| RestoreError::Folder(place.to_path_buf(), error))?.uid();
    if owner != 0 && socket::own_user() == 0 {
        return Err(RestoreError::Foreign(place.to_path_buf(), owner));
    }
    if place == folder {
        let mut entries = fs::read_dir(folder).map_err(|error| RestoreError::Folder(folder.to_path_buf(), error))?;
        if files::is_mount_point(folder).map_err(|error| RestoreError::Folder(folder.to_path_buf(), error))? {
            return Err(RestoreError::Mount(folder.to_path_buf()));
        }
        if entries.next().is_some() {
            return Err(RestoreError::NotEmpty(folder.to_path_buf()));
        }
    }
    Ok(())
}

/// A folder that is removed unless it gets its final name.
struct Unfinished(PathBuf);

impl Unfinished {
    /// The process that makes it is the only one that fills and removes it.
    fn make(folder: &Path) -> Result<Self, RestoreError> {
        let failed = |error| RestoreError::Folder(folder.to_path_buf(), error);
        let mut name = folder.file_name().ok_or(io::ErrorKind::InvalidInput.into()).map_err(failed)?.to_owned();
        name.push(UNFINISHED);
        let unfinished = folder.with_file_name(name);
        data_dir::make_folder(parent(folder))?;
        match DirBuilder::new().mode(0o700).create(&unfinished) {
            Ok(()) => Ok(Self(unfinished)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(RestoreError::LeftOver(unfinished)),
            Err(error) => Err(RestoreError::Folder(unfinished, error)),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Fails if it has its final name. A folder that stays is reported at the next attempt.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// In an empty journal no op can lose its place.
struct NothingUnplaced;

impl UnplacedSink for NothingUnplaced {
    fn keep(&mut self, _: &[Op], _: &State) -> io::Result<()> {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// The journal of the new folder.
struct NewJournal {
    disk: Arc<RealDisk>,
    tracker: u16,
    warn: Warn,
}

impl NewJournal {
    fn open(&self) -> Result<OpenedJournal, RestoreError> {
        let incarnation = random_bytes().map(u64::from_ne_bytes).map_err(RestoreError::System)?;
        let owner = JournalOwner { tracker: self.tracker, fresh_incarnation: incarnation };
        let (disk, warn) = (self.disk.clone(), self.warn.clone());
        let opened = Journal::open(disk, owner, JournalSettings::default(), warn, &mut NothingUnplaced);
        opened.map_err(|error| match error {
            // The disk returns other bytes than were just written: the backup's changes are damaged.
            JournalError::Damaged { .. } => damaged("its changes do not follow each other"),
            error => RestoreError::Journal(error),
        })
    }
}

/// A backup that is being read.
struct Unread<R> {
    reader: BackupReader<R>,
    /// `None` at the end.
    next: Option<BackupChunk>,
}

impl<R: Read> Unread<R> {
    fn step(&mut self) -> Result<(), RestoreError> {
        self.next = self.reader.next_chunk()?;
        Ok(())
    }
}

fn fill(
    (head, reader): (BackupHead, BackupReader<impl Read>),
    data_dir: &DataDir,
    tracker: u16,
    warn: Warn,
) -> Result<Restored, RestoreError> {
    let path = data_dir.folder(journal::FOLDER)?;
    let disk = RealDisk::open(&path).map(Arc::new).map_err(|error| RestoreError::Folder(path, error))?;
    let journal = NewJournal { disk, tracker, warn };
    let mut unread = Unread { reader, next: None };
    unread.step()?;
    take_base(&journal, head.floor, &mut unread)?;
    take_ops(&journal, &mut unread)?;
    let past = journal.open()?.past;
    if past.floor().mark != head.floor || past.state().digest() != head.digest {
        return Err(damaged("its changes do not lead to its state"));
    }
    let manifests = Manifests::open(&data_dir.folder(manifests::FOLDER)?, iter::empty(), false)?;
    let absent = take_manifests(&manifests, &mut unread)?;
    manifests.mark_absent(absent.iter().copied());
    let state = past.state();
    Ok(Restored {
        users: state.user_count() - state.deleted_user_count(),
        groups: state.group_count(),
        files: state.share_count(),
        absent: absent.len(),
    })
}

fn take_base(journal: &NewJournal, floor: FloorMark, unread: &mut Unread<impl Read>) -> Result<(), RestoreError> {
    if floor == FloorMark::default() {
        return Ok(());
    }
    let (bases, mut offset) = (journal.open()?.bases, 0);
    while let Some(BackupChunk::Base(bytes)) = &unread.next {
        bases.take_part(floor, offset, bytes)?;
        offset += bytes.len() as u64;
        unread.step()?;
    }
    if offset > 0 && bases.taken(floor)? { Ok(()) } else { Err(damaged("its base is not that of its floor")) }
}

fn take_ops(journal: &NewJournal, unread: &mut Unread<impl Read>) -> Result<(), RestoreError> {
    // Adopts the base.
    let mut journal = journal.open()?.journal;
    let mut lot = Vec::new();
    while let Some(BackupChunk::Op(op)) = unread.next.take_if(|chunk| matches!(chunk, BackupChunk::Op(_))) {
        lot.push(*op);
        if lot.len() == OPS_AT_ONCE {
            journal.append_all(&mut lot)?;
        }
        unread.step()?;
    }
    Ok(journal.append_all(&mut lot)?)
}

/// Returns the number of absent manifests.
fn take_manifests(manifests: &Manifests, unread: &mut Unread<impl Read>) -> Result<Vec<InfoHash>, RestoreError> {
    let (mut absent, mut lot) = (Vec::new(), Vec::new());
    loop {
        match unread.next.take() {
            Some(BackupChunk::Absent(info_hash)) => absent.push(info_hash),
            Some(BackupChunk::Manifest { info_hash, total }) => {
                lot.extend(take_manifest(manifests, (info_hash, total), unread)?);
                if lot.len() == MANIFESTS_AT_ONCE {
                    keep(manifests, &mut lot)?;
                }
            }
            Some(_) => return Err(damaged("its parts are not in order")),
            None => {
                keep(manifests, &mut lot)?;
                return Ok(absent);
            }
        }
        unread.step()?;
    }
}

/// `None` if it was there already.
fn take_manifest(
    manifests: &Manifests,
    (info_hash, total): (InfoHash, u32),
    unread: &mut Unread<impl Read>,
) -> Result<Option<CheckedManifest>, RestoreError> {
    let (mut upload, mut offset): (Option<ManifestUpload>, u32) = (None, 0);
    while offset < total {
        unread.step()?;
        let Some(BackupChunk::Part(bytes)) = &unread.next else {
            return Err(damaged("a list of pieces is not whole"));
        };
        let part = ManifestPart { info_hash, total, offset, bytes };
        let taken = manifests.take(&mut upload, part, Requester::Operator).map_err(|refusal| match refusal.code {
            Code::BadManifest => damaged("a list of pieces is not valid"),
            _ => RestoreError::Manifest(info_hash, refusal),
        })?;
        // A chunk has at most 64 KiB, and parts beyond the total were refused.
        offset += bytes.len() as u32;
        if taken.is_some() {
            return Ok(taken);
        }
    }
    Ok(None)
}

fn keep(manifests: &Manifests, lot: &mut Vec<CheckedManifest>) -> Result<(), RestoreError> {
    let Some(first) = lot.first().map(CheckedManifest::info_hash) else { return Ok(()) };
    manifests.keep(std::mem::take(lot)).map_err(|refusal| RestoreError::Manifest(first, refusal))
}
