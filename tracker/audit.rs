//! The audit: who changed what and when, as lines of JSON in a folder of their own at each tracker.

mod files;
pub mod line;
mod sets;

use crate::model::op::Op;
use crate::sys;
use crate::sys::owned_thread::OwnedThread;
use crate::tracker::log::{Level, Log, LogKind};
use crate::tracker::state::State;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use files::{AuditFiles, FILE_LEN_MAX, SetReader};
use line::AuditLine;
use sets::{AuditSet, LineSorter, SETS};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The name of its folder in the data folder.
pub const FOLDER: &str = "audit";
/// How many batches may wait for the disk. A thread with one more waits too.
const WAITING_MAX: usize = 1024;
/// The longest time until a line is on the disk.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// The number of bytes up to which lines are gathered before they are written.
const GATHERED: usize = 64 * 1024;
/// How long a reader waits for lines that are being written.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// Where changes are noted. Clones note in the same place. The default notes nothing. Dropping the last clone waits
/// until everything is on the disk.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    writer: Option<Arc<AuditWriter>>,
}

#[derive(Debug)]
struct AuditWriter {
    folder: PathBuf,
    lost: Arc<AtomicU64>,
    /// Dropped first, which ends the thread.
    jobs: Sender<Job>,
    _thread: OwnedThread,
}

#[derive(Debug)]
enum Job {
    /// Ops that this tracker took together, and the state that they led to. The number is the time, in seconds since
    /// 1970.
    Ops(u64, Vec<Op>, Arc<State>),
    Line(Box<AuditLine>),
    /// Dropped once everything before it is in the file.
    Flush(Sender<()>),
}

impl Audit {
    /// Notes in this folder from now on. The caller must hold the lock of the data folder.
    ///
    /// # Errors
    /// The folder cannot be read, or the system has no thread left.
    pub fn open(folder: &Path, log: Arc<Log>) -> io::Result<Self> {
        Self::open_with(folder, log, FILE_LEN_MAX)
    }

    /// As [`Audit::open`], with files of at most this many bytes.
    fn open_with(folder: &Path, log: Arc<Log>, len_max: u64) -> io::Result<Self> {
        let sets = SETS.iter().map(|set| KeptSet::open(folder, *set, len_max)).collect::<io::Result<_>>()?;
        let (jobs, taken) = bounded(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let keeper = AuditKeeper { sets, sorter: LineSorter::new(), log, lost: lost.clone(), unsynced: None };
        let thread = OwnedThread::start("audit", move || keeper.run(&taken))?;
        Ok(Self { writer: Some(Arc::new(AuditWriter { folder: folder.to_path_buf(), lost, jobs, _thread: thread })) })
    }

    /// Notes the changes of users and operators among these ops. `after` is the state that they led to.
    pub fn note(&self, ops: &[Op], after: &Arc<State>) {
        let Some(writer) = &self.writer else { return };
        let ops: Vec<Op> = ops.iter().filter(|op| line::is_noted(&op.body)).cloned().collect();
        if !ops.is_empty() {
            writer.give(Job::Ops(sys::unix_time_s(), ops, after.clone()));
        }
    }

    /// Notes another act, at the present time.
    pub fn act(&self, line: AuditLine) {
        if let Some(writer) = &self.writer {
            writer.give(Job::Line(Box::new(line.at(sys::unix_time_s()))));
        }
    }

    /// How many lines were lost since the start, for lack of room on the disk.
    pub fn lost(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.lost.load(Ordering::Relaxed))
    }

    /// Passes every line to `each`, the oldest first, until `each` breaks off. Skips what is no line.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&self, each: &mut dyn FnMut(&AuditLine) -> ControlFlow<()>) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let (flushed, wait) = bounded(0);
        writer.give(Job::Flush(flushed));
        // After this the earlier lines are in the file. After the deadline, reads the lines that are there.
        let _ = wait.recv_timeout(FLUSH_MAX);
        let mut sets: Vec<SetReader> =
            SETS.iter().map(|set| SetReader::open(&writer.folder, set.name())).collect::<io::Result<_>>()?;
        loop {
            let nexts = sets.iter_mut().filter_map(|set| Some((line::number(set.line()?), set)));
            let Some((_, next)) = nexts.min_by_key(|(number, _)| *number) else { return Ok(()) };
            let line = next.line().and_then(|bytes| serde_json::from_slice(bytes).ok());
            if line.is_some_and(|line| each(&line).is_break()) {
                return Ok(());
            }
            next.advance()?;
        }
    }
}

