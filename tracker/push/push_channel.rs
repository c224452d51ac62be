//! What can be done with a client's connection by those who do not serve it.

use crate::wire::client_tracker::Reply;
use crate::wire::conn::Sender;
use crate::wire::frame::UNASKED;
use std::fmt;

/// A connection on which a client is logged in, whatever is spoken on it. Nothing here waits for the far side.
pub trait Voice: fmt::Debug + Send + Sync {
    /// Takes a message that nobody asked for; it leaves with the next [`Voice::flush`].
    fn queue(&self, reply: &Reply);

    /// Writes what was queued as far as the socket takes it; whether something may be left.
    fn flush(&self) -> bool;

    /// Ends the connection in both directions.
    fn end(&self);

    /// Says something that nobody asked for, now.
    fn push(&self, reply: &Reply) {
        self.queue(reply);
        self.flush();
    }
}

impl Voice for Sender {
    fn queue(&self, reply: &Reply) {
        Sender::queue(self, UNASKED, reply);
    }

    fn flush(&self) -> bool {
        self.flush_rest()
    }

    fn end(&self) {
        Sender::end(self);
    }
}
