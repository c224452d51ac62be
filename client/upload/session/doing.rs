//! What a connection of the seeder is at, and why it stops.

use super::description::Description;
use super::piece_out::{NotGiven, PieceOut, WantedPiece};
use std::io;

/// What is under way on a connection.
pub(super) enum Doing {
    /// Nothing: the next request may come.
    Nothing,
    /// This request asks what there is.
    Opens(u32),
    /// An answer is paid for afterwards, as whoever opens waits for a short time only. So many bytes are left.
    Pays(usize),
    /// Pieces are described, one after the other.
    Describes(Box<Description>),
    /// A piece waits for its turn.
    Wants(WantedPiece),
    Gives(Box<PieceOut>),
}

/// Why a session does not go on.
pub(super) enum Stop {
    /// The connection ends.
    Over,
    NotGiven(NotGiven),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Stop::Over
    }
}
