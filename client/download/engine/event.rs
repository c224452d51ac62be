//! What the engine tells the rest of the client.

use crate::client::download::error::DownloadError;
use crate::client::download::transfer::Transfer;
use crate::model::id::GroupRef;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug)]
pub enum EngineEvent {
    /// A peer has delivered its first piece of the download with this number.
    FirstPiece(u64),
    /// The file is complete, verified, and has its final name.
    Finished(Arc<Transfer>, PathBuf),
    /// The download cannot go on.
    Failed(Arc<Transfer>, DownloadError),
    /// A peer or this client has an old key of this group. The client should ask for the keys again.
    StaleKey(GroupRef),
    /// A peer rejects the certificate of this client, or there is none. The client should ask for a new one.
    StaleCertificate,
    /// A client that the download with this number knows has moved. The tracker may know where.
    StalePeer(u64),
}
