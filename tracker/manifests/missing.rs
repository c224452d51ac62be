//! The manifests that should be here and are not, for those who ask other trackers for them and those who wait.

use crate::model::digest::InfoHash;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is missing.
#[derive(Debug, Default)]
pub(super) struct Missing {
    inner: Mutex<Inner>,
    /// One that was missing has come in.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts wishes.
    last: u64,
    /// With the number of the last wish for it.
    wished: BTreeMap<InfoHash, u64>,
}

impl Inner {
    fn wish(&mut self, info_hash: InfoHash) {
        self.last += 1;
        self.wished.insert(info_hash, self.last);
    }
}

impl Missing {
    /// It was noticed that this one is not here.
    pub(super) fn note(&self, info_hash: InfoHash) {
        let mut inner = self.inner.lock();
        if !inner.wished.contains_key(&info_hash) {
            inner.wish(info_hash);
        }
    }

    /// Somebody wants this one, which is not here.
    pub(super) fn wish(&self, info_hash: InfoHash) {
        self.inner.lock().wish(info_hash);
    }

    /// It is here now.
    pub(super) fn arrived(&self, info_hash: InfoHash) {
        if self.inner.lock().wished.remove(&info_hash).is_some() {
            self.arrived.notify_all();
        }
    }

    /// Those that were wished for after a wish, with the number of the last wish.
    pub(super) fn since(&self, wish: u64) -> (Vec<InfoHash>, u64) {
        let inner = self.inner.lock();
        if inner.last == wish {
            return (Vec::new(), wish);
        }
        let wished = inner.wished.iter().filter(|(_, number)| **number > wish).map(|(info_hash, _)| *info_hash);
        (wished.collect(), inner.last)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.inner.lock().wished.len()
    }

    /// Waits until one is no longer missing, but not longer than this.
    pub(super) fn wait(&self, info_hash: InfoHash, longest: Duration) {
        let until = Instant::now() + longest;
        let mut inner = self.inner.lock();
        while inner.wished.contains_key(&info_hash) {
            if self.arrived.wait_until(&mut inner, until).timed_out() {
                return;
            }
        }
    }
}
