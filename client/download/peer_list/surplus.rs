//! Chooses the connection to give up when a download is at its limit. Pure: the time is passed in.

use super::{CONNECTIONS_MAX, KnownPeer, PeerList};
use crate::model::id::PeerId;
use std::time::{Duration, Instant};

/// A connection without a delivery for this long makes room for another user, when a download is at its limit of
/// connections.
pub(super) const USELESS: Duration = Duration::from_secs(10);

impl PeerList {
    /// Notes that a piece is arriving from the peer. Meanwhile its connection makes room for no other.
    pub fn gives(&mut self, id: &PeerId, now: Instant) {
        self.known.get_mut(id).into_iter().for_each(|known| known.gives_at = now);
    }

    /// The connection that makes room for another user, if the download is at its limit. That connection has delivered
    /// nothing for long, and belongs to the user with most connections.
    pub fn surplus(&self, now: Instant) -> Option<PeerId> {
        let loads = self.loads(now);
        let waits = |known: &KnownPeer| {
            known.blame.not_before <= now && !self.is_banned(known) && !loads.contains_key(&known.peer.user)
        };
        if loads.values().map(|load| load.lanes).sum::<usize>() < CONNECTIONS_MAX || !self.known.values().any(waits) {
            return None;
        }
        let used_at = |known: &KnownPeer| known.since.max(known.gives_at);
        let idle = |known: &&KnownPeer| known.lanes > 0 && now.duration_since(used_at(known)) > USELESS;
        let rank =
            |known: &&KnownPeer| (loads[&known.peer.user].lanes, !known.delivered, now.duration_since(known.since));
        self.known.values().filter(idle).max_by_key(rank).map(|known| known.peer.id())
    }
}
