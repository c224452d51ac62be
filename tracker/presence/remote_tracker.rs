//! Another tracker as one that tells of its clients, and its claims that are not effective now.

use super::client_key::ClientKey;
use super::holdings::Holdings;
use crate::model::id::{OpId, ShareRef};
use crate::wire::contact::Contact;
use std::collections::BTreeSet;
use std::sync::Arc;
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
    /// When it last said something. Its clients expire with it.
    pub(super) heard: Instant,
    /// The clients that are logged in there, as it told.
    pub(super) told: BTreeSet<ClientKey>,
    /// Its snapshot as far as it has told it; `None` before and after.
    confirmed: Option<Confirmed>,
}

/// What a tracker has told since it began its snapshot.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    pub(super) clients: BTreeSet<ClientKey>,
    pub(super) holdings: BTreeSet<(ClientKey, ShareRef)>,
}

impl RemoteTracker {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: now, told: BTreeSet::new(), confirmed: None }
    }

    /// It begins its snapshot.
    pub(super) fn begin(&mut self) {
        self.confirmed = Some(Confirmed::default());
    }

    /// Whether its snapshot is not complete yet.
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

    /// It tells what a client holds of a share. Returns false if it has not told of the client.
    pub(super) fn confirm_holding(&mut self, key: ClientKey, share: ShareRef) -> bool {
        let told = self.told.contains(&key);
        if let Some(confirmed) = self.confirmed.as_mut().filter(|_| told) {
            confirmed.holdings.insert((key, share));
        }
        told
    }

    /// Which of these shares of a client its snapshot does not have yet; none if it has none of them.
    pub(super) fn doubtful(&self, key: ClientKey, shares: &[ShareRef]) -> Vec<ShareRef> {
        let Some(confirmed) = &self.confirmed else {
            return Vec::new();
        };
        let (told, rest): (Vec<_>, Vec<_>) =
            shares.iter().partition(|&&share| confirmed.holdings.contains(&(key, share)));
        if told.is_empty() { Vec::new() } else { rest }
    }

    /// Its snapshot is complete. Returns the snapshot.
    pub(super) fn finish(&mut self) -> Option<Confirmed> {
        self.confirmed.take()
    }

    /// A client is not logged in there. Returns false if it never told that it is.
    pub(super) fn forget(&mut self, key: ClientKey) -> bool {
        self.told.remove(&key)
    }

    /// Whether it has confirmed that somebody holds this share.
    pub(super) fn holds(&self, share: ShareRef) -> bool {
        self.confirmed.as_ref().is_some_and(|confirmed| confirmed.holdings.iter().any(|(_, of)| *of == share))
    }

    /// Ids of shares may have become aliases.
    pub(super) fn rekey(&mut self, canonical: impl Fn(OpId) -> OpId) {
        if let Some(confirmed) = &mut self.confirmed {
            let holdings = std::mem::take(&mut confirmed.holdings).into_iter();
            confirmed.holdings = holdings.map(|(key, share)| (key, ShareRef(canonical(share.0)))).collect();
        }
    }
}

/// What a tracker told of a client that is logged in here, or of which another tracker told later. It becomes effective
/// when that is over: a dead connection can live on here for a while after the client has gone there.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) tracker: u16,
    pub(super) contact: Option<Arc<Contact>>,
    pub(super) holdings: Holdings,
}
