//! The judge folds all ops in their order, once as the trackers do and once with the model, with the same floors
//! between them. Each op must cause the same messages to the same users. At each floor and at the end both must have
//! the same state.

use super::disk::{Base, bytes};
use super::model::{Model, Shown};
use groupshare::model::id::{GroupRef, OpId, SessionId, ShareRef, UserRef};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::state::effect::Told;
use groupshare::tracker::state::{Account, AccountStanding, Fate, ShareInfo, State};
use std::collections::BTreeSet;

/// The judge.
pub(crate) struct Oracle<'a> {
    /// The trackers' fold of all ops.
    pub state: State,
    pub model: Model<'a>,
    /// All ops that were folded.
    pub folded: Vec<Op>,
}

impl<'a> Oracle<'a> {
    /// An oracle before the first op.
    pub(crate) fn new(shown: &'a Shown) -> Self {
        Self { state: State::new(), model: Model::new(shown), folded: Vec::new() }
    }

    /// Judges a floor. Its ops come after all others.
    pub(crate) fn judge_floor(&mut self, base: &Base) {
        base.ops.iter().for_each(|op| self.fold(op));
        self.state.prune(base.mark.lamport);
        self.model.floor();
        assert!(bytes(&self.state) == bytes(&base.state), "the base of {} is another", base.mark.lamport);
        assert_eq!(self.state.digest(), base.mark.base);
        self.check();
    }

    /// Judges ops, in their order.
    pub(crate) fn judge(&mut self, ops: &[&Op]) {
        ops.iter().for_each(|op| self.fold(op));
        self.check();
        for op in &self.folded {
            let canonical = self.model.canonical(op.id);
            assert_eq!(self.state.canonical(op.id), canonical, "the canonical id of {op:?}");
            let fate = if self.model.knows(canonical) { Fate::Known } else { Fate::Forgotten };
            assert_eq!(self.state.fate(op.id), fate, "{op:?}");
        }
    }

    /// Compares the two folds.
    fn check(&self) {
        assert_eq!(self.state.op_count(), self.folded.len() as u64, "every op was folded");
        assert!(self.state.forgotten().eq(self.model.forgotten.iter().copied()), "forgotten trackers");
        self.check_users();
        self.check_groups();
        self.check_shares();
    }

    fn fold(&mut self, op: &Op) {
        let silenced =
            |model: &Model<'_>| model.outcomes.overridden + model.outcomes.ground_gone + model.outcomes.ground_deleted;
        let before = silenced(&self.model);
        self.folded.push(op.clone());
        self.state.apply(op);
        if !self.model.apply(op) {
            assert!(self.state.caused().is_empty(), "{op:?} was carried out twice");
        }
        let (mut told, mut asked) = (Vec::new(), Vec::new());
        for effect in self.state.caused() {
            match &effect.what {
                Told::Noticed { order, notice } => {
                    assert_eq!(*order, op.order());
                    told.push((effect.to.0, notice.clone()));
                }
                Told::Requested { group, user } => asked.push((effect.to.0, group.0, user.0)),
                _ => {}
            }
        }
        assert_eq!(asked, self.model.asked, "the owners hear of a request: {op:?}");
        // The order among different users does not matter. The end checks the order of two messages to one user.
        let all = |told: &[_]| told.iter().map(|(to, notice)| (*to, format!("{notice:?}"))).collect::<BTreeSet<_>>();
        assert_eq!(all(&told), all(&self.model.told), "notices of {op:?}");
        if let OpBody::LeaveGroup { group, .. } | OpBody::RemoveMember { group, .. } = op.body
            && self.model.groups.contains_key(&self.model.canonical(group.0))
        {
            self.check_owner(&op.body, group);
        }
        if silenced(&self.model) > before {
            let author = op.body.author().expect("nothing comes before an account").0;
            let author = self.model.canonical(author);
            assert!(told.iter().any(|(to, _)| *to == author), "{op:?} has no effect, and its author is not told");
        }
    }

    fn check_owner(&self, body: &OpBody, group: GroupRef) {
        let row = &self.model.groups[&self.model.canonical(group.0)];
        assert_eq!(self.state.owner(group).map(|user| user.0), row.owners.first().copied(), "the owner after {body:?}");
    }

