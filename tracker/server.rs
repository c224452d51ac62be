//! A running tracker: puts its parts together, starts its threads, stops them.

pub mod acts;
mod floor_keeper;
pub mod floor_status;
mod floor_watch;
mod gauges;
mod housekeeper;
pub mod kept_server;
mod limit_looks;
pub mod looks;
mod read_only;
pub(crate) mod server_status;
mod timed_log;
pub mod unplaced;

use crate::model::address::TrackerAddr;
use crate::model::id::Origin;
use crate::model::op::OpBody;
use crate::sys;
use crate::sys::owned_thread::OwnedThread;
use crate::sys::random::random_bytes;
use crate::tracker::admission::{Admission, Caps};
use crate::tracker::audit::Audit;
use crate::tracker::audit::line::AuditLine;
use crate::tracker::auth::cluster_key::ClusterKey;
use crate::tracker::auth::login_throttle::{LoginThrottle, Paces};
use crate::tracker::auth::passwords::{Params, Passwords};
use crate::tracker::cluster::cluster_view::{ClusterView, ForgetError};
use crate::tracker::cluster::feed::Feed;
use crate::tracker::cluster::local_tracker::LocalTracker;
use crate::tracker::commit::{BaseStore, Committer, OpLog, OpSource, Settled, Sink, Standing};
use crate::tracker::core::Core;
use crate::tracker::data_dir::{DataDir, DataDirError, disk_trouble};
use crate::tracker::floor::pace::FloorPace;
use crate::tracker::json::JsonMemory;
use crate::tracker::ledger::Past;
use crate::tracker::manifests::{self, Manifests, ManifestsError};
use crate::tracker::net::connections::{Connections, Encoding};
use crate::tracker::net::listener::{ListenError, Listener};
use crate::tracker::notifier;
use crate::tracker::oversight::Oversight;
use crate::tracker::presence::Presence;
use crate::tracker::prober::Prober;
use crate::tracker::push::followers::Followers;
use crate::tracker::push::login_registry::LoginRegistry;
use crate::tracker::relay::{Relay, RelaySettings};
use crate::tracker::replication::link_dialer::{EndedLinks, LinkDialer};
use crate::tracker::warn::Warn;
use crate::wire::connection::LongFrames;
use crossbeam_channel::{Receiver, Sender, bounded};
use floor_keeper::{FloorBell, FloorKeeper};
use floor_watch::FloorWatch;
use housekeeper::Housekeeper;
use limit_looks::LimitStatus;
use parking_lot::Mutex;
use read_only::ReadOnlyMark;
use server_status::ServerStatus;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use timed_log::TimedLog;
use unplaced::{UnplacedList, UnplacedLists};

/// How long clients have to take their last answers when the tracker stops.
const CLOSING: Duration = Duration::from_secs(2);

/// The parts and settings of a tracker.
pub struct ServerSettings {
    pub cluster_key: Arc<ClusterKey>,
    /// The origin under which the tracker issues ops.
    pub origin: Origin,
    /// The fold of what the log holds.
    pub past: Past,
    /// Whether the log has just adopted the base of another tracker.
    pub adopted: bool,
    /// Makes ops durable.
    pub log: Box<dyn OpLog>,
    /// Reads those ops back.
    pub source: Arc<dyn OpSource>,
    /// Keeps bases, and transfers them from and to other trackers.
    pub bases: Arc<dyn BaseStore>,
    /// How often floors come.
    pub floor_pace: FloorPace,
    /// The addresses of the other trackers of the list, by number.
    pub others: Vec<(u16, TrackerAddr)>,
    pub data_dir: DataDir,
    pub caps: Caps,
    pub paces: Paces,
    pub password_params: Params,
    /// Settings of the relay, if there is one.
    pub relay: Option<RelaySettings>,
    pub oversight: Oversight,
    pub warn: Warn,
}

/// The bound sockets on which a tracker listens once it can answer.
#[derive(Debug)]
pub struct ListenSockets {
    /// For clients and other trackers.
    pub clients: TcpListener,
    /// For programs that speak JSON, in the clear.
    pub programs: Option<TcpListener>,
}

impl ListenSockets {
    /// Duplicates of the same sockets, which stay bound until both are gone.
    pub fn try_clone(&self) -> io::Result<Self> {
        let programs = self.programs.as_ref().map(TcpListener::try_clone).transpose()?;
        Ok(Self { clients: self.clients.try_clone()?, programs })
    }
}

