//! The programs of an installation in a folder of its own: clients, and trackers on ports that were free a moment ago.

use super::client::Client;
use super::deadline::LONG;
use super::program::Program;
use groupshare::model::digest::Fingerprint;
use groupshare::tracker::auth::cluster_key::ClusterKey;
use groupshare::wire::handshake::HandshakeError;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

static INSTALLATIONS: AtomicU8 = AtomicU8::new(1);

/// An installation. It has a loopback address of its own, so that no other program takes its ports while no tracker has
/// them.
pub(crate) struct Installation {
    pub folder: tempfile::TempDir,
    pub addrs: Vec<SocketAddr>,
}

impl Installation {
    /// An installation with this many trackers on its list, none of which runs.
    pub(crate) fn of(count: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, high.max(1), low, INSTALLATIONS.fetch_add(1, Ordering::Relaxed));
        let free: Vec<_> = (0..count).map(|_| TcpListener::bind((ip, 0)).expect("a free port")).collect();
        let addrs = free.iter().map(|listener| listener.local_addr().expect("bound")).collect();
        let installation = Self { folder, addrs };
        installation.list(&list_of(&installation.addrs));
        installation
    }

    /// Writes the list of trackers.
    pub(crate) fn list(&self, text: &str) {
        fs::write(self.info(), text).expect("writable");
    }

    pub(crate) fn info(&self) -> PathBuf {
        self.folder.path().join("tracker_info.txt")
    }

    /// A list of its own for another machine, with the key of the installation beside it.
    pub(crate) fn machine(&self, name: &str, addrs: &[SocketAddr]) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).expect("a new folder");
        fs::write(folder.join("tracker_info.txt"), list_of(addrs)).expect("writable");
        fs::copy(self.folder.path().join("tracker_info.txt.key"), folder.join("tracker_info.txt.key")).expect("a key");
        folder
    }

    /// The tracker's program with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        tracker_in(self.folder.path(), args)
    }

    /// Starts the tracker with this number and waits until it runs.
    pub(crate) fn tracker(&self, number: usize) -> Program {
        self.tracker_on(self.folder.path(), number)
    }

    /// The same, with the list of another machine.
    pub(crate) fn tracker_on(&self, machine: &Path, number: usize) -> Program {
        self.tracker_with(machine, number, &[])
    }

    /// The same, with more options.
    pub(crate) fn tracker_with(&self, machine: &Path, number: usize, options: &[&str]) -> Program {
        let place = ["tracker_info.txt", &number.to_string()];
        let mut tracker = Program::start(tracker_in(machine, &place).args(options));
        tracker.expect(&format!("tracker {number} on {}", self.addrs[number - 1]));
        tracker
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let key = fs::read(self.folder.path().join("tracker_info.txt.key")).expect("made");
        ClusterKey::new(key.as_slice().try_into().expect("32 bytes")).fingerprint()
    }

    /// Connects to the tracker with this number.
    pub(crate) fn connect(&self, number: usize) -> Result<Client, HandshakeError> {
        Client::over_to(TcpStream::connect(self.addrs[number - 1])?, self.fingerprint())
    }

    /// Starts a client's program. It tries the trackers from this number on.
    pub(crate) fn person(&self, name: &str, first: usize, args: &[&str]) -> Program {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).expect("a new folder");
        let mut addrs = self.addrs.clone();
        addrs.rotate_left(first - 1);
        fs::write(folder.join("tracker_info.txt"), list_of(&addrs)).expect("writable");
        self.person_again(name, args)
    }

    /// Starts the client's program of a user again.
    pub(crate) fn person_again(&self, name: &str, args: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
        command.current_dir(self.folder.path().join(name)).args(args).args([
            "--state-dir",
            "state",
            "127.0.0.1:0",
            "tracker_info.txt",
        ]);
        Program::start(&mut command)
    }
}

fn list_of(addrs: &[SocketAddr]) -> String {
    addrs.iter().map(|addr| format!("{addr}\n")).collect()
}

/// The tracker's program in a folder.
pub(crate) fn tracker_in(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
    command.current_dir(folder).args(args);
    command
}

/// What the console prints about another tracker.
pub(crate) fn standing(tracker: &mut Program, other: usize) -> String {
    tracker.say("status");
    tracker.expect("connections ");
    tracker.expect(&format!("tracker {other:<3} ")).text
}

/// Waits until each of these consoles shows that all others have the same state.
pub(crate) fn same_digests(trackers: &mut [Program]) {
    let count = trackers.len();
    for (number, tracker) in (1..).zip(trackers) {
        for other in (1..=count).filter(|&other| other != number) {
            let mut line = String::new();
            let deadline = Instant::now() + LONG;
            while !line.ends_with(", 0 changes behind, this one 0 behind, same digest") {
                assert!(Instant::now() < deadline, "tracker {number} has not come to agree: {line}");
                line = standing(tracker, other);
                assert!(!line.contains("ANOTHER DIGEST"), "{line}");
            }
        }
    }
}

/// Waits until a tracker shows that it is connected to another one.
pub(crate) fn linked(tracker: &mut Program, other: usize) {
    let line = format!("tracker: tracker {other} is connected");
    if !tracker.heard().iter().any(|heard| heard.text.contains(&line)) {
        tracker.expect(&line);
    }
}
