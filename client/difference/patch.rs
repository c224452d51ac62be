//! How to put a piece together: from blocks of the old version, and from others of a member.

use crate::model::piece::block::{BlockLen, BlockSet};

/// The places of a piece's blocks in the old version. The other blocks have to come from a member.
#[derive(Debug, PartialEq, Eq)]
pub struct Patch {
    len: BlockLen,
    piece_len: u32,
    /// For each block, its place in the stream of the old version.
    places: Box<[Option<u64>]>,
}

impl Patch {
    /// # Panics
    /// Unless there is one place for each block of the piece.
    pub fn new(len: BlockLen, piece_len: u32, places: Box<[Option<u64>]>) -> Self {
        assert_eq!(places.len(), len.count(piece_len) as usize, "one place for each block");
        Self { len, piece_len, places }
    }

    pub fn block_len(&self) -> BlockLen {
        self.len
    }

    /// The blocks that have to come from a member.
    pub fn missing(&self) -> BlockSet {
        let mut missing = BlockSet::none(self.len, self.piece_len);
        (0..).zip(&self.places).filter(|(_, place)| place.is_none()).for_each(|(block, _)| missing.insert(block));
        missing
    }

    /// The number of bytes that have to come.
    pub fn missing_len(&self) -> u32 {
        self.missing().byte_count()
    }

    /// Whether any block of the old version is of use.
    pub fn is_useful(&self) -> bool {
        self.places.iter().any(Option::is_some)
    }

    /// Puts the piece together in `room`, which has its length. `old` reads from a place of the old version; `came` are
    /// the member's bytes, in order. Returns false if they do not have the missing length.
    ///
    /// # Errors
    /// Those of `old`.
    pub fn assemble<'a, E>(
        &self,
        room: &mut [u8],
        mut old: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
        came: impl Iterator<Item = &'a [u8]>,
    ) -> Result<bool, E> {
        assert_eq!(room.len(), self.piece_len as usize, "the room is as long as the piece");
        // Neighbouring blocks are read at once.
        let mut at = 0;
        while at < self.places.len() {
            let run = self.run_from(at);
            if let Some(place) = self.places[at] {
                old(place, &mut room[self.bytes_of(at, run)])?;
            }
            at += run;
        }
        let mut came = came.filter(|stretch| !stretch.is_empty());
        let mut stretch: &[u8] = &[];
        for range in self.missing().ranges() {
            let mut left = &mut room[range.start as usize..range.end as usize];
            while !left.is_empty() {
                if stretch.is_empty() {
                    let Some(next) = came.next() else { return Ok(false) };
                    stretch = next;
                }
                let len = left.len().min(stretch.len());
                left[..len].copy_from_slice(&stretch[..len]);
                (left, stretch) = (&mut left[len..], &stretch[len..]);
            }
        }
        Ok(stretch.is_empty() && came.next().is_none())
    }

    /// How many blocks from this one on are neighbours in the old version too.
    fn run_from(&self, first: usize) -> usize {
        let follows = |behind: usize| {
            let expected = self.places[first]?.checked_add(behind as u64 * u64::from(self.len.get()))?;
            (*self.places.get(first + behind)? == Some(expected)).then_some(())
        };
        1 + (1..).take_while(|&behind| follows(behind).is_some()).count()
    }

    fn bytes_of(&self, first: usize, count: usize) -> std::ops::Range<usize> {
        // Fewer than 512 blocks.
        let (first, last) = (first as u32, (first + count - 1) as u32);
        self.len.range(first, self.piece_len).start as usize..self.len.range(last, self.piece_len).end as usize
    }
}
