//! A download that takes what an old version has, and asks members for the rest.

use super::transfer::{PieceError, Transfer};
use super::verify::put_together;
use crate::client::difference::piece_ask::PieceAsk;
use crate::client::picker::piece_picker::Lane;
use crate::model::id::PeerId;
use crate::wire::stretches::Stretches;

/// Finds what the old version has of the missing pieces, once members have described these, and lets the others be asked
/// for. Ends early if `is_over`.
pub fn find_difference(transfer: &Transfer, is_over: impl Fn() -> bool + Sync) {
    let Some(difference) = transfer.difference() else { return };
    let is_over = || is_over() || transfer.is_stopped();
    let Some(found) = difference.search(is_over) else { return };
    let take = |piece, _| {
        transfer.found(piece);
        !is_over()
    };
    put_together(transfer.part(), difference.old(), &found, take, || transfer.follow_up(is_over));
    difference.decide();
}

/// Takes what has come of a piece, as it was asked for. True if it was the last one.
///
/// # Errors
/// Those of [`Transfer::take_piece`]. A piece that was put together and is wrong is no error: it is fetched whole.
pub(crate) fn take_wanted(
    transfer: &Transfer,
    (id, lane): (&PeerId, Lane),
    wanted: &PieceAsk,
    data: Stretches<'_>,
) -> Result<bool, PieceError> {
    let (Some(difference), Some(patch)) = (transfer.difference(), &wanted.patch) else {
        return transfer.take_piece(id, lane, wanted.piece, data);
    };
    let (piece, given) = (wanted.piece, data.len());
    let mut buffer = vec![0; transfer.layout().len(piece) as usize];
    let read = |place, room: &mut [u8]| difference.old().read_at(place, room);
    let is_whole = matches!(patch.assemble(&mut buffer, read, data.iter()), Ok(true));
    if is_whole {
        match transfer.take_given((id, given), lane, piece, buffer[..].into()) {
            Err(PieceError::Bad) => {}
            taken => return taken,
        }
    } else {
        transfer.failed(lane, piece);
    }
    difference.fail(piece);
    Ok(false)
}
