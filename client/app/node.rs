//! The running client: its parts, put together once and shared by the prompt and the steward.

use super::login_session::Account;
use crate::client::download::engine::event::EngineEvent;
use crate::client::download::engine::options::EngineOptions;
use crate::client::keyring::Keyring;
use crate::client::output::event::Event;
use crate::client::output::reporter::Reporter;
use crate::client::rate::limit::Limit;
use crate::client::rate::uplink::Uplink;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::link::{CheckFingerprint, LinkEvent, TrackerLink};
use crate::client::rpc::queries;
use crate::client::state::dir::StateDir;
use crate::client::state::file::StateError;
use crate::client::upload::seeder::{Seeder, SeederEvent};
use crate::client::upload::served::Serving;
use crate::model::id::{ClientId, CommandId};
use crate::sys::random::random_bytes;
use crate::wire::client_tracker::{Reply, Request};
use crossbeam_channel as channel;
use parking_lot::Mutex;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

/// Events of peers that wait for the steward; one more of the same is not needed.
const SEEDER_EVENTS_MAX: usize = 64;

/// What a client is started with.
pub struct NodeOptions {
    /// The trackers, in the order in which they are tried.
    pub trackers: Vec<SocketAddr>,
    /// Where peers are listened for.
    pub listener: TcpListener,
    /// The address to tell others, where it is not the one that the tracker sees.
    pub announce: Option<SocketAddr>,
    /// What is remembered from run to run.
    pub state: StateDir,
    /// Whether the trackers are the right ones.
    pub check: CheckFingerprint,
    /// How fast pieces may leave.
    pub upload_limit: Limit,
    /// The download engine.
    pub engine_options: EngineOptions,
    /// What says everything.
    pub reporter: Reporter,
}

/// The channels that the steward listens to.
pub struct Inbox {
    /// From the link to the trackers.
    pub link: channel::Receiver<LinkEvent>,
    /// From the seeder.
    pub seeder: channel::Receiver<SeederEvent>,
    /// From the engine.
    pub engine: channel::Receiver<EngineEvent>,
}

/// The running client.
pub struct Node {
    /// To the trackers.
    pub link: TrackerLink,
    /// The keys of the user's groups.
    pub keyring: Arc<Keyring>,
    /// What is given to others.
    pub serving: Arc<Serving>,
    /// Who gives it.
    pub seeder: Seeder,
    /// How fast.
    pub uplink: Arc<Uplink>,
    /// What says everything.
    pub reporter: Reporter,
    /// This client's name among the user's clients.
    pub client: ClientId,
    /// What is remembered from run to run.
    pub state: StateDir,
    /// How the engine of an account is set up.
    pub engine_options: EngineOptions,
    /// Where the engine of an account says what happened.
    pub engine_events: channel::Sender<EngineEvent>,
    announce: (Option<IpAddr>, u16),
    account: Mutex<Option<Arc<Account>>>,
}

impl Node {
    /// Starts every part. The steward takes the inbox.
    pub fn start(options: NodeOptions) -> io::Result<(Arc<Self>, Inbox)> {
        // Unbounded, but what pushes and downloads can say is bounded by what this client asked for.
        let (link_events, link) = channel::unbounded();
        let (engine_events, engine) = channel::unbounded();
        let (seeder_events, seeder) = channel::bounded(SEEDER_EVENTS_MAX);
        let client = ClientId(random());
        let keyring = Arc::new(Keyring::default());
        let serving = Arc::new(Serving::start()?);
        let uplink = Uplink::new(options.upload_limit);
        let port = options.listener.local_addr()?.port();
        let listening_ip = Some(options.listener.local_addr()?.ip()).filter(|ip| !ip.is_unspecified());
        let announce = match options.announce {
            Some(addr) => (Some(addr.ip()), addr.port()),
            None => (listening_ip, port),
        };
        let node = Self {
            link: TrackerLink::start(options.trackers, client, options.check, link_events)?,
            seeder: Seeder::start(options.listener, keyring.clone(), serving.clone(), uplink.clone(), seeder_events)?,
            keyring,
            serving,
            uplink,
            reporter: options.reporter,
            client,
            state: options.state,
            engine_options: options.engine_options,
            engine_events,
            announce,
            account: Mutex::new(None),
        };
        Ok((Arc::new(node), Inbox { link, seeder, engine }))
    }

    /// The account that is logged in.
    pub fn account(&self) -> Option<Arc<Account>> {
        self.account.lock().clone()
    }

    /// Takes in who has logged in; gives who was logged in before.
    pub fn set_account(&self, account: Option<Arc<Account>>) -> Option<Arc<Account>> {
        std::mem::replace(&mut *self.account.lock(), account)
    }

    /// Tells the tracker where this client listens.
    pub fn announce(&self) -> Result<SocketAddr, RpcError> {
        let (ip, port) = self.announce;
        match self.link.call(&Request::Announce { ip, port })? {
            Reply::Announced { addr } => Ok(addr),
            _ => Err(RpcError::Unexpected),
        }
    }

    /// Asks for the keys of all groups of the user; drops the connections of groups whose key changed, and calls groups by
    /// the names that they have now.
    pub fn refresh_keys(&self) -> Result<(), RpcError> {
        let changes = self.keyring.replace_all(queries::keys(&self.link)?);
        changes.rekeyed.into_iter().for_each(|group| self.drop_connections(group));
        if let Some(account) = self.account().filter(|_| !changes.renamed.is_empty()) {
            let renamed = account.rename_groups(&changes.renamed);
            self.remembered(renamed, |error| format!("The new name of a group will be forgotten: {error}"));
        }
        Ok(())
    }

    /// Says what could not be remembered. A login that has ended remembers nothing more, and needs to say nothing: the
    /// next one finds out how things are.
    pub fn remembered<T>(&self, kept: Result<T, StateError>, what: impl FnOnce(&StateError) -> String) {
        match kept {
            Ok(_) | Err(StateError::Closed) => {}
            Err(error) => self.reporter.event(&Event::Warning(what(&error))),
        }
    }

    /// Drops the connections made under a key of this group, in both directions.
    pub fn drop_connections(&self, group: crate::model::id::GroupRef) {
        self.seeder.drop_group(group);
        if let Some(account) = self.account() {
            account.engine.drop_group(group);
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Random bytes, without which a client cannot go on.
pub fn random<const N: usize>() -> [u8; N] {
    random_bytes().expect("the system gives random bytes")
}

/// A name for a command that is about to be made.
pub fn command_id() -> CommandId {
    CommandId(random())
}
