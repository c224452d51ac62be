//! What a worker has, and what it says of a connection when it hands that back.

use crate::wire::record_layer::FrameRecords;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a worker waits for a connection before it hands that back. To wait here is cheaper than under the poll.
const LINGER: Duration = Duration::from_millis(4);

/// What a worker has for the connection that it works for.
pub(in crate::client::upload) struct Desk<'a> {
    /// For the part of a piece that goes out now.
    pub records: &'a mut FrameRecords,
    pub others: OthersWait<'a>,
}

/// Whether other connections wait for a worker.
#[derive(Debug, Clone, Copy)]
pub(in crate::client::upload) struct OthersWait<'a>(pub &'a AtomicBool);

impl OthersWait<'_> {
    pub(super) fn look(self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits for a moment for what `wait` waits for, unless others wait. False if it has not come.
    pub(super) fn linger(self, wait: impl FnOnce(Duration) -> bool) -> bool {
        !self.look() && wait(LINGER)
    }
}

/// What a connection waits for, without a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client::upload) enum Awaited {
    /// Something to read.
    Bytes,
    /// Room in the socket.
    Room,
    /// Its turn at the limiter.
    Limiter,
    /// Its turn in the row of those who want pieces.
    Row,
}

/// How a worker hands a connection back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client::upload) enum HandBack {
    Waits(Awaited),
    /// It goes on, and others wait.
    Yields,
    Ends,
}
