//! The parts of the running client that last from login to login, put together once.

use crate::client::download::engine::event::EngineEvent;
use crate::client::download::engine::options::EngineOptions;
use crate::client::keyring::Keyring;
use crate::client::output::event::Event;
use crate::client::output::reporter::Reporter;
use crate::client::reach::answerer::{Answerer, AnswererSetup};
use crate::client::reach::calls::{CallSubject, Calls, OpenableConnection};
use crate::client::reach::identity::{Certified, Identity};
use crate::client::reach::interfaces::machine;
use crate::client::reach::port::ListeningPort;
use crate::client::reach::reacher::Reacher;
use crate::client::reach::relay::Relays;
use crate::client::reach::way::Way;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::event::LinkEvent;
use crate::client::rpc::keeper::{CheckFingerprint, Connect};
use crate::client::rpc::link::TrackerLink;
use crate::client::state::dir::StateDir;
use crate::client::upload::catalog::Catalog;
use crate::client::upload::event::SeederEvent;
use crate::client::upload::given::{Given, TakeGiven};
use crate::client::upload::seeder::{Seeder, SeederSetup};
use crate::model::address::TrackerAddr;
use crate::model::id::{ClientId, CommandId, PeerId};
use crate::rate::limit::Limit;
use crate::rate::uplink::Uplink;
use crate::sys::random::random_bytes;
use crate::wire::certificate::Certificate;
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::codec::List;
use crate::wire::contact::{INTERFACES_MAX, Interface};
use crossbeam_channel as channel;
use parking_lot::Mutex;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The maximum number of peer events that wait for the event loop. Further events are dropped, because they say nothing
/// new.
const SEEDER_EVENTS_MAX: usize = 64;

/// Returns the addresses at which others reach a listener that is bound to the given address.
pub type OwnAddresses = Box<dyn Fn(IpAddr) -> List<Interface, INTERFACES_MAX> + Send + Sync>;

/// The options of a client's start.
pub struct NodeOptions {
    /// The client tries them in this order.
    pub trackers: Vec<TrackerAddr>,
    /// Accepts peers.
    pub listener: TcpListener,
    /// A further address at which others reach this client, according to its user.
    pub announce: Option<SocketAddr>,
    /// Returns the current addresses of a bound listener.
    pub own_addresses: OwnAddresses,
    pub state: StateDir,
    /// Decides whether the trackers have the right certificates.
    pub check: CheckFingerprint,
    pub upload_limit: Limit,
    pub engine_options: EngineOptions,
    pub reporter: Reporter,
}

/// The channels of the event loop.
pub struct Inbox {
    pub link: channel::Receiver<LinkEvent>,
    pub seeder: channel::Receiver<SeederEvent>,
    pub engine: channel::Receiver<EngineEvent>,
}

/// The parts of the running client.
pub struct Node {
    /// Answers members that cannot dial this client. The answerer ends before the seeder.
    pub answerer: Answerer,
    /// Connects to other members.
    pub reacher: Arc<Reacher>,
    pub link: TrackerLink,
    /// The group keys of the current user.
    pub keyring: Arc<Keyring>,
    /// The content that this client gives to others.
    pub catalog: Arc<Catalog>,
    pub seeder: Arc<Seeder>,
    pub uplink: Arc<Uplink>,
    pub reporter: Reporter,
    /// The id of this client among the user's clients.
    pub client: ClientId,
    pub state: StateDir,
    /// The options for the engine of a login.
    pub engine_options: EngineOptions,
    /// Takes the events of the engine of a login.
    pub engine_events: channel::Sender<EngineEvent>,
    /// The port for peers.
    pub listening: Arc<ListeningPort>,
    /// The identity of this client towards other members.
    pub identity: Arc<Identity>,
    announced: Option<SocketAddr>,
    /// Whether the user knows that others do not learn the configured address.
    has_said: AtomicBool,
    machine: [u8; 16],
    own_addresses: OwnAddresses,
    /// The addresses of this machine that the client told a tracker last.
    interfaces: Mutex<List<Interface, INTERFACES_MAX>>,
}

