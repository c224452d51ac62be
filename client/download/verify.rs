//! Verifies the data of a download that an earlier run has written. The client trusts only hashes.

use super::error::DownloadError;
use super::whole_hash::WholeHash;
use crate::client::difference::old_version::OldVersion;
use crate::client::difference::patch::Patch;
use crate::client::hash::piece_hash::{HashedPiece, PieceRead, hash_each, hash_in_order};
use crate::client::hash::zeros::ZeroPieces;
use crate::client::storage::part::Part;
use crate::client::storage::piece_source::{PieceSource, SourceError};
use crate::client::storage::shared_files::SharedFiles;
use crate::model::bitfield::Bitfield;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::Manifest;
use crate::model::piece::PieceIndex;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// The state with which a download goes on.
#[derive(Debug)]
pub struct Verified {
    /// The pieces that are right.
    pub have: Bitfield,
    /// Has the verified pieces, and may already have hashed the first of them.
    pub hash: WholeHash,
}

/// Hashes the pieces of an earlier run on all cores. Does not read stretches that were never written. Makes holes of
/// pieces that are all zeros; these count as right, so no peer is asked for them. The whole hash follows on the calling
/// thread, so each byte is read from the disk once. The caller should lower the priority of that thread ([`give_way`]),
/// so that it takes no core from the pieces. Returns `None` if `cancel` is set meanwhile.
///
/// [`give_way`]: crate::sys::give_way
pub fn verify_existing(part: &Part, cancel: &AtomicBool) -> Option<Verified> {
    let layout = part.layout();
    let (holes, hash) = (part.make_holes(cancel), WholeHash::new(layout, part.zeros().clone()));
    holes.iter(layout).for_each(|piece| hash.announce(piece));
    let mut have = holes.clone();
    if part.is_fresh() {
        return Some(Verified { have, hash });
    }
    let candidates = part.pieces_with_data();
    let read = |piece, buffer: &mut [u8]| part.read_piece(piece, buffer).map(|()| PieceRead::Bytes);
    // The error comes back when the bytes are needed.
    let follow = || matches!(hash.follow(part), Ok(true));
    let written = candidates.iter(layout).filter(|piece| !holes.has(*piece));
    let flow = hash_in_order(layout, written, read, follow, |piece, outcome| {
        if cancel.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        // An unreadable piece is fetched again, like a wrong one.
        if outcome.is_ok_and(|read| read.sha1 == part.manifest().pieces()[piece.as_usize()]) {
            have.insert(piece);
            hash.announce(piece);
        }
        ControlFlow::Continue(())
    });
    flow.is_continue().then_some(Verified { have, hash })
}

/// Takes the missing pieces that are right in another source. Stops early if `cancel` is set.
pub fn fill_from(part: &Part, source: &SharedFiles, verified: &mut Verified, cancel: &AtomicBool) {
    let missing: Vec<_> = part.layout().indexes().filter(|piece| !verified.have.has(*piece)).collect();
    let holes = source.holes();
    fill(part, &missing, verified, cancel, |piece, buffer| source.read_unless_hole(&holes, piece, buffer));
}

/// Takes the missing pieces that an old version has whole, at any place. Stops early if `cancel` is set. Returns the
/// number of these bytes.
pub fn fill_from_old(part: &Part, old: &OldVersion, verified: &mut Verified, cancel: &AtomicBool) -> u64 {
    let places: HashMap<_, _> = old.equal_pieces(part.manifest()).into_iter().collect();
    let is_missing = |piece: &PieceIndex| !verified.have.has(*piece) && places.contains_key(piece);
    let missing: Vec<_> = part.layout().indexes().filter(is_missing).collect();
    let read = |piece, buffer: &mut [u8]| old.read_at(places[&piece], buffer).map(|()| PieceRead::Bytes);
    fill(part, &missing, verified, cancel, read)
}

/// Takes the pieces that `read` delivers with the right digest. Returns the number of these bytes.
fn fill(
    part: &Part,
    pieces: &[PieceIndex],
    Verified { have, hash }: &mut Verified,
    cancel: &AtomicBool,
    read: impl Fn(PieceIndex, &mut [u8]) -> Result<PieceRead, SourceError> + Sync,
) -> u64 {
    let (hash, taken) = (&*hash, Mutex::new((have, 0)));
    let take = |piece, len| {
        let (have, bytes) = &mut *taken.lock();
        have.insert(piece);
        *bytes += u64::from(len);
        hash.announce(piece);
        !cancel.load(Ordering::Relaxed)
    };
    take_right(part, pieces, read, take, || while matches!(hash.follow(part), Ok(true)) {});
    taken.into_inner().1
}

/// As `fill_from`, for a part of a folder from a source with the whole folder. `outer` returns the index of a piece
/// there.
pub(crate) fn fill_part_from(
    part: &Part,
    (source, outer): (&SharedFiles, impl Fn(PieceIndex) -> PieceIndex + Sync),
    verified: &mut Verified,
    cancel: &AtomicBool,
) {
    let layout = part.layout();
    let Verified { have, hash } = verified;
    let missing: Vec<_> = layout.indexes().filter(|piece| !have.has(*piece)).collect();
    let read = |piece, buffer: &mut [u8]| source.read_piece(outer(piece), buffer).map(|()| PieceRead::Bytes);
    let _ = hash_in_order(
        layout,
        missing.into_iter(),
        read,
        || false,
        |piece, outcome| {
            if cancel.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            if take_if_right(part, piece, outcome) {
                have.insert(piece);
                hash.announce(piece);
            }
            ControlFlow::Continue(())
        },
    );
}

