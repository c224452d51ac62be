//! What the link to the trackers tells the rest of the client.

use super::error::ConnectionError;
use crate::model::address::TrackerAddr;
use crate::wire::client_tracker::Reply;
use crate::wire::refusal::Refusal;

#[derive(Debug)]
pub enum LinkEvent {
    /// A tracker was reached again and has resumed the session, if there is one. With it what was lost and why, unless
    /// `Down` has told.
    Up(TrackerAddr, Option<(TrackerAddr, ConnectionError)>),
    /// The tracker was lost, for this reason, and no other was reached at once.
    Down(TrackerAddr, ConnectionError),
    /// The session could not be resumed: the user has to log in again.
    SessionLost(Refusal),
    /// Something the tracker said unasked, during the login of this number.
    Push(u64, Reply),
    /// The session of a login is there: what was said to it before can be dealt with now.
    Arrived,
}
