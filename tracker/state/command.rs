//! Commands in the fold: which commands were carried out, and by which ops.

use super::key::OpKey;
use super::tables::State;
use crate::model::id::{CommandId, OpId, UserRef};
use crate::model::name::UserId;
use crate::model::op::{Op, OpBody};

/// How many of a user's latest commands the state knows. Few in tests, so that a short history forgets some.
const COMMANDS_MAX: usize = if cfg!(test) { 8 } else { 1024 };

/// The owner of a command. Two owners may use the same command id for different commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandOwner<'a> {
    User(UserRef),
    /// A client that asks for an account under this name.
    NewUser(&'a UserId),
}

impl<'a> CommandOwner<'a> {
    /// The owner of the command that an op carries out.
    pub fn of(body: &'a OpBody) -> Option<Self> {
        match body {
            OpBody::CreateUser { name, .. } => Some(CommandOwner::NewUser(name)),
            _ => body.author().map(CommandOwner::User),
        }
    }
}

impl State {
    /// Whether a command was carried out. The state knows the command that made an account, and the latest ones of
    /// each user.
    pub fn knows_command(&self, owner: CommandOwner<'_>, command: CommandId) -> bool {
        self.known(owner, command).is_some()
    }

    /// The op that carried out a command. `None` also if the command is known but the origin of the op was dropped.
    pub fn command(&self, owner: CommandOwner<'_>, command: CommandId) -> Option<OpId> {
        self.known(owner, command)?
    }

    /// A command that was carried out, with its op. `Some(None)` if the origin of that op was dropped.
    pub(super) fn known(&self, owner: CommandOwner<'_>, command: CommandId) -> Option<Option<OpId>> {
        match owner {
            CommandOwner::NewUser(name) => {
                let mut born = self.born(name).map(|user| self.user_row(user));
                born.find(|row| row.made_by == command).map(|row| Some(row.id))
            }
            CommandOwner::User(user) => {
                let own = &self.user_row(self.user_no(user)?).commands;
                // Leaf by leaf: a user may have a thousand of them, and every op looks through them.
                let found = own.leaves().flatten().find(|(known, _)| *known == command);
                found.map(|&(_, op)| self.id(op))
            }
        }
    }

    /// Takes note of the command that an op has carried out, and may forget the user's oldest one for it.
    pub(super) fn remember(&mut self, op: &Op, key: OpKey) {
        let Some(user) = op.body.author().and_then(|user| self.user_no(user)) else { return };
        let own = &mut self.user_row_mut(user).commands;
        own.push_back((op.command, key));
        if own.len() > COMMANDS_MAX {
            own.pop_front();
        }
    }
}
