//! Swarms: the clients of each share, by the pieces that they hold.

use super::client_key::ClientKey;
use crate::model::bitfield::Bitfield;
use crate::model::id::{GroupRef, OpId, ShareRef, UserRef};
use crate::model::piece::{Layout, PieceIndex};
use crate::wire::client_tracker::Holding;
use crate::wire::codec::Blob;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a swarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwarmInfo {
    pub share: ShareRef,
    pub group: GroupRef,
    /// How the content of the share is cut into pieces.
    pub layout: Layout,
}

/// The clients of one share. Invariant: a client is in at most one of the three sets.
#[derive(Debug)]
pub(super) struct Swarm {
    pub(super) group: GroupRef,
    layout: Layout,
    /// Hold all pieces. A bitfield would say no more.
    seeds: BTreeSet<ClientKey>,
    /// Hold some pieces.
    partial: BTreeMap<ClientKey, Bitfield>,
    /// Download and hold none yet.
    waiting: BTreeSet<ClientKey>,
}

/// What a client is in a swarm, in the order of how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SwarmRole {
    Outside,
    Waiting,
    Partial { held: u32 },
    Seed,
}

impl Swarm {
    fn new(group: GroupRef, layout: Layout) -> Self {
        Self { group, layout, seeds: BTreeSet::new(), partial: BTreeMap::new(), waiting: BTreeSet::new() }
    }

    /// Takes a client out. Returns the pieces that it held, if it did not hold all.
    fn remove(&mut self, key: ClientKey) -> Option<Bitfield> {
        self.seeds.remove(&key);
        self.waiting.remove(&key);
        self.partial.remove(&key)
    }

    fn is_empty(&self) -> bool {
        self.seeds.is_empty() && self.partial.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ClientKey> + '_ {
        self.holders().chain(self.waiting.iter().copied())
    }

    pub(super) fn holders(&self) -> impl Iterator<Item = ClientKey> + '_ {
        self.seeds.iter().chain(self.partial.keys()).copied()
    }

    /// The pieces that a client holds, if it holds some and not all.
    pub(super) fn some(&self, key: ClientKey) -> Option<&Bitfield> {
        self.partial.get(&key)
    }

    pub(super) fn holder_count(&self) -> usize {
        self.seeds.len() + self.partial.len()
    }

    /// How many of the holders are clients of a user.
    pub(super) fn holder_count_of(&self, user: UserRef) -> usize {
        self.seeds.range(ClientKey::all_of(user)).count() + self.partial.range(ClientKey::all_of(user)).count()
    }

    /// Those that do not hold all.
    pub(super) fn incomplete(&self) -> impl Iterator<Item = ClientKey> + '_ {
        self.partial.keys().chain(&self.waiting).copied()
    }

    pub(super) fn role(&self, key: ClientKey) -> SwarmRole {
        match self.partial.get(&key) {
            Some(bits) => SwarmRole::Partial { held: bits.held() },
            None if self.seeds.contains(&key) => SwarmRole::Seed,
            None if self.waiting.contains(&key) => SwarmRole::Waiting,
            None => SwarmRole::Outside,
        }
    }

    /// How many pieces a client holds; `None` if it is no holder. A seed of an empty file offers its 0 pieces.
    pub(super) fn held(&self, key: ClientKey) -> Option<u32> {
        match self.role(key) {
            SwarmRole::Seed => Some(self.layout.count()),
            SwarmRole::Partial { held } => Some(held),
            SwarmRole::Waiting | SwarmRole::Outside => None,
        }
    }

    /// What a client holds, as it would say it itself.
    fn holding(&self, key: ClientKey) -> Holding {
        let exactly = |bits: &[u8]| {
            let bits = Blob::new(bits.to_vec()).expect("no layout has more pieces than a message can tell of");
            Holding::Exactly { bits }
        };
        match self.role(key) {
            SwarmRole::Outside => Holding::Nothing {},
            SwarmRole::Waiting => exactly(Bitfield::none(self.layout).as_bytes()),
            SwarmRole::Partial { .. } => exactly(self.partial[&key].as_bytes()),
            SwarmRole::Seed => Holding::All {},
        }
    }

    /// Puts a client in its place by the pieces it holds now.
    fn put(&mut self, key: ClientKey, bits: Bitfield) {
        if bits.is_empty() {
            self.waiting.insert(key);
        } else if bits.is_complete() {
            self.seeds.insert(key);
        } else {
            self.partial.insert(key, bits);
        }
    }

    /// Takes what a client says about its pieces. Returns false and changes nothing if that cannot be.
    fn hold(&mut self, key: ClientKey, holding: &Holding) -> bool {
        match holding {
            Holding::All {} => {
                self.remove(key);
                self.seeds.insert(key);
            }
            Holding::Nothing {} => {
                self.remove(key);
            }
            Holding::Exactly { bits } => {
                let Some(bits) = Bitfield::from_bytes(self.layout, bits.as_bytes()) else {
                    return false;
                };
                self.remove(key);
                self.put(key, bits);
            }
            Holding::More { pieces } => {
                let indexes: Option<Vec<PieceIndex>> = pieces.iter().map(|&piece| self.layout.index(piece)).collect();
                let Some(indexes) = indexes else {
                    return false;
                };
                if !self.seeds.contains(&key) {
                    let mut bits = self.remove(key).unwrap_or_else(|| Bitfield::none(self.layout));
                    indexes.into_iter().for_each(|piece| {
                        bits.insert(piece);
                    });
                    self.put(key, bits);
                }
            }
        }
        true
    }

    /// Takes over the clients of a swarm of the same content. A client in both keeps the greater holding.
    fn absorb(&mut self, other: Self) {
        for key in other.keys() {
            if other.role(key) > self.role(key) {
                // The content is the same and so is the layout: the holding fits.
                self.hold(key, &other.holding(key));
            }
        }
    }
}

