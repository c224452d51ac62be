//! The ways to peers: the one that worked, why none did, and a better one than the relay.

use super::PeerList;
use super::known_peer::{KnownPeer, PROMPT, Trial};
use crate::client::download::blame::Blame;
use crate::client::download::obstacle::{MemberObstacle, Obstacles};
use crate::client::reach::unreached::Unreached;
use crate::client::reach::way::Way;
use crate::model::id::PeerId;
use crate::model::name::UserId;
use crate::wire::client_tracker::Peer;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The maximum number of members in one report of obstacles.
const UNREACHED_MAX: usize = 16;
/// The pause after calls have failed more than once. A tracker passes ten calls a minute on.
const CALL_PAUSE: Duration = Duration::from_secs(12);

impl PeerList {
    /// The peers to which the client now tries a better way than the relay. Each counts as one more connection from now
    /// on.
    pub(super) fn better_due(&mut self, room: usize, now: Instant) -> Vec<Peer> {
        let begin = |known: &mut KnownPeer| {
            let begins = known.lanes > 0 && known.ways.try_better(now);
            known.lanes += usize::from(begins);
            begins.then(|| known.peer.clone())
        };
        self.known.values_mut().filter_map(begin).take(room).collect()
    }

    /// The way to a peer that worked last, and whether the dial that is under way is for a better one.
    pub(crate) fn way_to(&self, id: &PeerId) -> (Option<Way>, bool) {
        let ways = self.known.get(id).map(|known| &known.ways);
        ways.map_or((None, false), |ways| (ways.last(), ways.is_trying_better()))
    }

    /// Notes that a dial has reached no peer, for this reason.
    pub(crate) fn missed(&mut self, id: &PeerId, now: Instant, why: Unreached) {
        if let Some(known) = self.known.get_mut(id) {
            // Of several dials at the same time, only the last one counts.
            if known.lanes > 1 && known.trial == Trial::Dialed {
                known.lanes -= 1;
                return known.note(MemberObstacle::Unreached(why));
            }
            if why.was_called() && known.blame.failures > 0 {
                known.blame.pause(now + CALL_PAUSE.min(self.pause_max));
            }
            known.note(MemberObstacle::Unreached(why));
        }
        self.lost(id, now, true);
    }

    /// Notes that other clients listen at all addresses of this one. Its user is not to blame.
    pub(crate) fn elsewhere(&mut self, id: &PeerId, now: Instant, why: Unreached) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.note(MemberObstacle::Unreached(why));
        known.lanes = known.lanes.saturating_sub(1);
        known.blame.fail(now, self.pause_max);
        Self::blame_addresses(&mut self.addresses, known, now, self.pause_max);
    }

    /// Counts a failure for each address of the last dial of this client.
    pub(super) fn blame_addresses(
        addresses: &mut HashMap<(SocketAddr, UserId), Blame>,
        known: &KnownPeer,
        now: Instant,
        pause_max: Duration,
    ) {
        for &addr in known.dialed.iter() {
            let blame = addresses.entry((addr, known.peer.user.clone())).or_insert_with(|| Blame::none(now));
            blame.fail(now, pause_max);
        }
    }

    /// Notes that the try of a better way has failed. The relayed connection goes on.
    pub(crate) fn found_no_better(&mut self, id: &PeerId, now: Instant) {
        if let Some(known) = self.known.get_mut(id) {
            known.lanes = known.lanes.saturating_sub(1);
            known.ways.found_no_better(now);
        }
    }

    /// Notes that a better connection has replaced a relayed one, which is gone.
    pub(crate) fn replaced(&mut self, id: &PeerId) {
        if let Some(known) = self.known.get_mut(id) {
            known.lanes = known.lanes.saturating_sub(1);
        }
    }

    /// Whether the peer has left this address, according to the tracker.
    pub(crate) fn has_left(&self, id: &PeerId, addr: SocketAddr) -> bool {
        self.known.get(id).is_some_and(|known| !known.peer.addrs.contains(&addr))
    }

    /// Notes the loss of a connection to an address that the peer has left. The client may dial the peer at once.
    pub(crate) fn left(&mut self, id: &PeerId) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.lanes = known.lanes.saturating_sub(1);
        if known.lanes == 0 {
            known.ways.parted();
        }
    }

    /// Notes that a peer was reached but has no room or does not serve the content. The peer is not to blame.
    pub fn put_off(&mut self, id: &PeerId, now: Instant, why: MemberObstacle) {
        if let Some(known) = self.known.get_mut(id) {
            known.note(why);
        }
        self.lost(id, now, false);
    }

    /// Whether the client has to wait before it can call a member again, because the tracker now passes no more calls
    /// on.
    pub(super) fn is_put_off(&self) -> bool {
        let put_off = |known: &KnownPeer| known.lanes == 0 && !self.is_banned(known) && known.ways.is_put_off();
        self.known.values().any(put_off)
    }

    /// Some members without a connection, and why: the result of the last dial, or that a dial is under way.
    pub(crate) fn obstacles(&self, now: Instant) -> Obstacles {
        let obstacle = |known: &KnownPeer| Some((known.peer.user.clone(), known.obstacle(now)?));
        self.known.values().filter_map(obstacle).take(UNREACHED_MAX).collect()
    }
}

impl KnownPeer {
    /// Notes a failed dial, unless the peer has another connection: then the failure says nothing about the peer.
    fn note(&mut self, why: MemberObstacle) {
        if self.lanes <= 1 || self.trial == Trial::Dialed {
            self.ways.missed(why);
        }
    }

    fn obstacle(&self, now: Instant) -> Option<Arc<MemberObstacle>> {
        let takes_long = now.saturating_duration_since(self.since) >= PROMPT;
        let is_dialed = self.lanes > 0 && self.trial == Trial::Dialed && takes_long;
        self.ways.obstacle().cloned().or_else(|| is_dialed.then(|| Arc::new(MemberObstacle::Dialed)))
    }
}
