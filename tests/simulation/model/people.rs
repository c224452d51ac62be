//! Accounts, groups and notices in the model.

use super::{Group, Model, User, first_free};
use groupshare::model::id::{OpId, OpOrder, SessionId};
use groupshare::model::name::{GroupId, UserId};
use groupshare::model::notice::Notice;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::op::{Op, PasswordHash};
use groupshare::tracker::state::AccountStanding;
use ring::digest::{SHA256, digest};
use std::collections::{BTreeSet, VecDeque};

impl User {
    /// Ends all earlier sessions, whatever the times of their tokens.
    pub(super) fn expire_sessions(&mut self, op: &Op) {
        (self.sessions_since, self.void_through_s) = (op.id, 0);
        self.ended.iter_mut().for_each(|(_, through_s)| *through_s = 0);
    }
}

impl Model<'_> {
    pub(super) fn create_user(&mut self, op: &Op, asked: &UserId, password: &PasswordHash) {
        let name = first_free(asked, UserId::with_suffix, |name| self.users.values().all(|user| user.name != *name));
        let user = User {
            name: name.clone(),
            password: password.clone(),
            password_op: op.id,
            sessions_since: op.id,
            ended: VecDeque::new(),
            void_through_s: 0,
            standing: AccountStanding::Active,
            forbids_adding: false,
            reset: false,
            unread: Vec::new(),
            made_by: (op.command, op.id),
            recent: VecDeque::new(),
        };
        self.users.insert(op.id, user);
        if name != *asked {
            self.renamed(op.id, Notice::UserRenamed { from: asked.clone(), to: name });
        }
        self.count(true);
    }

    pub(super) fn change_password(&mut self, op: &Op, user: OpId, former: OpId, password: &PasswordHash) {
        let row = self.user_mut(user);
        if row.standing == AccountStanding::Deleted {
            self.outcomes.author_deleted += 1;
        } else if row.password_op == former {
            (row.password, row.password_op) = (password.clone(), op.id);
            row.expire_sessions(op);
            row.reset = false;
            self.count(true);
        } else {
            let reset = row.reset;
            self.outcomes.reset_vs_change += usize::from(reset);
            self.overridden(user, Notice::PasswordOverridden {});
        }
    }

    pub(super) fn end_session(&mut self, user: OpId, session: SessionId, through_s: u64) {
        if self.is_deleted(user) {
            return self.outcomes.author_deleted += 1;
        }
        let row = self.user_mut(user);
        let news = row.ended.iter().all(|(ended, _)| *ended != session);
        if news {
            row.ended.push_back((session, through_s));
            if row.ended.len() > 1024 {
                let (_, oldest) = row.ended.pop_front().expect("one too many");
                row.void_through_s = row.void_through_s.max(oldest);
            }
            self.outcomes.logged_out += 1;
        }
        self.count(news);
    }

    pub(super) fn create_group(&mut self, op: &Op, name: &GroupId, founder: OpId) {
        let (name, members, waiting, chain) = (name.clone(), Vec::new(), BTreeSet::new(), [0; 32]);
        let (number, deleted) = (self.groups_made, false);
        self.groups_made += 1;
        let (owners, access) = (Vec::new(), GroupAccess::Ask);
        let group = Group { name, members, owners, founder: None, access, waiting, chain, number, deleted };
        self.groups.insert(op.id, group);
        if self.is_deleted(founder) {
            self.outcomes.author_deleted += 1;
        } else {
            self.join(op.id, founder);
            self.group_mut(op.id).founder = Some(founder);
            self.count(true);
        }
    }

    pub(super) fn is_member(&self, group: OpId, user: OpId) -> bool {
        self.groups[&group].members.contains(&user)
    }

    /// A user becomes a member. The first member makes the group visible.
    pub(super) fn join(&mut self, group: OpId, user: OpId) {
        let hidden = self.groups[&group].members.is_empty();
        let from = self.group_name(group);
        let taken = |name: &GroupId| self.groups.values().any(|row| row.name == *name && !row.members.is_empty());
        let to = if hidden { first_free(&from, GroupId::with_suffix, |name| !taken(name)) } else { from.clone() };
        let row = self.group_mut(group);
        row.name = to.clone();
        row.members.push(user);
        row.waiting.remove(&user);
        if hidden {
            row.owners.push(user);
        }
        if from != to {
            self.renamed(user, Notice::GroupRenamed { from, to });
        }
    }

    pub(super) fn group_name(&self, group: OpId) -> GroupId {
        self.groups[&group].name.clone()
    }

    pub(super) fn request(&mut self, group: OpId, user: OpId) {
        if self.is_member(group, user) {
            return self.overridden(user, Notice::RequestOverridden { group: self.group_name(group) });
        }
        if self.is_deleted(user) {
            return self.outcomes.author_deleted += 1;
        }
        let row = self.group_mut(group);
        let hidden = row.members.is_empty();
        match row.access {
            GroupAccess::Open if !hidden => {
                self.join(group, user);
                self.tell(user, Notice::Accepted { group: self.group_name(group) });
                return self.count(true);
            }
            GroupAccess::Closed => {
                self.outcomes.closed += 1;
                return self.tell(user, Notice::Rejected { group: self.group_name(group) });
            }
            _ => {}
        }
        let news = row.waiting.insert(user);
        if news && hidden {
            self.tell(user, Notice::Rejected { group: self.group_name(group) });
        } else if news {
            self.asked = self.groups[&group].owners.iter().map(|owner| (*owner, group, user)).collect();
        }
        self.count(news);
    }

    pub(super) fn accept(&mut self, group: OpId, user: OpId, by: OpId) {
        if self.groups[&group].waiting.contains(&user) {
            self.join(group, user);
            self.tell(user, Notice::Accepted { group: self.group_name(group) });
            self.count(true);
        } else if self.is_member(group, user) {
            self.count(false);
        } else {
            self.decision_overridden(group, user, by);
        }
    }

    pub(super) fn reject(&mut self, group: OpId, user: OpId, by: OpId) {
        if self.is_member(group, user) {
            return self.decision_overridden(group, user, by);
        }
        let waited = self.group_mut(group).waiting.remove(&user);
        if waited {
            self.tell(user, Notice::Rejected { group: self.group_name(group) });
        }
        self.count(waited);
    }

    pub(super) fn leave(&mut self, op: &Op, group: OpId, user: OpId) {
        let waited = self.group_mut(group).waiting.remove(&user);
        let member = self.is_member(group, user);
        if member {
            self.depart(op, group, user);
        }
        self.count(waited || member);
    }

    pub(super) fn remove(&mut self, op: &Op, group: OpId, user: OpId, by: OpId) {
        let founded = self.groups[&group].founder == Some(user);
        if (founded || self.owns(group, user)) && !self.can_depose(group, user, by) {
            return self.decision_overridden(group, user, by);
        }
        let member = self.is_member(group, user);
        if member {
            self.depart(op, group, user);
            self.tell(user, Notice::Removed { group: self.group_name(group) });
        }
        self.count(member);
    }

    pub(super) fn depart(&mut self, op: &Op, group: OpId, user: OpId) {
        let own = self.shares.iter_mut().filter(|(_, share)| share.group == group);
        let ended: Vec<OpId> = own.filter_map(|(&id, share)| share.sharers.remove(&user).then_some(id)).collect();
        ended.into_iter().for_each(|share| self.touch(share));
        let row = self.group_mut(group);
        let succeeds = row.members.len() > 2 && row.owners == [user];
        row.members.retain(|member| *member != user);
        row.owners.retain(|owner| *owner != user);
        row.founder = row.founder.filter(|founder| *founder != user);
        if row.owners.is_empty() {
            row.owners.extend(row.members.first());
        }
        let mut linked = row.chain.to_vec();
        linked.extend(op.id.origin.tracker.to_be_bytes());
        linked.extend(op.id.origin.incarnation.to_be_bytes());
        linked.extend(op.id.seq.to_be_bytes());
        row.chain = digest(&SHA256, &linked).as_ref().try_into().expect("32 bytes");
        self.outcomes.succeeded += usize::from(succeeds);
        let row = &self.groups[&group];
        if row.members.is_empty() {
            let waiting = row.waiting.clone();
            let notice = Notice::Rejected { group: self.group_name(group) };
            waiting.into_iter().for_each(|user| self.tell(user, notice.clone()));
        }
    }

    pub(super) fn decision_overridden(&mut self, group: OpId, user: OpId, by: OpId) {
        let user = self.users[&user].name.clone();
        self.overridden(by, Notice::DecisionOverridden { group: self.group_name(group), user });
    }

    /// Marks the shown notices as read, unless others stand in their place by now.
    pub(super) fn read(&mut self, op: &Op, user: OpId, through: OpOrder, shown: [u8; 32]) {
        let shown = self.shown.get(&(op.id.origin, shown));
        let shown = shown.unwrap_or_else(|| panic!("{op:?} has read what nobody was shown"));
        let unread = &mut self.user_mut(user).unread;
        let until = unread.iter().take_while(|(at, _)| *at <= through).count();
        if unread[..until] == shown[..] {
            unread.drain(..until);
            self.outcomes.read += 1;
        } else {
            self.outcomes.unread += 1;
        }
    }
}
