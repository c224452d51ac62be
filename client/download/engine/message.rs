//! What the engine is told, by the rest of the client, its workers and its dialers.

use crate::client::download::live::Download;
use crate::client::download::peer_connection::{DialError, PeerLink, Step};
use crate::model::id::{ClientId, GroupRef};
use crate::sys::waker::Waker;
use crate::wire::client_tracker::Peer;
use crossbeam_channel as channel;
use std::path::PathBuf;
use std::sync::Arc;

/// What happened.
pub(super) enum Event {
    Add(Arc<Download>),
    Remove(u64, channel::Sender<()>),
    Peers(u64, Vec<Peer>),
    DropGroup(GroupRef),
    Dialed(u64, ClientId, Result<PeerLink, DialError>),
    Returned(PeerLink, Step),
    Finished(u64, Result<PathBuf, String>),
    Close,
}

/// Brings events to the engine.
#[derive(Clone)]
pub(super) struct Post {
    pub events: channel::Sender<Event>,
    pub waker: Arc<Waker>,
}

impl Post {
    /// Posts an event and wakes the engine.
    pub(super) fn send(&self, event: Event) {
        // Fails only when the engine is gone, and then nothing is to be done any more.
        let _ = self.events.send(event);
        self.waker.wake();
    }
}
