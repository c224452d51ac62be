//! The state of one client that holds pieces of a download. Pure: the time is passed in.

use super::way_record::WayRecord;
use crate::client::download::blame::{Amnesty, Blame};
use crate::wire::client_tracker::Peer;
use crate::wire::codec::List;
use crate::wire::contact::ADDRS_MAX;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The longest trial of a client after its connection. By then it has delivered, is gone, or has had no request.
const TRIAL: Duration = Duration::from_secs(30);
/// A dial that takes longer no longer counts when connections are divided among peers.
pub(super) const PROMPT: Duration = Duration::from_secs(1);

/// The state of a client that has delivered nothing since its dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    Dialed,
    /// The client has a missing piece.
    Connected,
    /// The client has no missing piece.
    Idle,
}

#[derive(Debug)]
pub(super) struct KnownPeer {
    pub peer: Peer,
    pub ways: WayRecord,
    /// The addresses of the last dial, without those that rested.
    pub dialed: List<SocketAddr, ADDRS_MAX>,
    /// Connections that exist or are in the making.
    pub lanes: usize,
    pub blame: Blame,
    pub amnesty: Amnesty,
    pub lied: bool,
    /// The number of wrong pieces that the client gave and then withdrew.
    pub bad: u32,
    /// When the last of these was counted.
    pub bad_at: Option<Instant>,
    /// Whether the client has delivered a piece since its first dial.
    pub delivered: bool,
    pub trial: Trial,
    /// The time of the last dial, connection or delivery.
    pub since: Instant,
    /// When a piece was last arriving from the client.
    pub gives_at: Instant,
}

impl KnownPeer {
    pub(super) fn new(peer: Peer, at: Instant) -> Self {
        Self {
            peer,
            ways: WayRecord::default(),
            dialed: List::EMPTY,
            lanes: 0,
            blame: Blame::none(at),
            amnesty: Amnesty::default(),
            lied: false,
            bad: 0,
            bad_at: None,
            delivered: false,
            trial: Trial::Dialed,
            since: at,
            gives_at: at,
        }
    }

    pub(super) fn is_on_trial(&self, now: Instant) -> bool {
        let waits = match self.trial {
            Trial::Dialed => true,
            Trial::Connected => now.duration_since(self.since) < TRIAL,
            Trial::Idle => false,
        };
        self.lanes > 0 && !self.delivered && waits
    }

    /// Whether the client may deliver soon, as far as is known.
    pub(super) fn is_able(&self, now: Instant) -> bool {
        let prompt = self.delivered || self.lanes == 0 || now.duration_since(self.since) < PROMPT;
        !self.lied && self.bad == 0 && self.blame.failures == 0 && prompt
    }
}