    fn check_users(&self) {
        assert_eq!(self.state.user_count(), self.model.users.len());
        for (&id, row) in &self.model.users {
            let user = UserRef(id);
            let deleted = row.standing == AccountStanding::Deleted;
            assert_eq!(self.state.user_named(&row.name), (!deleted).then_some(user));
            assert!(self.state.is_user_name_taken(&row.name));
            let (name, password, standing) = (row.name.clone(), row.password.clone(), row.standing);
            let (password_op, sessions_since) = (row.password_op, row.sessions_since);
            let account = Account { user, name, password, password_op, sessions_since, standing };
            assert_eq!(self.state.account(user), Some(account));
            for &(session, _) in &row.ended {
                assert!(self.state.has_ended(user, session), "{user:?} has logged out of {session:?}");
            }
            for made_s in [row.void_through_s, row.void_through_s + 1] {
                let is_void = self.state.is_token_void(user, SessionId([0xee; 16]), made_s);
                assert_eq!(is_void, made_s <= row.void_through_s, "a token of {user:?} made at {made_s}");
            }
            let waits =
                self.model.groups.iter().filter(|(_, row)| !row.members.is_empty() && row.waiting.contains(&id));
            let waits: BTreeSet<OpId> = waits.map(|(&group, _)| group).collect();
            let requests: BTreeSet<OpId> = self.state.requests_of(user).into_iter().map(|(group, _)| group.0).collect();
            assert_eq!(requests, waits, "where {user:?} waits");
            let is_somewhere = self.state.shares_of(user).next().is_some()
                || self.model.groups.values().any(|row| row.members.contains(&id) || row.waiting.contains(&id));
            assert_eq!(self.state.forbids_adding(user), row.forbids_adding);
            assert!(!(deleted && is_somewhere), "{user:?} is deleted, and in a group");
            assert_eq!(self.state.notices(user, usize::MAX), row.unread, "unread notices of {user:?}");
        }
    }

    fn check_groups(&self) {
        let visible = self.model.groups.values().filter(|row| !row.members.is_empty());
        assert_eq!(self.state.group_count(), visible.count());
        for (&id, row) in &self.model.groups {
            let group = GroupRef(id);
            let members: BTreeSet<OpId> = self.state.members(group).map(|user| user.0).collect();
            assert_eq!(members, row.members.iter().copied().collect(), "members of {group:?}");
            let waiting: BTreeSet<OpId> = self.state.waiting(group).map(|user| user.0).collect();
            assert_eq!(waiting, row.waiting, "the requests to {group:?}");
            assert_eq!(self.state.owner(group).map(|user| user.0), row.owners.first().copied());
            let owners: Vec<OpId> = self.state.owners(group).map(|user| user.0).collect();
            assert_eq!(owners, row.owners, "owners of {group:?}");
            assert_eq!(self.state.founder(group).map(|user| user.0), row.founder, "the founder of {group:?}");
            assert_eq!(self.state.access(group), Some(row.access), "the access to {group:?}");
            assert_eq!(self.state.chain(group), Some(row.chain), "the key of {group:?}");
            assert_eq!(self.state.group_name(group).as_ref(), Some(&row.name));
            assert!(row.members.is_empty() || self.state.group_named(&row.name) == Some(group));
        }
    }

    fn check_shares(&self) {
        let visible = self.model.shares.values().filter(|row| !row.sharers.is_empty());
        assert_eq!(self.state.share_count(), visible.count());
        for (&id, row) in &self.model.shares {
            let share = ShareRef(id);
            let sharers: BTreeSet<OpId> = self.state.sharers(share).map(|user| user.0).collect();
            assert_eq!(sharers, row.sharers, "sharers of {share:?}");
            let (group, name, content) = (GroupRef(row.group), row.name.clone(), row.content);
            let sharer_count = u32::try_from(row.sharers.len()).expect("few");
            let author = self.model.users[&row.author].name.clone();
            let info = ShareInfo { share, group, name, content, author, sharer_count };
            let named = self.state.share_named(group, &row.name);
            assert!(row.sharers.is_empty() || named.as_ref() == Some(&info), "{info:?}");
            assert_eq!(self.state.share(share), Some(info));
        }
    }
}
