//! The table of the other trackers: which are connected, which are not and why, which were retired.

use super::replica::Me;
use super::version_vector::VersionVector;
use super::wakeup::Wakeup;
use crate::model::digest::InfoHash;
use crate::model::units::age;
use crate::sys::durable;
use crate::tracker::state::State;
use crate::wire::connection::FrameSender;
use crate::wire::error::{Code, Refusal};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A link on which nothing came in for this long does not keep another program of the same number away.
const STALE: Duration = Duration::from_secs(10);

/// A tracker that is connected.
pub(crate) struct Live {
    pub(crate) instance: [u8; 16],
    pub(crate) sender: Arc<FrameSender>,
    /// Wakes the thread that sends.
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) far: Mutex<Far>,
    /// The manifests that it wants and that are to be given.
    pub(crate) wanted: Mutex<BTreeSet<InfoHash>>,
}

/// What is known of a tracker that is connected.
pub(crate) struct Far {
    /// Ops that went either way on this link, or that it had before: none of them is sent again.
    pub(crate) exchanged: VersionVector,
    /// What it has said to be durable.
    pub(crate) durable: VersionVector,
    pub(crate) heard: Instant,
    /// Whether its state was the same when it knew the same ops, once that was compared.
    pub(crate) agrees: Option<bool>,
    /// It has asked for everything that is durable here and not there, whatever it was given.
    pub(crate) asks_again: bool,
    /// It is to be asked for what was given and could not be kept here.
    pub(crate) gives_again: bool,
}

/// Another tracker, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its number.
    pub number: u16,
    /// Where the list has it; `None` if it is not on this tracker's list.
    pub addr: Option<SocketAddr>,
    /// How it is doing.
    pub standing: Standing,
}

/// How another tracker is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is connected.
    Connected {
        /// For how long.
        lasts: Duration,
        /// Changes that it has not made durable yet.
        there_behind: u64,
        /// Changes that are not durable here yet.
        here_behind: u64,
        /// Whether its state was the same when it knew the same changes, once that was compared.
        agrees: Option<bool>,
    },
    /// It is not connected.
    Away {
        /// For how long.
        lasts: Duration,
        /// Why, if that is known.
        why: Option<String>,
    },
    /// It was retired here.
    Retired,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr.map_or_else(|| "not on the list".into(), |addr| addr.to_string());
        write!(f, "tracker {:<3} {addr}, ", self.number)?;
        match &self.standing {
            Standing::Connected { lasts, there_behind, here_behind, agrees } => {
                let agrees = match agrees {
                    Some(true) => "same digest",
                    Some(false) => "ANOTHER DIGEST, please report this",
                    None => "digest not compared yet",
                };
                write!(f, "connected for {}, {there_behind} changes behind", age(*lasts))?;
                write!(f, ", this one {here_behind} behind, {agrees}")
            }
            Standing::Away { lasts, why } => {
                write!(f, "not connected for {}", age(*lasts))?;
                why.iter().try_for_each(|why| write!(f, ": {why}"))
            }
            Standing::Retired => write!(f, "retired here"),
        }
    }
}

struct Entry {
    addr: Option<SocketAddr>,
    live: Option<Arc<Live>>,
    since: Instant,
    why: Option<String>,
}

impl Entry {
    fn unlisted() -> Self {
        Self { addr: None, live: None, since: Instant::now(), why: None }
    }
}

pub(crate) struct TrackerTable {
    own: u16,
    inner: Mutex<Inner>,
    /// Where the retired are kept; locked while they are written.
    file: Mutex<PathBuf>,
}

struct Inner {
    entries: BTreeMap<u16, Entry>,
    retired: BTreeSet<u16>,
    closed: bool,
    /// What the operator was told last of a number that two programs have.
    accused: String,
}

impl Inner {
    fn retire(&mut self, number: u16) {
        self.retired.insert(number);
        if let Some(live) = &self.entries.entry(number).or_insert_with(Entry::unlisted).live {
            live.sender.end();
        }
    }
}

