//! A tracker after years of changes that leave nothing behind, for the same users and files with more and more changes
//! between them: its memory, its disk, how long it takes to start and to give all to an empty tracker, and how long
//! changes wait while one comes late.
//! `cargo bench -- churn ops=0,1000000,10000000 users=1000 files=20000 tracker=PATH`; `tracker` is another build beside
//! it, which has to read the same journal.

use crate::common::installation::Installation;
use crate::common::manifest::manifest;
use crate::common::names::{command, user};
use crate::common::program::{Line, Program};
use crate::kit::history::open;
use crate::kit::options::Options;
use crate::kit::table::Table;
use crate::replication::{measure_late_op, tracker_in};
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::Layout;
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::JournalSettings;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The number of the tracker.
const TRACKER: u16 = 1;
const ORIGIN: Origin = Origin { tracker: TRACKER, incarnation: 1 };
/// How often something is looked for that a tracker does by itself.
const LOOK: Duration = Duration::from_millis(20);
/// A journal of which nothing has changed for this long is settled.
const SETTLED: Duration = Duration::from_secs(2);
/// How many ops late the op is that changes wait for: within the margin.
const LATE: u64 = 8000;
/// Ops of one batch.
const BATCH: usize = 1000;

/// Users who all are members of one group and share files there, and what they do after that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Churn {
    pub(crate) users: u64,
    pub(crate) files: u64,
    pub(crate) ops: u64,
}

impl Churn {
    /// The op with this sequence. What lives is made first.
    pub(crate) fn op(&self, seq: u64) -> Op {
        let id = |seq| OpId { origin: ORIGIN, seq };
        let author = |n: u64| UserRef(id(1 + n % self.users));
        let (groups, shares) = (self.users, 2 * self.users);
        let body = if seq <= groups {
            let password =
                PasswordHash(format!("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg${seq:043}").into());
            OpBody::CreateUser { name: user(&format!("user{seq}")), password }
        } else if seq <= shares {
            OpBody::CreateGroup { name: group_name(seq), founder: author(seq - groups - 1) }
        } else if seq <= shares + self.files {
            let n = seq - shares;
            let (_, content) = self.manifest(seq);
            let (group, name) = (GroupRef(id(groups + 1 + n % self.users)), file_name(seq));
            OpBody::CreateShare { group, user: author(n), name, content, replaces: None }
        } else {
            // Each user in turn makes a group or a share and leaves it again.
            let n = seq - shares - self.files - 1;
            let (turn, of) = (n / 2, author(n / 2));
            match (turn / self.users % 2, n % 2) {
                (0, 0) => OpBody::CreateGroup { name: group_name(seq), founder: of },
                (0, _) => OpBody::LeaveGroup { group: GroupRef(id(seq - 1)), user: of },
                (_, 0) => share(GroupRef(id(groups + 1 + turn % self.users)), of, seq),
                (..) => OpBody::LeaveShare { share: ShareRef(id(seq - 1)), user: of },
            }
        };
        Op { id: id(seq), lamport: seq, command: command(), body }
    }

    /// The list of pieces of a file that lives.
    fn manifest(&self, seq: u64) -> (Vec<u8>, Content) {
        manifest(file_name(seq).as_str(), 2, seq as u8)
    }

    /// Writes the lists of pieces of all that lives.
    fn write_manifests(&self, folder: &Path) {
        let below = 2 * self.users;
        for (bytes, content) in (below + 1..=below + self.files).map(|seq| self.manifest(seq)) {
            fs::write(folder.join(content.info_hash.to_string()), bytes).expect("room");
        }
    }

    /// Writes all of it into the journal of a tracker that has not run yet.
    pub(crate) fn write(&self, folder: &Path) {
        let settings = JournalSettings { checkpoint_ops: u64::MAX, ..JournalSettings::default() };
        let mut opened = open(folder, TRACKER, settings);
        let all: Vec<u64> = (1..=2 * self.users + self.files + self.ops).collect();
        for seqs in all.chunks(BATCH) {
            let ops: Vec<Op> = seqs.iter().map(|&seq| self.op(seq)).collect();
            opened.journal.append(&ops).expect("kept");
            opened.journal.kept(opened.past.state());
        }
    }
}

fn group_name(seq: u64) -> GroupId {
    GroupId::parse(&format!("group{seq}")).expect("a name")
}

fn share(group: GroupRef, user: UserRef, seq: u64) -> OpBody {
    let mut info_hash = [0; 32];
    info_hash[..8].copy_from_slice(&seq.to_be_bytes());
    let layout = Layout::new(seq).expect("small");
    let content = Content { layout, sha1: Sha1Digest([seq as u8; 20]), info_hash: InfoHash(info_hash), file_count: 1 };
    OpBody::CreateShare { group, user, name: file_name(seq), content, replaces: None }
}

