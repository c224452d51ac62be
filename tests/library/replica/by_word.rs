//! A tracker hears of a higher floor for which it has voted. If it holds exactly those ops, it establishes the floor by
//! itself, however long that takes. Otherwise it takes the base of the other tracker.

use super::{account, hear, hear_count, link_as, send_ops};
use crate::common::deadline::LONG;
use crate::common::kept_tracker::Told;
use crate::common::memory_log::MemoryLog;
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::model::id::{OpId, Origin, Seen};
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::commit::{OpLog, OpSource, ReadBackError};
use groupshare::tracker::state::State;
use groupshare::wire::codec::List;
use groupshare::wire::connection::{FrameReceiver, FrameSender};
use groupshare::wire::frame::UNASKED;
use groupshare::wire::tracker_tracker::{HAVE_INTERVAL, LinkMessage};
use parking_lot::{Mutex, MutexGuard};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many changes lie below the floor.
const BELOW: u64 = 20;

/// A log that returns no ops in order while the test holds it, or while the test makes it fail. Clones are the same
/// log.
#[derive(Default, Clone)]
struct SlowLog(MemoryLog, Arc<Mutex<()>>, Arc<AtomicBool>);

impl SlowLog {
    fn hold(&self) -> MutexGuard<'_, ()> {
        self.1.lock()
    }

    fn set_unreadable(&self, unreadable: bool) {
        self.2.store(unreadable, Ordering::SeqCst);
    }
}

impl OpSource for SlowLog {
    fn base(&self) -> Result<State, ReadBackError> {
        self.0.base()
    }

    fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        self.0.read(take)
    }

    fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        let _free = self.1.lock();
        if self.2.load(Ordering::SeqCst) {
            return Err(ReadBackError::new(io::Error::from(io::ErrorKind::StorageFull)));
        }
        self.0.read_in_order(take)
    }
}

/// Tracker 1 after a restart, behind a floor that it has proposed and promised. It lacks the promise of tracker 2. All
/// of it lies below the window.
struct Promised {
    tracker: TestTracker,
    told: Told,
    floor: FloorMark,
}

impl Promised {
    /// Starts with a floor as the test changes it.
    fn start(log: &SlowLog, change: impl FnOnce(&mut FloorProposal)) -> Self {
        let mut ops: Vec<Op> = (1..=2 * BELOW).map(|seq| account(1, seq, seq)).collect();
        let mut base = State::new();
        ops.iter().filter(|op| op.lamport <= BELOW).for_each(|op| base.apply(op));
        base.prune(BELOW);
        let mut floor = FloorProposal {
            after: FloorMark::default(),
            mark: FloorMark { lamport: BELOW, base: base.digest() },
            vector: vec![Seen { origin: ops[0].id.origin, seq: BELOW }],
            participants: vec![1, 2],
        };
        change(&mut floor);
        let (mark, floor) = (floor.mark, Arc::new(floor));
        let mut issue = |tracker, body| {
            let made = |op: &&Op| op.id.origin.tracker == tracker;
            let (seq, lamport) = (ops.iter().filter(made).count() as u64 + 1, ops.len() as u64 + 1);
            ops.push(Op { body, ..account(tracker, seq, lamport) });
            ops[ops.len() - 1].id
        };
        let proposal: OpId = issue(1, OpBody::ProposeFloor { floor: floor.clone() });
        issue(2, OpBody::ReadyForFloor { proposal });
        issue(1, OpBody::PromiseFloor { proposal, floor });
        let mut state = State::new();
        ops.iter().for_each(|op| state.apply(op));
        log.0.clone().append(&ops).expect("memory");
        let told = Told::default();
        let tracker = TestTracker::start_with(|settings| {
            settings.origin = Origin { tracker: 1, incarnation: 2 };
            settings.floor_pace.pause = Duration::from_millis(100);
            (settings.past, settings.log) = (state.into(), Box::new(log.0.clone()));
            (settings.source, settings.bases) = (Arc::new(log.clone()), Arc::new(log.0.clone()));
            told.set(settings);
        });
        Self { tracker, told, floor: mark }
    }

    /// A link from tracker 2, which is on the floor.
    fn link(&self) -> (FrameReceiver, Arc<FrameSender>) {
        link_as(self.tracker.addr, 2, 1, self.floor)
    }

