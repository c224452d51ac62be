//! A client's connection as other threads see it: they can push messages and end it.

use crate::wire::client_tracker::Reply;
use std::fmt;

/// A client's connection in either dialect. No method waits for the client.
pub trait PushChannel: fmt::Debug + Send + Sync {
    /// Queues an unasked message; it leaves with the next [`PushChannel::flush`].
    fn queue(&self, reply: &Reply);

    /// Writes queued messages as far as the socket takes them. Returns true if something may be left.
    fn flush(&self) -> bool;

    /// Ends the connection in both directions.
    fn end(&self);

    fn push(&self, reply: &Reply) {
        self.queue(reply);
        self.flush();
    }
}