fn file_name(seq: u64) -> FileName {
    FileName::parse(&format!("file {seq}.bin")).expect("a name")
}

/// What a start has cost, and what the tracker is then.
struct Started {
    took: Duration,
    memory: u64,
    disk: u64,
    /// How long an empty tracker takes to get all.
    sync: Duration,
}

fn data(installation: &Installation, number: usize) -> PathBuf {
    installation.folder.path().join(format!("tracker_info.txt.data/tracker-{number}"))
}

/// Starts a tracker of an installation, and waits until it can answer.
fn run(installation: &Installation, program: &Path, number: usize) -> (Program, Duration) {
    let began = Instant::now();
    let mut command = Command::new(program);
    command.current_dir(installation.folder.path()).args(["tracker_info.txt", &number.to_string()]);
    let mut tracker = Program::start(&mut command);
    tracker.expect(&format!("tracker {number} on "));
    (tracker, began.elapsed())
}

/// Starts a tracker twice: the first time it lets go of what it has replayed. Then an empty tracker gets all of it.
fn started(installation: &Installation, program: &Path) -> Started {
    let data = data(installation, 1);
    let (first, _) = run(installation, program, 1);
    installation.connect(1).expect("it runs").create_user("newcomer");
    wait_settled(&data.join("journal"));
    first.kill();
    let (mut tracker, took) = run(installation, program, 1);
    installation.connect(1).expect("it runs").create_user("latecomer");
    let (memory, disk) = (tracker.resident(), len(&data.join("journal")));
    installation.list(&installation.addrs.iter().map(|addr| format!("{addr}\n")).collect::<String>());
    let sync = sync(installation, program, &mut tracker);
    tracker.kill();
    Started { took, memory, disk, sync }
}

/// Waits until a journal has a base or a checkpoint, and stays as it is.
fn wait_settled(journal: &Path) {
    let names = || {
        let entries = fs::read_dir(journal).expect("there").map(|entry| entry.expect("read").file_name());
        let mut names: Vec<_> = entries.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    };
    let is_state = |name: &String| name.ends_with(".base") || name.ends_with(".checkpoint");
    let (mut before, mut since) = (names(), Instant::now());
    while !before.iter().any(is_state) || since.elapsed() < SETTLED {
        thread::sleep(LOOK);
        let now = names();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// Starts an empty tracker beside the first one, and waits until it has all, the lists of pieces too.
fn sync(installation: &Installation, program: &Path, first: &mut Program) -> Duration {
    let (began, files) = (Instant::now(), manifests(&data(installation, 1)));
    let (second, _) = run(installation, program, 2);
    let folder = data(installation, 2);
    let users = |tracker: &mut Program| {
        tracker.say("status");
        let answers = |line: &Line| line.text.starts_with("users ") || line.text.contains("is starting anew");
        tracker.next("status", answers).text.split(',').next().map(str::to_owned)
    };
    let wanted = users(first);
    let mut second = second;
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
    let own = PathBuf::from(env!("CARGO_BIN_EXE_tracker"));
    let other = options.words("tracker", "").into_iter().filter(|path| !path.is_empty()).map(PathBuf::from);
    let programs: Vec<(&str, PathBuf)> = [("this", own)].into_iter().chain(other.map(|path| ("other", path))).collect();
    println!("{users} users, {files} files");
    let headings =
        ["tracker", "changes that left nothing", "start s", "memory MiB", "more MiB", "journal MiB", "sync s"];
    let mut table = Table::new(&headings);
    let mut least: BTreeMap<&str, u64> = BTreeMap::new();
    for ops in options.words("ops", "0,200000,1000000") {
        let churn = Churn { users, files, ops: ops.parse().expect("a number of changes") };
        for (name, program) in &programs {
            let installation = Installation::of(2);
            // Alone, so that it lets go of old changes by itself.
            installation.list(&format!("{}\n", installation.addrs[0]));
            let folder = data(&installation, 1);
            for name in ["journal", "manifests"] {
                fs::create_dir_all(folder.join(name)).expect("made");
            }
            churn.write(&folder.join("journal"));
            churn.write_manifests(&folder.join("manifests"));
            let Started { took, memory, disk, sync } = started(&installation, program);
            let least = *least.entry(*name).or_insert(memory);
            let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
            let s = |time: Duration| format!("{:.2}", time.as_secs_f64());
            let more = mib(memory.saturating_sub(least));
            let cells = [name.to_string(), ops.clone(), s(took), mib(memory), more, mib(disk), s(sync)];
            table.line(cells.to_vec());
        }
        let temp = tempfile::tempdir().expect("a folder");
        churn.write(temp.path());
        let one = tracker_in(temp.path(), TRACKER, &[]);
        println!("after {ops} changes that left nothing:");
        measure_late_op(&one, &[LATE]);
    }
    table.print();
}
