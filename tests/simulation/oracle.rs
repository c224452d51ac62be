//! What has to have become of every op: the table of docs/FOLD.md, line by line. All ops are folded in their order; each
//! has the effect that the table gives it in the state before it, or its author the notice, and at the end everything is
//! as the last op that had a say wanted it.

use super::facts::{Facts, Text, text};
use super::told::Made;
use groupshare::model::id::{GroupRef, OpOrder, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId};
use groupshare::model::notice::Notice;
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::state::effect::Told;
use groupshare::tracker::state::{Membership, ShareInfo, State};
use std::collections::BTreeSet;

/// What was shown to users, by whom: under which origin.
pub(crate) type Shown = BTreeSet<(Origin, UserRef, OpOrder, Text)>;

/// How often things happened that are worth testing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcomes {
    pub effective: usize,
    pub repeated: usize,
    pub as_wanted: usize,
    pub overridden: usize,
    pub renamed: usize,
    pub merged: usize,
    pub read: usize,
    pub unread: usize,
}

/// The judge.
pub(crate) struct Oracle<'a> {
    before: State,
    pub state: State,
    made: Made,
    facts: Facts,
    shown: &'a Shown,
    pub outcomes: Outcomes,
    /// What the op that is judged has to tell.
    expected: Vec<(UserRef, Notice)>,
}

impl<'a> Oracle<'a> {
    /// Judges all ops, in their order.
    pub(crate) fn judge(ops: &[&Op], shown: &'a Shown) -> Self {
        let (before, state, made, facts) = Default::default();
        let mut oracle =
            Self { before, state, made, facts, shown, outcomes: Outcomes::default(), expected: Vec::new() };
        for op in ops {
            oracle.fold(op);
        }
        oracle.made = oracle.made.canonical(&oracle.state);
        oracle.facts.check(&oracle.state, &oracle.made);
        assert_eq!(oracle.state.op_count(), ops.len() as u64);
        oracle
    }

