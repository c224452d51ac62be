//! Acceptance of an operator's changes to accounts and groups. Resolves names to ids, as for users. Pure.

use super::accept::{Acceptance, create_user, find_group, find_user, must_have_number};
use crate::model::name::{GroupId, UserId};
use crate::model::op::{OpBody, PasswordHash};
use crate::tracker::state::{AccountStanding, State};
use crate::wire::refusal::{Code, Refusal};

/// A change that the operator of this tracker asks for. All but `MakeUser` refuse unknown names with `NoSuchUser` or
/// `NoSuchGroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorChange {
    /// Make an account. Refusals: `ReservedName`, `MisleadingName`, `UserExists`.
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
/// Those that each change names, and `UsedUp` if an account is to be made.
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
            if state.owners(group).eq([found]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, GroupRef, OpId, Origin, UserRef};
    use crate::model::name::tests::{group, user};
    use crate::model::op::Op;

    fn password() -> PasswordHash {
        PasswordHash("p".into())
    }

    fn fold(state: &mut State, body: OpBody) -> OpId {
        let origin = Origin { tracker: 1, incarnation: 1 };
        let id = OpId { origin, seq: state.seen(origin) + 1 };
        let command = CommandId(u128::from(id.seq).to_be_bytes());
        state.apply(&Op { id, lamport: state.lamport() + 1, command, body });
        id
    }

    /// Alice founded `lab`, bob is disabled, carol was deleted.
    fn lab() -> (State, [UserRef; 3], GroupRef) {
        let mut state = State::new();
        let users = ["alice", "bob", "carol"].map(|name| {
            let body = OpBody::CreateUser { name: user(name), password: password() };
            UserRef(fold(&mut state, body))
        });
        let lab = GroupRef(fold(&mut state, OpBody::CreateGroup { name: group("lab"), founder: users[0] }));
        fold(&mut state, OpBody::DisableUser { user: users[1] });
        fold(&mut state, OpBody::DeleteUser { user: users[2] });
        (state, users, lab)
    }

    fn make(name: &str) -> OperatorChange {
        OperatorChange::MakeUser { name: user(name), password: password() }
    }

    fn give(lab: &str, name: &str) -> OperatorChange {
        OperatorChange::GiveGroup { group: group(lab), user: user(name) }
    }

    /// Every change of one user.
    fn about(name: &str) -> [OperatorChange; 5] {
        let user = user(name);
        [
            OperatorChange::ResetPassword { user: user.clone(), password: password() },
            OperatorChange::EndSessions { user: user.clone() },
            OperatorChange::DisableUser { user: user.clone() },
            OperatorChange::EnableUser { user: user.clone() },
            OperatorChange::DeleteUser { user },
        ]
    }

    #[test]
    fn every_refusal_names_its_reason() {
        let (state, ..) = lab();
        let named = [
            (make("alice"), Code::UserExists, "alice"),
            (make("carol"), Code::UserExists, "carol"),
            (make("dave~2"), Code::ReservedName, "dave~2"),
            (make("d\u{430}ve"), Code::MisleadingName, "d\u{430}ve"),
            (give("x", "alice"), Code::NoSuchGroup, "x"),
            (give("lab", "carol"), Code::NoSuchUser, "carol"),
            (give("lab", "bob"), Code::AccountDisabled, "bob"),
            (OperatorChange::DeleteGroup { group: group("x") }, Code::NoSuchGroup, "x"),
        ];
        let gone = ["carol", "nobody"].map(|name| about(name).map(|change| (change, Code::NoSuchUser, name)));
        for (change, code, about) in named.into_iter().chain(gone.into_iter().flatten()) {
            let refusal = accept_operator(&state, &change).expect_err(&format!("{change:?}"));
            assert_eq!((refusal.code, refusal.about.as_str()), (code, about), "{change:?}");
        }
    }

    #[test]
    fn a_change_that_is_so_already_needs_no_op() {
        let (state, ..) = lab();
        let [_, _, disable, _, _] = about("bob");
        let [_, _, _, enable, _] = about("alice");
        for change in [disable, enable, give("lab", "alice")] {
            assert_eq!(accept_operator(&state, &change), Ok(Acceptance::Already), "{change:?}");
        }
    }

    #[test]
    fn an_accepted_change_names_ids() {
        let (state, [alice, bob, _], lab) = lab();
        let accepted = |change| match accept_operator(&state, &change) {
            Ok(Acceptance::Op(body)) => body,
            other => panic!("{change:?}: {other:?}"),
        };
        assert_eq!(accepted(make("dave")), OpBody::MakeUser { name: user("dave"), password: password() });
        let [reset, kick, disable, _, delete] = about("alice");
        assert_eq!(accepted(reset), OpBody::ResetPassword { user: alice, password: password() });
        assert_eq!(accepted(kick), OpBody::EndSessions { user: alice });
        assert_eq!(accepted(disable), OpBody::DisableUser { user: alice });
        assert_eq!(accepted(delete), OpBody::DeleteUser { user: alice });
        let [_, _, _, enable, _] = about("bob");
        assert_eq!(accepted(enable), OpBody::EnableUser { user: bob });
        assert_eq!(accepted(OperatorChange::DeleteGroup { group: group("lab") }), OpBody::DeleteGroup { group: lab });
        let mut state = state.clone();
        let dave = UserRef(fold(&mut state, OpBody::MakeUser { name: user("dave"), password: password() }));
        let given = Ok(Acceptance::Op(OpBody::GiveGroup { group: lab, user: dave }));
        assert_eq!(accept_operator(&state, &give("lab", "dave")), given);
        state.use_up_numbers();
        assert_eq!(accept_operator(&state, &make("erin")), Err(Code::UsedUp.into()));
        assert_eq!(accept_operator(&state, &give("lab", "dave")), given, "all else goes on");
    }
}
