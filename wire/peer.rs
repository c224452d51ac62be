//! What a leecher and a seeder say to each other. Pieces flow one way: from the one who accepted the connection to the one
//! who made it, or the other way if that one says so first. Requests may be pipelined and are answered in order.

use super::codec::{Blob, List, Payload, Text, wire_enum};
use super::frame::message;
use super::refusal::Refusal;
use crate::model::digest::InfoHash;
use crate::model::piece::block::{BLOCKS_MAX, BlockLen};

/// Most pieces in one `News`.
pub const NEWS_MAX: usize = 4096;
/// Most requests that a leecher may have on their way on one connection.
pub const REQUESTS_MAX: usize = 16;
/// Most pieces in one `Describe`.
pub const DESCRIBED_MAX: usize = 16;
/// Bytes of the digests of so many pieces, cut into the shortest blocks.
pub const DIGESTS_LEN_MAX: usize = 57344;
/// Bytes of a bit for each of the shortest blocks of a piece.
pub const BLOCK_BITS_MAX: usize = BLOCKS_MAX / 8;

wire_enum! {
    /// From a leecher to a seeder.
    PeerRequest {
        /// Chooses what this connection is about; the first message, and the only one of its kind. Answer: `Opened`.
        /// Refusals: `NotServed`, `Busy`.
        1 Open {
            info_hash: InfoHash,
        }
        /// Asks for a piece. Answer: `Piece`. Refusals: `NoSuchPiece`, `OnItsWay`, `FileChanged`,
        /// `NotServed`.
        2 GetPiece {
            piece: u32,
        }
        /// Says that the leecher is there though it has nothing to ask. Answer: `Alive`.
        3 KeepAlive {}
        /// Says that a piece that was given, or what was told or given of its blocks, is wrong. Answer: `Alive`.
        4 BadPiece {
            piece: u32,
        }
        /// Asks for the digests of the blocks of pieces. Answer: `Digests`. Refusals: `NoSuchPiece`, `OnItsWay`,
        /// `FileChanged`, `NotServed`.
        5 Describe {
            block_len: BlockLen,
            pieces: List<u32, DESCRIBED_MAX>,
        }
        /// Asks for some blocks of a piece. Answer: `Piece`, with their bytes alone. Refusals: `NoSuchPiece`, `OnItsWay`,
        /// `FileChanged`, `NotServed`.
        6 GetBlocks {
            piece: u32,
            block_len: BlockLen,
            /// Which blocks, one bit each.
            blocks: Blob<BLOCK_BITS_MAX>,
        }
    }
}
message!(PeerRequest);

wire_enum! {
    /// From a seeder to a leecher. Kinds from 64 on come unasked.
    PeerReply {
        /// The request was refused.
        1 Refused {
            code: u16,
            about: Text<{ Refusal::ABOUT_LEN_MAX }>,
        }
        /// The content is served here.
        2 Opened {
            /// Which pieces, one bit each.
            bits: Blob<{ super::client_tracker::BITFIELD_MAX }>,
        }
        3 Piece {
            /// Exactly the bytes that were asked for.
            data: Payload,
        }
        4 Alive {}
        5 Digests {
            /// Those of each piece that was asked for, one after the other.
            digests: Blob<DIGESTS_LEN_MAX>,
        }
        /// The seeder holds these pieces besides those said before.
        64 News {
            /// Piece numbers.
            pieces: List<u32, NEWS_MAX>,
        }
        /// The first message of a seeder that has connected, since it was asked to call: it gives pieces of this. Answer:
        /// `Open`.
        65 Give {
            info_hash: InfoHash,
        }
    }
}
message!(PeerReply);

impl PeerReply {
    pub fn refused(refusal: &Refusal) -> Self {
        PeerReply::Refused { code: refusal.code as u16, about: refusal.about_text() }
    }
}
