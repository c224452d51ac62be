//! An index of wanted blocks by their digests, and a search for them in an old version.

use super::rolling::{BlockDigest, RollingDigest};
use crate::model::piece::block::BlockLen;

/// The maximum number of words of the filter, so that it stays in the cache of a core. Below that it has one word for
/// each digest, and few windows pass it by chance.
const FILTER_WORDS_MAX: usize = 1 << 17;
/// The number of windows that roll side by side. The steps of one window wait for each other.
const LANES: usize = 2;

/// The wanted digests. Equal ones are one entry.
#[derive(Debug)]
pub struct BlockIndex {
    len: BlockLen,
    /// Ascending, each once.
    digests: Box<[u64]>,
    /// For each value of the upper bits, the first digest with these bits.
    starts: Box<[u32]>,
    shift: u32,
    /// The lower bits of a digest choose a word. Others choose two bits in it, which are set: see [`filter_bits`].
    filter: Box<[u64]>,
}

impl BlockIndex {
    pub fn new(len: BlockLen, digests: impl IntoIterator<Item = BlockDigest>) -> Self {
        let mut digests: Vec<u64> = digests.into_iter().map(BlockDigest::get).collect();
        digests.sort_unstable();
        digests.dedup();
        let buckets = digests.len().next_power_of_two();
        let shift = 56 - buckets.ilog2();
        let mut starts = vec![0u32; buckets + 1];
        // There are at most 2^32 blocks in a share.
        digests.iter().for_each(|digest| starts[(digest >> shift) as usize + 1] += 1);
        (0..buckets).for_each(|at| starts[at + 1] += starts[at]);
        let words = digests.len().next_power_of_two().min(FILTER_WORDS_MAX);
        let mut filter = vec![0u64; words];
        digests.iter().for_each(|digest| filter[*digest as usize & (words - 1)] |= filter_bits(*digest));
        Self { len, digests: digests.into(), starts: starts.into(), shift, filter: filter.into() }
    }

    /// The number of different digests.
    pub fn entries(&self) -> usize {
        self.digests.len()
    }

    /// The entry of a digest.
    pub fn entry(&self, digest: BlockDigest) -> Option<usize> {
        self.find(digest.get())
    }

    fn find(&self, digest: u64) -> Option<usize> {
        let bucket = (digest >> self.shift) as usize;
        let (from, to) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        self.digests[from..to].binary_search(&digest).ok().map(|at| from + at)
    }

    fn may_have(&self, digest: u64) -> bool {
        // The number of words is a power of two.
        let bits = filter_bits(digest);
        self.filter[digest as usize & (self.filter.len() - 1)] & bits == bits
    }

    /// Calls `found` with the entry and the place of every window whose digest is wanted.
    pub fn scan(&self, bytes: &[u8], mut found: impl FnMut(usize, usize)) {
        let len = self.len.get() as usize;
        let Some(windows) = (bytes.len() + 1).checked_sub(len).filter(|windows| *windows > 0) else { return };
        if self.digests.is_empty() {
            return;
        }
        let per_lane = windows / LANES;
        let begins: [usize; LANES] = std::array::from_fn(|lane| lane * per_lane);
        let mut lanes = begins.map(|at| RollingDigest::new(&bytes[at..at + len]));
        let mut look = |at: usize, digest: u64| {
            if self.may_have(digest)
                && let Some(entry) = self.find(digest)
            {
                found(entry, at);
            }
        };
        // All windows of a lane except the last: after that one, another lane has begun.
        let steps = per_lane.saturating_sub(1);
        let (goes, comes) =
            (begins.map(|at| &bytes[at..at + steps]), begins.map(|at| &bytes[at + len..at + len + steps]));
        for step in 0..steps {
            for lane in 0..LANES {
                look(begins[lane] + step, lanes[lane].get());
                lanes[lane].roll(goes[lane][step], comes[lane][step]);
            }
        }
        if per_lane > 0 {
            (0..LANES - 1).for_each(|lane| look(begins[lane] + steps, lanes[lane].get()));
        }
        let last = &mut lanes[LANES - 1];
        for at in begins[LANES - 1] + steps..windows {
            look(at, last.get());
            if at + 1 < windows {
                last.roll(bytes[at], bytes[at + len]);
            }
        }
    }
}

/// Two bits of a word, chosen by bits of the digest that do not choose the word.
fn filter_bits(digest: u64) -> u64 {
    1 << (digest >> 20 & 63) | 1 << (digest >> 26 & 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEN: BlockLen = BlockLen::SHORTEST;

    fn scanned(index: &BlockIndex, bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        index.scan(bytes, |entry, at| all.push((at, entry)));
        all.sort_unstable();
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_window_is_looked_at_once(
            seed in any::<u64>(),
            len in 0..6000usize,
            sought in prop::collection::vec(0..5000usize, 0..8),
        ) {
            let mut state = seed | 1;
            let bytes: Vec<u8> = (0..len).map(|_| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                (state >> 60) as u8
            }).collect();
            let block = LEN.get() as usize;
            let window = |at: usize| bytes.get(at..at + block).map(BlockDigest::of);
            let index = BlockIndex::new(LEN, sought.iter().filter_map(|&at| window(at)));
            let expected: Vec<_> = (0..(len + 1).saturating_sub(block))
                .filter_map(|at| window(at).and_then(|digest| index.entry(digest)).map(|entry| (at, entry)))
                .collect();
            prop_assert_eq!(scanned(&index, &bytes), expected);
        }
    }

    #[test]
    fn an_index_without_entries_finds_nothing() {
        let index = BlockIndex::new(LEN, []);
        assert_eq!((index.entries(), scanned(&index, &[0; 5000])), (0, vec![]));
        assert_eq!(index.entry(BlockDigest::of(b"x")), None);
    }
}
