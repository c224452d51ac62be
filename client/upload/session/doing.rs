//! The current activity of a connection of the seeder, and why it stops.

use super::description::Description;
use super::piece_out::{NotGiven, PieceOut, WantedPiece};
use std::io;

/// The current activity of a connection.
pub(super) enum Doing {
    /// Nothing: the connection can take the next request.
    Nothing,
    /// This request asks for the pieces of the content.
    Opens(u32),
    /// An answer that is paid for afterwards, because a connection waits only a short time for `Open`. This many bytes
    /// are left.
    Pays(usize),
    /// The connection describes pieces, one after the other.
    Describes(Box<Description>),
    /// A wanted piece waits for its turn.
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
