//! A tracker as its users run it, with honest users: their actions, and how long these take.

use super::gang::{Link, Target, keep_off_their_core};
use super::program::RunningProgram;
use crate::common::names::{PASSWORD, command, group, password, user};
use crate::scale;
use groupshare::tracker::auth::cluster_key::ClusterKey;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Refusal;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Users that give commands all the time.
const COMMANDERS: u8 = 3;
/// The pause of a user after an answer.
const THOUGHT: Duration = Duration::from_millis(10);
/// The pause between two logins, and between two files.
const BETWEEN: Duration = Duration::from_millis(250);

/// The client's output after a command and a following `limit`.
const DONE: &str = "download  no limit";

/// What honest users noticed.
#[derive(Default)]
pub(super) struct Noticed {
    pub commands: Vec<Duration>,
    pub logins: Vec<Duration>,
    pub uploads: Vec<Duration>,
    pub downloads: Vec<Duration>,
    /// The words of their refusals.
    pub refused: Vec<String>,
}

impl Noticed {
    fn and(mut self, other: Self) -> Self {
        self.commands.extend(other.commands);
        self.logins.extend(other.logins);
        self.uploads.extend(other.uploads);
        self.downloads.extend(other.downloads);
        self.refused.extend(other.refused);
        self
    }
}

/// When honest users have seen enough.
pub(super) struct Until {
    by: Option<Instant>,
    /// A unique number of the round.
    round: usize,
}

impl Until {
    pub(super) fn passed(time: Option<Duration>) -> Self {
        static ROUNDS: AtomicUsize = AtomicUsize::new(0);
        Self { by: time.map(|time| Instant::now() + time), round: ROUNDS.fetch_add(1, Ordering::Relaxed) }
    }

    /// Whether a user goes on after `done` actions. At small scale `enough` actions are enough. At full scale the time
    /// decides.
    fn goes_on(&self, done: usize, enough: usize) -> bool {
        match self.by {
            None => done < enough,
            Some(by) => Instant::now() < by,
        }
    }
}

/// The tracker, and two people with their clients: Alice gives, Bob takes.
pub(super) struct Town {
    folder: tempfile::TempDir,
    pub target: Target,
    pub tracker: RunningProgram,
    pub alice: RunningProgram,
    bob: RunningProgram,
    files: usize,
}

impl Town {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, tracker) = tracker_in(folder.path());
        let mut alice = person(folder.path(), "alice", Ipv4Addr::new(127, 1, 2, 1));
        alice.say("create_group lab");
        alice.hears(&["Group created"]);
        let mut bob = person(folder.path(), "bob", Ipv4Addr::new(127, 1, 2, 2));
        bob.say("join_group lab");
        bob.hears(&["Request sent"]);
        let mut town = Self { folder, target, tracker, alice, bob, files: 0 };
        town.accept("bob");
        for number in 0..COMMANDERS {
            let (name, ip) = commander(number);
            let mut link = account(&target, &name, ip);
            let join = Request::JoinGroup { command: command(), group: group("lab") };
            assert_eq!(link.ask(&join), Some(Reply::Done {}));
            town.accept(&name);
        }
        town.give_a_file(&mut Noticed::default());
        town
    }

    pub(super) fn accept(&mut self, name: &str) {
        self.alice.say(&format!("accept_request lab {name}"));
        self.alice.hears(&["Request accepted"]);
    }

    /// As many users as cores and more log in at once. So password hashing takes its peak memory now.
    pub(super) fn warm_up(&self) {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for number in 0..4 * cores.min(15) {
                scope.spawn(move || {
                    let (name, _) = commander((number % usize::from(COMMANDERS)) as u8);
                    let mut link = Link::to(&self.target, Ipv4Addr::new(127, 1, 4, 1 + number as u8)).expect("let in");
                    assert_eq!(refusal(link.log_in(&name)), None);
                });
            }
        });
    }

    /// What honest users notice while they act like people. Their threads are not on the attackers' core, where they
    /// would wait for the attackers and not for the tracker.
    pub(super) fn noticed(&mut self, until: &Until) -> Noticed {
        let target = self.target;
        thread::scope(|scope| {
            let mut threads: Vec<_> =
                (0..COMMANDERS).map(|number| scope.spawn(move || apart(|| commands(&target, number, until)))).collect();
            threads.push(scope.spawn(move || apart(|| logins(&target, until))));
            threads.push(scope.spawn(move || apart(|| self.files(until))));
            threads.into_iter().fold(Noticed::default(), |all, thread| all.and(thread.join().expect("an honest user")))
        })
    }

    /// Files, one after the other.
    fn files(&mut self, until: &Until) -> Noticed {
        let (mut noticed, mut done) = (Noticed::default(), 0);
        while until.goes_on(done, 2) {
            self.give_a_file(&mut noticed);
            done += 1;
            thread::park_timeout(BETWEEN);
        }
        noticed
    }

    /// Alice shares a file, Bob downloads it, and both drop it.
    fn give_a_file(&mut self, noticed: &mut Noticed) {
        self.files += 1;
        let name = format!("f{}.bin", self.files);
        let (path, place) = (self.folder.path().join(&name), self.folder.path().join("got"));
        let len = scale::of(1 << 20, 24 << 20);
        let mut state = self.files as u64 | 1 << 40;
        fs::write(&path, (0..len / 8).flat_map(|_| random(&mut state).to_le_bytes()).collect::<Vec<u8>>())
            .expect("room");
        let begun = Instant::now();
        self.alice.say(&format!("upload_file {} lab", path.display()));
        self.alice.say("limit");
        let (at, line) = self.alice.hears(&["Uploaded", DONE]);
        if !line.contains("Uploaded") {
            noticed.refused.push(format!("upload: {:?}", self.alice.heard.iter().rev().nth(1)));
            return;
        }
        self.alice.hears(&[DONE]);
        noticed.uploads.push(at - begun);
        fs::create_dir_all(&place).expect("writable");
        let begun = Instant::now();
        self.bob.say(&format!("download_file lab {name} {}", place.display()));
        let (at, line) = self.bob.hears(&["Download completed", "Download failed"]);
        match line.contains("completed") {
            true => noticed.downloads.push(at - begun),
            false => noticed.refused.push(line),
        }
        for program in [&mut self.alice, &mut self.bob] {
            program.say(&format!("stop_share lab {name}"));
            program.say("limit");
            program.hears(&[DONE]);
        }
        fs::remove_file(path).expect("its own");
        fs::remove_dir_all(place).expect("its own");
    }
}

