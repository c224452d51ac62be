//! Ops become durable, and links follow them.

use super::committer::{HERE, command};
use super::schedules::explore;
use groupshare::model::id::OpId;
use groupshare::model::name::UserId;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::sync::thread;
use groupshare::tracker::cluster::{feed::Feed, wakeup::Wakeup};
use std::sync::Arc;
use std::time::Instant;

const OPS: u64 = 5;

fn op(seq: u64) -> Op {
    let body = OpBody::CreateUser { name: UserId::parse("ann").expect("a name"), password: PasswordHash("p".into()) };
    Op { id: OpId { origin: HERE, seq }, lamport: seq, command: command(1), body }
}

#[test]
fn every_link_is_woken_for_every_op() {
    explore(|| {
        let feed = Feed::default();
        let follow = || {
            let wakeup = Arc::new(Wakeup::default());
            feed.follow(&wakeup);
            let mut seen = 0;
            while seen < OPS {
                let ops = feed.read(seen, 2, |op| op.id.seq).expect("all are kept");
                assert!(ops.iter().copied().eq(seen + 1..=seen + ops.len() as u64), "in order and without a gap");
                seen += ops.len() as u64;
                if ops.is_empty() {
                    wakeup.wait(Instant::now() + crate::common::deadline::LONG);
                }
            }
        };
        thread::scope(|scope| {
            (0..2).for_each(|_| drop(scope.spawn(follow)));
            scope.spawn(|| (1..=OPS).for_each(|seq| feed.append(&[op(seq)])));
        });
    });
}
