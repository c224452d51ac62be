//! A tracker on a free port and a client that speaks the real protocol to it, for end-to-end tests.

// Every test program uses its own part of this.
#![allow(dead_code)]
// Set where the targets of fuzz/ are built, which use what is in this file only.
#![allow(unexpected_cfgs)]

#[cfg(not(fuzzing))]
pub(crate) mod installation;
#[cfg(not(fuzzing))]
pub(crate) mod listing;
#[cfg(not(fuzzing))]
pub(crate) mod member;
#[cfg(not(fuzzing))]
pub(crate) mod program;
#[cfg(not(fuzzing))]
pub(crate) mod relay;
#[cfg(not(fuzzing))]
pub(crate) mod room;
#[cfg(not(fuzzing))]
pub(crate) mod sitting;
#[cfg(not(fuzzing))]
pub(crate) mod swarm;

use groupshare::model::digest::{Fingerprint, Sha1Digest};
use groupshare::model::id::{ClientId, CommandId, GroupRef, OpOrder, Origin, ShareRef};
use groupshare::model::manifest::{Content, FileEntry, Manifest};
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::path::RelPath;
use groupshare::model::piece::PIECE_LEN;
use groupshare::tracker::admission::Caps;
use groupshare::tracker::auth::cluster_key::ClusterKey;
use groupshare::tracker::auth::login_throttle::{Pace, Paces};
use groupshare::tracker::auth::passwords::Params;
use groupshare::tracker::commit::MemoryLog;
use groupshare::tracker::data_dir::DataDir;
use groupshare::tracker::server::{ListenSockets, Server, ServerSettings};
use groupshare::tracker::state::State;
use groupshare::wire::client_tracker::{
    GroupKey, Holding, MANIFEST_PART_MAX, Password, Peer, Reply, Request, TOKEN_LEN_MAX, refusal,
};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::connection::{self, FrameReceiver, FrameSender, RecvError, TimedStream};
use groupshare::wire::deadlines::{HANDSHAKE_DEADLINE, HEARTBEAT_INTERVAL};
use groupshare::wire::error::{Code, Refusal};
use groupshare::wire::frame::{FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::{self, HandshakeError};
use groupshare::wire::manifest::encode;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once, Weak};
use std::time::{Duration, Instant};

/// Longer than anything takes that a test waits for, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(180);
/// The password of every user that a test does not say otherwise of.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The cluster key of all test trackers.
const CLUSTER_KEY: [u8; 32] = [7; 32];

/// Looks again and again until it is so.
pub(crate) fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A tracker that runs in this process, with its data in a folder of its own. Stops when dropped.
pub(crate) struct TestTracker {
    pub server: Server,
    pub addr: SocketAddr,
    pub folder: tempfile::TempDir,
}

/// How tests want their trackers: passwords cost next to nothing, and nobody is slowed down.
pub(crate) fn settings(folder: &tempfile::TempDir) -> ServerSettings {
    let log = MemoryLog::default();
    let free = Pace { burst: 1_000_000, interval: Duration::from_millis(1) };
    ServerSettings {
        cluster_key: ClusterKey::new(&CLUSTER_KEY),
        origin: Origin { tracker: 1, incarnation: 1 },
        past: State::new().into(),
        log: Box::new(log.clone()),
        source: Arc::new(log),
        others: Vec::new(),
        data_dir: DataDir::open(folder.path()).expect("a data folder"),
        caps: Caps::default(),
        paces: Paces { user: free, address: free, accounts: free },
        password_params: cheap_passwords(),
        warn: Arc::new(|line| eprintln!("tracker warns: {line}")),
    }
}

pub(crate) fn cheap_passwords() -> Params {
    Params::new(8, 1, 1, None).expect("the least that Argon2 allows")
}

