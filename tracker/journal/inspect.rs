//! The check of `tracker --check`, and the report and the copy of `tracker --repair`. A check reads a journal and
//! changes nothing in it.

use super::base::{self, BaseMark, adoption};
use super::checkpoint;
use super::disk::{Disk, remove_if_there};
use super::error::{JournalError, io_error};
use super::plan::Lacking;
use super::reader::RecoveryOptions;
use super::record;
use super::recovery::{self, Recovery, owner, recover};
use super::segment::{self, RECORDS_AT, SegmentPlace};
use super::state_file::UnsoundStateFile;
use crate::tracker::state::State;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a journal holds, and whether it is sound.
#[derive(Debug)]
pub struct Inspection {
    /// A report, line by line.
    pub lines: Vec<String>,
    /// A start from any of the checkpoints loses and skips nothing, and the tracker can give all ops to others.
    pub sound: bool,
    /// The fold of all ops.
    pub state: State,
}

/// Starts as a tracker does, then reads what the start left out. Changes nothing.
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
    faults.extend(recovery.lacking.iter().map(works_but));
    let for_others = recovery.lacking.iter().any(|what| matches!(what, Lacking::ForOthers(_)));
    if recovery.checkpoint.is_some() && !for_others {
        match recover(disk, RecoveryOptions { checkpoints: false, ..start }) {
            Ok(whole) if whole.past.state().digest() == recovery.past.state().digest() => {}
            Ok(_) => {
                faults.push("a start works; but its checkpoint is not what the changes before it have led to".into())
            }
            Err(error) => faults.push(works_but(&Lacking::ForOthers(error.fault()))),
        }
    }
    let for_older = recovery.lacking.iter().any(|what| matches!(what, Lacking::ForOlderBase(_)));
    if recovery.base != BaseMark::BIRTH && !for_older {
        match way_from_older(disk, recovery.base, start) {
            Ok(Some(again))
                if base::read(disk, recovery.base.lamport).map_or(true, |(_, base)| !is_same(&base, &again)) =>
            {
                faults.push("a start works; but its base is not what the changes before it have led to".into());
            }
            Ok(_) => {}
            Err(lacking) => faults.push(works_but(&lacking)),
        }
    }
    for (name, read) in state_files(disk)? {
        let path = disk.path(&name);
        let path = path.display();
        match read {
            Ok((ops, _)) => lines.push(format!("{path} is sound: {ops} ops")),
            // The start has already told of the files that it tried.
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
        lines.push(format!("{} is a base that was here before that of the others", disk.path(name).display()));
    }
    let sound = faults.is_empty();
    lines.extend(faults);
    Ok(Inspection { lines, sound, state: recovery.past.state().clone() })
}

fn works_but(lacking: &Lacking) -> String {
    format!("a start works; but {lacking}")
}

fn is_same(one: &State, other: &State) -> bool {
    one.digest() == other.digest()
}

/// A base, made again from the one before. `None` if there is none before.
///
/// # Errors
/// The journal lacks changes between the two.
fn way_from_older(disk: &dyn Disk, base: BaseMark, options: RecoveryOptions) -> Result<Option<State>, Lacking> {
    let again = recovery::base_again(disk, base, options).map_err(|error| Lacking::ForOlderBase(error.fault()))?;
    match again.as_ref().map(State::op_count) {
        Some(ops) if ops < base.ops => {
            let (path, lacking) = (disk.path(&base::name(base.lamport)), base.ops - ops);
            let what = format!("of the {} changes in {} the journal lacks {lacking}", base.ops, path.display());
            Err(Lacking::ForOlderBase(what))
        }
        _ => Ok(again),
    }
}

/// The name of a base or a checkpoint, how many ops it folds, and its floor.
type StateFileRead = (String, Result<(u64, u64), UnsoundStateFile>);

/// All bases and checkpoints, and what they hold.
fn state_files(disk: &dyn Disk) -> Result<Vec<StateFileRead>, JournalError> {
    let failed = |error| io_error(disk, "", "read the folder")(error);
    let bases = base::all(disk).map_err(failed)?;
    let checkpoints = checkpoint::all(disk).map_err(failed)?;
    let held = |state: State| (state.op_count(), state.floor());
    let of_base = |lamport| (base::name(lamport), base::read(disk, lamport).map(|(_, state)| held(state)));
    let of_checkpoint = |seq| (checkpoint::name(seq), checkpoint::read(disk, seq).map(|(_, state)| held(state)));
    let bases = bases.into_iter().map(of_base);
    Ok(bases.chain(checkpoints.into_iter().map(of_checkpoint)).collect())
}

