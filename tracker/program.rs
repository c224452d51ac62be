//! The tracker as a program: how it starts, what it waits for, and how it ends.

mod audited;
mod commands;
pub mod ctl_program;
mod reload;

use crate::model::address::TrackerAddr;
use crate::model::digest::Fingerprint;
use crate::model::tracker_list::{TrackerList, TrackerListError};
use crate::signals::Signal;
use crate::sys::heap;
use crate::sys::local::notify::ServiceManager;
use crate::sys::net::resolve::{LOOKUP_DEADLINE, Lookups, lookup_reason};
use crate::sys::random::random_bytes;
use crate::tracker::admission::Caps;
use crate::tracker::args::Args;
use crate::tracker::audit::{self, Audit};
use crate::tracker::auth::cluster_key::{ClusterKey, ClusterKeyError, key_path};
use crate::tracker::auth::login_throttle::Paces;
use crate::tracker::auth::passwords::Params;
use crate::tracker::console::Console;
use crate::tracker::data_dir;
use crate::tracker::data_dir::{DataDir, DataDirError};
use crate::tracker::floor::pace::FloorPace;
use crate::tracker::journal::disk::RealDisk;
use crate::tracker::journal::inspect::{self, Inspection};
use crate::tracker::journal::{self, Journal, JournalError, JournalOwner, JournalSettings, OpenedJournal};
use crate::tracker::log::Log;
use crate::tracker::manifests::inspection::{self, ManifestsInspection};
use crate::tracker::manifests::{self, ManifestsError};
use crate::tracker::metrics::MetricsDoor;
use crate::tracker::net::listener::{ListenError, bind};
use crate::tracker::operator::door::CtlDoor;
use crate::tracker::oversight::Oversight;
use crate::tracker::oversight::limits::Limits;
use crate::tracker::relay::RelaySettings;
use crate::tracker::server::kept_server::KeptServer;
use crate::tracker::server::unplaced::UnplacedLists;
use crate::tracker::server::{ListenSockets, Server, ServerSettings, StartError};
use crate::tracker::state::State;
use crate::tracker::warn::Warn;
use crate::{signals, sys};
use commands::Operator;
use crossbeam_channel::{Sender, bounded, never};
use parking_lot::Mutex;
use reload::{Others, Reload, Reloader};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// File descriptors reserved for uses other than connections: files, the console, sockets that linger.
const DESCRIPTORS_KEPT: u64 = 512;

/// Why the tracker does not run. Each error is one line that says what to do.
#[derive(Debug)]
pub enum ProgramError {
    /// tracker_info.txt cannot be read.
    ListFile(PathBuf, io::Error),
    /// It is no list of trackers, or lacks this one.
    List(PathBuf, TrackerListError),
    /// The key of the installation is not available.
    ClusterKey(ClusterKeyError),
    /// The list names another key than this tracker has.
    WrongKey {
        list: PathBuf,
        listed: Fingerprint,
        own: Fingerprint,
    },
    /// The list names a key, but there is none here.
    NoKey {
        list: PathBuf,
        listed: Fingerprint,
        key_file: PathBuf,
    },
    /// The data folder cannot be used.
    DataDir(DataDirError),
    /// The journal in it cannot be used.
    Journal(JournalError),
    /// The manifests in it cannot be used.
    Manifests(ManifestsError),
    /// The name of this tracker in the list has no address.
    Lookup(TrackerAddr, io::Error),
    Start(StartError),
    /// The address for metrics cannot be listened on.
    Metrics(ListenError),
    /// The audit in this data folder cannot be written.
    Audit(PathBuf, io::Error),
    /// The system provides no signals, console or random bytes.
    System(io::Error),
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProgramError::ListFile(path, error) => {
                write!(f, "cannot read the list of trackers {}: {}", path.display(), sys::reason(error))
            }
            ProgramError::List(path, error) => write!(f, "{}: {error}", path.display()),
            ProgramError::ClusterKey(error) => write!(f, "{error}"),
            ProgramError::WrongKey { list, listed, own } => write!(
                f,
                "{} names the fingerprint {listed}, but this tracker's key has {own}; copy the right key file here",
                list.display()
            ),
            ProgramError::NoKey { list, listed, key_file } => write!(
                f,
                "{} names the fingerprint {listed}, but there is no key in {}; copy the right key file there",
                list.display(),
                key_file.display()
            ),
            ProgramError::DataDir(error) => write!(f, "{error}"),
            ProgramError::Journal(error) => write!(f, "{error}"),
            ProgramError::Manifests(error) => write!(f, "{error}"),
            ProgramError::Lookup(tracker, error) => {
                write!(f, "cannot listen on {tracker}: {}; is the name in the list right?", lookup_reason(error))
            }
            ProgramError::Start(error) => write!(f, "{error}"),
            ProgramError::Metrics(error) => write!(f, "--metrics: {error}"),
            ProgramError::Audit(path, error) => {
                write!(f, "cannot write the audit in {}: {}", path.display(), sys::reason(error))
            }
            ProgramError::System(error) => write!(f, "cannot start: {}", sys::reason(error)),
        }
    }
}