    fn stands_on_it(&self) -> bool {
        self.tracker.server.core().committer.standing().floor.mark == self.floor
    }

    /// Checks the tracker until it asks for the base.
    fn wants_base(&self) {
        let (mut receiver, sender) = self.link();
        let deadline = Instant::now() + LONG;
        while !asks_before_answer(&mut receiver, &sender, self.floor) {
            assert!(Instant::now() < deadline, "it does not ask");
        }
        assert!(!self.stands_on_it());
    }
}

/// Whether the tracker asks for the base before it answers that it is alive.
fn asks_before_answer(receiver: &mut FrameReceiver, sender: &FrameSender, wanted: FloorMark) -> bool {
    sender.send(UNASKED, &LinkMessage::AreYouThere {}).expect("sent");
    hear(receiver, |message| match message {
        LinkMessage::WantBase { floor } => Some(floor == wanted),
        LinkMessage::Here {} => Some(false),
        _ => None,
    })
}

#[test]
fn a_tracker_that_holds_exactly_the_ops_of_a_floor_takes_its_time_to_establish_it() {
    let log = SlowLog::default();
    let held = log.hold();
    let one = Promised::start(&log, |_| {});
    let (mut receiver, sender) = one.link();
    // It must read the ops below the window, and nothing overtakes it meanwhile.
    let begun = Instant::now();
    while begun.elapsed() < HAVE_INTERVAL {
        hear(&mut receiver, |message| match message {
            LinkMessage::Have { .. } => Some(()),
            LinkMessage::WantBase { .. } => panic!("it asks for the base"),
            _ => None,
        });
        assert!(!asks_before_answer(&mut receiver, &sender, one.floor));
    }
    assert!(!one.stands_on_it());
    drop(held);
    wait_until("it stands on the floor", || one.stands_on_it());
    assert!(!asks_before_answer(&mut receiver, &sender, one.floor));
}

#[test]
fn a_tracker_that_cannot_read_its_log_for_now_is_not_overtaken_either_and_its_operator_is_told() {
    let log = SlowLog::default();
    log.set_unreadable(true);
    let one = Promised::start(&log, |_| {});
    let (mut receiver, sender) = one.link();
    wait_until("it is told", || one.told.has("old changes cannot be dropped: "));
    assert!(one.told.has("old changes cannot be read: "));
    assert!(!asks_before_answer(&mut receiver, &sender, one.floor) && !one.stands_on_it());
    log.set_unreadable(false);
    wait_until("it stands on the floor", || one.stands_on_it());
    wait_until("that is told too", || one.told.has("old changes can be dropped again"));
    assert!(!asks_before_answer(&mut receiver, &sender, one.floor));
}

#[test]
fn a_tracker_that_holds_other_ops_than_it_has_promised_takes_the_base() {
    let lacking = Seen { origin: Origin { tracker: 3, incarnation: 1 }, seq: 1 };
    Promised::start(&SlowLog::default(), |floor| floor.vector.push(lacking)).wants_base();
    Promised::start(&SlowLog::default(), |floor| floor.vector[0].seq += 1).wants_base();
}

#[test]
fn a_tracker_whose_state_differs_takes_the_base() {
    let one = Promised::start(&SlowLog::default(), |floor| floor.mark.base = [7; 32]);
    one.wants_base();
    assert!(one.told.has("THE STATES DIFFER up to change 20"));
}

#[test]
fn late_changes_that_were_given_before_the_floors_differed_are_taken_at_once() {
    let one = super::tracker(1, &[]);
    let mut alice = one.user("alice");
    (0..3).for_each(|n| alice.create_group(&format!("group{n}")));
    let (mut receiver, sender) = link_as(one.addr, 2, 1, FloorMark::default());
    // The other tracker claims to have more, and then is on another floor: it sends no more.
    let late = account(2, 1, 1);
    let have = |floor| {
        let seen = List::first_of(vec![Seen { origin: late.id.origin, seq: 5 }]);
        LinkMessage::Have { floor, seen, digest: None }
    };
    sender.send(UNASKED, &have(FloorMark::default())).expect("sent");
    send_ops(&sender, [late.clone()].into_iter());
    sender.send(UNASKED, &have(FloorMark { lamport: 9, base: [7; 32] })).expect("sent");
    hear_count(&mut receiver, 5);
}
