//! Actions of operators on accounts and groups, in the model.

use super::Model;
use groupshare::model::id::OpId;
use groupshare::model::notice::Notice;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::state::AccountStanding;

impl Model<'_> {
    pub(super) fn operate(&mut self, op: &Op) {
        let changes = match &op.body {
            OpBody::MakeUser { name, password } => return self.create_user(op, name, password),
            OpBody::ResetPassword { user, password } => self.reset_password(op, user.0, password),
            OpBody::EndSessions { user } => self.end_sessions(op, user.0),
            OpBody::DisableUser { user } => self.disable(op, user.0),
            OpBody::EnableUser { user } => self.enable(op, user.0),
            OpBody::DeleteUser { user } => self.delete_user(op, user.0),
            OpBody::GiveGroup { group, user } => self.give(group.0, user.0),
            OpBody::DeleteGroup { group } => self.delete_group(op, group.0),
            other => panic!("no operator makes {other:?}"),
        };
        self.count(changes == Some(true));
    }

    /// The account that an op names, unless it is missing or deleted.
    fn kept(&self, id: OpId) -> Option<OpId> {
        let user = self.canonical(id);
        (self.users.contains_key(&user) && !self.is_deleted(user)).then_some(user)
    }

    fn reset_password(&mut self, op: &Op, user: OpId, password: &PasswordHash) -> Option<bool> {
        let user = self.kept(user)?;
        let row = self.user_mut(user);
        (row.password, row.password_op) = (password.clone(), op.id);
        row.expire_sessions(op);
        row.reset = true;
        self.outcomes.reset += 1;
        self.tell(user, Notice::PasswordReset {});
        Some(true)
    }

    fn end_sessions(&mut self, op: &Op, user: OpId) -> Option<bool> {
        let user = self.kept(user)?;
        self.user_mut(user).expire_sessions(op);
        self.outcomes.kicked += 1;
        self.tell(user, Notice::SessionsEnded {});
        Some(true)
    }

    fn disable(&mut self, op: &Op, user: OpId) -> Option<bool> {
        let user = self.kept(user)?;
        let row = self.user_mut(user);
        let news = row.standing == AccountStanding::Active;
        if news {
            row.standing = AccountStanding::Disabled;
            row.expire_sessions(op);
            self.outcomes.disabled += 1;
            self.tell(user, Notice::AccountDisabled {});
        }
        Some(news)
    }

    fn enable(&mut self, op: &Op, user: OpId) -> Option<bool> {
        let user = self.kept(user)?;
        let row = self.user_mut(user);
        let news = row.standing == AccountStanding::Disabled;
        if news {
            row.standing = AccountStanding::Active;
            row.expire_sessions(op);
            self.outcomes.enabled += 1;
            self.tell(user, Notice::AccountEnabled {});
        }
        Some(news)
    }

    fn delete_user(&mut self, op: &Op, user: OpId) -> Option<bool> {
        let user = self.kept(user)?;
        let mut groups: Vec<OpId> = self.groups.iter().filter(|(_, row)| row.members.contains(&user)).map(at).collect();
        groups.sort_by_key(|group| self.groups[group].number);
        for group in groups {
            let owned = self.groups[&group].owners == [user];
            self.depart(op, group, user);
            if let Some(successor) = self.groups[&group].owners.first().copied().filter(|_| owned) {
                self.tell(successor, Notice::GroupGiven { group: self.group_name(group) });
            }
        }
        for row in self.groups.values_mut() {
            row.waiting.remove(&user);
        }
        let row = self.user_mut(user);
        row.unread.clear();
        row.password = PasswordHash("".into());
        row.ended.clear();
        row.void_through_s = 0;
        (row.standing, row.sessions_since) = (AccountStanding::Deleted, op.id);
        self.outcomes.deleted += 1;
        Some(true)
    }

    fn give(&mut self, group: OpId, user: OpId) -> Option<bool> {
        let group = Some(self.canonical(group)).filter(|&group| self.is_there(group))?;
        self.touch(group);
        let user = self.kept(user)?;
        let before = self.groups[&group].owners.clone();
        if before == [user] {
            return Some(false);
        }
        self.outcomes.given += 1;
        self.outcomes.revived_by_give += usize::from(before.is_empty());
        if !self.is_member(group, user) {
            self.join(group, user);
        }
        let row = self.group_mut(group);
        row.owners = vec![user];
        row.founder = row.founder.filter(|founder| *founder == user);
        self.tell(user, Notice::GroupGiven { group: self.group_name(group) });
        for owner in before.into_iter().filter(|owner| *owner != user) {
            let to = self.users[&user].name.clone();
            self.tell(owner, Notice::GroupTaken { group: self.group_name(group), to });
        }
        Some(true)
    }

    fn delete_group(&mut self, op: &Op, group: OpId) -> Option<bool> {
        let group = Some(self.canonical(group)).filter(|&group| self.is_there(group))?;
        self.touch(group);
        let waiting = std::mem::take(&mut self.group_mut(group).waiting);
        let told = Notice::GroupDeleted { group: self.group_name(group) };
        waiting.into_iter().for_each(|user| self.tell(user, told.clone()));
        let owners = self.groups[&group].owners.clone();
        let others = self.groups[&group].members.iter().copied().filter(|user| !owners.contains(user));
        for user in others.collect::<Vec<_>>().into_iter().chain(owners.clone()) {
            self.depart(op, group, user);
            self.tell(user, told.clone());
        }
        self.group_mut(group).deleted = true;
        self.outcomes.group_deleted += 1;
        Some(true)
    }
}

fn at<T>((&id, _): (&OpId, T)) -> OpId {
    id
}
