//! What the base state forgets: hidden entities that no op has named for long. docs/FOLD.md says why no user misses
//! them.

use super::tables::{Created, GroupNo, PastOrigin, ShareNo, State};
use crate::model::id::{OpId, Origin};
use crate::model::op::OpBody;
use std::collections::BTreeMap;

/// How many dropped origins of a tracker the state knows: those with the latest ops. Few in tests.
const PAST_MAX: usize = if cfg!(test) { 2 } else { 1024 };

/// How much was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    pub groups: usize,
    pub shares: usize,
    pub aliases: usize,
    pub origins: usize,
}

/// What became of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// What it made is there, visible or hidden.
    Known,
    /// It was folded, and what it made is gone.
    Forgotten,
    /// As far as the state knows, it was not folded.
    Unheard,
}

/// Forgetting.
impl State {
    /// Makes the fold of all ops up to a Lamport counter the base state of the floor there. Drops hidden entities that
    /// no op has named since the floor before.
    pub fn prune(&mut self, lamport: u64) -> Dropped {
        let before = self.floor;
        self.floors.drop_below(lamport);
        self.floor = lamport;
        Dropped {
            shares: self.drop_shares(before),
            groups: self.drop_groups(before),
            aliases: self.drop_aliases(before),
            origins: self.drop_origins(before),
        }
    }

    /// What became of the op of this id.
    pub fn fate(&self, id: OpId) -> Fate {
        if self.created(id).is_some() {
            Fate::Known
        } else if id.seq <= self.seen(id.origin) {
            Fate::Forgotten
        } else {
            Fate::Unheard
        }
    }

    fn drop_shares(&mut self, before: u64) -> usize {
        let all = (0, ShareNo(0))..=(before, ShareNo(u32::MAX));
        let idle: Vec<_> = self.hidden_shares.range(all).copied().collect();
        for entry in &idle {
            let id = self.share_row(entry.1).id;
            self.made.remove(&id);
            self.shares.remove(entry.1.0);
            self.hidden_shares.remove(entry);
        }
        idle.len()
    }

    /// Drops groups with their requests. Their shares are gone already: a share is named no later than its group.
    fn drop_groups(&mut self, before: u64) -> usize {
        let all = (0, GroupNo(0))..=(before, GroupNo(u32::MAX));
        let idle: Vec<_> = self.hidden_groups.range(all).copied().collect();
        for entry in &idle {
            let row = self.group_row(entry.1);
            let (id, waiting) = (row.id, row.requests.clone());
            for &user in waiting.values() {
                self.user_row_mut(user).requests.remove(&entry.1);
            }
            self.made.remove(&id);
            self.groups.remove(entry.1.0);
            self.hidden_groups.remove(entry);
        }
        idle.len()
    }

    fn drop_aliases(&mut self, before: u64) -> usize {
        let old = self.aliases.iter().filter(|(_, alias)| alias.made <= before);
        let old: Vec<_> = old.map(|(&id, alias)| (alias.of, id)).collect();
        for pair in &old {
            self.stand_ins.remove(pair);
            self.aliases.remove(&pair.1);
        }
        old.len()
    }

    /// Drops the origins under which no tracker issues ops any more.
    fn drop_origins(&mut self, before: u64) -> usize {
        let mut latest: BTreeMap<u16, (u64, Origin)> = BTreeMap::new();
        for (&origin, row) in &self.by_origin {
            let latest = latest.entry(origin.tracker).or_insert((row.last, origin));
            *latest = (row.last, origin).max(*latest);
        }
        let gone = |tracker: u16| self.trackers[&tracker].forgotten.is_some_and(|at| at <= before);
        let over = |origin: Origin| latest[&origin.tracker].1 != origin || gone(origin.tracker);
        let old = self.by_origin.iter().filter(|&(&origin, row)| row.last <= before && over(origin));
        let old: Vec<_> = old.map(|(&origin, &row)| (origin, row)).collect();
        for &(origin, row) in &old {
            self.by_origin.remove(&origin);
            self.origins.remove(row.number);
            self.past.insert(origin, PastOrigin { seq: row.seq, last: row.last });
        }
        self.bound_past();
        old.len()
    }

