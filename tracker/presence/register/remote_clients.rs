//! What other trackers tell of their clients.

use super::super::budget::Purse;
use super::super::client_key::ClientKey;
use super::super::holder::HolderUp;
use super::super::holdings::Holdings;
use super::super::remote_tracker::{Claim, HeardFrom, RemoteTracker};
use super::super::swarm::SwarmInfo;
use super::{Client, Home, Register};
use crate::model::id::{OpId, ShareRef};
use crate::wire::client_tracker::Holding;
use crate::wire::contact::Contact;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The clients of other trackers.
impl Register {
    fn remote_tracker(&mut self, heard: HeardFrom) -> &mut RemoteTracker {
        let tracker = self.remote_trackers.entry(heard.tracker).or_insert_with(|| RemoteTracker::new(heard.at));
        tracker.heard = heard.at;
        tracker
    }

    pub(in crate::tracker::presence) fn heard_from_tracker(&mut self, heard: HeardFrom) {
        self.remote_tracker(heard);
    }

    pub(in crate::tracker::presence) fn begin_snapshot(&mut self, heard: HeardFrom) {
        self.remote_tracker(heard).begin();
    }

    pub(in crate::tracker::presence) fn end_snapshot(&mut self, home: u16) {
        let Some(tracker) = self.remote_trackers.get_mut(&home) else {
            return;
        };
        let Some(confirmed) = tracker.finish() else {
            return;
        };
        for key in tracker.told.clone() {
            if !confirmed.clients.contains(&key) {
                self.remote_offline(home, key);
                continue;
            }
            let doubtful = |share: &ShareRef| !confirmed.holdings.contains(&(key, *share));
            match self.clients.get_mut(&key) {
                Some(client) if client.home == Home::At(home) => {
                    let void: Vec<_> = client.holdings.shares().filter(doubtful).collect();
                    void.into_iter().for_each(|share| self.leave_swarm(key, share));
                }
                Some(client) => {
                    let claim = client.claim(home).into_iter();
                    claim.for_each(|claim| claim.holdings.remove_where(|share, _| doubtful(&share)));
                }
                None => {}
            }
        }
    }

    pub(in crate::tracker::presence) fn remote_online(
        &mut self,
        heard: HeardFrom,
        key: ClientKey,
        contact: Option<Arc<Contact>>,
    ) -> Vec<HolderUp> {
        self.remote_tracker(heard).confirm(key);
        let home = heard.tracker;
        let purse = || Purse::new(&self.budget, key.user);
        let new = || Client::new(Home::At(home), contact.clone(), purse());
        let client = self.clients.entry(key).or_insert_with(new);
        if client.home == Home::At(home) {
            return if client.contact == contact { Vec::new() } else { self.relocate(key, contact) };
        }
        let holdings = client.take_claim(home).map_or_else(|| Holdings::new(purse()), |claim| claim.holdings);
        let own = Claim { tracker: home, contact: contact.clone(), holdings };
        match client.home {
            Home::Here { .. } => {
                client.claims.push(own);
                Vec::new()
            }
            Home::At(other) => {
                let holdings = std::mem::replace(&mut client.holdings, Holdings::new(purse()));
                holdings.shares().for_each(|share| self.swarms.leave(key, share));
                client.claims.push(Claim { tracker: other, contact: client.contact.clone(), holdings });
                self.settle(key, own);
                self.ups_of(key)
            }
        }
    }

    pub(in crate::tracker::presence) fn remote_offline(&mut self, home: u16, key: ClientKey) {
        if !self.remote_trackers.get_mut(&home).is_some_and(|tracker| tracker.forget(key)) {
            return;
        }
        match self.clients.get_mut(&key) {
            Some(client) if client.home == Home::At(home) => self.end(key),
            Some(client) => {
                client.take_claim(home);
            }
            None => {}
        }
    }

    pub(in crate::tracker::presence) fn remote_holds(
        &mut self,
        heard: HeardFrom,
        key: ClientKey,
        swarm: SwarmInfo,
        holding: &Holding,
    ) -> Option<HolderUp> {
        if !self.remote_tracker(heard).confirm_holding(key, swarm.share) {
            return None;
        }
        let client = self.clients.get_mut(&key)?;
        if client.home == Home::At(heard.tracker) {
            // An impossible holding changes nothing.
            return self.hold(key, swarm, holding).ok().flatten();
        }
        // As above, an impossible holding changes nothing.
        let _ = client.claim(heard.tracker)?.holdings.hear(swarm, holding, &mut self.interner);
        self.make_room();
        None
    }

    /// Drops clients of other trackers whose user has become an alias. Their tracker ends the logins, and the clients
    /// log in again.
    pub(in crate::tracker::presence) fn leave_renamed_users(&mut self, canonical: impl Fn(OpId) -> OpId) {
        let told =
            self.remote_trackers.iter().flat_map(|(&home, tracker)| tracker.told.iter().map(move |&key| (home, key)));
        let gone: Vec<_> = told.filter(|(_, key)| canonical(key.user.0) != key.user.0).collect();
        gone.into_iter().for_each(|(home, key)| self.remote_offline(home, key));
    }

    /// Two shares are about to become one, and a tracker in the middle of its snapshot has told only one of them so
    /// far. Drops its earlier claims about the other share: otherwise they would count as part of the snapshot.
    pub(in crate::tracker::presence) fn leave_doubtful_twins(&mut self, canonical: impl Fn(OpId) -> OpId) {
        let telling = self.remote_trackers.iter().filter(|(_, tracker)| tracker.is_telling());
        let told: Vec<_> =
            telling.flat_map(|(&home, tracker)| tracker.told.iter().map(move |&key| (home, key))).collect();
        for (home, key) in told {
            let Some(client) = self.clients.get_mut(&key) else {
                continue;
            };
            let in_effect = client.home == Home::At(home);
            let shares: Vec<ShareRef> = match client.claim(home) {
                Some(claim) => claim.holdings.shares().collect(),
                None => client.holdings.shares().collect(),
            };
            let mut twins: BTreeMap<OpId, Vec<ShareRef>> = BTreeMap::new();
            shares.into_iter().for_each(|share| twins.entry(canonical(share.0)).or_default().push(share));
            let doubtful = |twins: &Vec<ShareRef>| self.remote_trackers[&home].doubtful(key, twins);
            let void: Vec<_> = twins.values().filter(|twins| twins.len() > 1).flat_map(doubtful).collect();
            match client.claim(home) {
                Some(claim) => claim.holdings.remove_where(|share, _| void.contains(&share)),
                None if in_effect => void.into_iter().for_each(|share| self.leave_swarm(key, share)),
                None => {}
            }
        }
    }
}
