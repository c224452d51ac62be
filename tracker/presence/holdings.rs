//! What one client holds, as one tracker tells it, within the memory that its user may take.

use super::budget::{Purse, cost};
use super::pieces::{HeldPieces, Interner, NoSuchPieces};
use super::swarm::{SwarmInfo, SwarmRole};
use crate::model::id::{GroupRef, OpId, ShareRef};
use crate::model::piece::Layout;
use crate::wire::client_tracker::Holding;
use std::collections::BTreeMap;

/// The shares of which a client holds pieces or downloads some. Invariant: the purse has paid for the entries.
#[derive(Debug)]
pub(super) struct Holdings {
    by_share: BTreeMap<ShareRef, Entry>,
    /// Bytes of the entries' details.
    detail: usize,
    purse: Purse,
    /// Set once an entry found no room.
    crowded: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    group: GroupRef,
    layout: Layout,
    pieces: HeldPieces,
}

impl Entry {
    fn role_in(&self, share: ShareRef) -> (SwarmInfo, SwarmRole) {
        (SwarmInfo { share, group: self.group, layout: self.layout }, self.pieces.role())
    }
}

impl Holdings {
    pub(super) fn new(purse: Purse) -> Self {
        Self { by_share: BTreeMap::new(), detail: 0, purse, crowded: false }
    }

