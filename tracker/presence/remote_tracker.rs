//! Another tracker that tells of its clients, and what it told of a client that is not in effect now.

use super::client_key::ClientKey;
use super::swarm::Swarms;
use crate::model::id::{OpId, ShareRef};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

/// That something came from another tracker, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardFrom {
    pub tracker: u16,
    pub at: Instant,
}

/// Another tracker. Invariant: it has told of a client exactly if the client's entry says so.
#[derive(Debug)]
pub(super) struct RemoteTracker {
    /// When something was last heard of it. Its clients live as long as it does.
    pub(super) heard: Instant,
    /// The clients that are logged in there.
    pub(super) told: BTreeSet<ClientKey>,
    /// While it tells everything anew: what it has told so far.
    confirmed: Option<Confirmed>,
}

/// What was told since a link began.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    pub(super) clients: BTreeSet<ClientKey>,
    pub(super) holdings: BTreeSet<(ClientKey, ShareRef)>,
}

impl RemoteTracker {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, told: BTreeSet::new(), confirmed: None }
    }

    /// It begins to tell everything anew.
    pub(super) fn begin(&mut self) {
        self.confirmed = Some(Confirmed::default());
    }

    /// Whether it has not told everything yet.
    pub(super) fn is_telling(&self) -> bool {
        self.confirmed.is_some()
    }

    /// It tells of a client.
    pub(super) fn confirm(&mut self, key: ClientKey) {
        self.told.insert(key);
        if let Some(confirmed) = &mut self.confirmed {
            confirmed.clients.insert(key);
        }
    }

    /// It tells what a client holds of a share; false if it has not told of the client.
    pub(super) fn confirm_holding(&mut self, key: ClientKey, share: ShareRef) -> bool {
        if let Some(confirmed) = &mut self.confirmed {
            confirmed.holdings.insert((key, share));
        }
        self.told.contains(&key)
    }

    /// Of these shares of a client the ones that it has not told anew while it has told others.
    pub(super) fn doubtful(&self, key: ClientKey, shares: &[ShareRef]) -> Vec<ShareRef> {
        let Some(confirmed) = &self.confirmed else {
            return Vec::new();
        };
        let (told, rest): (Vec<_>, Vec<_>) =
            shares.iter().partition(|&&share| confirmed.holdings.contains(&(key, share)));
        if told.is_empty() { Vec::new() } else { rest }
    }

    /// It has told everything: gives what that was.
    pub(super) fn finish(&mut self) -> Option<Confirmed> {
        self.confirmed.take()
    }

    /// A client is not logged in there; false if it never told that it is.
    pub(super) fn forget(&mut self, key: ClientKey) -> bool {
        self.told.remove(&key)
    }

    /// Shares have other ids now.
    pub(super) fn rekey(&mut self, canonical: impl Fn(OpId) -> OpId) {
        if let Some(confirmed) = &mut self.confirmed {
            let holdings = std::mem::take(&mut confirmed.holdings).into_iter();
            confirmed.holdings = holdings.map(|(key, share)| (key, ShareRef(canonical(share.0)))).collect();
        }
    }
}

/// What a tracker told of a client that is logged in here, or of which another tracker told later. It comes into effect
/// when that is over: a connection that nobody uses any more can live on here for a while after the client went there.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) tracker: u16,
    pub(super) addr: Option<SocketAddr>,
    /// What the client holds, with no other client in them.
    pub(super) swarms: Swarms,
}
