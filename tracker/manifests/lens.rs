//! How long the manifests are that are here, and how much all of them take.

use crate::model::digest::InfoHash;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The lengths of the manifests that are here, and the room of those on their way.
#[derive(Debug, Default)]
pub struct ManifestLens(RwLock<Lens>);

#[derive(Debug, Default)]
struct Lens {
    of: HashMap<InfoHash, u32>,
    /// What they take, with the room that is reserved.
    total: u64,
}

/// Room for a manifest that is on its way. Dropping it frees the room.
#[derive(Debug)]
pub(super) struct ReservedRoom {
    lens: Arc<ManifestLens>,
    /// 0 once the manifest is here.
    len: AtomicU32,
}

impl ReservedRoom {
    /// The manifest is here, and takes its own room from now on.
    pub(super) fn fill(&self, info_hash: InfoHash, len: u32) {
        let mut lens = self.lens.0.write();
        lens.total -= u64::from(self.len.swap(0, Ordering::Relaxed));
        lens.insert(info_hash, len);
    }
}

impl Drop for ReservedRoom {
    fn drop(&mut self) {
        self.lens.0.write().total -= u64::from(*self.len.get_mut());
    }
}

impl Lens {
    fn insert(&mut self, info_hash: InfoHash, len: u32) {
        self.remove(info_hash);
        self.of.insert(info_hash, len);
        self.total += u64::from(len);
    }

    fn remove(&mut self, info_hash: InfoHash) {
        self.total -= u64::from(self.of.remove(&info_hash).unwrap_or_default());
    }
}

impl ManifestLens {
    pub(super) fn of_files(files: impl Iterator<Item = (InfoHash, u32)>) -> Self {
        let mut lens = Lens::default();
        files.for_each(|(info_hash, len)| lens.insert(info_hash, len));
        Self(RwLock::new(lens))
    }

    /// How many bytes all of them take, with those on their way.
    pub fn total(&self) -> u64 {
        self.0.read().total
    }

    /// Has `ask` look up lengths, which are 0 for what is not here. It must not ask for anything else of this.
    pub fn look<T>(&self, ask: impl FnOnce(&dyn Fn(InfoHash) -> u64) -> T) -> T {
        let lens = self.0.read();
        ask(&|info_hash| lens.of.get(&info_hash).copied().map_or(0, u64::from))
    }

    /// Reserves room for a manifest that is on its way, if `ask` allows what all will take then.
    pub(super) fn reserve<E>(
        self: &Arc<Self>,
        len: u32,
        ask: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<ReservedRoom, E> {
        let mut lens = self.0.write();
        let total = lens.total + u64::from(len);
        ask(total)?;
        lens.total = total;
        Ok(ReservedRoom { lens: self.clone(), len: AtomicU32::new(len) })
    }

    pub(super) fn remove(&self, info_hash: InfoHash) {
        self.0.write().remove(info_hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_that_of_what_is_there_or_on_its_way_and_one_too_many_gets_no_room() {
        let [a, b] = [1, 2].map(|byte| InfoHash([byte; 32]));
        let lens = Arc::new(ManifestLens::of_files([(a, 100)].into_iter()));
        let within = |max| move |total| if total <= max { Ok(()) } else { Err(total) };
        assert_eq!(lens.reserve(20, within(119)).map(|_| ()), Err(120));
        let room = lens.reserve(20, within(120)).expect("room");
        assert_eq!(lens.total(), 120, "on its way");
        assert_eq!(lens.reserve(1, within(120)).map(|_| ()), Err(121));
        room.fill(b, 20);
        drop(room);
        assert_eq!((lens.total(), lens.look(|len_of| len_of(b))), (120, 20), "here");
        drop(lens.reserve(20, within(140)).expect("room"));
        assert_eq!(lens.total(), 120, "it never came");
        lens.remove(a);
        lens.remove(a);
        assert_eq!((lens.total(), lens.look(|len_of| len_of(a))), (20, 0));
    }
}
