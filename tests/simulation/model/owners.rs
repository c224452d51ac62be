//! Owners of groups in the model, and the members that they admit.

use super::Model;
use groupshare::model::id::OpId;
use groupshare::model::name::{GroupId, UserId};
use groupshare::model::notice::Notice;
use groupshare::model::op::group_access::GroupAccess;

impl Model<'_> {
    pub(super) fn owns(&self, group: OpId, user: OpId) -> bool {
        self.groups[&group].owners.contains(&user)
    }

    /// Whether another owner may end this user's ownership.
    pub(super) fn can_depose(&self, group: OpId, owner: OpId, by: OpId) -> bool {
        by != owner && self.owns(group, by) && self.groups[&group].founder != Some(owner)
    }

    fn named(&self, group: OpId, by: OpId) -> (GroupId, UserId) {
        (self.group_name(group), self.users[&by].name.clone())
    }

    pub(super) fn make_owner(&mut self, group: OpId, user: OpId, by: OpId) {
        if self.owns(group, user) {
            return self.count(false);
        }
        if !self.owns(group, by) || !self.is_member(group, user) {
            return self.decision_overridden(group, user, by);
        }
        self.group_mut(group).owners.push(user);
        let (group, by) = self.named(group, by);
        self.tell(user, Notice::OwnerMade { group, by });
        self.outcomes.owners_made += 1;
    }

    pub(super) fn drop_owner(&mut self, group: OpId, user: OpId, by: OpId) {
        if !self.owns(group, user) {
            return self.count(false);
        }
        let retires = user == by && self.groups[&group].owners.len() > 1;
        if !retires && !self.can_depose(group, user, by) {
            return self.decision_overridden(group, user, by);
        }
        self.group_mut(group).owners.retain(|owner| *owner != user);
        self.outcomes.owners_dropped += 1;
        if !retires {
            let (group, by) = self.named(group, by);
            self.tell(user, Notice::OwnerDropped { group, by });
        }
    }

    pub(super) fn add_member(&mut self, group: OpId, user: OpId, by: OpId) {
        if self.is_member(group, user) {
            return self.count(false);
        }
        if self.is_deleted(user) || self.users[&user].forbids_adding {
            return self.decision_overridden(group, user, by);
        }
        self.join(group, user);
        let (group, by) = self.named(group, by);
        self.tell(user, Notice::Added { group, by });
        self.outcomes.added += 1;
    }

    pub(super) fn set_group(&mut self, group: OpId, access: GroupAccess) {
        let row = self.group_mut(group);
        let news = std::mem::replace(&mut row.access, access) != access;
        if !row.members.is_empty() && access != GroupAccess::Ask {
            let mut waiting: Vec<OpId> = std::mem::take(&mut row.waiting).into_iter().collect();
            waiting.sort_by_key(|user| self.users[user].name.clone());
            for user in waiting {
                match access {
                    GroupAccess::Open => {
                        self.join(group, user);
                        self.tell(user, Notice::Accepted { group: self.group_name(group) });
                    }
                    _ => self.tell(user, Notice::Rejected { group: self.group_name(group) }),
                }
            }
        }
        self.count(news);
    }
}
