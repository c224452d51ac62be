//! What the seeder tells the rest of the client.

use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use crate::model::piece::PieceIndex;

/// What the seeder tells the rest of the client.
#[derive(Debug)]
pub enum SeederEvent {
    /// A peer named a key that is not known here: the group's key may have changed.
    UnknownKey(KeyId),
    /// A piece could not be read: a file was changed on disk, is gone or cannot be read.
    Broken {
        group: GroupRef,
        info_hash: InfoHash,
        /// The piece, if its files look as they should.
        unreadable: Option<PieceIndex>,
    },
    /// A member says that this piece was wrong. Not everybody who says so is right.
    Complaint { user: UserId, group: GroupRef, info_hash: InfoHash, piece: PieceIndex },
}
