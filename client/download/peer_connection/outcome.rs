//! The outcomes of work on a connection.

use crate::client::download::error::DownloadError;
use crate::client::download::lie::Lie;
use crate::wire::connection::RecvError;
use crate::wire::record_layer::RecordError;

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum DropReason {
    /// The connection ended or failed. The client may try the peer again.
    Lost,
    /// The peer gives its place to another. The peer is not to blame.
    Busy,
    /// The peer is banned for this download.
    Lied(Lie),
    /// The peer gave a wrong piece, and was told or has left. The peer may have found its mistake, so the client may
    /// try again.
    GaveBad,
}

/// The outcome of work on a connection.
#[derive(Debug)]
pub(crate) enum WorkOutcome {
    /// Nothing more comes in at the moment.
    Waits,
    /// There is more data, but others wait for the worker.
    Yields,
    /// The connection ends.
    Drops(DropReason),
    /// The last piece is here.
    Completes,
    /// The download cannot go on.
    Stops(DownloadError),
}

pub(super) fn lied(lie: Lie) -> Option<WorkOutcome> {
    Some(WorkOutcome::Drops(DropReason::Lied(lie)))
}

/// Wrong bytes are a lie only if they decrypt. Bytes that were damaged on the way do not decrypt.
pub(super) fn recv_failed(error: RecvError) -> DropReason {
    match error {
        RecvError::Decode(error) => DropReason::Lied(Lie::Malformed(error)),
        RecvError::Record(error @ (RecordError::FrameTooLong { .. } | RecordError::Framing)) => {
            DropReason::Lied(Lie::Unframed(error))
        }
        _ => DropReason::Lost,
    }
}
