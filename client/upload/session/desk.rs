//! The resources of a worker, and its results for a connection.

use crate::wire::record_layer::FrameRecords;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a worker waits for a connection before it hands the connection back. Waiting here is cheaper than under the
/// poll.
const LINGER: Duration = Duration::from_millis(4);

/// The resources of a worker for its current connection.
pub(in crate::client::upload) struct Desk<'a> {
    /// Buffers for the part of a piece that goes out now.
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

    /// Waits a moment through `wait`, unless others wait. Returns false if the wait was in vain.
    pub(super) fn linger(self, wait: impl FnOnce(Duration) -> bool) -> bool {
        !self.look() && wait(LINGER)
    }
}

/// The event that a connection without a worker waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client::upload) enum Awaited {
    /// Something to read.
    Bytes,
    /// Room in the socket.
    Room,
    /// Its turn at the rate limiter.
    Limiter,
    /// Its turn in the row for pieces.
    Row,
}

/// The result with which a worker hands a connection back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client::upload) enum HandBack {
    Waits(Awaited),
    /// The connection can go on, and others wait.
    Yields,
    Ends,
}
