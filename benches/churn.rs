//! A tracker after years of changes that leave nothing behind: its memory, its disk and how long it takes to start, for
//! the same users and files with more and more changes between them.
//! `cargo bench -- churn ops=200000,1000000 users=1000 files=20000 tracker=PATH`; `tracker` is another build beside it.

use crate::common::installation::Installation;
use crate::common::names::{command, user};
use crate::common::program::Program;
use crate::kit::history::open;
use crate::kit::options::Options;
use crate::kit::table::Table;
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::Layout;
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::JournalSettings;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The number of the tracker.
const TRACKER: u16 = 1;
const ORIGIN: Origin = Origin { tracker: TRACKER, incarnation: 1 };
/// How often a checkpoint is looked for.
const LOOK: Duration = Duration::from_millis(20);
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
            share(GroupRef(id(groups + 1 + n % self.users)), author(n), seq)
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
    let name = FileName::parse(&format!("file {seq}.bin")).expect("a name");
    OpBody::CreateShare { group, user, name, content, replaces: None }
}

/// What a start has cost, and what the tracker is then.
struct Started {
    took: Duration,
    memory: u64,
    disk: u64,
}

/// Starts a tracker twice: the first time it makes a checkpoint of what it has replayed.
fn started(installation: &Installation, program: &Path) -> Started {
    let data = installation.folder.path().join("tracker_info.txt.data/tracker-1");
    let run = || {
        let began = Instant::now();
        let mut command = Command::new(program);
        let mut tracker =
            Program::start(command.current_dir(installation.folder.path()).args(["tracker_info.txt", "1"]));
        tracker.expect("tracker 1 on ");
        (tracker, began.elapsed())
    };
    let (first, _) = run();
    installation.connect(1).expect("it runs").create_user("newcomer");
    while !has_checkpoint(&data) {
        thread::sleep(LOOK);
    }
    first.kill();
    let (tracker, took) = run();
    installation.connect(1).expect("it runs").create_user("latecomer");
    let started = Started { took, memory: tracker.resident(), disk: len(&data) };
    tracker.kill();
    started
}

fn has_checkpoint(data: &Path) -> bool {
    let names = fs::read_dir(data.join("journal")).expect("there").map(|entry| entry.expect("read").file_name());
    names.into_iter().any(|name| name.to_string_lossy().ends_with(".checkpoint"))
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
    let mut table = Table::new(&["tracker", "changes that left nothing", "start s", "memory MiB", "disk MiB"]);
    for ops in options.words("ops", "0,200000,1000000") {
        let ops: u64 = ops.parse().expect("a number of changes");
        for (name, program) in &programs {
            let installation = Installation::of(1);
            let journal = installation.folder.path().join("tracker_info.txt.data/tracker-1/journal");
            fs::create_dir_all(&journal).expect("made");
            Churn { users, files, ops }.write(&journal);
            let Started { took, memory, disk } = started(&installation, program);
            let mib = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
            let cells =
                [name.to_string(), ops.to_string(), format!("{:.2}", took.as_secs_f64()), mib(memory), mib(disk)];
            table.line(cells.to_vec());
        }
    }
    table.print();
}
