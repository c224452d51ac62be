//! Messages to the dispatcher from the rest of the client, its workers, dialers and finishers.

use crate::client::download::error::DownloadError;
use crate::client::download::opening::DialError;
use crate::client::download::peer_connection::{PeerConnection, WorkOutcome};
use crate::client::download::transfer::Transfer;
use crate::model::id::{GroupRef, PeerId};
use crate::sys::waker::Waker;
use crate::wire::client_tracker::Peer;
use crossbeam_channel as channel;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// A message to the dispatcher. The numbers are those of downloads.
pub(super) enum EngineMessage {
    Add(Arc<Transfer>),
    /// The sender gets a message once no worker holds the download any more.
    Remove(u64, channel::Sender<()>),
    /// The search in an old version has ended. The old version may have had every missing piece.
    Decided(u64),
    Peers(u64, Vec<Peer>),
    /// This peer has just come online.
    Arrived(u64, Peer),
    /// All peers may be reachable again.
    Retry,
    /// This machine has lost these addresses.
    Gone(Vec<IpAddr>),
    DropGroup(GroupRef),
    Dialed(u64, PeerId, Result<PeerConnection, DialError>),
    /// A worker is done with a connection.
    Returned(PeerConnection, WorkOutcome),
    /// A finisher is done with the complete file.
    Finished(u64, Result<PathBuf, DownloadError>),
    Close,
}

/// The channel to the dispatcher.
#[derive(Clone)]
pub(super) struct Mailbox {
    pub messages: channel::Sender<EngineMessage>,
    pub waker: Arc<Waker>,
}

impl Mailbox {
    /// Sends a message and wakes the dispatcher.
    pub(super) fn send(&self, message: EngineMessage) {
        // The send fails only without a dispatcher, and then the message has no use.
        let _ = self.messages.send(message);
        self.waker.wake();
    }
}
