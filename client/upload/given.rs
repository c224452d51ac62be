//! Connections that begin with `Give`: the side that connected gives pieces.

use crate::client::reach::way::Way;
use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use crate::wire::certificate::Certificate;
use crate::wire::connection::{FrameReceiver, FrameSender};
use crate::wire::transport_keys::TransportKeys;
use std::sync::Arc;
use std::time::Instant;

/// A connection that another member made to give pieces to this client. Dropping it ends the connection. So far only
/// the other side's `Give` was sent, which waits for `Open`.
pub struct Given {
    /// The giving member, proved by the handshake.
    pub certificate: Certificate,
    pub group: GroupRef,
    /// The group key of the connection.
    pub key: KeyId,
    pub info_hash: InfoHash,
    pub receiver: FrameReceiver,
    pub sender: Arc<FrameSender>,
    /// The deadline for opening the content.
    pub by: Instant,
}

/// Takes such a connection, or drops it if no dial waits for it. Must not wait.
pub type TakeGiven = Box<dyn Fn(Given) + Send + Sync>;

/// A connection after the handshake that this client has made to give pieces to another member.
pub struct Giving {
    pub keys: TransportKeys,
    /// The taking member, by a checked certificate with the key of the handshake.
    pub user: UserId,
    pub group: GroupRef,
    /// The group key of the connection.
    pub key: KeyId,
    pub info_hash: InfoHash,
    pub way: Way,
}
