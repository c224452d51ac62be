//! Group commit: the path of a change into the ledger, in a batch with others into the log, and to all readers.
//!
//! The ledger holds every op that this tracker accepted or received from another one. Readers see the durable state,
//! which holds only the ops that the log has kept. A writer thread moves ops from the ledger to the log, batch by
//! batch: while the log keeps a batch, the next one gathers. A submitter waits for the batch with its op. So an answer
//! never runs ahead of the log.

mod batch;
mod establish;
mod log;
mod queue;
mod receive;
mod settled;
mod turn;

pub use batch::{COMMIT_WAIT_MAX, Pending, PendingProbe, Reaction, Underway};
pub use establish::EstablishError;
pub use log::{AppendError, BaseError, BasePart, BaseStore, OpLog, OpSource, ReadBackError};
pub use queue::{Committed, Standing};
pub use settled::{Published, Settled};

use crate::model::id::{CommandId, Origin, Seen};
use crate::model::op::{Op, OpBody};
use crate::sync::Mutex;
use crate::sync::thread::{self, JoinHandle};
use crate::tracker::ledger::accept::Change;
use crate::tracker::ledger::operator::OperatorChange;
use crate::tracker::ledger::{AskRoom, Ledger, Past, Pinned};
use crate::tracker::state::State;
use crate::wire::refusal::{Code, Refusal};
use batch::Stage;
use queue::CommitQueue;
use receive::Reception;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Takes batches as they are settled, on the writer's thread: while the sink blocks, no change becomes durable. A sink
/// must not wait for a thread that submits changes. It must call [`Settled::react`].
pub type Sink = Box<dyn FnMut(Settled) + Send>;

