//! Accounts in the fold: who exists, under which name, with which password, and whom operators let in.

use super::effect::Told;
use super::key::ByName;
use super::tables::{AccountStanding, Created, GroupNo, State, UserNo, UserRow, claim, first_free};
use crate::model::id::{OpId, UserRef};
use crate::model::name::UserId;
use crate::model::notice::Notice;
use crate::model::op::{Op, PasswordHash};

impl State {
    pub(super) fn create_user(&mut self, op: &Op, asked: &UserId, password: &PasswordHash) {
        let Some(user) = self.users.next().map(UserNo) else { return };
        let name = if self.take_user_name(user, asked) {
            asked.clone()
        } else {
            first_free(asked, UserId::with_suffix, |name| self.take_user_name(user, name))
        };
        let renamed = (name != *asked).then(|| Notice::UserRenamed { from: asked.clone(), to: name.clone() });
        self.users.push(UserRow {
            id: op.id,
            made_by: op.command,
            commands: Default::default(),
            name,
            password: password.clone(),
            password_op: op.id,
            sessions_since: op.id,
            standing: AccountStanding::Active,
            groups: Default::default(),
            requests: Default::default(),
            shares: Default::default(),
            unread: 0,
        });
        self.note(op, Created::User(user));
        if let Some(notice) = renamed {
            self.tell(user, op.order(), notice);
        }
    }

    /// Gives a name to a user if it is free.
    fn take_user_name(&mut self, user: UserNo, name: &UserId) -> bool {
        claim(&mut self.user_names, ByName::new(name), user)
    }

    /// Holds only against the password that it was made to replace.
    pub(super) fn change_password(&mut self, op: &Op, user: UserRef, former: OpId, password: &PasswordHash) {
        let Some(user) = self.kept_user(user) else { return };
        if self.user_row(user).password_op == self.canonical(former) {
            self.set_password(op, user, password);
        } else {
            self.tell(user, op.order(), Notice::PasswordOverridden {});
        }
    }

    fn set_password(&mut self, op: &Op, user: UserNo, password: &PasswordHash) {
        let row = self.user_row_mut(user);
        row.password = password.clone();
        row.password_op = op.id;
        self.expire_sessions(op, user);
    }

    /// Ends the sessions that were begun before.
    fn expire_sessions(&mut self, op: &Op, user: UserNo) {
        self.user_row_mut(user).sessions_since = op.id;
        self.cause(user, Told::SessionsEnded);
    }

    /// A user whose account was not deleted.
    pub(super) fn kept_user(&self, user: UserRef) -> Option<UserNo> {
        self.user_no(user).filter(|&user| !self.is_deleted(user))
    }

    pub(super) fn is_deleted(&self, user: UserNo) -> bool {
        self.user_row(user).standing == AccountStanding::Deleted
    }
}

/// What operators do to accounts.
impl State {
    pub(super) fn reset_password(&mut self, op: &Op, user: UserRef, password: &PasswordHash) {
        let Some(user) = self.kept_user(user) else { return };
        self.set_password(op, user, password);
        self.tell(user, op.order(), Notice::PasswordReset {});
    }

    pub(super) fn end_sessions(&mut self, op: &Op, user: UserRef) {
        let Some(user) = self.kept_user(user) else { return };
        self.expire_sessions(op, user);
        self.tell(user, op.order(), Notice::SessionsEnded {});
    }

    pub(super) fn disable_user(&mut self, op: &Op, user: UserRef) {
        let Some(user) = self.kept_user(user) else { return };
        let row = self.user_row_mut(user);
        if std::mem::replace(&mut row.standing, AccountStanding::Disabled) == AccountStanding::Active {
            self.expire_sessions(op, user);
            self.tell(user, op.order(), Notice::AccountDisabled {});
        }
    }

    pub(super) fn enable_user(&mut self, op: &Op, user: UserRef) {
        let Some(user) = self.kept_user(user) else { return };
        let row = self.user_row_mut(user);
        if std::mem::replace(&mut row.standing, AccountStanding::Active) == AccountStanding::Disabled {
            // Those too that began since at a tracker that had not heard of it.
            self.expire_sessions(op, user);
            self.tell(user, op.order(), Notice::AccountEnabled {});
        }
    }

    /// The row stays, since later ops name it, and so does the name. Nothing else of the user does.
    pub(super) fn delete_user(&mut self, op: &Op, user: UserRef) {
        let Some(user) = self.kept_user(user) else { return };
        let groups: Vec<GroupNo> = self.user_row(user).groups.iter().copied().collect();
        for group in groups {
            self.pass_on(op, group, user);
        }
        let requests: Vec<GroupNo> = self.user_row(user).requests.iter().copied().collect();
        for group in requests {
            self.withdraw_request(group, user);
        }
        self.drop_notices(user);
        let row = self.user_row_mut(user);
        row.standing = AccountStanding::Deleted;
        row.password = PasswordHash("".into());
        self.expire_sessions(op, user);
    }
}
