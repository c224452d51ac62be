//! The SHA-1 of a complete file, computed while its pieces come in.

use crate::client::hash::sha1_lanes::{Sha1Stream, update_both, update_pair};
use crate::client::hash::zeros::{ZeroPieces, zeros};
use crate::client::storage::piece_source::{PieceSource, SourceError};
use crate::model::digest::Sha1Digest;
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::wire::stretches::Stretches;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

/// This many pieces may wait for the hasher. Any more are hashed at once, so little is left when the last piece comes.
const LAG_MAX: u64 = 4;
/// The maximum number of bytes that one call of `advance` reads back. So it keeps a worker from its peers only for some
/// milliseconds.
const STRETCH_LEN: u64 = 8 * PIECE_LEN as u64;
/// The number of bytes to read back at a time: small enough to be hashed out of the cache.
const BUFFER_LEN: usize = 128 * 1024;
/// The number of bytes that are hashed within a tenth of a second.
const MOMENT_LEN: u64 = 64 << 20;
/// How often the thread of `follow_up` checks whether a gap is filled or the download is over.
const GAP_PAUSE: Duration = Duration::from_millis(200);

/// The SHA-1 of a stream whose pieces arrive in any order. A worker computes it beside the SHA-1 of a received piece,
/// because two hashes at a time cost little more than one. If that piece is next in the stream, both hashes are of the
/// same bytes. A few present pieces before it make no difference. Otherwise the worker reads the next piece back from
/// the source, if it is present, which is cheap in the page cache. Pieces with the digests of zeros are not read.
///
/// There is one hasher. The worker that finds it free takes it, one more waits for it, and others go on without it. No
/// lock is held while it hashes. Invariant: behind the hasher, fewer than `LAG_MAX` pieces and one stretch per call are
/// present without a gap. The invariant holds while no call runs and none has failed.
pub struct WholeHash {
    layout: Layout,
    zeros: ZeroPieces,
    /// The end of the last zeros in the stream.
    zeros_end: u64,
    /// A bit for each piece that can be read back. A worker sets it before it asks for the hasher.
    here: Box<[AtomicU64]>,
    slot: Mutex<HasherSlot>,
    given_back: Condvar,
    /// The value of the hasher's `at` when the hasher was last free.
    hashed: AtomicU64,
}

/// Holds the hasher while no worker has it.
struct HasherSlot {
    hasher: Option<Hasher>,
    /// Whether a worker with a received piece waits for the hasher.
    awaited: bool,
}

struct Hasher {
    sha1: Sha1Stream,
    /// Bytes hashed so far.
    at: u64,
    buffer: Vec<u8>,
}

impl WholeHash {
    /// The hash of a stream without any piece yet. `zeros` are the pieces that will be all zeros.
    pub fn new(layout: Layout, zeros: ZeroPieces) -> Self {
        let words = (layout.count() as usize).div_ceil(64);
        let hasher = Hasher { sha1: Sha1Stream::default(), at: 0, buffer: Vec::new() };
        Self {
            layout,
            zeros_end: zeros.end(),
            zeros,
            here: (0..words).map(|_| AtomicU64::new(0)).collect(),
            slot: Mutex::new(HasherSlot { hasher: Some(hasher), awaited: false }),
            given_back: Condvar::new(),
            hashed: AtomicU64::new(0),
        }
    }

    /// Notes a piece that can be read back, such as one of an earlier run.
    pub fn announce(&self, piece: PieceIndex) {
        self.here[piece.as_usize() / 64].fetch_or(bit(piece), Ordering::Release);
    }

