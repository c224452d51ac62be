//! What an operator has the tracker do. Each act is durable here before it is answered.

use super::Server;
use super::looks::refusal_of;
use crate::model::id::{CommandId, OpId};
use crate::model::name::{GroupId, UserId};
use crate::model::op::PasswordHash;
use crate::model::units;
use crate::sys;
use crate::sys::random::random_bytes;
use crate::tracker::audit::line::op_text;
use crate::tracker::auth::passwords::Asker;
use crate::tracker::backup::snapshot::BackupSource;
use crate::tracker::cluster::cluster_view::ForgetError;
use crate::tracker::ledger::operator::{OperatorChange, accept_operator};
use crate::tracker::operator::answer::{CommandRefusal, Row};
use crate::tracker::state::{AccountStanding, State};
use crate::wire::client_tracker::Password;
use crate::wire::refusal::{Code, Refusal};
use serde_json::json;
use std::io;

/// The 32 characters of generated passwords: none can be mistaken for another.
const CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// The number of characters in a password: 100 bits.
const MADE_LEN: usize = 20;

/// An act on a user that neither sets a password nor names a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAct {
    Disable,
    Enable,
    Kick,
    Delete,
}

/// Which password act it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAct {
    Create,
    Reset,
}

impl PasswordAct {
    fn change(self, user: &UserId, password: PasswordHash) -> OperatorChange {
        match self {
            Self::Create => OperatorChange::MakeUser { name: user.clone(), password },
            Self::Reset => OperatorChange::ResetPassword { user: user.clone(), password },
        }
    }
}

/// A password that is infeasible to guess.
///
/// # Errors
/// The system gives no random bytes.
pub fn made_password() -> Result<Password, CommandRefusal> {
    let bytes: [u8; MADE_LEN] = random_bytes().map_err(|error| unavailable(&error))?;
    let text: String = bytes.iter().map(|byte| char::from(CHARACTERS[usize::from(byte % 32)])).collect();
    Password::new(&text).ok_or_else(|| refusal_of(&Code::BadPassword.into()))
}

fn unavailable(error: &io::Error) -> CommandRefusal {
    refusal_of(&Refusal::about(Code::Unavailable, sys::reason(error)))
}

/// Accounts and groups.
impl Server {
    /// Checks whether a password can be set, before the operator is asked for it.
    ///
    /// # Errors
    /// That of the change.
    pub fn may_set_password(&self, act: PasswordAct, user: &UserId) -> Result<(), CommandRefusal> {
        let (state, any) = (self.core.state(), PasswordHash("".into()));
        accept_operator(&state, &act.change(user, any)).map(|_| ()).map_err(|refusal| told(&state, user, &refusal))
    }

    /// Makes an account or resets a password. `shown`: whether the answer tells the password.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn set_password(
        &self,
        act: PasswordAct,
        user: &UserId,
        password: Password,
        shown: bool,
    ) -> Result<Row, CommandRefusal> {
        let text = shown.then(|| password.reveal().to_owned());
        let hash = self.core.passwords.hash(Asker::operator(), password).map_err(|refusal| refusal_of(&refusal))?;
        let op = self.operate(&act.change(user, hash)).map_err(|refusal| told(&self.core.state(), user, &refusal))?;
        let words = match act {
            PasswordAct::Create => format!("User {user} created"),
            PasswordAct::Reset => format!("The password of {user} is reset, all sessions end"),
        };
        let mut row = done(op, words);
        if let Some(text) = text {
            row.words.push_str(&format!("\nPassword: {text}"));
            row.json["passwd"] = text.into();
        }
        Ok(row)
    }

    /// Performs an act on a user.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn act_on_user(&self, act: UserAct, name: &UserId) -> Result<Row, CommandRefusal> {
        let (before, user) = (self.core.state(), name.clone());
        let change = match act {
            UserAct::Disable => OperatorChange::DisableUser { user },
            UserAct::Enable => OperatorChange::EnableUser { user },
            UserAct::Kick => OperatorChange::EndSessions { user },
            UserAct::Delete => OperatorChange::DeleteUser { user },
        };
        let here = self.clients_here(&before, name);
        let op = self.operate(&change).map_err(|refusal| refusal_of(&refusal))?;
        Ok(match (act, op.is_some()) {
            (UserAct::Disable, true) => done(op, format!("{name} is disabled, all sessions end")),
            (UserAct::Disable, false) => done(op, format!("{name} is disabled already")),
            (UserAct::Enable, true) => done(op, format!("{name} is enabled")),
            (UserAct::Enable, false) => done(op, format!("{name} is not disabled")),
            (UserAct::Kick, _) => {
                let mut row = done(op, format!("All sessions of {name} end ({here} clients here)"));
                row.json["clients"] = here.into();
                row
            }
            (UserAct::Delete, _) => deleted(op, &before, name),
        })
    }

    fn clients_here(&self, state: &State, name: &UserId) -> usize {
        let clients = state.user_named(name).map(|user| self.core.presence.online_of(user)).unwrap_or_default();
        clients.iter().filter(|client| client.tracker.is_none()).count()
    }

    /// Makes a user the owner of a group.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn give_group(&self, group: &GroupId, user: &UserId) -> Result<Row, CommandRefusal> {
        let change = OperatorChange::GiveGroup { group: group.clone(), user: user.clone() };
        let op = self.operate(&change).map_err(|refusal| refusal_of(&refusal))?;
        let words = match op.is_some() {
            true => format!("{group} belongs to {user} now"),
            false => format!("{user} owns {group} already"),
        };
        Ok(done(op, words))
    }

    /// Removes a group for good.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn delete_group(&self, group: &GroupId) -> Result<Row, CommandRefusal> {
        let before = self.core.state();
        let members = before.group_named(group).map_or(0, |group| before.member_count(group));
        let change = OperatorChange::DeleteGroup { group: group.clone() };
        let op = self.operate(&change).map_err(|refusal| refusal_of(&refusal))?;
        let mut row = done(op, format!("{group} is deleted, {members} members are out"));
        row.json["members"] = members.into();
        Ok(row)
    }

    /// Makes a change; `None` if it was needless.
    fn operate(&self, change: &OperatorChange) -> Result<Option<OpId>, Refusal> {
        let no_bytes = |error: io::Error| Refusal::about(Code::Unavailable, sys::reason(&error));
        let command = CommandId(random_bytes().map_err(no_bytes)?);
        self.core.committer.operate(command, change).map(|committed| committed.op)
    }
}