impl From<TcpListener> for ListenSockets {
    fn from(clients: TcpListener) -> Self {
        Self { clients, programs: None }
    }
}

/// Why a tracker cannot start. Each error is one line.
#[derive(Debug)]
pub enum StartError {
    /// The data folder cannot be used.
    DataDir(DataDirError),
    /// The manifests in it cannot be used.
    Manifests(ManifestsError),
    /// The address cannot be listened on.
    Listen(ListenError),
    /// The address for programs cannot be listened on.
    ListenJson(ListenError),
    /// The system has no thread left, or no memory for one password.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::DataDir(error) => write!(f, "{error}"),
            StartError::Manifests(error) => write!(f, "{error}"),
            StartError::Listen(error) => match error.error.kind() {
                io::ErrorKind::AddrInUse => write!(
                    f,
                    "{} is in use; is this tracker running already? Otherwise choose another port in the list",
                    error.addr
                ),
                io::ErrorKind::AddrNotAvailable => {
                    write!(f, "{} is not an address of this machine; is this the right tracker number?", error.addr)
                }
                io::ErrorKind::PermissionDenied => {
                    let port = error.addr.port();
                    write!(f, "port {port} is reserved for the system; choose one above 1023 in the list")
                }
                _ => write!(f, "{error}"),
            },
            StartError::ListenJson(error) => write!(f, "--json: {error}"),
            StartError::System(error) => write!(f, "cannot start: {}", sys::reason(error)),
        }
    }
}

impl std::error::Error for StartError {}

/// A running tracker. Dropping it stops it.
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
    dialer: Mutex<Option<LinkDialer>>,
    floor: Arc<FloorWatch>,
    unplaced: UnplacedLists,
    /// They end by themselves when nothing is left to do.
    threads: Vec<OwnedThread>,
    /// Whether the tracker refuses changes of clients, across starts.
    read_only: ReadOnlyMark,
    /// Stays locked until everything has stopped.
    data_dir: DataDir,
}

impl Server {
    /// Starts a tracker with all its threads except those of connections. It listens on its sockets once it can
    /// answer.
    pub fn start(sockets: impl Into<ListenSockets>, settings: ServerSettings) -> Result<Self, StartError> {
        let ListenSockets { clients, programs } = sockets.into();
        let addr = clients.local_addr().map_err(StartError::System)?;
        let json_addr = programs.as_ref().map(TcpListener::local_addr).transpose().map_err(StartError::System)?;
        let (number, warn, pace) = (settings.origin.tracker, settings.warn.clone(), settings.floor_pace);
        let admission = Admission::new(settings.caps);
        let unplaced = UnplacedLists::new(settings.data_dir.path());
        let (publish, batches) = notifier::channel();
        let (core, data_dir) = start_core(settings, publish)?;
        let (connections, to_join) = Connections::new(core.clone());
        let listener = |socket: TcpListener, encoding: Encoding| {
            Arc::new(Listener::new(socket, encoding, admission.clone(), connections.clone(), warn.clone()))
        };
        let mut listeners = vec![listener(clients, Encoding::Binary)];
        listeners.extend(programs.map(|socket| listener(socket, Encoding::Json(JsonMemory::new()))));
        let housekeeper = Housekeeper::new(core.clone(), connections.clone(), listeners.clone(), warn.clone());
        let (stop_housekeeper, stop) = bounded(0);
        let mut server = Self {
            addr,
            json_addr,
            number,
            started: Instant::now(),
            core,
            admission,
            listeners,
            connections,
            stop_housekeeper: Some(stop_housekeeper),
            listener_threads: Vec::new(),
            dialer: Mutex::default(),
            floor: Arc::default(),
            unplaced,
            threads: Vec::new(),
            read_only: ReadOnlyMark::new(data_dir.path()),
            data_dir,
        };
        server.core.committer.set_read_only(server.read_only.is_set().map_err(StartError::System)?);
        let end = stop.clone();
        let started = server.start_threads(batches, move || housekeeper.run(&to_join, &stop));
        started.and_then(|()| server.tell_unplaced(&warn, end)).map_err(StartError::System)?;
        let keeper = FloorKeeper::new(server.core.clone(), server.floor.clone(), pace, warn);
        let keeper = OwnedThread::start("floor", move || keeper.run());
        server.threads.push(keeper.map_err(StartError::System)?);
        server.open_doors()?;
        *server.dialer.lock() = Some(LinkDialer::start(&server.core).map_err(StartError::System)?);
        Ok(server)
    }

