//! Acceptance of what an operator does to accounts and groups: names are resolved to ids, as for users. Pure.

use super::accept::{Acceptance, create_user, find_group, find_user, must_have_number};
use crate::model::name::{GroupId, UserId};
use crate::model::op::{OpBody, PasswordHash};
use crate::tracker::state::{AccountStanding, State};
use crate::wire::refusal::{Code, Refusal};

/// What the operator of this tracker wants to do. All but `MakeUser` refuse names that nobody bears with `NoSuchUser`
/// or `NoSuchGroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorChange {
    /// Make an account. Refusals: `ReservedName`, `UserExists`.
    MakeUser {
        name: UserId,
        password: PasswordHash,
    },
    /// Set another password and end all sessions.
    ResetPassword {
        user: UserId,
        password: PasswordHash,
    },
    /// End all sessions.
    EndSessions {
        user: UserId,
    },
    /// Keep a user out until `EnableUser`.
    DisableUser {
        user: UserId,
    },
    EnableUser {
        user: UserId,
    },
    /// Delete an account for good.
    DeleteUser {
        user: UserId,
    },
    /// Make a user the owner of a group. Refusals: `AccountDisabled`.
    GiveGroup {
        group: GroupId,
        user: UserId,
    },
    /// Delete a group for good.
    DeleteGroup {
        group: GroupId,
    },
}

/// Decides on a change in this state.
///
/// # Errors
/// Those that each change names, and `UsedUp` where an account is made.
pub fn accept_operator(state: &State, change: &OperatorChange) -> Result<Acceptance, Refusal> {
    let body = match change {
        OperatorChange::MakeUser { name, password } => {
            let (name, password) = create_user(state, name, password)?;
            OpBody::MakeUser { name, password }
        }
        OperatorChange::ResetPassword { user, password } => {
            OpBody::ResetPassword { user: find_user(state, user)?, password: password.clone() }
        }
        OperatorChange::EndSessions { user } => OpBody::EndSessions { user: find_user(state, user)? },
        OperatorChange::DisableUser { user } if is_disabled(state, user)? => return Ok(Acceptance::Already),
        OperatorChange::DisableUser { user } => OpBody::DisableUser { user: find_user(state, user)? },
        OperatorChange::EnableUser { user } if !is_disabled(state, user)? => return Ok(Acceptance::Already),
        OperatorChange::EnableUser { user } => OpBody::EnableUser { user: find_user(state, user)? },
        OperatorChange::DeleteUser { user } => OpBody::DeleteUser { user: find_user(state, user)? },
        OperatorChange::GiveGroup { group, user } => {
            let (group, found) = (find_group(state, group)?, find_user(state, user)?);
            if is_disabled(state, user)? {
                return Err(Refusal::about(Code::AccountDisabled, user));
            }
            if state.owner(group) == Some(found) {
                return Ok(Acceptance::Already);
            }
            OpBody::GiveGroup { group, user: found }
        }
        OperatorChange::DeleteGroup { group } => OpBody::DeleteGroup { group: find_group(state, group)? },
    };
    must_have_number(state, &body)?;
    Ok(Acceptance::Op(body))
}

fn is_disabled(state: &State, user: &UserId) -> Result<bool, Refusal> {
    let account = state.account(find_user(state, user)?);
    Ok(account.is_some_and(|account| account.standing == AccountStanding::Disabled))
}
