//! The one hasher of a download, among workers, the thread that follows up, and the end.

use super::schedules::explore;
use crate::common::subject::bytes;
use groupshare::client::download::whole_hash::WholeHash;
use groupshare::client::hash::zeros::ZeroPieces;
use groupshare::client::storage::piece_source::{PieceSource, SourceError};
use groupshare::model::digest::Sha1Digest;
use groupshare::model::manifest::{FileEntry, Manifest};
use groupshare::model::path::RelPath;
use groupshare::model::piece::{Layout, PIECE_LEN, PieceIndex};
use groupshare::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use groupshare::sync::thread;
use sha1::{Digest, Sha1};
use std::path::PathBuf;
use std::sync::LazyLock;

/// More bytes than may wait for the hasher, with zeros in the sixth piece.
static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = bytes(7 * PIECE_LEN as usize + 77);
    bytes[5 * PIECE_LEN as usize..6 * PIECE_LEN as usize].fill(0);
    bytes
});
static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    let file = FileEntry { path: RelPath::parse("f").expect("a path"), len: STREAM.len() as u64 };
    Manifest::new(vec![file], STREAM.chunks(PIECE_LEN as usize).map(sha1_of).collect()).expect("a manifest")
});
static SHA1: LazyLock<Sha1Digest> = LazyLock::new(|| sha1_of(&STREAM));

fn sha1_of(data: &[u8]) -> Sha1Digest {
    Sha1Digest(Sha1::digest(data).into())
}

fn bytes_of(piece: PieceIndex) -> &'static [u8] {
    STREAM.chunks(PIECE_LEN as usize).nth(piece.as_usize()).expect("a piece of it")
}

/// The file. A piece can be read once it is written.
struct File {
    written: Vec<AtomicBool>,
    /// How many reads succeed before one fails.
    sound: AtomicUsize,
}

impl File {
    fn new(written: &[u32], sound: usize) -> Self {
        let count = STREAM.len().div_ceil(PIECE_LEN as usize) as u32;
        let written = (0..count).map(|piece| AtomicBool::new(written.contains(&piece))).collect();
        Self { written, sound: AtomicUsize::new(sound) }
    }

    fn piece(&self, number: u32) -> PieceIndex {
        self.layout().index(number).expect("there")
    }

    fn is_written(&self, piece: usize) -> bool {
        self.written[piece].load(Ordering::SeqCst)
    }
}

impl PieceSource for File {
    fn layout(&self) -> Layout {
        Layout::new(STREAM.len() as u64).expect("small")
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let at = offset as usize;
        let pieces = at / PIECE_LEN as usize..=(at + buffer.len() - 1) / PIECE_LEN as usize;
        assert!(pieces.into_iter().all(|piece| self.is_written(piece)), "only written pieces are read");
        if self.sound.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(SourceError::Gone(PathBuf::from("memory")));
        }
        buffer.copy_from_slice(&STREAM[at..at + buffer.len()]);
        Ok(())
    }
}

/// A piece comes in. If `lies`, a wrong one comes first. A failed read is tried again.
fn take(hash: &WholeHash, file: &File, number: u32, lies: bool) {
    let piece = file.piece(number);
    let data = bytes_of(piece);
    let verify = |data: &[u8]| loop {
        if let Ok(good) = hash.verify((piece, data.into()), &sha1_of(bytes_of(piece)), file, None) {
            return good;
        }
    };
    if lies {
        let mut wrong = data.to_vec();
        wrong[0] ^= 1;
        assert!(!verify(&wrong));
    }
    assert!(verify(data));
    file.written[piece.as_usize()].store(true, Ordering::SeqCst);
    while hash.advance(piece, file).is_err() {}
}

/// Three workers with pieces in this order, and a thread that follows up, meet the end.
fn play(order: &'static [u32], file: File, liar: usize) {
    let hash = WholeHash::new(file.layout(), ZeroPieces::of(&MANIFEST));
    (0..file.written.len()).filter(|&piece| file.is_written(piece)).for_each(|piece| {
        hash.announce(file.piece(piece as u32));
    });
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::SeqCst);
            let Some(&number) = order.get(at) else { return };
            take(&hash, &file, number, at == liar);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        scope.spawn(|| while hash.follow_up(&file, || over.load(Ordering::SeqCst)).is_err() {});
        workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
        let sha1 = loop {
            if let Ok(sha1) = hash.finish(&file) {
                break sha1;
            }
        };
        assert!(sha1 == *SHA1, "each piece once and in order");
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(hash.hashed(), STREAM.len() as u64, "the hasher came back");
}

#[test]
fn the_whole_is_hashed_in_order_however_its_pieces_come() {
    explore(|| {
        play(&[2, 0, 1, 7, 6, 5, 4, 3], File::new(&[], usize::MAX), 1);
    });
}

#[test]
fn the_workers_hash_between_them_the_pieces_of_an_earlier_run() {
    explore(|| {
        play(&[3, 7, 0], File::new(&[1, 2, 4, 5, 6], usize::MAX), usize::MAX);
    });
}

#[test]
fn a_read_that_fails_leaves_the_hasher_where_others_find_it() {
    explore(|| {
        play(&[7, 5, 0, 6], File::new(&[1, 2, 3, 4], 3), 2);
    });
}
