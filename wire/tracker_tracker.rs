//! What two trackers of one installation say to each other. Both sides say the same messages; nothing is a request, all
//! have the request id 0.
//!
//! The side that connected says `Hello` first. The other side says its own when that has come in, since only a frame
//! that decrypts proves that the far side knows the cluster key.

use super::client_tracker::{Holding, MANIFEST_PART_MAX, PassedCall};
use super::codec::{Blob, List, Text, wire_enum};
use super::contact::Contact;
use super::frame::message;
use super::refusal::Refusal;
use crate::model::digest::InfoHash;
use crate::model::id::{ClientId, Seen, ShareRef, UserRef};
use crate::model::op::Op;
use crate::model::op::floor::FloorMark;
use std::sync::Arc;
use std::time::Duration;

/// Most origins in one message.
pub const ORIGINS_MAX: usize = 16_384;
/// Most origins in a list that goes on from message to message.
pub const SEEN_MAX: usize = 1024 * 1024;
/// Most ops in one message.
pub const OPS_MAX: usize = 4096;
/// A sender ends the list of ops before its frame is longer than this, in bytes: 4,096 of the longest ops would not fit
/// into a frame.
pub const OPS_FRAME_LEN_MAX: usize = 512 * 1024;
/// Most manifests that one message asks for.
pub const WANTED_MAX: usize = 1024;
/// Longest manifest that goes whole, before the op that needs it, in bytes. A longer one is given when it is wanted.
pub const SHORT_MANIFEST_MAX: u32 = 4 * 1024 * 1024;
/// Longest part of a base in one message, in bytes.
pub const BASE_PART_MAX: usize = 256 * 1024;
/// A side that has said no `Have` for this long says one.
pub const HAVE_INTERVAL: Duration = Duration::from_secs(5);

wire_enum! {
    /// From either tracker to the other.
    LinkMessage {
        /// Who speaks, and what it has; the first message of either side, and the only one of its kind.
        1 Hello {
            /// The number of the tracker: its line in tracker_info.txt, from 1.
            tracker: u16,
            /// Made at random when the program starts: tells apart two programs of one number.
            instance: [u8; 16],
            /// The floor of the sender.
            floor: FloorMark,
            /// What is durable at the sender.
            seen: List<Seen, ORIGINS_MAX>,
        }
        /// Ops that are durable at the sender and that the receiver lacked. Those of one origin are in sequence,
        /// without a gap.
        2 Ops {
            ops: List<Op, OPS_MAX>,
        }
        /// What is durable at the sender by now; also says that the sender is there.
        3 Have {
            /// The floor of the sender by now.
            floor: FloorMark,
            seen: List<Seen, ORIGINS_MAX>,
            /// SHA-256 of the canonical state, if it was computed for exactly these ops.
            digest: Option<[u8; 32]>,
        }
        /// A part of a manifest. Parts come in order and are not empty; the last one comes before the ops that need it.
        4 Manifest {
            info_hash: InfoHash,
            /// Length of the whole in bytes.
            total: u32,
            offset: u32,
            part: Blob<MANIFEST_PART_MAX>,
        }
        /// The connection is refused, and ends.
        5 Refused {
            code: u16,
            about: Text<{ Refusal::ABOUT_LEN_MAX }>,
        }
        /// A client is logged in at the sender, or is elsewhere, or has another certificate.
        6 Online {
            user: UserRef,
            client: ClientId,
            /// Who and where it is to its peers, if it has announced that.
            contact: Option<Arc<Contact>>,
        }
        /// A client is no longer logged in at the sender, and what it held is void.
        7 Offline {
            user: UserRef,
            client: ClientId,
        }
        /// What a client that is logged in at the sender holds of a share by now, as a whole.
        8 Holds {
            user: UserRef,
            client: ClientId,
            share: ShareRef,
            /// Not `More`.
            holding: Holding,
        }
        /// All clients that are logged in at the sender were told since its `Hello`: what the receiver knew before of
        /// others is void.
        9 AllTold {}
        /// Manifests that the sender should have and has not: the receiver gives those that it has.
        10 WantManifests {
            info_hashes: List<InfoHash, WANTED_MAX>,
        }
        /// The sender could not keep what it was given last, and can again: the receiver gives everything behind this
        /// once more.
        11 GiveAgain {
            /// What is durable at the sender.
            seen: List<Seen, ORIGINS_MAX>,
        }
        /// A client of the sender calls one that is logged in at the receiver, which passes the call on or drops it.
        12 Call {
            /// Who is called.
            user: UserRef,
            client: ClientId,
            call: Arc<PassedCall>,
        }
        /// Another program claims the number of the receiver, which says `Here` at once if it is there.
        13 AreYouThere {}
        /// The answer.
        14 Here {}
        /// Goes on with the list of `Hello`, `Have`, `GiveAgain` or another `SeenMore`, if that is full. One that is not
        /// full is the last.
        15 SeenMore {
            seen: List<Seen, ORIGINS_MAX>,
        }
        /// The sender lacks what the receiver has under its floor, and wants the base.
        16 WantBase {
            floor: FloorMark,
        }
        /// A part of a base. Parts come in order and are not empty.
        17 Base {
            floor: FloorMark,
            /// Length of the whole in bytes.
            total: u64,
            offset: u64,
            part: Blob<BASE_PART_MAX>,
        }
        /// The sender has another floor by now, which the next `Have` tells, or cannot read the base.
        18 NoBase {
            floor: FloorMark,
        }
    }
}
message!(LinkMessage);

impl LinkMessage {
    pub fn refused(refusal: &Refusal) -> Self {
        LinkMessage::Refused { code: refusal.code as u16, about: refusal.about_text() }
    }
}
