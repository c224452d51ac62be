//! Ops of other trackers come late while changes are made. The ledger folds them in without its lock.

use super::committer::{HERE, House, command, create, full, ops_of};
use super::schedules::explore;
use groupshare::model::id::{GroupRef, OpId, Origin, UserRef};
use groupshare::model::name::{GroupId, UserId};
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::sync::thread;
use groupshare::tracker::commit::AppendError;
use groupshare::tracker::ledger::Past;
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::state::State;
use groupshare::wire::refusal::Code;
use std::sync::Arc;

const THERE: Origin = Origin { tracker: 2, incarnation: 1 };
const ELSEWHERE: Origin = Origin { tracker: 3, incarnation: 1 };

fn account(origin: Origin, seq: u64, lamport: u64, n: u8, name: &str) -> Op {
    let body = OpBody::CreateUser { name: UserId::parse(name).expect(name), password: PasswordHash("p".into()) };
    Op { id: OpId { origin, seq }, lamport, command: command(n), body }
}

fn two_accounts() -> Vec<Op> {
    vec![account(HERE, 1, 5, 1, "ann"), account(HERE, 2, 6, 2, "bob")]
}

/// A tracker that has only the state of its ops. So a late op makes it read all of them.
fn without_window(ops: Vec<Op>, outcomes: impl IntoIterator<Item = Result<(), AppendError>>) -> Arc<House> {
    let mut past = State::new();
    ops.iter().for_each(|op| past.apply(op));
    House::with_past(past, ops, outcomes)
}

/// A tracker with the same ops in its window.
fn with_window(ops: Vec<Op>, outcomes: impl IntoIterator<Item = Result<(), AppendError>>) -> Arc<House> {
    let mut past = Past::from(State::new());
    ops.iter().for_each(|op| past.apply(op.clone()));
    House::with_past(past, ops, outcomes)
}

/// A link brings these ops until they are taken.
fn bring(house: &House, ops: &[Op], refusals: usize) {
    // Each refusal of the log can refuse every thread that waits then.
    for _ in 0..=refusals {
        match house.committer.receive(ops.to_vec()) {
            Ok(()) => {
                let state = house.committer.state();
                assert!(ops.iter().all(|op| state.seen(op.id.origin) >= op.id.seq), "published before the answer");
                let kept = ops_of(&house.kept);
                assert!(ops.iter().all(|op| kept.iter().any(|kept| kept.id == op.id)), "durable before it");
                return;
            }
            Err(refusal) => assert_eq!(refusal.code, Code::Unavailable, "{refusal}"),
        }
    }
    panic!("refused more often than the log was full");
}

/// Two links bring ops until they are taken. Some ops come twice, and some come before those of this tracker. One of
/// the commands is also repeated here, again and again.
fn merge(house: &House, refusals: usize) {
    let there = vec![account(THERE, 1, 1, 3, "cid"), account(THERE, 2, 7, 4, "dan")];
    let elsewhere = vec![account(ELSEWHERE, 1, 2, 5, "eve")];
    thread::scope(|scope| {
        scope.spawn(|| bring(house, &there, refusals));
        scope.spawn(|| bring(house, &[&there[..1], &elsewhere].concat(), refusals));
        scope.spawn(|| {
            for (n, name) in [(6, "fay"), (4, "dan"), (4, "dan")] {
                match house.submit(command(n), &create(name)) {
                    Ok(_) | Err(Code::Unavailable | Code::UserExists) => (),
                    Err(other) => panic!("{name}: {other:?}"),
                }
            }
        });
    });
}

#[test]
fn ops_that_come_late_find_their_place_while_changes_go_on() {
    explore(|| {
        let house = without_window(two_accounts(), []);
        merge(&house, 0);
        house.end();
        let state = house.committer.state();
        assert_eq!(state.seen(THERE), 2);
        assert_eq!(state.seen(ELSEWHERE), 1);
    });
}

/// Ann has founded the lab, and bob is a member by her decision.
fn lab() -> Vec<Op> {
    let [ann, bob] = [1, 2].map(|seq| UserRef(OpId { origin: HERE, seq }));
    let founded = OpBody::CreateGroup { name: lab_name(), founder: ann };
    let group = GroupRef(OpId { origin: HERE, seq: 3 });
    let added = OpBody::AddMember { group, user: bob, by: ann };
    let op = |seq, body| Op { id: OpId { origin: HERE, seq }, lamport: seq + 4, command: command(seq as u8), body };
    vec![account(HERE, 1, 5, 1, "ann"), account(HERE, 2, 6, 2, "bob"), op(3, founded), op(4, added)]
}

