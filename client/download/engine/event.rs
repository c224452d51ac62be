//! What the engine tells the rest of the client.

use crate::client::download::error::DownloadError;
use crate::client::download::transfer::Transfer;
use crate::model::id::GroupRef;
use std::path::PathBuf;
use std::sync::Arc;

/// What the engine tells the rest of the client.
#[derive(Debug)]
pub enum EngineEvent {
    /// A peer has brought its first piece of the download with this number.
    FirstPiece(u64),
    /// The file is complete, verified, and has its name.
    Finished(Arc<Transfer>, PathBuf),
    /// The download cannot go on.
    Failed(Arc<Transfer>, DownloadError),
    /// A peer or this client has an old key of this group: the keys should be asked for again.
    StaleKey(GroupRef),
}
