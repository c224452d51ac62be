//! How fast trackers reach the same state, and how fast a client is served again after its tracker is killed. The
//! folder is TMPDIR of the environment. `cargo bench -- replication only=empty,late,refold,push,failover shares=1000`.

use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::installation::{Installation, linked};
use crate::common::names::{command, group};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use crate::common::wiretap::Wiretap;
use crate::kit::history::{History, open};
use crate::kit::options::Options;
use groupshare::model::id::{OpId, Origin};
use groupshare::model::manifest::Content;
use groupshare::model::name::UserId;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::tracker::journal::{JournalSettings, OpenedJournal};
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::time::{ClockId, clock_gettime};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Ops that one tracker has and another lacks.
const OPS: u64 = 100_000;
/// Shares that travel with their manifests, unless `shares` says otherwise.
const SHARES: usize = 1_000;
/// New ops whose travel to the next tracker is measured.
const PUSHED: usize = 1_000;
/// How many changes come after the late op in the order: within the ledger's window, and far behind it.
const DEPTHS: [u64; 2] = [8_000, 1_000_000];
/// How often a tracker is killed.
const KILLS: usize = 10;

/// A tracker with its journal on disk. It has these ops and calls these other trackers.
fn tracker(folder: &Path, number: u16, ops: u64, others: &[(u16, SocketAddr)]) -> TestTracker {
    let folder = folder.join(format!("tracker-{number}"));
    std::fs::create_dir(&folder).expect("made");
    let history = History { origin: Origin { tracker: number, incarnation: 1 }, total: ops };
    history.write(&folder);
    // Without a floor: the bench measures ops, and with a floor an empty tracker would take a base.
    tracker_in(&folder, number, others, FloorPace { step: 1 << 40, ..FloorPace::default() })
}

/// A tracker with its journal in this folder.
pub(crate) fn tracker_in(
    folder: &Path,
    number: u16,
    others: &[(u16, SocketAddr)],
    floor_pace: FloorPace,
) -> TestTracker {
    let opened = open(folder, number, JournalSettings::default());
    let OpenedJournal { journal, past, source, bases, origin, .. } = opened;
    TestTracker::start_with(|settings| {
        (settings.origin, settings.past, settings.others) =
            (origin, past, others.iter().map(|&(number, addr)| (number, addr.into())).collect());
        (settings.log, settings.source, settings.bases) = (Box::new(journal), source, bases);
        settings.warn = std::sync::Arc::new(|_| {});
        settings.floor_pace = floor_pace;
    })
}

fn op_count(tracker: &TestTracker) -> u64 {
    tracker.server.core().state().op_count()
}

/// Waits until these trackers know this many ops. Returns the time since then.
fn all_know(trackers: &[&TestTracker], ops: u64, since: Instant) -> Duration {
    while trackers.iter().any(|tracker| op_count(tracker) < ops) {
        assert!(
            since.elapsed() < LONG,
            "{:?} of {ops}",
            trackers.iter().map(|tracker| op_count(tracker)).collect::<Vec<_>>()
        );
        thread::park_timeout(Duration::from_micros(200));
    }
    let took = since.elapsed();
    let digests: Vec<_> = trackers.iter().map(|tracker| tracker.server.core().state().digest()).collect();
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "other states");
    took
}

/// Core time of this process.
fn core_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The value below which this share of all values lies.
fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize]
}

fn measure_empty(temp: &Path, shares: usize) {
    let full = tracker(temp, 1, OPS, &[]);
    let (start, core) = (Instant::now(), core_time());
    let empty = tracker(temp, 2, 0, &[(1, full.addr)]);
    let took = all_know(&[&empty], OPS, start);
    println!("{OPS} ops to an empty tracker: {took:.2?}, {:.2?} on cores in all", core_time() - core);

    let mut owner = full.user("owner");
    owner.create_group("lab");
    let contents: Vec<Content> = (0..shares)
        .map(|number| {
            let name = format!("{number}.bin");
            let (bytes, content) = crate::common::manifest::manifest(&name, 2, number as u8);
            owner.put_manifest("lab", &bytes, &content);
            owner.share("lab", &name, &content);
            content
        })
        .collect();
    let known = op_count(&full);
    all_know(&[&empty], known, Instant::now());
    drop(empty);
    let start = Instant::now();
    let again = tracker(temp, 3, 0, &[(1, full.addr)]);
    let took = all_know(&[&again], known, start);
    let manifests = &again.server.core().manifests;
    assert!(
        contents.iter().all(|content| manifests.has(content.info_hash).is_ok_and(|here| here)),
        "a manifest is missing"
    );
    println!("the same with {shares} manifests: {took:.2?}");
}

/// Requests the list of groups until it is time to stop. Returns how long each answer took.
fn read(client: &mut Client, stop: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let reply = client.ask(Request::ListGroups { after: Some(group("h")) });
        assert!(matches!(reply, Reply::Groups { .. }), "{reply:?}");
        times.push(start.elapsed());
    }
    times
}

/// The answer times of reading clients while `work` runs.
fn beside(clients: &mut [Client], work: impl FnOnce()) -> Vec<Duration> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        let readers: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || read(client, stop))).collect();
        work();
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().flat_map(|reader| reader.join().expect("answered")).collect()
    })
}