    /// Starts the threads that answer, and those that look after connections.
    fn start_threads(
        &mut self,
        batches: Receiver<Settled>,
        keep_house: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        self.threads.push(notifier::start(self.core.clone(), batches)?);
        self.threads.push(OwnedThread::start("housekeeper", keep_house)?);
        self.core.prober.start()
    }

    /// Tells the operator of changes that could not be placed, and starts a thread that tells their authors.
    fn tell_unplaced(&mut self, warn: &Warn, end: Receiver<()>) -> io::Result<()> {
        let lists = self.unplaced.all();
        lists.iter().for_each(|list| warn(&list.to_string()));
        if lists.iter().any(UnplacedList::is_new) {
            let (lists, core, warn) = (self.unplaced.clone(), self.core.clone(), warn.clone());
            let tell = move || lists.tell_authors(&core, &warn, &end);
            self.threads.push(OwnedThread::start("unplaced", tell)?);
        }
        Ok(())
    }

    /// Begins to listen and to accept connections.
    fn open_doors(&mut self) -> Result<(), StartError> {
        let addrs = [Some(self.addr), self.json_addr].into_iter().flatten();
        for (listener, addr) in self.listeners.iter().zip(addrs) {
            listener.open().map_err(|error| match Some(addr) == self.json_addr {
                true => StartError::ListenJson(ListenError { addr, error }),
                false => StartError::Listen(ListenError { addr, error }),
            })?;
            let listener = listener.clone();
            let thread = OwnedThread::start("listener", move || listener.run());
            self.listener_threads.push(thread.map_err(StartError::System)?);
        }
        Ok(())
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address for programs that speak JSON, if there is one.
    pub fn json_addr(&self) -> Option<SocketAddr> {
        self.json_addr
    }

    /// The parts behind the sockets.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub fn status(&self) -> ServerStatus {
        let standing = self.core.committer.standing();
        let Standing { state, floor } = standing.clone();
        let deleted_users = state.deleted_user_count();
        let trouble = self.core.committer.trouble().map(|trouble| trouble.to_string());
        ServerStatus {
            number: self.number,
            addr: self.addr,
            fingerprint: self.core.cluster_key.fingerprint(),
            uptime: self.started.elapsed(),
            users: state.user_count() - deleted_users,
            deleted_users,
            groups: state.group_count(),
            shares: state.share_count(),
            unread: state.unread_count(),
            users_online: self.core.presence.local_user_count(),
            clients_online: self.core.presence.local_client_count(),
            others: self.core.cluster.others(&state, floor.mark),
            clashes: self.core.cluster.clashes(),
            connections: self.admission.occupancy(),
            relay: self.core.relay.as_ref().map(|relay| relay.load()),
            missing: self.core.manifests.missing_counts(|| state.listed_info_hashes()),
            floor: Some(self.floor.status(&standing)),
            limits: LimitStatus::of(&self.core, &state),
            read_only: self.core.committer.is_read_only().then(|| self.read_only.lasts()),
            unplaced: self.unplaced.all(),
            left: self.unplaced.left(),
            trouble: trouble.or_else(|| disk_trouble(self.data_dir.path())),
        }
    }

    /// Makes all trackers forget another one; see docs/OPERATIONS.md. Returns when that is durable here.
    pub fn forget(&self, number: u16) -> Result<(), ForgetError> {
        self.core.cluster.must_be_other(number, &self.core.state())?;
        let change = OpBody::ForgetTracker { tracker: number };
        self.core.committer.submit_own(change).map(|_| ()).map_err(ForgetError::Refused)
    }

    /// Makes all trackers take a forgotten one back. Returns when that is durable here.
    pub fn unforget(&self, number: u16) -> Result<(), ForgetError> {
        self.core.cluster.must_be_other(number, &self.core.state())?;
        let change = OpBody::UnforgetTracker { tracker: number };
        let committed = self.core.committer.submit_own(change).map_err(ForgetError::Refused)?;
        committed.op.map(|_| ()).ok_or(ForgetError::NotForgotten)
    }

