//! Piece arithmetic: how a byte stream is cut into pieces. `block` has how a piece is cut further.

pub mod block;

use std::ops::Range;

/// Length of every piece except the last, in bytes.
pub const PIECE_LEN: u32 = 512 * 1024;
/// Most pieces a share may have.
pub const PIECES_MAX: u32 = 1 << 21;
/// Longest share in bytes: 1 TiB.
pub const SIZE_MAX: u64 = PIECES_MAX as u64 * PIECE_LEN as u64;

/// The position of a piece that exists in its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The index as a number, from 0.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The index for use with slices.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// How a stream of a given size is cut. Every piece has `PIECE_LEN` bytes, except that the last has 1 to `PIECE_LEN`.
/// An empty stream has no piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    size: u64,
}

impl Layout {
    /// The layout of a stream of `size` bytes; `None` above `SIZE_MAX`.
    pub fn new(size: u64) -> Option<Self> {
        (size <= SIZE_MAX).then_some(Self { size })
    }

    /// Size of the stream in bytes.
    pub fn size(self) -> u64 {
        self.size
    }

    pub fn count(self) -> u32 {
        // At most PIECES_MAX, since the size is at most SIZE_MAX.
        self.size.div_ceil(u64::from(PIECE_LEN)) as u32
    }

    /// The piece with a number from outside, if it exists.
    pub fn index(self, number: u32) -> Option<PieceIndex> {
        (number < self.count()).then_some(PieceIndex(number))
    }

    /// Every piece, in order.
    pub fn indexes(self) -> impl Iterator<Item = PieceIndex> {
        (0..self.count()).map(PieceIndex)
    }

    /// The pieces that a stretch of the stream touches, in order.
    ///
    /// # Panics
    /// If the stretch goes beyond the end of the stream.
    pub fn touched_by(self, stretch: Range<u64>) -> impl Iterator<Item = PieceIndex> {
        let len = u64::from(PIECE_LEN);
        let numbers = if stretch.is_empty() { 0..0 } else { stretch.start / len..stretch.end.div_ceil(len) };
        // Below the number of pieces, which is a u32.
        numbers.map(move |number| self.index(number as u32).expect("the stretch lies within the stream"))
    }

    /// Where a piece begins in the stream, in bytes.
    pub fn offset(self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(PIECE_LEN)
    }

    /// Length of a piece in bytes.
    pub fn len(self, piece: PieceIndex) -> u32 {
        // The minimum of the two is at most PIECE_LEN.
        (self.size - self.offset(piece)).min(u64::from(PIECE_LEN)) as u32
    }

    /// True for a stream without bytes.
    pub fn is_empty(self) -> bool {
        self.size == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_stream_without_gap_or_overlap() {
        let piece = u64::from(PIECE_LEN);
        for size in [0, 1, piece - 1, piece, piece + 1, 3 * piece, 3 * piece + 7, (4 << 30) + 5] {
            let layout = Layout::new(size).expect("within the limit");
            let mut end = 0;
            for index in layout.indexes() {
                assert_eq!(layout.offset(index), end);
                assert!((1..=PIECE_LEN).contains(&layout.len(index)));
                end += u64::from(layout.len(index));
            }
            assert_eq!(end, size);
        }
    }

    #[test]
    fn an_empty_stream_has_no_piece_and_an_exact_multiple_no_stump() {
        assert_eq!(Layout::new(0).expect("fits").count(), 0);
        let exact = Layout::new(2 * u64::from(PIECE_LEN)).expect("fits");
        assert_eq!(exact.count(), 2);
        assert_eq!(exact.index(1).map(|piece| exact.len(piece)), Some(PIECE_LEN));
        assert_eq!(exact.index(2), None);
    }

    #[test]
    fn the_largest_stream_is_accepted_and_one_byte_more_is_not() {
        assert_eq!(Layout::new(SIZE_MAX).map(Layout::count), Some(PIECES_MAX));
        assert_eq!(Layout::new(SIZE_MAX + 1), None);
    }
}
