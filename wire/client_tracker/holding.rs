//! What a client says about the pieces that it holds.

use crate::wire::codec::{Blob, List, wire_enum};

/// Most pieces in one `More`. More pieces than that go as a whole bitfield.
pub const HOLD_MORE_MAX: usize = 4096;
/// Bytes of the longest bitfield.
pub const BITFIELD_MAX: usize = crate::model::piece::PIECES_MAX as usize / 8;
/// Most edges of runs in a message. More edges would take more room than a bitfield.
pub const EDGES_MAX: usize = BITFIELD_MAX / size_of::<u32>();

wire_enum! {
    /// Which pieces of a share a client holds.
    Holding {
        1 All {}
        /// No pieces. The client does not download the share either.
        2 Nothing {}
        /// Exactly these pieces. A client that downloads begins with this, even without a piece.
        3 Exactly {
            /// One bit per piece.
            bits: Blob<BITFIELD_MAX>,
        }
        /// These pieces, and those of earlier messages.
        4 More {
            /// Piece numbers.
            pieces: List<u32, HOLD_MORE_MAX>,
        }
        /// Exactly these pieces, as the edges of runs.
        5 Runs {
            /// Ascending, in pairs: the first piece of a run, and the first piece behind it.
            edges: List<u32, EDGES_MAX>,
        }
        /// Only the number of pieces. Trackers use it among themselves, since they do not tell each other all pieces.
        6 Count {
            held: u32,
        }
    }
}
