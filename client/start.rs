//! Puts the client together, runs the prompt, and takes the client apart again.

use crate::client::app::event_loop::EventLoop;
use crate::client::app::executor::Executor;
use crate::client::app::login::Login;
use crate::client::app::names::Names;
use crate::client::app::node::{Node, NodeOptions};
use crate::client::args::{Args, default_state_dir};
use crate::client::download::engine::options::{EngineOptions, default_workers};
use crate::client::output::event::Event;
use crate::client::output::reporter::Reporter;
use crate::client::rate::downlink::Downlink;
use crate::client::reach::interfaces::own_addresses;
use crate::client::reach::port::listen;
use crate::client::rpc::keeper::CheckFingerprint;
use crate::client::shell::completer::Completer;
use crate::client::shell::editor::Aids;
use crate::client::shell::prompt::Prompt;
use crate::client::shell::repl::run as run_prompt;
use crate::client::state::dir::StateDir;
use crate::client::state::file::StateError;
use crate::client::state::pins::Pinned;
use crate::client::terminal::interrupt::Interrupt;
use crate::client::terminal::writer::TerminalWriter;
use crate::model::address::TrackerAddr;
use crate::model::digest::Fingerprint;
use crate::model::exit::Exit;
use crate::model::tracker_list::{TrackerList, TrackerListError};
use crate::signals;
use crate::sys::{raise_descriptor_limit, reason, survive_file_size_limit};
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// Runs the client until its commands end or it has to end.
pub fn run(args: Args) -> Exit {
    survive_file_size_limit();
    // Where this is forbidden it fails, and the limit stays. The line editor lowers the limit again.
    let _ = raise_descriptor_limit();
    let reporter = Reporter::new(TerminalWriter::stdio(), args.manner);
    let exit = prepare(args, &reporter).and_then(|ready| ready.run(&reporter));
    exit.unwrap_or_else(|error| {
        reporter.refuse(None, &error.to_string().into());
        Exit::CannotStart
    })
}

struct Ready {
    options: NodeOptions,
    interrupt: Interrupt,
    exec: Vec<String>,
    /// The address to listen at instead, if only this machine reaches the client and a tracker is elsewhere.
    rather: Option<SocketAddr>,
    /// Whether a person types commands at a terminal.
    person: bool,
}

/// Why the client does not start.
#[derive(Debug)]
enum StartError {
    NoList(PathBuf, io::Error),
    List(PathBuf, TrackerListError),
    NoStateDir,
    State(StateError),
    Listen(SocketAddr, io::Error),
    Signals(io::Error),
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NoList(path, error) => {
                write!(f, "cannot read {}: {}; name the list of trackers", path.display(), reason(error))
            }
            StartError::List(path, error) => write!(f, "{}: {error}", path.display()),
            StartError::NoStateDir => {
                f.write_str("neither HOME nor XDG_STATE_HOME is set; name a folder with --state-dir")
            }
            StartError::State(error) => error.fmt(f),
            StartError::Listen(addr, error) => match error.kind() {
                io::ErrorKind::AddrInUse => write!(f, "{addr} is in use by another program; choose another port"),
                io::ErrorKind::AddrNotAvailable => {
                    write!(f, "{addr} is not an address of this machine; choose another")
                }
                io::ErrorKind::PermissionDenied => {
                    write!(f, "not allowed to listen on {addr}; choose a port above 1023")
                }
                _ => write!(f, "cannot listen on {addr}: {}; choose another address", reason(error)),
            },
            StartError::Signals(error) => write!(f, "cannot catch signals: {error}"),
            StartError::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl From<StateError> for StartError {
    fn from(error: StateError) -> Self {
        StartError::State(error)
    }
}

/// The list of trackers names another key than the tracker has shown.
#[derive(Debug)]
struct UnlistedKey {
    tracker_info: PathBuf,
    shown: Fingerprint,
}

impl fmt::Display for UnlistedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.tracker_info.display();
        write!(f, "its key is not the one that {path} names; it shows {}", self.shown)
    }
}

impl Error for UnlistedKey {}

/// A script has reached a tracker by its name, and does not know its key.
#[derive(Debug)]
struct NameNotTrusted {
    shown: Fingerprint,
}

impl fmt::Display for NameNotTrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shown;
        write!(
            f,
            "its key {shown} is not known yet, and a script does not trust the name of a machine; compare it with the \
             fingerprint in the tracker's status, and start the client with --accept-fingerprint {shown}"
        )
    }
}

impl Error for NameNotTrusted {}

fn prepare(args: Args, reporter: &Reporter) -> Result<Ready, StartError> {
    let person = args.exec.is_empty() && !args.manner.json && io::stdin().is_terminal();
    let interrupt = Interrupt::new(person).map_err(StartError::System)?;
    let signalled = interrupt.clone();
    signals::handle(move |signal| signalled.signal(signal)).map_err(StartError::Signals)?;
    let trackers = match args.tracker {
        Some(tracker) => KnownTrackers::lone(tracker),
        None => KnownTrackers::listed(args.tracker_info)?,
    };
    let state_dir = args.state_dir.or_else(|| default_state_dir(|name| std::env::var_os(name)));
    let state = StateDir::open(&state_dir.ok_or(StartError::NoStateDir)?)?;
    let all = (Ipv6Addr::UNSPECIFIED, 0).into();
    let listener = listen(args.listen).map_err(|error| StartError::Listen(args.listen.unwrap_or(all), error))?;
    let rather = args.listen.and_then(|listens| better_address(listens, &trackers.addrs));
    // This comes last, so a failed start leaves no new key.
    let check = trackers.check(&state, args.accept_fingerprint, person)?;
    // A person sees that a download waits, and can cancel it.
    let patience = args.patience.filter(|_| !person);
    let options = NodeOptions {
        trackers: trackers.addrs,
        listener,
        announce: args.announce,
        own_addresses: Box::new(own_addresses),
        state,
        check,
        upload_limit: args.upload_limit,
        engine_options: EngineOptions {
            workers: args.workers.unwrap_or_else(default_workers),
            patience,
            downlink: Downlink::new(args.download_limit),
        },
        reporter: reporter.clone(),
    };
    Ok(Ready { options, interrupt, exec: args.exec, rather, person })
}

