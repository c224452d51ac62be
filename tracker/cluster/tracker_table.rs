//! The table of the other trackers: which are connected, which are not and why, which were retired.

use super::live_link::LiveLink;
use super::local_tracker::LocalTracker;
use super::number_clashes::{self, NumberClashes};
use super::other_tracker::{LinkStatus, OtherTracker};
use crate::model::address::TrackerAddr;
use crate::sys::durable;
use crate::tracker::state::State;
use crate::wire::refusal::{Code, Refusal};
use crate::wire::tracker_tracker::LinkMessage;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a tracker has to say that it is there, once another program claims its number. A tracker that has lost power
/// does not; it may be back already, and be that program.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How many links are asked for one program, if others come meanwhile: it waits for its `Hello`, but not for ever.
const QUESTIONS_MAX: usize = 2;

struct TableEntry {
    addr: Option<TrackerAddr>,
    live: Option<Arc<LiveLink>>,
    since: Instant,
    why: Option<String>,
}

impl TableEntry {
    fn unlisted() -> Self {
        Self { addr: None, live: None, since: Instant::now(), why: None }
    }
}

/// The other trackers by number. One lock guards all but the file.
pub(crate) struct TrackerTable {
    own: u16,
    table: Mutex<Table>,
    /// The file of retired numbers; locked while it is written.
    file: Mutex<PathBuf>,
}

struct Table {
    entries: BTreeMap<u16, TableEntry>,
    retired: BTreeSet<u16>,
    closed: bool,
    clashes: NumberClashes,
}

impl Table {
    fn retire(&mut self, number: u16) {
        self.retired.insert(number);
        if let Some(live) = &self.entries.entry(number).or_insert_with(TableEntry::unlisted).live {
            live.sender.end();
        }
    }
}

impl TrackerTable {
    pub(crate) fn new(me: &LocalTracker) -> io::Result<Self> {
        let since = Instant::now();
        let entry = |(number, addr): &(u16, TrackerAddr)| {
            (*number, TableEntry { addr: Some(addr.clone()), live: None, since, why: None })
        };
        let retired = read(&me.retired)?;
        let mut table = Table {
            entries: me.others.iter().map(entry).collect(),
            retired: BTreeSet::new(),
            closed: false,
            clashes: NumberClashes::default(),
        };
        retired.into_iter().for_each(|number| table.retire(number));
        Ok(Self { own: me.origin.tracker, table: Mutex::new(table), file: Mutex::new(me.retired.clone()) })
    }

    /// A tracker is connected from now on. An older link with the same program is ended, and so is one with another
    /// program that does not answer in time, for which this waits.
    ///
    /// # Errors
    /// `TrackerNumber` if another program has this number, `Retired`, `Closing`.
    pub(crate) fn enter(&self, number: u16, live: &Arc<LiveLink>) -> Result<(), Refusal> {
        let mut silent = None;
        for _ in 0..QUESTIONS_MAX {
            match self.try_enter(number, live, silent.as_ref())? {
                None => return Ok(()),
                Some(other) if other.answers(ANSWER_MAX) => break,
                Some(other) => silent = Some(other),
            }
        }
        Err(Refusal::about(Code::TrackerNumber, number))
    }

    /// The same, without waiting. Returns the link of another program that has the number, unless it is the `silent`
    /// one.
    fn try_enter(
        &self,
        number: u16,
        live: &Arc<LiveLink>,
        silent: Option<&Arc<LiveLink>>,
    ) -> Result<Option<Arc<LiveLink>>, Refusal> {
        let mut table = self.table.lock();
        if table.closed {
            return Err(Code::Closing.into());
        }
        if table.retired.contains(&number) {
            return Err(Refusal::about(Code::Retired, number));
        }
        if number == self.own || number == 0 {
            return Err(Refusal::about(Code::TrackerNumber, number));
        }
        let entry = table.entries.entry(number).or_insert_with(TableEntry::unlisted);
        let is_silent = |other: &Arc<LiveLink>| silent.is_some_and(|silent| Arc::ptr_eq(silent, other));
        let other = entry.live.as_ref().filter(|other| other.instance != live.instance && !is_silent(other));
        if let Some(other) = other {
            return Ok(Some(other.clone()));
        }
        if let Some(old) = entry.live.replace(live.clone()) {
            old.sender.end();
        }
        (entry.since, entry.why) = (Instant::now(), None);
        Ok(None)
    }