impl TestTracker {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        Self::start_at(loopback().into(), change)
    }

    /// One that speaks JSON too.
    pub(crate) fn start_for_programs(change: impl FnOnce(&mut ServerSettings)) -> Self {
        Self::start_at(ListenSockets { clients: loopback(), programs: Some(loopback()) }, change)
    }

    fn start_at(listeners: ListenSockets, change: impl FnOnce(&mut ServerSettings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings(&folder);
        change(&mut settings);
        let server = Server::start(listeners, settings).expect("started");
        Self { addr: server.addr(), server, folder }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// A client that is logged in as a new user.
    pub(crate) fn user(&self, name: &str) -> Client {
        let mut client = self.client();
        client.create_user(name);
        client.log_in(name);
        client
    }
}

fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// The keys of all test trackers.
pub(crate) fn cluster() -> ClusterKey {
    ClusterKey::new(&CLUSTER_KEY)
}

/// The fingerprint that all test trackers show.
pub(crate) fn fingerprint() -> Fingerprint {
    ClusterKey::new(&CLUSTER_KEY).fingerprint()
}

/// Where a tracker lets every client in and then says nothing, as one that hangs does. Its thread ends with the test's
/// process.
pub(crate) fn silent_tracker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let cluster_key = ClusterKey::new(&CLUSTER_KEY);
        let mut held = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut timed = TimedStream::new(&stream, HANDSHAKE_DEADLINE);
            let accepted = handshake::tracker_accepts(&mut timed, cluster_key.static_key(), &cluster_key.link_key());
            held.push((accepted.is_ok(), stream));
        }
    });
    addr
}

static CLIENTS: AtomicU64 = AtomicU64::new(1);
static COMMANDS: AtomicU64 = AtomicU64::new(1);

fn unique(counter: &AtomicU64) -> [u8; 16] {
    u128::from(counter.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}

/// A command id that no other command of this process has.
pub(crate) fn command() -> CommandId {
    CommandId(unique(&COMMANDS))
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect(name)
}

pub(crate) fn group(name: &str) -> GroupId {
    GroupId::parse(name).expect(name)
}

pub(crate) fn file(name: &str) -> FileName {
    FileName::parse(name).expect(name)
}

pub(crate) fn password(text: &str) -> Password {
    Password::new(text).expect("1 to 1,024 bytes")
}

/// A manifest of one file of so many pieces, which differ by `seed`.
pub(crate) fn manifest(name: &str, pieces: u32, seed: u8) -> (Vec<u8>, Content) {
    let len = u64::from(pieces) * u64::from(PIECE_LEN);
    let entry = FileEntry { path: RelPath::parse(name).expect(name), len };
    let digest = |piece: u32| {
        let mut digest = [seed; 20];
        digest[..4].copy_from_slice(&piece.to_be_bytes());
        Sha1Digest(digest)
    };
    let manifest = Manifest::new(vec![entry], (0..pieces).map(digest).collect()).expect("valid");
    let (bytes, info_hash) = encode(&manifest).expect("below the cap");
    let content = Content { layout: manifest.layout(), sha1: Sha1Digest([seed; 20]), info_hash, file_count: 1 };
    (bytes, content)
}

/// A share as the tracker tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    pub share: ShareRef,
    pub group: GroupRef,
    pub name: FileName,
    pub content: Content,
    pub shared_by_you: bool,
}

/// The request of the heartbeats that clients send by themselves.
const BEAT: u32 = u32::MAX;

/// Sends heartbeats for this client as the program does: on a busy machine a test may leave it alone for longer than after
/// which it counts as gone.
fn keep_alive(sender: &Arc<FrameSender>) {
    static ALL: Mutex<Vec<Weak<FrameSender>>> = Mutex::new(Vec::new());
    static BEATS: Once = Once::new();
    BEATS.call_once(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::park_timeout(HEARTBEAT_INTERVAL);
                let now = ALL.lock().clone();
                // One that fails has ended, or does so now.
                now.iter().filter_map(Weak::upgrade).for_each(|sender| drop(sender.send(BEAT, &Request::Heartbeat {})));
            }
        });
    });
    let mut all = ALL.lock();
    all.retain(|other| other.strong_count() > 0);
    all.push(Arc::downgrade(sender));
}