impl std::error::Error for ProgramError {}

/// Starts the tracker that the command line describes, and returns when it has stopped. Warnings begin with `name`.
pub fn run(args: &Args, name: &str) -> Result<(), ProgramError> {
    if let Err(error) = heap::keep_none_for_threads() {
        eprintln!("{name}: it uses more memory than necessary: {}", sys::reason(&error));
    }
    // Each password takes 19 MiB for a moment.
    heap::give_back_large_blocks();
    let mut setup = ProgramSetup::new(args, name)?;
    for file in args.config.iter().filter(|file| file.is_missing) {
        (setup.warn)(&format!("{} is not there, no options are taken from it", file.path.display()));
    }
    let server = Arc::new(KeptServer::starting());
    let metrics = setup.open_metrics(&server)?;
    let (ask, asked) = bounded(1);
    sys::survive_file_size_limit();
    let started = setup.start()?;
    let (status, json_addr) = (started.status(), started.json_addr());
    server.set_running(started);
    let commands = Arc::new(Operator::new(
        server.clone(),
        setup.reload(args, name),
        ask.clone(),
        (setup.number, setup.oversight.clone()),
    ));
    let reloader = handle_signals(ask, commands.clone())?;
    let door = CtlDoor::open(setup.data_dir.path(), commands.clone());
    // Some file systems have no sockets. The console and signals work without one.
    let door = door.inspect_err(|error| {
        let folder = setup.data_dir.path().display();
        (setup.warn)(&format!("ctl cannot be used, no socket can be made in {folder}: {}", sys::reason(error)));
    });
    say(&format!("tracker {} on {}, fingerprint {}", status.number, status.addr, status.fingerprint));
    if let Some(addr) = json_addr {
        say(&format!("JSON for programs on {addr}, in the clear"));
    }
    args.metrics.iter().for_each(|addr| say(&format!("metrics on {addr}")));
    let console = Console::start(io::stdin(), io::stdout(), commands).map_err(ProgramError::System)?;
    let manager = ServiceManager::from_env();
    let unheard = |error| (setup.warn)(&format!("the service manager cannot be told: {}", sys::reason(&error)));
    manager.ready(&format!("tracker {} on {}", status.number, status.addr)).unwrap_or_else(unheard);
    // The operator and the signal handler hold senders as long as this waits.
    let warn = setup.warn.clone();
    let ended = server.keep(&asked, &*warn, || setup.start());
    // Even if this fails, the service manager waits for the end.
    let _ = manager.stopping();
    drop(door);
    drop(console);
    drop(reloader);
    server.stop();
    drop(metrics);
    ended
}

/// What all starts of one run have in common. So no other program gets the port or the data folder between two of
/// them.
struct ProgramSetup {
    number: u16,
    /// The address of this tracker in the list.
    own: TrackerAddr,
    fingerprint: Option<Fingerprint>,
    others: Others,
    key_file: PathBuf,
    /// `None` until the first start has read or made it.
    cluster_key: Option<Arc<ClusterKey>>,
    sockets: ListenSockets,
    /// The listener for metrics, until the endpoint is open.
    metrics: Option<TcpListener>,
    data_dir: DataDir,
    relay: Option<RelaySettings>,
    oversight: Oversight,
    warn: Warn,
}

