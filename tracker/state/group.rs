//! Groups in the fold: their members, the users who ask to join, and the chain of departures.

mod owners;

use super::effect::Told;
use super::key::ByName;
use super::tables::{Created, GroupNo, GroupRow, MemberRow, State, UserNo, claim, first_free};
use crate::model::id::{GroupRef, OpId, UserRef};
use crate::model::name::{GroupId, UserId};
use crate::model::notice::Notice;
use crate::model::op::Op;
use crate::model::op::group_access::GroupAccess;
use imbl::OrdMap;
use ring::digest::{Context, SHA256};
use std::ops::Bound;

impl State {
    pub(super) fn create_group(&mut self, op: &Op, name: &GroupId, founder: UserRef) {
        let Some(founder) = self.user_no(founder) else { return };
        let Some(group) = self.groups.next().map(GroupNo) else { return };
        self.groups.push(GroupRow {
            id: op.id,
            name: name.clone(),
            owner: None,
            founder: None,
            access: GroupAccess::default(),
            idle: 0,
            joined: 0,
            led: 0,
            chain: [0; 32],
            member_count: 0,
            requests: OrdMap::new(),
            files: OrdMap::new(),
            deleted: false,
        });
        self.note(op, Created::Group(group));
        if self.is_deleted(founder) {
            // A tracker that did not know of the founder's end may have let users in: they find the group.
            self.hide_group(group);
        } else {
            self.join(op, group, founder);
            self.group_row_mut(group).founder = Some(founder);
        }
    }

    /// The group that an op names. `None` if an operator has deleted it.
    pub(super) fn named_group(&mut self, group: GroupRef) -> Option<GroupNo> {
        let group = self.group_no(group).filter(|&group| !self.group_row(group).deleted)?;
        self.touch_group(group);
        Some(group)
    }

    pub(super) fn request_join(&mut self, op: &Op, group: GroupRef, user: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if self.is_member_no(group, user) {
            self.added.remove(&(user, group));
            let group = self.group_row(group).name.clone();
            self.tell(user, op.order(), Notice::RequestOverridden { group });
            return;
        }
        if self.is_deleted(user) {
            return;
        }
        let GroupRow { owner, access, .. } = *self.group_row(group);
        match access {
            GroupAccess::Open if owner.is_some() => {
                self.withdraw_request(group, user);
                return self.let_in(op, group, user);
            }
            GroupAccess::Closed => return self.turn_down(op, group, user),
            GroupAccess::Open | GroupAccess::Ask => {}
        }
        if self.user_row_mut(user).requests.insert(group).is_some() {
            return;
        }
        let key = self.by_name(user);
        let row = self.group_row_mut(group);
        row.requests.insert(key, user);
        let asked = Told::Requested { group: GroupRef(row.id), user: UserRef(self.user_row(user).id) };
        let owners: Vec<UserNo> = self.owners_of(group).collect();
        if owners.is_empty() {
            self.turn_down(op, group, user);
        }
        owners.into_iter().for_each(|owner| self.cause(owner, asked.clone()));
    }

    /// Makes a user a member, unless the user is one already. The user is told.
    pub(super) fn let_in(&mut self, op: &Op, group: GroupNo, user: UserNo) {
        self.join(op, group, user);
        let group = self.group_row(group).name.clone();
        self.tell(user, op.order(), Notice::Accepted { group });
    }

    pub(super) fn turn_down(&mut self, op: &Op, group: GroupNo, user: UserNo) {
        let group = self.group_row(group).name.clone();
        self.tell(user, op.order(), Notice::Rejected { group });
    }

    /// The decision stands even if the owner who took it has lost the group since: it was right when it was taken.
    pub(super) fn accept_request(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if self.withdraw_request(group, user) {
            self.let_in(op, group, user);
        } else if !self.is_member_no(group, user) {
            self.override_decision(op, group, user, by);
        }
    }

    pub(super) fn reject_request(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if self.withdraw_request(group, user) {
            self.turn_down(op, group, user);
        } else if self.is_member_no(group, user) {
            self.override_decision(op, group, user, by);
        }
    }

    pub(super) fn leave_group(&mut self, op: &Op, group: GroupRef, user: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if self.is_member_no(group, user) {
            self.depart(op, group, user);
        } else {
            self.withdraw_request(group, user);
        }
    }