    /// Drops the origins that were silent longest if a tracker has too many dropped ones.
    fn bound_past(&mut self) {
        let mut by_tracker: BTreeMap<u16, Vec<(u64, Origin)>> = BTreeMap::new();
        for (&origin, past) in &self.past {
            by_tracker.entry(origin.tracker).or_default().push((past.last, origin));
        }
        for mut origins in by_tracker.into_values() {
            origins.sort_unstable();
            let many = origins.len().saturating_sub(PAST_MAX);
            for (_, origin) in &origins[..many] {
                self.past.remove(origin);
            }
        }
    }
}

/// What is hidden, and when it was named last.
impl State {
    /// Takes note that an op names a group. A group that an operator has deleted stays away.
    pub(super) fn touch_group(&mut self, group: GroupNo) {
        let row = self.group_row(group);
        if !row.deleted && row.owner.is_none() && row.idle < self.lamport {
            self.hide_group(group);
        }
    }

    /// Takes note that an op names a share, and so the group in which it is.
    pub(super) fn touch_share(&mut self, share: ShareNo) {
        let row = self.share_row(share);
        let (group, hidden, idle) = (row.group, row.sharer_count == 0, row.idle);
        if hidden && !self.group_row(group).deleted {
            if idle < self.lamport {
                self.hide_share(share);
            }
            self.touch_group(group);
        }
    }

    /// Takes note of what an op names that the fold does not carry out. The op's own tracker may have made a hidden
    /// entity visible, and later ops may name it.
    pub(super) fn touch_named(&mut self, body: &OpBody) {
        let (group, share) = match *body {
            OpBody::CreateShare { group, replaces, .. } => (Some(group), replaces),
            OpBody::JoinShare { share, .. } | OpBody::LeaveShare { share, .. } => (None, Some(share)),
            OpBody::RequestJoin { group, .. }
            | OpBody::AcceptRequest { group, .. }
            | OpBody::RejectRequest { group, .. }
            | OpBody::LeaveGroup { group, .. }
            | OpBody::RemoveMember { group, .. }
            | OpBody::MakeOwner { group, .. }
            | OpBody::DropOwner { group, .. }
            | OpBody::AddMember { group, .. }
            | OpBody::SetGroup { group, .. } => (Some(group), None),
            _ => (None, None),
        };
        let named = group.map(|group| group.0).into_iter().chain(share.map(|share| share.0));
        named.for_each(|id| self.touch_made(id));
    }

    /// Takes note that an op leads to the entity that an earlier one made.
    pub(super) fn touch_made(&mut self, id: OpId) {
        match self.created(id) {
            Some(Created::Group(group)) => self.touch_group(group),
            Some(Created::Share(share)) => self.touch_share(share),
            Some(Created::User(_)) | None => {}
        }
    }

    /// Takes note that a group has no members; the current op is the last that named it.
    pub(super) fn hide_group(&mut self, group: GroupNo) {
        let lamport = self.lamport;
        let before = std::mem::replace(&mut self.group_row_mut(group).idle, lamport);
        self.hidden_groups.remove(&(before, group));
        self.hidden_groups.insert((lamport, group));
    }

    /// Takes note that a share has no sharers. The current op is the last that named it.
    pub(super) fn hide_share(&mut self, share: ShareNo) {
        let lamport = self.lamport;
        let before = std::mem::replace(&mut self.share_row_mut(share).idle, lamport);
        self.hidden_shares.remove(&(before, share));
        self.hidden_shares.insert((lamport, share));
    }

    /// Takes note that a group has a member.
    pub(super) fn unhide_group(&mut self, group: GroupNo) {
        let before = std::mem::take(&mut self.group_row_mut(group).idle);
        self.hidden_groups.remove(&(before, group));
    }

    /// Takes note that a share has a sharer.
    pub(super) fn unhide_share(&mut self, share: ShareNo) {
        let before = std::mem::take(&mut self.share_row_mut(share).idle);
        self.hidden_shares.remove(&(before, share));
    }
}

#[cfg(test)]
mod tests;
