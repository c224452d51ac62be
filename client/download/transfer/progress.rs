//! How far a download is.

use std::time::Duration;

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransferProgress {
    /// Bytes verified and written.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Mean of the last seconds.
    pub bytes_per_s: f64,
    /// Clients with a connection.
    pub peers: usize,
    /// Time since it began.
    pub elapsed: Duration,
    /// Bytes that peers have delivered since it began.
    pub received: u64,
    /// Bytes that were taken from an old version.
    pub reused: u64,
    /// About how many bytes have come of pieces that are not whole.
    pub arriving: u64,
}
