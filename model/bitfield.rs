//! One bit per piece: which pieces a client holds.

use super::piece::{Layout, PieceIndex};

/// A set of pieces of one layout. Bit 0 is the highest bit of byte 0, as in BitTorrent (BEP 3).
///
/// Invariants: `bytes` is exactly long enough, the spare bits of the last byte are 0, and `held` counts the ones.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    bytes: Box<[u8]>,
    len: u32,
    held: u32,
}

impl Bitfield {
    /// The empty set.
    pub fn none(layout: Layout) -> Self {
        Self { bytes: vec![0; Self::byte_len(layout)].into(), len: layout.count(), held: 0 }
    }

    /// The set of all pieces.
    pub fn all(layout: Layout) -> Self {
        let len = layout.count();
        let mut bytes = vec![0xff; Self::byte_len(layout)];
        if let Some(last) = bytes.last_mut() {
            *last <<= (8 - len % 8) % 8;
        }
        Self { bytes: bytes.into(), len, held: len }
    }

    /// Takes bytes from outside; `None` if the length is wrong or a spare bit is set.
    pub fn from_bytes(layout: Layout, bytes: &[u8]) -> Option<Self> {
        let spare = (8 - layout.count() % 8) % 8;
        let spare_clear = bytes.last().is_none_or(|last| last & ((1u16 << spare) - 1) as u8 == 0);
        if bytes.len() != Self::byte_len(layout) || !spare_clear {
            return None;
        }
        let held = bytes.iter().map(|byte| byte.count_ones()).sum();
        Some(Self { bytes: bytes.into(), len: layout.count(), held })
    }

    /// Number of bytes that hold one bit per piece of the layout.
    pub fn byte_len(layout: Layout) -> usize {
        layout.count().div_ceil(8) as usize
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the piece is in the set.
    pub fn has(&self, piece: PieceIndex) -> bool {
        let (byte, mask) = Self::place(piece);
        self.bytes[byte] & mask != 0
    }

    /// Puts the piece in; false if it was there.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let (byte, mask) = Self::place(piece);
        let new = self.bytes[byte] & mask == 0;
        self.bytes[byte] |= mask;
        self.held += u32::from(new);
        new
    }

    /// Takes the piece out; false if it was not there.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let (byte, mask) = Self::place(piece);
        let was = self.bytes[byte] & mask != 0;
        self.bytes[byte] &= !mask;
        self.held -= u32::from(was);
        was
    }

    pub fn held(&self) -> u32 {
        self.held
    }

    /// How many pieces the layout has.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True if no piece is in the set.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// True if every piece is in the set.
    pub fn is_complete(&self) -> bool {
        self.held == self.len
    }

    /// The pieces in the set, in order.
    pub fn iter(&self, layout: Layout) -> impl Iterator<Item = PieceIndex> + '_ {
        layout.indexes().filter(|&piece| self.has(piece))
    }

    fn place(piece: PieceIndex) -> (usize, u8) {
        (piece.as_usize() / 8, 0x80 >> (piece.get() % 8))
    }
}

impl std::fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bitfield({} of {})", self.held, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::super::piece::PIECE_LEN;
    use super::*;

    fn layout(pieces: u64) -> Layout {
        Layout::new(pieces * u64::from(PIECE_LEN)).expect("small")
    }

    #[test]
    fn the_first_piece_is_the_highest_bit() {
        let layout = layout(10);
        let mut bits = Bitfield::none(layout);
        assert!(bits.insert(layout.index(0).expect("there")));
        assert!(bits.insert(layout.index(9).expect("there")));
        assert!(!bits.insert(layout.index(9).expect("there")));
        assert_eq!(bits.as_bytes(), [0x80, 0x40]);
        assert_eq!(bits.held(), 2);
    }

    #[test]
    fn the_full_set_survives_the_bytes_for_every_remainder() {
        for pieces in 0..=17 {
            let layout = layout(pieces);
            let all = Bitfield::all(layout);
            assert!(all.is_complete());
            assert_eq!(all.iter(layout).count() as u64, pieces);
            assert_eq!(Bitfield::from_bytes(layout, all.as_bytes()), Some(all));
        }
    }

    #[test]
    fn spare_bits_and_wrong_lengths_are_refused() {
        assert_eq!(Bitfield::from_bytes(layout(9), &[0xff, 0x40]), None);
        assert_eq!(Bitfield::from_bytes(layout(9), &[0xff]), None);
        assert_eq!(Bitfield::from_bytes(layout(9), &[0xff, 0x80, 0]), None);
        assert_eq!(Bitfield::from_bytes(layout(0), &[0]), None);
        assert!(Bitfield::from_bytes(layout(0), &[]).is_some());
    }

    #[test]
    fn taking_out_undoes_putting_in() {
        let layout = layout(9);
        let mut bits = Bitfield::all(layout);
        let piece = layout.index(8).expect("there");
        assert!(bits.remove(piece));
        assert!(!bits.remove(piece));
        assert!(!bits.has(piece));
        assert_eq!(bits.held(), 8);
    }
}
