//! Who members are to each other, without a tracker that says so.

use groupshare::model::id::PeerKey;
use groupshare::wire::codec::List;
use groupshare::wire::contact::ADDRS_MAX;
use std::net::SocketAddr;

/// The only address of a peer.
pub(crate) fn at(addr: SocketAddr) -> List<SocketAddr, ADDRS_MAX> {
    List::first_of(vec![addr])
}

/// The key of the client with this number.
pub(crate) fn peer_key(number: u8) -> PeerKey {
    PeerKey([number; 32])
}