impl Node {
    /// Starts every part. The event loop takes the inbox.
    pub fn start(options: NodeOptions) -> io::Result<(Arc<Self>, Inbox)> {
        // Unbounded. Answers for downloads follow from this client's own requests. The tracker limits the rate of
        // pushes that others cause, such as calls and requests to join.
        let (link_events, heard) = channel::unbounded();
        let (engine_events, engine) = channel::unbounded();
        let (seeder_events, peers) = channel::bounded(SEEDER_EVENTS_MAX);
        let client = ClientId(random());
        let keyring = Arc::new(Keyring::default());
        let catalog = Arc::new(Catalog::start()?);
        let uplink = Uplink::new(options.upload_limit);
        let listening = Arc::new(ListeningPort::share(&options.listener)?);
        let leaving = listening.clone();
        let connect: Connect = Box::new(move |addr, within| leaving.connect(addr, within));
        let identity = Arc::new(Identity::new(client)?);
        let calls = Arc::new(Calls::default());
        let setup = SeederSetup {
            identity: identity.clone(),
            keyring: keyring.clone(),
            catalog: catalog.clone(),
            uplink: uplink.clone(),
            events: seeder_events,
            take_given: take_given(calls.clone()),
            calls: calls.clone(),
        };
        let relays = Relays::new(options.trackers.clone())?;
        let link = TrackerLink::start(options.trackers, client, connect, options.check, link_events)?;
        let seeder = Arc::new(Seeder::start(options.listener, setup)?);
        let (port, tracker) = (listening.clone(), Some(link.caller()));
        let reacher = Arc::new(Reacher { identity: identity.clone(), port, calls, tracker });
        let node = Self {
            answerer: answerer(&reacher, keyring.clone(), relays, seeder.clone()),
            reacher,
            link,
            seeder,
            keyring,
            catalog,
            uplink,
            reporter: options.reporter,
            client,
            state: options.state,
            engine_options: options.engine_options,
            engine_events,
            listening,
            identity,
            announced: options.announce,
            has_said: AtomicBool::new(false),
            machine: machine(),
            own_addresses: options.own_addresses,
            interfaces: Mutex::new(List::EMPTY),
        };
        Ok((Arc::new(node), Inbox { link: heard, seeder: peers, engine }))
    }

    /// Tells the tracker the identity and the addresses of this client, and takes the certificate for them.
    pub fn announce(&self) -> Result<(), RpcError> {
        let interfaces = (self.own_addresses)(self.listening.addr().ip());
        self.interfaces.lock().clone_from(&interfaces);
        let request = Request::Announce {
            key: self.identity.key(),
            port: self.listening.addr().port(),
            interfaces,
            announced: self.announced,
            machine: self.machine,
            round_trip_ms: self.round_trip_ms()?,
        };
        match self.link.call(&request)? {
            Reply::Announced { certificate, signer, now_s, tracker, relay, seen, token: _ } => {
                let heard = Instant::now();
                let certified = Certified { certificate, signer, now_s, heard, tracker, relay, seen };
                self.identity.take(certified).then_some(()).ok_or(RpcError::Unexpected)
            }
            _ => Err(RpcError::Unexpected),
        }
    }

    /// Asks the tracker whether others can reach this client. The answer comes as a push. There is no check for a
    /// client that listens only for its own machine.
    pub(super) fn check_reach(&self) -> Result<(), RpcError> {
        if self.listening.addr().ip().is_loopback() && self.announced.is_none() {
            return Ok(());
        }
        let seen = self.identity.certified().map(|certified| certified.seen.ip().to_canonical());
        if let (Some(named), Some(seen)) = (self.announced, seen)
            && named.ip().to_canonical() != seen
            && !self.has_said.swap(true, Ordering::Relaxed)
        {
            self.reporter.event(&Event::NotPassedOn { named, seen });
        }
        self.link.call(&Request::CheckReach {}).map(drop)
    }

    /// The time until a tracker's answer, in ms.
    fn round_trip_ms(&self) -> Result<u16, RpcError> {
        let begun = Instant::now();
        self.link.call(&Request::Heartbeat {})?;
        Ok(u16::try_from(begun.elapsed().as_millis()).unwrap_or(u16::MAX))
    }

    /// Whether the addresses of this machine differ from those that the client told a tracker, as in another network.
    pub(super) fn has_moved(&self) -> bool {
        (self.own_addresses)(self.listening.addr().ip()) != *self.interfaces.lock()
    }
}

/// Hands the connections of called members to the dials that wait for them.
fn take_given(calls: Arc<Calls>) -> TakeGiven {
    Box::new(move |given| {
        let Given { certificate, group, key, info_hash, receiver, sender, .. } = given;
        let Certificate { client, user, key: whose, .. } = certificate;
        let subject = CallSubject { group, info_hash, peer: PeerId { user, client }, key: whose };
        // No dial waits any more, so the connection ends.
        drop(calls.give(&subject, OpenableConnection { receiver, sender, key, way: Way::Called }));
    })
}

/// The answerer for members that cannot dial this client.
fn answerer(reacher: &Reacher, keyring: Arc<Keyring>, relays: Relays, giver: Arc<Seeder>) -> Answerer {
    let (identity, port, tracker) = (reacher.identity.clone(), reacher.port.clone(), reacher.tracker.clone());
    let calls = reacher.calls.clone();
    Answerer::new(AnswererSetup { identity, keyring, port, calls, relays, tracker, giver })
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Random bytes. A client cannot go on without them.
pub fn random<const N: usize>() -> [u8; N] {
    random_bytes().expect("the system gives random bytes")
}

/// A new id for a command.
pub fn command_id() -> CommandId {
    CommandId(random())
}
