//! What of an unfinished download is right: what an earlier run has written is hashed again, and nothing else is trusted.

use super::whole_hash::WholeHash;
use crate::client::hash::piece_hash::hash_in_order;
use crate::client::storage::part::Part;
use crate::client::storage::piece_source::{PieceSource, SourceError};
use crate::model::bitfield::Bitfield;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a download can go on with.
#[derive(Debug)]
pub struct Verified {
    /// The pieces that are right.
    pub have: Bitfield,
    /// The SHA-1 of the whole, which knows of these pieces and has followed them for a part of the way.
    pub hash: WholeHash,
}

/// Hashes the pieces that an earlier run left, on all cores; stretches that were never written are not read. The SHA-1
/// of the whole follows on the calling thread, which has little else to do, while the bytes are in the page cache.
/// None if `cancel` is set meanwhile.
pub fn verify_existing(part: &Part, cancel: &AtomicBool) -> Option<Verified> {
    let layout = part.layout();
    let (mut have, hash) = (Bitfield::none(layout), WholeHash::new(layout));
    if part.is_fresh() {
        return Some(Verified { have, hash });
    }
    let candidates = part.pieces_with_data();
    let read = |piece, buffer: &mut [u8]| part.read_piece(piece, buffer);
    // What cannot be read now shows again when it has to be.
    let follow = || matches!(hash.follow(part), Ok(true));
    let flow = hash_in_order(layout, candidates.iter(layout), read, follow, |piece, outcome| {
        if cancel.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        // What cannot be read is fetched again, like what is wrong.
        if outcome.is_ok_and(|sha1| sha1 == part.manifest().pieces()[piece.as_usize()]) {
            have.insert(piece);
            hash.announce(piece);
        }
        ControlFlow::Continue(())
    });
    flow.is_continue().then_some(Verified { have, hash })
}

/// Makes sure that a download whose pieces have all come in still holds them as they came in; reads all of it.
///
/// # Errors
/// `Unfinished` if somebody else has changed it meanwhile; the disk's.
pub fn check_unchanged(part: &Part) -> Result<(), SourceError> {
    let layout = part.layout();
    let read = |piece, buffer: &mut [u8]| part.read_piece(piece, buffer);
    let flow = hash_in_order(
        layout,
        layout.indexes(),
        read,
        || false,
        |piece, outcome| match outcome {
            Ok(sha1) if sha1 == part.manifest().pieces()[piece.as_usize()] => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(part.changed()),
            Err(error) => ControlFlow::Break(error),
        },
    );
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