impl ProgramSetup {
    fn new(args: &Args, name: &str) -> Result<Self, ProgramError> {
        let list = read_list(args)?;
        let in_list = |error| ProgramError::List(args.tracker_info.clone(), error);
        let addr = list.tracker(args.number).map_err(in_list)?;
        // A list has at most 256 trackers.
        let number = u16::try_from(args.number).unwrap_or(u16::MAX);
        let others = reload::others(list.trackers(), number);
        let key_file = match &args.key_file {
            Some(path) => path.clone(),
            None => key_path(&args.tracker_info).map_err(ProgramError::ClusterKey)?,
        };
        let cluster_key = read_cluster_key(args, &key_file, list.fingerprint())?;
        // Binds before it opens the data folder: a port in use gives the clearest error if the tracker runs already.
        let clients = bind_as(&addr)?;
        let programs = args.json.map(|addr| bind(addr).map_err(StartError::ListenJson).map_err(ProgramError::Start));
        let sockets = ListenSockets { clients, programs: programs.transpose()? };
        let listen = |addr| TcpListener::bind(addr).map_err(|error| ProgramError::Metrics(ListenError { addr, error }));
        let metrics = args.metrics.map(listen).transpose()?;
        let data_path = match &args.data_dir {
            Some(path) => path.clone(),
            None => data_dir::default_path(&args.tracker_info, number)
                .map_err(|error| ProgramError::ListFile(args.tracker_info.clone(), error))?,
        };
        let data_dir = DataDir::open(&data_path).map_err(ProgramError::DataDir)?;
        let log = Arc::new(Log::to_stderr(args.log, name).map_err(ProgramError::System)?);
        let warn = Log::warn_fn(&log);
        data_dir.upgrade().iter().for_each(|line| warn(line));
        let audit = Audit::open(&data_dir.path().join(audit::FOLDER), log.clone());
        let audit = audit.map_err(|error| ProgramError::Audit(data_dir.path().to_path_buf(), error))?;
        Ok(Self {
            number,
            own: addr,
            fingerprint: list.fingerprint(),
            others: Arc::new(Mutex::new(others)),
            key_file,
            cluster_key: cluster_key.map(Arc::new),
            sockets,
            metrics,
            data_dir,
            relay: args.relay.map(RelaySettings::of),
            warn,
            oversight: Oversight { audit, log, metrics: Arc::default(), limits: Arc::new(Limits::new(args.limits)) },
        })
    }

    /// The data for reloads.
    fn reload(&self, args: &Args, name: &str) -> Reload {
        let (started, name) = (args.clone(), name.to_owned());
        let has_file = args.config.as_ref().is_some_and(|file| !file.is_missing);
        let read = move || {
            let args = reload::options(&name)?;
            let list = read_list(&args).map_err(|error| reload::changed(&error.to_string()))?;
            let in_list = |error| ProgramError::List(args.tracker_info.clone(), error).to_string();
            list.tracker(args.number).map_err(|error| reload::changed(&in_list(error)))?;
            Ok((args, list))
        };
        Reload {
            read: Box::new(read),
            started,
            number: self.number,
            own: self.own.clone(),
            fingerprint: self.fingerprint,
            others: self.others.clone(),
            has_file: Mutex::new(has_file),
        }
    }

    /// Opens the endpoint for metrics, which also answers while the tracker starts.
    fn open_metrics(&mut self, server: &Arc<KeptServer>) -> Result<Option<MetricsDoor>, ProgramError> {
        let metrics = self.oversight.metrics.clone();
        let open = |listener| MetricsDoor::open(listener, server.clone(), metrics).map_err(ProgramError::System);
        self.metrics.take().map(open).transpose()
    }

