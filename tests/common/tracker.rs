//! A tracker on a free port of this process.

use super::client::Client;
use super::memory_log::MemoryLog;
use groupshare::model::digest::Fingerprint;
use groupshare::model::id::Origin;
use groupshare::rate::buckets::Pace;
use groupshare::tracker::admission::Caps;
use groupshare::tracker::auth::cluster_key::ClusterKey;
use groupshare::tracker::auth::login_throttle::Paces;
use groupshare::tracker::auth::passwords::Params;
use groupshare::tracker::data_dir::DataDir;
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::tracker::oversight::Oversight;
use groupshare::tracker::server::{ListenSockets, Server, ServerSettings};
use groupshare::tracker::state::State;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// The cluster key of all test trackers.
const CLUSTER_KEY: [u8; 32] = [7; 32];

/// A tracker that runs in this process, with its data in a folder of its own. Dropping this stops it.
pub(crate) struct TestTracker {
    pub server: Server,
    pub addr: SocketAddr,
    /// The folder is removed with the tracker.
    pub _folder: tempfile::TempDir,
}

/// The settings for tests: password hashing is cheap, and nobody is slowed down.
pub(crate) fn settings(folder: &tempfile::TempDir) -> ServerSettings {
    let log = MemoryLog::default();
    let free = Pace { burst: 1_000_000, interval: Duration::from_millis(1) };
    ServerSettings {
        cluster_key: ClusterKey::new(&CLUSTER_KEY).into(),
        origin: Origin { tracker: 1, incarnation: 1 },
        past: State::new().into(),
        adopted: false,
        log: Box::new(log.clone()),
        source: Arc::new(log.clone()),
        bases: Arc::new(log),
        floor_pace: FloorPace::default(),
        others: Vec::new(),
        data_dir: DataDir::open(folder.path()).expect("a data folder"),
        caps: Caps::default(),
        paces: Paces {
            user: free,
            user_at_place: free,
            address: free,
            logins_of_user: free,
            logins_from_address: free,
        },
        password_params: cheap_passwords(),
        relay: None,
        oversight: Oversight::default(),
        warn: Arc::new(|line| eprintln!("tracker warns: {line}")),
    }
}

pub(crate) fn cheap_passwords() -> Params {
    Params::new(8, 1, 1, None).expect("the least that Argon2 allows")
}

impl TestTracker {
    /// A tracker with these sockets, and with settings that `change` has changed.
    pub(crate) fn start_at(listeners: ListenSockets, change: impl FnOnce(&mut ServerSettings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings(&folder);
        change(&mut settings);
        let server = Server::start(listeners, settings).expect("started");
        Self { addr: server.addr(), server, _folder: folder }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }
}

pub(crate) fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// The keys of all test trackers.
pub(crate) fn cluster() -> ClusterKey {
    ClusterKey::new(&CLUSTER_KEY)
}

/// The fingerprint of all test trackers.
pub(crate) fn fingerprint() -> Fingerprint {
    cluster().fingerprint()
}
