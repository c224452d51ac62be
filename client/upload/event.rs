//! The events that the seeder sends to the rest of the client.

use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use crate::model::piece::PieceIndex;

/// An event of the seeder.
#[derive(Debug)]
pub enum SeederEvent {
    /// A peer named an unknown key: the group's key may have changed.
    UnknownKey(KeyId),
    /// A piece could not be read: a file was changed on disk, is missing or is unreadable.
    Broken {
        group: GroupRef,
        info_hash: InfoHash,
        /// The piece, if its files look unchanged.
        unreadable: Option<PieceIndex>,
    },
    /// A member says that this piece was wrong. Such a complaint may be false.
    Complaint { user: UserId, group: GroupRef, info_hash: InfoHash, piece: PieceIndex },
}