/// Makes changes, from any number of threads.
pub struct Committer {
    queue: Arc<CommitQueue>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Starts the writer on a log that holds exactly the ops of `past`, which `source` reads back. The tracker issues
    /// its ops under `origin`.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        origin: Origin,
        past: impl Into<Past>,
        log: Box<dyn OpLog>,
        source: Arc<dyn OpSource>,
        sink: Sink,
    ) -> io::Result<Self> {
        let ledger = Ledger::new(origin, past);
        let queue = Arc::new(CommitQueue::new(ledger, source));
        let writer = LogWriter { queue: queue.clone(), log, sink };
        let writer = thread::Builder::new().name("writer".into()).spawn(move || writer.run())?;
        Ok(Self { queue, writer: Mutex::new(Some(writer)) })
    }

    /// The durable state.
    pub fn state(&self) -> Arc<State> {
        self.queue.durable.read().state.clone()
    }

    /// The durable state and the floor under it.
    pub fn standing(&self) -> Standing {
        self.queue.durable.read().clone()
    }

    /// Makes a change and returns when it is durable. If the command was carried out before, or is underway, it gets
    /// the first answer again.
    ///
    /// # Errors
    /// Those of `accept`, `Joining`, `ReadOnly`, those of [`Committer::set_room`], `Unavailable` if the log did not
    /// keep the change, `Closing`.
    pub fn submit(&self, command: CommandId, change: &Change) -> Result<Committed, Refusal> {
        let (committed, pending) = self.begin(command, change)?;
        pending.map_or(Ok(()), Pending::wait)?;
        Ok(committed)
    }

    /// The first half of [`Committer::submit`]: the answer, and the change that must be durable before the answer may
    /// be given.
    pub fn begin(&self, command: CommandId, change: &Change) -> Result<(Committed, Option<Pending>), Refusal> {
        let (committed, batch) = self.queue.submit(command, change)?;
        Ok((committed, batch.map(Pending)))
    }

    /// Makes a change for the operator and returns when it is durable. Works even while the tracker refuses changes of
    /// clients.
    ///
    /// # Errors
    /// Those of `accept_operator`, `Joining`, `Unavailable` if the log did not keep the change, `Closing`.
    pub fn operate(&self, command: CommandId, change: &OperatorChange) -> Result<Committed, Refusal> {
        let (committed, batch) = self.queue.operate(command, change)?;
        batch.map_or(Ok(()), |batch| batch.wait(COMMIT_WAIT_MAX))?;
        Ok(committed)
    }

    /// Makes a change of this tracker's own, without a client, and returns when it is durable.
    ///
    /// # Errors
    /// `Unavailable` if the log did not keep the change, `Closing`.
    pub fn submit_own(&self, body: OpBody) -> Result<Committed, Refusal> {
        let (committed, batch) = self.queue.submit_own(body)?;
        batch.map_or(Ok(()), |batch| batch.wait(COMMIT_WAIT_MAX))?;
        Ok(committed)
    }

    /// Takes ops of other trackers and returns when they are durable. Skips known ops, and ops after a gap in the
    /// sequence of their origin. Folds late ops in on this thread, while changes go on.
    ///
    /// # Errors
    /// `Malformed`, `Unavailable` if the log did not keep them or old ops could not be read, `Closing`.
    pub fn receive(&self, ops: Vec<Op>) -> Result<(), Refusal> {
        let Reception { batches, replaced } = self.queue.receive(ops)?;
        let outcome = batches.iter().try_for_each(|batch| batch.wait(COMMIT_WAIT_MAX));
        // Dropped only now: until now it shared most of its memory with the durable state.
        drop(replaced);
        outcome
    }

    /// The Lamport counter of the op that precedes the last `ops` ones. `None` if that op is not in memory.
    pub fn lamport_behind(&self, ops: usize) -> Option<u64> {
        self.queue.uncommitted.lock().ledger.lamport_behind(ops)
    }

    /// The version vector of all ops up to a Lamport counter, by origin. `None` if the counter lies below the ledger's
    /// window, unless a [`Committer::pin`] there has read the log and no op has come since.
    pub fn version_at(&self, lamport: u64) -> Option<Vec<Seen>> {
        self.queue.uncommitted.lock().ledger.version_at(lamport)
    }

    /// The base for a floor at this Lamport counter. `None` if no base can be made: a floor is there already, or some
    /// op up to this counter is not durable yet. Reads the log if the counter lies below the ledger's window.
    ///
    /// # Errors
    /// `Unavailable` after a log that failed for good or if old ops could not be read, `Closing`.
    pub fn pin(&self, lamport: u64) -> Result<Option<Pinned>, Refusal> {
        self.queue.pin(lamport)
    }

    /// Makes a change of this tracker's own if, up to a Lamport counter, it holds exactly the ops of a version vector.
    /// Returns when the change is durable; `None` if other ops are here.
    ///
    /// # Errors
    /// `Unavailable` if the log did not keep the change, `Closing`.
    pub fn vote(&self, body: OpBody, up_to: (u64, &[Seen])) -> Result<Option<Committed>, Refusal> {
        let Some((committed, batch)) = self.queue.vote(body, up_to)? else { return Ok(None) };
        batch.map_or(Ok(()), |batch| batch.wait(COMMIT_WAIT_MAX))?;
        Ok(Some(committed))
    }

    /// Makes a base durable and puts all ops above it on top of it. From then on the ledger has no ops at or below it.
    /// Returns when readers see that. Returns false if the ops here are not those that the base was made of. Late ops
    /// wait meanwhile; changes go on.
    ///
    /// # Errors
    /// The base was not kept, or the committer takes no more changes.
    pub fn establish(&self, pinned: &Pinned, bases: &dyn BaseStore) -> Result<bool, EstablishError> {
        self.queue.establish(pinned, bases)
    }

    /// Sets whether this tracker is taking over what the others have. Meanwhile it refuses changes of clients with
    /// `Joining`.
    pub fn set_joining(&self, joining: bool) {
        self.queue.uncommitted.lock().joining = joining;
    }

    pub fn is_joining(&self) -> bool {
        self.queue.uncommitted.lock().joining
    }

    /// Sets whether the tracker refuses changes of clients with `ReadOnly`. It still takes the ops of other trackers.
    pub fn set_read_only(&self, read_only: bool) {
        self.queue.uncommitted.lock().read_only = read_only;
    }

    /// From now on every op of a client asks for room. It asks under the lock, so two changes never both take the last
    /// place. Ops of other trackers and of the operator do not ask.
    pub fn set_room(&self, ask: Arc<AskRoom>) {
        self.queue.uncommitted.lock().ask_room = ask;
    }

    /// # Errors
    /// `ReadOnly` while the tracker refuses changes of clients.
    pub fn must_take_changes(&self) -> Result<(), Refusal> {
        if self.is_read_only() { Err(Code::ReadOnly.into()) } else { Ok(()) }
    }

    pub fn is_read_only(&self) -> bool {
        self.queue.uncommitted.lock().read_only
    }

    /// Why the last append failed; `None` once one has succeeded since.
    pub fn trouble(&self) -> Option<AppendError> {
        self.queue.uncommitted.lock().trouble.clone()
    }

    /// What the writer works on, and since when. `None` while there is nothing to write.
    pub fn underway(&self, now: Instant) -> Option<Underway> {
        self.queue.stage.underway(now)
    }

    /// Refuses further changes, waits until the accepted ones are durable, and ends the writer.
    pub fn shutdown(&self) {
        self.queue.uncommitted.lock().closing = true;
        self.queue.work.notify_one();
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked has told those who waited, and its panic has been printed.
            let _ = writer.join();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The thread that gives ops to the log.
struct LogWriter {
    queue: Arc<CommitQueue>,
    log: Box<dyn OpLog>,
    sink: Sink,
}

impl LogWriter {
    fn run(mut self) {
        while let Some((published, batch)) = self.queue.next() {
            self.queue.stage.enter(Stage::Writing);
            let kept = self.log.append(&published.ops);
            self.queue.stage.enter(Stage::Telling);
            match kept {
                Ok(()) => {
                    self.queue.publish(&published, &batch);
                    let reactions = batch.settle(Ok(()));
                    let after = published.after.clone();
                    (self.sink)(Settled::new(Some(published), Ok(()), reactions));
                    self.log.kept(&after);
                }
                Err(error) => (self.sink)(self.queue.abandon(error)),
            }
            self.queue.stage.enter(Stage::Idle);
        }
    }
}

impl Drop for LogWriter {
    /// Also after a panic in the writer: refuses the waiting submitters.
    fn drop(&mut self) {
        if thread::panicking() {
            self.queue.abandon(AppendError::Failed("the tracker's writer has stopped".into())).react();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::batch::Batch;
    use super::*;
    use crate::model::id::{GroupRef, OpId, OpOrder, UserRef};
    use crate::model::name::{GroupId, UserId};
    use crate::model::notice::{ChangeKind, UnplacedChange};
    use crate::model::op::PasswordHash;
    use crate::tracker::ledger::{Finish, ReachedFloor};
    use crate::tracker::state::effect::{Effect, Told};
    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    const ORIGIN: Origin = Origin { tracker: 1, incarnation: 1 };
    const THERE: Origin = Origin { tracker: 2, incarnation: 1 };

    /// A log under the test's control. It tells the test of every batch, and answers what the test says. Without an
    /// answer from the test it reports success.
    struct Scripted {
        given: Sender<Vec<Op>>,
        answers: Receiver<Result<(), AppendError>>,
    }

    impl OpLog for Scripted {
        fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
            self.given.send(ops.to_vec()).expect("the test listens");
            self.answers.recv().unwrap_or(Ok(()))
        }
    }

    /// A committer whose log waits for the test. The field for answers drops first, so that a failing test ends.
    struct Bench {
        answers: Sender<Result<(), AppendError>>,
        committer: Committer,
        given: Receiver<Vec<Op>>,
        published: Receiver<Published>,
    }

    /// A change that the committer accepted.
    struct Waiting(Committed, Arc<Batch>);

    impl Waiting {
        fn is_settled(&self) -> bool {
            self.1.progress.lock().outcome.is_some()
        }

        /// Whether the change was refused. False if no answer comes soon.
        fn is_refused(&self) -> bool {
            let told = self.1.wait(Duration::from_secs(5));
            self.is_settled() && told.is_err()
        }

        fn answer(self) -> Result<Committed, Refusal> {
            self.1.wait(COMMIT_WAIT_MAX).map(|()| self.0)
        }
    }

    impl Bench {
        fn new() -> Self {
            let (given_to, given) = unbounded();
            let (answers, answers_from) = unbounded();
            let (published_to, published) = unbounded();
            let sink = Box::new(move |settled: Settled| {
                settled.published.iter().for_each(|batch| published_to.send(batch.clone()).expect("the test listens"));
                settled.react();
            });
            let log = Box::new(Scripted { given: given_to, answers: answers_from });
            let committer = Committer::start(ORIGIN, State::new(), log, nothing(), sink).expect("a thread starts");
            Self { answers, committer, given, published }
        }

        /// Submits the creation of an account, without waiting for the log.
        fn create(&self, n: u32, name: &str) -> Waiting {
            let (committed, batch) = self.committer.queue.submit(command(n), &create(name)).expect("is accepted");
            Waiting(committed, batch.expect("is not durable yet"))
        }

        /// Takes an op of another tracker. Returns the batch that holds it.
        fn receive(&self, op: Op) -> Arc<Batch> {
            let mut reception = self.committer.queue.receive(vec![op]).expect("taken");
            reception.batches.pop().expect("is not durable yet")
        }

        fn answer(&self, answer: Result<(), AppendError>) {
            self.answers.send(answer).expect("the log listens");
        }

        fn next_batch(&self) -> Vec<Op> {
            self.given.recv_timeout(COMMIT_WAIT_MAX).expect("the log is given a batch")
        }

        fn knows(&self, name: &str) -> bool {
            self.committer.state().user_named(&UserId::parse(name).expect(name)).is_some()
        }
    }

    /// A log in memory. Clones are the same log.
    #[derive(Default, Clone)]
    struct Kept(Arc<Mutex<Vec<Op>>>, Arc<Mutex<State>>);

    impl OpLog for Kept {
        fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
            self.0.lock().extend_from_slice(ops);
            Ok(())
        }
    }

    impl OpSource for Kept {
        fn base(&self) -> Result<State, ReadBackError> {
            Ok(self.1.lock().clone())
        }

        fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
            self.0.lock().iter().cloned().all(take);
            Ok(())
        }

        fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
            let mut ops = self.0.lock().clone();
            ops.sort_by_key(Op::order);
            ops.into_iter().all(take);
            Ok(())
        }
    }

    impl BaseStore for Kept {
        fn keep(&self, base: &State) -> Result<(), BaseError> {
            *self.1.lock() = base.clone();
            Ok(())
        }

        fn clear(&self) -> Result<bool, BaseError> {
            let floor = self.1.lock().floor();
            self.0.lock().retain(|op| op.lamport > floor);
            Ok(true)
        }
    }

    /// A committer over such a log, with the ops of this past.
    fn over(log: &Kept, past: impl Into<Past>) -> Committer {
        let source = Arc::new(log.clone());
        let committer = Committer::start(ORIGIN, past, Box::new(log.clone()), source, Box::new(Settled::react));
        committer.expect("a thread starts")
    }

    /// For logs whose ops are never read back.
    fn nothing() -> Arc<dyn OpSource> {
        Arc::new(Kept::default())
    }

    fn create(name: &str) -> Change {
        let name = UserId::parse(name).expect(name);
        Change::CreateUser { name, password: PasswordHash("p".into()) }
    }

    fn command(n: u32) -> CommandId {
        CommandId(u128::from(n).to_be_bytes())
    }

    fn op(seq: u64) -> Result<Committed, Refusal> {
        Ok(Committed::before(Some(OpId { origin: ORIGIN, seq })))
    }

    #[test]
    fn changes_wait_for_the_log_and_gather_while_it_works() {
        let bench = Bench::new();
        let first = bench.create(1, "a");
        assert_eq!(bench.next_batch().len(), 1);
        let rest: Vec<_> = (2..10).map(|n| bench.create(n, &format!("user{n}"))).collect();
        assert!(!first.is_settled() && !bench.knows("a"), "nobody sees what is not durable");
        bench.answer(Ok(()));
        assert_eq!(first.answer(), op(1));
        assert!(bench.knows("a") && !bench.knows("user2"));
        let batch = bench.next_batch();
        assert_eq!(batch.iter().map(|op| op.id.seq).collect::<Vec<_>>(), (2..10).collect::<Vec<_>>());
        assert!(rest.iter().all(|change| !change.is_settled()));
        bench.answer(Ok(()));
        assert!(rest.into_iter().zip(2..).all(|(change, seq)| change.answer() == op(seq)));
        assert_eq!(bench.committer.state().user_count(), 9);
    }

    #[test]
    fn batches_are_handed_on_with_the_states_after_them() {
        let bench = Bench::new();
        let first = bench.create(1, "a");
        bench.next_batch();
        let second = bench.create(2, "b");
        bench.answer(Ok(()));
        bench.answer(Ok(()));
        assert_eq!((first.answer(), second.answer()), (op(1), op(2)));
        let mut folded = State::new();
        for n in 0..2 {
            let Published { after, ops, .. } = bench.published.recv_timeout(COMMIT_WAIT_MAX).expect("a batch");
            assert_eq!((after.user_count(), ops.len()), (n + 1, 1));
            ops.iter().for_each(|op| folded.apply(op));
            assert_eq!(folded.digest(), after.digest());
        }
    }

    #[test]
    fn effects_go_by_the_ids_that_are_canonical_after_the_batch() {
        let bench = Bench::new();
        let origin = Origin { tracker: 2, incarnation: 1 };
        let create_group = |lamport: u64, seq, user| {
            let body = OpBody::CreateGroup { name: GroupId::parse("lab").expect("a name"), founder: user };
            Op { id: OpId { origin, seq }, lamport, command: command(2), body }
        };
        let (name, password) = (UserId::parse("a").expect("a name"), PasswordHash("p".into()));
        let body = OpBody::CreateUser { name, password };
        let user = Op { id: OpId { origin, seq: 1 }, lamport: 1, command: command(1), body };
        let founder = UserRef(user.id);
        bench.committer.queue.receive(vec![user]).expect("is taken");
        bench.next_batch();
        // The same command makes the group here. As it turns out, it made the group there before.
        let group = GroupId::parse("lab").expect("a name");
        bench.create(3, "b");
        let made = Change::CreateGroup { user: founder, group };
        bench.committer.queue.submit(command(2), &made).expect("is accepted");
        let first = create_group(2, 2, founder);
        bench.committer.queue.receive(vec![first.clone()]).expect("is taken");
        bench.answer(Ok(()));
        bench.answer(Ok(()));
        bench.next_batch();
        let published: Vec<Published> =
            (0..2).map(|_| bench.published.recv_timeout(COMMIT_WAIT_MAX).expect("a batch")).collect();
        let group = GroupRef(first.id);
        let joined = Effect { to: founder, what: Told::Joined { group } };
        assert!(published[1].aliased.len() == 1 && published[1].effects.contains(&joined));
        let groups = published[1].effects.iter().filter_map(|effect| match effect.what {
            Told::Joined { group } => Some(group),
            _ => None,
        });
        assert!(groups.into_iter().all(|of| of == group), "the key of a group is made of its id");
    }

    #[test]
    fn a_repeated_command_gets_the_first_answer_and_waits_for_it() {
        let bench = Bench::new();
        let first = bench.create(1, "a");
        bench.next_batch();
        let second = bench.create(2, "b");
        // The log works on the first batch, and the second batch gathers changes.
        let again = [bench.create(1, "a"), bench.create(2, "b")];
        assert!(again.iter().all(|change| !change.is_settled()));
        bench.answer(Ok(()));
        bench.answer(Ok(()));
        assert_eq!((first.answer(), second.answer()), (op(1), op(2)));
        assert_eq!(again.map(Waiting::answer), [op(1), op(2)]);
        assert_eq!(bench.committer.submit(command(1), &create("a")), op(1), "also long afterwards");
        assert_eq!(bench.committer.state().op_count(), 2);
        assert!(bench.committer.queue.uncommitted.lock().underway.is_empty());
    }

    #[test]
    fn a_full_disk_refuses_all_waiting_changes_and_recovers() {
        let bench = Bench::new();
        let first = bench.create(1, "a");
        bench.next_batch();
        // Accepted against a state that has the first change.
        let second = bench.create(2, "b");
        bench.answer(Err(AppendError::Full("the disk is full".into())));
        for change in [first, second] {
            let refusal = change.answer().expect_err("is refused");
            assert_eq!(refusal.code, Code::Unavailable);
            assert_eq!(refusal.about, "the disk is full; changes are taken again once there is room");
        }
        assert!(bench.committer.trouble().is_some() && !bench.knows("a"));
        // The name and the sequence are free again, so there is no gap.
        let again = bench.create(3, "a");
        let ops = bench.next_batch();
        assert_eq!((ops[0].id.seq, ops[0].lamport), (1, 1));
        bench.answer(Ok(()));
        assert_eq!(again.answer(), op(1));
        assert_eq!(bench.committer.trouble(), None);
    }

    #[test]
    fn a_change_of_the_tracker_itself_waits_for_the_log_as_any_other_and_has_no_command() {
        let bench = Bench::new();
        let forget = || {
            let (committed, batch) = bench.committer.queue.submit_own(OpBody::ForgetTracker { tracker: 2 })?;
            Ok::<_, Refusal>(Waiting(committed, batch.expect("it is not durable")))
        };
        let full = forget().expect("is accepted");
        let batch = bench.next_batch();
        assert_eq!((batch[0].command, bench.committer.state().is_forgotten(2)), (CommandId::NONE, false));
        bench.answer(Err(AppendError::Full("the disk is full".into())));
        assert_eq!(full.answer().expect_err("is refused").code, Code::Unavailable);

        // The client's command with the same id is a different command, and both are carried out.
        let user = bench.create(0, "a");
        let kept = forget().expect("is accepted");
        let again = bench.create(0, "a");
        let already = forget().expect("waits for the same");
        (0..2).for_each(|_| bench.answer(Ok(())));
        assert_eq!((user.answer(), kept.answer(), again.answer()), (op(1), op(2), op(1)));
        assert_eq!(already.answer(), Ok(Committed::ALREADY));
        assert!(bench.committer.state().is_forgotten(2) && bench.knows("a"));
    }

    #[test]
    fn a_failed_log_is_final_for_changes_but_not_for_reading_or_repeating() {
        let bench = Bench::new();
        bench.answer(Ok(()));
        assert_eq!(bench.committer.submit(command(1), &create("a")), op(1));
        bench.answer(Err(AppendError::Failed("fsync failed".into())));
        for n in [2, 3] {
            let refusal = bench.committer.submit(command(n), &create("b")).expect_err("is refused");
            assert_eq!(refusal.code, Code::Unavailable);
            assert_eq!(refusal.about, "fsync failed; changes are refused until the tracker is restarted");
        }
        assert_eq!(bench.given.len(), 2, "the log was not asked again");
        assert_eq!(bench.committer.submit(command(1), &create("a")), op(1));
        assert!(bench.knows("a") && !bench.knows("b"));
    }

    #[test]
    fn a_log_that_panics_leaves_nobody_waiting() {
        struct Panics;
        impl OpLog for Panics {
            fn append(&mut self, _: &[Op]) -> Result<(), AppendError> {
                panic!("as the test wants it")
            }
        }
        let committer =
            Committer::start(ORIGIN, State::new(), Box::new(Panics), nothing(), Box::new(|_| ())).expect("starts");
        let refusal = committer.submit(command(1), &create("a")).expect_err("is refused");
        assert_eq!(refusal.code, Code::Unavailable);
        committer.shutdown();
    }

    #[test]
    fn a_log_that_hangs_is_told_when_the_wait_is_over() {
        let bench = Bench::new();
        let Waiting(_, batch) = bench.create(1, "a");
        bench.next_batch();
        let refusal = batch.wait(Duration::ZERO).expect_err("the log has not answered");
        assert_eq!(refusal.code, Code::Unavailable);
        assert_eq!(refusal.about, "the disk has not answered for 0 s; the change may still be made");
    }

    #[test]
    fn a_sink_that_hangs_is_not_called_a_disk() {
        let (tells, told) = bounded::<()>(0);
        let sink = Box::new(move |_: Settled| tells.send(()).unwrap_or(()));
        let log = Box::new(Kept::default());
        let committer = Committer::start(ORIGIN, State::new(), log, nothing(), sink).expect("starts");
        committer.submit(command(1), &create("a")).expect("durable before the sink is asked");
        let (_, batch) = committer.queue.submit(command(2), &create("b")).expect("is accepted");
        let refusal = batch.expect("not durable").wait(Duration::ZERO).expect_err("the writer is not there yet");
        assert_eq!(refusal.about, "others have been told of earlier changes for 0 s; the change may still be made");
        drop(told);
    }

    #[test]
    fn a_submitter_that_does_not_wait_is_told_the_outcome_once() {
        let bench = Bench::new();
        let (told_to, told) = unbounded();
        let begin = |n: u32, name: &str| {
            let (_, pending) = bench.committer.begin(command(n), &create(name)).expect("is accepted");
            let told_to = told_to.clone();
            let reaction = Box::new(move |outcome: Result<(), Refusal>| {
                told_to.send((n, outcome.map_err(|refusal| refusal.code))).expect("the test listens");
            });
            pending.expect("is not durable yet").then(reaction);
        };
        begin(1, "a");
        bench.next_batch();
        begin(2, "b");
        assert!(told.is_empty());
        bench.answer(Ok(()));
        assert_eq!(told.recv_timeout(COMMIT_WAIT_MAX), Ok((1, Ok(()))));
        bench.next_batch();
        begin(3, "c");
        bench.answer(Err(AppendError::Full("full".into())));
        let mut refused = [told.recv_timeout(COMMIT_WAIT_MAX), told.recv_timeout(COMMIT_WAIT_MAX)];
        refused.sort_by_key(|told| told.map(|(n, _)| n).ok());
        assert_eq!(refused, [2, 3].map(|n| Ok((n, Err(Code::Unavailable)))));
        // The outcome is known already.
        let Waiting(_, batch) = bench.create(4, "d");
        bench.answer(Ok(()));
        batch.wait(COMMIT_WAIT_MAX).expect("is kept");
        Pending(batch)
            .then(Box::new(move |outcome| told_to.send((4, outcome.map_err(|_| Code::Closing))).expect("heard")));
        assert_eq!(told.recv_timeout(Duration::ZERO), Ok((4, Ok(()))));
        assert!(told.is_empty());
    }

    #[test]
    fn a_command_that_comes_again_from_another_tracker_leaves_nobody_waiting() {
        let bench = Bench::new();
        let ours = bench.create(1, "a");
        bench.next_batch();
        let id = OpId { origin: THERE, seq: 1 };
        let body = OpBody::CreateUser { name: UserId::parse("a").expect("a name"), password: PasswordHash("p".into()) };
        let again = Op { id, lamport: 1, command: command(1), body };
        let theirs = bench.receive(again.clone());
        bench.answer(Err(AppendError::Full("full".into())));
        assert!(ours.is_refused() && theirs.wait(COMMIT_WAIT_MAX).is_err());

        // The other way round: the first one is durable, and the second one is still underway.
        let ours = bench.create(1, "a");
        bench.next_batch();
        bench.receive(again);
        bench.answer(Ok(()));
        assert_eq!(ours.answer(), op(1));
        bench.next_batch();
        let (_, pending) = bench.committer.begin(command(1), &create("a")).expect("known");
        assert!(pending.is_some(), "what it is known by now is not durable");
        bench.answer(Ok(()));
    }

    #[test]
    fn a_log_that_gives_back_less_than_it_kept_changes_nothing() {
        let kept = Op {
            id: OpId { origin: ORIGIN, seq: 1 },
            lamport: 5,
            command: command(1),
            body: OpBody::CreateUser { name: UserId::parse("a").expect("a name"), password: PasswordHash("p".into()) },
        };
        let mut state = State::new();
        state.apply(&kept);
        let log = Box::new(Kept::default());
        let committer = Committer::start(ORIGIN, state, log, nothing(), Box::new(Settled::react)).expect("starts");
        let early = Op { id: OpId { origin: THERE, seq: 1 }, lamport: 1, command: command(2), body: kept.body };
        let refusal = committer.receive(vec![early]).expect_err("is refused");
        assert_eq!(refusal.code, Code::Unavailable);
        assert_eq!(committer.submit(command(3), &create("b")), op(2));
        assert_eq!(committer.state().user_count(), 2);
    }

    /// A log that waits for the test before it reads old ops.
    struct Slow(Sender<()>, Receiver<()>, Kept);
    impl OpSource for Slow {
        fn base(&self) -> Result<State, ReadBackError> {
            Ok(State::new())
        }

        fn read(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
            self.2.read(take)
        }

        fn read_in_order(&self, take: &mut dyn FnMut(Op) -> bool) -> Result<(), ReadBackError> {
            self.0.send(()).expect("the test listens");
            self.1.recv().map_err(ReadBackError::new)?;
            self.2.read_in_order(take)
        }
    }

    fn account(origin: Origin, lamport: u64, n: u32, text: &str) -> Op {
        let (name, password) = (UserId::parse(text).expect(text), PasswordHash("p".into()));
        Op { id: OpId { origin, seq: 1 }, lamport, command: command(n), body: OpBody::CreateUser { name, password } }
    }

    /// A committer that needs its log for every late op. Also a channel that tells when it reads the log, and one that
    /// lets the reading go on.
    fn slow() -> (Committer, Receiver<()>, Sender<()>) {
        let kept = account(ORIGIN, 5, 1, "a");
        let (mut state, mut log) = (State::new(), Kept::default());
        state.apply(&kept);
        log.append(&[kept]).expect("memory");
        let ((asks, asked), (lets, let_go)) = (unbounded(), unbounded());
        let source = Arc::new(Slow(asks, let_go, log.clone()));
        let committer = Committer::start(ORIGIN, state, Box::new(log), source, Box::new(Settled::react));
        (committer.expect("starts"), asked, lets)
    }

    #[test]
    fn the_end_ends_the_reading_of_old_ops() {
        let (committer, asked, lets) = slow();
        thread::scope(|scope| {
            let receiving = scope.spawn(|| committer.receive(vec![account(THERE, 1, 2, "b")]));
            asked.recv_timeout(COMMIT_WAIT_MAX).expect("old ops are needed");
            committer.shutdown();
            lets.send(()).expect("it waits");
            let refusal = receiving.join().expect("no panic").expect_err("is refused");
            assert_eq!(refusal.code, Code::Closing);
        });
        assert_eq!(committer.state().user_count(), 1);
    }

    #[test]
    fn changes_go_on_while_old_ops_are_read_again() {
        let (committer, asked, lets) = slow();
        let early = account(THERE, 1, 2, "b");
        thread::scope(|scope| {
            let (committer, (tells, told)) = (&committer, unbounded());
            let receiving = scope.spawn(move || committer.receive(vec![early]));
            asked.recv_timeout(COMMIT_WAIT_MAX).expect("old ops are needed");
            scope.spawn(move || tells.send(committer.submit(command(3), &create("c"))));
            let submitted = told.recv_timeout(COMMIT_WAIT_MAX);
            lets.send(()).expect("it waits");
            assert_eq!(submitted, Ok(op(2)), "while the old ops are read");
            assert_eq!(receiving.join().expect("no panic"), Ok(()));
        });
        assert_eq!(committer.state().user_count(), 3);
    }

    #[test]
    fn a_change_without_an_op_is_answered_when_everything_before_it_is_durable() {
        let bench = Bench::new();
        let first = bench.create(1, "a");
        bench.next_batch();
        let user = UserRef(OpId { origin: ORIGIN, seq: 1 });
        let through = OpOrder { lamport: 9, origin: ORIGIN };
        let read = Change::ReadNotices { user, through, shown: None };
        let (committed, batch) = bench.committer.queue.submit(command(2), &read).expect("is accepted");
        assert!(committed.op.is_none() && batch.is_some());
        bench.answer(Ok(()));
        assert_eq!(first.answer(), op(1));
        assert_eq!(bench.committer.submit(command(2), &read), Ok(Committed::ALREADY));
    }

    #[test]
    fn refusals_of_acceptance_come_back_at_once() {
        let bench = Bench::new();
        let _first = bench.create(1, "a");
        let refusal = bench.committer.submit(command(2), &create("a")).expect_err("is refused");
        assert_eq!(refusal, Refusal::about(Code::UserExists, "a"));
    }

    #[test]
    fn shutdown_drains_what_was_accepted_and_refuses_the_rest() {
        let bench = Bench::new();
        let first = bench.create(1, "a");
        bench.next_batch();
        let second = bench.create(2, "b");
        bench.committer.queue.uncommitted.lock().closing = true;
        let refusal = bench.committer.submit(command(3), &create("c")).expect_err("is refused");
        assert_eq!(refusal.code, Code::Closing);
        bench.answer(Ok(()));
        bench.answer(Ok(()));
        bench.committer.shutdown();
        assert!(first.is_settled() && second.is_settled());
        assert_eq!((first.answer(), second.answer()), (op(1), op(2)));
        assert_eq!(bench.committer.state().user_count(), 2);
        assert_eq!(bench.published.iter().count(), 2, "the sink is gone with the writer");
    }

    /// A store for bases that waits for the test and answers what the test says.
    struct ScriptedBases(Sender<State>, Receiver<Result<(), BaseError>>);

    impl BaseStore for ScriptedBases {
        fn keep(&self, base: &State) -> Result<(), BaseError> {
            self.0.send(base.clone()).expect("the test listens");
            self.1.recv_timeout(COMMIT_WAIT_MAX).expect("the test answers")
        }

        fn clear(&self) -> Result<bool, BaseError> {
            Ok(true)
        }
    }

    /// A bench with four accounts, and the base that has three of them.
    fn bench_with_base() -> (Bench, Pinned) {
        let bench = Bench::new();
        for n in 1..=4 {
            bench.answer(Ok(()));
            bench.create(n, &format!("user{n}")).answer().expect("made");
            bench.next_batch();
        }
        assert_eq!(bench.committer.lamport_behind(1), Some(3));
        let pinned = bench.committer.pin(3).expect("open").expect("all of it is durable");
        assert_eq!((pinned.base.user_count(), pinned.vector.as_slice()), (3, &[Seen { origin: ORIGIN, seq: 3 }][..]));
        (bench, pinned)
    }

    #[test]
    fn a_floor_is_established_while_changes_go_on() {
        let (bench, pinned) = bench_with_base();
        let (kept_to, kept) = unbounded();
        let (answers, answers_from) = unbounded();
        let bases = ScriptedBases(kept_to, answers_from);
        thread::scope(|scope| {
            let establishing = scope.spawn(|| bench.committer.establish(&pinned, &bases));
            let base = kept.recv_timeout(COMMIT_WAIT_MAX).expect("the base is kept before it is the floor");
            assert_eq!((base.digest(), bench.committer.standing().floor.mark.lamport), (pinned.mark.base, 0));
            bench.answer(Ok(()));
            bench.create(5, "user5").answer().expect("made while the base is being kept");
            answers.send(Ok(())).expect("it waits");
            bench.answer(Ok(()));
            assert!(establishing.join().expect("no panic").expect("established"));
        });
        // No change was made since, and yet every reader sees it.
        let Standing { state, floor } = bench.committer.standing();
        assert_eq!((floor, state.floor()), (ReachedFloor { mark: pinned.mark, ops: 3 }, 3));
        assert_eq!((state.user_count(), state.op_count()), (5, 5));
        let told = std::iter::from_fn(|| bench.published.recv_timeout(COMMIT_WAIT_MAX).ok());
        let of_floor = told.into_iter().find(|batch| batch.floor == floor).expect("it was published");
        assert_eq!((of_floor.ops.len(), of_floor.effects.len()), (0, 0));
        assert!(bench.committer.pin(3).expect("open").is_none(), "the floor is there");
        // The committer skips earlier ops that other trackers still have.
        bench.committer.receive(vec![account(THERE, 2, 9, "late")]).expect("passed over");
        bench.answer(Ok(()));
        bench.committer.receive(vec![account(THERE, 4, 9, "later")]).expect("is taken");
        assert!(!bench.knows("late") && bench.knows("later"));
    }

    #[test]
    fn changes_come_in_at_half_the_speed_of_a_fold_that_they_have_overtaken() {
        let bench = Bench::new();
        let queue = &bench.committer.queue;
        let turn = queue.take_turn().expect("open");
        queue.uncommitted.lock().room = Some(0);
        (0..2).for_each(|_| bench.answer(Ok(())));
        thread::scope(|scope| {
            scope.spawn(|| bench.create(1, "here").answer().expect("made"));
            scope.spawn(|| bench.receive(account(THERE, 1, 9, "there")).wait(COMMIT_WAIT_MAX).expect("taken"));
            queue.give_way().expect("open");
        });
        assert_eq!(queue.uncommitted.lock().room, Some(turn::SLICE / 2 - 2));
        drop(turn);
        assert_eq!(queue.uncommitted.lock().room, None);
    }

    #[test]
    fn a_fold_that_was_overtaken_lets_in_less_than_it_folds_until_it_has_caught_up() {
        let log = Kept::default();
        let committer = over(&log, State::new());
        committer.submit(command(0), &create("first")).expect("made");
        let pinned = committer.pin(1).expect("open").expect("durable");
        let queue = &committer.queue;
        let turn = queue.take_turn().expect("open");
        let refold = {
            let mut uncommitted = queue.uncommitted.lock();
            assert!(uncommitted.ledger.close_below(&pinned));
            uncommitted.ledger.establish(&pinned, &queue.durable.read().state).expect("nothing was taken back")
        };
        for n in 1..=5000 {
            committer.begin(command(n), &create(&format!("user{n}"))).expect("made");
        }
        let (slowed, done) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    slowed.fetch_or(queue.uncommitted.lock().room.is_some(), Ordering::Relaxed);
                }
            });
            assert!(matches!(queue.fold_to_the_end(refold), Ok((_, Finish::Swapped(..)))));
            done.store(true, Ordering::Relaxed);
        });
        assert!(slowed.load(Ordering::Relaxed));
        assert_eq!(queue.uncommitted.lock().room, None);
        drop(turn);
    }

    #[test]
    fn a_base_that_was_not_kept_is_no_floor() {
        let (bench, pinned) = bench_with_base();
        let (kept_to, _kept) = unbounded();
        let (answers, answers_from) = unbounded();
        answers.send(Err(BaseError::Unchanged("the disk is full".into()))).expect("is asked");
        let error = bench.committer.establish(&pinned, &ScriptedBases(kept_to, answers_from)).expect_err("not kept");
        assert_eq!(error.to_string(), "the disk is full");
        assert_eq!(bench.committer.standing().floor, ReachedFloor::default());
        bench.answer(Ok(()));
        bench.committer.receive(vec![account(THERE, 2, 9, "late")]).expect("is taken");
        assert!(bench.knows("late"));
        // By now the base lacks an op.
        let established = bench.committer.establish(&pinned, &Kept::default()).expect("open");
        assert!(!established && bench.committer.version_at(3) != Some(pinned.vector));
    }

    #[test]
    fn changes_that_the_log_refuses_while_a_floor_is_established_leave_it_where_it_is() {
        let (bench, pinned) = bench_with_base();
        let refused = bench.create(5, "user5");
        bench.next_batch();
        thread::scope(|scope| {
            let establishing = scope.spawn(|| bench.committer.establish(&pinned, &Kept::default()));
            // The log has not answered: the state on the floor holds an op that the log then refuses.
            while bench.committer.queue.uncommitted.lock().ledger.floor().mark != pinned.mark {
                thread::yield_now();
            }
            bench.answer(Err(AppendError::Full("full".into())));
            assert!(refused.is_refused());
            // The committer asks again until it succeeds.
            (0..9).for_each(|_| bench.answer(Ok(())));
            assert!(establishing.join().expect("no panic").expect("established"));
        });
        let Standing { state, floor } = bench.committer.standing();
        assert_eq!((floor.mark, state.user_count(), state.op_count()), (pinned.mark, 4, 4));
        assert_eq!(bench.create(6, "user6").answer(), op(5));
    }

    #[test]
    fn a_vote_says_what_is_here() {
        let (bench, pinned) = bench_with_base();
        let up_to = (pinned.mark.lamport, &pinned.vector[..]);
        bench.answer(Ok(()));
        let vote = || bench.committer.vote(OpBody::ForgetTracker { tracker: 7 }, up_to).expect("open");
        assert_eq!(vote().expect("it holds exactly these").op, Some(OpId { origin: ORIGIN, seq: 5 }));
        bench.answer(Ok(()));
        bench.committer.receive(vec![account(THERE, 3, 9, "late")]).expect("is taken");
        assert_eq!(vote(), None);
        assert_eq!(bench.committer.state().op_count(), 6);
    }

    #[test]
    fn late_ops_are_folded_on_the_base_when_the_ops_below_it_are_gone() {
        let (bench, pinned) = bench_with_base();
        let mut log = Kept::default();
        let batches = (0..4).map(|_| bench.published.recv_timeout(COMMIT_WAIT_MAX).expect("a batch"));
        let ops: Vec<Op> = batches.flat_map(|batch| batch.ops).collect();
        log.append(&ops).expect("memory");
        log.keep(&pinned.base).expect("memory");
        log.clear().expect("memory");
        assert_eq!(log.0.lock().len(), 1);
        let mut state = pinned.base.clone();
        ops[3..].iter().for_each(|op| state.apply(op));
        let past = Past::new(state, ReachedFloor { mark: pinned.mark, ops: 3 });
        let committer = over(&log, past);
        let late = Origin { tracker: 0, incarnation: 1 };
        committer.receive(vec![account(late, 4, 9, "late")]).expect("is folded in");
        assert_eq!((committer.state().user_count(), committer.standing().floor.mark), (5, pinned.mark));
        // A base of another floor would make another state.
        *log.1.lock() = State::new();
        let later = Origin { tracker: 0, incarnation: 2 };
        let past = Past::new(committer.state().as_ref().clone(), committer.standing().floor);
        let committer = over(&log, past);
        let refusal = committer.receive(vec![account(later, 4, 8, "later")]).expect_err("is refused");
        assert_eq!(refusal.code, Code::Unavailable);
        assert_eq!((committer.state().user_count(), committer.standing().floor.mark), (5, pinned.mark));
    }

    /// The floor waited until the window moved on.
    #[test]
    fn a_floor_is_established_that_lies_before_the_window() {
        let mut log = Kept::default();
        let tracker = |tracker| Origin { tracker, incarnation: 1 };
        let ops: Vec<Op> = (1..=9).map(|n| account(tracker(n), n.into(), n.into(), &format!("u{n}"))).collect();
        log.append(&ops).expect("memory");
        let mut state = State::new();
        ops.iter().for_each(|op| state.apply(op));
        let committer = over(&log, state);
        let late =
            |n: u32, lamport| account(Origin { tracker: 10, incarnation: n.into() }, lamport, n, &format!("u{n}"));
        committer.receive(vec![late(10, 3)]).expect("is folded in");
        // The new committer knows only the state.
        let committer = over(&log, committer.state().as_ref().clone());
        assert_eq!(committer.lamport_behind(2), None);
        let pinned = committer.pin(4).expect("is read").expect("is durable");
        assert_eq!(pinned.vector.len(), 5);
        let up_to = (4, &pinned.vector[..]);
        let vote = || committer.vote(OpBody::ForgetTracker { tracker: 7 }, up_to).expect("open");
        assert!(vote().is_some());
        // A late op above the counter leaves the version below it as it is. A late op below it does not.
        committer.receive(vec![late(11, 5)]).expect("is folded in");
        assert_eq!(committer.version_at(4), Some(pinned.vector.clone()));
        assert!(committer.establish(&pinned, &log).expect("open"));
        let Standing { state, floor } = committer.standing();
        assert_eq!((floor.mark, floor.ops, state.op_count()), (pinned.mark, 5, 12));
        let mut folded = pinned.base.clone();
        let mut all = log.0.lock().clone();
        all.sort_by_key(Op::order);
        all.iter().for_each(|op| folded.apply(op));
        assert_eq!(state.digest(), folded.digest());
        committer.receive(vec![late(12, 4)]).expect("is passed over");
        assert_eq!(committer.state().op_count(), 12);
    }

    #[test]
    fn a_tracker_that_takes_over_what_others_have_changes_nothing_for_clients() {
        let bench = Bench::new();
        bench.answer(Ok(()));
        assert_eq!(bench.create(1, "a").answer(), op(1));
        bench.committer.set_joining(true);
        let refusal = bench.committer.submit(command(2), &create("b")).expect_err("is refused");
        assert_eq!(refusal.code, Code::Joining);
        assert_eq!(bench.committer.submit(command(1), &create("a")), op(1), "it was made before");
        (0..2).for_each(|_| bench.answer(Ok(())));
        bench.committer.submit_own(OpBody::ForgetTracker { tracker: 2 }).expect("not a change of a client");
        bench.committer.receive(vec![account(THERE, 9, 9, "c")]).expect("not a change of a client");
        bench.committer.set_joining(false);
        bench.answer(Ok(()));
        assert_eq!(bench.create(3, "b").answer(), op(3));
    }

    #[test]
    fn a_read_only_tracker_refuses_clients_and_nobody_else() {
        let bench = Bench::new();
        (0..9).for_each(|_| bench.answer(Ok(())));
        assert_eq!(bench.create(1, "a").answer(), op(1));
        bench.committer.set_read_only(true);
        assert!(bench.committer.is_read_only());
        let refusal = bench.committer.submit(command(2), &create("b")).expect_err("is refused");
        assert_eq!((refusal.code, refusal.code.is_passing()), (Code::ReadOnly, true));
        assert_eq!(bench.committer.submit(command(1), &create("a")), op(1), "it was made before");
        let disable = OperatorChange::DisableUser { user: UserId::parse("a").expect("a name") };
        assert_eq!(bench.committer.operate(command(3), &disable), op(2));
        assert_eq!(bench.committer.operate(command(4), &disable), Ok(Committed::ALREADY));
        let user = bench.committer.state().user_named(&UserId::parse("a").expect("a name")).expect("it is there");
        let change = UnplacedChange { kind: ChangeKind::LeaveGroup, group: None, file: None };
        assert_eq!(bench.committer.submit(command(5), &Change::NoteUnplaced { user, change }), op(3));
        bench.committer.submit_own(OpBody::ForgetTracker { tracker: 2 }).expect("not a change of a client");
        bench.committer.receive(vec![account(THERE, 9, 1, "c")]).expect("not a change of a client");
        bench.committer.set_read_only(false);
        assert_eq!(bench.create(6, "b").answer(), op(5));
    }

    #[test]
    fn an_operators_change_is_durable_on_return_or_refused() {
        let bench = Bench::new();
        let kick = |name| OperatorChange::EndSessions { user: UserId::parse(name).expect(name) };
        let refusal = bench.committer.operate(command(1), &kick("a")).expect_err("is refused");
        assert_eq!(refusal.code, Code::NoSuchUser);
        bench.answer(Ok(()));
        assert_eq!(bench.create(1, "a").answer(), op(1));
        bench.answer(Err(AppendError::Full("disk full".into())));
        let refusal = bench.committer.operate(command(2), &kick("a")).expect_err("is refused");
        assert_eq!(refusal.code, Code::Unavailable);
        bench.answer(Ok(()));
        assert_eq!(bench.committer.operate(command(2), &kick("a")), op(2));
        bench.committer.set_joining(true);
        let refusal = bench.committer.operate(command(3), &kick("a")).expect_err("is refused");
        assert_eq!(refusal.code, Code::Joining);
    }

    /// Makes an account, again and again while the log is full. Returns false if the name is taken.
    fn make_while_full(committer: &Committer, command: CommandId, change: &Change) -> bool {
        loop {
            match committer.submit(command, change) {
                Ok(committed) => {
                    assert_eq!(
                        committer.state().command(change.owner(), command),
                        committed.op,
                        "durable before the answer"
                    );
                    return true;
                }
                Err(Refusal { code: Code::UserExists, .. }) => return false,
                Err(Refusal { code: Code::Unavailable, .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }

    /// Many threads make accounts under few names. Some commands are repeated, and every third append finds the log
    /// full. Every acknowledged change is in the state exactly once, and the log holds exactly the acknowledged ops.
    #[test]
    fn many_threads_lose_nothing_and_double_nothing() {
        struct Flaky(Sender<Op>, usize);
        impl OpLog for Flaky {
            fn append(&mut self, ops: &[Op]) -> Result<(), AppendError> {
                self.1 += 1;
                if self.1.is_multiple_of(3) {
                    return Err(AppendError::Full("full".into()));
                }
                ops.iter().for_each(|op| self.0.send(op.clone()).expect("the test listens"));
                Ok(())
            }
        }
        let (kept_to, kept) = unbounded();
        let (published_to, published) = bounded(4);
        let sink = Box::new(move |mut settled: Settled| {
            settled.published.take().into_iter().for_each(|batch| published_to.send(batch).expect("the test listens"));
        });
        let committer =
            Committer::start(ORIGIN, State::new(), Box::new(Flaky(kept_to, 0)), nothing(), sink).expect("starts");
        let folded = thread::spawn(move || {
            let mut state = State::new();
            published.iter().flat_map(|batch: Published| batch.ops).for_each(|op| state.apply(&op));
            state
        });
        let (acknowledged, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for thread in 0..8u32 {
                let (committer, acknowledged, taken) = (&committer, &acknowledged, &taken);
                scope.spawn(move || {
                    for n in 0..100u32 {
                        let command = command(n % 80 + (thread / 2) * 1000);
                        let made =
                            make_while_full(committer, command, &create(&format!("u{}", n * 7 % 50 + thread / 2)));
                        let count = if made { acknowledged } else { taken };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        committer.shutdown();
        let state = committer.state();
        drop(committer);
        assert_eq!(acknowledged.into_inner() + taken.into_inner(), 800);
        let kept: Vec<Op> = kept.iter().collect();
        let mut replayed = State::new();
        kept.iter().for_each(|op| replayed.apply(op));
        assert_eq!(state.digest(), replayed.digest());
        assert_eq!(state.digest(), folded.join().expect("no panic").digest());
        assert!(kept.iter().zip(1..).all(|(op, seq)| op.id.seq == seq), "sequences have no gap");
        assert_eq!(state.user_count(), kept.len());
        assert!((0..53).all(|n| state.user_named(&UserId::parse(&format!("u{n}")).expect("a name")).is_some()));
    }

    #[test]
    fn a_sink_that_blocks_is_seen_from_outside() {
        let (go, wait) = bounded::<()>(0);
        let sink = Box::new(move |settled: Settled| {
            // Ends for good when the test drops its end.
            let _ = wait.recv();
            settled.react();
        });
        let committer = Committer::start(ORIGIN, State::new(), Box::<Kept>::default(), nothing(), sink);
        let committer = committer.expect("a thread starts");
        let deadline = Instant::now() + COMMIT_WAIT_MAX;
        let until = |so: &dyn Fn(Option<Underway>) -> bool| {
            while !so(committer.underway(Instant::now() + Duration::from_secs(60))) {
                assert!(Instant::now() < deadline);
                thread::yield_now();
            }
        };
        until(&|underway| underway.is_none());
        let (_, pending) = committer.begin(command(1), &create("ann")).expect("accepted");
        let told = "others have been told of earlier changes for 6";
        until(&|underway| underway.is_some_and(|at| at.to_string().starts_with(told)));
        drop(go);
        pending.expect("not durable before").wait().expect("kept");
        until(&|underway| underway.is_none());
    }
}
