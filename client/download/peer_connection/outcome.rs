//! How the work on a connection ends.

use crate::client::download::error::DownloadError;
use crate::client::download::lie::Lie;
use crate::wire::connection::RecvError;
use crate::wire::record_layer::RecordError;

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum DropReason {
    /// It ended or failed; the peer may be tried again.
    Lost,
    /// The peer gives its place to another. It is not to blame.
    Busy,
    /// The peer is banned for this download.
    Lied(Lie),
    /// The peer gave a wrong piece, and has heard so. It may know of a mistake of its own, and be tried again.
    GaveBad,
}

/// How the work on a connection ended.
#[derive(Debug)]
pub(crate) enum WorkOutcome {
    /// Nothing more comes in at the moment.
    Waits,
    /// There is more, but others wait for the worker.
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

/// Wrong bytes are a lie only if they decrypt. Bytes that changed on the way do not.
pub(super) fn recv_failed(error: RecvError) -> DropReason {
    match error {
        RecvError::Decode(error) => DropReason::Lied(Lie::Malformed(error)),
        RecvError::Record(error @ (RecordError::FrameTooLong { .. } | RecordError::Framing)) => {
            DropReason::Lied(Lie::Unframed(error))
        }
        _ => DropReason::Lost,
    }
}
