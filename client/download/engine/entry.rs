//! One download in the engine: its peers, its connections, and how it is to end.

use super::options::EngineOptions;
use crate::client::download::error::DownloadError;
use crate::client::download::lie::Lie;
use crate::client::download::peer_connection::{DropReason, PeerConnection};
use crate::client::download::peer_list::PeerList;
use crate::client::download::transfer::Transfer;
use crate::model::id::ClientId;
use crate::model::name::UserId;
use crate::sys::owned_thread::OwnedThread;
use crossbeam_channel as channel;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Connections that a download should have, even to a single peer: as many as there are workers, but no fewer than the
/// first and no more than the second. One leaves gaps at either end; more than work at a time only bring the pieces out
/// of order.
const CONNECTIONS_WANTED: (usize, usize) = (2, 4);

/// The state that the engine keeps of a download.
pub(super) struct TransferEntry {
    pub transfer: Arc<Transfer>,
    pub peers: PeerList,
    pub parked: Vec<PeerConnection>,
    pub ready: VecDeque<PeerConnection>,
    /// Connections with a worker.
    pub busy: usize,
    /// Every piece is here.
    pub complete: bool,
    /// The thread that finishes the file, once no worker can write to it any more.
    pub finisher: Option<OwnedThread>,
    /// Who waits for the removal.
    pub removed: Option<channel::Sender<()>>,
    /// Why it stops, once that is decided.
    pub failed: Option<DownloadError>,
}

impl TransferEntry {
    /// Begins without peers.
    pub(super) fn new(transfer: Arc<Transfer>, now: Instant, options: &EngineOptions) -> Self {
        let wanted = options.workers.clamp(CONNECTIONS_WANTED.0, CONNECTIONS_WANTED.1);
        Self {
            peers: PeerList::new(now, wanted, options.patience),
            parked: Vec::new(),
            ready: VecDeque::new(),
            busy: 0,
            complete: transfer.is_complete(),
            finisher: None,
            removed: None,
            failed: None,
            transfer,
        }
    }

    /// Does something to every parked connection; those that fail are no longer parked and given back.
    pub(super) fn sift_parked(
        &mut self,
        mut work: impl FnMut(&mut PeerConnection) -> Result<(), DropReason>,
    ) -> Vec<(PeerConnection, DropReason)> {
        let mut failed = Vec::new();
        for mut connection in std::mem::take(&mut self.parked) {
            match work(&mut connection) {
                Ok(()) => self.parked.push(connection),
                Err(reason) => failed.push((connection, reason)),
            }
        }
        failed
    }

    /// A peer sent what no honest peer sends: none of its connections is kept.
    pub(super) fn lied(&mut self, client: ClientId, user: &UserId, lie: Lie) {
        self.peers.lied(client, user, lie);
        self.parked.retain(|other| other.client() != client);
        self.ready.retain(|other| other.client() != client);
    }

    /// Whether some connection leads to what is missing.
    pub(super) fn is_useful(&self) -> bool {
        self.busy > 0 || self.ready.iter().chain(&self.parked).any(PeerConnection::is_useful)
    }

    /// Nothing is done for it any more but what workers still hold.
    pub(super) fn is_over(&self) -> bool {
        self.removed.is_some() || self.failed.is_some() || self.complete
    }

    /// Gives up every connection that no worker holds.
    pub(super) fn hang_up(&mut self, now: Instant) {
        for connection in self.parked.drain(..).chain(self.ready.drain(..)) {
            self.peers.lost(connection.client(), now, false);
        }
    }

    /// Nothing more is to be written: the connections go, and workers return after the frame they are at.
    pub(super) fn stop(&mut self) {
        self.transfer.stop();
        self.hang_up(Instant::now());
    }
}
