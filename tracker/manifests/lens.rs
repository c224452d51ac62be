//! How long the manifests are that are here, and how much all of them take.

use crate::model::digest::InfoHash;
use parking_lot::RwLock;
use std::collections::HashMap;

/// The lengths of the manifests that are here.
#[derive(Debug, Default)]
pub struct ManifestLens(RwLock<Lens>);

#[derive(Debug, Default)]
struct Lens {
    of: HashMap<InfoHash, u32>,
    total: u64,
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

    /// How many bytes all of them take.
    pub fn total(&self) -> u64 {
        self.0.read().total
    }

    /// Has `ask` look up lengths, which are 0 for what is not here. It must not ask for anything else of this.
    pub fn look<T>(&self, ask: impl FnOnce(&dyn Fn(InfoHash) -> u64) -> T) -> T {
        let lens = self.0.read();
        ask(&|info_hash| lens.of.get(&info_hash).copied().map_or(0, u64::from))
    }

    pub(super) fn insert(&self, info_hash: InfoHash, len: u32) {
        self.0.write().insert(info_hash, len);
    }

    /// Adds one if `ask` allows what all will take then.
    pub(super) fn insert_if<E>(
        &self,
        (info_hash, len): (InfoHash, u32),
        ask: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut lens = self.0.write();
        if !lens.of.contains_key(&info_hash) {
            ask(lens.total + u64::from(len))?;
            lens.insert(info_hash, len);
        }
        Ok(())
    }

    pub(super) fn remove(&self, info_hash: InfoHash) {
        self.0.write().remove(info_hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_that_of_what_is_there_and_one_too_many_is_not_added() {
        let [a, b] = [1, 2].map(|byte| InfoHash([byte; 32]));
        let lens = ManifestLens::of_files([(a, 100)].into_iter());
        let within = |max| move |total| if total <= max { Ok(()) } else { Err(total) };
        assert_eq!(lens.insert_if((b, 20), within(119)), Err(120));
        assert_eq!(lens.insert_if((b, 20), within(120)), Ok(()));
        assert_eq!(lens.insert_if((b, 20), within(0)), Ok(()), "it is here already");
        assert_eq!((lens.total(), lens.look(|len_of| len_of(b))), (120, 20));
        lens.remove(a);
        lens.remove(a);
        assert_eq!((lens.total(), lens.look(|len_of| len_of(a))), (20, 0));
    }
}
