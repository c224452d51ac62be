//! How far a download is.

use std::time::Duration;

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransferProgress {
    /// Bytes verified and written.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// The mean of the last seconds.
    pub bytes_per_s: f64,
    /// Clients with a connection.
    pub peers: usize,
    /// The time since the transfer began.
    pub elapsed: Duration,
    /// Bytes that peers have delivered since the transfer began.
    pub received: u64,
    /// Bytes from an old version.
    pub reused: u64,
    /// The approximate number of received bytes of incomplete pieces.
    pub arriving: u64,
}
