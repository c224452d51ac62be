//! The table of the other trackers: which are connected, which are not and why, and which are forgotten.

use super::live_link::LiveLink;
use super::local_tracker::LocalTracker;
use super::number_clashes::{self, NumberClashes};
use super::other_tracker::{LinkFloor, LinkStatus, OtherTracker};
use crate::model::address::TrackerAddr;
use crate::model::op::floor::FloorMark;
use crate::tracker::state::State;
use crate::wire::refusal::{Code, Refusal};
use crate::wire::tracker_tracker::LinkMessage;
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a tracker may take for a sign of life when another program claims its number. A tracker that lost power
/// gives no sign. It may be running again: then it is that other program.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How many links are asked for a sign of life on behalf of one program. New links may come meanwhile, and the program
/// does not wait for its `Hello` forever.
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

/// The other trackers by number.
pub(crate) struct TrackerTable {
    own: u16,
    table: Mutex<Table>,
}

struct Table {
    entries: BTreeMap<u16, TableEntry>,
    /// The forgotten trackers of the durable state. The lock of the entries covers them too, so no forgotten tracker
    /// can add a link meanwhile.
    forgotten: BTreeSet<u16>,
    closed: bool,
    clashes: NumberClashes,
}

impl TrackerTable {
    pub(crate) fn new(me: &LocalTracker, state: &State) -> Self {
        let since = Instant::now();
        let entry = |(number, addr): &(u16, TrackerAddr)| {
            (*number, TableEntry { addr: Some(addr.clone()), live: None, since, why: None })
        };
        let table = Table {
            entries: me.others.iter().map(entry).collect(),
            forgotten: state.forgotten().collect(),
            closed: false,
            clashes: NumberClashes::default(),
        };
        Self { own: me.origin.tracker, table: Mutex::new(table) }
    }

    /// The trackers of the list, without this one.
    pub(crate) fn listed(&self) -> Vec<(u16, TrackerAddr)> {
        let table = self.table.lock();
        let addr = |(number, entry): (&u16, &TableEntry)| Some((*number, entry.addr.clone()?));
        table.entries.iter().filter_map(addr).collect()
    }

    /// Sets the other trackers of the list. Links stay: the dialer ends those to addresses that have changed.
    pub(crate) fn set_listed(&self, others: &[(u16, TrackerAddr)]) {
        let mut table = self.table.lock();
        table.entries.values_mut().for_each(|entry| entry.addr = None);
        for (number, addr) in others {
            table.entries.entry(*number).or_insert_with(TableEntry::unlisted).addr = Some(addr.clone());
        }
        table.entries.retain(|_, entry| entry.addr.is_some() || entry.live.is_some());
    }

    /// Enters the link of a tracker. Ends an older link with the same program. Also ends a link with another program
    /// that gives no sign of life in time; waits for that.
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

