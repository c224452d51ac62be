//! A running tracker: starts its threads, sweeps up behind them, stops them.

use crate::model::digest::Fingerprint;
use crate::model::id::Origin;
use crate::model::units;
use crate::sys;
use crate::sys::owned_thread::OwnedThread;
use crate::sys::random::random_bytes;
use crate::tracker::admission::{Admission, Caps, Occupancy};
use crate::tracker::auth::cluster_key::ClusterKey;
use crate::tracker::auth::password::{Params, Passwords};
use crate::tracker::auth::throttle::{Paces, Throttle};
use crate::tracker::cluster::cluster_view::{ClusterView, ForgetError};
use crate::tracker::cluster::feed::Feed;
use crate::tracker::cluster::local_tracker::LocalTracker;
use crate::tracker::cluster::other_tracker::OtherTracker;
use crate::tracker::commit::{Committer, OpLog, OpSource, Settled, Sink};
use crate::tracker::core::Core;
use crate::tracker::data_dir::{DataDir, DataDirError};
use crate::tracker::json::Permits;
use crate::tracker::ledger::Past;
use crate::tracker::manifests::Manifests;
use crate::tracker::net::connections::{Connections, Encoding};
use crate::tracker::net::listener::Listener;
use crate::tracker::notifier;
use crate::tracker::presence::Presence;
use crate::tracker::push::login_registry::LoginRegistry;
use crate::tracker::replication::link_dialer::LinkDialer;
use crate::tracker::warn::Warn;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often what has grown old is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often free memory is given back: folding late ops and links that come and go leave much of it.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// How long clients have at the end to take their last answers.
const CLOSING: Duration = Duration::from_secs(2);

/// What a tracker is made of and how it is to behave.
pub struct ServerSettings {
    pub cluster_key: ClusterKey,
    /// Under which ops are issued.
    pub origin: Origin,
    /// The fold of what the log holds.
    pub past: Past,
    /// Makes ops durable.
    pub log: Box<dyn OpLog>,
    /// Gives those ops back.
    pub source: Arc<dyn OpSource>,
    /// Where the other trackers of the list are, by their numbers.
    pub others: Vec<(u16, SocketAddr)>,
    pub data_dir: DataDir,
    pub caps: Caps,
    pub paces: Paces,
    pub password_params: Params,
    pub warn: Warn,
}

/// The bound sockets on which a tracker listens.
#[derive(Debug)]
pub struct ListenSockets {
    /// For clients and other trackers.
    pub clients: TcpListener,
    /// For programs that speak JSON, in the clear.
    pub programs: Option<TcpListener>,
}

impl From<TcpListener> for ListenSockets {
    fn from(clients: TcpListener) -> Self {
        Self { clients, programs: None }
    }
}

/// Why a tracker cannot start. Each is one line.
#[derive(Debug)]
pub enum StartError {
    /// The data folder cannot be used.
    DataDir(DataDirError),
    /// The manifests in it cannot be read.
    Manifests(io::Error),
    /// The list of retired trackers in it cannot be read.
    Retired(io::Error),
    /// A thread cannot be started, or there is no memory for one password.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::DataDir(error) => write!(f, "{error}"),
            StartError::Manifests(error) => write!(f, "cannot use the folder of manifests: {}", sys::reason(error)),
            StartError::Retired(error) => write!(f, "cannot read the list of retired trackers: {}", sys::reason(error)),
            StartError::System(error) => write!(f, "cannot start: {}", sys::reason(error)),
        }
    }
}

impl std::error::Error for StartError {}

/// A tracker that runs. Dropping it stops it.
pub struct Server {
    addr: SocketAddr,
    json_addr: Option<SocketAddr>,
    number: u16,
    started: Instant,
    core: Arc<Core>,
    admission: Arc<Admission>,
    listeners: Vec<Arc<Listener>>,
    connections: Arc<Connections>,
    /// Dropped to end the housekeeper.
    stop_housekeeper: Option<Sender<()>>,
    listener_threads: Vec<OwnedThread>,
    /// Calls the other trackers.
    dialer: Option<LinkDialer>,
    /// The others, which end by themselves once there is nothing left to do.
    threads: Vec<OwnedThread>,
    /// Locked until everything has stopped.
    _data_dir: DataDir,
}

