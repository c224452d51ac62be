//! Former ids of users, shares and groups, which are aliases now.

use crate::model::id::{GroupRef, OpId, ShareRef, UserRef};
use std::collections::BTreeSet;

/// Ids that became aliases. Users choose how many there are.
#[derive(Debug)]
pub(super) struct Renamed {
    pub(super) shares: BTreeSet<ShareRef>,
    /// The groups with shares.
    pub(super) groups: BTreeSet<GroupRef>,
    /// All other ids, which may be users.
    pub(super) users: BTreeSet<UserRef>,
}

impl Renamed {
    pub(super) fn of(ids: &[OpId], is_share: impl Fn(OpId) -> bool, has_shares: impl Fn(OpId) -> bool) -> Self {
        let (shares, others): (Vec<_>, Vec<_>) = ids.iter().copied().partition(|id| is_share(*id));
        let (groups, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|id| has_shares(*id));
        Self {
            shares: shares.into_iter().map(ShareRef).collect(),
            groups: groups.into_iter().map(GroupRef).collect(),
            users: others.into_iter().map(UserRef).collect(),
        }
    }

    /// Whether finding a client that uses one of these ids takes a look at all clients.
    pub(super) fn needs_all(&self) -> bool {
        !self.shares.is_empty() || !self.groups.is_empty()
    }
}
