//! The SHA-1 of a complete download, which follows the pieces while it grows.

use super::source::{PieceSource, SourceError};
use crate::model::bitfield::Bitfield;
use crate::model::digest::Sha1Digest;
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use parking_lot::{Condvar, Mutex};
use sha1::{Digest, Sha1};
use std::sync::atomic::{AtomicU64, Ordering};

/// Most bytes that one call reads back, so that no worker is kept from its peers for more than some milliseconds.
const STRETCH_LEN: u64 = 8 * PIECE_LEN as u64;
/// Bytes read back at a time: small enough to be hashed out of the cache.
const BUFFER_LEN: usize = 128 * 1024;

/// SHA-1 over a stream whose pieces arrive in any order. The piece at the position is hashed out of the memory it
/// arrived in; pieces that came early are read back from the source, which the page cache makes cheap.
///
/// One hasher exists. The worker that finds it free takes it and hashes on; others go their way at once. No lock is
/// held while it hashes. Invariant: once no call runs, the hasher stands before a piece that has not been announced,
/// unless a call has said `Lag::Behind` since the last `Lag::Level`, or failed.
pub struct StreamHash {
    layout: Layout,
    /// A bit per piece: it can be read back. Written before the hasher is asked for.
    here: Box<[AtomicU64]>,
    hasher: Mutex<Option<Hasher>>,
    given_back: Condvar,
    /// What the hasher's `at` was when it was last free.
    hashed: AtomicU64,
}

struct Hasher {
    sha1: Sha1,
    /// Bytes hashed so far.
    at: u64,
    buffer: Vec<u8>,
}

/// Whether there is something left to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// The piece at the position is still to come, or another worker is hashing on.
    Level,
    /// The next piece is here, but this call has done its share: call `catch_up` when there is time.
    Behind,
}

impl StreamHash {
    /// A hash that has seen nothing yet.
    pub fn new(layout: Layout) -> Self {
        let words = (layout.count() as usize).div_ceil(64);
        Self {
            layout,
            here: (0..words).map(|_| AtomicU64::new(0)).collect(),
            hasher: Mutex::new(Some(Hasher { sha1: Sha1::new(), at: 0, buffer: Vec::new() })),
            given_back: Condvar::new(),
            hashed: AtomicU64::new(0),
        }
    }

    /// Announces pieces that can be read back, such as those of an earlier run.
    pub fn announce(&self, pieces: &Bitfield) {
        pieces.iter(self.layout).for_each(|piece| self.set_here(piece));
    }

    /// How far the hash has come, in bytes.
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// Announces a piece that has been verified and written, and hashes on if the hasher is free.
    ///
    /// # Errors
    /// Those of reading back; the hash is then where it was before the stretch that failed.
    pub fn advance(&self, piece: PieceIndex, data: &[u8], source: &dyn PieceSource) -> Result<Lag, SourceError> {
        debug_assert_eq!(data.len(), self.layout.len(piece) as usize);
        self.set_here(piece);
        self.hash_on(Some((self.layout.offset(piece), data)), source)
    }

    /// Hashes on over pieces that are there, if the hasher is free.
    ///
    /// # Errors
    /// Those of reading back.
    pub fn catch_up(&self, source: &dyn PieceSource) -> Result<Lag, SourceError> {
        self.hash_on(None, source)
    }

    /// The digest of the stream, all of whose pieces are there: hashes what is left, after the worker that has the
    /// hasher, if there is one.
    ///
    /// # Errors
    /// Those of reading back.
    pub fn finish(&self, source: &dyn PieceSource) -> Result<Sha1Digest, SourceError> {
        let mut free = self.hasher.lock();
        let hasher = loop {
            match free.take() {
                Some(hasher) => break hasher,
                // For no longer than the other worker needs to hash one stretch.
                None => self.given_back.wait(&mut free),
            }
        };
        drop(free);
        let mut turn = Turn { of: self, hasher: Some(hasher) };
        turn.read_back(self.layout.size(), source)?;
        let hasher = turn.hasher();
        hasher.buffer = Vec::new();
        Ok(Sha1Digest(hasher.sha1.clone().finalize().into()))
    }

