//! Ops as the ledger takes them: in order, and late.

use super::town::{ORIGIN, Town};
use super::{Input, Work, timed};
use crate::common::names::user;
use groupshare::model::id::{CommandId, OpId, Origin};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::ledger::{Finish, Ledger};
use groupshare::tracker::state::State;

/// Late ops come in this many lots.
const LOTS: usize = 8;

pub(super) const INPUTS: &[Input] = &[
    Input::new("ops of a tracker", (1 << 9, 1 << 14), |count| take(Vec::new(), ops(ORIGIN, count))),
    Input::new("late ops of a tracker", (1 << 9, 1 << 13), |count| {
        take(ops(ORIGIN, count), ops(Origin { tracker: 8, incarnation: 1 }, count))
    }),
];

/// Accounts that one tracker made.
fn ops(origin: Origin, count: usize) -> Vec<Op> {
    let mut town = Town::default();
    let number = u128::from(origin.tracker) << 64;
    let op = |n: usize| {
        let name = user(&format!("u{}-{n}", origin.tracker));
        let op = town.op(OpBody::CreateUser { name, password: PasswordHash("none".into()) });
        let command = CommandId((number | n as u128).to_be_bytes());
        Op { id: OpId { origin, seq: n as u64 }, command, ..op }
    };
    (1..=count).map(op).collect()
}

/// A ledger with the `first` ops takes the ops of `then`.
fn take(first: Vec<Op>, then: Vec<Op>) -> Work {
    Box::new(move || {
        let mut ledger = Ledger::new(Origin { tracker: 1, incarnation: 1 }, State::new());
        give(&mut ledger, first.clone());
        let lots: Vec<Vec<Op>> = then.chunks(then.len() / LOTS).map(<[Op]>::to_vec).collect();
        timed(|| {
            lots.into_iter().for_each(|lot| give(&mut ledger, lot));
            ledger
        })
    })
}

fn give(ledger: &mut Ledger, mut ops: Vec<Op>) {
    while !ops.is_empty() {
        let durable = ledger.state().clone();
        let receipt = ledger.receive(ops, &durable).expect("in order");
        ops = receipt.rest;
        if let Some(mut refold) = receipt.refold {
            assert!(!refold.needs_history(), "the window reaches that far");
            while refold.slice(64) {}
            refold.narrow();
            assert!(matches!(ledger.finish(refold), Finish::Swapped(..)));
        }
    }
}
