//! The ways to peers: which one worked, why none did, and a better one than a relay.

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

/// Members that are told of at a time.
const UNREACHED_MAX: usize = 16;
/// Pause after calls have come to nothing more than once. A tracker passes ten a minute on.
const CALL_PAUSE: Duration = Duration::from_secs(12);

impl PeerList {
    /// Peers to which a better way than the relay is tried now. Each counts as one more connection from here on.
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

    /// A dial has reached nobody, for this reason.
    pub(crate) fn missed(&mut self, id: &PeerId, now: Instant, why: Unreached) {
        if let Some(known) = self.known.get_mut(id) {
            // The last dial of those that were made at once counts for all.
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

    /// Other clients listen at all addresses of this one. Its user is not to blame.
    pub(crate) fn elsewhere(&mut self, id: &PeerId, now: Instant, why: Unreached) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.note(MemberObstacle::Unreached(why));
        known.lanes = known.lanes.saturating_sub(1);
        known.blame.fail(now, self.pause_max);
        Self::blame_addresses(&mut self.addresses, known, now, self.pause_max);
    }

    /// The last dial of this client has failed at all addresses that it tried.
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

    /// A dial for a better way has come to nothing. The relayed connection goes on.
    pub(crate) fn found_no_better(&mut self, id: &PeerId, now: Instant) {
        if let Some(known) = self.known.get_mut(id) {
            known.lanes = known.lanes.saturating_sub(1);
            known.ways.found_no_better(now);
        }
    }

    /// A better connection has replaced a relayed one, which is gone.
    pub(crate) fn replaced(&mut self, id: &PeerId) {
        if let Some(known) = self.known.get_mut(id) {
            known.lanes = known.lanes.saturating_sub(1);
        }
    }

    /// Whether the peer has this address no more, as far as the tracker has told.
    pub(crate) fn has_left(&self, id: &PeerId, addr: SocketAddr) -> bool {
        self.known.get(id).is_some_and(|known| !known.peer.addrs.contains(&addr))
    }

    /// A connection to an address that the peer has no more is gone. The peer may be dialed at once.
    pub(crate) fn left(&mut self, id: &PeerId) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.lanes = known.lanes.saturating_sub(1);
        if known.lanes == 0 {
            known.ways.parted();
        }
    }

    /// A peer was reached and has no room, or does not serve the content now. It is not to blame.
    pub fn put_off(&mut self, id: &PeerId, now: Instant, why: MemberObstacle) {
        if let Some(known) = self.known.get_mut(id) {
            known.note(why);
        }
        self.lost(id, now, false);
    }

    /// Whether a member who is there is to be called a little later: the tracker passes no more calls on for now.
    pub(super) fn is_put_off(&self) -> bool {
        let put_off = |known: &KnownPeer| known.lanes == 0 && !self.is_banned(known) && known.ways.is_put_off();
        self.known.values().any(put_off)
    }

    /// Some members without a connection, and why: what the last dial came to, or that one is under way.
    pub(crate) fn obstacles(&self, now: Instant) -> Obstacles {
        let obstacle = |known: &KnownPeer| Some((known.peer.user.clone(), known.obstacle(now)?));
        self.known.values().filter_map(obstacle).take(UNREACHED_MAX).collect()
    }
}

impl KnownPeer {
    /// A dial has made no connection. It says nothing of the peer if there is another connection.
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
