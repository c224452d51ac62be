//! What two trackers of one installation say to each other. Both sides use the same messages. None of them is a
//! request, and all have the request id 0.
//!
//! The connecting side sends `Hello` first. After it has received this `Hello`, the other side sends its own. Only a
//! frame that decrypts proves that the far side knows the cluster key.

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
/// Most origins in a list that spans several messages.
pub const SEEN_MAX: usize = 1024 * 1024;
/// Most ops in one message.
pub const OPS_MAX: usize = 4096;
/// A sender ends the list of ops before its frame gets longer than this, in bytes. A frame has no room for 4,096 of the
/// longest ops.
pub const OPS_FRAME_LEN_MAX: usize = 512 * 1024;
/// Most manifests that one message asks for.
pub const WANTED_MAX: usize = 1024;
/// Longest manifest that a tracker sends whole before the op that needs it, in bytes. The far side must ask for a
/// longer one.
pub const SHORT_MANIFEST_MAX: u32 = 4 * 1024 * 1024;
/// Longest part of a base in one message, in bytes.
pub const BASE_PART_MAX: usize = 256 * 1024;
/// Longest time between two `Have` of one side.
pub const HAVE_INTERVAL: Duration = Duration::from_secs(5);

wire_enum! {
    /// From either tracker to the other.
    LinkMessage {
        /// The number, instance and ops of the sender. It is the first message of either side, and the only one of its
        /// kind.
        1 Hello {
            /// The number of the tracker: its line in tracker_info.txt, from 1.
            tracker: u16,
            /// Random, and new at every start of the program. It tells apart two programs with the same number.
            instance: [u8; 16],
            /// The floor of the sender.
            floor: FloorMark,
            /// What is durable at the sender.
            seen: List<Seen, ORIGINS_MAX>,
        }
        /// Ops that are durable at the sender and that the receiver lacked. Ops of one origin come in sequence, without
        /// a gap.
        2 Ops {
            ops: List<Op, OPS_MAX>,
        }
        /// What is durable at the sender by now. It also shows that the sender is alive.
        3 Have {
            /// The floor of the sender by now.
            floor: FloorMark,
            seen: List<Seen, ORIGINS_MAX>,
            /// SHA-256 of the canonical state, if the sender has computed it for exactly these ops.
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
        /// The sender refuses the connection and ends it.
        5 Refused {
            code: u16,
            about: Text<{ Refusal::ABOUT_LEN_MAX }>,
        }
        /// A client is logged in at the sender, has moved, or has another certificate.
        6 Online {
            user: UserRef,
            client: ClientId,
            /// The client's identity and addresses, if the client has announced them.
            contact: Option<Arc<Contact>>,
        }
        /// A client is no longer logged in at the sender. Its holdings are void.
        7 Offline {
            user: UserRef,
            client: ClientId,
        }
        /// Everything that a client of the sender holds of a share by now.
        8 Holds {
            user: UserRef,
            client: ClientId,
            share: ShareRef,
            /// Not `More`.
            holding: Holding,
        }
        /// The sender has told of all its clients since its `Hello`. The receiver drops everything that it knew before
        /// of other clients of the sender.
        9 AllTold {}
        /// Manifests that the sender should have and lacks. The receiver sends those that it has.
        10 WantManifests {
            info_hashes: List<InfoHash, WANTED_MAX>,
        }
        /// The sender could not keep what it received last, and can again. The receiver sends everything behind this
        /// once more.
        11 GiveAgain {
            /// What is durable at the sender.
            seen: List<Seen, ORIGINS_MAX>,
        }
        /// A client of the sender calls a client of the receiver. The receiver passes the call on or drops it.
        12 Call {
            /// The called user.
            user: UserRef,
            client: ClientId,
            call: Arc<PassedCall>,
        }
        /// Another program claims the number of the receiver. The receiver answers `Here` at once.
        13 AreYouThere {}
        /// The answer to `AreYouThere`.
        14 Here {}
        /// Continues the list of a full `Hello`, `Have`, `GiveAgain` or `SeenMore`. A message that is not full is the
        /// last one.
        15 SeenMore {
            seen: List<Seen, ORIGINS_MAX>,
        }
        /// The sender lacks ops below the receiver's floor, and wants the base.
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
        /// The sender has another floor by now, or cannot read the base. The next `Have` tells the floor.
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
