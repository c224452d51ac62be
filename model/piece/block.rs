//! Blocks: how a piece is cut further, to find the parts of it that an old version of the content has.

use super::PIECE_LEN;
use std::ops::Range;

/// Length of a block, in bytes: a power of two. The last block of a stream may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLen {
    exponent: u8,
}

impl BlockLen {
    /// 1 KiB.
    pub const SHORTEST: Self = Self { exponent: 10 };
    /// 32 KiB.
    pub const LONGEST: Self = Self { exponent: 15 };

    /// The length with this binary logarithm, if it is allowed.
    pub fn from_exponent(exponent: u8) -> Option<Self> {
        (Self::SHORTEST.exponent..=Self::LONGEST.exponent).contains(&exponent).then_some(Self { exponent })
    }

    pub fn exponent(self) -> u8 {
        self.exponent
    }

    /// The length at which the digests of `size` bytes and one block together are about shortest: near the square root.
    pub fn for_size(size: u64) -> Self {
        let exponent = size.max(1).ilog2().div_ceil(2) as u8;
        Self { exponent: exponent.clamp(Self::SHORTEST.exponent, Self::LONGEST.exponent) }
    }

    pub fn get(self) -> u32 {
        1 << self.exponent
    }

    /// How many blocks a piece of this length has.
    pub fn count(self, piece_len: u32) -> u32 {
        piece_len.div_ceil(self.get())
    }

    /// The range of bytes in a piece of this length that a block covers.
    pub fn range(self, block: u32, piece_len: u32) -> Range<u32> {
        let start = block * self.get();
        start..piece_len.min(start + self.get())
    }
}

/// Most blocks that a piece has.
pub const BLOCKS_MAX: usize = (PIECE_LEN >> BlockLen::SHORTEST.exponent) as usize;

/// Some blocks of a piece. Bit 0 is the highest bit of byte 0, as in a bitfield.
///
/// Invariants: `bits` is exactly long enough, and the spare bits of its last byte are 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSet {
    bits: Box<[u8]>,
    len: BlockLen,
    piece_len: u32,
}

impl BlockSet {
    /// The empty set, for a piece of this length.
    pub fn none(len: BlockLen, piece_len: u32) -> Self {
        Self { bits: vec![0; len.count(piece_len).div_ceil(8) as usize].into(), len, piece_len }
    }

    /// Takes bytes from outside. `None` if the length is wrong, a spare bit is set, or no block is in the set.
    pub fn from_bytes(len: BlockLen, piece_len: u32, bits: &[u8]) -> Option<Self> {
        let spare = len.count(piece_len).wrapping_neg() % 8;
        let spare_clear = bits.last().is_some_and(|last| last & ((1u16 << spare) - 1) as u8 == 0);
        let fits = bits.len() == len.count(piece_len).div_ceil(8) as usize;
        let some = bits.iter().any(|&byte| byte != 0);
        (fits && spare_clear && some).then(|| Self { bits: bits.into(), len, piece_len })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    pub fn insert(&mut self, block: u32) {
        assert!(block < self.len.count(self.piece_len), "the piece has that block");
        self.bits[block as usize / 8] |= 0x80 >> (block % 8);
    }

    pub fn has(&self, block: u32) -> bool {
        self.bits[block as usize / 8] & (0x80 >> (block % 8)) != 0
    }

    /// The ranges of bytes that the blocks cover, in order, with neighbours merged.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut at = 0;
        let count = self.len.count(self.piece_len);
        std::iter::from_fn(move || {
            let first = (at..count).find(|&block| self.has(block))?;
            let behind = (first..count).find(|&block| !self.has(block)).unwrap_or(count);
            at = behind;
            Some(self.len.range(first, self.piece_len).start..self.len.range(behind - 1, self.piece_len).end)
        })
    }

    /// How many bytes the blocks have together.
    pub fn byte_count(&self) -> u32 {
        self.ranges().map(|range| range.end - range.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: BlockLen = BlockLen::SHORTEST;

    fn ranges_of(piece_len: u32, blocks: &[u32]) -> Vec<Range<u32>> {
        let mut set = BlockSet::none(KIB, piece_len);
        blocks.iter().for_each(|&block| set.insert(block));
        assert_eq!(BlockSet::from_bytes(KIB, piece_len, set.as_bytes()).is_some(), !blocks.is_empty());
        assert_eq!(set.byte_count(), set.ranges().map(|range| range.len() as u32).sum::<u32>());
        set.ranges().collect()
    }

    #[test]
    fn neighbours_are_one_range_and_the_last_block_ends_with_the_piece() {
        assert_eq!(ranges_of(PIECE_LEN, &[]), []);
        assert_eq!(ranges_of(PIECE_LEN, &[0, 1, 3, 511]), [0..2048, 3072..4096, PIECE_LEN - 1024..PIECE_LEN]);
        assert_eq!(ranges_of(2500, &[1, 2]), [Range { start: 1024, end: 2500 }]);
        assert_eq!(ranges_of(1, &[0]), [Range { start: 0, end: 1 }]);
    }

    #[test]
    fn bits_from_outside_are_of_this_piece_and_name_some_block() {
        let accepted = |piece_len, bits: &[u8]| BlockSet::from_bytes(KIB, piece_len, bits).is_some();
        assert!(accepted(3 * 1024, &[0b0110_0000]) && accepted(8 * 1024, &[1]));
        assert!(!accepted(3 * 1024, &[0b0001_0000]) && !accepted(3 * 1024, &[0]) && !accepted(3 * 1024, &[]));
        assert!(!accepted(3 * 1024, &[0b0110_0000, 0]) && !accepted(9 * 1024, &[0xff]));
    }

    #[test]
    fn blocks_are_about_as_long_as_the_root_of_the_size() {
        let exponents =
            [0, 1, 1 << 20, (1 << 20) + 1, 1 << 24, 1 << 30, u64::MAX].map(|size| BlockLen::for_size(size).exponent());
        assert_eq!(exponents, [10, 10, 10, 10, 12, 15, 15]);
        assert!(BlockLen::from_exponent(9).is_none() && BlockLen::from_exponent(16).is_none());
        assert_eq!(BLOCKS_MAX, 512);
    }
}
