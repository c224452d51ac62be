//! What a client says of the pieces that it holds.

use crate::wire::codec::{Blob, List, wire_enum};

/// Most pieces one `Hold` adds; more than that go as a whole bitfield.
pub const HOLD_MORE_MAX: usize = 4096;
/// Bytes of the longest bitfield.
pub const BITFIELD_MAX: usize = crate::model::piece::PIECES_MAX as usize / 8;
/// Most beginnings and ends of runs in a message. More take more room than a bitfield.
pub const EDGES_MAX: usize = BITFIELD_MAX / size_of::<u32>();

wire_enum! {
    /// Which pieces of a share a client holds.
    Holding {
        1 All {}
        /// None any more, and it does not download them either.
        2 Nothing {}
        /// Exactly these; a client that downloads begins with this, be it with no piece.
        3 Exactly {
            /// One bit per piece.
            bits: Blob<BITFIELD_MAX>,
        }
        /// These besides those said before.
        4 More {
            /// Piece numbers.
            pieces: List<u32, HOLD_MORE_MAX>,
        }
        /// Exactly these, by where runs of them begin and end.
        5 Runs {
            /// Ascending and in turn: the first piece of a run, and the first one behind it.
            edges: List<u32, EDGES_MAX>,
        }
        /// So many. Among trackers only, which do not tell all that they know.
        6 Count {
            held: u32,
        }
    }
}
