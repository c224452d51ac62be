//! The manifests that should be here and are not, for the links that ask other trackers and for sessions that wait.

use crate::model::digest::InfoHash;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct MissingManifests {
    wishes: Mutex<Wishes>,
    /// Wakes those who wait for a manifest: one has come in.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Wishes {
    /// The number of the last wish.
    last: u64,
    /// Missing manifests, with the number of the last wish for each.
    numbers: BTreeMap<InfoHash, u64>,
}

impl Wishes {
    fn wish(&mut self, info_hash: InfoHash) {
        self.last += 1;
        self.numbers.insert(info_hash, self.last);
    }
}

impl MissingManifests {
    /// Takes note that a manifest is not here. The first note counts as a wish.
    pub(super) fn note(&self, info_hash: InfoHash) {
        let mut wishes = self.wishes.lock();
        if !wishes.numbers.contains_key(&info_hash) {
            wishes.wish(info_hash);
        }
    }

    /// Somebody wants a manifest that is not here.
    pub(super) fn wish(&self, info_hash: InfoHash) {
        self.wishes.lock().wish(info_hash);
    }

    pub(super) fn arrived(&self, info_hash: InfoHash) {
        if self.wishes.lock().numbers.remove(&info_hash).is_some() {
            self.arrived.notify_all();
        }
    }

    /// The manifests that were wished for after wish number `wish`, and the number of the last wish.
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

    /// Waits until a manifest is no longer missing, but not longer than `longest`.
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
