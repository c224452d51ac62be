//! SplitMix64 (Steele, Lea and Flood, 2014): the picker's own random numbers, so that a seed decides everything.

/// The generator, whose state is the seed.
#[derive(Debug)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The high half of the product is below `bound`.
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}
