//! Rolling digests of blocks: one step adds the next byte and removes the first. Equal digests are only a hint. After a
//! match, the caller verifies the piece by its SHA-1.
//!
//! A digest is made of the upper bits of a polynomial over the bytes, modulo 2^64. The lower bits depend on few bits of
//! the bytes.

use crate::model::piece::block::BlockLen;

/// The length of a digest in a message, in bytes.
pub const DIGEST_LEN: usize = 7;
/// Bits of the polynomial that are no part of the digest.
const LOWER_BITS: u32 = 64 - 8 * DIGEST_LEN as u32;
/// The point at which polynomials are evaluated: odd, so that no byte is lost. The digits of the golden ratio.
const POINT: u64 = 0x9e37_79b9_7f4a_7c15;

/// The digest of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockDigest(u64);

impl BlockDigest {
    /// The digest of a block.
    pub fn of(block: &[u8]) -> Self {
        Self(polynomial(block) >> LOWER_BITS)
    }

    /// A number of `8 * DIGEST_LEN` bits.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The form for other members.
    pub fn to_bytes(self) -> [u8; DIGEST_LEN] {
        let mut bytes = [0; DIGEST_LEN];
        bytes.copy_from_slice(&self.0.to_be_bytes()[8 - DIGEST_LEN..]);
        bytes
    }

    pub fn from_bytes(told: [u8; DIGEST_LEN]) -> Self {
        let mut bytes = [0; 8];
        bytes[8 - DIGEST_LEN..].copy_from_slice(&told);
        Self(u64::from_be_bytes(bytes))
    }
}

/// The digests of all blocks of a piece, one after the other, in the form for other members.
pub fn describe(piece: &[u8], len: BlockLen, out: &mut Vec<u8>) {
    piece.chunks(len.get() as usize).for_each(|block| out.extend_from_slice(&BlockDigest::of(block).to_bytes()));
}

fn polynomial(block: &[u8]) -> u64 {
    let powers =
        const { [POINT, POINT.wrapping_pow(2), POINT.wrapping_pow(3), POINT.wrapping_pow(4), POINT.wrapping_pow(8)] };
    let [p1, p2, p3, p4, p8] = powers;
    let four = |bytes: &[u8]| {
        let (a, b) = (term(bytes[0]).wrapping_mul(p3), term(bytes[1]).wrapping_mul(p2));
        let (c, d) = (term(bytes[2]).wrapping_mul(p1), term(bytes[3]));
        a.wrapping_add(b).wrapping_add(c.wrapping_add(d))
    };
    let (eights, rest) = block.as_chunks::<8>();
    let whole = eights.iter().fold(0u64, |sum, bytes| {
        let value = four(&bytes[..4]).wrapping_mul(p4).wrapping_add(four(&bytes[4..]));
        sum.wrapping_mul(p8).wrapping_add(value)
    });
    rest.iter().fold(whole, |sum, &byte| sum.wrapping_mul(POINT).wrapping_add(term(byte)))
}

/// Zeros count, so their number makes a difference.
fn term(byte: u8) -> u64 {
    u64::from(byte) + 1
}

/// The digest of a window that moves over bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RollingDigest {
    sum: u64,
    /// The factor of a byte that leaves the window: the point to the power of the window's length.
    leaving: u64,
}

impl RollingDigest {
    pub(super) fn new(window: &[u8]) -> Self {
        // Windows have at most 32 KiB.
        Self { sum: polynomial(window), leaving: POINT.wrapping_pow(window.len() as u32) }
    }

    pub(super) fn get(&self) -> u64 {
        self.sum >> LOWER_BITS
    }

    /// Removes one byte and adds another.
    pub(super) fn roll(&mut self, goes: u8, comes: u8) {
        // Each step of the sum waits for one multiplication only. The other multiplication does not depend on the sum.
        let change = term(comes).wrapping_sub(term(goes).wrapping_mul(self.leaving));
        self.sum = self.sum.wrapping_mul(POINT).wrapping_add(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_digest_is_the_polynomial_of_its_bytes() {
        let plain =
            |block: &[u8]| block.iter().fold(0u64, |sum, &byte| sum.wrapping_mul(POINT).wrapping_add(term(byte)));
        let bytes: Vec<u8> = (0..100u8).map(|byte| byte.wrapping_mul(37)).collect();
        for len in 0..bytes.len() {
            assert_eq!(polynomial(&bytes[..len]), plain(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn zeros_and_repeated_bytes_of_different_lengths_have_different_digests() {
        let mut seen = std::collections::HashSet::new();
        for byte in 0..=255 {
            for exponent in 10..=15 {
                assert!(seen.insert(BlockDigest::of(&vec![byte; 1 << exponent])), "{byte} {exponent}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_window_that_rolls_has_the_digest_of_what_it_shows(bytes in prop::collection::vec(any::<u8>(), 1..300), len in 1..100usize) {
            let len = len.min(bytes.len());
            let mut rolling = RollingDigest::new(&bytes[..len]);
            for at in 0..=bytes.len() - len {
                prop_assert_eq!(rolling.get(), BlockDigest::of(&bytes[at..at + len]).get());
                if at + len < bytes.len() {
                    rolling.roll(bytes[at], bytes[at + len]);
                }
            }
        }

        #[test]
        fn a_digest_survives_its_bytes(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let digest = BlockDigest::of(&bytes);
            prop_assert_eq!(BlockDigest::from_bytes(digest.to_bytes()), digest);
        }
    }
}
