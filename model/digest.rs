//! Digests as types of their own, so that one kind is never taken for another.

use std::fmt;

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            pub const LEN: usize = $len;

            /// Reads lower- or upper-case hexadecimal of exactly the right length.
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                parse_hex(text, &mut bytes)?;
                Some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

fn parse_hex(text: &str, bytes: &mut [u8]) -> Option<()> {
    let text = text.as_bytes();
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        // Two digits below 16 each make a value below 256.
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(())
}

digest_type!(
    /// SHA-1 (FIPS 180-4) of a piece or of a complete file.
    Sha1Digest,
    20
);
impl Sha1Digest {
    /// The digest of no bytes.
    pub const OF_NOTHING: Self = Self([
        0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18, 0x90, 0xaf, 0xd8,
        0x07, 0x09,
    ]);
}

digest_type!(
    /// The info hash: SHA-256 of the files and pieces of a manifest in their canonical encoding. It names the content
    /// of a share.
    InfoHash,
    32
);
digest_type!(
    /// The public id of a group key. It says which key a peer uses, and tells neither the key nor the group.
    KeyId,
    16
);
digest_type!(
    /// SHA-256 of the trackers' static public key. A client pins it, and a person compares it.
    Fingerprint,
    32
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways_and_refuses_the_rest() {
        let digest = Sha1Digest(std::array::from_fn(|i| (i * 13) as u8));
        assert_eq!(Sha1Digest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(Sha1Digest::from_hex(&digest.to_string().to_uppercase()), Some(digest));
        for bad in ["", "00", &"g".repeat(40), &"0".repeat(39), &"0".repeat(41), &"é".repeat(20)] {
            assert_eq!(Sha1Digest::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_digest_of_nothing_is_the_one_that_everybody_knows() {
        let known = Sha1Digest::from_hex("da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(known, Some(Sha1Digest::OF_NOTHING));
    }
}
