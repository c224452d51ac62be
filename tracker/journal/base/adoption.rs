//! Adoption: a closed journal takes a base from another tracker as its own. Or it yields to a floor that others have
//! promised, and gives up what that excludes. The changes that lose their place are listed first.
//!
//! After a crash at any step the next start goes on from the folder. Until the base has its name, that start finds
//! what was there before, and some records a second time.

use super::super::checkpoint;
use super::super::disk::{Disk, remove_if_there};
use super::super::error::{JournalError, io_error};
use super::super::record::JournalPosition;
use super::super::recovery::{self, Recovery};
use super::super::segment::{self, SegmentPlace};
use super::super::state_file::UnsoundStateFile;
use super::{BaseMark, INCOMING, KIND};
use crate::model::id::{Origin, Seen};
use crate::model::op::Op;
use crate::model::op::floor::FloorMark;
use crate::tracker::floor::placing::{OpPlace, Placing};
use crate::tracker::floor::rules::{HeldOps, yields_to};
use crate::tracker::state::State;
use std::collections::BTreeMap;
use std::io;
use std::iter;

/// The suffix of a base that lost its place to another base, although the other one lacks a part of it.
pub(crate) const LEFT: &str = ".left";

/// Lists changes that are about to lose their place.
pub trait UnplacedSink {
    /// Lists the changes of an adoption. Returns when the list is durable. `before` is the fold that still has them.
    /// After a crash the same changes come again.
    ///
    /// # Errors
    /// Those of the system.
    fn keep(&mut self, ops: &[Op], before: &State) -> io::Result<()>;
}

/// A change of the base under a journal.
pub(crate) struct Adoption {
    /// The new base.
    pub(crate) base: State,
    placing: Placing,
    /// The ops without a place.
    unplaced: Vec<Op>,
}

/// What a start has to finish before it goes on.
pub(crate) enum Due {
    Adopt(Box<Adoption>),
    /// The base was adopted, or is of no use. The rest of the adoption is removed.
    CleanUp {
        /// The base that was adopted.
        finished: Option<Box<State>>,
    },
}

/// The base that came from another tracker and waits for its adoption. `None` if there is none.
pub(crate) fn incoming(disk: &dyn Disk) -> Result<Option<Result<State, UnsoundStateFile>>, JournalError> {
    let names = disk.list().map_err(io_error(disk, "", "read the folder"))?;
    let there = names.iter().any(|name| name == INCOMING);
    Ok(there.then(|| KIND.read(disk, INCOMING).map(|(_, state)| state)))
}

/// What the start has to finish, given what it has read.
pub(crate) fn due(disk: &dyn Disk, recovery: &Recovery, tracker: u16) -> Result<Option<Due>, JournalError> {
    let Some(incoming) = incoming(disk)? else {
        let leftovers = recovery.base.place.is_beginning && !before(disk, recovery.base)?.is_empty();
        return if leftovers { Ok(Some(Due::CleanUp { finished: None })) } else { yielding(disk, recovery, tracker) };
    };
    let Ok(base) = incoming else { return Ok(Some(Due::CleanUp { finished: None })) };
    let mark = super::mark(&base);
    let own = recovery.past.floor().mark;
    if mark <= own {
        let finished = (mark == own && mark != FloorMark::default()).then(|| Box::new(base));
        return Ok(Some(Due::CleanUp { finished }));
    }
    let placing = Placing::on_base(&base, recovery.base.lamport);
    Ok(Some(Due::Adopt(Box::new(Adoption { base, placing, unplaced: Vec::new() }))))
}

/// What the start has to finish if the journal holds ops that a promise of other trackers excludes.
fn yielding(disk: &dyn Disk, recovery: &Recovery, tracker: u16) -> Result<Option<Due>, JournalError> {
    let state = recovery.past.state();
    let Some(promised) = yields_to(state, tracker, &JournalOps { disk, base: recovery.base }) else { return Ok(None) };
    let own = recovery.base.lamport;
    let base = match recovery.base {
        BaseMark::BIRTH => State::new(),
        _ => {
            let path = disk.path(&super::name(own));
            super::read(disk, own).map_err(|why| JournalError::Foreign { path, why })?.1
        }
    };
    let placing = Placing::on_promise(&base, &promised);
    Ok(Some(Due::Adopt(Box::new(Adoption { base, placing, unplaced: Vec::new() }))))
}

/// The ops of a journal above its base. Only these can lose their place.
struct JournalOps<'a> {
    disk: &'a dyn Disk,
    base: BaseMark,
}

impl HeldOps for JournalOps<'_> {
    fn version_at(&self, lamport: u64) -> Option<Vec<Seen>> {
        let mut version: BTreeMap<Origin, u64> = BTreeMap::new();
        let read = recovery::read_above(self.disk, self.base, &mut |op| {
            if op.lamport <= lamport {
                let seq = version.entry(op.id.origin).or_default();
                *seq = op.id.seq.max(*seq);
            }
            true
        });
        read.ok()?;
        Some(version.into_iter().map(|(origin, seq)| Seen { origin, seq }).collect())
    }
}

impl Adoption {
    /// Takes the next op of the journal. Returns the op if the adoption has to write it again.
    pub(crate) fn place(&mut self, op: Op) -> Option<Op> {
        match self.placing.place(&op) {
            OpPlace::Known => None,
            OpPlace::Kept => Some(op),
            OpPlace::Nowhere => {
                self.unplaced.push(op);
                None
            }
        }
    }

