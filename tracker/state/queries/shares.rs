//! What is shared: look-ups, lists, and changes between two states.

use crate::model::digest::InfoHash;
use crate::model::id::{GroupRef, ShareRef, UserRef};
use crate::model::manifest::Content;
use crate::model::name::{FileName, UserId};
use crate::tracker::state::key::ByName;
use crate::tracker::state::tables::{GroupNo, ShareNo, State};
use imbl::OrdSet;
use imbl::ordset::DiffItem;
use std::ops::Bound;

/// A share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareInfo {
    pub share: ShareRef,
    pub group: GroupRef,
    /// Its name. Without sharers, its last name.
    pub name: FileName,
    pub content: Content,
    /// The first user who shared it.
    pub author: UserId,
    pub sharer_count: u32,
}

/// The shares of a user in one state.
#[derive(Debug, Clone, Default)]
pub struct SharedSet(OrdSet<(GroupNo, ShareNo)>);

/// What a user has done between two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedChange {
    Begun(InfoHash),
    Ended(InfoHash),
}

/// Shares.
impl State {
    /// The share of this name in a group.
    pub fn share_named(&self, group: GroupRef, name: &FileName) -> Option<ShareInfo> {
        let share = self.group_row(self.group_no(group)?).files.get(&ByName::new(name))?;
        Some(self.share_info(*share))
    }

    /// A share, even without sharers. Its reference is its own, also if `share` is the id of an equal share that it
    /// replaced.
    pub fn share(&self, share: ShareRef) -> Option<ShareInfo> {
        self.share_no(share).map(|share| self.share_info(share))
    }

    /// The latest version of a share, if that version has sharers. Follows the replacements that the author made.
    pub fn newer(&self, share: ShareRef) -> Option<ShareRef> {
        let next = |share: ShareNo| self.share_no(ShareRef(self.share_row(share).successor?));
        let newest = std::iter::successors(next(self.share_no(share)?), |&share| next(share)).last()?;
        let row = self.share_row(newest);
        (row.sharer_count > 0).then_some(ShareRef(row.id))
    }

    /// The first user who shared this.
    pub fn author(&self, share: ShareRef) -> Option<UserRef> {
        self.share_no(share).map(|share| self.user_ref(self.share_row(share).author))
    }

    /// Whether a user shares this.
    pub fn is_sharer(&self, share: ShareRef, user: UserRef) -> bool {
        match (self.share_no(share), self.user_no(user)) {
            (Some(share), Some(user)) => self.is_sharer_no(share, user),
            _ => false,
        }
    }

    /// The sharers of this, by name. Looks at every member of the group.
    pub fn sharers(&self, share: ShareRef) -> impl Iterator<Item = UserRef> + '_ {
        let of = move |share: ShareNo| {
            let members = self.members_behind(self.share_row(share).group, None).map(|member| member.user);
            members.filter(move |&user| self.is_sharer_no(share, user))
        };
        self.share_no(share).into_iter().flat_map(of).map(|user| self.user_ref(user))
    }

    /// How many files and folders are shared in a group.
    pub fn file_count(&self, group: GroupRef) -> usize {
        self.group_no(group).map_or(0, |group| self.group_row(group).files.len())
    }

    /// The names of the shares in a group, from after the given one on.
    pub fn file_names_behind(&self, group: GroupRef, name: Option<&FileName>) -> impl Iterator<Item = &FileName> + '_ {
        let from = (ByName::behind(name), Bound::Unbounded);
        let group = self.group_no(group).map(|group| self.group_row(group));
        group.into_iter().flat_map(move |row| row.files.range(from.clone())).map(|(key, _)| &key.name)
    }

    /// What is shared in a group, at most `count`.
    pub fn files_after(&self, group: GroupRef, after: Option<&FileName>, count: usize) -> Vec<ShareInfo> {
        let Some(group) = self.group_no(group) else { return Vec::new() };
        let files = self.group_row(group).files.range((ByName::behind(after), Bound::Unbounded));
        files.map(|(_, &share)| self.share_info(share)).take(count).collect()
    }

    /// Everything a user shares, group by group.
    pub fn shares_of(&self, user: UserRef) -> impl Iterator<Item = ShareInfo> + '_ {
        let shares = self.user_no(user).into_iter().flat_map(|user| &self.user_row(user).shares);
        shares.map(|&(_, share)| self.share_info(share))
    }

    /// How many files and folders a user shares.
    pub fn user_share_count(&self, user: UserRef) -> usize {
        self.user_no(user).map_or(0, |user| self.user_row(user).shares.len())
    }

    /// Tells what a user has begun and ceased to share since an earlier state, and returns the set of this one. Visits
    /// only what has changed, because the sets share memory.
    pub fn shared_since(&self, user: UserRef, before: &SharedSet, each: &mut dyn FnMut(SharedChange)) -> SharedSet {
        let after = self.user_no(user).map(|user| self.user_row(user).shares.clone()).unwrap_or_default();
        // The state may have forgotten what the user shared then.
        let hash = |share: &ShareNo| self.shares.get(share.0).map(|row| row.content.info_hash);
        for change in before.0.diff(&after) {
            let change = match change {
                DiffItem::Add((_, share)) => hash(share).map(SharedChange::Begun),
                DiffItem::Remove((_, share)) => hash(share).map(SharedChange::Ended),
            };
            change.into_iter().for_each(&mut *each);
        }
        SharedSet(after)
    }

    /// How many shares there are.
    pub fn share_count(&self) -> usize {
        self.listed
    }

    /// The contents of all shares with sharers.
    pub fn listed_info_hashes(&self) -> impl Iterator<Item = InfoHash> + '_ {
        self.shares.values().filter(|share| share.sharer_count > 0).map(|share| share.content.info_hash)
    }

    /// The contents of all known shares. This includes shares without sharers, because they may become visible again.
    pub fn info_hashes(&self) -> impl Iterator<Item = InfoHash> + '_ {
        self.shares.values().map(|share| share.content.info_hash)
    }

    fn share_info(&self, share: ShareNo) -> ShareInfo {
        let row = self.share_row(share);
        ShareInfo {
            share: ShareRef(row.id),
            group: self.group_ref(row.group),
            name: row.name.clone(),
            content: row.content,
            author: self.user_row(row.author).name.clone(),
            sharer_count: row.sharer_count,
        }
    }
}
