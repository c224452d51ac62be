//! Many shares of one client: the cost of each upload, and how soon all are served again after a login. A linear cost
//! doubles with their number. `cargo bench -- shares count=500,1000,5000 delay=100`.

use crate::common::client::Client;
use crate::common::installation::Installation;
use crate::common::names::{command, group};
use crate::common::program::Program;
use crate::common::relay::Relay;
use crate::kit::delay;
use crate::kit::options::Options;
use crate::kit::table::Table;
use groupshare::wire::client_tracker::{Reply, Request};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The pause between two checks of the list while shares come back.
const LOOK: Duration = Duration::from_millis(20);

/// Counts how often one side of a connection answers the other: the round trips of a client that waits for each answer.
#[derive(Default)]
struct Turns {
    answered: AtomicBool,
    count: AtomicUsize,
}

impl Turns {
    fn see(&self, asks: bool) {
        if self.answered.swap(!asks, Ordering::Relaxed) && asks {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A tracker, a client that reads the list, and the client with the shares.
struct Scene {
    installation: Installation,
    _tracker: Program,
    watcher: Client,
}

/// The cost of the uploads.
struct Uploads {
    took: Duration,
    written: u64,
    round_trips: usize,
}

impl Scene {
    /// Alice owns the group lab and has files to share.
    fn set(count: usize) -> Self {
        let installation = Installation::of(1);
        let tracker = installation.tracker(1);
        let mut watcher = installation.connect(1).expect("it runs");
        watcher.create_user("watcher");
        watcher.log_in("watcher");
        let mut alice = installation.person("alice", 1, &[]);
        alice.told("create_user alice secret", "User created");
        alice.told("login alice secret", "Login successful");
        alice.told("create_group lab", "Group created");
        watcher.done(Request::JoinGroup { command: command(), group: group("lab") });
        alice.told("accept_request lab watcher", "Request accepted");
        leave(alice);
        let scene = Self { installation, _tracker: tracker, watcher };
        for number in 0..count {
            fs::write(scene.folder().join(format!("f{number}")), number.to_string()).expect("room");
        }
        scene
    }

    fn folder(&self) -> PathBuf {
        self.installation.folder.path().join("alice")
    }

    /// Alice's client, which reaches the tracker at this address.
    fn alice(&self, tracker: SocketAddr) -> Program {
        fs::write(self.folder().join("tracker_info.txt"), format!("{tracker}\n")).expect("writable");
        self.installation.person_again("alice", &[])
    }

    /// The length of the client's records, in bytes.
    fn records_len(&self) -> u64 {
        let state = self.folder().join("state").join(self.installation.fingerprint().to_string());
        fs::metadata(state.join("alice/0/records")).map_or(0, |metadata| metadata.len())
    }

    fn upload(&self, count: usize) -> Uploads {
        let turns = Arc::new(Turns::default());
        let seen = turns.clone();
        let relay = Relay::to(self.installation.addrs[0], move |_, asks, _| seen.see(asks));
        let mut alice = self.alice(relay.addr);
        alice.told("login alice secret", "Login successful");
        let (written, round_trips, start) = (alice.written(), turns.count.load(Ordering::Relaxed), Instant::now());
        (0..count).for_each(|number| alice.say(&format!("upload_file f{number} lab")));
        let end = (0..count).map(|_| alice.expect("Uploaded").at).last().unwrap_or(start);
        let uploads = Uploads {
            took: end - start,
            written: alice.written() - written,
            round_trips: turns.count.load(Ordering::Relaxed) - round_trips,
        };
        leave(alice);
        uploads
    }

    /// Logs in by this address of the tracker. Returns the time until all files were served, and the bytes written.
    fn log_in(&mut self, tracker: SocketAddr, count: usize) -> (Duration, u64) {
        let mut alice = self.alice(tracker);
        let start = Instant::now();
        alice.say("login alice secret");
        while self.online() < count {
            assert!(start.elapsed() < Duration::from_secs(600), "{} of {count} are served", self.online());
            thread::sleep(LOOK);
        }
        let took = start.elapsed();
        let written = alice.written();
        leave(alice);
        (took, written)
    }

    /// How many files a member is serving.
    fn online(&mut self) -> usize {
        let (mut online, mut after) = (0, None);
        loop {
            let request = Request::ListFiles { group: group("lab"), after: after.take() };
            let Reply::Files { files, more } = self.watcher.ask(request) else {
                panic!("a member is refused the list")
            };
            online += files.iter().filter(|line| line.online > 0).count();
            after = files.iter().last().filter(|_| more).map(|line| line.name.clone());
            if after.is_none() {
                return online;
            }
        }
    }
}

fn leave(mut alice: Program) {
    alice.say("quit");
    assert!(alice.end().0.success());
}

pub(crate) fn bench(options: &Options) {
    let counts = options.words("count", "500,1000");
    let delay = Duration::from_millis(options.number("delay", 100) as u64);
    let mut uploads = Table::new(&["shares", "upload s", "ms each", "round trips each", "written KiB each"]);
    let mut logins = Table::new(&[
        "shares",
        "records KiB",
        "served again s",
        "written KiB",
        &format!("served again s, {} ms away", delay.as_millis()),
        "round trips",
    ]);
    for count in counts.iter().map(|count| count.parse::<usize>().expect("a number")) {
        let mut scene = Scene::set(count);
        let Uploads { took, written, round_trips } = scene.upload(count);
        let each = count as f64;
        uploads.line(vec![
            count.to_string(),
            format!("{:.2}", took.as_secs_f64()),
            format!("{:.2}", took.as_secs_f64() * 1000.0 / each),
            format!("{:.1}", round_trips as f64 / each),
            format!("{:.2}", written as f64 / 1024.0 / each),
        ]);
        let tracker = scene.installation.addrs[0];
        let (near, written) = scene.log_in(tracker, count);
        let (far, _) = scene.log_in(delay::relay(tracker, delay), count);
        logins.line(vec![
            count.to_string(),
            format!("{:.0}", scene.records_len() as f64 / 1024.0),
            format!("{:.2}", near.as_secs_f64()),
            format!("{:.1}", written as f64 / 1024.0),
            format!("{:.2}", far.as_secs_f64()),
            format!("{:.1}", far.saturating_sub(near).as_secs_f64() / delay.as_secs_f64()),
        ]);
    }
    uploads.print();
    println!();
    logins.print();
}