    /// The number of hashed bytes.
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// Whether a received piece has the expected digest. Hashes a piece of the stream beside it, if possible. If the
    /// piece comes soon in the stream, waits until `patience` for the hasher to reach it.
    ///
    /// # Errors
    /// Those of reading back. They say nothing about the piece.
    pub fn verify(
        &self,
        (piece, data): (PieceIndex, Stretches<'_>),
        expected: &Sha1Digest,
        source: &dyn PieceSource,
        patience: Option<Instant>,
    ) -> Result<bool, SourceError> {
        debug_assert_eq!(data.len(), self.layout.len(piece) as usize);
        let mut sha1 = Sha1Stream::default();
        let Some(mut guard) = self.wait_for_hasher(self.layout.offset(piece), patience) else {
            data.iter().for_each(|stretch| sha1.update(stretch));
            return Ok(sha1.digest() == *expected);
        };
        let hasher = guard.hasher();
        if self.is_near(hasher.at, self.layout.offset(piece)) {
            hasher.read_back(self.layout.offset(piece), (source, &self.zeros))?;
        } else {
            match self.next_end(hasher.at) {
                Some(end) => hasher.read_back_beside(end, (source, &self.zeros), &mut sha1, data)?,
                None => {
                    // Other workers may use the hasher meanwhile.
                    drop(guard);
                    data.iter().for_each(|stretch| sha1.update(stretch));
                }
            }
            return Ok(sha1.digest() == *expected);
        }
        let before = hasher.sha1.clone();
        data.iter().for_each(|stretch| update_both(&mut sha1, &mut hasher.sha1, stretch));
        let good = sha1.digest() == *expected;
        if good {
            hasher.at += data.len() as u64;
        } else {
            hasher.sha1 = before;
        }
        Ok(good)
    }

    /// Notes a verified and written piece, and goes on hashing if too many pieces wait.
    ///
    /// # Errors
    /// Those of reading back.
    pub fn advance(&self, piece: PieceIndex, source: &dyn PieceSource) -> Result<(), SourceError> {
        self.announce(piece);
        if !self.lags(self.hashed()) {
            return Ok(());
        }
        let Some(hasher) = self.slot.lock().hasher.take() else {
            return Ok(());
        };
        let mut guard = HasherGuard { of: self, hasher: Some(hasher) };
        let hasher = guard.hasher();
        let until = hasher.at + STRETCH_LEN;
        while let Some(end) = self.next_end(hasher.at).filter(|&end| end <= until && self.lags(hasher.at)) {
            hasher.read_back(end, (source, &self.zeros))?;
        }
        Ok(())
    }

    /// Hashes the next piece if it is present. Returns false if it is missing, or if a worker has the hasher or waits
    /// for it.
    ///
    /// # Errors
    /// Those of reading back.
    pub fn follow(&self, source: &dyn PieceSource) -> Result<bool, SourceError> {
        let mut slot = self.slot.lock();
        let hasher = if slot.awaited { None } else { slot.hasher.take() };
        let Some(hasher) = hasher else {
            return Ok(false);
        };
        drop(slot);
        let mut guard = HasherGuard { of: self, hasher: Some(hasher) };
        let hasher = guard.hasher();
        let end = self.next_end(hasher.at);
        end.map(|end| hasher.read_back(end, (source, &self.zeros))).transpose().map(|hashed| hashed.is_some())
    }

    /// Hashes everything that is present without a gap, until `is_over`. Lets workers go first. While zeros lie behind
    /// a gap, it waits for the missing pieces. Zeros come all at once, but take as long to hash as other bytes.
    ///
    /// # Errors
    /// Those of reading back.
    pub fn follow_up(&self, source: &dyn PieceSource, is_over: impl Fn() -> bool) -> Result<(), SourceError> {
        let can_go_on = || self.next_end(self.hashed()).is_some();
        let has_gap = || !can_go_on() && self.hashed() < self.zeros_end;
        while !is_over() && (can_go_on() || has_gap()) {
            if !self.follow(source)? {
                let mut slot = self.slot.lock();
                if slot.hasher.is_none() || slot.awaited {
                    self.given_back.wait(&mut slot);
                } else if has_gap() {
                    // A thread that fills the gap without the hasher, or ends the download, wakes no one.
                    self.given_back.wait_until(&mut slot, Instant::now() + GAP_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Whether the rest takes only a moment.
    pub fn is_nearly_done(&self) -> bool {
        self.layout.size() - self.hashed() <= MOMENT_LEN
    }

    /// The digest of a stream that has all its pieces. Hashes the rest, after the worker that has the hasher.
    ///
    /// # Errors
    /// Those of reading back.
    pub fn finish(&self, source: &dyn PieceSource) -> Result<Sha1Digest, SourceError> {
        let mut slot = self.slot.lock();
        let hasher = loop {
            match slot.hasher.take() {
                Some(hasher) => break hasher,
                // The other worker needs the hasher for one stretch at most.
                None => self.given_back.wait(&mut slot),
            }
        };
        drop(slot);
        let mut guard = HasherGuard { of: self, hasher: Some(hasher) };
        let hasher = guard.hasher();
        hasher.read_back(self.layout.size(), (source, &self.zeros))?;
        hasher.buffer = Vec::new();
        Ok(hasher.sha1.digest())
    }

    /// Takes the hasher, or waits for the worker that has it. Until `patience`, also waits for workers that have the
    /// pieces before `offset`. Returns `None` if another worker waits already.
    fn wait_for_hasher(&self, offset: u64, patience: Option<Instant>) -> Option<HasherGuard<'_>> {
        let mut slot = self.slot.lock();
        if !slot.awaited {
            slot.awaited = true;
            let mut patience = patience;
            loop {
                let soon = slot.hasher.as_ref().is_some_and(|hasher| self.is_soon(hasher.at, offset));
                match patience.filter(|_| soon) {
                    Some(until) if self.given_back.wait_until(&mut slot, until).timed_out() => patience = None,
                    Some(_) => {}
                    None if slot.hasher.is_none() => self.given_back.wait(&mut slot),
                    None => break,
                }
            }
            slot.awaited = false;
        }
        let hasher = slot.hasher.take()?;
        Some(HasherGuard { of: self, hasher: Some(hasher) })
    }

    /// Whether few pieces are missing between the position `at` and `offset`.
    fn is_soon(&self, at: u64, offset: u64) -> bool {
        offset > at && offset - at <= LAG_MAX * u64::from(PIECE_LEN) && !self.is_near(at, offset)
    }

    /// Whether the position `at` is `offset`, or lies a few pieces before it and all pieces between them are present.
    fn is_near(&self, at: u64, offset: u64) -> bool {
        let len = u64::from(PIECE_LEN);
        offset.checked_sub(at).is_some_and(|gap| {
            gap <= LAG_MAX * len && (0..gap.div_ceil(len)).all(|ahead| self.next_end(at + ahead * len).is_some())
        })
    }

    /// Whether more than `LAG_MAX` pieces behind the position `at` are present.
    fn lags(&self, at: u64) -> bool {
        (0..=LAG_MAX).all(|ahead| self.next_end(at + ahead * u64::from(PIECE_LEN)).is_some())
    }

    /// The end of the piece that contains the position `at`, if that piece is present.
    fn next_end(&self, at: u64) -> Option<u64> {
        if at >= self.layout.size() {
            // `at` may lie behind a short last piece, yet within the length of a full piece.
            return None;
        }
        // The quotient is below the number of pieces, which is a u32, or `index` has none.
        let piece = self.layout.index((at / u64::from(PIECE_LEN)) as u32)?;
        let word = self.here[piece.as_usize() / 64].load(Ordering::Acquire);
        (word & bit(piece) != 0).then(|| self.layout.offset(piece) + u64::from(self.layout.len(piece)))
    }
}

impl fmt::Debug for WholeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeHash").field("hashed", &self.hashed()).finish_non_exhaustive()
    }
}

fn bit(piece: PieceIndex) -> u64 {
    1 << (piece.get() % 64)
}

impl Hasher {
    /// Hashes on to `end` with bytes from the source. On an error, the bytes hashed so far count.
    fn read_back(&mut self, end: u64, from: Readable<'_>) -> Result<(), SourceError> {
        while self.at < end {
            let bytes = next_bytes(&mut self.buffer, self.at..end, from)?;
            self.sha1.update(bytes);
            self.at += bytes.len() as u64;
        }
        Ok(())
    }

    /// As `read_back`, while another hash takes all of `data`.
    fn read_back_beside(
        &mut self,
        end: u64,
        from: Readable<'_>,
        other: &mut Sha1Stream,
        data: Stretches<'_>,
    ) -> Result<(), SourceError> {
        let mut chunks = data.iter().flat_map(|stretch| stretch.chunks(BUFFER_LEN));
        while self.at < end {
            // Takes equal amounts of both, so that neither hash runs alone.
            let chunk = chunks.next().unwrap_or_default();
            let most = if chunk.is_empty() { BUFFER_LEN } else { chunk.len() };
            let bytes = next_bytes(&mut self.buffer, self.at..end.min(self.at + most as u64), from)?;
            update_pair((&mut self.sha1, bytes), (other, chunk));
            self.at += bytes.len() as u64;
        }
        chunks.for_each(|chunk| other.update(chunk));
        Ok(())
    }
}

/// The source of the pieces to read back, and the pieces that are known to be zeros.
type Readable<'a> = (&'a dyn PieceSource, &'a ZeroPieces);

/// The first bytes of a non-empty stretch of the stream: as many as come from one read, or as are known zeros.
fn next_bytes<'a>(
    buffer: &'a mut Vec<u8>,
    stretch: Range<u64>,
    (source, known): Readable<'_>,
) -> Result<&'a [u8], SourceError> {
    let Range { start, end } = stretch;
    let layout = source.layout();
    if let Some(piece) = layout.touched_by(start..start + 1).next().filter(|piece| known.has(*piece)) {
        // No longer than a piece.
        return Ok(zeros((end.min(layout.offset(piece) + u64::from(layout.len(piece))) - start) as u32));
    }
    buffer.resize(BUFFER_LEN, 0);
    // No longer than the buffer.
    let bytes = &mut buffer[..(end - start).min(BUFFER_LEN as u64) as usize];
    source.read_at(start, bytes)?;
    Ok(bytes)
}

/// The hasher in the hands of one worker. Dropping this gives it back in any case.
struct HasherGuard<'a> {
    of: &'a WholeHash,
    hasher: Option<Hasher>,
}