/// A better address than one that only this machine reaches, if a tracker is elsewhere.
fn better_address(listens: SocketAddr, trackers: &[TrackerAddr]) -> Option<SocketAddr> {
    if !listens.ip().to_canonical().is_loopback() || trackers.iter().all(TrackerAddr::is_loopback) {
        return None;
    }
    let all = if listens.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    Some(SocketAddr::new(all, listens.port()))
}

/// The trackers to reach, and the knowledge about their key.
struct KnownTrackers {
    addrs: Vec<TrackerAddr>,
    /// The name of the stored key: the path of the list, or the address instead of it.
    place: PathBuf,
    /// The key in the list.
    listed: Option<Fingerprint>,
}

impl KnownTrackers {
    fn listed(tracker_info: PathBuf) -> Result<Self, StartError> {
        let unread = |error| StartError::NoList(tracker_info.clone(), error);
        let text = File::open(&tracker_info).and_then(TrackerList::text).map_err(unread)?;
        let list = TrackerList::parse(&text).map_err(|error| StartError::List(tracker_info.clone(), error))?;
        let place = tracker_info.canonicalize().map_err(unread)?;
        Ok(Self { addrs: list.trackers().to_vec(), place, listed: list.fingerprint() })
    }

    fn lone(tracker: TrackerAddr) -> Self {
        // The address begins without a slash, unlike every path of a list.
        Self { place: tracker.to_string().into(), addrs: vec![tracker], listed: None }
    }

    /// Trust on first use, per list of trackers; a fingerprint in the list decides instead. A script does not trust an
    /// address from a name look-up, because no person checks it.
    fn check(
        &self,
        state: &StateDir,
        accepted: Option<Fingerprint>,
        person: bool,
    ) -> Result<CheckFingerprint, StartError> {
        let place = self.place.clone();
        if let Some(listed) = self.listed {
            return Ok(Box::new(move |shown| {
                let wrong = || UnlistedKey { tracker_info: place.clone(), shown };
                (shown == listed).then_some(()).ok_or_else(|| wrong().into())
            }));
        }
        let pins = state.pins()?;
        if let Some(accepted) = accepted {
            pins.accept(&place, accepted)?;
        }
        let trusts_first = person || !self.addrs.iter().any(TrackerAddr::is_name);
        Ok(Box::new(move |shown| {
            if !trusts_first && pins.get(&place)?.is_none() {
                return Err(NameNotTrusted { shown }.into());
            }
            match pins.check(&place, shown)? {
                Pinned::Known | Pinned::New => Ok(()),
                Pinned::Differs(mismatch) => Err(mismatch.into()),
            }
        }))
    }
}

impl Ready {
    fn run(self, reporter: &Reporter) -> Result<Exit, StartError> {
        let (node, inbox) = Node::start(self.options).map_err(StartError::System)?;
        let login = Login::new(node.clone());
        let event_loop = EventLoop::start(login.clone(), inbox).map_err(StartError::System)?;
        let (signalled, ending) = (Arc::downgrade(&login), self.interrupt.clone());
        self.interrupt.on_signal(move || {
            let Some(login) = signalled.upgrade() else { return };
            if ending.is_ending() {
                login.node().link.close();
            } else if ending.is_cancelled() {
                login.node().link.cancel();
            }
            if let Some(session) = login.session() {
                session.downloads().look_again();
            }
        });
        let mut prompt = if self.person {
            Prompt::stdio(reporter.terminal(), &self.interrupt, || Aids {
                history: node.state.history(),
                completer: Completer::start(Names::new(login.clone())).ok(),
            })
        } else if self.exec.is_empty() {
            Prompt::script(self.interrupt.reader(io::stdin()), reporter.terminal(), &self.interrupt)
        } else {
            Prompt::commands(self.exec, reporter.terminal(), &self.interrupt)
        };
        if self.person || reporter.is_json() {
            reporter.event(&Event::Listening(node.seeder.addr()));
        }
        if let Some(rather) = self.rather {
            reporter.event(&Event::OnlyThisMachine { listens: node.seeder.addr(), rather });
        }
        let mut executor = Executor::new(login.clone(), self.interrupt.clone());
        let exit = run_prompt(&mut prompt, reporter, &self.interrupt, &mut executor);
        executor.part();
        // Threads that wait for a silent tracker do not delay the end of the program.
        node.link.close();
        // The downloads stay for the next login. The tracker sees the end of the connection.
        login.end();
        node.catalog.close();
        drop(event_loop);
        Ok(exit)
    }
}
