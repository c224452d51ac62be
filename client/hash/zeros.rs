//! Pieces that are all zeros. Their digests are known, so no one has to read or send them, and on the disk they are
//! holes.

use crate::model::bitfield::Bitfield;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::Manifest;
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use sha1::{Digest, Sha1};
use std::ops::Range;
use std::sync::LazyLock;

/// A piece of zeros. Nothing ever writes to its memory, so the system backs all of it by one page.
static ZEROS: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; PIECE_LEN as usize].into());
/// The digest of a whole piece of zeros.
static FULL: LazyLock<Sha1Digest> = LazyLock::new(|| digest(PIECE_LEN));

/// This many zeros, at most a piece.
pub fn zeros(len: u32) -> &'static [u8] {
    &ZEROS[..len as usize]
}

/// The SHA-1 of this many zeros, at most a piece. The SHA-1 of a whole piece is computed once.
pub fn sha1_of_zeros(len: u32) -> Sha1Digest {
    if len == PIECE_LEN { *FULL } else { digest(len) }
}

fn digest(len: u32) -> Sha1Digest {
    Sha1Digest(Sha1::digest(zeros(len)).into())
}

/// The pieces that are all zeros: their digests are the SHA-1 of as many zeros.
#[derive(Clone)]
pub struct ZeroPieces {
    layout: Layout,
    pieces: Bitfield,
}

impl ZeroPieces {
    /// The pieces of zeros in a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        let layout = manifest.layout();
        let mut pieces = Bitfield::none(layout);
        for (piece, sha1) in layout.indexes().zip(manifest.pieces()) {
            // Only the last piece can be shorter.
            if *sha1 == sha1_of_zeros(layout.len(piece)) {
                pieces.insert(piece);
            }
        }
        Self { layout, pieces }
    }

    /// No piece of a stream.
    pub fn none(layout: Layout) -> Self {
        Self { layout, pieces: Bitfield::none(layout) }
    }

    /// Whether a piece is all zeros.
    pub fn has(&self, piece: PieceIndex) -> bool {
        self.pieces.has(piece)
    }

    /// The number of these pieces.
    pub fn count(&self) -> u32 {
        self.pieces.held()
    }

    /// The end of the last one in the stream; 0 if there is none.
    pub fn end(&self) -> u64 {
        let last = self.pieces.iter(self.layout).last();
        last.map_or(0, |last| self.layout.offset(last) + u64::from(self.layout.len(last)))
    }

    /// Runs of adjacent pieces of zeros.
    pub fn runs(&self) -> impl Iterator<Item = Vec<PieceIndex>> {
        let mut rest = self.pieces.iter(self.layout).peekable();
        std::iter::from_fn(move || {
            let mut run = vec![rest.next()?];
            while let Some(next) = rest.next_if(|next| run.last().is_some_and(|last| last.get() + 1 == next.get())) {
                run.push(next);
            }
            Some(run)
        })
    }

    /// Whether a stretch of the stream lies within these pieces.
    pub fn cover(&self, stretch: Range<u64>) -> bool {
        self.layout.touched_by(stretch).all(|piece| self.pieces.has(piece))
    }

    /// The parts of a stretch of the stream outside these pieces, in order.
    pub fn gaps(&self, stretch: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps: Vec<Range<u64>> = Vec::new();
        for piece in self.layout.touched_by(stretch.clone()).filter(|piece| !self.pieces.has(*piece)) {
            let offset = self.layout.offset(piece);
            let (start, end) = (offset.max(stretch.start), stretch.end.min(offset + u64::from(self.layout.len(piece))));
            match gaps.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end = end,
                None => gaps.push(start..end),
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::FileEntry;
    use crate::model::path::RelPath;

    const LEN: u64 = PIECE_LEN as u64;

    /// Pieces, of which these are zeros, and a short last one, which is zeros if `end`.
    fn zeros(pieces: &[bool], end: bool) -> ZeroPieces {
        let digest = |zero: bool, len| Sha1Digest(Sha1::digest(vec![u8::from(!zero); len]).into());
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