    /// A link has ended. Without effect if another link has replaced it.
    pub(crate) fn leave(&self, number: u16, live: &Arc<LiveLink>) {
        let mut table = self.table.lock();
        let entry = table.entries.get_mut(&number);
        if let Some(entry) = entry.filter(|entry| entry.live.as_ref().is_some_and(|now| Arc::ptr_eq(now, live))) {
            (entry.live, entry.since) = (None, Instant::now());
        }
    }

    /// Notes why a tracker is not connected; true if that is news for the operator.
    pub(crate) fn note_away(&self, number: u16, why: &str) -> bool {
        let mut table = self.table.lock();
        let known = table.closed || table.retired.contains(&number);
        let Some(entry) = table.entries.get_mut(&number).filter(|entry| entry.live.is_none()) else { return false };
        entry.why.replace(why.to_owned()).as_deref() != Some(why) && !known
    }

    /// A program was turned away, since another one has its number. Returns what is news for the operator.
    pub(crate) fn note_clash(&self, number: u16, instance: [u8; 16], from: &str) -> Option<String> {
        let news = self.table.lock().clashes.note(number, instance, from, Instant::now());
        news.then(|| number_clashes::words(number, from))
    }

    /// A program was taken; true if it is the one that was turned away before.
    pub(crate) fn end_clash(&self, number: u16, instance: [u8; 16]) -> bool {
        self.table.lock().clashes.taken(number, instance)
    }

    /// The numbers that nobody else claims any more.
    pub(crate) fn sweep_clashes(&self, now: Instant) -> Vec<u16> {
        self.table.lock().clashes.sweep(now)
    }

    pub(crate) fn clashes(&self) -> Vec<String> {
        self.table.lock().clashes.lines()
    }

    pub(crate) fn is_retired(&self, number: u16) -> bool {
        self.table.lock().retired.contains(&number)
    }

    /// Whether it is on the list, has called, or was retired.
    pub(crate) fn is_known(&self, number: u16) -> bool {
        self.table.lock().entries.contains_key(&number)
    }

    pub(crate) fn retire(&self, number: u16) -> io::Result<()> {
        let file = self.file.lock();
        let mut retired = self.table.lock().retired.clone();
        retired.insert(number);
        write(&file, &retired)?;
        self.table.lock().retire(number);
        Ok(())
    }

    pub(crate) fn wake(&self) -> bool {
        let table = self.table.lock();
        let links = table.entries.values().filter_map(|entry| entry.live.as_ref());
        links.map(|live| live.wakeup.wake()).count() > 0
    }

    /// Has a call passed on to a tracker; false if that is not connected.
    pub(crate) fn pass_call(&self, number: u16, call: LinkMessage) -> bool {
        let live = self.table.lock().entries.get(&number).and_then(|entry| entry.live.clone());
        live.map(|live| live.pass_call(call)).is_some()
    }

    pub(crate) fn end_all(&self) {
        let mut table = self.table.lock();
        table.closed = true;
        table.entries.values().filter_map(|entry| entry.live.as_ref()).for_each(|live| {
            live.sender.end();
            live.wakeup.wake();
        });
    }

    pub(crate) fn others(&self, state: &State) -> Vec<OtherTracker> {
        let table = self.table.lock();
        let status = |number: u16, entry: &TableEntry| match &entry.live {
            _ if table.retired.contains(&number) => LinkStatus::Retired,
            Some(live) => {
                let progress = live.progress.lock();
                let (there_behind, here_behind) = (progress.durable.lacks(state), progress.durable.exceeds(state));
                LinkStatus::Connected {
                    lasts: entry.since.elapsed(),
                    there_behind,
                    here_behind,
                    agrees: progress.agrees,
                }
            }
            None => LinkStatus::Away { lasts: entry.since.elapsed(), why: entry.why.clone() },
        };
        let other = |(&number, entry): (&u16, &TableEntry)| OtherTracker {
            number,
            addr: entry.addr.clone(),
            status: status(number, entry),
        };
        table.entries.iter().filter(|(number, _)| **number != self.own).map(other).collect()
    }
}

/// The file has a number on each line.
fn read(path: &Path) -> io::Result<BTreeSet<u16>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let bad = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("'{line}' is no tracker number"));
            text.lines().map(|line| line.trim().parse().map_err(|_| bad(line))).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, numbers: &BTreeSet<u16>) -> io::Result<()> {
    let text: String = numbers.iter().map(|number| format!("{number}\n")).collect();
    durable::replace(path, text.as_bytes())
}
