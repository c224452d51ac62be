//! What a leecher and a seeder say to each other. Pieces flow one way: from the accepting side to the connecting side.
//! They flow the other way if the connecting side says so first. Requests may be pipelined, and the seeder answers them
//! in order.

use super::codec::{Blob, List, Payload, Text, wire_enum};
use super::frame::message;
use super::refusal::Refusal;
use crate::model::digest::InfoHash;
use crate::model::piece::block::{BLOCKS_MAX, BlockLen};

/// Most pieces in one `News`.
pub const NEWS_MAX: usize = 4096;
/// Most requests on their way on one connection.
pub const REQUESTS_MAX: usize = 16;
/// Most pieces in one `Describe`.
pub const DESCRIBED_MAX: usize = 16;
/// Bytes of the digests of `DESCRIBED_MAX` pieces with the shortest blocks.
pub const DIGESTS_LEN_MAX: usize = 57344;
/// Bytes of a bitfield with one bit for each of the shortest blocks of a piece.
pub const BLOCK_BITS_MAX: usize = BLOCKS_MAX / 8;

wire_enum! {
    /// From a leecher to a seeder.
    PeerRequest {
        /// Names the content of this connection. It is the first message, and the only one of its kind. Answer:
        /// `Opened`. Refusals: `NotServed`, `Busy`.
        1 Open {
            info_hash: InfoHash,
        }
        /// Asks for a piece. Answer: `Piece`. Refusals: `NoSuchPiece`, `OnItsWay`, `FileChanged`,
        /// `NotServed`.
        2 GetPiece {
            piece: u32,
        }
        /// Shows that the leecher is alive while it has nothing to ask. Answer: `Alive`.
        3 KeepAlive {}
        /// Says that a piece, some of its blocks, or their digests were wrong. Answer: `Alive`.
        4 BadPiece {
            piece: u32,
        }
        /// Asks for the digests of the blocks of pieces. Answer: `Digests`. Refusals: `NoSuchPiece`, `OnItsWay`,
        /// `FileChanged`, `NotServed`.
        5 Describe {
            block_len: BlockLen,
            pieces: List<u32, DESCRIBED_MAX>,
        }
        /// Asks for some blocks of a piece. Answer: `Piece`, with only their bytes. Refusals: `NoSuchPiece`,
        /// `OnItsWay`, `FileChanged`, `NotServed`.
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
        /// The seeder refuses the request.
        1 Refused {
            code: u16,
            about: Text<{ Refusal::ABOUT_LEN_MAX }>,
        }
        /// The seeder serves the content.
        2 Opened {
            /// Which pieces, one bit each.
            bits: Blob<{ super::client_tracker::BITFIELD_MAX }>,
        }
        3 Piece {
            /// Exactly the requested bytes.
            data: Payload,
        }
        4 Alive {}
        5 Digests {
            /// The digests of each requested piece, one piece after the other.
            digests: Blob<DIGESTS_LEN_MAX>,
        }
        /// The seeder now also holds these pieces.
        64 News {
            /// Piece numbers.
            pieces: List<u32, NEWS_MAX>,
        }
        /// The first message of a seeder that has connected because of a call: it gives pieces of this content. Answer:
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
