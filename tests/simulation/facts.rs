//! What must be so because some op said so and no later one said otherwise. Kept beside the state and without it.

use super::told::Made;
use groupshare::model::id::{GroupRef, OpId, OpOrder, ShareRef, UserRef};
use groupshare::model::name::UserId;
use groupshare::model::notice::Notice;
use groupshare::tracker::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// The facts, each set by the last op that had a say.
#[derive(Default)]
pub(crate) struct Facts {
    pub names: BTreeMap<UserRef, UserId>,
    pub passwords: BTreeMap<UserRef, OpId>,
    pub members: BTreeMap<(GroupRef, UserRef), bool>,
    pub waiting: BTreeMap<(GroupRef, UserRef), bool>,
    pub sharers: BTreeMap<(ShareRef, UserRef), bool>,
    /// Notices that nobody has read.
    pub notices: BTreeSet<(UserRef, OpOrder, Text)>,
}

/// A notice in words: notices have no order.
pub(crate) type Text = String;

/// A notice in words.
pub(crate) fn text(notice: &Notice) -> Text {
    format!("{notice:?}")
}

impl Facts {
    /// A user departs, or has nothing to depart from.
    pub(crate) fn stranger(&mut self, state: &State, group: GroupRef, user: UserRef) {
        self.members.insert((group, user), false);
        self.waiting.insert((group, user), false);
        let here = |share: &ShareRef| state.share(*share).is_some_and(|info| info.group == group);
        let ended = self.sharers.iter_mut().filter(|((share, of), _)| *of == user && here(share));
        ended.for_each(|(_, shares)| *shares = false);
    }

    /// A share turned out to be the same as another; nobody shared it any more.
    pub(crate) fn merge(&mut self, share: ShareRef) {
        self.sharers.retain(|(of, _), shares| {
            assert!(*of != share || !*shares, "what is merged has sharers");
            *of != share
        });
    }

    /// Asserts that the state says the same.
    pub(crate) fn check(&self, state: &State, made: &Made) {
        let is = |facts: &BTreeMap<(GroupRef, UserRef), bool>| -> BTreeSet<_> {
            facts.iter().filter(|(_, is)| **is).map(|(of, _)| *of).collect()
        };
        assert_eq!(is(&self.members), made.members(state), "members by the ops, and by the state");
        let waiting = made.groups.iter().flat_map(|&group| state.waiting(group).map(move |user| (group, user)));
        assert_eq!(is(&self.waiting), waiting.collect(), "who waits by the ops, and by the state");
        let sharers: BTreeSet<_> = self.sharers.iter().filter(|(_, is)| **is).map(|(of, _)| *of).collect();
        assert_eq!(sharers, made.sharers(state), "sharers by the ops, and by the state");
        let accounts = made.users.iter().filter_map(|&user| state.account(user));
        let (names, passwords) = accounts.map(|a| ((a.user, a.name), (a.user, a.password_set_by))).unzip();
        assert_eq!(self.names, names, "names of accounts");
        assert_eq!(self.passwords, passwords, "passwords");
        let of = |&user: &UserRef| {
            state.notices(user, usize::MAX).into_iter().map(move |(at, notice)| (user, at, text(&notice)))
        };
        assert_eq!(self.notices, made.users.iter().flat_map(of).collect(), "unread notices");
    }
}