impl HasherGuard<'_> {
    fn hasher(&mut self) -> &mut Hasher {
        self.hasher.as_mut().expect("it is only taken by drop")
    }
}

impl Drop for HasherGuard<'_> {
    fn drop(&mut self) {
        if let Some(hasher) = self.hasher.take() {
            self.of.hashed.store(hasher.at, Ordering::Relaxed);
            self.of.slot.lock().hasher = Some(hasher);
            // Wakes all, because `follow_up` leaves the hasher to a waiting worker.
            self.of.given_back.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::hash::piece_hash::sha1_of;
    use crate::client::hash::piece_hash::tests::noise;
    use crate::model::manifest::{FileEntry, Manifest};
    use crate::model::path::RelPath;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    /// A stream in memory that counts the bytes read back.
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

    fn hash_of(source: &Memory) -> WholeHash {
        WholeHash::new(source.layout(), ZeroPieces::none(source.layout()))
    }

    fn piece(source: &Memory, number: u32) -> PieceIndex {
        source.layout().index(number).expect("there")
    }

    /// Delivers a good piece.
    fn take(hash: &WholeHash, source: &Memory, number: u32) {
        let piece = piece(source, number);
        let data = source.piece(piece);
        assert!(hash.verify((piece, data.into()), &sha1_of(data), source, None).expect("in memory"));
        hash.advance(piece, source).expect("in memory");
    }

    #[test]
    fn pieces_in_order_are_hashed_without_reading_any_back() {
        let source = Memory::new(5 * PIECE + 77);
        let hash = hash_of(&source);
        (0..6).for_each(|number| take(&hash, &source, number));
        assert_eq!(hash.hashed(), source.bytes.len() as u64);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
        assert_eq!(source.read(), 0);
    }

    #[test]
    fn pieces_that_came_early_are_read_back_one_beside_each_that_comes() {
        let source = Memory::new(6 * PIECE + 5);
        let hash = hash_of(&source);
        for (number, hashed) in [(2, 0), (1, 0), (0, 1), (6, 2), (5, 3), (3, 4)] {
            take(&hash, &source, number);
            assert_eq!(hash.hashed(), hashed * PIECE as u64, "after {number}");
        }
        assert_eq!(source.read(), 2 * PIECE as u64);
        take(&hash, &source, 4);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
        assert_eq!(source.read(), 3 * PIECE as u64 + 5);
    }

    #[test]
    fn a_bad_piece_is_found_and_leaves_the_hash_as_it_was() {
        let source = Memory::new(4 * PIECE);
        let hash = hash_of(&source);
        take(&hash, &source, 1);
        for number in [0, 2] {
            let piece = piece(&source, number);
            let mut data = source.piece(piece).to_vec();
            data[1000] ^= 1;
            assert!(
                !hash
                    .verify((piece, data[..].into()), &sha1_of(source.piece(piece)), &source, None)
                    .expect("in memory")
            );
            assert_eq!(hash.hashed(), 0);
        }
        [0, 3, 2].into_iter().for_each(|number| take(&hash, &source, number));
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn the_hash_bounds_the_waiting_pieces_and_what_one_call_reads_back() {
        let source = Memory::new(60 * PIECE);
        let hash = hash_of(&source);
        (1..60).for_each(|number| take(&hash, &source, number));
        assert_eq!(hash.hashed(), 0);
        take(&hash, &source, 0);
        assert_eq!(hash.hashed(), PIECE as u64 + STRETCH_LEN);
        assert_eq!(source.read(), STRETCH_LEN);
        for _ in 0..6 {
            hash.advance(piece(&source, 0), &source).expect("in memory");
        }
        assert_eq!(hash.hashed(), source.bytes.len() as u64 - LAG_MAX * PIECE as u64);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn a_resumed_download_is_hashed_from_its_beginning() {
        let source = Memory::new(3 * PIECE + 1);
        let hash = hash_of(&source);
        source.layout().indexes().for_each(|piece| hash.announce(piece));
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes), "asked again");
    }

    #[test]
    fn the_hash_follows_through_what_is_here_up_to_the_first_gap() {
        let source = Memory::new(20 * PIECE);
        let hash = hash_of(&source);
        assert!(!hash.follow(&source).expect("in memory"), "nothing is here");
        (0..20).filter(|&number| number != 12).for_each(|number| hash.announce(piece(&source, number)));
        assert!(hash.follow(&source).expect("in memory"));
        assert_eq!(hash.hashed(), PIECE as u64);
        hash.follow_up(&source, || false).expect("in memory");
        assert_eq!(hash.hashed(), 12 * PIECE as u64);
        let guard = hash.wait_for_hasher(0, None).expect("free");
        assert!(!hash.follow(&source).expect("in memory"), "a worker has the hasher");
        drop(guard);
        take(&hash, &source, 12);
        let before = hash.hashed();
        assert!(before < source.bytes.len() as u64);
        hash.follow_up(&source, || true).expect("in memory");
        assert_eq!(hash.hashed(), before, "it was over");
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn follow_up_lets_a_worker_with_a_piece_go_first() {
        let source = Memory::new(40 * PIECE);
        let hash = hash_of(&source);
        (0..39).for_each(|number| hash.announce(piece(&source, number)));
        let first = hash.wait_for_hasher(0, None).expect("free");
        std::thread::scope(|scope| {
            scope.spawn(|| hash.follow_up(&source, || false).expect("in memory"));
            scope.spawn(|| take(&hash, &source, 39));
            while !hash.slot.lock().awaited {
                std::thread::yield_now();
            }
            drop(first);
        });
        hash.follow_up(&source, || false).expect("in memory");
        assert_eq!(hash.hashed(), 40 * PIECE as u64);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn a_failed_read_leaves_the_hash_where_it_can_go_on() {
        let source = Memory::new(30 * PIECE);
        let hash = hash_of(&source);
        source.layout().indexes().for_each(|piece| hash.announce(piece));
        source.fails.store(true, Ordering::Relaxed);
        let last = piece(&source, 29);
        assert!(hash.advance(last, &source).is_err());
        assert!(hash.verify((last, source.piece(last).into()), &sha1_of(b""), &source, None).is_err());
        source.fails.store(false, Ordering::Relaxed);
        take(&hash, &source, 29);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn the_empty_stream_has_the_digest_of_nothing() {
        let source = Memory::new(0);
        let hash = hash_of(&source);
        assert_eq!(hash.finish(&source).expect("in memory"), Sha1Digest::OF_NOTHING);
    }

    #[test]
    fn one_worker_waits_for_the_hasher_and_others_do_not() {
        let source = Memory::new(3 * PIECE);
        let hash = hash_of(&source);
        let first = hash.wait_for_hasher(0, None).expect("free");
        std::thread::scope(|scope| {
            scope.spawn(|| take(&hash, &source, 0));
            while !hash.slot.lock().awaited {
                std::thread::yield_now();
            }
            take(&hash, &source, 1);
            assert_eq!(hash.hashed(), 0);
            drop(first);
        });
        assert_eq!(hash.hashed(), PIECE as u64);
        take(&hash, &source, 2);
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn many_workers_leave_no_piece_behind() {
        let source = Memory::new(64 * PIECE + 5);
        let hash = hash_of(&source);
        let order: Vec<u32> = (0..65).map(|i| i * 37 % 65).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(&number) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        take(&hash, &source, number);
                    }
                });
            }
        });
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
    }

    #[test]
    fn a_piece_that_is_soon_the_next_waits_for_the_one_before_it() {
        let source = Memory::new(3 * PIECE_LEN as usize);
        let (hash, layout) = (hash_of(&source), source.layout());
        let take = |number: u32, patience| {
            let piece = layout.index(number).expect("there");
            let data = source.piece(piece);
            assert!(hash.verify((piece, data.into()), &sha1_of(data), &source, patience).expect("in memory"));
            hash.advance(piece, &source).expect("in memory");
        };
        let long = Instant::now() + Duration::from_secs(300);
        std::thread::scope(|scope| {
            scope.spawn(|| take(1, Some(long)));
            while !hash.slot.lock().awaited {
                std::thread::yield_now();
            }
            take(0, Some(long));
        });
        assert_eq!((hash.hashed(), source.read.load(Ordering::Relaxed)), (2 * u64::from(PIECE_LEN), 0));
        // The piece before the last never comes.
        let hash = WholeHash::new(layout, ZeroPieces::none(layout));
        let last = layout.index(2).expect("there");
        let data = source.piece(last);
        assert!(hash.verify((last, data.into()), &sha1_of(data), &source, Some(Instant::now())).expect("in memory"));
        assert_eq!(hash.hashed(), 0);
    }

    /// A stream with zeros in these pieces.
    fn with_zeros(pieces: usize, zeros: &[usize]) -> (Memory, WholeHash) {
        let mut source = Memory::new(pieces * PIECE);
        zeros.iter().for_each(|piece| source.bytes[piece * PIECE..][..PIECE].fill(0));
        let file = FileEntry { path: RelPath::parse("f").expect("a path"), len: source.bytes.len() as u64 };
        let digests = source.bytes.chunks(PIECE).map(sha1_of).collect();
        let manifest = Manifest::new(vec![file], digests).expect("a manifest");
        let hash = WholeHash::new(source.layout(), ZeroPieces::of(&manifest));
        (source, hash)
    }

    #[test]
    fn zeros_are_hashed_and_not_read_back() {
        let zeros = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 13];
        let (source, hash) = with_zeros(14, &zeros);
        zeros.iter().for_each(|&number| hash.announce(piece(&source, number as u32)));
        [12, 7, 11].into_iter().for_each(|number| take(&hash, &source, number));
        assert_eq!(hash.finish(&source).expect("in memory"), sha1_of(&source.bytes));
        assert!(source.read() <= 3 * PIECE as u64, "{}", source.read());
    }

    #[test]
    fn while_zeros_lie_behind_a_gap_the_thread_that_follows_up_waits_for_what_is_missing() {
        let (source, hash) = with_zeros(40, &(1..39).collect::<Vec<_>>());
        (1..39).for_each(|number| hash.announce(piece(&source, number)));
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| hash.follow_up(&source, || false));
            take(&hash, &source, 0);
            follower.join().expect("no panic").expect("in memory");
        });
        assert_eq!(hash.hashed(), 39 * PIECE as u64, "nothing but zeros lay behind");
        let (over, (source, hash)) = (AtomicBool::new(false), with_zeros(3, &[2]));
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| hash.follow_up(&source, || over.load(Ordering::Relaxed)));
            over.store(true, Ordering::Relaxed);
            follower.join().expect("no panic").expect("it gives up");
        });
    }
}
