//! What is known of the manifests here: their lengths, their facts, and the disk space of all of them.

use super::facts::{FileIdentity, ManifestFacts};
use crate::model::digest::InfoHash;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The least that a manifest counts: its file takes as much of the disk. So their number is limited too.
const ROOM_MIN: u32 = 4096;

/// The bytes that a manifest of this length counts.
pub(crate) fn room_of(len: u32) -> u32 {
    len.max(ROOM_MIN)
}

/// The lengths of the manifests here, and the room of those on their way.
#[derive(Debug, Default)]
pub struct ManifestLens(RwLock<Lens>);

#[derive(Debug, Default)]
struct Lens {
    of: HashMap<InfoHash, Known>,
    /// The sum for all of them, including reserved room.
    total: u64,
}

/// What is known of a manifest while it is here.
#[derive(Debug, Clone, Copy)]
struct Known {
    len: u32,
    /// Its facts, if this run has checked the file of this identity.
    facts: Option<(FileIdentity, ManifestFacts)>,
}

/// Room for a manifest on its way. Dropping it frees the room.
#[derive(Debug)]
pub(super) struct ReservedRoom {
    lens: Arc<ManifestLens>,
    /// 0 once the manifest is here.
    len: AtomicU32,
}

impl ReservedRoom {
    /// Grows the room to `len` bytes, if `ask` allows the sum that results.
    pub(super) fn grow<E>(&mut self, len: u32, ask: impl FnOnce(u64) -> Result<(), E>) -> Result<(), E> {
        let mut lens = self.lens.0.write();
        let more = u64::from(room_of(len).saturating_sub(*self.len.get_mut()));
        ask(lens.total + more)?;
        lens.total += more;
        *self.len.get_mut() += more as u32;
        Ok(())
    }

    /// The manifest is here, and from now on takes its own room.
    pub(super) fn fill(&self, info_hash: InfoHash, len: u32, facts: (FileIdentity, ManifestFacts)) {
        let mut lens = self.lens.0.write();
        lens.total -= u64::from(self.len.swap(0, Ordering::Relaxed));
        lens.insert(info_hash, Known { len, facts: Some(facts) });
    }
}

impl Drop for ReservedRoom {
    fn drop(&mut self) {
        self.lens.0.write().total -= u64::from(*self.len.get_mut());
    }
}

impl Lens {
    fn insert(&mut self, info_hash: InfoHash, known: Known) {
        self.remove(info_hash);
        self.of.insert(info_hash, known);
        self.total += u64::from(room_of(known.len));
    }

    fn remove(&mut self, info_hash: InfoHash) {
        self.total -= self.of.remove(&info_hash).map_or(0, |known| u64::from(room_of(known.len)));
    }
}

impl ManifestLens {
    pub(super) fn of_files(files: impl Iterator<Item = (InfoHash, u32)>) -> Self {
        let mut lens = Lens::default();
        files.for_each(|(info_hash, len)| lens.insert(info_hash, Known { len, facts: None }));
        Self(RwLock::new(lens))
    }

    /// The bytes of all manifests, including those on their way.
    pub fn total(&self) -> u64 {
        self.0.read().total
    }

    /// Calls `ask` with a function that looks up what a manifest counts: 0 if it is not here. `ask` must not call
    /// anything else of this object.
    pub fn look<T>(&self, ask: impl FnOnce(&dyn Fn(InfoHash) -> u64) -> T) -> T {
        let lens = self.0.read();
        ask(&|info_hash| lens.of.get(&info_hash).map_or(0, |known| u64::from(room_of(known.len))))
    }

    /// Reserves room for the first bytes of a manifest on its way.
    pub(super) fn reserve(self: &Arc<Self>) -> ReservedRoom {
        ReservedRoom { lens: self.clone(), len: AtomicU32::new(0) }
    }

    /// The facts of a manifest, if its file is still the one that was checked.
    pub(super) fn facts(&self, info_hash: InfoHash, identity: FileIdentity) -> Option<ManifestFacts> {
        let (checked, facts) = self.0.read().of.get(&info_hash)?.facts?;
        (checked == identity).then_some(facts)
    }

    /// The file of a manifest was checked.
    pub(super) fn note_facts(&self, info_hash: InfoHash, identity: FileIdentity, facts: ManifestFacts) {
        if let Some(known) = self.0.write().of.get_mut(&info_hash) {
            known.facts = Some((identity, facts));
        }
    }

    pub(super) fn remove(&self, info_hash: InfoHash) {
        self.0.write().remove(info_hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_counts_manifests_here_or_on_their_way_and_one_too_many_gets_no_room() {
        let [a, b] = [1, 2].map(|byte| InfoHash([byte; 32]));
        let lens = Arc::new(ManifestLens::of_files([(a, 10_000), (b, 1)].into_iter()));
        assert_eq!((lens.total(), lens.look(|len_of| len_of(b))), (14_096, 4096), "a short one has its block");
        lens.remove(b);
        let within = |max| move |total| if total <= max { Ok(()) } else { Err(total) };
        let mut room = lens.reserve();
        assert_eq!(room.grow(20, within(14_095)), Err(14_096));
        assert_eq!(room.grow(20, within(14_096)), Ok(()));
        assert_eq!(room.grow(4096, within(14_096)), Ok(()), "the block is paid");
        assert_eq!(room.grow(5000, within(14_999)), Err(15_000));
        assert_eq!(room.grow(5000, within(15_000)), Ok(()));
        assert_eq!(lens.total(), 15_000, "on its way");
        drop(room);
        assert_eq!(lens.total(), 10_000, "it never came");
        lens.remove(a);
        lens.remove(a);
        assert_eq!((lens.total(), lens.look(|len_of| len_of(a))), (0, 0));
    }
}