    /// Starts the tracker on the content of its data folder.
    fn start(&mut self) -> Result<Server, ProgramError> {
        let owner = JournalOwner { tracker: self.number, fresh_incarnation: random_number()? };
        let disk = journal_disk(&self.data_dir.folder(journal::FOLDER).map_err(ProgramError::DataDir)?)?;
        let mut unplaced = UnplacedLists::new(self.data_dir.path());
        let opened = Journal::open(disk, owner, JournalSettings::default(), self.warn.clone(), &mut unplaced);
        let OpenedJournal { journal, source, bases, past, origin, adopted, .. } =
            opened.map_err(ProgramError::Journal)?;
        let settings = ServerSettings {
            cluster_key: self.cluster_key()?,
            origin,
            past,
            adopted,
            log: Box::new(journal),
            source,
            bases,
            floor_pace: FloorPace::default(),
            others: self.others.lock().clone(),
            data_dir: self.data_dir.clone(),
            caps: caps(),
            paces: Paces::default(),
            password_params: Params::default(),
            relay: self.relay,
            oversight: self.oversight.clone(),
            warn: self.warn.clone(),
        };
        let sockets = self.sockets.try_clone().map_err(ProgramError::System)?;
        Server::start(sockets, settings).map_err(ProgramError::Start)
    }

    /// A new key is made last, so that a failed start leaves none.
    fn cluster_key(&mut self) -> Result<Arc<ClusterKey>, ProgramError> {
        let key = match self.cluster_key.take() {
            Some(key) => key,
            None => ClusterKey::open(&self.key_file).map(Arc::new).map_err(ProgramError::ClusterKey)?,
        };
        Ok(self.cluster_key.insert(key).clone())
    }
}

/// The existing key. If the list names a key, it must be this one. `None` if no key exists and the list names no key.
fn read_cluster_key(
    args: &Args,
    key_file: &Path,
    listed: Option<Fingerprint>,
) -> Result<Option<ClusterKey>, ProgramError> {
    let list = || args.tracker_info.clone();
    let cluster_key = ClusterKey::read(key_file).map_err(ProgramError::ClusterKey)?;
    match (&cluster_key, listed) {
        (Some(key), Some(listed)) if key.fingerprint() != listed => {
            Err(ProgramError::WrongKey { list: list(), listed, own: key.fingerprint() })
        }
        (None, Some(listed)) => Err(ProgramError::NoKey { list: list(), listed, key_file: key_file.to_path_buf() }),
        _ => Ok(cluster_key),
    }
}

/// Binds to the address of this tracker in the list. If the name has several addresses, takes the first one of this
/// machine.
fn bind_as(tracker: &TrackerAddr) -> Result<TcpListener, ProgramError> {
    let addrs = match tracker {
        TrackerAddr::Addr(addr) => vec![*addr],
        TrackerAddr::Named { host, port } => Lookups::new()
            .find(host, *port, LOOKUP_DEADLINE, &never())
            .map_err(|error| ProgramError::Lookup(tracker.clone(), error))?,
    };
    let mut failure = None;
    for addr in addrs {
        match bind(addr) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = failure.or(Some(ProgramError::Start(StartError::Listen(error)))),
        }
    }
    Err(failure.unwrap_or_else(|| ProgramError::Lookup(tracker.clone(), io::ErrorKind::NotFound.into())))
}

fn journal_disk(path: &Path) -> Result<Arc<RealDisk>, ProgramError> {
    let failed = |error| DataDirError::Io { path: path.to_path_buf(), doing: "open", error };
    RealDisk::open(path).map(Arc::new).map_err(failed).map_err(ProgramError::DataDir)
}

/// Prints what a data folder holds. Returns true if it is sound.
pub fn check(dir: &Path) -> Result<bool, ProgramError> {
    let _locked = DataDir::open_existing(dir).map_err(ProgramError::DataDir)?;
    let disk = journal_disk(&dir.join(journal::FOLDER))?;
    let Inspection { lines, sound, state } = inspect::check(&*disk).map_err(ProgramError::Journal)?;
    lines.iter().for_each(|line| say(line));
    let manifests = inspect_manifests(dir, &state)?;
    manifests.lines.iter().chain(&manifests.faults).for_each(|line| say(line));
    let lists = UnplacedLists::new(dir).all();
    lists.iter().for_each(|list| say(&list.to_string()));
    Ok(sound && manifests.faults.is_empty() && lists.iter().all(|list| list.count.is_ok()))
}