/// Runs this off the attackers' core.
fn apart(notices: impl FnOnce() -> Noticed) -> Noticed {
    keep_off_their_core();
    notices()
}

/// A tracker on an address of its own.
fn tracker_in(folder: &Path) -> (Target, RunningProgram) {
    static TOWNS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 128 | high, low, TOWNS.fetch_add(1, Ordering::Relaxed));
    // Both are held at once, since the system may give out a free port twice.
    let free = [(); 2].map(|()| TcpListener::bind((ip, 0)).expect("a free port"));
    let [addr, json] = free.map(|listener| listener.local_addr().expect("bound"));
    let info = folder.join("tracker_info.txt");
    fs::write(&info, format!("{addr}\n")).expect("writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
    let json_option = json.to_string();
    command.current_dir(folder).args(["tracker_info.txt", "1", "--json", &json_option, "--relay", "100M"]);
    let mut tracker = RunningProgram::start(&mut command);
    tracker.hears(&["tracker 1 on"]);
    let key = fs::read(info.with_extension("txt.key")).expect("made");
    let fingerprint = ClusterKey::new(key.as_slice().try_into().expect("32 bytes")).fingerprint();
    (Target { addr, fingerprint, json }, tracker)
}

/// A user with the client's program, logged in at an address.
fn person(folder: &Path, name: &str, ip: Ipv4Addr) -> RunningProgram {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    let state = folder.join(format!("state-{name}"));
    command.current_dir(folder).arg(format!("{ip}:0")).arg("tracker_info.txt").arg("--state-dir").arg(state);
    let mut program = RunningProgram::start(&mut command);
    program.say(&format!("create_user {name} secret"));
    program.hears(&["User created"]);
    program.say(&format!("login {name} secret"));
    program.hears(&["Login successful"]);
    program
}

fn commander(number: u8) -> (String, Ipv4Addr) {
    (format!("honest{number}"), Ipv4Addr::new(127, 1, 1, 1 + number))
}

/// The words of a refusal to an honest user.
fn refusal(reply: Option<Reply>) -> Option<String> {
    match reply {
        Some(Reply::Refused { code, about }) => Some(Refusal::to_string(&Refusal::received(code, &about))),
        Some(_) => None,
        None => Some("the connection is cut".to_owned()),
    }
}

/// A member's commands, one after the other.
fn commands(target: &Target, number: u8, until: &Until) -> Noticed {
    let (name, ip) = commander(number);
    let mut noticed = Noticed::default();
    let Some(mut link) = Link::to(target, ip) else {
        noticed.refused.push("a member is not let in".to_owned());
        return noticed;
    };
    noticed.refused.extend(refusal(link.log_in(&name)));
    let (mut done, round) = (0, until.round);
    while until.goes_on(done, 40) {
        // A round may end anywhere, so the next one needs other names.
        let own = || group(&format!("{name}-{round}-{}", done / 10));
        let request = match done % 10 {
            0 => Request::ListGroups { after: None },
            1 => Request::ListFiles { group: group("lab"), after: None },
            2 => Request::ListMembers { group: group("lab"), after: None },
            3 => Request::ListKeys { after: None },
            4 => Request::CreateGroup { command: command(), group: own() },
            5 => Request::LeaveGroup { command: command(), group: own() },
            _ => Request::Heartbeat {},
        };
        let begun = Instant::now();
        let reply = link.ask(&request);
        noticed.commands.push(begun.elapsed());
        if let Some(why) = refusal(reply) {
            noticed.refused.push(why);
            if link.sender.is_over() {
                return noticed;
            }
        }
        done += 1;
        thread::park_timeout(THOUGHT);
    }
    noticed
}

/// Users that log in by password, each from an address of their own.
fn logins(target: &Target, until: &Until) -> Noticed {
    let mut noticed = Noticed::default();
    let mut done = 0;
    while until.goes_on(done, 3) {
        let (name, _) = commander((done % usize::from(COMMANDERS)) as u8);
        let begun = Instant::now();
        let link = Link::to(target, Ipv4Addr::new(127, 1, 3, 1 + (done % 200) as u8));
        let reply = link.and_then(|mut link| link.log_in(&name));
        noticed.logins.push(begun.elapsed());
        noticed.refused.extend(refusal(reply).map(|why| format!("login: {why}")));
        done += 1;
        thread::park_timeout(BETWEEN);
    }
    noticed
}

/// Xorshift: noise that run-length coding cannot shorten.
pub(super) fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Makes an account and logs in.
pub(super) fn account(target: &Target, name: &str, ip: Ipv4Addr) -> Link {
    let mut link = Link::to(target, ip).expect("let in");
    for request in [
        Request::CreateUser { command: command(), user: user(name), password: password(PASSWORD) },
        Request::Login { client: link.client, user: user(name), password: password(PASSWORD) },
    ] {
        assert!(!matches!(link.ask(&request), None | Some(Reply::Refused { .. })), "{request:?}");
    }
    link
}