    /// Sets the other trackers of the list.
    ///
    /// # Errors
    /// The system has no thread left to dial one of them.
    pub fn set_others(&self, others: &[(u16, TrackerAddr)]) -> io::Result<Option<EndedLinks>> {
        self.core.cluster.table().set_listed(others);
        self.dialer.lock().as_mut().map(|dialer| dialer.set_others(&self.core, others)).transpose()
    }

    /// Receives the reason when the tracker wants a restart. Its program then drops it and starts it again on the same
    /// data folder.
    pub fn restart_wanted(&self) -> Receiver<String> {
        self.core.restart.wanted()
    }

    /// Accepts no more connections, tells the clients, finishes pending work, and joins all threads.
    pub fn stop(self) {}

    fn shut_down(&mut self) {
        self.listeners.iter().for_each(|listener| listener.close());
        self.core.cluster.close();
        *self.dialer.lock() = None;
        // Joins them.
        self.listener_threads.clear();
        self.core.prober.close();
        self.core.throttle.close();
        self.core.relay.iter().for_each(|relay| relay.close());
        self.connections.close();
        if !self.admission.wait_empty(CLOSING) {
            self.connections.cut();
        }
        self.stop_housekeeper = None;
        self.connections.join_all();
        self.core.committer.shutdown();
        self.floor.close(&self.core);
        // Joins them.
        self.threads.clear();
    }
}

/// Starts the parts between sockets and state. The notifier takes the batches that go to `publish`.
fn start_core(settings: ServerSettings, publish: Sender<Settled>) -> Result<(Arc<Core>, DataDir), StartError> {
    let folder = settings.data_dir.folder(manifests::FOLDER).map_err(StartError::DataDir)?;
    let listed = settings.past.state().listed_info_hashes();
    let manifests = Manifests::open(&folder, listed, settings.adopted).map_err(StartError::Manifests)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let passwords = Passwords::start(settings.password_params, cores).map_err(StartError::System)?;
    let feed: Arc<Feed> = Arc::default();
    let me = LocalTracker {
        origin: settings.origin,
        instance: random_bytes().map_err(StartError::System)?,
        others: settings.others,
    };
    if settings.adopted {
        // The changes that led to the base do not come one by one.
        settings.oversight.audit.act(AuditLine::of_tracker(settings.origin.tracker, "base_taken"));
    }
    let cluster = Arc::new(ClusterView::new(me, feed, settings.past.state(), settings.warn.clone()));
    let sink = sink(publish, cluster.clone(), settings.oversight.audit.clone(), settings.warn);
    let source = settings.source.clone();
    let log = Box::new(TimedLog { log: settings.log, metrics: settings.oversight.metrics.clone() });
    let committer = Committer::start(settings.origin, settings.past, log, settings.source, sink);
    let committer = committer.map_err(StartError::System)?;
    let (limits, lens) = (settings.oversight.limits.clone(), manifests.lens().clone());
    committer.set_room(Arc::new(move |state, body| lens.look(|len_of| limits.take(state, body, len_of))));
    let core = Core {
        cluster_key: settings.cluster_key,
        committer,
        source,
        cluster,
        presence: Presence::new(),
        logins: LoginRegistry::new(),
        followers: Followers::default(),
        slow_consumers: Arc::default(),
        manifests,
        passwords,
        throttle: LoginThrottle::new(settings.paces),
        prober: Prober::new().map_err(StartError::System)?,
        relay: settings.relay.map(Relay::new),
        calls: Default::default(),
        long_frames: LongFrames::new(),
        announcing: Default::default(),
        telling: Default::default(),
        turns: Default::default(),
        restart: Default::default(),
        bases: settings.bases,
        oversight: settings.oversight,
    };
    Ok((Arc::new(core), settings.data_dir))
}

/// Takes the committer's batches: into the audit, into the feed for other trackers, and to the notifier for clients.
fn sink(publish: Sender<Settled>, cluster: Arc<ClusterView>, audit: Audit, warn: Warn) -> Sink {
    let (mut silent, mut bell) = (false, FloorBell::new(cluster.floor_wakeup().clone()));
    Box::new(move |settled| {
        if let Some(published) = &settled.published {
            let of_trackers = published.ops.iter().any(|op| op.body.is_of_tracker());
            bell.note(published.ops.len(), of_trackers);
            if of_trackers {
                cluster.set_forgotten(&published.after);
            }
            audit.note(&published.ops, &published.after);
            cluster.feed().append(&published.ops);
        }
        // Fails only if the notifier has panicked. Changes go on, and clients see them when they ask.
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
