//! A tracker after years of changes that leave nothing behind. The users and files stay the same, and the number of
//! changes after them grows. The bench measures the tracker's memory and disk, a start, giving everything to an empty
//! tracker, and how long changes wait while one comes late. A tracker in this process takes the changes, with all
//! floors. `cargo bench -- churn ops=0,1000000,10000000 users=1000 files=20000`.

use crate::common::installation::Installation;
use crate::common::manifest::manifest;
use crate::common::names::{command, user};
use crate::common::program::{Line, Program};
use crate::common::tracker::TestTracker;
use crate::kit::history::open;
use crate::kit::options::Options;
use crate::kit::table::Table;
use crate::replication::{measure_late_op, tracker_in};
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{GroupRef, OpId, Origin, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::Layout;
use groupshare::tracker::commit::{OpLog, Pending};
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::tracker::journal::JournalSettings;
use groupshare::tracker::ledger::accept::Change;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The number of the tracker.
const TRACKER: u16 = 1;
const ORIGIN: Origin = Origin { tracker: TRACKER, incarnation: 1 };
/// The pause between two checks of something that a tracker does by itself.
const LOOK: Duration = Duration::from_millis(20);
/// A journal that has not changed for this long is settled.
const SETTLED: Duration = Duration::from_secs(2);
/// How many ops behind the late op comes. That is within the margin.
const LATE: u64 = 8000;
/// Most changes on their way at once.
const AT_ONCE: u64 = 1000;

/// Users with a group each, in which they share files; and their changes after that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Churn {
    pub(crate) users: u64,
    pub(crate) files: u64,
    pub(crate) ops: u64,
}

impl Churn {
    /// The op with this sequence, among the ops that make what stays.
    fn op(&self, seq: u64) -> Op {
        let id = |seq| OpId { origin: ORIGIN, seq };
        let author = |n: u64| UserRef(id(1 + n % self.users));
        let (groups, shares) = (self.users, 2 * self.users);
        let body = if seq <= groups {
            let password =
                PasswordHash(format!("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg${seq:043}").into());
            OpBody::CreateUser { name: user(&format!("user{seq}")), password }
        } else if seq <= shares {
            OpBody::CreateGroup { name: group_name(seq), founder: author(seq - groups - 1) }
        } else {
            let n = seq - shares;
            let (_, content) = self.manifest(seq);
            let (group, name) = (GroupRef(id(groups + 1 + n % self.users)), file_name(seq));
            OpBody::CreateShare { group, user: author(n), name, content, replaces: None }
        };
        Op { id: id(seq), lamport: seq, command: command(), body }
    }

    /// How many ops make what stays.
    fn living(&self) -> u64 {
        2 * self.users + self.files
    }

    /// One of the changes that leave nothing. Each user in turn makes a group or a share and leaves it again.
    fn change(&self, n: u64) -> Change {
        let (turn, made) = (n / 2, self.living() + 1 + n / 2);
        let number = turn % self.users;
        let user = UserRef(OpId { origin: ORIGIN, seq: 1 + number });
        let (own, group) = (group_name(self.users + 1 + number), group_name(made));
        match (turn / self.users % 2, n % 2) {
            (0, 0) => Change::CreateGroup { user, group },
            (0, _) => Change::LeaveGroup { user, group },
            (_, 0) => Change::Share { user, group: own, name: file_name(made), content: content(made) },
            (..) => Change::StopShare { user, group: own, name: file_name(made) },
        }
    }

    /// The list of pieces of a file that stays.
    fn manifest(&self, seq: u64) -> (Vec<u8>, Content) {
        manifest(file_name(seq).as_str(), 2, seq as u8)
    }

    /// Writes the lists of pieces of all files that stay.
    fn write_manifests(&self, folder: &Path) {
        let below = 2 * self.users;
        for (bytes, content) in (below + 1..=self.living()).map(|seq| self.manifest(seq)) {
            fs::write(folder.join(content.info_hash.to_string()), bytes).expect("room");
        }
    }

    /// Writes what stays into the journal of a tracker that has not run yet. A tracker in this process then takes all
    /// changes after that.
    pub(crate) fn take(&self, folder: &Path) -> TestTracker {
        let settings = JournalSettings { checkpoint_ops: u64::MAX, ..JournalSettings::default() };
        let mut opened = open(folder, TRACKER, settings);
        let ops: Vec<Op> = (1..=self.living()).map(|seq| self.op(seq)).collect();
        opened.journal.append(&ops).expect("kept");
        opened.journal.kept(opened.past.state());
        drop(opened);
        let tracker = tracker_in(folder, TRACKER, &[], FloorPace::default());
        let committer = &tracker.server.core().committer;
        let floor = || committer.standing().floor.ops;
        let FloorPace { margin, step, .. } = FloorPace::default();
        let (mut n, mut last) = (0, floor());
        // Goes on to the next floor, so that every run ends at the same distance from its floor.
        while n < self.ops || self.ops > 0 && floor() == last {
            let (_, pending) = committer.begin(command(), &self.change(n)).expect("accepted");
            n += 1;
            if n % AT_ONCE == 0 {
                pending.map_or(Ok(()), Pending::wait).expect("durable");
                // Users never make changes faster than floors can follow.
                let above = || committer.state().op_count() - floor();
                while above() > 2 * (margin + step.max(self.living() / 4)) {
                    thread::sleep(LOOK);
                }
            }
            if n == self.ops {
                last = floor();
            }
        }
        tracker
    }
}

