//! The tracker establishes a floor while changes and late ops come, the log fills up, and the end comes.

use super::committer::{HERE, House, command, create, full, ops_of};
use super::schedules::explore;
use groupshare::model::id::{OpId, Origin};
use groupshare::model::name::UserId;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::sync::{Mutex, thread};
use groupshare::tracker::commit::{AppendError, BaseError, BaseStore, EstablishError};
use groupshare::tracker::ledger::Past;
use groupshare::tracker::state::State;
use groupshare::wire::refusal::Code;
use std::sync::Arc;

const THERE: Origin = Origin { tracker: 2, incarnation: 1 };

/// Bases in memory. Other threads get turns before and after a base is kept.
#[derive(Default)]
struct Bases {
    kept: Mutex<Vec<State>>,
    refuses: Mutex<u32>,
}

impl BaseStore for Bases {
    fn keep(&self, base: &State) -> Result<(), BaseError> {
        thread::yield_now();
        let refuses = &mut *self.refuses.lock();
        if *refuses > 0 {
            *refuses -= 1;
            return Err(BaseError::Unchanged("the disk is full".into()));
        }
        self.kept.lock().push(base.clone());
        thread::yield_now();
        Ok(())
    }

    fn clear(&self) -> Result<bool, BaseError> {
        Ok(true)
    }
}

fn account(origin: Origin, seq: u64, lamport: u64, n: u8, name: &str) -> Op {
    let body = OpBody::CreateUser { name: UserId::parse(name).expect(name), password: PasswordHash("p".into()) };
    Op { id: OpId { origin, seq }, lamport, command: command(n), body }
}

/// A tracker with four ops.
fn house(outcomes: impl IntoIterator<Item = Result<(), AppendError>>) -> Arc<House> {
    let ops: Vec<Op> = (1..=4).map(|n| account(HERE, n, n + 1, n as u8, &format!("u{n}"))).collect();
    let mut past = Past::from(State::new());
    ops.iter().for_each(|op| past.apply(op.clone()));
    House::with_past(past, ops, outcomes)
}

/// Puts the floor below the last op. Tries again if another op comes in below it, or if the base is not kept.
fn establish(house: &House, bases: &Bases) {
    for _ in 0..8 {
        let pinned = match house.committer.pin(4) {
            Ok(Some(pinned)) => pinned,
            // An op below the floor is on its way into the log.
            Ok(None) => {
                thread::yield_now();
                continue;
            }
            Err(refusal) => return assert!(matches!(refusal.code, Code::Closing | Code::Unavailable), "{refusal}"),
        };
        match house.committer.establish(&pinned, bases) {
            Ok(true) => {
                let standing = house.committer.standing();
                assert_eq!((standing.floor.mark, standing.state.floor()), (pinned.mark, 4), "readers see it");
                let kept = bases.kept.lock();
                assert_eq!(kept.last().expect("durable before").digest(), pinned.mark.base);
                return;
            }
            // An op came in below the floor. The log may have lost it.
            Ok(false) => thread::yield_now(),
            Err(EstablishError::Base(_)) => assert_eq!(house.committer.standing().floor.mark.lamport, 0),
            Err(EstablishError::Refused(refusal)) => {
                return assert!(matches!(refusal.code, Code::Closing | Code::Unavailable), "{refusal}");
            }
        }
    }
}

/// The rest of the work: changes, a late op below the floor, and a late op above it.
fn go_on(house: &House, bases: &Bases) {
    let receive = |op: Op| match house.committer.receive(vec![op]) {
        Ok(()) => (),
        Err(refusal) => assert!(matches!(refusal.code, Code::Closing | Code::Unavailable), "{refusal}"),
    };
    thread::scope(|scope| {
        scope.spawn(|| establish(house, bases));
        scope.spawn(|| {
            for n in [11, 12] {
                match house.submit(command(n), &create(&format!("u{n}"))) {
                    Ok(_) | Err(Code::Unavailable | Code::Closing) => (),
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
        scope.spawn(|| {
            receive(account(Origin { tracker: 0, incarnation: 3 }, 1, 5, 22, "above"));
            receive(account(THERE, 1, 3, 21, "below"));
        });
    });
}

/// The end: the state is the fold of the base and of the log above it.
fn end(house: &House, bases: &Bases) {
    house.end();
    let (standing, kept) = (house.committer.standing(), bases.kept.lock());
    if standing.floor.mark.lamport > 0 {
        let base = kept.last().expect("durable before");
        let below = ops_of(&house.kept).iter().filter(|op| op.lamport <= base.floor()).count() as u64;
        assert_eq!((base.digest(), base.op_count()), (standing.floor.mark.base, below), "all of it is in the base");
    }
}

#[test]
fn a_floor_is_established_while_changes_are_made_and_late_ops_come() {
    explore(|| {
        let (house, bases) = (house([]), Bases::default());
        go_on(&house, &bases);
        end(&house, &bases);
        assert_eq!(house.committer.state().floor(), 4);
    });
}

#[test]
fn a_floor_is_established_while_the_log_and_the_place_for_bases_are_full_now_and_then() {
    explore(|| {
        let (house, bases) = (house([full(), Ok(()), full()]), Bases::default());
        *bases.refuses.lock() = 1;
        go_on(&house, &bases);
        end(&house, &bases);
    });
}

#[test]
fn a_floor_that_the_log_fails_under_leaves_nobody_waiting() {
    explore(|| {
        let failed = Err(AppendError::Failed("fsync failed".into()));
        let (house, bases) = (house([Ok(()), failed]), Bases::default());
        go_on(&house, &bases);
        end(&house, &bases);
    });
}

#[test]
fn the_end_in_the_middle_of_a_floor_leaves_nobody_waiting() {
    explore(|| {
        let (house, bases) = (house([full()]), Bases::default());
        thread::scope(|scope| {
            scope.spawn(|| go_on(&house, &bases));
            scope.spawn(|| house.committer.shutdown());
        });
        end(&house, &bases);
    });
}
