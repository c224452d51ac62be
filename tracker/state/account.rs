//! Accounts in the fold: who exists, under which name and with which password.

use super::effect::Told;
use super::key::ByName;
use super::tables::{Created, State, UserNo, UserRow, claim, first_free};
use crate::model::id::UserRef;
use crate::model::name::UserId;
use crate::model::notice::Notice;
use crate::model::op::{Op, PasswordHash};

impl State {
    pub(super) fn create_user(&mut self, op: &Op, asked: &UserId, password: &PasswordHash) {
        let Some(user) = self.users.next().map(UserNo) else { return };
        let (id, password, password_set_by) = (op.id, password.clone(), op.id);
        let name = if self.take_user_name(user, asked) {
            asked.clone()
        } else {
            first_free(asked, UserId::with_suffix, |name| self.take_user_name(user, name))
        };
        let renamed = (name != *asked).then(|| Notice::UserRenamed { from: asked.clone(), to: name.clone() });
        let (commands, groups, shares, unread) = Default::default();
        let made_by = op.command;
        self.users.push(UserRow { id, made_by, commands, name, password, password_set_by, groups, shares, unread });
        self.note(op, Created::User(user));
        if let Some(notice) = renamed {
            self.tell(user, op.order(), notice);
        }
    }

    /// Gives a name to a user if it is free.
    fn take_user_name(&mut self, user: UserNo, name: &UserId) -> bool {
        claim(&mut self.user_names, ByName::new(name), user)
    }

    pub(super) fn change_password(&mut self, op: &Op, user: UserRef, password: &PasswordHash) {
        let Some(user) = self.user_no(user) else { return };
        let row = self.user_row_mut(user);
        row.password = password.clone();
        row.password_set_by = op.id;
        self.cause(user, Told::PasswordChanged);
    }
}