impl TrackerTable {
    pub(crate) fn new(me: &Me) -> io::Result<Self> {
        let since = Instant::now();
        let entry = |&(number, addr)| (number, Entry { addr: Some(addr), live: None, since, why: None });
        let retired = read(&me.retired)?;
        let mut inner = Inner {
            entries: me.others.iter().map(entry).collect(),
            retired: BTreeSet::new(),
            closed: false,
            accused: String::new(),
        };
        retired.into_iter().for_each(|number| inner.retire(number));
        Ok(Self { own: me.origin.tracker, inner: Mutex::new(inner), file: Mutex::new(me.retired.clone()) })
    }

    /// A tracker is connected from now on. An older link with the same program is ended. Refusals: `TrackerNumber` if
    /// another program has this number, `Retired`, `Closing`.
    pub(crate) fn enter(&self, number: u16, live: &Arc<Live>) -> Result<(), Refusal> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Code::Closing.into());
        }
        if inner.retired.contains(&number) {
            return Err(Refusal::about(Code::Retired, number));
        }
        let entry = inner.entries.entry(number).or_insert_with(Entry::unlisted);
        let other = entry.live.as_ref().filter(|other| other.instance != live.instance);
        let taken = other.is_some_and(|other| other.far.lock().heard.elapsed() < STALE);
        if number == self.own || number == 0 || taken {
            return Err(Refusal::about(Code::TrackerNumber, number));
        }
        if let Some(old) = entry.live.replace(live.clone()) {
            old.sender.end();
        }
        (entry.since, entry.why) = (Instant::now(), None);
        Ok(())
    }

    /// A link has ended. Without effect if another one has taken its place.
    pub(crate) fn leave(&self, number: u16, live: &Arc<Live>) {
        let mut inner = self.inner.lock();
        let entry = inner.entries.get_mut(&number);
        if let Some(entry) = entry.filter(|entry| entry.live.as_ref().is_some_and(|now| Arc::ptr_eq(now, live))) {
            (entry.live, entry.since) = (None, Instant::now());
        }
    }

    /// Why a tracker cannot be reached; true if that is news for somebody.
    pub(crate) fn excuse(&self, number: u16, why: &str) -> bool {
        let mut inner = self.inner.lock();
        let known = inner.closed || inner.retired.contains(&number);
        let Some(entry) = inner.entries.get_mut(&number).filter(|entry| entry.live.is_none()) else { return false };
        entry.why.replace(why.to_owned()).as_deref() != Some(why) && !known
    }

    /// Whether it is news that another program has this number.
    pub(crate) fn accuse(&self, line: &str) -> bool {
        let told = std::mem::replace(&mut self.inner.lock().accused, line.to_owned());
        told != line
    }

    pub(crate) fn is_retired(&self, number: u16) -> bool {
        self.inner.lock().retired.contains(&number)
    }

    /// Whether it is on the list, has called, or was retired.
    pub(crate) fn is_known(&self, number: u16) -> bool {
        self.inner.lock().entries.contains_key(&number)
    }

    pub(crate) fn retire(&self, number: u16) -> io::Result<()> {
        let file = self.file.lock();
        let mut retired = self.inner.lock().retired.clone();
        retired.insert(number);
        write(&file, &retired)?;
        self.inner.lock().retire(number);
        Ok(())
    }

    pub(crate) fn wake(&self) -> bool {
        let inner = self.inner.lock();
        let links = inner.entries.values().filter_map(|entry| entry.live.as_ref());
        links.map(|live| live.wakeup.wake()).count() > 0
    }

    pub(crate) fn end_all(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.entries.values().filter_map(|entry| entry.live.as_ref()).for_each(|live| {
            live.sender.end();
            live.wakeup.wake();
        });
    }

    pub(crate) fn others(&self, state: &State) -> Vec<Other> {
        let inner = self.inner.lock();
        let standing = |number: u16, entry: &Entry| match &entry.live {
            _ if inner.retired.contains(&number) => Standing::Retired,
            Some(live) => {
                let far = live.far.lock();
                let (there_behind, here_behind) = (far.durable.lacks(state), far.durable.exceeds(state));
                Standing::Connected { lasts: entry.since.elapsed(), there_behind, here_behind, agrees: far.agrees }
            }
            None => Standing::Away { lasts: entry.since.elapsed(), why: entry.why.clone() },
        };
        let other =
            |(&number, entry): (&u16, &Entry)| Other { number, addr: entry.addr, standing: standing(number, entry) };
        inner.entries.iter().filter(|(number, _)| **number != self.own).map(other).collect()
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
