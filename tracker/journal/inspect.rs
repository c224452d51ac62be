//! `tracker --check`, and what `tracker --repair` says and keeps: reads a journal and changes nothing in it.

use super::checkpoint;
use super::disk::Disk;
use super::error::{JournalError, io_error};
use super::reader::RecoveryOptions;
use super::recovery::{Recovery, recover};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Reads all of a journal and changes nothing. Returns a report, line by line, and whether the journal is sound: a
/// start loses nothing and passes over nothing.
pub fn check(disk: &dyn Disk) -> Result<(Vec<String>, bool), JournalError> {
    let all = RecoveryOptions { tracker: None, checkpoints: false, force: false };
    let recovery = match recover(disk, all) {
        Ok(recovery) => recovery,
        Err(error) => {
            // What is damaged may lie behind a checkpoint.
            let start = recover(disk, RecoveryOptions { checkpoints: true, ..all });
            let Ok(recovery) = start.as_ref().map(describe) else { return Err(error) };
            let mut lines = recovery;
            lines.push(format!("a start works, from a checkpoint; but {error}"));
            return Ok((lines, false));
        }
    };
    let mut lines = describe(&recovery);
    let mut sound = recovery.torn.is_none() && recovery.warnings.is_empty();
    lines.extend(recovery.warnings.iter().cloned());
    if let Some(torn) = &recovery.torn {
        lines.push(format!("{torn}; a start cuts off what follows, and changes that were acknowledged may be gone"));
    }
    for seq in checkpoint::all(disk).map_err(io_error(disk, "", "read the folder"))? {
        let path = disk.path(&checkpoint::name(seq));
        let path = path.display();
        match checkpoint::read(disk, seq) {
            Ok((_, state)) => lines.push(format!("{path} is sound: {} ops", state.op_count())),
            Err(why) => {
                sound = false;
                lines.push(format!("{path} {why}; a start passes it over"));
            }
        }
    }
    Ok((lines, sound))
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