impl AuditWriter {
    fn give(&self, job: Job) {
        // Fails only if the thread has panicked.
        let _ = self.jobs.send(job);
    }
}

/// One set of files.
struct KeptSet {
    files: AuditFiles,
    /// Lines that wait to be written together, and their number.
    gathered: Vec<u8>,
    count: u64,
    /// The number of lines that were lost since the last written one.
    untold: u64,
}

impl KeptSet {
    fn open(folder: &Path, set: AuditSet, len_max: u64) -> io::Result<Self> {
        Ok(Self { files: AuditFiles::open(folder, set.name(), len_max)?, gathered: Vec::new(), count: 0, untold: 0 })
    }
}

/// The writing thread.
struct AuditKeeper {
    /// By the number of the set.
    sets: Vec<KeptSet>,
    sorter: LineSorter,
    log: Arc<Log>,
    lost: Arc<AtomicU64>,
    /// Since when bytes have been waiting for a sync.
    unsynced: Option<Instant>,
}

impl AuditKeeper {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let patience = self.unsynced.map_or(Duration::MAX, |since| SYNC_INTERVAL.saturating_sub(since.elapsed()));
            match jobs.recv_timeout(patience) {
                Ok(job) => self.carry_out(job),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            }
        }
    }

    fn carry_out(&mut self, job: Job) {
        match job {
            Job::Ops(time, ops, after) => {
                for op in &ops {
                    if let Some(line) = AuditLine::of_op(op, &after, time) {
                        self.gather(&line, line::is_of_share(&op.body));
                    }
                }
            }
            Job::Line(line) => self.gather(&line, false),
            Job::Flush(flushed) => drop(flushed),
        }
        (0..self.sets.len()).for_each(|set| self.write(set));
        if self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_INTERVAL) {
            self.sync();
        }
    }

    fn gather(&mut self, line: &AuditLine, is_share: bool) {
        let set = self.sorter.set_of(line, is_share, Instant::now()) as usize;
        let number = self.sorter.number(sys::unix_time_s());
        let kept = &mut self.sets[set];
        line.write_to(number, &mut kept.gathered);
        kept.count += 1;
        if kept.gathered.len() >= GATHERED {
            self.write(set);
        }
    }

    /// Writes the waiting lines of a set, or counts them as lost.
    fn write(&mut self, set: usize) {
        let kept = &mut self.sets[set];
        let (lines, count) = (std::mem::take(&mut kept.gathered), std::mem::take(&mut kept.count));
        if count == 0 {
            return;
        }
        let mut bytes = Vec::new();
        if kept.untold > 0 {
            let seconds = sys::unix_time_s();
            AuditLine::lost(kept.untold).at(seconds).write_to(self.sorter.number(seconds), &mut bytes);
        }
        bytes.extend_from_slice(&lines);
        match kept.files.append(&bytes) {
            Ok(()) => {
                if std::mem::take(&mut kept.untold) > 0 {
                    self.log.say(Level::Warn, "the audit is written again");
                }
                self.unsynced.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                if kept.untold == 0 {
                    let why = sys::reason(&error);
                    self.log.event(Level::Error, LogKind::Audit, "the audit loses lines", &[("reason", &why)]);
                }
                kept.untold += count;
                self.lost.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    fn sync(&mut self) {
        self.unsynced = None;
        for kept in &self.sets {
            if let Err(error) = kept.files.sync() {
                let why = sys::reason(&error);
                self.log.event(Level::Error, LogKind::Audit, "the audit may lose lines", &[("reason", &why)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, GroupRef, OpId, Origin, ShareRef, UserRef};
    use crate::model::name::{GroupId, UserId};
    use crate::model::op::{OpBody, PasswordHash};
    use parking_lot::Mutex;
    use std::fs;

    /// Makes ops, and the state that the ops about accounts lead to.
    #[derive(Default)]
    struct OpMaker {
        count: u64,
        ops: Vec<Op>,
        after: State,
    }

    impl OpMaker {
        fn make(&mut self, body: OpBody) -> OpId {
            self.count += 1;
            let id = OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: self.count };
            let command = CommandId(u128::from(self.count).to_be_bytes());
            self.ops.push(Op { id, lamport: self.count, command, body });
            id
        }

        fn user(&mut self, name: &str) -> OpId {
            let name = UserId::parse(name).expect("a name");
            let id = self.make(OpBody::CreateUser { name, password: PasswordHash("x".into()) });
            self.after.apply(&self.ops[self.ops.len() - 1]);
            id
        }

        fn take(&mut self) -> Vec<Op> {
            std::mem::take(&mut self.ops)
        }

        fn after(&self) -> Arc<State> {
            Arc::new(self.after.clone())
        }
    }

    fn open(folder: &Path) -> Audit {
        Audit::open(folder, Arc::default()).expect("a folder")
    }

    fn act(value: &str) -> AuditLine {
        AuditLine { value: Some(value.to_owned()), ..AuditLine::of_operator(1, "read_only") }
    }

    fn values(audit: &Audit) -> Vec<String> {
        let mut values = Vec::new();
        let read = audit.read(&mut |line| {
            values.push(line.value.clone().unwrap_or_else(|| format!("{} {:?}", line.what, line.count)));
            ControlFlow::Continue(())
        });
        read.expect("readable");
        values
    }

    #[test]
    fn lines_are_there_at_once_and_after_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = open(folder.path());
        audit.act(act("on"));
        audit.act(act("off"));
        assert_eq!(values(&audit), ["on", "off"]);
        drop(audit);
        let audit = open(folder.path());
        audit.act(act("on"));
        assert_eq!(values(&audit), ["on", "off", "on"]);
        assert_eq!(values(&Audit::default()), [""; 0], "by default there is none");
    }

    #[test]
    fn a_line_that_was_torn_spoils_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = open(folder.path());
        audit.act(act("1"));
        drop(audit);
        let file = folder.path().join("operators-00000001.jsonl");
        let torn = fs::read_to_string(&file).expect("there") + r#"{"time":"2026-11-2"#;
        fs::write(&file, torn).expect("written");
        let audit = open(folder.path());
        audit.act(act("2"));
        assert_eq!(values(&audit), ["1", "2"]);
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_told_once_there_is_some() {
        let folder = tempfile::tempdir().expect("a folder");
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = told.clone();
        let log = Log::new(Level::Info, move |_, line| heard.lock().push(line.to_owned()));
        let audit = Audit::open(folder.path(), Arc::new(log)).expect("a folder");
        // A folder: no file of this name can be opened for writing.
        let in_the_way = folder.path().join("operators-00000001.jsonl");
        fs::create_dir(&in_the_way).expect("made");
        audit.act(act("1"));
        audit.act(act("2"));
        assert_eq!(values(&audit), [""; 0]);
        assert_eq!(audit.lost(), 2);
        fs::remove_dir(&in_the_way).expect("empty");
        audit.act(act("3"));
        assert_eq!(values(&audit), ["lines_lost Some(2)", "3"]);
        let lines = told.lock();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("the audit loses lines kind=audit reason="), "{lines:?}");
        assert_eq!(lines[1], "the audit is written again");
    }

    #[test]
    fn a_user_who_changes_much_pushes_out_no_line_of_an_operator_and_none_about_accounts() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = Audit::open_with(folder.path(), Arc::default(), 1 << 18).expect("a folder");
        let mut ops = OpMaker::default();
        let ann = ops.user("ann");
        let bob = ops.user("bob");
        audit.note(&ops.take(), &ops.after());
        audit.act(act("before"));
        let group =
            ops.make(OpBody::CreateGroup { founder: UserRef(ann), name: GroupId::parse("lab").expect("a name") });
        let (group, user) = (GroupRef(group), UserRef(ann));
        // Each op has a line of at least 100 bytes: together they fill the files twice.
        for round in 0..100 {
            for _ in 0..200 {
                ops.make(OpBody::LeaveShare { share: ShareRef(ann), user });
                ops.make(OpBody::LeaveGroup { group, user });
            }
            audit.note(&ops.take(), &ops.after());
            if round == 50 {
                audit.act(act("between"));
            }
        }
        ops.make(OpBody::RequestJoin { group, user: UserRef(bob) });
        audit.note(&ops.take(), &ops.after());
        let (mut told, mut of_ann) = (Vec::new(), 0);
        let read = audit.read(&mut |line| {
            match &line.value {
                Some(value) => told.push(value.clone()),
                None if line.by == "ann" && line.what != "create_user" => of_ann += 1,
                None => told.push(format!("{} {}", line.by, line.what)),
            }
            ControlFlow::Continue(())
        });
        read.expect("readable");
        assert_eq!(told, ["ann create_user", "bob create_user", "before", "between", "bob join_group"]);
        assert!((5_000..30_000).contains(&of_ann), "{of_ann} of 40,000 are kept");
    }
}