fn measure_late(temp: &Path) {
    let one = tracker(temp, 1, OPS, &[]);
    let relay = Wiretap::to(one.addr);
    relay.block();
    let two = tracker(temp, 2, OPS, &[(1, relay.addr)]);
    let mut readers: Vec<_> = (0..2).map(|n| one.user(&format!("reader{n}"))).collect();
    let mut quiet = beside(&mut readers, || thread::sleep(Duration::from_secs(1)));
    let (known, mut took, core) = (op_count(&one) + op_count(&two), Duration::ZERO, core_time());
    let mut busy = beside(&mut readers, || {
        relay.unblock();
        // The time counts from the link on, since the pauses between calls are its back-off.
        while relay.passed().is_empty() {
            thread::park_timeout(Duration::from_micros(200));
        }
        took = all_know(&[&one, &two], known, Instant::now());
    });
    println!(
        "2 x {OPS} ops after a partition, all of them late: {took:.2?}, {:.2?} on cores in all with the readers",
        core_time() - core
    );
    println!(
        "reads meanwhile: {} of two clients, median {:.0?}, p99 {:.0?}, longest {:.0?}; before: median {:.0?}, p99 {:.0?}",
        busy.len(),
        quantile(&mut busy, 0.5),
        quantile(&mut busy, 0.99),
        quantile(&mut busy, 1.0),
        quantile(&mut quiet, 0.5),
        quantile(&mut quiet, 0.99)
    );
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("is told");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn measure_refold(temp: &Path) {
    let one = tracker(temp, 1, DEPTHS[1], &[]);
    measure_late_op(&one, &DEPTHS);
}

/// One user makes changes without a pause while one op comes late, `depths` ops deep.
pub(crate) fn measure_late_op(one: &TestTracker, depths: &[u64]) {
    let mut alice = one.user("alice");
    for (&depth, incarnation) in depths.iter().zip(1..) {
        let lamport = (one.server.core().state().lamport() - depth).max(1);
        let id = OpId { origin: Origin { tracker: 9, incarnation }, seq: 1 };
        let body = OpBody::CreateUser {
            name: UserId::parse(&format!("late{depth}")).expect("a name"),
            password: PasswordHash("p".into()),
        };
        let late = Op { id, lamport, command: command(), body };
        let (stop, before) = (AtomicBool::new(false), resident());
        let (mut waits, mut peak, mut took) = (Vec::new(), before, Duration::ZERO);
        thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                let start = Instant::now();
                one.server.core().committer.receive(vec![late]).expect("is taken");
                stop.store(true, Ordering::Relaxed);
                start.elapsed()
            });
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    peak = peak.max(resident());
                    thread::park_timeout(Duration::from_millis(5));
                }
            });
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                let name = group(&format!("g{incarnation}x{}", waits.len()));
                alice.done(Request::CreateGroup { command: command(), group: name });
                waits.push(start.elapsed());
            }
            took = receiving.join().expect("no panic");
        });
        println!(
            "an op {depth} ops late: {took:.2?}; {} changes meanwhile, median {:.2?}, longest {:.2?}; {} MiB more than before",
            waits.len(),
            quantile(&mut waits, 0.5),
            quantile(&mut waits, 1.0),
            (peak - before) / 1024
        );
    }
}

fn measure_push(temp: &Path) {
    let one = tracker(temp, 1, 0, &[]);
    let two = tracker(temp, 2, 0, &[(1, one.addr)]);
    let mut alice = one.user("alice");
    all_know(&[&two], op_count(&one), Instant::now());
    let (mut acknowledged, mut there) = (Vec::new(), Vec::new());
    for number in 0..PUSHED {
        let known = op_count(&one);
        let start = Instant::now();
        alice.done(Request::CreateGroup { command: command(), group: group(&format!("group{number}")) });
        acknowledged.push(start.elapsed());
        while op_count(&two) == known {
            thread::yield_now();
        }
        there.push(start.elapsed());
    }
    println!(
        "a new op: acknowledged after {:.2?}, durable at the next tracker after {:.2?} (p99 {:.2?}, longest {:.2?})",
        quantile(&mut acknowledged, 0.5),
        quantile(&mut there, 0.5),
        quantile(&mut there, 0.99),
        quantile(&mut there, 1.0)
    );
}

fn measure_failover() {
    let installation = Installation::of(3);
    let mut trackers: Vec<_> = (1..=3).map(|number| installation.tracker(number)).collect();
    let mut alice = installation.person("alice", 1, &[]);
    alice.say("create_user alice secret");
    alice.say("login alice secret");
    alice.expect("Login successful");
    for tracker in &mut trackers[1..] {
        wait_until("alice is known everywhere", || {
            tracker.say("status");
            tracker.expect("users ").text.starts_with("users       1,")
        });
    }
    let mut times = Vec::new();
    // Kills the trackers in the order of the list. Alice is at that tracker each time.
    let mut at = 1;
    for round in 0..KILLS {
        let killed = trackers.remove(at - 1).kill();
        alice.say(&format!("create_group round{round}"));
        times.push(alice.expect("Group created").at - killed);
        trackers.insert(at - 1, installation.tracker(at));
        for other in (1..=3).filter(|&other| other != at) {
            linked(&mut trackers[at - 1], other);
        }
        at = if at == 1 { 2 } else { 1 };
    }
    println!(
        "{KILLS} times kill -9 of the tracker of a client: the next command is done after {:.0?} (longest {:.0?})",
        quantile(&mut times, 0.5),
        quantile(&mut times, 1.0)
    );
}

/// One measurement, in a folder of its own.
type Part<'a> = &'a dyn Fn(&Path);

pub(crate) fn bench(options: &Options) {
    let shares = options.number("shares", SHARES);
    let only = options.words("only", "empty,late,refold,push,failover");
    let wanted = |name: &str| only.iter().any(|only| only == name);
    let parts: [(&str, Part<'_>); 5] = [
        ("empty", &|temp| measure_empty(temp, shares)),
        ("late", &measure_late),
        ("refold", &measure_refold),
        ("push", &measure_push),
        ("failover", &|_| measure_failover()),
    ];
    for (name, measure) in parts {
        if wanted(name) {
            let temp = tempfile::tempdir().expect("a folder");
            measure(temp.path());
        }
    }
}
