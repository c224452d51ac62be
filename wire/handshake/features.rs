//! The optional parts of the protocol, one bit each. Each side says in its handshake message which of them it knows.
//! Both use those that both know.

use crate::wire::codec::wire_struct;

/// A set of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features(pub u64);
wire_struct!(Features { 0 });

impl Features {
    /// Between clients: the seeder answers `Describe` and `GetBlocks`.
    pub const BLOCKS: Self = Self(1);
    /// Those that this program knows.
    pub const KNOWN: Self = Self::BLOCKS;

    /// Those that are in both sets. Bits that this program does not know are off.
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of these are in the set.
    pub fn has(self, other: Self) -> bool {
        self.common(other) == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_one_side_does_not_know_is_off() {
        let newer = Features(u64::MAX);
        assert_eq!(Features::KNOWN.common(newer), Features::KNOWN);
        assert!(newer.has(Features::BLOCKS) && !Features(2).has(Features::BLOCKS));
        assert!(!Features::KNOWN.common(Features(0)).has(Features::BLOCKS));
    }
}
