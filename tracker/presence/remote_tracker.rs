//! Another tracker that tells of its clients, and those of its claims that have no effect at present.

use super::client_key::ClientKey;
use super::holdings::Holdings;
use crate::model::id::{OpId, ShareRef};
use crate::wire::contact::Contact;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Names a tracker that told something, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardFrom {
    pub tracker: u16,
    pub at: Instant,
}

/// Another tracker. Invariant: `told` has exactly the clients whose entries name this tracker.
#[derive(Debug)]
pub(super) struct RemoteTracker {
    /// When it last told something. Its clients expire with it.
    pub(super) heard: Instant,
    /// The clients that are logged in there, as it told.
    pub(super) told: BTreeSet<ClientKey>,
    /// The part of its snapshot that it has told; `None` before and after.
    confirmed: Option<Confirmed>,
}

/// What a tracker has told since the beginning of its snapshot.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    pub(super) clients: BTreeSet<ClientKey>,
    pub(super) holdings: BTreeSet<(ClientKey, ShareRef)>,
}

impl RemoteTracker {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, told: BTreeSet::new(), confirmed: None }
    }

    /// The tracker begins its snapshot.
    pub(super) fn begin(&mut self) {
        self.confirmed = Some(Confirmed::default());
    }

    /// Whether its snapshot is still incomplete.
    pub(super) fn is_telling(&self) -> bool {
        self.confirmed.is_some()
    }

    /// The tracker confirms a client.
    pub(super) fn confirm(&mut self, key: ClientKey) {
        self.told.insert(key);
        if let Some(confirmed) = &mut self.confirmed {
            confirmed.clients.insert(key);
        }
    }

    /// The tracker confirms what a client holds of a share. Returns false if it has not confirmed the client.
    pub(super) fn confirm_holding(&mut self, key: ClientKey, share: ShareRef) -> bool {
        let told = self.told.contains(&key);
        if let Some(confirmed) = self.confirmed.as_mut().filter(|_| told) {
            confirmed.holdings.insert((key, share));
        }
        told
    }

    /// The shares among these that the tracker's snapshot has not told of this client so far. Empty if it has told none
    /// of them.
    pub(super) fn doubtful(&self, key: ClientKey, shares: &[ShareRef]) -> Vec<ShareRef> {
        let Some(confirmed) = &self.confirmed else {
            return Vec::new();
        };
        let (told, rest): (Vec<_>, Vec<_>) =
            shares.iter().partition(|&&share| confirmed.holdings.contains(&(key, share)));
        if told.is_empty() { Vec::new() } else { rest }
    }

    /// The snapshot is complete. Returns it.
    pub(super) fn finish(&mut self) -> Option<Confirmed> {
        self.confirmed.take()
    }

    /// The tracker ends a client's login. Returns false if it never told of the client.
    pub(super) fn forget(&mut self, key: ClientKey) -> bool {
        self.told.remove(&key)
    }

    /// Whether the snapshot has a client that holds this share.
    pub(super) fn holds(&self, share: ShareRef) -> bool {
        self.confirmed.as_ref().is_some_and(|confirmed| confirmed.holdings.iter().any(|(_, of)| *of == share))
    }

    /// Replaces ids of shares that have become aliases.
    pub(super) fn rekey(&mut self, canonical: impl Fn(OpId) -> OpId) {
        if let Some(confirmed) = &mut self.confirmed {
            let holdings = std::mem::take(&mut confirmed.holdings).into_iter();
            confirmed.holdings = holdings.map(|(key, share)| (key, ShareRef(canonical(share.0)))).collect();
        }
    }
}

/// What a tracker told of a client that is logged in here, or that another tracker told later. The claim takes effect
/// when that login ends: after a client has moved to the other tracker, its dead connection can live on here for a
/// while.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) tracker: u16,
    pub(super) contact: Option<Arc<Contact>>,
    pub(super) holdings: Holdings,
}