fn lab_name() -> GroupId {
    GroupId::parse("lab").expect("a name")
}

/// Two links bring decisions of owners elsewhere, while owners here decide otherwise.
fn owners_decide(house: &House, refusals: usize) {
    let [ann, bob] = [1, 2].map(|seq| UserRef(OpId { origin: HERE, seq }));
    let group = GroupRef(OpId { origin: HERE, seq: 3 });
    let op = |origin, seq, lamport, n, body| Op { id: OpId { origin, seq }, lamport, command: command(n), body };
    let there = vec![
        account(THERE, 1, 7, 21, "cid"),
        op(THERE, 2, 9, 22, OpBody::MakeOwner { group, user: bob, by: ann }),
        op(THERE, 3, 11, 23, OpBody::DropOwner { group, user: ann, by: bob }),
        op(THERE, 4, 12, 24, OpBody::AddMember { group, user: UserRef(OpId { origin: THERE, seq: 1 }), by: bob }),
    ];
    let elsewhere = vec![
        op(ELSEWHERE, 1, 9, 25, OpBody::SetAdding { user: bob, allowed: false }),
        op(ELSEWHERE, 2, 10, 26, OpBody::RemoveMember { group, user: bob, by: ann }),
        op(ELSEWHERE, 3, 12, 27, OpBody::SetGroup { group, access: GroupAccess::Open, by: ann }),
    ];
    let target = UserId::parse("bob").expect("a name");
    thread::scope(|scope| {
        scope.spawn(|| bring(house, &there, refusals));
        scope.spawn(|| bring(house, &elsewhere, refusals));
        scope.spawn(|| {
            let here = [
                Change::MakeOwner { user: ann, group: lab_name(), target: target.clone() },
                Change::SetGroup { user: ann, group: lab_name(), access: GroupAccess::Closed },
                Change::DropOwner { user: ann, group: lab_name(), target: target.clone() },
                Change::AddMember { user: ann, group: lab_name(), target: target.clone() },
            ];
            for (n, change) in (30..).zip(here) {
                // The decisions of the others may overrule this one.
                let _ = house.submit(command(n), &change);
            }
        });
    });
}

#[test]
fn decisions_of_owners_on_all_sides_at_once_come_to_one_state() {
    explore(|| {
        for past in [false, true] {
            let house = if past { without_window(lab(), []) } else { with_window(lab(), []) };
            owners_decide(&house, 0);
            house.end();
            let state = house.committer.state();
            assert_eq!((state.seen(THERE), state.seen(ELSEWHERE)), (4, 3));
            let lab = state.group_named(&lab_name()).expect("somebody is in it");
            assert!(state.owners(lab).next().is_some());
        }
    });
}

#[test]
fn a_full_log_lets_decisions_of_owners_go_and_they_are_taken_later() {
    explore(|| {
        let house = with_window(lab(), [full(), Ok(()), full()]);
        owners_decide(&house, 2);
        house.end();
    });
}

#[test]
fn late_ops_that_the_log_did_not_keep_are_let_go_of_and_taken_later() {
    explore(|| {
        let house = without_window(two_accounts(), [full(), Ok(()), full()]);
        merge(&house, 2);
        house.end();
    });
}

#[test]
fn late_ops_in_the_window_find_their_place_while_changes_go_on() {
    explore(|| {
        let house = with_window(two_accounts(), []);
        merge(&house, 0);
        house.end();
        let state = house.committer.state();
        assert_eq!((state.seen(THERE), state.seen(ELSEWHERE)), (2, 1));
    });
}

#[test]
fn late_ops_in_the_window_begin_again_when_the_log_was_full() {
    explore(|| {
        let house = with_window(two_accounts(), [full(), Ok(()), full()]);
        merge(&house, 2);
        house.end();
    });
}

#[test]
fn the_end_in_the_middle_of_late_ops_leaves_nobody_waiting() {
    explore(|| {
        for house in [without_window(two_accounts(), []), with_window(two_accounts(), [])] {
            thread::scope(|scope| {
                scope.spawn(|| house.committer.shutdown());
                for (origin, n, name) in [(THERE, 3, "cid"), (ELSEWHERE, 5, "eve")] {
                    let house = &house;
                    scope.spawn(move || match house.committer.receive(vec![account(origin, 1, 1, n, name)]) {
                        Ok(()) => assert_eq!(house.committer.state().seen(origin), 1, "published before the answer"),
                        Err(refusal) => assert_eq!(refusal.code, Code::Closing, "{refusal}"),
                    });
                }
            });
            house.end();
        }
    });
}
