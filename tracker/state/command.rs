//! Commands in the fold: which are known, and the ops that carried them out.

use super::key::OpKey;
use super::tables::State;
use crate::model::id::{CommandId, OpId, UserRef};
use crate::model::name::UserId;
use crate::model::op::{Op, OpBody};

/// How many of a user's last commands are known. Few in tests, so that a short history forgets some.
const COMMANDS_MAX: usize = if cfg!(test) { 8 } else { 1024 };

/// Whose command it is: two users never mean the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandOwner<'a> {
    User(UserRef),
    /// Whoever asks for an account under this name.
    NewUser(&'a UserId),
}

impl<'a> CommandOwner<'a> {
    /// Whose command an op carries out.
    pub fn of(body: &'a OpBody) -> Option<Self> {
        match body {
            OpBody::CreateUser { name, .. } => Some(CommandOwner::NewUser(name)),
            _ => body.author().map(CommandOwner::User),
        }
    }
}

impl State {
    /// The op that carried out a command, if that made the account or is among the last of its user.
    pub fn command(&self, owner: CommandOwner<'_>, command: CommandId) -> Option<OpId> {
        match owner {
            CommandOwner::NewUser(name) => {
                self.born(name).map(|user| self.user_row(user)).find(|row| row.made_by == command).map(|row| row.id)
            }
            CommandOwner::User(user) => {
                let own = &self.user_row(self.user_no(user)?).commands;
                // Leaf by leaf: a user may have a thousand of them, and every op looks through them.
                let found = own.leaves().flatten().find(|(known, _)| *known == command);
                found.map(|&(_, op)| self.id(op))
            }
        }
    }

    /// Takes note of the command that an op has carried out. The user's oldest one is forgotten for it.
    pub(super) fn remember(&mut self, op: &Op, key: OpKey) {
        let Some(user) = op.body.author().and_then(|user| self.user_no(user)) else { return };
        let own = &mut self.user_row_mut(user).commands;
        own.push_back((op.command, key));
        if own.len() > COMMANDS_MAX {
            own.pop_front();
        }
    }
}