/// How a tracker is doing.
#[derive(Debug, Clone)]
pub struct Status {
    /// Which tracker of the installation it is.
    pub number: u16,
    pub addr: SocketAddr,
    pub fingerprint: Fingerprint,
    /// How long it has been running.
    pub uptime: Duration,
    pub users: usize,
    /// Groups with members.
    pub groups: usize,
    /// Files and folders shared by somebody.
    pub shares: usize,
    /// Users with a client online.
    pub users_online: usize,
    pub clients_online: usize,
    pub others: Vec<OtherTracker>,
    pub connections: Occupancy,
    /// Why changes cannot be made at present.
    pub trouble: Option<String>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tracker {} on {}, up {}", self.number, self.addr, units::hours(self.uptime))?;
        writeln!(f, "fingerprint {}", self.fingerprint)?;
        writeln!(f, "users       {}, {} online on {} clients", self.users, self.users_online, self.clients_online)?;
        writeln!(f, "groups      {}", self.groups)?;
        writeln!(f, "files       {}", self.shares)?;
        let Occupancy { total, early, refused } = self.connections;
        write!(f, "connections {total}, {early} not logged in, {refused} refused since the start")?;
        for other in &self.others {
            write!(f, "\n{other}")?;
        }
        if let Some(trouble) = &self.trouble {
            write!(f, "\ntrouble     {trouble}")?;
        }
        Ok(())
    }
}

impl Server {
    /// Starts a tracker on listening sockets. This function starts all threads of a tracker but those of connections.
    ///
    /// # Errors
    /// The folder of manifests cannot be used, a thread cannot be started.
    pub fn start(sockets: impl Into<ListenSockets>, settings: ServerSettings) -> Result<Self, StartError> {
        let ListenSockets { clients, programs } = sockets.into();
        let addr = clients.local_addr().map_err(StartError::System)?;
        let json_addr = programs.as_ref().map(TcpListener::local_addr).transpose().map_err(StartError::System)?;
        let folder = settings.data_dir.folder("manifests").map_err(StartError::DataDir)?;
        let known = settings.past.state().info_hashes().collect();
        let listed = settings.past.state().listed_info_hashes().collect();
        let manifests = Manifests::open(&folder, &known, &listed).map_err(StartError::Manifests)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let passwords = Passwords::start(settings.password_params, cores).map_err(StartError::System)?;
        let (publish, batches) = notifier::channel();
        let feed: Arc<Feed> = Arc::default();
        let sink = sink(publish, feed.clone(), settings.warn.clone());
        let instance = random_bytes().map_err(StartError::System)?;
        let me = LocalTracker {
            origin: settings.origin,
            instance,
            others: settings.others,
            retired: settings.data_dir.path().join("retired"),
        };
        let cluster = ClusterView::new(me, feed, settings.warn.clone()).map_err(StartError::Retired)?;
        let source = settings.source.clone();
        let committer = Committer::start(settings.origin, settings.past, settings.log, settings.source, sink);
        let core = Arc::new(Core {
            cluster_key: settings.cluster_key,
            committer: committer.map_err(StartError::System)?,
            source,
            cluster,
            presence: Presence::new(),
            logins: LoginRegistry::new(),
            slow_consumers: Arc::default(),
            manifests,
            passwords,
            throttle: Throttle::new(settings.paces),
        });
        let (connections, to_join) = Connections::new(core.clone());
        let admission = Admission::new(settings.caps);
        let listener = |socket: TcpListener, encoding: Encoding| {
            let (admission, connections) = (admission.clone(), connections.clone());
            Arc::new(Listener::new(socket, encoding, admission, connections, settings.warn.clone()))
        };
        let mut listeners = vec![listener(clients, Encoding::Binary)];
        listeners.extend(programs.map(|socket| listener(socket, Encoding::Json(Permits::new()))));
        let (stop_housekeeper, stop) = bounded(0);
        let mut server = Self {
            addr,
            json_addr,
            number: settings.origin.tracker,
            started: Instant::now(),
            core,
            admission,
            listeners,
            connections,
            stop_housekeeper: Some(stop_housekeeper),
            listener_threads: Vec::new(),
            dialer: None,
            threads: Vec::new(),
            _data_dir: settings.data_dir,
        };
        server.start_threads(batches, to_join, stop, settings.warn).map_err(StartError::System)?;
        Ok(server)
    }