    /// As with acceptance the decision stands, except against an owner. Only another owner removes an owner, and the
    /// founder stays.
    pub(super) fn remove_member(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if !self.is_member_no(group, user) {
            return;
        }
        let is_founder = self.group_row(group).founder == Some(user);
        if (is_founder || self.is_owner_no(group, user)) && !self.may_depose(group, user, by) {
            self.override_decision(op, group, user, by);
            return;
        }
        self.depart(op, group, user);
        let name = self.group_row(group).name.clone();
        self.tell(user, op.order(), Notice::Removed { group: name });
    }

    pub(super) fn override_decision(&mut self, op: &Op, group: GroupNo, user: UserNo, by: UserRef) {
        let Some(by) = self.user_no(by) else { return };
        let notice = Notice::DecisionOverridden {
            group: self.group_row(group).name.clone(),
            user: self.user_row(user).name.clone(),
        };
        self.tell(by, op.order(), notice);
    }

    /// Takes a request back. Returns true if there was one.
    pub(super) fn withdraw_request(&mut self, group: GroupNo, user: UserNo) -> bool {
        self.user_row_mut(user).requests.remove(&group);
        let key = self.by_name(user);
        self.group_row_mut(group).requests.remove(&key).is_some()
    }

    /// Makes a user a member. The user must not be a member yet. The first member owns the group and makes it visible,
    /// under its last name or, if that name is taken, under another. The group keeps that name as long as it has
    /// members.
    pub(super) fn join(&mut self, op: &Op, group: GroupNo, user: UserNo) {
        let row = self.group_row_mut(group);
        let rank = row.joined;
        row.joined = row.joined.saturating_add(1);
        let (id, first) = (GroupRef(row.id), row.owner.is_none());
        self.enroll(group, MemberRow { user, rank, owner: None });
        self.cause(user, Told::Joined { group: id });
        if first {
            self.lead(group, user);
            self.show_group(op, group, user);
        }
        let name = self.group_row(group).name.clone();
        self.memberships.insert((user, Some(name), group));
        self.user_row_mut(user).memberships += 1;
    }

    fn show_group(&mut self, op: &Op, group: GroupNo, owner: UserNo) {
        self.unhide_group(group);
        let known = self.group_row(group).name.clone();
        if self.take_group_name(group, &known) {
            return;
        }
        let own = first_free(&known, GroupId::with_suffix, |name| self.take_group_name(group, name));
        self.group_row_mut(group).name = own.clone();
        self.tell(owner, op.order(), Notice::GroupRenamed { from: known, to: own });
    }

    /// Gives a name to a group if it is free.
    fn take_group_name(&mut self, group: GroupNo, name: &GroupId) -> bool {
        claim(&mut self.group_names, ByName::new(name), group)
    }

    /// Takes a member and the member's shares out of the group. Without members the group is hidden and its name free.
    /// The users who wait are told that nobody is left to let them in.
    fn depart(&mut self, op: &Op, group: GroupNo, user: UserNo) {
        let (id, name) = (GroupRef(self.group_row(group).id), self.group_row(group).name.clone());
        if self.memberships.remove(&(user, Some(name.clone()), group)).is_none() {
            return;
        }
        self.user_row_mut(user).memberships -= 1;
        self.cause(user, Told::Departed { group: id });
        self.withdraw_shares(group, user);
        self.strike_out(group, user);
        let first = self.by_rank(group).next();
        let row = self.group_row_mut(group);
        row.chain = link(row.chain, op.id);
        row.founder = row.founder.filter(|founder| *founder != user);
        if let Some(successor) = first.filter(|_| row.owner.is_none()) {
            self.lead(group, successor);
        }
        if first.is_none() {
            let row = self.group_row(group);
            let waiting: Vec<UserNo> = row.requests.values().copied().collect();
            self.group_names.remove(&ByName::new(&name));
            self.hide_group(group);
            for user in waiting {
                self.tell(user, op.order(), Notice::Rejected { group: name.clone() });
            }
        }
    }
}

/// The roster of a group.
impl State {
    /// The row of a member. `None` if the user is no member.
    pub(super) fn member(&self, group: GroupNo, user: UserNo) -> Option<&MemberRow> {
        self.roster.get(&(group, Some(self.by_name(user))))
    }

