//! How much memory presence takes, for each user and in all.

use crate::model::id::UserRef;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Bytes that a client in any swarm takes at least: the first nodes of its maps.
const HOLDINGS_LEN: usize = 1536;
/// Further bytes for each swarm that a client is in, whatever it holds: its entry, the swarm's entry, and those in the
/// indexes. Maps are half empty. An untold change takes 50 more for a moment.
const ENTRY_LEN: usize = 448;
/// Bytes that a set of pieces takes beyond its runs or bits, including the remains of a set that is gone.
pub(super) const SET_LEN: usize = 256;
/// The most bytes for the holdings of one user: enough for one client with as many shares as a user may have.
pub(super) const USER_LEN_MAX: usize = 5 * 1024 * 1024;
/// The most bytes for all holdings: enough for 500 clients with 100 shares each.
const ALL_LEN_MAX: usize = 24 * 1024 * 1024;

/// The bytes of a client with this many swarms and this many bytes of details.
pub(super) fn cost(entries: usize, detail: usize) -> usize {
    if entries == 0 { 0 } else { HOLDINGS_LEN + ENTRY_LEN * entries + detail }
}

/// What is spent, and how much may be.
#[derive(Debug)]
pub(super) struct Budget {
    user_max: usize,
    all_max: usize,
    spent: Mutex<Spent>,
}

/// Invariant: `most` has each user of `users` with what that user spends, and `all` is the sum.
#[derive(Debug, Default)]
struct Spent {
    all: usize,
    users: HashMap<UserRef, usize>,
    most: BTreeSet<(usize, UserRef)>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(USER_LEN_MAX, ALL_LEN_MAX)
    }
}

impl Budget {
    /// A budget of this size for a user, and for all.
    pub(super) fn of(user_max: usize, all_max: usize) -> Self {
        Self { user_max, all_max, spent: Mutex::default() }
    }

    /// The user who spends most, if all users together spend too much.
    pub(super) fn overspender(&self) -> Option<UserRef> {
        let spent = self.spent.lock();
        spent.most.last().filter(|_| spent.all > self.all_max).map(|&(_, user)| user)
    }
}

impl Spent {
    fn change(&mut self, user: UserRef, from: usize, to: usize) {
        if from == to {
            return;
        }
        let before = self.users.get(&user).copied().unwrap_or_default();
        let now = before - from + to;
        self.all = self.all - from + to;
        self.most.remove(&(before, user));
        if now == 0 {
            self.users.remove(&user);
        } else {
            self.users.insert(user, now);
            self.most.insert((now, user));
        }
    }
}

/// The part of a budget that one part of a user's holdings takes. Returns it when dropped.
#[derive(Debug)]
pub(super) struct Purse {
    budget: Arc<Budget>,
    user: UserRef,
    len: usize,
}

impl Purse {
    pub(super) fn new(budget: &Arc<Budget>, user: UserRef) -> Self {
        Self { budget: budget.clone(), user, len: 0 }
    }

    /// Another purse of the same user, empty.
    pub(super) fn another(&self) -> Self {
        Self::new(&self.budget, self.user)
    }

    /// Whether the user may spend `more` after returning `back`.
    pub(super) fn has_room(&self, back: usize, more: usize) -> bool {
        let spent = self.budget.spent.lock().users.get(&self.user).copied().unwrap_or_default();
        spent - back + more <= self.budget.user_max
    }

    /// Returns `back` and spends `more`.
    pub(super) fn change(&mut self, back: usize, more: usize) {
        self.budget.spent.lock().change(self.user, back, more);
        self.len = self.len - back + more;
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        self.change(self.len, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};

    impl Budget {
        /// What all users spend.
        pub(in crate::tracker::presence) fn spent(&self) -> usize {
            self.spent.lock().all
        }
    }

    impl Purse {
        pub(in crate::tracker::presence) fn len(&self) -> usize {
            self.len
        }
    }

    fn user(seq: u64) -> UserRef {
        UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq })
    }

    #[test]
    fn the_user_who_spends_most_is_named_when_all_spend_too_much_and_a_dropped_purse_gives_back() {
        let budget = Arc::new(Budget::of(100, 150));
        let [mut ann, mut bob] = [1, 2].map(|seq| Purse::new(&budget, user(seq)));
        let mut more = ann.another();
        ann.change(0, 60);
        assert!(more.has_room(0, 40) && !more.has_room(0, 41) && more.has_room(10, 50));
        more.change(0, 30);
        bob.change(0, 60);
        assert_eq!((budget.spent(), budget.overspender()), (150, None));
        bob.change(0, 1);
        assert_eq!(budget.overspender(), Some(user(1)));
        drop(more);
        assert_eq!((budget.spent(), budget.overspender()), (121, None));
        drop((ann, bob));
        assert_eq!(budget.spent(), 0);
        assert!(budget.spent.lock().users.is_empty() && budget.spent.lock().most.is_empty());
    }
}
