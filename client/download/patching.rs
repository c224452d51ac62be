//! A download that takes pieces from an old version, and asks members for the rest.

use super::transfer::{PieceError, Transfer};
use super::verify::put_together;
use crate::client::difference::piece_ask::PieceAsk;
use crate::client::hash::piece_hash::sha1_of;
use crate::client::picker::piece_picker::Lane;
use crate::model::id::PeerId;
use crate::model::piece::PieceIndex;
use crate::wire::stretches::Stretches;
use std::time::Instant;

/// Searches the old version for missing pieces, once members have described these, and calls `tell`. After that the
/// download can ask for the others. Searches again for pieces of a member that turns out to be a liar. Returns after
/// the download ends, after the last possible lie, or once `is_over`.
pub fn find_difference(transfer: &Transfer, is_over: impl Fn() -> bool + Sync, tell: impl Fn()) {
    let Some(difference) = transfer.difference() else {
        tell();
        return transfer.follow_up(is_over);
    };
    let is_over = || is_over() || transfer.is_stopped();
    loop {
        let Some(found) = difference.search(is_over) else { return };
        let take = |piece, _| {
            transfer.found(piece);
            !is_over()
        };
        put_together(transfer.part(), difference.old(), &found, take, || transfer.follow_up(is_over));
        if difference.decide() {
            tell();
            transfer.follow_up(is_over);
            if !difference.is_open_again(is_over) {
                return;
            }
        }
    }
}

/// Takes a member's description of these pieces. Returns false if its length is not that of their digests.
pub(super) fn described(
    transfer: &Transfer,
    by: &PeerId,
    pieces: &[PieceIndex],
    (told, now): (&[u8], Instant),
) -> bool {
    transfer.difference().is_none_or(|it| it.take(by, inner(transfer, pieces), told, now))
}

/// Notes that the member will not describe these pieces any more.
pub(super) fn not_described(transfer: &Transfer, pieces: &[PieceIndex]) {
    transfer.difference().into_iter().for_each(|it| it.give_back(inner(transfer, pieces)));
}

/// The indexes of the pieces on the disk. The client asked for no others.
fn inner(transfer: &Transfer, pieces: &[PieceIndex]) -> Vec<PieceIndex> {
    pieces.iter().filter_map(|piece| transfer.subject().inner(*piece)).collect()
}

/// Takes a received piece, or the requested blocks of one. Returns true if it was the last one.
///
/// # Errors
/// Those of [`Transfer::take_piece`]. A wrong piece that was put together from blocks is no error. The client fetches
/// it whole, which shows who is at fault.
pub(crate) fn take_wanted(
    transfer: &Transfer,
    (id, lane): (&PeerId, Lane),
    wanted: &PieceAsk,
    data: Stretches<'_>,
) -> Result<bool, PieceError> {
    let (Some(difference), Some(patch)) = (transfer.difference(), &wanted.patch) else {
        return transfer.take_piece((id, lane), wanted.piece, data);
    };
    let (piece, given) = (wanted.piece, data.len());
    let inner = transfer.subject().inner(piece).unwrap_or(piece);
    let mut buffer = vec![0; transfer.layout().len(piece) as usize];
    let read = |place, room: &mut [u8]| difference.old().read_at(place, room);
    match patch.assemble(&mut buffer, read, data.iter()) {
        Ok(true) => match transfer.take_given((id, lane), piece, (buffer[..].into(), given)) {
            Err(PieceError::Bad) => difference.was_wrong(inner, (id, sha1_of(&data.to_vec()))),
            taken => return taken,
        },
        Ok(false) => {
            transfer.failed(lane, piece);
            return Err(PieceError::Bad);
        }
        Err(_) => {
            transfer.failed(lane, piece);
            difference.fail(inner);
        }
    }
    Ok(false)
}
