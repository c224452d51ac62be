//! Swarms: the clients of each share, and how much each of them holds.

use super::client_key::ClientKey;
use crate::model::id::{ClientId, GroupRef, OpId, Origin, ShareRef, UserRef};
use crate::model::piece::Layout;
use std::collections::{BTreeMap, HashMap};

/// What a swarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwarmInfo {
    pub share: ShareRef,
    pub group: GroupRef,
    /// The division of the share's content into pieces.
    pub layout: Layout,
}

/// The role of a client in a swarm, ordered by how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SwarmRole {
    Outside,
    /// Downloads, and holds no piece yet.
    Waiting,
    Partial {
        held: u32,
    },
    /// Holds all pieces.
    Seed,
}

impl SwarmRole {
    fn is_holder(self) -> bool {
        self > SwarmRole::Waiting
    }

    /// Whether it holds some but not all pieces.
    pub(super) fn is_partial(self) -> bool {
        matches!(self, SwarmRole::Partial { .. })
    }
}

/// A swarm as a whole.
#[derive(Debug)]
struct Head {
    layout: Layout,
    members: usize,
    holders: usize,
    seeds: usize,
}

/// The swarms by share, as an index of what clients hold. Invariant: none is empty, and its head counts its members.
#[derive(Debug, Default)]
pub(super) struct Swarms {
    heads: HashMap<ShareRef, Head>,
    /// No member is [`SwarmRole::Outside`].
    members: BTreeMap<(ShareRef, ClientKey), SwarmRole>,
}

impl Swarms {
    /// The shares that have a swarm.
    pub(super) fn shares(&self) -> impl Iterator<Item = ShareRef> + '_ {
        self.heads.keys().copied()
    }

    /// Whether the swarm of a share has members.
    pub(super) fn has(&self, share: ShareRef) -> bool {
        self.heads.contains_key(&share)
    }

    pub(super) fn role(&self, share: ShareRef, key: ClientKey) -> SwarmRole {
        self.members.get(&(share, key)).copied().unwrap_or(SwarmRole::Outside)
    }

    /// Gives a client this role in a swarm.
    pub(super) fn put(&mut self, info: SwarmInfo, key: ClientKey, role: SwarmRole) {
        self.leave(key, info.share);
        if role != SwarmRole::Outside {
            let new = || Head { layout: info.layout, members: 0, holders: 0, seeds: 0 };
            let head = self.heads.entry(info.share).or_insert_with(new);
            head.members += 1;
            head.holders += usize::from(role.is_holder());
            head.seeds += usize::from(role == SwarmRole::Seed);
            self.members.insert((info.share, key), role);
        }
    }

    pub(super) fn leave(&mut self, key: ClientKey, share: ShareRef) {
        let (Some(role), Some(head)) = (self.members.remove(&(share, key)), self.heads.get_mut(&share)) else {
            return;
        };
        head.members -= 1;
        head.holders -= usize::from(role.is_holder());
        head.seeds -= usize::from(role == SwarmRole::Seed);
        if head.members == 0 {
            self.heads.remove(&share);
        }
    }

    fn members(&self, share: ShareRef) -> impl Iterator<Item = (ClientKey, SwarmRole)> + '_ {
        self.members.range(bounds(share)).map(|(&(_, key), &role)| (key, role))
    }

    /// The members that hold pieces, and how many.
    pub(super) fn holders(&self, share: ShareRef) -> impl Iterator<Item = (ClientKey, u32)> + '_ {
        let all = self.heads.get(&share).map_or(0, |head| head.layout.count());
        self.members(share).filter_map(move |(key, role)| Some((key, held(role, all)?)))
    }

    pub(super) fn holder_count(&self, share: ShareRef) -> usize {
        self.heads.get(&share).map_or(0, |head| head.holders)
    }

    /// Whether more than `count` of the holders are clients of a user.
    pub(super) fn has_more_holders_of(&self, share: ShareRef, user: UserRef, count: usize) -> bool {
        let keys = ClientKey::all_of(user);
        let of_user = self.members.range((share, *keys.start())..=(share, *keys.end()));
        of_user.filter(|(_, role)| role.is_holder()).nth(count).is_some()
    }

    /// How many pieces a client holds; `None` if it is no holder. A seed of an empty file is a holder of 0 pieces.
    pub(super) fn held(&self, share: ShareRef, key: ClientKey) -> Option<u32> {
        held(self.role(share, key), self.heads.get(&share)?.layout.count())
    }

    /// Whether some member lacks pieces.
    pub(super) fn has_incomplete(&self, share: ShareRef) -> bool {
        self.heads.get(&share).is_some_and(|head| head.seeds < head.members)
    }

    /// The members that lack pieces.
    pub(super) fn incomplete(&self, share: ShareRef) -> impl Iterator<Item = ClientKey> + '_ {
        self.members(share).filter(|(_, role)| *role != SwarmRole::Seed).map(|(key, _)| key)
    }
}

fn held(role: SwarmRole, all: u32) -> Option<u32> {
    match role {
        SwarmRole::Seed => Some(all),
        SwarmRole::Partial { held } => Some(held),
        SwarmRole::Waiting | SwarmRole::Outside => None,
    }
}

/// All keys of clients in the swarm of a share.
fn bounds(share: ShareRef) -> std::ops::RangeInclusive<(ShareRef, ClientKey)> {
    let user = |tracker, incarnation, seq| UserRef(OpId { origin: Origin { tracker, incarnation }, seq });
    let first = ClientKey { user: user(0, 0, 0), client: ClientId([0; 16]) };
    let last = ClientKey { user: user(u16::MAX, u64::MAX, u64::MAX), client: ClientId([0xff; 16]) };
    (share, first)..=(share, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Swarms {
        /// Asserts every invariant. The members must be those of these holdings.
        pub(in crate::tracker::presence) fn check(&self, held: &BTreeMap<(ShareRef, ClientKey), SwarmRole>) {
            assert_eq!(&self.members, held);
            let count =
                |share, which: fn(SwarmRole) -> bool| self.members(share).filter(|(_, role)| which(*role)).count();
            for (&share, head) in &self.heads {
                assert_eq!((head.members, head.holders), (count(share, |_| true), count(share, SwarmRole::is_holder)));
                assert_eq!(head.seeds, count(share, |role| role == SwarmRole::Seed));
            }
            assert!(self.heads.values().all(|head| head.members > 0));
            assert!(self.members.keys().all(|(share, _)| self.heads.contains_key(share)));
        }
    }
}