/// A client of a tracker.
pub(crate) struct Client {
    pub id: ClientId,
    pub receiver: FrameReceiver,
    pub sender: Arc<FrameSender>,
    last_request: u32,
    unasked: VecDeque<Reply>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).expect("a channel")
    }

    /// Connects and checks the tracker's fingerprint.
    pub(crate) fn try_connect(addr: SocketAddr) -> Result<Self, HandshakeError> {
        Self::over(TcpStream::connect(addr)?)
    }

    /// Speaks on a socket that is connected to a test tracker.
    pub(crate) fn over(stream: TcpStream) -> Result<Self, HandshakeError> {
        Self::over_to(stream, fingerprint())
    }

    /// Speaks on a socket that is connected to a tracker with this fingerprint.
    pub(crate) fn over_to(stream: TcpStream, expected: Fingerprint) -> Result<Self, HandshakeError> {
        let (keys, shown) = handshake::client_to_tracker(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE))?;
        assert_eq!(shown, expected);
        let (receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, false)?;
        let id = ClientId(unique(&CLIENTS));
        keep_alive(&sender);
        Ok(Self { id, receiver, sender, last_request: 0, unasked: VecDeque::new() })
    }

    /// Sends a request without waiting for its reply; gives the request's id.
    pub(crate) fn send(&mut self, request: &Request) -> u32 {
        self.last_request += 1;
        self.sender.send(self.last_request, request).expect("sent");
        self.last_request
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Result<(u32, Reply), RecvError> {
        loop {
            let frame = self.receiver.recv(LONG)?;
            if frame.request != BEAT {
                return Ok((frame.request, frame.message()?));
            }
        }
    }

    /// The reply to a request; whatever comes unasked before it is kept for [`Client::pushed`].
    pub(crate) fn reply(&mut self, request: u32) -> Reply {
        loop {
            match self.next().expect("a reply") {
                (UNASKED, push) => self.unasked.push_back(push),
                (id, reply) if id == request => return reply,
                (id, reply) => panic!("a reply to request {id} while waiting for that to {request}: {reply:?}"),
            }
        }
    }

    /// Asks and waits for the reply.
    pub(crate) fn ask(&mut self, request: Request) -> Reply {
        let id = self.send(&request);
        self.reply(id)
    }

    /// Asks for what must be done.
    pub(crate) fn done(&mut self, request: Request) {
        match self.ask(request) {
            Reply::Done {} => {}
            other => panic!("not done but {}", words(&other)),
        }
    }

    /// Asks for what must be refused.
    pub(crate) fn refused(&mut self, request: Request) -> Code {
        match self.ask(request) {
            Reply::Refused { code, about } => refusal(code, &about).code,
            other => panic!("not refused but {other:?}"),
        }
    }

    /// The next message that comes unasked.
    pub(crate) fn pushed(&mut self) -> Reply {
        match self.unasked.pop_front() {
            Some(push) => push,
            None => match self.next().expect("a push") {
                (UNASKED, push) => push,
                (id, reply) => panic!("a reply to request {id}: {reply:?}"),
            },
        }
    }

    /// Everything that has come unasked up to now: what the tracker has pushed before it answers this heartbeat.
    pub(crate) fn all_pushed(&mut self) -> Vec<Reply> {
        self.done(Request::Heartbeat {});
        self.unasked.drain(..).collect()
    }

    /// Waits until the tracker ends the connection; gives what came before.
    pub(crate) fn until_end(&mut self) -> Vec<(u32, Reply)> {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Ok(message) => all.push(message),
                Err(RecvError::Closed | RecvError::Cut | RecvError::Io(_)) => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn create_user(&mut self, name: &str) {
        self.done(Request::CreateUser { command: command(), user: user(name), password: password(PASSWORD) });
    }

    /// Logs in with the usual password; gives the token.
    pub(crate) fn log_in(&mut self, name: &str) -> Blob<TOKEN_LEN_MAX> {
        match self.ask(self.login_request(name)) {
            Reply::LoggedIn { user: told, token } => {
                assert_eq!(told, user(name));
                token
            }
            other => panic!("not logged in but {}", words(&other)),
        }
    }

    pub(crate) fn login_request(&self, name: &str) -> Request {
        Request::Login { client: self.id, user: user(name), password: password(PASSWORD) }
    }

    pub(crate) fn resume(&mut self, token: &Blob<TOKEN_LEN_MAX>) -> Reply {
        self.ask(Request::Resume { client: self.id, token: token.clone() })
    }

    pub(crate) fn create_group(&mut self, name: &str) {
        self.done(Request::CreateGroup { command: command(), group: group(name) });
    }

    pub(crate) fn join(&mut self, name: &str) {
        self.done(Request::JoinGroup { command: command(), group: group(name) });
    }

    pub(crate) fn leave(&mut self, name: &str) {
        self.done(Request::LeaveGroup { command: command(), group: group(name) });
    }

    pub(crate) fn accept(&mut self, group_name: &str, name: &str) {
        self.done(Request::AcceptRequest { command: command(), group: group(group_name), user: user(name) });
    }

    /// Brings a manifest in as many parts as it takes.
    pub(crate) fn put_manifest(&mut self, group_name: &str, bytes: &[u8], content: &Content) {
        let total = bytes.len() as u32;
        for (i, part) in bytes.chunks(MANIFEST_PART_MAX).enumerate() {
            let part = Blob::new(part.to_vec()).expect("a part");
            let offset = (i * MANIFEST_PART_MAX) as u32;
            let info_hash = content.info_hash;
            self.done(Request::PutManifest { group: group(group_name), info_hash, total, offset, part });
        }
    }

    pub(crate) fn share_request(&self, group_name: &str, name: &str, content: &Content) -> Request {
        Request::ShareFile { command: command(), group: group(group_name), name: file(name), content: *content }
    }

    /// Shares what was brought before.
    pub(crate) fn share(&mut self, group_name: &str, name: &str, content: &Content) -> Share {
        let request = self.share_request(group_name, name, content);
        self.share_reply(request)
    }

    /// Brings the manifest of a file of so many pieces and shares it; another `seed` makes it another file.
    pub(crate) fn offer(&mut self, group_name: &str, name: &str, pieces: u32, seed: u8) -> Share {
        let (bytes, content) = manifest(name, pieces, seed);
        self.put_manifest(group_name, &bytes, &content);
        self.share(group_name, name, &content)
    }

    pub(crate) fn find_share(&mut self, group_name: &str, name: &str) -> Share {
        self.share_reply(Request::FindShare { group: group(group_name), name: file(name) })
    }

    fn share_reply(&mut self, request: Request) -> Share {
        match self.ask(request) {
            Reply::Share { share, group, name, content, shared_by_you } => {
                Share { share, group, name, content, shared_by_you }
            }
            other => panic!("not a share but {}", words(&other)),
        }
    }

    pub(crate) fn announce(&mut self, port: u16) -> SocketAddr {
        match self.ask(Request::Announce { ip: None, port }) {
            Reply::Announced { addr } => addr,
            other => panic!("not announced but {}", words(&other)),
        }
    }

    pub(crate) fn hold(&mut self, share: ShareRef, holding: Holding) {
        self.done(Request::Hold { share, holding });
    }

    pub(crate) fn peers(&mut self, share: ShareRef) -> Vec<Peer> {
        match self.ask(Request::FindPeers { share }) {
            Reply::Peers { peers } => peers.into_vec(),
            other => panic!("no peers but {}", words(&other)),
        }
    }

    /// The keys of all groups.
    pub(crate) fn keys(&mut self) -> Vec<GroupKey> {
        match self.ask(Request::ListKeys { after: None }) {
            Reply::Keys { keys, more: false } => keys.into_vec(),
            other => panic!("no keys but {other:?}"),
        }
    }

    pub(crate) fn read_notices(&mut self, through: OpOrder) {
        self.done(Request::ReadNotices { command: command(), through });
    }
}

/// What a reply says, for a test's failure.
fn words(reply: &Reply) -> String {
    match reply {
        Reply::Refused { code, about } => Refusal::to_string(&refusal(*code, about)),
        other => format!("{other:?}"),
    }
}

pub(crate) fn all_pieces() -> Holding {
    Holding::All {}
}

pub(crate) fn some_pieces(pieces: &[u32]) -> Holding {
    Holding::More { pieces: List::new(pieces.to_vec()).expect("few") }
}
