//! What the dispatcher is told, by the rest of the client, its workers and its dialers.

use crate::client::download::error::DownloadError;
use crate::client::download::peer_connection::{DialError, PeerConnection, WorkOutcome};
use crate::client::download::transfer::Transfer;
use crate::model::id::{ClientId, GroupRef};
use crate::sys::waker::Waker;
use crate::wire::client_tracker::Peer;
use crossbeam_channel as channel;
use std::path::PathBuf;
use std::sync::Arc;

/// What happened.
pub(super) enum EngineMessage {
    Add(Arc<Transfer>),
    Remove(u64, channel::Sender<()>),
    Peers(u64, Vec<Peer>),
    DropGroup(GroupRef),
    Dialed(u64, ClientId, Result<PeerConnection, DialError>),
    Returned(PeerConnection, WorkOutcome),
    Finished(u64, Result<PathBuf, DownloadError>),
    Close,
}

/// Brings messages to the dispatcher.
#[derive(Clone)]
pub(super) struct Mailbox {
    pub messages: channel::Sender<EngineMessage>,
    pub waker: Arc<Waker>,
}

impl Mailbox {
    /// Puts a message in and wakes the dispatcher.
    pub(super) fn send(&self, message: EngineMessage) {
        // Fails only when the dispatcher is gone, and then nothing is to be done any more.
        let _ = self.messages.send(message);
        self.waker.wake();
    }
}