    fn hash_on(&self, mut warm: Option<(u64, &[u8])>, source: &dyn PieceSource) -> Result<Lag, SourceError> {
        let mut left = STRETCH_LEN;
        loop {
            let Some(hasher) = self.hasher.lock().take() else {
                return Ok(Lag::Level);
            };
            let mut turn = Turn { of: self, hasher: Some(hasher) };
            while let Some(end) = self.next_end(turn.hasher().at) {
                let hasher = turn.hasher();
                match warm.take_if(|(offset, _)| *offset == hasher.at) {
                    Some((_, data)) => {
                        hasher.sha1.update(data);
                        hasher.at = end;
                    }
                    None if left == 0 => return Ok(Lag::Behind),
                    None => {
                        left -= (end - hasher.at).min(left);
                        turn.read_back(end, source)?;
                    }
                }
            }
            let at = turn.hasher().at;
            drop(turn);
            // A piece announced between the look for it and the hasher's return found the hasher taken.
            if self.next_end(at).is_none() {
                return Ok(Lag::Level);
            }
        }
    }

    /// Where the piece ends that the position `at` lies in, if it is there and the stream does not end before.
    fn next_end(&self, at: u64) -> Option<u64> {
        if at == self.layout.size() {
            // It may lie behind a short last piece and still within the length of a whole one.
            return None;
        }
        // The quotient is below the number of pieces, which is a u32, or `index` has none.
        let piece = self.layout.index((at / u64::from(PIECE_LEN)) as u32)?;
        let word = self.here[piece.as_usize() / 64].load(Ordering::Acquire);
        (word & bit(piece) != 0).then(|| self.layout.offset(piece) + u64::from(self.layout.len(piece)))
    }

    fn set_here(&self, piece: PieceIndex) {
        self.here[piece.as_usize() / 64].fetch_or(bit(piece), Ordering::Release);
    }
}

fn bit(piece: PieceIndex) -> u64 {
    1 << (piece.get() % 64)
}

/// The hasher in the hands of one worker; goes back when dropped, whatever happened.
struct Turn<'a> {
    of: &'a StreamHash,
    hasher: Option<Hasher>,
}