fn group_name(seq: u64) -> GroupId {
    GroupId::parse(&format!("group{seq}")).expect("a name")
}

/// The content of a file whose list of pieces no tracker has.
fn content(seq: u64) -> Content {
    let mut info_hash = [0; 32];
    info_hash[..8].copy_from_slice(&seq.to_be_bytes());
    let layout = Layout::new(seq).expect("small");
    Content { layout, sha1: Sha1Digest([seq as u8; 20]), info_hash: InfoHash(info_hash), file_count: 1 }
}

fn file_name(seq: u64) -> FileName {
    FileName::parse(&format!("file {seq}.bin")).expect("a name")
}

/// What a start costs, and the state of the tracker then.
struct Started {
    took: Duration,
    memory: u64,
    disk: u64,
    /// How long an empty tracker takes to get everything.
    sync: Duration,
}

fn data(installation: &Installation, number: usize) -> PathBuf {
    installation.folder.path().join(format!("tracker_info.txt.data/tracker-{number}"))
}

/// Starts a tracker with all changes twice: in the first run it may move its floor. Then an empty tracker gets
/// everything.
fn started(installation: &Installation) -> Started {
    let journal = data(installation, 1).join("journal");
    let first = installation.tracker(1);
    wait_settled(&journal);
    first.kill();
    let began = Instant::now();
    let mut tracker = installation.tracker(1);
    let took = began.elapsed();
    wait_settled(&journal);
    let (memory, disk) = (tracker.resident(), len(&journal));
    installation.list(&installation.addrs.iter().map(|addr| format!("{addr}\n")).collect::<String>());
    let sync = sync(installation, &mut tracker);
    tracker.kill();
    Started { took, memory, disk, sync }
}

/// Waits until a journal no longer changes.
fn wait_settled(journal: &Path) {
    let names = || {
        let entries = fs::read_dir(journal).expect("there").map(|entry| entry.expect("read").file_name());
        let mut names: Vec<_> = entries.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    };
    let (mut before, mut since) = (names(), Instant::now());
    while since.elapsed() < SETTLED {
        thread::sleep(LOOK);
        let now = names();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// Starts an empty tracker beside the first one. Waits until it has everything, with the lists of pieces.
fn sync(installation: &Installation, first: &mut Program) -> Duration {
    let (began, files) = (Instant::now(), manifests(&data(installation, 1)));
    let mut second = installation.tracker(2);
    let folder = data(installation, 2);
    let users = |tracker: &mut Program| {
        tracker.say("status");
        let answers = |line: &Line| line.text.starts_with("users ") || line.text.contains("is starting anew");
        tracker.next("status", answers).text.split(',').next().map(str::to_owned)
    };
    let wanted = users(first);
    while manifests(&folder) < files || users(&mut second) != wanted {
        thread::sleep(LOOK);
    }
    let took = began.elapsed();
    second.kill();
    took
}

/// How many lists of pieces a tracker has.
fn manifests(data: &Path) -> usize {
    let entries =
        fs::read_dir(data.join("manifests")).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
    let names = entries.unwrap_or_default().into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.len() == 2 * InfoHash::LEN).count()
}

/// The room that a folder takes on the disk.
fn len(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).expect("there").map(|entry| entry.expect("read"));
    let room = entries.map(|entry| match entry.metadata().expect("told") {
        of if of.is_dir() => len(&entry.path()),
        of => of.blocks() * 512,
    });
    room.sum()
}

pub(crate) fn bench(options: &Options) {
    let users = options.number("users", 1000) as u64;
    let files = options.number("files", 20_000) as u64;
    println!("{users} users, {files} files");
    let headings = ["changes that left nothing", "taken a second", "start s", "memory MiB", "journal MiB", "sync s"];
    let mut table = Table::new(&headings);
    for ops in options.words("ops", "0,200000,1000000") {
        let churn = Churn { users, files, ops: ops.parse().expect("a number of changes") };
        let installation = Installation::of(2);
        // The tracker is alone in its list, so it drops old changes by itself.
        installation.list(&format!("{}\n", installation.addrs[0]));
        let folder = data(&installation, 1);
        for name in ["journal", "manifests"] {
            fs::create_dir_all(folder.join(name)).expect("made");
        }
        churn.write_manifests(&folder.join("manifests"));
        let began = Instant::now();
        drop(churn.take(&folder.join("journal")));
        let rate = churn.ops as f64 / began.elapsed().as_secs_f64();
        let temp = tempfile::tempdir().expect("a folder");
        for entry in fs::read_dir(folder.join("journal")).expect("there") {
            let entry = entry.expect("read");
            fs::copy(entry.path(), temp.path().join(entry.file_name())).expect("room");
        }
        let Started { took, memory, disk, sync } = started(&installation);
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        let s = |time: Duration| format!("{:.2}", time.as_secs_f64());
        table.line(vec![ops.clone(), format!("{rate:.0}"), s(took), mib(memory), mib(disk), s(sync)]);
        let one = tracker_in(temp.path(), TRACKER, &[], FloorPace::default());
        println!("after {ops} changes that left nothing:");
        measure_late_op(&one, &[LATE]);
    }
    table.print();
}
