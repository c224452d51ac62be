//! Owners in the fold: which members become owners or cease to be, and what owners decide about joining.

use crate::model::id::{GroupRef, UserRef};
use crate::model::name::{GroupId, UserId};
use crate::model::notice::Notice;
use crate::model::op::Op;
use crate::model::op::group_access::GroupAccess;
use crate::tracker::state::tables::{GroupNo, GroupRow, MemberRow, State, UserNo};

impl State {
    /// Only owners decide who owns a group. Unlike other decisions, this one is void if the member who took it is no
    /// owner any more.
    pub(in crate::tracker::state) fn make_owner(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let Some((group, user, owner)) = self.decided(op, group, user, by) else { return };
        if self.is_owner_no(group, user) {
            return;
        }
        if !self.is_owner_no(group, owner) || !self.is_member_no(group, user) {
            return self.override_decision(op, group, user, by);
        }
        self.lead(group, user);
        let (group, by) = self.names(group, owner);
        self.tell(user, op.order(), Notice::OwnerMade { group, by });
    }

    /// A former owner stays a member. The last owner stays an owner.
    pub(in crate::tracker::state) fn drop_owner(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let Some((group, user, owner)) = self.decided(op, group, user, by) else { return };
        if !self.is_owner_no(group, user) {
            return;
        }
        let retires = user == owner && self.owners_of(group).nth(1).is_some();
        if !retires && !self.may_depose(group, user, by) {
            return self.override_decision(op, group, user, by);
        }
        self.depose(group, user);
        if !retires {
            let (group, by) = self.names(group, owner);
            self.tell(user, op.order(), Notice::OwnerDropped { group, by });
        }
    }

    /// Makes a user a member without a request, unless the user refuses this.
    pub(in crate::tracker::state) fn add_member(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) {
        let Some((group, user, owner)) = self.decided(op, group, user, by) else { return };
        if self.is_member_no(group, user) {
            return;
        }
        if self.is_deleted(user) || self.user_row(user).forbids_adding {
            return self.override_decision(op, group, user, by);
        }
        let has_asked = self.withdraw_request(group, user);
        self.join(op, group, user);
        if !has_asked {
            self.added.insert((user, group), owner);
        }
        let (group, by) = self.names(group, owner);
        self.tell(user, op.order(), Notice::Added { group, by });
    }

    /// Users who wait get in if the group is now open, and are turned down if it is now closed.
    pub(in crate::tracker::state) fn set_group(&mut self, op: &Op, group: GroupRef, access: GroupAccess, by: UserRef) {
        let (Some(group), Some(_)) = (self.named_group(group), self.user_no(by)) else {
            return self.ground_gone(op);
        };
        let row = self.group_row_mut(group);
        row.access = access;
        if row.owner.is_none() || access == GroupAccess::Ask {
            return;
        }
        let waiting: Vec<UserNo> = row.requests.values().copied().collect();
        for user in waiting {
            self.withdraw_request(group, user);
            match access {
                GroupAccess::Open => self.let_in(op, group, user),
                GroupAccess::Ask | GroupAccess::Closed => self.turn_down(op, group, user),
            }
        }
    }

    /// The group, the user that a decision is about, and the owner who took it.
    fn decided(&mut self, op: &Op, group: GroupRef, user: UserRef, by: UserRef) -> Option<(GroupNo, UserNo, UserNo)> {
        let found = (self.named_group(group), self.user_no(user), self.user_no(by));
        let (Some(group), Some(user), Some(by)) = found else {
            self.ground_gone(op);
            return None;
        };
        Some((group, user, by))
    }

    fn names(&self, group: GroupNo, user: UserNo) -> (GroupId, UserId) {
        (self.group_row(group).name.clone(), self.user_row(user).name.clone())
    }
}

/// The owners of a group.
impl State {
    pub(in crate::tracker::state) fn is_owner_no(&self, group: GroupNo, user: UserNo) -> bool {
        self.member(group, user).is_some_and(|member| member.owner.is_some())
    }

    /// Whether the user `by` can take the group from one of its owners: another owner can, but not from the founder.
    pub(in crate::tracker::state) fn may_depose(&self, group: GroupNo, owner: UserNo, by: UserRef) -> bool {
        let by = self.user_no(by).filter(|&by| by != owner && self.is_owner_no(group, by));
        by.is_some() && self.group_row(group).founder != Some(owner)
    }

    /// The owners of a group, in the order in which they became owners.
    pub(in crate::tracker::state) fn owners_of(&self, group: GroupNo) -> impl Iterator<Item = UserNo> + '_ {
        let entries = self.owners.range((group, 0, UserNo(0))..);
        entries.take_while(move |(of, ..)| *of == group).map(|&(_, _, user)| user)
    }

    /// Makes a member an owner, after all present ones.
    pub(in crate::tracker::state) fn lead(&mut self, group: GroupNo, user: UserNo) {
        let row = self.group_row_mut(group);
        let place = row.led;
        row.led = row.led.saturating_add(1);
        self.set_place(group, user, Some(place));
    }

    /// Makes an owner a plain member.
    pub(in crate::tracker::state) fn depose(&mut self, group: GroupNo, user: UserNo) {
        self.set_place(group, user, None);
    }

    fn set_place(&mut self, group: GroupNo, user: UserNo, place: Option<u32>) {
        let Some(&MemberRow { rank, owner: before, .. }) = self.member(group, user) else { return };
        if before == place {
            return;
        }
        self.roster.insert((group, Some(self.by_name(user))), MemberRow { user, rank, owner: place });
        if let Some(before) = before {
            self.owners.remove(&(group, before, user));
        }
        if let Some(place) = place {
            self.owners.insert((group, place, user));
        }
        let first = self.owners_of(group).next();
        let GroupRow { owner, .. } = self.group_row_mut(group);
        let before = std::mem::replace(owner, first);
        if let Some(before) = before {
            self.user_row_mut(before).owned -= 1;
        }
        if let Some(first) = first {
            self.user_row_mut(first).owned += 1;
        }
    }
}