impl Turn<'_> {
    fn hasher(&mut self) -> &mut Hasher {
        self.hasher.as_mut().expect("it is only taken by drop")
    }

    /// Hashes on to `end` with bytes from the source. On an error, what was hashed counts.
    fn read_back(&mut self, end: u64, source: &dyn PieceSource) -> Result<(), SourceError> {
        let Hasher { sha1, at, buffer } = self.hasher();
        buffer.resize(BUFFER_LEN, 0);
        while *at < end {
            // No longer than the buffer.
            let chunk = &mut buffer[..(end - *at).min(BUFFER_LEN as u64) as usize];
            source.read_at(*at, chunk)?;
            sha1.update(&*chunk);
            *at += chunk.len() as u64;
        }
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(hasher) = self.hasher.take() {
            self.of.hashed.store(hasher.at, Ordering::Relaxed);
            *self.of.hasher.lock() = Some(hasher);
            self.of.given_back.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::piece_hash::sha1_of;
    use super::super::piece_hash::tests::noise;
    use super::*;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    /// A stream in memory that counts what is read back.
    struct Memory {
        bytes: Vec<u8>,
        read: AtomicU64,
        fails: AtomicBool,
    }

    impl Memory {
        fn new(len: usize) -> Self {
            Self { bytes: noise(len), read: AtomicU64::new(0), fails: AtomicBool::new(false) }
        }

        fn piece(&self, piece: PieceIndex) -> &[u8] {
            let at = self.layout().offset(piece) as usize;
            &self.bytes[at..at + self.layout().len(piece) as usize]
        }

        fn read(&self) -> u64 {
            self.read.load(Ordering::Relaxed)
        }
    }

    impl PieceSource for Memory {
        fn layout(&self) -> Layout {
            Layout::new(self.bytes.len() as u64).expect("small")
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
            if self.fails.load(Ordering::Relaxed) {
                return Err(SourceError::Gone(PathBuf::from("memory")));
            }
            buffer.copy_from_slice(&self.bytes[offset as usize..][..buffer.len()]);
            self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            Ok(())
        }
    }

    const PIECE: usize = PIECE_LEN as usize;

    #[test]
    fn pieces_in_order_are_hashed_without_reading_any_back() {
        let source = Memory::new(5 * PIECE + 77);
        let hash = StreamHash::new(source.layout());
        for piece in source.layout().indexes() {
            assert_eq!(hash.advance(piece, source.piece(piece), &source).expect("in memory"), Lag::Level);
        }
        assert_eq!(hash.hashed(), source.bytes.len() as u64);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
        assert_eq!(source.read(), 0);
    }

    #[test]
    fn the_piece_that_closes_a_gap_is_warm_and_the_ones_behind_it_are_read_back() {
        let source = Memory::new(4 * PIECE);
        let hash = StreamHash::new(source.layout());
        for number in [3, 1, 2] {
            let piece = source.layout().index(number).expect("there");
            hash.advance(piece, source.piece(piece), &source).expect("in memory");
            assert_eq!(hash.hashed(), 0);
        }
        let first = source.layout().index(0).expect("there");
        hash.advance(first, source.piece(first), &source).expect("in memory");
        assert_eq!(hash.hashed(), source.bytes.len() as u64);
        assert_eq!(source.read(), 3 * PIECE as u64);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn one_call_reads_back_a_bounded_stretch_and_says_that_more_is_left() {
        let source = Memory::new(30 * PIECE);
        let hash = StreamHash::new(source.layout());
        hash.announce(&Bitfield::all(source.layout()));
        assert_eq!(hash.catch_up(&source).expect("in memory"), Lag::Behind);
        assert_eq!(hash.hashed(), STRETCH_LEN);
        let mut calls = 1;
        while hash.catch_up(&source).expect("in memory") == Lag::Behind {
            calls += 1;
        }
        assert_eq!(calls, 3);
        assert_eq!(hash.hashed(), source.bytes.len() as u64);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn a_resumed_download_is_hashed_from_its_beginning() {
        let source = Memory::new(3 * PIECE + 1);
        let hash = StreamHash::new(source.layout());
        hash.announce(&Bitfield::all(source.layout()));
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes), "asked again");
    }

    #[test]
    fn a_failed_read_leaves_the_hash_where_it_can_go_on() {
        let source = Memory::new(3 * PIECE);
        let hash = StreamHash::new(source.layout());
        hash.announce(&Bitfield::all(source.layout()));
        source.fails.store(true, Ordering::Relaxed);
        assert!(hash.catch_up(&source).is_err());
        source.fails.store(false, Ordering::Relaxed);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn the_empty_stream_has_the_digest_of_nothing() {
        let source = Memory::new(0);
        let hash = StreamHash::new(source.layout());
        assert_eq!(hash.finish(&source).expect("in memory"), crate::model::piece::SHA1_OF_NOTHING);
    }

    #[test]
    fn many_workers_leave_no_piece_behind() {
        let source = Memory::new(64 * PIECE + 5);
        let layout = source.layout();
        let hash = StreamHash::new(layout);
        let order: Vec<u32> = (0..65).map(|i| i * 37 % 65).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(&number) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let piece = layout.index(number).expect("there");
                        let mut lag = hash.advance(piece, source.piece(piece), &source).expect("in memory");
                        while lag == Lag::Behind {
                            lag = hash.catch_up(&source).expect("in memory");
                        }
                    }
                });
            }
        });
        assert_eq!(hash.hashed(), source.bytes.len() as u64, "the last to let go has seen every piece");
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }
}