    /// The ops that have no place.
    pub(crate) fn unplaced(&self) -> &[Op] {
        &self.unplaced
    }
}

/// Removes the bases before the journal's own, so that no start goes back to them afterwards.
pub(crate) fn close_ways_back(disk: &dyn Disk, own: BaseMark) -> Result<(), JournalError> {
    let older = super::all(disk).map_err(io_error(disk, "", "read the folder"))?;
    let older: Vec<String> = older.into_iter().filter(|&lamport| lamport < own.lamport).map(super::name).collect();
    remove(disk, &older)
}

/// Keeps the journal's own base under another name if another base of the same floor is about to replace it. Returns a
/// line for the operator.
pub(crate) fn keep_aside(disk: &dyn Disk, own: BaseMark, adopted: &State) -> Result<Option<String>, JournalError> {
    if own == BaseMark::BIRTH || own.lamport != adopted.floor() {
        return Ok(None);
    }
    let name = super::name(own.lamport);
    let (place, state) =
        super::read(disk, own.lamport).map_err(|why| JournalError::Foreign { path: disk.path(&name), why })?;
    // A start that yields keeps its base.
    if state.digest() == adopted.digest() {
        return Ok(None);
    }
    let left = left(disk, own.lamport, &state)?;
    KIND.write(disk, &left, place, &state).map_err(|error| io_error(disk, &left, "write")(error.into_inner()))?;
    Ok(Some(format!(
        "this tracker goes over to the base of another tracker, which is another one at the same floor; what there was is \
         kept as {}",
        disk.path(&left).display()
    )))
}

/// The name for a base that lost its place: the first of `14.left`, `14-2.left` and so on that is free. A name counts
/// as free if it already holds this base, because an earlier start was cut short.
fn left(disk: &dyn Disk, lamport: u64, base: &State) -> Result<String, JournalError> {
    let names = disk.list().map_err(io_error(disk, "", "read the folder"))?;
    let is_it = |name: &str| KIND.read(disk, name).is_ok_and(|(_, kept)| kept.digest() == base.digest());
    let numbered = (2_u64..).map(|number| format!("{lamport:020}-{number}{LEFT}"));
    let mut all = iter::once(format!("{lamport:020}{LEFT}")).chain(numbered);
    Ok(all.find(|name| !names.contains(name) || is_it(name)).expect("numbers do not end"))
}

/// Writes the base with its place after a record. From now on a start begins with it.
pub(crate) fn write(disk: &dyn Disk, position: JournalPosition, base: &State) -> Result<(), JournalError> {
    let place = SegmentPlace { is_beginning: true, ..SegmentPlace::behind(position) };
    super::write(disk, place, base)
        .map_err(|error| io_error(disk, &super::name(base.floor()), "write")(error.into_inner()))
}

/// Removes what lay under the base before its adoption, and the file that it came in. Returns what the operator has to
/// know.
pub(crate) fn clean_up(
    disk: &dyn Disk,
    recovery: &Recovery,
    finished: Option<&State>,
) -> Result<Vec<String>, JournalError> {
    let mut told = Vec::new();
    if let Some(adopted) = finished {
        told.extend(set_aside(disk, adopted)?);
    } else if let Some(Err(why)) = incoming(disk)? {
        let path = disk.path(INCOMING);
        told.push(format!("the base of another tracker {} {why}; it is removed", path.display()));
    }
    if recovery.base.place.is_beginning {
        remove(disk, &before(disk, recovery.base)?)?;
    }
    remove(disk, &[INCOMING.to_owned()])?;
    Ok(told)
}

/// Keeps a former base that holds something which the adopted one lacks.
fn set_aside(disk: &dyn Disk, adopted: &State) -> Result<Option<String>, JournalError> {
    let former = super::all(disk).map_err(io_error(disk, "", "read the folder"))?;
    let Some(former) = former.into_iter().find(|&lamport| lamport < adopted.floor()) else { return Ok(None) };
    let Ok((_, state)) = super::read(disk, former) else { return Ok(None) };
    if state.version().all(|(origin, seq)| seq <= adopted.seen(origin)) {
        return Ok(None);
    }
    let (name, left) = (super::name(former), left(disk, former, &state)?);
    disk.rename(&name, &left).map_err(io_error(disk, &name, "rename"))?;
    disk.sync_folder().map_err(io_error(disk, "", "fsync the folder"))?;
    Ok(Some(format!(
        "this tracker has gone over to the base of another tracker, which lacks changes that were below the floor here; \
         what there was is kept as {}",
        disk.path(&left).display()
    )))
}

/// The files that lay under an adopted base.
fn before(disk: &dyn Disk, adopted: BaseMark) -> Result<Vec<String>, JournalError> {
    let names = disk.list().map_err(io_error(disk, "", "read the folder"))?;
    let before = |name: &String| {
        super::lamport(name).is_some_and(|lamport| lamport < adopted.lamport)
            || checkpoint::seq(name).is_some_and(|seq| seq <= adopted.needed())
            || segment::first_seq(name).is_some_and(|first| first <= adopted.needed())
    };
    Ok(names.into_iter().filter(before).collect())
}

fn remove(disk: &dyn Disk, names: &[String]) -> Result<(), JournalError> {
    for name in names {
        remove_if_there(disk, name).map_err(io_error(disk, name, "remove"))?;
    }
    disk.sync_folder().map_err(io_error(disk, "", "fsync the folder"))
}