/// Removes damaged bases, damaged checkpoints, and checkpoints without their base.
pub(super) fn remove_unsound(disk: &dyn Disk) -> Result<(), JournalError> {
    let files = state_files(disk)?;
    let sound =
        |floor: u64| floor == 0 || files.iter().any(|(name, read)| base::lamport(name) == Some(floor) && read.is_ok());
    let useless = |read: &Result<(u64, u64), _>| read.as_ref().map_or(true, |&(_, floor)| !sound(floor));
    let names: Vec<String> = files.iter().filter(|(_, read)| useless(read)).map(|(name, _)| name.clone()).collect();
    remove_all(disk, &names)
}

/// Removes what lies below a base if no start can reach that base from an older one. Returns a line for the report.
pub(super) fn let_go_of_older(
    disk: &dyn Disk,
    base: BaseMark,
    lacking: &[Lacking],
    tracker: Option<u16>,
) -> Result<Option<String>, JournalError> {
    let options = RecoveryOptions { tracker, checkpoints: false, force: false };
    let told = lacking.iter().find(|what| matches!(what, Lacking::ForOlderBase(_)));
    // With damage above the base, no start can go on from any base. So a failed start says nothing about the way from
    // an older base to this one.
    let is_way = told.is_none() && (recover(disk, options).is_err() || way_from_older(disk, base, options).is_ok());
    if base == BaseMark::BIRTH || is_way {
        return Ok(None);
    }
    base::move_to(disk, base.lamport, SegmentPlace { is_beginning: true, ..base.place })?;
    let listed = disk.list().map_err(io_error(disk, "", "read the folder"))?;
    let older = |name: &String| {
        base::lamport(name).is_some_and(|lamport| lamport < base.lamport)
            || segment::first_seq(name).is_some_and(|first| first <= base.needed())
    };
    remove_all(disk, &listed.into_iter().filter(older).collect::<Vec<_>>())?;
    let path = disk.path(&base::name(base.lamport));
    Ok(Some(format!("what is older than {} is no longer needed and was removed", path.display())))
}

fn remove_all(disk: &dyn Disk, names: &[String]) -> Result<(), JournalError> {
    for name in names {
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

/// The report of a repair that cuts a journal off where its recovery ended.
pub(super) fn repair_report(disk: &dyn Disk, recovery: &Recovery, copy: &Path) -> Vec<String> {
    let mut lines = vec![format!("a copy of what was there is in {}", copy.display())];
    lines.push(match (&recovery.torn, recovery.dropped.len()) {
        (None, _) => "there is no damage that keeps the tracker from starting".to_owned(),
        (Some(torn), 0) => format!("{torn}; cut off there"),
        (Some(torn), files) => format!("{torn}; cut off there, with {files} later files"),
    });
    lines.extend(recovery.torn.as_ref().and_then(|_| let_go(disk, recovery)));
    lines.extend(recovery.warnings.iter().cloned());
    lines.extend(recovery.lacking.iter().map(Lacking::to_string));
    lines.extend(describe(recovery));
    lines
}

/// What lies after the place where a journal is cut off. `None` if nothing there is readable.
fn let_go(disk: &dyn Disk, recovery: &Recovery) -> Option<String> {
    let before = recovery.position.seq;
    let cut = recovery.last_segment.as_ref().map(|cut| (cut.header.first_seq, cut.mark.end as usize));
    let (mut whole, mut last) = (0, before);
    for (first_seq, at) in cut.into_iter().chain(recovery.dropped.iter().map(|&first_seq| (first_seq, RECORDS_AT))) {
        let bytes = disk.read(&segment::name(first_seq)).unwrap_or_default();
        let behind = bytes.get(at..).unwrap_or_default();
        let (count, highest) = record::whole_behind(behind, last.max(first_seq - 1));
        (whole, last) = (whole + count, highest.max(last));
    }
    let unreadable = last - before - whole;
    (whole > 0).then(|| {
        format!(
            "records {} to {last} are dropped: {whole} are whole, {unreadable} cannot be read; the copy has their files, and \
             other trackers give back what they have",
            before + 1
        )
    })
}

/// Copies a folder of files to a new folder, and makes the copy durable.
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
