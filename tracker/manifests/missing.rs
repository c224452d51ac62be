//! The manifests that should be here and are not, for those who ask other trackers for them and those who wait.

use crate::model::digest::InfoHash;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is missing.
#[derive(Debug, Default)]
pub(super) struct MissingManifests {
    wishes: Mutex<Wishes>,
    /// One that was missing has come in.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Wishes {
    /// Counts wishes.
    last: u64,
    /// With the number of the last wish for it.
    numbers: BTreeMap<InfoHash, u64>,
}

impl Wishes {
    fn wish(&mut self, info_hash: InfoHash) {
        self.last += 1;
        self.numbers.insert(info_hash, self.last);
    }
}

impl MissingManifests {
    /// It was noticed that this one is not here.
    pub(super) fn note(&self, info_hash: InfoHash) {
        let mut wishes = self.wishes.lock();
        if !wishes.numbers.contains_key(&info_hash) {
            wishes.wish(info_hash);
        }
    }

    /// Somebody wants this one, which is not here.
    pub(super) fn wish(&self, info_hash: InfoHash) {
        self.wishes.lock().wish(info_hash);
    }

    /// It is here now.
    pub(super) fn arrived(&self, info_hash: InfoHash) {
        if self.wishes.lock().numbers.remove(&info_hash).is_some() {
            self.arrived.notify_all();
        }
    }

    /// Those that were wished for after a wish, with the number of the last wish.
    pub(super) fn since(&self, wish: u64) -> (Vec<InfoHash>, u64) {
        let wishes = self.wishes.lock();
        if wishes.last == wish {
            return (Vec::new(), wish);
        }
        let wished = wishes.numbers.iter().filter(|(_, number)| **number > wish).map(|(info_hash, _)| *info_hash);
        (wished.collect(), wishes.last)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.wishes.lock().numbers.len()
    }

    /// Waits until one is no longer missing, but not longer than this.
    pub(super) fn wait(&self, info_hash: InfoHash, longest: Duration) {
        let until = Instant::now() + longest;
        let mut wishes = self.wishes.lock();
        while wishes.numbers.contains_key(&info_hash) {
            if self.arrived.wait_until(&mut wishes, until).timed_out() {
                return;
            }
        }
    }
}
