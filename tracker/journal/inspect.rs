//! `tracker --check`, and what `tracker --repair` says and keeps: reads a journal and changes nothing in it.

use super::base::{self, BaseMark, adoption};
use super::checkpoint;
use super::disk::{Disk, remove_if_there};
use super::error::{JournalError, io_error};
use super::plan::Lacking;
use super::reader::RecoveryOptions;
use super::recovery::{self, Recovery, owner, recover};
use super::segment;
use super::state_file::UnsoundStateFile;
use crate::tracker::state::State;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

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
    faults.extend(recovery.lacking.iter().map(|what| format!("a start works; but {what}")));
    let for_others = recovery.lacking.iter().any(|what| matches!(what, Lacking::ForOthers(_)));
    if recovery.checkpoint.is_some() && !for_others {
        match recover(disk, RecoveryOptions { checkpoints: false, ..start }) {
            Ok(whole) if whole.past.state().digest() == recovery.past.state().digest() => {}
            Ok(_) => {
                faults.push("a start works; but its checkpoint is not what the changes before it have led to".into())
            }
            Err(error) => faults.push(format!("a start works; but {error}")),
        }
    }
    let for_older = recovery.lacking.iter().any(|what| matches!(what, Lacking::ForOlderBase(_)));
    if recovery.base != BaseMark::BIRTH && !for_older {
        let digest = base::read(disk, recovery.base.lamport).map(|(_, base)| base.digest());
        match recovery::base_again(disk, recovery.base, start) {
            Ok(again) if again.as_ref().is_none_or(|again| digest.is_ok_and(|digest| digest == again.digest())) => {}
            Ok(_) => faults.push("a start works; but its base is not what the changes before it have led to".into()),
            Err(error) => faults.push(format!("a start works; but {error}")),
        }
    }
    for (name, read) in state_files(disk)? {
        let path = disk.path(&name);
        let path = path.display();
        match read {
            Ok(state) => lines.push(format!("{path} is sound: {} ops", state.op_count())),
            // The start has told of those that it tried.
            Err(_) if recovery.warnings.iter().any(|told| told.contains(&path.to_string())) => {}
            Err(why) => faults.push(format!("{path} {why}; a start passes it over")),
        }
    }
    match adoption::incoming(disk)? {
        None => {}
        Some(Ok(base)) => {
            let path = disk.path(base::INCOMING);
            lines.push(format!(
                "{} is the base of another tracker up to {}; a start goes over to it if it is higher",
                path.display(),
                base.floor()
            ));
        }
        Some(Err(why)) => faults.push(format!("{} {why}; a start removes it", disk.path(base::INCOMING).display())),
    }
    let names = disk.list().map_err(io_error(disk, "", "read the folder"))?;
    for name in names.iter().filter(|name| name.ends_with(adoption::LEFT)) {
        lines.push(format!("{} holds changes that the base of the others lacks", disk.path(name).display()));
    }
    let sound = faults.is_empty();
    lines.extend(faults);
    Ok(Inspection { lines, sound, state: recovery.past.state().clone() })
}

/// The name of a base or a checkpoint, and what it holds.
type StateFileRead = (String, Result<State, UnsoundStateFile>);

/// All bases and checkpoints, and what they hold.
fn state_files(disk: &dyn Disk) -> Result<Vec<StateFileRead>, JournalError> {
    let failed = |error| io_error(disk, "", "read the folder")(error);
    let bases = base::all(disk).map_err(failed)?;
    let checkpoints = checkpoint::all(disk).map_err(failed)?;
    let bases = bases.into_iter().map(|lamport| (base::name(lamport), base::read(disk, lamport)));
    let checkpoints = checkpoints.into_iter().map(|seq| (checkpoint::name(seq), checkpoint::read(disk, seq)));
    Ok(bases.chain(checkpoints).map(|(name, read)| (name, read.map(|(_, state)| state))).collect())
}

/// Removes damaged bases, damaged checkpoints and those without their base. Removes what lies below the newest base if
/// no start can go back to it.
pub(super) fn remove_unsound(disk: &dyn Disk, recovery: &Recovery) -> Result<(), JournalError> {
    let files = state_files(disk)?;
    let sound =
        |floor: u64| floor == 0 || files.iter().any(|(name, read)| base::lamport(name) == Some(floor) && read.is_ok());
    let useless = |read: &Result<State, _>| read.as_ref().map_or(true, |state| !sound(state.floor()));
    let mut names: Vec<String> = files.iter().filter(|(_, read)| useless(read)).map(|(name, _)| name.clone()).collect();
    if recovery.lacking.iter().any(|what| matches!(what, Lacking::ForOlderBase(_))) {
        let listed = disk.list().map_err(io_error(disk, "", "read the folder"))?;
        let older = |name: &String| {
            base::lamport(name).is_some_and(|lamport| lamport < recovery.base.lamport)
                || segment::first_seq(name).is_some_and(|first| first <= recovery.base.needed)
        };
        names.extend(listed.into_iter().filter(older));
    }
    for name in &names {
        remove_if_there(disk, name).map_err(io_error(disk, name, "remove"))?;
    }
    Ok(())
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
    lines.extend(recovery.lacking.iter().map(Lacking::to_string));
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