    /// Takes a new member into the roster.
    fn enroll(&mut self, group: GroupNo, member: MemberRow) {
        self.roster.insert((group, Some(self.by_name(member.user))), member);
        self.ranks.insert((group, member.rank, member.user));
        self.group_row_mut(group).member_count += 1;
    }

    /// Takes a member out of the roster, and out of the owners.
    fn strike_out(&mut self, group: GroupNo, user: UserNo) {
        self.depose(group, user);
        self.added.remove(&(user, group));
        if let Some(member) = self.roster.remove(&(group, Some(self.by_name(user)))) {
            self.ranks.remove(&(group, member.rank, user));
            self.group_row_mut(group).member_count -= 1;
        }
    }

    /// The members of a group by name, after the given one.
    pub(super) fn members_behind(
        &self,
        group: GroupNo,
        after: Option<&UserId>,
    ) -> impl Iterator<Item = MemberRow> + '_ {
        let behind = Bound::Excluded((group, after.map(ByName::new)));
        let entries = self.roster.range((behind, Bound::Unbounded));
        entries.take_while(move |((of, _), _)| *of == group).map(|(_, member)| *member)
    }

    /// The members of a group by rank, the earliest first.
    pub(super) fn by_rank(&self, group: GroupNo) -> impl Iterator<Item = UserNo> + '_ {
        let entries = self.ranks.range((group, 0, UserNo(0))..);
        entries.take_while(move |(of, ..)| *of == group).map(|&(_, _, user)| user)
    }
}

/// What operators do to groups.
impl State {
    /// The group's new owner is a member and its only owner. The former owners stay members, the founder among them.
    pub(super) fn give_group(&mut self, op: &Op, group: GroupRef, user: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.kept_user(user)) else { return };
        let before: Vec<UserNo> = self.owners_of(group).collect();
        if before == [user] {
            return;
        }
        if !self.is_member_no(group, user) {
            self.withdraw_request(group, user);
            self.join(op, group, user);
        }
        if !self.is_owner_no(group, user) {
            self.lead(group, user);
        }
        let row = self.group_row_mut(group);
        row.founder = row.founder.filter(|founder| *founder == user);
        let name = row.name.clone();
        self.tell(user, op.order(), Notice::GroupGiven { group: name.clone() });
        let to = self.user_row(user).name.clone();
        for owner in before.into_iter().filter(|owner| *owner != user) {
            self.depose(group, owner);
            self.tell(owner, op.order(), Notice::GroupTaken { group: name.clone(), to: to.clone() });
        }
    }

    /// Every member departs. The owners go last, so that no member succeeds them.
    pub(super) fn delete_group(&mut self, op: &Op, group: GroupRef) {
        let Some(group) = self.named_group(group) else { return };
        let GroupRow { name, requests, .. } = self.group_row(group).clone();
        let owners: Vec<UserNo> = self.owners_of(group).collect();
        let others: Vec<UserNo> = self.by_rank(group).filter(|user| !self.is_owner_no(group, *user)).collect();
        let told = Notice::GroupDeleted { group: name };
        for &user in requests.values() {
            self.withdraw_request(group, user);
            self.tell(user, op.order(), told.clone());
        }
        for user in others.into_iter().chain(owners) {
            self.depart(op, group, user);
            self.tell(user, op.order(), told.clone());
        }
        self.group_row_mut(group).deleted = true;
    }

    /// Takes a member out whose account ends. A new owner is told.
    pub(super) fn pass_on(&mut self, op: &Op, group: GroupNo, user: UserNo) {
        let alone = self.owners_of(group).eq([user]);
        self.depart(op, group, user);
        let GroupRow { owner, ref name, .. } = *self.group_row(group);
        if let Some(successor) = owner.filter(|_| alone) {
            let group = name.clone();
            self.tell(successor, op.order(), Notice::GroupGiven { group });
        }
    }
}

/// The chain of a group after a departure: SHA-256 over the chain before it and the op's id as the wire carries it.
fn link(chain: [u8; 32], op: OpId) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&chain);
    context.update(&op.origin.tracker.to_be_bytes());
    context.update(&op.origin.incarnation.to_be_bytes());
    context.update(&op.seq.to_be_bytes());
    let mut chain = [0; 32];
    chain.copy_from_slice(context.finish().as_ref());
    chain
}
