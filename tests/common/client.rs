//! A client that speaks the real protocol to a tracker.

use super::deadline::LONG;
use super::names::{PASSWORD, command, file, group, password, unique, user};
use super::tracker::fingerprint;
use groupshare::model::digest::Fingerprint;
use groupshare::model::id::{ClientId, GroupRef, ShareRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::FileName;
use groupshare::wire::client_tracker::{MANIFEST_PART_MAX, Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;
use groupshare::wire::connection::{self, FrameReceiver, FrameSender, RecvError, TimedStream};
use groupshare::wire::deadlines::{HANDSHAKE_DEADLINE, HEARTBEAT_INTERVAL};
use groupshare::wire::frame::{FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::{self, HandshakeError};
use groupshare::wire::refusal::Refusal;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Once, Weak};

/// A share in the tracker's words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    pub share: ShareRef,
    pub group: GroupRef,
    pub name: FileName,
    pub content: Content,
    pub shared_by_you: bool,
}

/// The request id of heartbeats, which clients send by themselves.
const BEAT: u32 = u32::MAX;

static CLIENTS: AtomicU64 = AtomicU64::new(1);

/// Sends heartbeats for this client, as the program does. On a busy machine a test may leave the client alone for
/// longer than the idle deadline.
fn keep_alive(sender: &Arc<FrameSender>) {
    static ALL: Mutex<Vec<Weak<FrameSender>>> = Mutex::new(Vec::new());
    static BEATS: Once = Once::new();
    BEATS.call_once(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::park_timeout(HEARTBEAT_INTERVAL);
                let now = ALL.lock().clone();
                // A send that fails means that the client has ended, or ends now.
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
    pub unasked: VecDeque<Reply>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).expect("a channel")
    }

    /// Connects and checks the tracker's fingerprint.
    pub(crate) fn try_connect(addr: SocketAddr) -> Result<Self, HandshakeError> {
        Self::over(TcpStream::connect(addr)?)
    }

    /// Uses a socket that is connected to a test tracker.
    pub(crate) fn over(stream: TcpStream) -> Result<Self, HandshakeError> {
        Self::over_to(stream, fingerprint())
    }

    /// Uses a socket that is connected to a tracker with this fingerprint.
    pub(crate) fn over_to(stream: TcpStream, expected: Fingerprint) -> Result<Self, HandshakeError> {
        let (keys, shown) = handshake::client_to_tracker(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE))?;
        assert_eq!(shown, expected);
        let (receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, false)?;
        let id = ClientId(unique(&CLIENTS));
        keep_alive(&sender);
        Ok(Self { id, receiver, sender, last_request: 0, unasked: VecDeque::new() })
    }

    /// Sends a request without waiting for its reply. Returns the request's id.
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

    /// The reply to a request. Unasked messages before it are kept for [`Client::pushed`].
    pub(crate) fn reply(&mut self, request: u32) -> Reply {
        loop {
            match self.next().expect("a reply") {
                (UNASKED, push) => self.unasked.push_back(push),
                (id, reply) if id == request => return reply,
                (id, reply) => panic!("a reply to request {id} while waiting for that to {request}: {reply:?}"),
            }
        }
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn ask(&mut self, request: Request) -> Reply {
        let id = self.send(&request);
        self.reply(id)
    }

    /// Sends a request that must succeed.
    pub(crate) fn done(&mut self, request: Request) {
        match self.ask(request) {
            Reply::Done {} => {}
            other => panic!("not done but {}", words(&other)),
        }
    }

    pub(crate) fn create_user(&mut self, name: &str) {
        self.done(Request::CreateUser { command: command(), user: user(name), password: password(PASSWORD) });
    }

    /// Logs in with the usual password. Returns the token.
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

    pub(crate) fn create_group(&mut self, name: &str) {
        self.done(Request::CreateGroup { command: command(), group: group(name) });
    }

    /// Sends a manifest in as many parts as it takes.
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

    /// Shares the content of an earlier manifest.
    pub(crate) fn share(&mut self, group_name: &str, name: &str, content: &Content) -> Share {
        let request = self.share_request(group_name, name, content);
        self.share_reply(request)
    }

    pub(crate) fn share_reply(&mut self, request: Request) -> Share {
        match self.ask(request) {
            Reply::Share { share, group, name, content, shared_by_you, .. } => {
                Share { share, group, name, content, shared_by_you }
            }
            other => panic!("not a share but {}", words(&other)),
        }
    }
}

/// The words of a reply, for the failure of a test.
pub(crate) fn words(reply: &Reply) -> String {
    match reply {
        Reply::Refused { code, about } => Refusal::to_string(&Refusal::received(*code, about)),
        other => format!("{other:?}"),
    }
}
