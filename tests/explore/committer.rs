//! Changes of many threads, a failing log, and the end.

use super::schedules::explore;
use crate::common::memory_log::MemoryLog;
use groupshare::model::id::{CommandId, OpId, Origin};
use groupshare::model::name::UserId;
use groupshare::model::op::{Op, PasswordHash};
use groupshare::sync::atomic::{AtomicUsize, Ordering};
use groupshare::sync::{Mutex, thread};
use groupshare::tracker::commit::{AppendError, Committed, Committer, OpLog, OpSource, ReadBackError, Settled};
use groupshare::tracker::ledger::Past;
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::state::State;
use groupshare::wire::refusal::{Code, Refusal};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

pub(super) const HERE: Origin = Origin { tracker: 1, incarnation: 1 };

/// A log in memory with scripted failures. After them it keeps everything. Other threads get turns before, between and
/// after.
struct Scripted {
    kept: MemoryLog,
    outcomes: VecDeque<Result<(), AppendError>>,
}

impl OpLog for Scripted {
    fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
        thread::yield_now();
        self.outcomes.pop_front().unwrap_or(Ok(()))?;
        for op in ops {
            self.kept.append(std::slice::from_ref(op))?;
            thread::yield_now();
        }
        Ok(())
    }
}

pub(super) fn full() -> Result<(), AppendError> {
    Err(AppendError::Full("the disk is full".into()))
}

fn failed() -> Result<(), AppendError> {
    Err(AppendError::Failed("fsync failed".into()))
}

/// A committer over such a log, and the checks of its results.
pub(super) struct House {
    pub committer: Committer,
    pub kept: MemoryLog,
    /// How many reactions were promised, and how many came.
    promised: AtomicUsize,
    reacted: AtomicUsize,
}

impl House {
    pub(super) fn new(outcomes: impl IntoIterator<Item = Result<(), AppendError>>) -> Arc<Self> {
        Self::with_past(State::new(), Vec::new(), outcomes)
    }

    /// A committer over a log that has these ops already.
    pub(super) fn with_past(
        past: impl Into<Past>,
        ops: Vec<Op>,
        outcomes: impl IntoIterator<Item = Result<(), AppendError>>,
    ) -> Arc<Self> {
        let mut kept = MemoryLog::default();
        kept.append(&ops).expect("memory");
        let log = Box::new(Scripted { kept: kept.clone(), outcomes: outcomes.into_iter().collect() });
        let sink = {
            let (kept, known) = (kept.clone(), Mutex::new(ops.len()));
            Box::new(move |settled: Settled| {
                if let Some(published) = &settled.published {
                    let mut known = known.lock();
                    *known += published.ops.len();
                    assert_eq!(*known, ops_of(&kept).len(), "the published ops are those of the log");
                    assert_eq!(published.after.op_count(), *known as u64);
                }
                settled.react();
            })
        };
        let source = Arc::new(Unhurried(kept.clone()));
        let committer = Committer::start(HERE, past, log, source, sink).expect("a thread starts");
        Arc::new(Self { committer, kept, promised: AtomicUsize::new(0), reacted: AtomicUsize::new(0) })
    }

    /// Checks an answer: its change must be durable and published.
    fn check(&self, (command, change): (CommandId, &Change), committed: Committed) {
        let op = committed.op.expect("a change that had to be made");
        assert!(ops_of(&self.kept).iter().any(|kept| kept.id == op), "durable before the answer");
        // Another tracker may have carried out the same command before. Then both mean the op of that tracker.
        let state = self.committer.state();
        assert_eq!(state.command(change.owner(), command), Some(state.canonical(op)), "published before the answer");
    }

    /// Makes a change and waits for its outcome.
    pub(super) fn submit(&self, command: CommandId, change: &Change) -> Result<OpId, Code> {
        let committed = self.committer.submit(command, change).map_err(|refusal| refusal.code)?;
        self.check((command, change), committed);
        Ok(committed.op.expect("checked"))
    }

    /// Makes a change. A reaction receives its outcome, once. False if the committer refused it at once.
    fn begin(self: &Arc<Self>, command: CommandId, change: &Change) -> bool {
        let Ok((committed, pending)) = self.committer.begin(command, change) else { return false };
        self.promised.fetch_add(1, Ordering::SeqCst);
        // This is weak because the writer must not end the committer.
        let (house, change) = (Arc::downgrade(self), change.clone());
        let told = move |outcome: Result<(), Refusal>| {
            let house = Weak::upgrade(&house).expect("the committer was shut down before");
            if outcome.is_ok() {
                house.check((command, &change), committed);
            }
            house.reacted.fetch_add(1, Ordering::SeqCst);
        };
        match pending {
            Some(pending) => pending.then(Box::new(told)),
            None => told(Ok(())),
        }
        true
    }