/// Puts pieces together from blocks of an old version that has all of the blocks. Calls `take` with the length of each
/// right piece, once it is written, and goes on while that returns true. Calls `follow` between pieces.
pub(crate) fn put_together(
    part: &Part,
    old: &OldVersion,
    found: &[(PieceIndex, Patch)],
    take: impl Fn(PieceIndex, u32) -> bool + Sync,
    follow: impl FnMut(),
) {
    let patches: HashMap<_, _> = found.iter().map(|(piece, patch)| (*piece, patch)).collect();
    let read = |piece, buffer: &mut [u8]| {
        let read = |place, room: &mut [u8]| old.read_at(place, room);
        patches[&piece].assemble(buffer, read, std::iter::empty()).map(|_| PieceRead::Bytes)
    };
    let pieces: Vec<_> = found.iter().map(|(piece, _)| *piece).collect();
    take_right(part, &pieces, read, take, follow);
}

/// Reads, hashes and writes pieces on all cores. Calls `take` with the length of each right and written piece, as long
/// as that returns true. The calling thread runs `follow` whenever pieces have come, so each byte is read from the disk
/// once.
fn take_right(
    part: &Part,
    pieces: &[PieceIndex],
    read: impl Fn(PieceIndex, &mut [u8]) -> Result<PieceRead, SourceError> + Sync,
    take: impl Fn(PieceIndex, u32) -> bool + Sync,
    mut follow: impl FnMut(),
) {
    let (layout, read, take) = (part.layout(), &read, &take);
    let (tell, told) = crossbeam_channel::unbounded();
    let sink = move |piece, outcome: Result<HashedPiece<'_>, SourceError>| {
        let goes_on = !take_if_right(part, piece, outcome) || take(piece, layout.len(piece));
        // The receiver lives as long as this sender.
        let _ = tell.send(());
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    rayon::in_place_scope(|scope| {
        scope.spawn(move |_| hash_each(layout, pieces, read, sink));
        while told.recv().is_ok() {
            told.try_iter().for_each(drop);
            follow();
        }
    });
}

/// Writes a piece from another source, if it is right.
fn take_if_right(part: &Part, piece: PieceIndex, outcome: Result<HashedPiece<'_>, SourceError>) -> bool {
    let right = |read: &HashedPiece<'_>| read.sha1 == part.manifest().pieces()[piece.as_usize()];
    // If the piece is wrong in that source, or finds no room here, members deliver it.
    outcome.ok().filter(right).is_some_and(|read| part.write_piece(piece, read.data.into()).is_ok())
}

/// Gives a part with all its pieces its final name: checks the whole hash, syncs the file and renames it. Gives up
/// early if `is_over` and the whole hash would take long, as with many zeros. If the download has only some files of a
/// folder, the SHA-1 of the whole is unknown. Then right pieces are enough.
///
/// # Errors
/// The whole hash is wrong, or the disk rejects the file. `Closing` if it gave up.
pub fn finish(
    part: &Part,
    hash: &WholeHash,
    expected: Option<&Sha1Digest>,
    is_over: impl Fn() -> bool,
) -> Result<(), DownloadError> {
    let right = match expected {
        None => true,
        Some(expected) => {
            hash.follow_up(part, || is_over() && !hash.is_nearly_done())?;
            if is_over() && !hash.is_nearly_done() {
                return Err(DownloadError::Closing);
            }
            hash.finish(part)? == *expected
        }
    };
    // The SHA-1 covers the bytes as they came in. A file that was truncated since then has a hole.
    if !right || part.has_holes() {
        check_unchanged(part)?;
    }
    if !right {
        return Err(DownloadError::WrongSha1);
    }
    Ok(part.finish()?)
}

/// Whether a source holds exactly this content: every piece, and the whole. Stops at the first wrong or unreadable
/// piece. Returns `None` if `cancel` is set meanwhile.
pub fn is_complete(
    source: &SharedFiles,
    manifest: &Manifest,
    sha1: Option<&Sha1Digest>,
    cancel: &AtomicBool,
) -> Option<bool> {
    let layout = source.layout();
    let (hash, holes) = (WholeHash::new(layout, ZeroPieces::of(manifest)), source.holes());
    let read = |piece, buffer: &mut [u8]| source.read_unless_hole(&holes, piece, buffer);
    let follow = || matches!(hash.follow(source), Ok(true));
    let flow = hash_in_order(layout, layout.indexes(), read, follow, |piece, outcome| {
        if cancel.load(Ordering::Relaxed) {
            return ControlFlow::Break(None);
        }
        if outcome.is_ok_and(|read| read.sha1 == manifest.pieces()[piece.as_usize()]) {
            hash.announce(piece);
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(Some(false))
        }
    });
    match flow {
        ControlFlow::Break(found) => found,
        ControlFlow::Continue(()) => {
            let Some(sha1) = sha1 else { return Some(source.check_all().is_ok()) };
            let is_over = || cancel.load(Ordering::Relaxed);
            if hash.follow_up(source, is_over).is_ok() && is_over() {
                return None;
            }
            // A file whose pieces were read early may have changed since.
            Some(hash.finish(source).is_ok_and(|found| found == *sha1) && source.check_all().is_ok())
        }
    }
}

/// Reads all of a download that has all its pieces, and checks that the file still holds them.
///
/// # Errors
/// `Unfinished` if the file was changed meanwhile; errors of the disk.
fn check_unchanged(part: &Part) -> Result<(), SourceError> {
    let layout = part.layout();
    let read = |piece, buffer: &mut [u8]| part.read_piece(piece, buffer).map(|()| PieceRead::Bytes);
    let flow = hash_in_order(
        layout,
        layout.indexes(),
        read,
        || false,
        |piece, outcome| match outcome {
            Ok(read) if read.sha1 == part.manifest().pieces()[piece.as_usize()] => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(part.changed()),
            Err(error) => ControlFlow::Break(error),
        },
    );
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
