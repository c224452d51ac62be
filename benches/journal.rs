//! The cost of durability: acknowledged changes per second beside the limit of the disk, restarts, and checkpoints. The
//! folder is TMPDIR of the environment. `cargo bench -- journal only=changes,base,restart`.

use crate::churn::Churn;
use crate::common::client::Client;
use crate::common::names::{command, group};
use crate::common::tracker::TestTracker;
use crate::kit::history::{History, open};
use crate::kit::options::Options;
use crate::kit::rate::{RATED, answered, core_time};
use groupshare::model::id::Origin;
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::JournalSettings;
use groupshare::tracker::journal::checkpoint;
use groupshare::tracker::journal::disk::RealDisk;
use groupshare::tracker::journal::reader::RecoveryOptions;
use groupshare::tracker::journal::recovery::read;
use groupshare::wire::client_tracker::Request;
use rustix::time::ClockId;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TRACKER: u16 = 1;
/// Bytes of a typical batch with one op.
const BATCH_LEN: usize = 150;

/// Writes and syncs such a batch again and again, in a file with reserved room as the journal does. Returns how often,
/// and the median time.
fn bare_fdatasync(folder: &Path, stop: impl Fn() -> bool) -> (u64, Duration) {
    let path = folder.join("bare");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).expect("made");
    groupshare::sys::space::allocate(&file, 64 << 20).expect("room");
    file.sync_all().expect("synced");
    let mut times = Vec::new();
    let mut at = 0;
    while !stop() {
        let start = Instant::now();
        file.write_all_at(&[7; BATCH_LEN], at).expect("written");
        file.sync_data().expect("synced");
        times.push(start.elapsed());
        at = (at + BATCH_LEN as u64) % (63 << 20);
    }
    times.sort_unstable();
    std::fs::remove_file(&path).expect("there");
    (times.len() as u64, times[times.len() / 2])
}

/// How many batches the journal in this folder has while it is written.
fn folder_batches(folder: &Path) -> u64 {
    let disk = RealDisk::open(folder).expect("there");
    let options = RecoveryOptions { tracker: None, checkpoints: true, force: true };
    let (found, _) = read(&disk, options, |_, _| true).expect("readable");
    found.position.batch
}

fn measure_changes(temp: &Path) {
    let folder = temp.join("changes");
    std::fs::create_dir(&folder).expect("made");
    let start = Instant::now();
    let (count, quiet) = bare_fdatasync(temp, || start.elapsed() > RATED);
    println!("disk alone: write and fdatasync of {BATCH_LEN} bytes {quiet:.0?}, {} a second", count / RATED.as_secs());
    let opened = open(&folder, TRACKER, JournalSettings::default());
    let tracker = TestTracker::start_with(|settings| {
        (settings.origin, settings.past, settings.log) = (opened.origin, opened.past, Box::new(opened.journal));
    });
    let mut owner = tracker.user("owner");
    (0..64).for_each(|n| owner.create_group(&format!("group{n}")));
    drop(owner);
    for count in [1, 8, 64] {
        let mut clients: Vec<Client> = (0..count).map(|n| tracker.user(&format!("user{count}-{n}"))).collect();
        // Each client asks to join and withdraws that, by turns. The owner is not online, and hears nothing.
        let turns: Vec<AtomicU64> = (0..count).map(|_| AtomicU64::new(0)).collect();
        let change = |client: usize| {
            let (command, group) = (command(), group(&format!("group{client}")));
            match turns[client].fetch_add(1, Ordering::Relaxed) % 2 {
                0 => Request::JoinGroup { command, group },
                _ => Request::LeaveGroup { command, group },
            }
        };
        let (folded, records) = (tracker.server.core().state().op_count(), folder_batches(&folder));
        let changes = answered(&mut clients, change, |_| {});
        let folded = tracker.server.core().state().op_count() - folded;
        let batch_len = folded as f64 / (folder_batches(&folder) - records) as f64;
        let mut disk = (0, Duration::ZERO);
        let beside = answered(&mut clients, change, |stop| {
            disk = bare_fdatasync(temp, || stop.load(Ordering::Relaxed));
        });
        // The end of the list of groups is the smallest read of the state.
        let reads = answered(&mut clients, |_| Request::ListGroups { after: Some(group("h")) }, |_| {});
        let bound = reads.per_second.min(f64::from(count) / disk.1.as_secs_f64());
        println!(
            "{count:>2} clients: {:.0} changes a second in batches of {batch_len:.1}, {:.2} of min(reads, clients / fdatasync), {:.1?} of a core each; \
             {:.0} reads a second, {:.1?} each; {:.0} changes beside a bare fdatasync loop, which takes {:.0?} under this load",
            changes.per_second,
            changes.per_second / bound,
            changes.core,
            reads.per_second,
            reads.core,
            beside.per_second,
            disk.1
        );
    }
}

