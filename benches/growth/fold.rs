//! Ops of users and of other trackers, as the state folds them.

use super::town::Town;
use super::{Input, Work, timed};
use crate::common::names::user;
use groupshare::model::id::{GroupRef, UserRef};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::state::State;
use std::convert::Infallible;

pub(super) const INPUTS: &[Input] = &[
    Input::new("accounts", (1 << 10, 1 << 15), |count| {
        fold_ops(Town::default(), |town, ops| (0..count).for_each(|n| ops.push(town.op(account(&format!("u{n}"))))))
    }),
    Input::new("requests to join that are granted", (1 << 9, 1 << 14), |count| {
        let (town, lab, users) = lab(count);
        fold_ops(town, |town, ops| {
            for &user in &users[1..] {
                ops.push(town.op(OpBody::RequestJoin { group: lab, user }));
                ops.push(town.op(OpBody::AcceptRequest { group: lab, user, by: users[0] }));
            }
        })
    }),
    Input::new("requests to join that are withdrawn", (1 << 9, 1 << 14), |count| {
        let (town, lab, users) = lab(count);
        fold_ops(town, |town, ops| {
            ops.extend(users[1..].iter().map(|&user| town.op(OpBody::RequestJoin { group: lab, user })));
            ops.extend(users[1..].iter().map(|&user| town.op(OpBody::LeaveGroup { group: lab, user })));
        })
    }),
    Input::new("sharers of a file", (1 << 9, 1 << 13), |count| {
        let (mut town, lab, users) = lab(count);
        users[1..].iter().for_each(|&user| town.let_in(lab, user, users[0]));
        let share = town.share(lab, users[0], 1, 1);
        fold_ops(town, |town, ops| {
            ops.extend(users[1..].iter().map(|&user| town.op(OpBody::JoinShare { share, user })));
            ops.extend(users.iter().map(|&user| town.op(OpBody::LeaveShare { share, user })));
        })
    }),
    Input::new("shares of a member who leaves", (1 << 9, 1 << 14), |count| {
        let (mut town, lab, users) = lab(2);
        town.let_in(lab, users[1], users[0]);
        for n in 0..count {
            town.share(lab, users[1], n, 1);
        }
        fold_ops(town, |town, ops| ops.push(town.op(OpBody::LeaveGroup { group: lab, user: users[1] })))
    }),
    Input::new("owners who leave in turn", (1 << 9, 1 << 13), |count| {
        let (mut town, lab, users) = lab(count);
        users[1..].iter().for_each(|&user| town.let_in(lab, user, users[0]));
        fold_ops(town, |town, ops| {
            ops.extend(users.iter().map(|&user| town.op(OpBody::LeaveGroup { group: lab, user })));
        })
    }),
    Input::new("groups of a user who is deleted", (1 << 9, 1 << 14), |count| {
        let mut town = Town::default();
        let user = town.user("ann");
        for n in 0..count {
            town.group(&format!("g{n}"), user);
        }
        fold_ops(town, |town, ops| ops.push(town.op(OpBody::DeleteUser { user })))
    }),
    Input::new("notices of a user", (1 << 9, 1 << 14), |count| {
        let mut town = Town::default();
        let user = town.user("ann");
        fold_ops(town, |town, ops| (0..count).for_each(|_| ops.push(town.op(OpBody::EndSessions { user }))))
    }),
    Input::new("passwords that are changed", (1 << 9, 1 << 14), |count| {
        let mut town = Town::default();
        let user = town.user("ann");
        let password = PasswordHash("another".into());
        fold_ops(town, |town, ops| {
            for _ in 0..count {
                let former = town.state.account(user).expect("there").password_op;
                ops.push(town.op(OpBody::ChangePassword { user, former, password: password.clone() }));
            }
        })
    }),
    Input::new("bytes of a state", (1 << 10, 1 << 15), |count| {
        let (mut town, lab, users) = lab(2);
        for n in 0..count {
            town.share(lab, users[0], n, 1);
        }
        let state = town.state;
        Box::new(move || {
            timed(|| {
                let mut bytes = Vec::new();
                let Ok(()) = state.encode(|part| {
                    bytes.extend_from_slice(part);
                    Ok::<_, Infallible>(())
                });
                State::decode(&bytes).expect("its own bytes")
            })
        })
    }),
    Input::new("groups that a floor drops", (1 << 10, 1 << 15), |count| {
        let mut town = Town::default();
        let user = town.user("ann");
        let groups: Vec<GroupRef> = (0..count).map(|n| town.group(&format!("g{n}"), user)).collect();
        for group in groups {
            town.add(OpBody::LeaveGroup { group, user });
        }
        let mut state = town.state;
        // A floor drops what was idle already at the floor before.
        state.prune(state.lamport());
        Box::new(move || {
            let mut state = state.clone();
            timed(move || {
                let dropped = state.prune(state.lamport()).groups;
                (state, dropped)
            })
        })
    }),
];

fn account(name: &str) -> OpBody {
    OpBody::CreateUser { name: user(name), password: PasswordHash("none".into()) }
}

/// This many users and a group of the first one.
fn lab(count: usize) -> (Town, GroupRef, Vec<UserRef>) {
    let mut town = Town::default();
    let users = town.users(count);
    let lab = town.group("lab", users[0]);
    (town, lab, users)
}

/// Folds ops onto the present state.
fn fold_ops(mut town: Town, make: impl FnOnce(&mut Town, &mut Vec<Op>)) -> Work {
    let mut ops = Vec::new();
    make(&mut town, &mut ops);
    let state = town.state;
    Box::new(move || {
        let mut state = state.clone();
        timed(|| {
            ops.iter().for_each(|op| state.apply(op));
            state
        })
    })
}