    pub(super) fn shares(&self) -> impl Iterator<Item = ShareRef> + '_ {
        self.by_share.keys().copied()
    }

    /// The swarms that the client is in, and its role in each.
    pub(super) fn roles(&self) -> impl Iterator<Item = (SwarmInfo, SwarmRole)> + '_ {
        self.by_share.iter().map(|(&share, entry)| entry.role_in(share))
    }

    /// The swarm of a share that the client is in, and its role there.
    pub(super) fn role_in(&self, share: ShareRef) -> Option<(SwarmInfo, SwarmRole)> {
        self.by_share.get(&share).map(|entry| entry.role_in(share))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_share.is_empty()
    }

    /// What it holds of a share.
    pub(super) fn pieces(&self, share: ShareRef) -> Option<&HeldPieces> {
        self.by_share.get(&share).map(|entry| &entry.pieces)
    }

    pub(super) fn role(&self, share: ShareRef) -> SwarmRole {
        self.pieces(share).map_or(SwarmRole::Outside, HeldPieces::role)
    }

    /// Whether the exact pieces are known for some share.
    pub(super) fn has_detail(&self) -> bool {
        self.detail > 0
    }

    /// Whether some of the client's holdings found no room.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Takes what the client says about its pieces. An impossible claim changes nothing. Where the user's memory does
    /// not suffice, it keeps less: only the number of pieces, or nothing.
    pub(super) fn hear(
        &mut self,
        info: SwarmInfo,
        holding: &Holding,
        interner: &mut Interner,
    ) -> Result<(), NoSuchPieces> {
        let entry = self.by_share.get_mut(&info.share);
        let before = entry.as_ref().map_or(0, |entry| entry.pieces.detail_len());
        let mut pieces = entry.map(|entry| std::mem::replace(&mut entry.pieces, HeldPieces::Waiting));
        let was = pieces.is_some();
        let heard = HeldPieces::hear(&mut pieces, info.layout, holding, interner);
        self.put(info, (was, before), pieces);
        heard
    }

    /// Replaces an entry that may have been there, with this many bytes of details.
    fn put(&mut self, info: SwarmInfo, (was, detail_before): (bool, usize), pieces: Option<HeldPieces>) {
        let back = self.cost();
        let (others, detail) = (self.by_share.len() - usize::from(was), self.detail - detail_before);
        let cost_with = |pieces: &HeldPieces| cost(others + 1, detail + pieces.detail_len());
        let fits = |purse: &Purse, pieces: &HeldPieces| purse.has_room(back, cost_with(pieces));
        let finer = pieces.map(|pieces| if fits(&self.purse, &pieces) { pieces } else { pieces.coarser() });
        self.crowded |= finer.as_ref().is_some_and(|pieces| !was && !fits(&self.purse, pieces));
        let kept = finer.filter(|pieces| was || fits(&self.purse, pieces));
        self.detail = detail + kept.as_ref().map_or(0, HeldPieces::detail_len);
        match kept {
            Some(pieces) => {
                let SwarmInfo { share, group, layout } = info;
                self.by_share.insert(share, Entry { group, layout, pieces });
            }
            None => drop(self.by_share.remove(&info.share)),
        }
        self.purse.change(back, self.cost());
    }

    /// What the entries take up.
    fn cost(&self) -> usize {
        cost(self.by_share.len(), self.detail)
    }

    /// Takes an entry over if the client holds less of that share.
    fn absorb(&mut self, share: ShareRef, entry: Entry) {
        let known = self.by_share.get(&share);
        if known.is_none_or(|known| known.pieces.role() < entry.pieces.role()) {
            let before = known.map_or((false, 0), |known| (true, known.pieces.detail_len()));
            self.put(entry.role_in(share).0, before, Some(entry.pieces));
        }
    }

    pub(super) fn remove(&mut self, share: ShareRef) -> bool {
        let back = self.cost();
        let Some(entry) = self.by_share.remove(&share) else {
            return false;
        };
        self.detail -= entry.pieces.detail_len();
        self.purse.change(back, self.cost());
        true
    }

    /// The shares for which `which` is true.
    pub(super) fn shares_where(&self, which: impl Fn(ShareRef, GroupRef) -> bool) -> Vec<ShareRef> {
        let fitting = self.by_share.iter().filter(|(share, entry)| which(**share, entry.group));
        fitting.map(|(&share, _)| share).collect()
    }

    pub(super) fn remove_where(&mut self, which: impl Fn(ShareRef, GroupRef) -> bool) {
        for share in self.shares_where(which) {
            self.remove(share);
        }
    }

    /// A copy, as far as the memory suffices.
    pub(super) fn copy(&self) -> Self {
        let mut copy = Self::new(self.purse.another());
        copy.crowded = self.crowded;
        self.by_share.iter().for_each(|(&share, entry)| copy.absorb(share, entry.clone()));
        copy
    }

    /// Forgets which pieces the client holds, and keeps their number. Returns the shares that lost details.
    pub(super) fn coarsen(&mut self) -> Vec<ShareRef> {
        let mut changed = Vec::new();
        for (&share, entry) in &mut self.by_share {
            if let HeldPieces::Some(set) = &entry.pieces {
                entry.pieces = HeldPieces::Count(set.held());
                changed.push(share);
            }
        }
        self.purse.change(std::mem::take(&mut self.detail), 0);
        changed
    }

    /// Forgets everything except that there was something.
    pub(super) fn crowd_out(&mut self) {
        self.crowded = true;
        self.remove_where(|_, _| true);
    }

    /// Replaces the ids of shares and groups with their canonical ids. Returns each changed share, with its id before
    /// and after.
    pub(super) fn rekey(&mut self, canonical: impl Fn(OpId) -> OpId) -> Vec<(ShareRef, ShareRef)> {
        self.by_share.values_mut().for_each(|entry| entry.group = GroupRef(canonical(entry.group.0)));
        let moved: Vec<_> = self.shares_where(|share, _| canonical(share.0) != share.0);
        let moves = moved.into_iter().filter_map(|old| {
            let (entry, new) = (self.by_share.get(&old)?.clone(), ShareRef(canonical(old.0)));
            self.remove(old);
            self.absorb(new, entry);
            Some((old, new))
        });
        moves.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Holdings {
        /// Asserts every invariant. Returns what the purse has paid.
        pub(in crate::tracker::presence) fn check(&self) -> usize {
            let details = self.by_share.values().map(|entry| entry.pieces.detail_len());
            assert_eq!(self.detail, details.sum::<usize>());
            assert_eq!(self.purse.len(), self.cost());
            self.purse.len()
        }
    }
}
