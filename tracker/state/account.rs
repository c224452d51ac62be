//! Accounts in the fold: who exists, under which name and with which password.

use super::effect::Told;
use super::key::{ByName, OpKey};
use super::tables::{Created, State, UserNo, UserRow, claim, first_free};
use crate::model::id::UserRef;
use crate::model::name::UserId;
use crate::model::notice::Notice;
use crate::model::op::{Op, PasswordHash};

/// How many of a user's last commands are known. Few in tests, so that a short history forgets some.
const COMMANDS_MAX: usize = if cfg!(test) { 8 } else { 1024 };

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
        let (commands, groups, shares) = Default::default();
        let made_by = op.command;
        self.users.push(UserRow { id, made_by, commands, name, password, password_set_by, groups, shares });
        self.note(op, Created::User(user));
        if let Some(notice) = renamed {
            self.tell(user, op.order(), notice);
        }
    }

    /// Gives a name to a user if it is free.
    fn take_user_name(&mut self, user: UserNo, name: &UserId) -> bool {
        claim(&mut self.user_names, ByName::new(name), user)
    }

    /// Takes note of the command that an op has carried out. The user's oldest one is forgotten for it.
    pub(super) fn remember(&mut self, op: &Op, key: OpKey) {
        let Some(author) = self.user_no(op.body.author().unwrap_or(UserRef(op.id))) else { return };
        self.commands.insert(op.command, key);
        if op.body.author().is_none() {
            return;
        }
        let own = &mut self.user_row_mut(author).commands;
        own.push_back((op.command, key));
        if own.len() > COMMANDS_MAX
            && let Some((oldest, _)) = own.pop_front()
        {
            self.commands.remove(oldest);
        }
    }

    pub(super) fn change_password(&mut self, op: &Op, user: UserRef, password: &PasswordHash) {
        let Some(user) = self.user_no(user) else { return };
        let row = self.user_row_mut(user);
        row.password = password.clone();
        row.password_set_by = op.id;
        self.cause(user, Told::PasswordChanged);
    }
}
