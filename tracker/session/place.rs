//! What a client says of itself and of its listening address.

use crate::model::id::PeerKey;
use crate::wire::codec::List;
use crate::wire::contact::{INTERFACES_MAX, Interface};
use std::net::SocketAddr;

/// The fields of an `Announce`.
pub(super) struct Place {
    pub(super) key: PeerKey,
    pub(super) port: u16,
    pub(super) interfaces: List<Interface, INTERFACES_MAX>,
    pub(super) announced: Option<SocketAddr>,
    pub(super) machine: [u8; 16],
    pub(super) round_trip_ms: u16,
}