/// The answer that a change was made, with its op.
fn done(op: Option<OpId>, words: String) -> Row {
    let mut row = Row::success(words);
    if let Some(op) = op {
        row.json["op"] = op_text(op).into();
    }
    row
}

/// What became of the groups of a deleted user.
fn deleted(op: Option<OpId>, before: &State, name: &UserId) -> Row {
    let user = before.user_named(name);
    let groups = user.map(|user| before.groups_of(user, None, usize::MAX)).unwrap_or_default();
    let ended = groups.iter().filter(|(group, _)| before.member_count(*group) == 1).count();
    let passed_on =
        groups.iter().filter(|(group, _)| user.is_some_and(|user| before.owners(*group).eq([user]))).count() - ended;
    let mut row = done(op, format!("{name} is deleted; {passed_on} groups passed on, {ended} ended"));
    row.json["passed_on"] = passed_on.into();
    row.json["ended"] = ended.into();
    row
}

/// A refusal about a user. Says so if the name belongs to a deleted account.
fn told(state: &State, user: &UserId, refusal: &Refusal) -> CommandRefusal {
    let mut told = refusal_of(refusal);
    let standing = state.account_named(user).map(|account| account.standing);
    if refusal.code == Code::UserExists && standing == Some(AccountStanding::Deleted) {
        told.words.push_str(", and deleted: its name stays reserved");
    }
    told
}

/// This tracker.
impl Server {
    /// Sets whether the tracker refuses changes of clients. Without `wanted`, tells the present setting.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn read_only(&self, wanted: Option<bool>) -> Result<Row, CommandRefusal> {
        let committer = &self.core.committer;
        if let Some(read_only) = wanted {
            let set = self.read_only.set(read_only, || committer.set_read_only(read_only));
            set.map_err(|error| unavailable(&error))?;
        }
        let words = match (wanted, committer.is_read_only()) {
            (Some(true), _) => "This tracker takes no changes of clients now".to_owned(),
            (Some(false), _) => "This tracker takes changes of clients again".to_owned(),
            (None, true) => format!("on since {}", units::age(self.read_only.lasts())),
            (None, false) => "off".to_owned(),
        };
        let mut row = Row::success(words);
        row.json["read_only"] = json!(committer.is_read_only());
        Ok(row)
    }

    /// The source of a backup.
    pub fn backup_source(&self) -> BackupSource {
        BackupSource::new(self.core.clone(), self.data_dir.path().to_path_buf(), self.number)
    }

    /// Makes all trackers forget another one, or take it back.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn forget_or_not(&self, number: u16, forget: bool) -> Result<Row, CommandRefusal> {
        let (what, done) =
            if forget { ("forgotten", self.forget(number)) } else { ("taken back", self.unforget(number)) };
        let code = |why: &ForgetError| match why {
            ForgetError::Own => "OwnTracker".to_owned(),
            ForgetError::Unknown => "NoSuchTracker".to_owned(),
            ForgetError::NotForgotten => "NotForgotten".to_owned(),
            ForgetError::Refused(refusal) => refusal_of(refusal).code,
        };
        match done {
            Ok(()) => Ok(Row::success(format!(
                "Tracker {number} is {what}, here at once and at the others as they hear of it"
            ))),
            Err(why) => {
                Err(CommandRefusal { code: code(&why), words: format!("Tracker {number} was not {what}: {why}") })
            }
        }
    }
}