    fn start_threads(
        &mut self,
        batches: Receiver<Settled>,
        to_join: Receiver<u64>,
        stop: Receiver<()>,
        warn: Warn,
    ) -> io::Result<()> {
        self.threads.push(notifier::start(self.core.clone(), batches)?);
        let mut housekeeper = Housekeeper {
            core: self.core.clone(),
            connections: self.connections.clone(),
            listeners: self.listeners.clone(),
            warn,
            trouble: None,
            missing: 0,
        };
        housekeeper.tell_missing();
        let run = move || housekeeper.run(&to_join, &stop);
        self.threads.push(OwnedThread::start("housekeeper", run)?);
        for listener in &self.listeners {
            let listener = listener.clone();
            self.listener_threads.push(OwnedThread::start("listener", move || listener.run())?);
        }
        self.dialer = Some(LinkDialer::start(&self.core)?);
        Ok(())
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens to programs that speak JSON, if it does.
    pub fn json_addr(&self) -> Option<SocketAddr> {
        self.json_addr
    }

    /// Its parts, for whoever has to look inside.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub fn status(&self) -> Status {
        let state = self.core.state();
        Status {
            number: self.number,
            addr: self.addr,
            fingerprint: self.core.cluster_key.fingerprint(),
            uptime: self.started.elapsed(),
            users: state.user_count(),
            groups: state.group_count(),
            shares: state.share_count(),
            users_online: self.core.presence.local_user_count(),
            clients_online: self.core.presence.local_client_count(),
            others: self.core.cluster.others(&state),
            connections: self.admission.occupancy(),
            trouble: self.core.committer.trouble().map(|trouble| trouble.to_string()),
        }
    }

    /// Retires another tracker; see docs/OPERATIONS.md.
    pub fn forget(&self, number: u16) -> Result<(), ForgetError> {
        self.core.cluster.forget(number)
    }

    /// Stops it: takes no more connections, tells the clients, lets what was begun come to its end, joins all threads.
    pub fn stop(self) {}

    fn shut_down(&mut self) {
        self.listeners.iter().for_each(|listener| listener.close());
        self.core.cluster.close();
        self.dialer = None;
        // Joins them.
        self.listener_threads.clear();
        self.connections.close();
        if !self.admission.wait_empty(CLOSING) {
            self.connections.cut();
        }
        self.stop_housekeeper = None;
        self.connections.join_all();
        self.core.committer.shutdown();
        // Joins them.
        self.threads.clear();
    }
}

/// Where the committer leaves its batches: in the feed for other trackers, and with the notifier for clients.
fn sink(publish: Sender<Settled>, to_others: Arc<Feed>, warn: Warn) -> Sink {
    let mut silent = false;
    Box::new(move |settled| {
        if let Some(published) = &settled.published {
            to_others.append(&published.ops);
        }
        // Fails only if the notifier has panicked. Changes go on being made, and clients see them when they ask.
        if let Err(unheard) = publish.send(settled) {
            unheard.into_inner().react();
            if !std::mem::replace(&mut silent, true) {
                warn("clients are no longer told of changes at once; restart the tracker");
            }
        }
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Joins the threads of connections that have ended, and once in a while looks for what has grown old.
struct Housekeeper {
    core: Arc<Core>,
    connections: Arc<Connections>,
    listeners: Vec<Arc<Listener>>,
    warn: Warn,
    /// What the operator was told last.
    trouble: Option<String>,
    /// How many manifests were missing when the operator was told so last.
    missing: usize,
}

impl Housekeeper {
    fn run(mut self, to_join: &Receiver<u64>, stop: &Receiver<()>) {
        let mut sweep_at = Instant::now() + SWEEP_INTERVAL;
        let mut trim_at = Instant::now() + TRIM_INTERVAL;
        loop {
            select! {
                recv(to_join) -> number => {
                    if let Ok(number) = number {
                        self.connections.join(number);
                    }
                }
                recv(stop) -> _ => return,
                default(sweep_at.saturating_duration_since(Instant::now())) => {}
            }
            let now = Instant::now();
            if now >= sweep_at {
                sweep_at = now + SWEEP_INTERVAL;
                self.sweep(now);
            }
            if now >= trim_at {
                trim_at = now + TRIM_INTERVAL;
                sys::give_back_free_memory();
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.core.presence.sweep(now);
        self.listeners.iter().for_each(|listener| listener.sweep(now));
        self.core.slow_consumers.flush();
        self.core.cluster.sweep(now);
        let trouble = self.core.committer.trouble().map(|trouble| trouble.to_string());
        if trouble != self.trouble {
            (self.warn)(trouble.as_deref().unwrap_or("changes are saved again"));
            self.trouble = trouble;
        }
        self.tell_missing();
    }

    fn tell_missing(&mut self) {
        let missing = self.core.manifests.missing_count();
        match missing {
            0 if self.missing > 0 => (self.warn)("all manifests are here again"),
            _ if missing > self.missing => {
                (self.warn)(&format!("manifests lost or damaged: {missing}; the other trackers are asked for them"));
            }
            _ => return,
        }
        self.missing = missing;
    }
}
