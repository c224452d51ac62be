//! Ops of other trackers that come late while changes are made: they are folded in with the lock released.

use super::committer::{HERE, House, command, create, full, ops_of};
use super::schedules::explore;
use groupshare::model::id::{OpId, Origin};
use groupshare::model::name::UserId;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::sync::thread;
use groupshare::tracker::commit::AppendError;
use groupshare::tracker::ledger::Past;
use groupshare::tracker::state::State;
use groupshare::wire::refusal::Code;
use std::sync::Arc;

const THERE: Origin = Origin { tracker: 2, incarnation: 1 };
const ELSEWHERE: Origin = Origin { tracker: 3, incarnation: 1 };

fn account(origin: Origin, seq: u64, lamport: u64, n: u8, name: &str) -> Op {
    let body = OpBody::CreateUser { name: UserId::parse(name).expect(name), password: PasswordHash("p".into()) };
    Op { id: OpId { origin, seq }, lamport, command: command(n), body }
}

/// A tracker that only knows what its ops came to, so that whatever comes late needs all of them.
fn house(outcomes: impl IntoIterator<Item = Result<(), AppendError>>) -> Arc<House> {
    let ops = vec![account(HERE, 1, 5, 1, "ann"), account(HERE, 2, 6, 2, "bob")];
    let mut past = State::new();
    ops.iter().for_each(|op| past.apply(op));
    House::with_past(past, ops, outcomes)
}

/// A tracker that has the same ops at hand.
fn house_with_window(outcomes: impl IntoIterator<Item = Result<(), AppendError>>) -> Arc<House> {
    let ops = vec![account(HERE, 1, 5, 1, "ann"), account(HERE, 2, 6, 2, "bob")];
    let mut past = Past::from(State::new());
    ops.iter().for_each(|op| past.apply(op.clone()));
    House::with_past(past, ops, outcomes)
}

/// What two links bring, until it is taken: some of it twice, some of it before what is here. One of the commands is
/// repeated here, again and again.
fn merge(house: &House, refusals: usize) {
    let bring = |ops: Vec<Op>| {
        // Each refusal of the log can refuse each who waits then.
        for _ in 0..=refusals {
            match house.committer.receive(ops.clone()) {
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
    };
    let there = vec![account(THERE, 1, 1, 3, "cid"), account(THERE, 2, 7, 4, "dan")];
    let elsewhere = vec![account(ELSEWHERE, 1, 2, 5, "eve")];
    thread::scope(|scope| {
        scope.spawn(|| bring(there.clone()));
        scope.spawn(|| bring([&there[..1], &elsewhere].concat()));
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
        let house = house([]);
        merge(&house, 0);
        house.end();
        let state = house.committer.state();
        assert_eq!(state.seen(THERE), 2);
        assert_eq!(state.seen(ELSEWHERE), 1);
    });
}

#[test]
fn late_ops_that_the_log_did_not_keep_are_let_go_of_and_taken_later() {
    explore(|| {
        let house = house([full(), Ok(()), full()]);
        merge(&house, 2);
        house.end();
    });
}

#[test]
fn late_ops_in_the_window_find_their_place_while_changes_go_on() {
    explore(|| {
        let house = house_with_window([]);
        merge(&house, 0);
        house.end();
        let state = house.committer.state();
        assert_eq!((state.seen(THERE), state.seen(ELSEWHERE)), (2, 1));
    });
}

#[test]
fn late_ops_in_the_window_begin_again_when_the_log_was_full() {
    explore(|| {
        let house = house_with_window([full(), Ok(()), full()]);
        merge(&house, 2);
        house.end();
    });
}

#[test]
fn the_end_in_the_middle_of_late_ops_leaves_nobody_waiting() {
    explore(|| {
        for house in [house([]), house_with_window([])] {
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
