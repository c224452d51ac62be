//! What a leecher and a seeder say to each other. Pieces flow one way: from the one who accepted the connection to the one
//! who made it, or the other way if that one says so first. Requests may be pipelined and are answered in order.

use super::codec::{Blob, List, Payload, Text, wire_enum};
use super::frame::message;
use super::refusal::Refusal;
use crate::model::digest::InfoHash;

/// Most pieces in one `News`.
pub const NEWS_MAX: usize = 4096;
/// Most requests that a leecher may have on their way on one connection.
pub const REQUESTS_MAX: usize = 16;

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
        /// Says that a piece that was given does not match its digest. Answer: `Alive`.
        4 BadPiece {
            piece: u32,
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
            /// Exactly the bytes of the piece.
            data: Payload,
        }
        4 Alive {}
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
