//! A tracker in this process. When it asks for a new start it gets one, as in the program.

use super::tracker::settings;
use super::wait::wait_until;
use crossbeam_channel::{Sender, bounded};
use groupshare::sys::random::random_bytes;
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::tracker::journal::disk::RealDisk;
use groupshare::tracker::journal::{Journal, JournalOwner, JournalSettings, OpenedJournal};
use groupshare::tracker::net::listener::bind;
use groupshare::tracker::server::kept_server::KeptServer;
use groupshare::tracker::server::unplaced::UnplacedLists;
use groupshare::tracker::server::{ListenSockets, Server, ServerSettings};
use groupshare::tracker::state::State;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;

static ADDRESSES: AtomicU8 = AtomicU8::new(1);

/// A tracker with its journal on disk. Dropping this stops the tracker.
pub(crate) struct KeptTracker {
    pub(crate) addr: SocketAddr,
    told: Told,
    folder: PathBuf,
    server: Arc<KeptServer>,
    stop: Sender<()>,
    keeper: Option<JoinHandle<KeptSetup>>,
}

/// The lines that the operator of a tracker has received.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub(crate) fn set(&self, settings: &mut ServerSettings) {
        let told = self.clone();
        settings.warn = Arc::new(move |line| told.note(line));
    }

    fn note(&self, line: &str) {
        self.0.lock().push(line.to_owned());
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.0.lock().iter().any(|line| line.contains(part))
    }
}

/// What all starts of one tracker have in common.
pub(crate) struct KeptSetup {
    pub(crate) number: u16,
    /// The trackers that it calls.
    pub(crate) others: Vec<(u16, SocketAddr)>,
    pub(crate) folder: TempDir,
    pub(crate) sockets: ListenSockets,
    pub(crate) floor_pace: FloorPace,
    pub(crate) journal: JournalSettings,
}

impl KeptSetup {
    /// Tracker `number` with an empty folder, at an address that no other program takes between two starts.
    pub(crate) fn new(number: u16, others: &[(u16, SocketAddr)]) -> Self {
        Self::on(tempfile::tempdir().expect("a folder"), number, others)
    }

    /// The same, with an existing folder.
    pub(crate) fn on(folder: TempDir, number: u16, others: &[(u16, SocketAddr)]) -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, high.max(1), low, ADDRESSES.fetch_add(1, Ordering::Relaxed));
        let free = bind((ip, 0).into()).map(|free| free.local_addr().expect("bound"));
        // A socket that asked for exactly this port keeps it after it stops listening.
        let clients = free.and_then(bind).expect("nobody else has this address");
        Self {
            number,
            others: others.to_vec(),
            folder,
            sockets: clients.into(),
            floor_pace: FloorPace::default(),
            journal: JournalSettings::default(),
        }
    }

    pub(crate) fn start(&self, told: &Told) -> Server {
        let mut settings: ServerSettings = settings(&self.folder);
        told.set(&mut settings);
        let journal = self.folder.path().join("journal");
        fs::create_dir_all(&journal).expect("writable");
        let disk = Arc::new(RealDisk::open(&journal).expect("a folder"));
        let incarnation = u64::from_ne_bytes(random_bytes().expect("random bytes"));
        let owner = JournalOwner { tracker: self.number, fresh_incarnation: incarnation };
        let mut unplaced = UnplacedLists::new(self.folder.path());
        let opened = Journal::open(disk, owner, self.journal, settings.warn.clone(), &mut unplaced);
        let opened = opened.expect("sound");
        let OpenedJournal { journal, source, bases, past, origin, adopted, .. } = opened;
        (settings.log, settings.source, settings.past, settings.origin) = (Box::new(journal), source, past, origin);
        (settings.bases, settings.floor_pace, settings.adopted) = (bases, self.floor_pace, adopted);
        settings.others = self.others.iter().map(|&(number, addr)| (number, addr.into())).collect();
        let sockets = self.sockets.try_clone().expect("descriptors");
        Server::start(sockets, settings).expect("started")
    }
}

impl KeptTracker {
    pub(crate) fn start(setup: KeptSetup) -> Self {
        let told = Told::default();
        let server = setup.start(&told);
        let (addr, folder) = (server.addr(), setup.folder.path().to_owned());
        let server = Arc::new(KeptServer::new(server));
        let (stop, stopped) = bounded(1);
        let (kept, says) = (server.clone(), told.clone());
        let keeper = thread::spawn(move || {
            let start = || Ok::<_, Infallible>(setup.start(&says));
            let Ok(()) = kept.keep(&stopped, |line| says.note(line), start);
            setup
        });
        Self { addr, told, folder, server, stop, keeper: Some(keeper) }
    }

    /// Whether the operator has received a line with this text.
    pub(crate) fn has_told(&self, part: &str) -> bool {
        self.told.has(part)
    }

    /// The folder of the tracker's data.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the server. If a new start is under way, waits for it.
    pub(crate) fn look<T>(&self, mut look: impl FnMut(&Server) -> T) -> T {
        let mut seen = None;
        wait_until("it runs", || {
            seen = self.server.look(&mut look);
            seen.is_some()
        });
        seen.expect("it runs")
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.look(|server| server.core().state())
    }

    /// Stops the tracker. Returns what another start needs.
    pub(crate) fn stop(mut self) -> KeptSetup {
        self.end().expect("not stopped before").expect("every start has succeeded")
    }

    fn end(&mut self) -> Option<thread::Result<KeptSetup>> {
        // The keeper is gone if a start has failed.
        let _ = self.stop.send(());
        self.keeper.take().map(JoinHandle::join)
    }
}

impl Drop for KeptTracker {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
