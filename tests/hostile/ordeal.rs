//! A download among liars, with one honest member that comes late.

use super::liar::Liar;
use crate::common::listing::{Entry, listing};
use crate::common::subject::{all, bytes, subject_of};
use crate::member::Member;
use groupshare::client::download::transfer::Subject;
use groupshare::model::piece::PIECE_LEN;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Pieces of the file. The last one is short.
const PIECES: usize = 9;

/// The content of the download.
pub(super) struct Ordeal {
    pub data: Vec<u8>,
    pub subject: Subject,
}

impl Ordeal {
    pub(super) fn new() -> Self {
        Self::of(PIECES)
    }

    /// An ordeal with content of this many pieces.
    pub(super) fn of(pieces: usize) -> Self {
        let data = bytes((pieces - 1) * PIECE_LEN as usize + 77);
        let subject = subject_of(&data);
        Self { data, subject }
    }

    /// The bytes of a piece.
    pub(super) fn piece(&self, piece: u32) -> Vec<u8> {
        let begin = piece as usize * PIECE_LEN as usize;
        self.data[begin..self.data.len().min(begin + PIECE_LEN as usize)].to_vec()
    }

    /// The bitfield of a member with everything.
    pub(super) fn all(&self) -> Vec<u8> {
        all(&self.subject).as_bytes().to_vec()
    }

    /// Downloads from the liars until each has lied, then from an honest member too. The file is identical, and nothing
    /// else in its folder has changed. Returns the time from the first liar to the file.
    pub(super) fn is_survived(&self, liars: &[Liar]) -> Duration {
        let (victim, honest) = (Member::new(200), Member::new(201));
        honest.seed(&self.data, &self.subject, all(&self.subject));
        let folder = victim.folder.path();
        fs::write(folder.join("precious.txt"), b"mine").expect("room");
        fs::create_dir(folder.join("photos")).expect("room");
        fs::write(folder.join("photos/1.jpg"), b"mine too").expect("room");
        let before = listing(folder);
        victim.download(1, &self.subject);
        let begun = Instant::now();
        victim.engine.peers(1, liars.iter().map(|liar| liar.peer.clone()).collect());
        liars.iter().for_each(Liar::has_lied);
        victim.engine.peers(1, vec![honest.peer(201, &self.subject)]);
        victim.expect_finished(&self.data);
        let took = begun.elapsed();
        // The last trace of a download goes when nothing holds it any more.
        victim.catalog.clear();
        let sidecar = folder.join("out.bin.part.meta");
        crate::common::wait::wait_until("nothing of the download is left but the file", || !sidecar.exists());
        let mut after = listing(folder);
        let file = after.remove(Path::new("out.bin"));
        assert!(file == Some(Entry::File(self.data.clone())), "the file is identical");
        assert_eq!(after, before, "nothing else has changed");
        took
    }
}
