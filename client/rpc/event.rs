//! The events that the link to the trackers sends to the rest of the client.

use super::error::ConnectionError;
use crate::model::address::TrackerAddr;
use crate::wire::client_tracker::Reply;
use crate::wire::refusal::Refusal;

#[derive(Debug)]
pub enum LinkEvent {
    /// The client has reached a tracker again, and has resumed the session if there is one. Also names the lost tracker
    /// and the reason, unless `Down` has told.
    Up(TrackerAddr, Option<(TrackerAddr, ConnectionError)>),
    /// The client has lost the tracker, for this reason, and has reached no other at once.
    Down(TrackerAddr, ConnectionError),
    /// The session could not be resumed: the user has to log in again.
    SessionLost(Refusal),
    /// A message of the tracker that no request asked for, during the login with this number.
    Push(u64, Reply),
    /// The session of a login exists now, so earlier messages to it can be handled.
    Arrived,
}
