//! `tracker --check`, and what `tracker --repair` says and keeps: reads a journal and changes nothing in it.

use super::checkpoint;
use super::disk::Disk;
use super::error::{JournalError, io_error};
use super::reader::RecoveryOptions;
use super::recovery::{Recovery, owner, recover};
use crate::tracker::state::State;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What follows from it if something is lacking that a start does not need.
pub(super) const LACKING: &str = "this tracker knows what those changes have led to, but can neither give them to other \
                                  trackers nor take changes that belong before them; put the file back, or restore a backup";

/// What a journal holds, and whether it is as it should be.
#[derive(Debug)]
pub struct Inspection {
    /// A report, line by line.
    pub lines: Vec<String>,
    /// A start from any of the checkpoints loses nothing and passes over nothing, and the tracker can give all ops to
    /// others.
    pub sound: bool,
    /// The fold of all ops.
    pub state: State,
}

/// Starts as a tracker would, then reads what the start did not read. Changes nothing.
///
/// # Errors
/// Those of a start.
pub fn check(disk: &dyn Disk) -> Result<Inspection, JournalError> {
    let start = RecoveryOptions { tracker: owner(disk)?, checkpoints: true, force: false };
    let recovery = recover(disk, start)?;
    let mut lines = describe(&recovery);
    let mut faults = recovery.warnings.clone();
    if let Some(torn) = &recovery.torn {
        faults.push(format!("{torn}; a start cuts off what follows, and changes that were acknowledged may be gone"));
    }
    if let Some(what) = &recovery.lacking {
        faults.push(format!("a start works; but {what}; {LACKING}"));
    } else if recovery.checkpoint.is_some() {
        match recover(disk, RecoveryOptions { checkpoints: false, ..start }) {
            Ok(whole) if whole.past.state().digest() == recovery.past.state().digest() => {}
            Ok(_) => {
                faults.push("a start works; but its checkpoint is not what the changes before it have led to".into())
            }
            Err(error) => faults.push(format!("a start works; but {error}")),
        }
    }
    for seq in checkpoint::all(disk).map_err(io_error(disk, "", "read the folder"))? {
        let path = disk.path(&checkpoint::name(seq));
        let path = path.display();
        match checkpoint::read(disk, seq) {
            Ok((_, state)) => lines.push(format!("{path} is sound: {} ops", state.op_count())),
            // The start has told of those that it tried.
            Err(_) if recovery.warnings.iter().any(|told| told.contains(&path.to_string())) => {}
            Err(why) => faults.push(format!("{path} {why}; a start passes it over")),
        }
    }
    let sound = faults.is_empty();
    lines.extend(faults);
    Ok(Inspection { lines, sound, state: recovery.past.state().clone() })
}

fn describe(recovery: &Recovery) -> Vec<String> {
    let state = recovery.past.state();
    let digest: String = state.digest().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    vec![
        format!("{} ops up to record {} of batch {}", state.op_count(), recovery.position.seq, recovery.position.batch),
        format!(
            "{} users, {} groups, {} files; digest {digest}",
            state.user_count(),
            state.group_count(),
            state.share_count()
        ),
    ]
}

/// What a repair has to say of a journal that it cuts off where its recovery ended.
pub(super) fn repair_report(recovery: &Recovery, copy: &Path) -> Vec<String> {
    let mut lines = vec![format!("a copy of what was there is in {}", copy.display())];
    lines.push(match (&recovery.torn, recovery.dropped.len()) {
        (None, _) => "there is no damage that keeps the tracker from starting".to_owned(),
        (Some(torn), 0) => format!("{torn}; cut off there"),
        (Some(torn), files) => format!("{torn}; cut off there, with {files} later files"),
    });
    lines.extend(recovery.warnings.iter().cloned());
    lines.extend(recovery.lacking.iter().map(|what| format!("{what}; {LACKING}")));
    lines.extend(describe(recovery));
    lines
}

/// Copies a folder of files to a folder that is not there yet, and makes the copy durable.
pub(super) fn keep_copy(folder: &Path, copy: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(copy)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let to: PathBuf = copy.join(entry.file_name());
        fs::copy(entry.path(), &to)?;
        File::open(&to)?.sync_all()?;
    }
    File::open(copy)?.sync_all()
}