fn folder_len(folder: &Path, part: &str) -> u64 {
    let files = std::fs::read_dir(folder).expect("there").map(|entry| entry.expect("read"));
    let files = files.filter(|entry| entry.file_name().to_string_lossy().contains(part));
    files.map(|entry| entry.metadata().expect("told").len()).sum()
}

fn measure_restart(temp: &Path, total: u64) {
    let folder = temp.join(format!("restart-{total}"));
    std::fs::create_dir(&folder).expect("made");
    let settings = JournalSettings { checkpoint_ops: u64::MAX, ..JournalSettings::default() };
    History { origin: Origin { tracker: TRACKER, incarnation: 1 }, total }.write(&folder);
    File::open(&folder).and_then(|folder| folder.sync_all()).expect("synced");
    let mut times = Vec::new();
    for _ in 0..3 {
        let (start, core) = (Instant::now(), core_time(ClockId::ThreadCPUTime));
        let opened = open(&folder, TRACKER, settings);
        times.push((start.elapsed(), core_time(ClockId::ThreadCPUTime) - core));
        assert_eq!((opened.replayed, opened.past.state().op_count()), (total, total));
    }
    times.sort_unstable();
    println!(
        "{total} ops: start by replay {:.2?}, {:.2?} of one core for the fold, journal {:.1} MB",
        times[1].0,
        times[1].1,
        folder_len(&folder, "journal") as f64 / 1e6
    );

    // Opens the journal once, so that it begins the next segment.
    let mut opened = open(&folder, TRACKER, JournalSettings { checkpoint_ops: 1, ..settings });
    let start = Instant::now();
    opened.journal.kept(opened.past.state());
    let stopped = start.elapsed();
    opened.journal.wait_for_checkpoint();
    println!(
        "{total} ops: checkpoint {:.2?} in the background, changes wait {stopped:.2?} of it, {:.1} MB",
        start.elapsed(),
        folder_len(&folder, "checkpoint") as f64 / 1e6
    );
    drop(opened);
    let disk = RealDisk::open(&folder).expect("there");
    assert_eq!(checkpoint::all(&disk).expect("readable"), [total]);
    let start = Instant::now();
    let opened = open(&folder, TRACKER, settings);
    println!("{total} ops: start with a checkpoint {:.2?}", start.elapsed());
    assert_eq!((opened.replayed, opened.past.state().op_count()), (0, total));
    let state = opened.past.state();
    println!(
        "{total} ops: {} users, {} groups, {} files",
        state.user_count(),
        state.group_count(),
        state.share_count()
    );
}

/// A start of a tracker after this many changes that left nothing, and the cost of its next base.
fn measure_base(temp: &Path, ops: u64) {
    let folder = temp.join(format!("base-{ops}"));
    std::fs::create_dir(&folder).expect("made");
    let churn = Churn { users: 1000, files: 20_000, ops };
    drop(churn.take(&folder));
    let mut times = Vec::new();
    let opened = loop {
        let start = Instant::now();
        let opened = open(&folder, TRACKER, JournalSettings::default());
        times.push(start.elapsed());
        if times.len() == 3 {
            break opened;
        }
    };
    times.sort_unstable();
    println!(
        "{} users, {} files, {ops} changes that left nothing: start {:.2?}, {} changes above the base read",
        churn.users, churn.files, times[1], opened.replayed
    );
    let mut base = opened.past.state().clone();
    base.prune(base.lamport());
    let start = Instant::now();
    opened.bases.keep(&base).and_then(|()| opened.bases.clear()).expect("there is room");
    let kept = start.elapsed();
    println!("the next base of it: kept in {kept:.2?}, {:.1} MB for two", folder_len(&folder, ".base") as f64 / 1e6);
}

pub(crate) fn bench(options: &Options) {
    let temp = tempfile::tempdir().expect("a folder");
    let only = options.words("only", "changes,base,restart");
    let wanted = |part: &str| only.iter().any(|only| only == part);
    if wanted("changes") {
        measure_changes(temp.path());
    }
    if wanted("base") {
        [0, 8192, 100_000].into_iter().for_each(|above| measure_base(temp.path(), above));
    }
    if wanted("restart") {
        measure_restart(temp.path(), 100_000);
        measure_restart(temp.path(), 1_000_000);
    }
}
