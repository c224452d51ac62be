//! What is known of one client that holds pieces of a download. Pure: the time is passed in.

use super::way_record::WayRecord;
use crate::client::download::blame::{Amnesty, Blame};
use crate::wire::client_tracker::Peer;
use crate::wire::codec::List;
use crate::wire::contact::ADDRS_MAX;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A client is on trial for this long at most after it was connected. By then it has delivered, is gone, or was not
/// asked for anything.
const TRIAL: Duration = Duration::from_secs(30);
/// A dial that takes longer counts no more where connections are divided among peers.
pub(super) const PROMPT: Duration = Duration::from_secs(1);

/// How far it has come with a client that has no piece delivered since it was dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    Dialed,
    /// It has something that is missing.
    Connected,
    /// It has nothing that is missing.
    Idle,
}

#[derive(Debug)]
pub(super) struct KnownPeer {
    pub peer: Peer,
    pub ways: WayRecord,
    /// The addresses of the last dial: those that did not rest.
    pub dialed: List<SocketAddr, ADDRS_MAX>,
    /// Connections made or being made.
    pub lanes: usize,
    pub blame: Blame,
    pub amnesty: Amnesty,
    pub lied: bool,
    /// How many wrong pieces it gave, and took back when it heard so.
    pub bad: u32,
    /// It has delivered a piece since it was dialed first.
    pub delivered: bool,
    pub trial: Trial,
    /// When it was dialed, was connected, or delivered last.
    pub since: Instant,
    /// When a piece was coming in from it last.
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

    /// Whether it may deliver soon, as far as is known.
    pub(super) fn is_able(&self, now: Instant) -> bool {
        let prompt = self.delivered || self.lanes == 0 || now.duration_since(self.since) < PROMPT;
        !self.lied && self.bad == 0 && self.blame.failures == 0 && prompt
    }
}
