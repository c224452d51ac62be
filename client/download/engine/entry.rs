//! One download in the engine: its peers, its connections, and how it ends.

use super::options::EngineOptions;
use crate::client::download::error::DownloadError;
use crate::client::download::lie::Lie;
use crate::client::download::peer_connection::{DropReason, PeerConnection};
use crate::client::download::peer_list::PeerList;
use crate::client::download::transfer::Transfer;
use crate::client::reach::way::Way;
use crate::model::id::PeerId;
use crate::sys::owned_thread::OwnedThread;
use crossbeam_channel as channel;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// The minimum and the maximum number of connections that a download begins with, even to a single peer. Between these,
/// the number equals that of the workers. A single connection leaves gaps at either end. If pieces come fast, more
/// connections than workers only deliver them out of order.
const CONNECTIONS_WANTED: (usize, usize) = (2, 4);

/// With no more missing pieces than this, the download ends before a connection reaches its full speed. Then the client
/// makes all wanted connections at once, without waiting for a first piece.
const SHORT_COUNT: u32 = 4;

/// The dispatcher's state of a download.
pub(super) struct TransferEntry {
    pub transfer: Arc<Transfer>,
    pub peers: PeerList,
    pub parked: Vec<PeerConnection>,
    pub ready: VecDeque<PeerConnection>,
    /// Connections that workers hold.
    pub busy: usize,
    /// Every piece is here.
    pub complete: bool,
    /// The thread that finishes the file. The thread starts once no worker can write to the file any more.
    pub finisher: Option<OwnedThread>,
    /// Wakes the thread that waits for the removal.
    pub removed: Option<channel::Sender<()>>,
    pub failed: Option<DownloadError>,
}

impl TransferEntry {
    pub(super) fn new(transfer: Arc<Transfer>, now: Instant, options: &EngineOptions) -> Self {
        let wanted = options.workers.clamp(CONNECTIONS_WANTED.0, CONNECTIONS_WANTED.1);
        let mut peers = PeerList::new(now, wanted, options.patience, transfer.seed());
        if (2..=SHORT_COUNT).contains(&transfer.missing()) {
            peers.hurry();
        }
        Self {
            peers,
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

    /// Calls `work` on every parked connection. Removes and returns those that fail.
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

    /// Bans a peer that lied, and drops its connections that no worker holds.
    pub(super) fn lied(&mut self, peer: &PeerId, lie: Lie) {
        self.peers.lied(peer, lie);
        self.parked.retain(|other| other.peer() != peer);
        self.ready.retain(|other| other.peer() != peer);
    }

    /// Drops the connections of a peer that gave a wrong piece on a connection from this time, for a while. Connections
    /// at a worker stay.
    pub(super) fn gave_bad(&mut self, (peer, since): (&PeerId, Instant), now: Instant) {
        let before = self.parked.len() + self.ready.len();
        self.parked.retain(|other| other.peer() != peer);
        self.ready.retain(|other| other.peer() != peer);
        let dropped = before - self.parked.len() - self.ready.len();
        self.peers.gave_bad((peer, since), now, 1 + dropped);
    }

    /// Tells the peer list how many connections are wanted now.
    pub(super) fn count_connections(&mut self, now: Instant) {
        if !self.transfer.is_fast() {
            self.peers.count_connections(self.transfer.came(), now);
        }
    }

    /// Gives up silent connections to addresses that their peer has left, unless a worker holds them.
    pub(super) fn drop_left(&mut self) {
        let peers = &self.peers;
        let leads_nowhere =
            |it: &PeerConnection| it.is_silent() && it.dialed().is_some_and(|addr| peers.has_left(it.peer(), addr));
        let (left, parked): (Vec<_>, _) = std::mem::take(&mut self.parked).into_iter().partition(leads_nowhere);
        self.parked = parked;
        left.iter().for_each(|it| self.peers.left(it.peer()));
    }

    /// Drops the relayed connections to this peer that no worker holds, because a better one exists.
    pub(super) fn drop_relayed(&mut self, peer: &PeerId) {
        let before = self.parked.len() + self.ready.len();
        let stays = |other: &PeerConnection| other.peer() != peer || other.way() != Way::Relayed;
        self.parked.retain(stays);
        self.ready.retain(stays);
        (self.parked.len() + self.ready.len()..before).for_each(|_| self.peers.replaced(peer));
    }

    /// Gives up useless connections while another user waits for one.
    pub(super) fn make_room(&mut self, now: Instant) {
        let giving = self.ready.iter().chain(&self.parked).filter(|connection| connection.is_giving(now));
        giving.for_each(|connection| self.peers.gives(connection.peer(), now));
        let Some(peer) = self.peers.surplus(now) else { return };
        let before = self.parked.len();
        self.parked.retain(|other| *other.peer() != peer);
        (self.parked.len()..before).for_each(|_| self.peers.lost(&peer, now, false));
    }

    /// Whether some connection leads to a missing piece.
    pub(super) fn is_useful(&self) -> bool {
        self.busy > 0 || self.ready.iter().chain(&self.parked).any(PeerConnection::is_useful)
    }

    /// Whether the download begins nothing more. Workers may still hold its connections.
    pub(super) fn is_over(&self) -> bool {
        self.removed.is_some() || self.failed.is_some() || self.complete
    }

    /// Gives up every connection that no worker holds.
    pub(super) fn hang_up(&mut self, now: Instant) {
        for connection in self.parked.drain(..).chain(self.ready.drain(..)) {
            self.peers.lost(connection.peer(), now, false);
        }
    }

    /// Gives up every connection from these addresses, even in the making, unless a worker holds it.
    pub(super) fn hang_up_from(&mut self, gone: &[IpAddr], now: Instant) {
        self.transfer.end_dials_from(gone);
        let (parked, ready) = (std::mem::take(&mut self.parked), std::mem::take(&mut self.ready));
        let (from, parked): (Vec<_>, _) = parked.into_iter().partition(|connection| connection.is_from(gone));
        let (more, ready): (VecDeque<_>, _) = ready.into_iter().partition(|connection| connection.is_from(gone));
        (self.parked, self.ready) = (parked, ready);
        from.iter().chain(&more).for_each(|connection| self.peers.lost(connection.peer(), now, false));
    }

    /// Notes that every piece is here.
    pub(super) fn complete(&mut self) {
        self.complete = true;
        self.stop();
    }

    /// Drops the connections. Workers return after the current frame, and write nothing more.
    pub(super) fn stop(&mut self) {
        self.transfer.stop();
        self.hang_up(Instant::now());
    }
}