/// The swarms by share. Invariant: none is empty.
#[derive(Debug, Default)]
pub(super) struct Swarms {
    by_share: HashMap<ShareRef, Swarm>,
}

impl Swarms {
    pub(super) fn get(&self, share: ShareRef) -> Option<&Swarm> {
        self.by_share.get(&share)
    }

    /// Whether there is such a swarm.
    pub(super) fn any(&self, is_such: impl Fn(&Swarm) -> bool) -> bool {
        self.by_share.values().any(is_such)
    }

    /// The shares that have a swarm.
    pub(super) fn shares(&self) -> impl Iterator<Item = ShareRef> + '_ {
        self.by_share.keys().copied()
    }

    pub(super) fn role(&self, share: ShareRef, key: ClientKey) -> SwarmRole {
        self.get(share).map_or(SwarmRole::Outside, |swarm| swarm.role(key))
    }

    /// What a client holds of a share, as it would say it itself.
    pub(super) fn holding(&self, share: ShareRef, key: ClientKey) -> Holding {
        self.get(share).map_or(Holding::Nothing {}, |swarm| swarm.holding(key))
    }

    /// Takes what a client says about its pieces. Returns false and changes nothing if that cannot be.
    pub(super) fn hold(&mut self, key: ClientKey, info: SwarmInfo, holding: &Holding) -> bool {
        let SwarmInfo { share, group, layout } = info;
        let swarm = self.by_share.entry(share).or_insert_with(|| Swarm::new(group, layout));
        let possible = swarm.hold(key, holding);
        if swarm.is_empty() {
            self.by_share.remove(&share);
        }
        possible
    }

    pub(super) fn leave(&mut self, key: ClientKey, share: ShareRef) {
        if let Some(swarm) = self.by_share.get_mut(&share) {
            swarm.remove(key);
            if swarm.is_empty() {
                self.by_share.remove(&share);
            }
        }
    }

    /// Takes a client out of the swarms for which `which` is true.
    pub(super) fn leave_where(&mut self, key: ClientKey, which: impl Fn(ShareRef, &Swarm) -> bool) {
        let left: Vec<_> =
            self.by_share.iter().filter(|(share, swarm)| which(**share, swarm)).map(|(&s, _)| s).collect();
        left.into_iter().for_each(|share| self.leave(key, share));
    }

    /// A copy of what one client holds of these shares.
    pub(super) fn of_client(&self, key: ClientKey, shares: &BTreeSet<ShareRef>) -> Self {
        let mut copy = Self::default();
        for (&share, swarm) in shares.iter().filter_map(|share| Some((share, self.get(*share)?))) {
            copy.hold(key, SwarmInfo { share, group: swarm.group, layout: swarm.layout }, &swarm.holding(key));
        }
        copy
    }

    /// Takes over all clients of other swarms. A client in both swarms of a share keeps the greater holding.
    pub(super) fn absorb(&mut self, other: Self) {
        for (share, swarm) in other.by_share {
            self.absorb_swarm(share, swarm);
        }
    }

    fn absorb_swarm(&mut self, share: ShareRef, swarm: Swarm) {
        match self.by_share.entry(share) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(swarm);
            }
            std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().absorb(swarm),
        }
    }

    /// Puts all swarms under the canonical ids of their shares and groups. Returns every client that moved, with the id
    /// of its share before and after.
    pub(super) fn rekey(&mut self, canonical: impl Fn(OpId) -> OpId) -> Vec<(ClientKey, ShareRef, ShareRef)> {
        self.by_share.values_mut().for_each(|swarm| swarm.group = GroupRef(canonical(swarm.group.0)));
        let renamed = |share: ShareRef| Some((share, ShareRef(canonical(share.0)))).filter(|(old, new)| old != new);
        let renamed: Vec<_> = self.shares().filter_map(renamed).collect();
        let mut moved = Vec::new();
        for (old, new) in renamed {
            if let Some(swarm) = self.by_share.remove(&old) {
                moved.extend(swarm.keys().map(|key| (key, old, new)));
                self.absorb_swarm(new, swarm);
            }
        }
        moved
    }
}
