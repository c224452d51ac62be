//! The manifests that should be here but are missing. The links ask other trackers for them, and sessions wait for
//! them.

use crate::model::digest::InfoHash;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct MissingManifests {
    wishes: Mutex<Wishes>,
    /// Wakes the threads that wait for a manifest when one has come.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Wishes {
    /// The number of the last wish.
    last: u64,
    missing: BTreeMap<InfoHash, Wish>,
    /// Counts the entries that were added and removed.
    revision: u64,
}

#[derive(Debug)]
struct Wish {
    /// The number of the last wish for this manifest.
    number: u64,
    absence: Absence,
}

/// Why a manifest is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// The disk once had it.
    Lost,
    /// Its share came from a tracker that did not give it.
    Awaited,
}

/// How many manifests are missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MissingCounts {
    /// The disk once had them.
    pub lost: usize,
    /// No tracker has given them yet.
    pub awaited: usize,
}

impl MissingCounts {
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Whether it has more than `before`, of either kind.
    pub fn exceeds(self, before: Self) -> bool {
        self.lost > before.lost || self.awaited > before.awaited
    }
}

impl fmt::Display for MissingCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { lost, awaited: 0 } => write!(f, "lost or damaged: {lost}"),
            Self { lost: 0, awaited } => write!(f, "not here yet: {awaited}"),
            Self { lost, awaited } => write!(f, "lost or damaged: {lost}, not here yet: {awaited}"),
        }
    }
}

impl Wishes {
    fn wish(&mut self, info_hash: InfoHash, absence: Absence) {
        self.last += 1;
        let number = self.last;
        match self.missing.entry(info_hash) {
            Entry::Occupied(mut known) => known.get_mut().number = number,
            Entry::Vacant(place) => {
                place.insert(Wish { number, absence });
                self.revision += 1;
            }
        }
    }
}

impl MissingManifests {
    /// Takes note that a manifest is missing. The first note counts as a wish, and its reason stays.
    pub(super) fn note(&self, info_hash: InfoHash, absence: Absence) {
        let mut wishes = self.wishes.lock();
        if !wishes.missing.contains_key(&info_hash) {
            wishes.wish(info_hash, absence);
        }
    }

    /// A client wants a manifest that is missing. The reason counts only if there was no note before.
    pub(super) fn wish(&self, info_hash: InfoHash, absence: Absence) {
        self.wishes.lock().wish(info_hash, absence);
    }

    pub(super) fn arrived(&self, info_hash: InfoHash) {
        let mut wishes = self.wishes.lock();
        if wishes.missing.remove(&info_hash).is_some() {
            wishes.revision += 1;
            drop(wishes);
            self.arrived.notify_all();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wishes.lock().missing.is_empty()
    }

    /// The missing manifests, each with the number of its last wish.
    pub(super) fn all(&self) -> BTreeMap<InfoHash, u64> {
        self.wishes.lock().missing.iter().map(|(info_hash, wish)| (*info_hash, wish.number)).collect()
    }

    /// Removes manifests that belong to no share, unless a newer wish for one has come.
    pub(super) fn let_go(&self, unknown: &BTreeMap<InfoHash, u64>) {
        let mut wishes = self.wishes.lock();
        for (info_hash, number) in unknown {
            if wishes.missing.get(info_hash).is_some_and(|wish| wish.number == *number) {
                wishes.missing.remove(info_hash);
                wishes.revision += 1;
            }
        }
    }

    /// The first manifests with a wish after number `wish`. Also returns the wish number up to which they are
    /// complete.
    pub(super) fn since(&self, wish: u64, most: usize) -> (Vec<InfoHash>, u64) {
        let wishes = self.wishes.lock();
        if wishes.last == wish {
            return (Vec::new(), wish);
        }
        let later = wishes.missing.iter().filter(|(_, of)| of.number > wish);
        let mut wished: Vec<(u64, InfoHash)> = later.map(|(info_hash, of)| (of.number, *info_hash)).collect();
        wished.sort_unstable();
        let is_rest = wished.len() <= most;
        wished.truncate(most);
        let last = wished.last().filter(|_| !is_rest).map_or(wishes.last, |(number, _)| *number);
        (wished.into_iter().map(|(_, info_hash)| info_hash).collect(), last)
    }

    /// Counts the missing manifests among these. Does not visit them while nothing is missing.
    pub(super) fn counts<I: Iterator<Item = InfoHash>>(&self, among: impl FnOnce() -> I) -> MissingCounts {
        let absences: BTreeMap<InfoHash, Absence> = {
            let wishes = self.wishes.lock();
            wishes.missing.iter().map(|(info_hash, wish)| (*info_hash, wish.absence)).collect()
        };
        if absences.is_empty() {
            return MissingCounts::default();
        }
        // Shares may have the same content.
        let missing: BTreeMap<InfoHash, Absence> =
            among().filter_map(|info_hash| Some((info_hash, *absences.get(&info_hash)?))).collect();
        let awaited = missing.values().filter(|absence| **absence == Absence::Awaited).count();
        MissingCounts { lost: missing.len() - awaited, awaited }
    }

    /// A number that changes with the set of missing manifests.
    pub(super) fn revision(&self) -> u64 {
        self.wishes.lock().revision
    }

    /// Waits until a manifest is no longer missing, at most for `longest`.
    pub(super) fn wait(&self, info_hash: InfoHash, longest: Duration) {
        let until = Instant::now() + longest;
        let mut wishes = self.wishes.lock();
        while wishes.missing.contains_key(&info_hash) {
            if self.arrived.wait_until(&mut wishes, until).timed_out() {
                return;
            }
        }
    }
}
