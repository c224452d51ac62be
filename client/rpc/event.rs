//! What the link to the trackers tells the rest of the client.

use super::error::ConnectionError;
use crate::wire::client_tracker::Reply;
use crate::wire::refusal::Refusal;
use std::net::SocketAddr;

#[derive(Debug)]
pub enum LinkEvent {
    /// A tracker was reached again and has resumed the session, if there is one. With it what was lost and why, unless
    /// `Down` has told.
    Up(SocketAddr, Option<(SocketAddr, ConnectionError)>),
    /// The tracker was lost, for this reason, and no other was reached at once.
    Down(SocketAddr, ConnectionError),
    /// The session could not be resumed: the user has to log in again.
    SessionLost(Refusal),
    /// Something the tracker said unasked, during the login of this number.
    Push(u64, Reply),
    /// The session of a login is there: what was said to it before can be dealt with now.
    Arrived,
}
