//! Connections that begin with `Give`: on which the one who connected gives pieces.

use crate::client::reach::way::Way;
use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use crate::wire::certificate::Certificate;
use crate::wire::connection::{FrameReceiver, FrameSender};
use crate::wire::transport_keys::TransportKeys;
use std::sync::Arc;
use std::time::Instant;

/// A connection that somebody else made to give pieces to this client. Dropping it ends the connection. Nothing has been
/// said on it but the `Give` of the other side, which waits for `Open`.
pub struct Given {
    /// Who gives, proved by the handshake.
    pub certificate: Certificate,
    pub group: GroupRef,
    /// The group's key under which the connection was made.
    pub key: KeyId,
    pub info_hash: InfoHash,
    pub receiver: FrameReceiver,
    pub sender: Arc<FrameSender>,
    /// The content has to be open by this time.
    pub by: Instant,
}

/// Takes such a connection, or drops it if nobody waits for it. Must not wait.
pub type TakeGiven = Box<dyn Fn(Given) + Send + Sync>;

/// A connection that this client has made to give pieces to somebody else, after the handshake.
pub struct Giving {
    pub keys: TransportKeys,
    /// Who takes, by a certificate with the key of the handshake that was checked.
    pub user: UserId,
    pub group: GroupRef,
    /// The group's key under which the connection was made.
    pub key: KeyId,
    pub info_hash: InfoHash,
    pub way: Way,
}
