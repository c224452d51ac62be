//! Keys of the state's tables: small, and compared without following a pointer where possible.

use crate::model::name::{FileName, GroupId, UserId};
use std::ops::Bound;

/// An op id in 12 bytes: the origin's number, then both halves of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpKey([u32; 3]);

impl OpKey {
    pub(super) fn new(origin: u32, seq: u64) -> Self {
        // The halves of a 64-bit number have 32 bits each.
        Self([origin, (seq >> 32) as u32, seq as u32])
    }

    pub(super) fn origin(self) -> u32 {
        self.0[0]
    }

    pub(super) fn seq(self) -> u64 {
        u64::from(self.0[1]) << 32 | u64::from(self.0[2])
    }
}

/// A name as a key, in the order of the names: the first eight bytes decide most comparisons.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByName<N> {
    /// Big-endian and filled up with zeros, which no name contains.
    head: u64,
    pub(super) name: N,
}

impl<N: CheckedName> ByName<N> {
    pub(super) fn new(name: &N) -> Self {
        Self { head: head(name.text()), name: name.clone() }
    }

    /// The bound at which a list begins that continues after a name.
    pub(super) fn behind(name: Option<&N>) -> Bound<Self> {
        name.map(Self::new).map_or(Bound::Unbounded, Bound::Excluded)
    }
}

/// A checked name.
pub(super) trait CheckedName: Clone {
    fn text(&self) -> &str;
}

impl CheckedName for UserId {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl CheckedName for GroupId {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl CheckedName for FileName {
    fn text(&self) -> &str {
        self.as_str()
    }
}

fn head(text: &str) -> u64 {
    let mut head = [0; 8];
    let len = text.len().min(head.len());
    head[..len].copy_from_slice(&text.as_bytes()[..len]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn op_keys_hold_any_sequence() {
        for seq in [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX - 5] {
            let key = OpKey::new(3, seq);
            assert_eq!((key.origin(), key.seq()), (3, seq));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn keys_stand_in_the_order_of_their_names(a in "[ab]{1,10}(~2)?", b in "[abé]{1,10}") {
            let (a, b) = (FileName::parse(&a).expect("a name"), FileName::parse(&b).expect("a name"));
            prop_assert_eq!(ByName::new(&a).cmp(&ByName::new(&b)), a.cmp(&b));
        }
    }
}