    /// As [`TrackerTable::enter`], without waiting. Returns the link of another program that has the number, unless it
    /// is the `silent` one.
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
        if table.forgotten.contains(&number) {
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

    /// A link has ended. Does nothing if another link has replaced it.
    pub(crate) fn leave(&self, number: u16, live: &Arc<LiveLink>) {
        let mut table = self.table.lock();
        let entry = table.entries.get_mut(&number);
        if let Some(entry) = entry.filter(|entry| entry.live.as_ref().is_some_and(|now| Arc::ptr_eq(now, live))) {
            (entry.live, entry.since) = (None, Instant::now());
        }
    }

    /// Notes why a tracker is not connected. Returns true if that is news for the operator.
    pub(crate) fn note_away(&self, number: u16, why: &str) -> bool {
        let mut table = self.table.lock();
        let known = table.closed || table.forgotten.contains(&number);
        let Some(entry) = table.entries.get_mut(&number).filter(|entry| entry.live.is_none()) else { return false };
        entry.why.replace(why.to_owned()).as_deref() != Some(why) && !known
    }

    /// A program was rejected, because another one has its number. Returns the news for the operator, if any.
    pub(crate) fn note_clash(&self, number: u16, instance: [u8; 16], from: &str) -> Option<String> {
        let news = self.table.lock().clashes.note(number, instance, from, Instant::now());
        news.then(|| number_clashes::words(number, from))
    }

    /// A program was accepted. Returns true if it is the one that was rejected before.
    pub(crate) fn end_clash(&self, number: u16, instance: [u8; 16]) -> bool {
        self.table.lock().clashes.taken(number, instance)
    }

    /// The numbers that no other program claims any longer.
    pub(crate) fn sweep_clashes(&self, now: Instant) -> Vec<u16> {
        self.table.lock().clashes.sweep(now)
    }

    pub(crate) fn clashes(&self) -> Vec<String> {
        self.table.lock().clashes.lines()
    }

    pub(crate) fn is_forgotten(&self, number: u16) -> bool {
        self.table.lock().forgotten.contains(&number)
    }

    /// Takes note of the forgotten trackers, and ends the links with them. Returns those that have changed, with
    /// whether they are forgotten now.
    pub(crate) fn set_forgotten(&self, forgotten: BTreeSet<u16>) -> Vec<(u16, bool)> {
        let (changed, links) = {
            let mut table = self.table.lock();
            let before = std::mem::replace(&mut table.forgotten, forgotten);
            let changed: Vec<u16> = before.symmetric_difference(&table.forgotten).copied().collect();
            let links = changed.iter().filter(|number| table.forgotten.contains(number));
            let live = |number: &u16| Some((*number, table.entries.get(number)?.live.clone()?));
            let links: Vec<(u16, Arc<LiveLink>)> = links.filter_map(live).collect();
            (changed.into_iter().map(|number| (number, !before.contains(&number))).collect(), links)
        };
        for (number, live) in links {
            // Neither call waits for the other tracker.
            live.sender.push(&LinkMessage::refused(&Refusal::about(Code::Retired, number)));
            live.sender.end();
            live.wakeup.wake();
        }
        changed
    }

    /// Whether it is in the list or has called.
    pub(crate) fn is_known(&self, number: u16) -> bool {
        self.table.lock().entries.contains_key(&number)
    }

    pub(crate) fn wake(&self) -> bool {
        let table = self.table.lock();
        let links = table.entries.values().filter_map(|entry| entry.live.as_ref());
        links.map(|live| live.wakeup.wake()).count() > 0
    }

    /// The connected trackers and their floors.
    pub(crate) fn floors(&self) -> Vec<(u16, FloorMark)> {
        let table = self.table.lock();
        let links = table.entries.iter().filter_map(|(number, entry)| Some((*number, entry.live.as_ref()?)));
        links.map(|(number, live)| (number, live.progress.lock().floor)).collect()
    }

    /// Passes a call on to a tracker. Returns false if that tracker is not connected.
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

    /// The other trackers, compared with this floor. `giver` is the tracker that gives its base, and how many percent
    /// of the base are here.
    pub(crate) fn others(&self, state: &State, own: FloorMark, giver: Option<(u16, u64)>) -> Vec<OtherTracker> {
        let table = self.table.lock();
        let taken = |number| giver.filter(|(giver, _)| *giver == number).map(|(_, percent)| percent);
        let status = |number, entry: &TableEntry| match &entry.live {
            Some(live) => {
                let progress = live.progress.lock();
                let (there_behind, here_behind) = (progress.durable.lacks(state), progress.durable.exceeds(state));
                LinkStatus::Connected {
                    lasts: entry.since.elapsed(),
                    floor: match progress.floor.cmp(&own) {
                        Ordering::Equal => LinkFloor::Same,
                        Ordering::Less => LinkFloor::Lower,
                        Ordering::Greater => LinkFloor::Higher(taken(number)),
                    },
                    there_behind,
                    here_behind,
                    agrees: progress.agrees,
                }
            }
            None => LinkStatus::Away { lasts: entry.since.elapsed(), why: entry.why.clone() },
        };
        let other = |number: u16| {
            let entry = table.entries.get(&number);
            let status = match entry {
                Some(entry) if !state.is_forgotten(number) => status(number, entry),
                _ => LinkStatus::Forgotten,
            };
            OtherTracker { number, addr: entry.and_then(|entry| entry.addr.clone()), status }
        };
        let numbers: BTreeSet<u16> = table.entries.keys().copied().chain(state.forgotten()).collect();
        numbers.into_iter().filter(|number| *number != self.own).map(other).collect()
    }
}