    /// The end: every outcome was reported, and the state is the fold of the log.
    pub(super) fn end(&self) {
        self.committer.shutdown();
        assert_eq!(self.reacted.load(Ordering::SeqCst), self.promised.load(Ordering::SeqCst), "told once each");
        let ops = ops_of(&self.kept);
        let own = ops.iter().filter(|op| op.id.origin == HERE);
        assert!(own.zip(1..).all(|(op, seq)| op.id.seq == seq), "sequences without a gap");
        let mut in_order = ops.clone();
        in_order.sort_by_key(Op::order);
        let (mut folded, floor) = (State::new(), self.committer.standing().floor.mark.lamport);
        let (below, above) = in_order.split_at(in_order.partition_point(|op| op.lamport <= floor));
        below.iter().for_each(|op| folded.apply(op));
        if floor > 0 {
            folded.prune(floor);
        }
        above.iter().for_each(|op| folded.apply(op));
        assert_eq!(self.committer.state().digest(), folded.digest());
        let refused = self.committer.submit(command(99), &create("late")).expect_err("it has ended");
        assert!(matches!(refused.code, Code::Closing | Code::Unavailable), "{refused}");
    }
}

/// Gives other threads a turn while old ops are read again.
struct Unhurried(MemoryLog);

impl OpSource for Unhurried {
    fn base(&self) -> Result<State, ReadBackError> {
        Ok(State::new())
    }

    fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        thread::yield_now();
        ops_of(&self.0).into_iter().all(|op| {
            thread::yield_now();
            take(op)
        });
        Ok(())
    }

    fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
        thread::yield_now();
        let mut ops = ops_of(&self.0);
        ops.sort_by_key(Op::order);
        ops.into_iter().all(|op| {
            thread::yield_now();
            take(op)
        });
        Ok(())
    }
}

pub(super) fn ops_of(log: &MemoryLog) -> Vec<Op> {
    let mut ops = Vec::new();
    let take = &mut |op| {
        ops.push(op);
        true
    };
    log.read(take).expect("memory");
    ops
}

pub(super) fn command(n: u8) -> CommandId {
    CommandId([n; 16])
}

pub(super) fn create(name: &str) -> Change {
    Change::CreateUser { name: UserId::parse(name).expect(name), password: PasswordHash("p".into()) }
}

/// Two threads repeat the same two commands while a third makes changes that it does not wait for.
fn change(house: &Arc<House>) {
    let repeats = |house: &House, answers: &Mutex<Vec<OpId>>| {
        for (n, name) in [(1, "ann"), (2, "bob")] {
            match house.submit(command(n), &create(name)) {
                Ok(op) => answers.lock().push(op),
                Err(code) => assert!(matches!(code, Code::Unavailable | Code::Closing), "{code:?}"),
            }
        }
    };
    let answers = Mutex::new(Vec::new());
    thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(|| repeats(house, &answers))));
        scope.spawn(|| {
            house.begin(command(3), &create("cid"));
            house.begin(command(1), &create("ann"));
            house.begin(command(4), &create("dan"));
        });
    });
    let ops = ops_of(&house.kept);
    for n in 1..=4 {
        assert!(ops.iter().filter(|op| op.command == command(n)).count() <= 1, "no command is carried out twice");
    }
    let mut answers = std::mem::take(&mut *answers.lock());
    answers.sort_by_key(|op| op.seq);
    answers.dedup();
    assert!(answers.len() <= 2, "one answer for all repeats of a command");
}

#[test]
fn answers_come_after_the_log_once_each_and_the_same_for_a_repeated_command() {
    explore(|| {
        let house = House::new([]);
        change(&house);
        house.end();
        assert_eq!(house.committer.state().user_count(), 4);
    });
}

#[test]
fn a_full_disk_refuses_those_who_wait_and_leaves_nothing_behind() {
    explore(|| {
        let house = House::new([Ok(()), full(), Ok(()), full()]);
        change(&house);
        // Names without a durable op are free. A taken name belongs to the user of the log's op.
        for (n, name) in [(11, "ann"), (12, "bob"), (13, "cid"), (14, "dan")] {
            let was = house.committer.state().user_named(&UserId::parse(name).expect(name));
            match (was, house.submit(command(n), &create(name))) {
                (Some(_), Err(Code::UserExists)) | (None, Ok(_) | Err(Code::Unavailable)) => (),
                // This change was still on its way, and no thread waited for it.
                (None, Err(Code::UserExists)) if n > 12 => (),
                other => panic!("{name}: {other:?}"),
            }
        }
        house.end();
    });
}

#[test]
fn a_log_that_fails_for_good_leaves_nobody_waiting() {
    explore(|| {
        let house = House::new([Ok(()), failed()]);
        change(&house);
        house.end();
    });
}

#[test]
fn the_end_in_the_middle_of_changes_tells_everybody() {
    explore(|| {
        let house = House::new([Ok(()), full()]);
        thread::scope(|scope| {
            scope.spawn(|| house.committer.shutdown());
            scope.spawn(|| change(&house));
        });
        house.end();
    });
}

#[test]
fn the_state_never_goes_back_while_somebody_reads() {
    explore(|| {
        let house = House::new([Ok(()), full()]);
        thread::scope(|scope| {
            scope.spawn(|| change(&house));
            scope.spawn(|| {
                let mut seen = 0;
                for _ in 0..8 {
                    let now = house.committer.state().op_count();
                    assert!(now >= seen && now <= ops_of(&house.kept).len() as u64);
                    seen = now;
                    thread::yield_now();
                }
            });
        });
        house.end();
    });
}
