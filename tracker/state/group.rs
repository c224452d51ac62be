//! Groups in the fold: who is a member, who asks to be one, and the chain of departures.

use super::effect::Told;
use super::key::ByName;
use super::tables::{Created, GroupNo, GroupRow, MemberRow, State, UserNo, claim, first_free};
use crate::model::id::{GroupRef, OpId, UserRef};
use crate::model::name::GroupId;
use crate::model::notice::Notice;
use crate::model::op::Op;
use imbl::OrdMap;
use ring::digest::{Context, SHA256};

impl State {
    pub(super) fn create_group(&mut self, op: &Op, name: &GroupId, founder: UserRef) {
        let Some(founder) = self.user_no(founder) else { return };
        let Some(group) = self.groups.next().map(GroupNo) else { return };
        self.groups.push(GroupRow {
            id: op.id,
            name: name.clone(),
            owner: None,
            idle: 0,
            joined: 0,
            chain: [0; 32],
            roster: OrdMap::new(),
            requests: OrdMap::new(),
            files: OrdMap::new(),
        });
        self.note(op, Created::Group(group));
        self.join(op, group, founder);
    }

    /// The group that an op names.
    pub(super) fn named_group(&mut self, group: GroupRef) -> Option<GroupNo> {
        let group = self.group_no(group)?;
        self.touch_group(group);
        Some(group)
    }

    pub(super) fn request_join(&mut self, op: &Op, group: GroupRef, user: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if self.is_member_no(group, user) {
            let group = self.group_row(group).name.clone();
            self.tell(user, op.order(), Notice::RequestOverridden { group });
            return;
        }
        let key = self.by_name(user);
        let row = self.group_row_mut(group);
        if row.requests.insert(key, user).is_some() {
            return;
        }
        if let Some(owner) = row.owner {
            let (group, user) = (GroupRef(row.id), UserRef(self.user_row(user).id));
            self.cause(owner, Told::Requested { group, user });
        } else {
            let group = row.name.clone();
            self.tell(user, op.order(), Notice::Rejected { group });
        }
    }

    /// The owner's decision stands even if the one who took it is no longer the owner: it was right where it was taken.
    pub(super) fn accept_request(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if self.withdraw_request(group, user) {
            self.join(op, group, user);
            let name = self.group_row(group).name.clone();
            self.tell(user, op.order(), Notice::Accepted { group: name });
        } else if !self.is_member_no(group, user) {
            self.override_decision(op, group, user, by);
        }
    }

    pub(super) fn reject_request(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if self.withdraw_request(group, user) {
            let name = self.group_row(group).name.clone();
            self.tell(user, op.order(), Notice::Rejected { group: name });
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

    /// As with acceptance the decision stands, except against the one who is the owner by now: owners leave by
    /// themselves.
    pub(super) fn remove_member(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if !self.is_member_no(group, user) {
            return;
        }
        if self.group_row(group).owner == Some(user) {
            self.override_decision(op, group, user, by);
            return;
        }
        self.depart(op, group, user);
        let name = self.group_row(group).name.clone();
        self.tell(user, op.order(), Notice::Removed { group: name });
    }

    fn override_decision(&mut self, op: &Op, group: GroupNo, user: UserNo, by: UserRef) {
        let Some(by) = self.user_no(by) else { return };
        let notice = Notice::DecisionOverridden {
            group: self.group_row(group).name.clone(),
            user: self.user_row(user).name.clone(),
        };
        self.tell(by, op.order(), notice);
    }

    /// Takes a request back; whether there was one.
    fn withdraw_request(&mut self, group: GroupNo, user: UserNo) -> bool {
        let key = self.by_name(user);
        self.group_row_mut(group).requests.remove(&key).is_some()
    }

    /// Makes a user who is not a member one. The first member owns the group and brings it into sight, under its last
    /// name or, if that was taken meanwhile, under another.
    fn join(&mut self, op: &Op, group: GroupNo, user: UserNo) {
        let row = self.user_row_mut(user);
        row.groups.insert(group);
        let key = ByName::new(&row.name);
        let row = self.group_row_mut(group);
        let rank = row.joined;
        row.joined = rank.saturating_add(1);
        row.roster.insert(key, MemberRow { user, rank });
        let (id, first) = (GroupRef(row.id), row.owner.is_none());
        if first {
            row.owner = Some(user);
        }
        self.cause(user, Told::Joined { group: id });
        if first {
            self.show_group(op, group, user);
        }
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

    /// Takes a member and the member's shares out of the group. The last member leaves it hidden, its name free and
    /// those who wait told that nobody is left to let them in.
    fn depart(&mut self, op: &Op, group: GroupNo, user: UserNo) {
        let row = self.user_row_mut(user);
        if row.groups.remove(&group).is_none() {
            return;
        }
        let key = ByName::new(&row.name);
        let id = GroupRef(self.group_row(group).id);
        self.cause(user, Told::Departed { group: id });
        self.withdraw_shares(group, user);
        let row = self.group_row_mut(group);
        row.roster.remove(&key);
        row.chain = link(row.chain, op.id);
        if row.owner == Some(user) {
            row.owner = row.roster.values().min_by_key(|member| member.rank).map(|member| member.user);
        }
        if row.owner.is_none() {
            let name = row.name.clone();
            let waiting: Vec<UserNo> = row.requests.values().copied().collect();
            self.group_names.remove(&ByName::new(&name));
            self.hide_group(group);
            for user in waiting {
                self.tell(user, op.order(), Notice::Rejected { group: name.clone() });
            }
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
