//! The pieces of a download that are all zeros. Nobody has to send them, and on the disk they are holes.

use crate::client::hash::piece_hash::sha1_of;
use crate::model::bitfield::Bitfield;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::Manifest;
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use std::ops::Range;
use std::sync::LazyLock;

/// The digest of a whole piece of zeros.
static FULL: LazyLock<Sha1Digest> = LazyLock::new(|| digest(PIECE_LEN));

/// The digest of so many zeros.
fn digest(len: u32) -> Sha1Digest {
    sha1_of(&vec![0; len as usize])
}

/// The pieces that are all zeros: their digests are the SHA-1 of as many zeros.
pub(super) struct ZeroPieces {
    layout: Layout,
    pieces: Bitfield,
}

impl ZeroPieces {
    /// Those of a manifest.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let layout = manifest.layout();
        let mut pieces = Bitfield::none(layout);
        for (piece, sha1) in layout.indexes().zip(manifest.pieces()) {
            // Only the last piece can be shorter.
            let len = layout.len(piece);
            if *sha1 == *FULL && len == PIECE_LEN || len < PIECE_LEN && *sha1 == digest(len) {
                pieces.insert(piece);
            }
        }
        Self { layout, pieces }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.pieces.held()
    }

    /// Runs of them.
    pub(super) fn runs(&self) -> impl Iterator<Item = Vec<PieceIndex>> {
        let mut rest = self.pieces.iter(self.layout).peekable();
        std::iter::from_fn(move || {
            let mut run = vec![rest.next()?];
            while let Some(next) = rest.next_if(|next| run.last().is_some_and(|last| last.get() + 1 == next.get())) {
                run.push(next);
            }
            Some(run)
        })
    }

    /// Whether a stretch of the stream lies in them.
    pub(super) fn cover(&self, stretch: Range<u64>) -> bool {
        self.pieces_of(stretch).all(|piece| self.pieces.has(piece))
    }

    /// The parts of a stretch of the stream that lie outside of them, in order.
    pub(super) fn gaps(&self, stretch: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps: Vec<Range<u64>> = Vec::new();
        for piece in self.pieces_of(stretch.clone()).filter(|piece| !self.pieces.has(*piece)) {
            let offset = self.layout.offset(piece);
            let (start, end) = (offset.max(stretch.start), stretch.end.min(offset + u64::from(self.layout.len(piece))));
            match gaps.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end = end,
                None => gaps.push(start..end),
            }
        }
        gaps
    }

    /// The pieces that a stretch of the stream touches.
    fn pieces_of(&self, stretch: Range<u64>) -> impl Iterator<Item = PieceIndex> {
        let layout = self.layout;
        let len = u64::from(PIECE_LEN);
        let numbers = if stretch.is_empty() { 0..0 } else { stretch.start / len..stretch.end.div_ceil(len) };
        // Below the number of pieces, which is a u32.
        numbers.map(move |number| layout.index(number as u32).expect("the stretch lies within the stream"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::FileEntry;
    use crate::model::path::RelPath;

    const LEN: u64 = PIECE_LEN as u64;

    /// Pieces of which these are zeros, and some bytes more, which are zeros too if `end`.
    fn zeros(pieces: &[bool], end: bool) -> ZeroPieces {
        let digest = |zero: bool, len| sha1_of(&vec![u8::from(!zero); len]);
        let digests = pieces.iter().map(|zero| digest(*zero, PIECE_LEN as usize)).chain([digest(end, 10)]).collect();
        let file = FileEntry { path: RelPath::parse("f").expect("a path"), len: pieces.len() as u64 * LEN + 10 };
        ZeroPieces::of(&Manifest::new(vec![file], digests).expect("a manifest"))
    }

    #[test]
    fn zeros_are_known_by_their_digest_also_at_the_short_end() {
        let runs = |zeros: ZeroPieces| -> Vec<Vec<u32>> {
            zeros.runs().map(|run| run.into_iter().map(PieceIndex::get).collect()).collect()
        };
        assert_eq!(runs(zeros(&[true, true, false, true], true)), [vec![0, 1], vec![3, 4]]);
        assert_eq!(runs(zeros(&[false, true, false], false)), [vec![1]]);
        assert_eq!(runs(zeros(&[], true)), [vec![0]]);
        assert!(runs(zeros(&[false], false)).is_empty());
    }

    #[test]
    fn gaps_are_what_holds_something_else() {
        let zeros = zeros(&[false, true, true, false], false);
        let end = 4 * LEN + 10;
        assert_eq!(zeros.gaps(0..end), [0..LEN, 3 * LEN..end]);
        assert_eq!(zeros.gaps(5..3 * LEN + 5), [5..LEN, 3 * LEN..3 * LEN + 5]);
        assert!(zeros.gaps(LEN..3 * LEN).is_empty() && zeros.gaps(7..7).is_empty());
        assert!(zeros.cover(LEN..3 * LEN) && zeros.cover(LEN + 1..LEN + 2) && zeros.cover(0..0));
        assert!(!zeros.cover(LEN - 1..LEN + 1) && !zeros.cover(LEN..end));
    }
}