/// Cuts off the journal in a data folder at the first damage, and sets damaged manifests aside. Keeps a copy of both,
/// and prints what was done.
pub fn repair(dir: &Path) -> Result<(), ProgramError> {
    let _locked = DataDir::open_existing(dir).map_err(ProgramError::DataDir)?;
    let folder = dir.join(journal::FOLDER);
    let disk = journal_disk(&folder)?;
    // The lines below have everything that the journal would warn of.
    let quiet: Warn = Arc::new(|_| {});
    let copy = free_place(dir, journal::FOLDER);
    let repaired = Journal::repair(disk, (&folder, &copy), random_number()?, quiet);
    let (lines, state) = repaired.map_err(ProgramError::Journal)?;
    lines.iter().for_each(|line| say(line));
    let manifests = inspect_manifests(dir, &state)?;
    let aside = free_place(dir, manifests::FOLDER);
    manifests.faults.iter().for_each(|line| say(line));
    if manifests.set_aside(&aside).map_err(ProgramError::Manifests)? > 0 {
        say(&format!("damaged manifests were moved to {}", aside.display()));
    }
    UnplacedLists::new(dir).all().iter().for_each(|list| say(&list.to_string()));
    Ok(())
}

fn inspect_manifests(dir: &Path, state: &State) -> Result<ManifestsInspection, ProgramError> {
    let (known, listed) = (state.info_hashes().collect(), state.listed_info_hashes().collect());
    inspection::inspect(&dir.join(manifests::FOLDER), &known, &listed).map_err(ProgramError::Manifests)
}

/// A free path for the copy of a folder that a repair keeps.
fn free_place(dir: &Path, folder: &str) -> PathBuf {
    let free = (1u32..).map(|n| dir.join(format!("{folder}-before-repair-{n}"))).find(|path| !path.exists());
    free.unwrap_or_else(|| dir.join(format!("{folder}-before-repair")))
}

fn read_list(args: &Args) -> Result<TrackerList, ProgramError> {
    let path = &args.tracker_info;
    let text = File::open(path).and_then(TrackerList::text);
    let text = text.map_err(|error| ProgramError::ListFile(path.clone(), error))?;
    TrackerList::parse(&text).map_err(|error| ProgramError::List(path.clone(), error))
}

fn random_number() -> Result<u64, ProgramError> {
    random_bytes().map(u64::from_ne_bytes).map_err(ProgramError::System)
}

/// The caps that fit the descriptors and threads which the system allows.
fn caps() -> Caps {
    let number = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let caps = match sys::raise_descriptor_limit() {
        Ok(Some(limit)) => {
            let left = limit.saturating_sub(DESCRIPTORS_KEPT).max(limit / 2);
            Caps::default().within_descriptors(number(left))
        }
        // There is no limit, or it is unknown: accept(2) will report a shortage.
        Ok(None) | Err(_) => Caps::default(),
    };
    sys::thread_limit().map_or(caps, |limit| caps.within_threads(number(limit)))
}

/// Ctrl-C and SIGTERM stop the tracker, and so does the end of its terminal. A second such signal ends it at once.
/// Without a terminal, SIGHUP reloads the list. This happens on its own thread, because reading the list may take
/// long.
fn handle_signals(ask: Sender<()>, operator: Arc<Operator>) -> Result<Reloader, ProgramError> {
    let asked = AtomicBool::new(false);
    let has_terminal = File::open("/dev/tty").is_ok();
    let (hang_up, hung_up) = bounded(1);
    let reloader = Reloader::start(hung_up, move || operator.reload()).map_err(ProgramError::System)?;
    let handler = move |signal| {
        if signal == Signal::Hangup && !has_terminal {
            // Full if a reload is still to begin, which reads the newest files then.
            let _ = hang_up.try_send(());
            return;
        }
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // Full if the console was faster.
        let _ = ask.try_send(());
    };
    signals::handle(handler).map_err(ProgramError::System)?;
    Ok(reloader)
}

fn say(line: &str) {
    // The tracker runs on even if no process reads its output.
    let _ = writeln!(io::stdout(), "{line}");
}