    fn fold(&mut self, op: &Op) {
        self.before = self.state.clone();
        self.state.apply(op);
        assert_eq!(self.state.op_count(), self.before.op_count() + 1, "{op:?} was folded");
        self.made.note(op);
        if let Some(first) = self.before.command(op.command) {
            self.outcomes.repeated += 1;
            assert_eq!(self.state.command(op.command), Some(first));
            let made = self.before.share(ShareRef(first)).is_some();
            if matches!(op.body, OpBody::CreateShare { .. }) && !made {
                // The first one joined a share: whoever joined this one finds it all the same.
                self.share_after(op);
            } else {
                assert_eq!(
                    self.state.canonical(op.id),
                    self.state.canonical(first),
                    "{op:?} means what {first:?} does"
                );
            }
            assert!(self.state.caused().is_empty(), "{op:?} was carried out twice");
            return;
        }
        assert_eq!(self.state.command(op.command), Some(op.id));
        self.expected.clear();
        self.body(op);
        let told = self.state.caused().iter().filter_map(|effect| match &effect.what {
            Told::Noticed { order, notice } => {
                assert_eq!(*order, op.order());
                Some((effect.to, text(notice)))
            }
            _ => None,
        });
        let mut told: Vec<_> = told.collect();
        let mut expected: Vec<_> = self.expected.iter().map(|(to, notice)| (*to, text(notice))).collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected, "notices of {op:?}");
        self.facts.notices.extend(expected.into_iter().map(|(to, text)| (to, op.order(), text)));
    }

    fn body(&mut self, op: &Op) {
        match &op.body {
            OpBody::CreateUser { name, password } => {
                let user = UserRef(op.id);
                let mut own = name.clone();
                if self.before.user_named(name).is_some() {
                    own = free(|n| name.with_suffix(n), |name| self.before.user_named(name).is_none());
                    self.renamed(user, Notice::UserRenamed { from: name.clone(), to: own.clone() });
                }
                let account = self.state.account(user).expect("it was made");
                assert!(account.user == user && account.password == *password, "{op:?}");
                self.facts.names.insert(user, own);
                self.facts.passwords.insert(user, op.id);
                self.outcomes.effective += 1;
            }
            OpBody::ChangePassword { user, password } => {
                let user = self.user(op, *user);
                assert_eq!(self.state.account(user).expect("it exists").password, *password);
                self.facts.passwords.insert(user, op.id);
                self.outcomes.effective += 1;
            }
            OpBody::CreateGroup { name, founder } => {
                let (group, founder) = (GroupRef(op.id), self.user(op, *founder));
                self.appears(group, name, founder);
                self.joins(group, founder);
            }
            OpBody::RequestJoin { group, user } => self.request(self.group(op, *group), self.user(op, *user)),
            OpBody::AcceptRequest { group, user, by } => {
                self.accepted(self.group(op, *group), self.user(op, *user), self.user(op, *by));
            }
            OpBody::RejectRequest { group, user, by } => {
                self.rejected(self.group(op, *group), self.user(op, *user), self.user(op, *by));
            }
            OpBody::LeaveGroup { group, user } => self.left(self.group(op, *group), self.user(op, *user)),
            OpBody::RemoveMember { group, user, by } => {
                self.removed(self.group(op, *group), self.user(op, *user), self.user(op, *by));
            }
            OpBody::CreateShare { group, user, name, content, replaces } => {
                let replaces = replaces.map(|old| self.share(op, old));
                self.shared(op, (self.group(op, *group), self.user(op, *user)), (name, content), replaces);
            }
            OpBody::JoinShare { share, user } => self.joined_share(self.share(op, *share), self.user(op, *user)),
            OpBody::LeaveShare { share, user } => {
                let (share, user) = (self.share(op, *share), self.user(op, *user));
                self.count(self.before.is_sharer(share, user));
                self.facts.sharers.insert((share, user), false);
            }
            OpBody::ReadNotices { user, through, shown } => {
                self.read(op, self.user(op, *user), *through, *shown);
            }
        }
    }

    fn request(&mut self, group: GroupRef, user: UserRef) {
        if self.before.is_member(group, user) {
            return self.overridden(user, Notice::RequestOverridden { group: self.name(group) });
        }
        let news = self.before.membership(group, user) == Membership::Stranger;
        match self.before.owner(group) {
            _ if !news => {}
            None => self.expected.push((user, Notice::Rejected { group: self.name(group) })),
            Some(owner) => {
                let told = self
                    .state
                    .caused()
                    .iter()
                    .any(|effect| effect.to == owner && effect.what == Told::Requested { group, user });
                assert!(told, "the owner hears of a request");
            }
        }
        self.count(news);
        self.facts.waiting.insert((group, user), true);
    }

    fn accepted(&mut self, group: GroupRef, user: UserRef, by: UserRef) {
        match self.before.membership(group, user) {
            Membership::Member | Membership::Owner => {
                self.count(false);
                assert_eq!(self.facts.members.get(&(group, user)), Some(&true));
            }
            Membership::Stranger => self.decision_overridden(group, user, by),
            Membership::Waiting => {
                if self.before.owner(group).is_none() {
                    self.appears(group, &self.before.group_name(group).expect("it exists"), user);
                }
                self.joins(group, user);
                self.expected.push((user, Notice::Accepted { group: self.name(group) }));
            }
        }
    }

    fn rejected(&mut self, group: GroupRef, user: UserRef, by: UserRef) {
        match self.before.membership(group, user) {
            Membership::Member | Membership::Owner => return self.decision_overridden(group, user, by),
            Membership::Stranger => self.count(false),
            Membership::Waiting => {
                self.count(true);
                self.expected.push((user, Notice::Rejected { group: self.name(group) }));
            }
        }
        self.facts.waiting.insert((group, user), false);
    }

    fn left(&mut self, group: GroupRef, user: UserRef) {
        self.count(self.before.membership(group, user) != Membership::Stranger);
        if self.before.is_member(group, user) {
            self.departs(group, user);
        }
        self.facts.stranger(&self.before, group, user);
    }

    fn removed(&mut self, group: GroupRef, user: UserRef, by: UserRef) {
        match self.before.membership(group, user) {
            Membership::Owner => self.decision_overridden(group, user, by),
            Membership::Stranger | Membership::Waiting => self.count(false),
            Membership::Member => {
                self.count(true);
                self.departs(group, user);
                self.facts.stranger(&self.before, group, user);
                self.expected.push((user, Notice::Removed { group: self.name(group) }));
            }
        }
    }

    fn departs(&mut self, group: GroupRef, user: UserRef) {
        assert_ne!(self.state.chain(group), self.before.chain(group), "a departure changes the key");
        if self.before.member_count(group) == 1 {
            let waiting: Vec<UserRef> = self.before.waiting(group).collect();
            let notice = Notice::Rejected { group: self.name(group) };
            self.expected.extend(waiting.into_iter().map(|user| (user, notice.clone())));
            return;
        }
        let successor = self.before.members(group).filter(|other| *other != user).collect::<Vec<_>>();
        assert!(successor.contains(&self.state.owner(group).expect("somebody is left")));
        if self.before.owner(group) != Some(user) {
            assert_eq!(self.state.owner(group), self.before.owner(group));
        }
    }

    /// A user becomes a member.
    fn joins(&mut self, group: GroupRef, user: UserRef) {
        self.count(true);
        let owner = self.before.owner(group).unwrap_or(user);
        assert_eq!(self.state.owner(group), Some(owner), "who joined first is the owner");
        self.facts.members.insert((group, user), true);
        self.facts.waiting.insert((group, user), false);
    }

    /// A group gets its first member, and a name.
    fn appears(&mut self, group: GroupRef, name: &GroupId, owner: UserRef) {
        let mut own = name.clone();
        if self.before.group_named(name).is_some() {
            own = free(|n| name.with_suffix(n), |name| self.before.group_named(name).is_none());
            self.renamed(owner, Notice::GroupRenamed { from: name.clone(), to: own.clone() });
        }
        assert_eq!(self.state.group_named(&own), Some(group));
    }

    fn shared(
        &mut self,
        op: &Op,
        (group, user): (GroupRef, UserRef),
        (name, content): (&FileName, &Content),
        replaces: Option<ShareRef>,
    ) {
        let own = ShareRef(op.id);
        if !self.before.is_member(group, user) {
            assert_eq!(self.state.share(own).map(|info| (info.share, info.sharer_count)), Some((own, 0)));
            return self.overridden(user, Notice::ShareOverridden { group: self.name(group), name: name.clone() });
        }
        self.count(true);
        let mut holder = self.before.share_named(group, name);
        // The id may stand for a share of another group of that name, where the command had come before.
        let replaces = replaces.filter(|&old| self.before.share(old).is_some_and(|info| info.group == group));
        if let Some(old) = replaces.filter(|&old| self.before.is_sharer(old, user)) {
            self.facts.sharers.insert((old, user), false);
            holder = holder.filter(|holder| holder.share != old || holder.sharer_count > 1);
        }
        match holder {
            Some(twin) if twin.content == *content => {
                self.outcomes.merged += 1;
                assert_eq!(self.state.canonical(op.id), twin.share.0);
                self.facts.sharers.insert((twin.share, user), true);
            }
            holder => {
                self.bears((own, name), holder.is_some(), (group, user), replaces);
                let info = self.state.share(own).expect("it was made");
                assert!(info.share == own && info.content == *content, "{op:?}");
                self.facts.sharers.insert((own, user), true);
            }
        }
    }

    fn joined_share(&mut self, share: ShareRef, user: UserRef) {
        let info = self.before.share(share).expect("it exists");
        let (group, name) = (info.group, &info.name);
        if !self.before.is_member(group, user) {
            return self.overridden(user, Notice::ShareOverridden { group: self.name(group), name: name.clone() });
        }
        self.count(!self.before.is_sharer(share, user));
        let holder = self.before.share_named(group, name).filter(|_| info.sharer_count == 0);
        match holder {
            Some(twin) if twin.content == info.content => {
                self.outcomes.merged += 1;
                assert_eq!(self.state.canonical(share.0), twin.share.0);
                self.facts.merge(share);
                self.facts.sharers.insert((twin.share, user), true);
            }
            holder => {
                if info.sharer_count == 0 {
                    self.bears((share, name), holder.is_some(), (group, user), None);
                }
                self.facts.sharers.insert((share, user), true);
            }
        }
    }

    /// A share gets its first sharer, and a name: the one wanted, unless that is taken. One that is `replaced` by its only
    /// sharer has given its own back.
    fn bears(
        &mut self,
        (share, name): (ShareRef, &FileName),
        taken: bool,
        (group, user): (GroupRef, UserRef),
        replaced: Option<ShareRef>,
    ) {
        let mut own = name.clone();
        if taken {
            let given_back = |holder: ShareInfo| {
                let sole = holder.sharer_count == 1 && self.before.is_sharer(holder.share, user);
                sole && replaced == Some(holder.share)
            };
            let is_free = |name: &FileName| self.before.share_named(group, name).is_none_or(given_back);
            own = free(|n| name.with_suffix(n), is_free);
            let (group, from, to) = (self.name(group), name.clone(), own.clone());
            self.renamed(user, Notice::ShareRenamed { group, from, to });
        }
        assert_eq!(self.state.share_named(group, &own).map(|info| info.share), Some(share));
    }

    fn read(&mut self, op: &Op, user: UserRef, through: OpOrder, shown: [u8; 32]) {
        if self.before.notices_digest(user, through) != Some(shown) {
            // All of them stay: the facts say so.
            self.outcomes.unread += 1;
            return;
        }
        self.outcomes.read += 1;
        let (read, unread): (BTreeSet<_>, _) =
            std::mem::take(&mut self.facts.notices).into_iter().partition(|(of, at, _)| *of == user && *at <= through);
        self.facts.notices = unread;
        for (_, at, text) in read {
            let known = self.shown.iter().any(|(origin, to, when, what)| {
                (*origin, *when, what) == (op.id.origin, at, &text) && self.state.canonical(to.0) == user.0
            });
            assert!(known, "{user:?} was never shown {text}, which {op:?} takes as read");
        }
    }

    fn user(&self, op: &Op, user: UserRef) -> UserRef {
        self.before.account(user).unwrap_or_else(|| panic!("{op:?} names nobody")).user
    }

    fn group(&self, op: &Op, group: GroupRef) -> GroupRef {
        assert!(self.before.group_name(group).is_some(), "{op:?} names no group");
        GroupRef(self.before.canonical(group.0))
    }

    fn share(&self, op: &Op, share: ShareRef) -> ShareRef {
        self.before.share(share).unwrap_or_else(|| panic!("{op:?} names no share")).share
    }

    /// What a repeated command's share has become: one that nobody shares because of it.
    fn share_after(&self, op: &Op) {
        let info = self.state.share(ShareRef(op.id)).expect("it stands for a share");
        let before = self.before.share(info.share).map_or(0, |info| info.sharer_count);
        assert_eq!(info.sharer_count, before, "{op:?}");
    }

    fn name(&self, group: GroupRef) -> GroupId {
        self.state.group_name(group).expect("it exists")
    }

    fn count(&mut self, effective: bool) {
        *if effective { &mut self.outcomes.effective } else { &mut self.outcomes.as_wanted } += 1;
    }

    fn renamed(&mut self, to: UserRef, notice: Notice) {
        self.outcomes.renamed += 1;
        self.expected.push((to, notice));
    }

    fn overridden(&mut self, to: UserRef, notice: Notice) {
        self.outcomes.overridden += 1;
        self.expected.push((to, notice));
    }

    fn decision_overridden(&mut self, group: GroupRef, user: UserRef, by: UserRef) {
        let user = self.state.account(user).expect("it exists").name;
        self.overridden(by, Notice::DecisionOverridden { group: self.name(group), user });
    }
}

/// The first free one of `name~2`, `name~3` and so on.
fn free<N>(name: impl Fn(u32) -> N, is_free: impl Fn(&N) -> bool) -> N {
    (2..).map(name).find(|name| is_free(name)).expect("there is always one")
}
