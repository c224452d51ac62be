//! The keeper of the link to the trackers: connects to one of them, resumes the session there, and reads until the
//! connection ends.

use super::error::{ConnectionError, Unreachable};
use super::event::LinkEvent;
use super::link_state::{LinkState, Token};
use crate::model::address::TrackerAddr;
use crate::model::digest::Fingerprint;
use crate::model::id::ClientId;
use crate::sys::net::connecting::connect_first;
use crate::sys::net::resolve::{LOOKUP_DEADLINE, Lookups};
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::connection::{self, FrameReceiver, FrameSender, RecvError, TimedStream};
use crate::wire::deadlines::{HANDSHAKE_DEADLINE, IDLE_DEADLINE, REPLY_DEADLINE, WAITED_REPLY_DEADLINE};
use crate::wire::frame::{FRAME_LEN_MAX, UNASKED};
use crate::wire::handshake;
use crate::wire::refusal::{Code, Refusal};
use crossbeam_channel as channel;
use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A tracker that accepts no connection within this time counts as unreachable.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long a step of connecting may take while another tracker is left to try. Doubled after each failed round.
const PATIENCE: Duration = Duration::from_secs(1);
/// The shortest and the longest pause after a failed round over all trackers.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Decides whether trackers with this fingerprint are trusted. The error says why not.
pub type CheckFingerprint = Box<dyn Fn(Fingerprint) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync>;

/// Connects to an address within a time.
pub type Connect = Box<dyn Fn(SocketAddr, Duration) -> io::Result<TcpStream> + Send + Sync>;

/// The state of the thread that keeps the connection.
pub(super) struct Keeper {
    pub(super) trackers: Vec<TrackerAddr>,
    pub(super) client: ClientId,
    pub(super) connect: Connect,
    pub(super) check: CheckFingerprint,
    pub(super) events: channel::Sender<LinkEvent>,
    pub(super) state: Arc<LinkState>,
}

impl Keeper {
    /// Keeps one connection until the link closes.
    pub(super) fn run(&self) {
        let mut order = self.trackers.clone();
        let mut lookups = Lookups::new();
        let (mut pause, mut patience) = (PAUSE.0, PATIENCE);
        let (mut was_up, mut lost) = (false, None);
        loop {
            match self.connect_first(&order, patience, &mut lookups) {
                Ok((addr, receiver, sender)) => {
                    if was_up {
                        self.tell(LinkEvent::Up(addr.clone(), lost.take()));
                    }
                    (was_up, pause, patience) = (true, PAUSE.0, PATIENCE);
                    lost = Some((addr.clone(), self.read(receiver, &sender)));
                    // The order of the list, so that the client returns to a preferred tracker. The lost tracker comes
                    // last.
                    order.clone_from(&self.trackers);
                    order.sort_by_key(|other| *other == addr);
                }
                Err(unreachable) => {
                    if let Some((addr, why)) = lost.take() {
                        self.tell(LinkEvent::Down(addr, why));
                    }
                    self.state.pause_after(unreachable.to_string(), pause);
                    pause = (pause * 2).min(PAUSE.1);
                    patience = (patience * 2).min(REPLY_DEADLINE);
                }
            }
            if self.state.is_closing() {
                return;
            }
        }
    }

    /// Connects to the first tracker that can be reached, or says why none can. A hanging tracker delays the next one
    /// by `patience` at most.
    fn connect_first(
        &self,
        order: &[TrackerAddr],
        patience: Duration,
        lookups: &mut Lookups,
    ) -> Result<(TrackerAddr, FrameReceiver, Arc<FrameSender>), Unreachable> {
        let mut failures = Vec::new();
        for (place, addr) in order.iter().enumerate() {
            let is_last = place + 1 == order.len();
            let connected = self.connect(addr, if is_last { REPLY_DEADLINE } else { patience }, lookups);
            self.state.end_connecting();
            match connected {
                Ok((receiver, sender)) => return Ok((addr.clone(), receiver, sender)),
                Err(why) => failures.push((addr.clone(), why)),
            }
            if self.state.is_closing() {
                break;
            }
        }
        Err(Unreachable(failures))
    }

    /// Connects to one tracker and resumes the session. After that the connection is ready for requests.
    fn connect(
        &self,
        tracker: &TrackerAddr,
        patience: Duration,
        lookups: &mut Lookups,
    ) -> Result<(FrameReceiver, Arc<FrameSender>), ConnectionError> {
        let addrs = match tracker {
            TrackerAddr::Addr(addr) => Ok(vec![*addr]),
            TrackerAddr::Named { host, port } => {
                lookups.find(host, *port, LOOKUP_DEADLINE.min(patience), self.state.closed())
            }
        };
        let addrs = addrs.map_err(ConnectionError::Lookup)?;
        // A name has at most eight addresses.
        let deadline = CONNECT_DEADLINE.min(patience / addrs.len() as u32);
        let connected = connect_first(&addrs, |addr| (self.connect)(addr, deadline));
        let (stream, addr) = connected.map_err(ConnectionError::Connect)?;
        let stream = Arc::new(stream);
        self.state.begin_connecting(&stream)?;
        let handshake = handshake::client_to_tracker(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE.min(patience)));
        let (keys, fingerprint) = handshake.map_err(ConnectionError::Handshake)?;
        (self.check)(fingerprint).map_err(ConnectionError::Untrusted)?;
        let (mut receiver, sender) =
            connection::split(stream, keys, FRAME_LEN_MAX, false).map_err(ConnectionError::Io)?;
        if let Some(token) = self.state.token() {
            self.resume(&mut receiver, &sender, token)?;
        }
        self.state.connected(addr, sender.clone(), fingerprint)?;
        Ok((receiver, sender))
    }

    /// A tracker that has shaken hands does not hang. The session may have to wait there for its turn, and a new
    /// connection would have to wait from the start again.
    fn resume(&self, receiver: &mut FrameReceiver, sender: &FrameSender, token: Token) -> Result<(), ConnectionError> {
        const ID: u32 = u32::MAX;
        sender.send(ID, &Request::Resume { client: self.client, token }).map_err(ConnectionError::Io)?;
        loop {
            let frame = receiver.recv(WAITED_REPLY_DEADLINE).map_err(ConnectionError::Recv)?;
            let reply = frame.message::<Reply>().map_err(ConnectionError::Decode)?;
            match reply {
                push if frame.request == UNASKED => self.tell_push(push),
                Reply::LoggedIn { token, .. } => {
                    self.state.renew_token(token);
                    return Ok(());
                }
                Reply::Refused { code, about } => {
                    let refusal = Refusal::received(code, &about);
                    if refusal.code != Code::SessionEnded {
                        return Err(ConnectionError::Refused(refusal));
                    }
                    self.state.forget_session();
                    self.tell(LinkEvent::SessionLost(refusal));
                    return Ok(());
                }
                _ => return Err(ConnectionError::Unexpected),
            }
        }
    }

    /// Reads until the connection ends. Returns the reason.
    fn read(&self, mut receiver: FrameReceiver, sender: &FrameSender) -> ConnectionError {
        let why = loop {
            let frame = match receiver.recv(IDLE_DEADLINE) {
                Ok(frame) => frame,
                Err(RecvError::Closed) if sender.is_over() => break ConnectionError::Silent,
                Err(RecvError::Closed) => break ConnectionError::Closed,
                Err(error) => break ConnectionError::Recv(error),
            };
            let reply = match frame.message::<Reply>() {
                Ok(reply) => reply,
                Err(error) => break ConnectionError::Decode(error),
            };
            if frame.request != UNASKED {
                self.state.hand_over(frame.request, reply);
            } else if let Reply::Refused { code, about } = reply {
                break ConnectionError::Refused(Refusal::received(code, &about));
            } else {
                self.tell_push(reply);
            }
        };
        sender.end();
        self.state.disconnected();
        why
    }

    fn tell_push(&self, push: Reply) {
        self.tell(LinkEvent::Push(self.state.login(), push));
    }

    fn tell(&self, event: LinkEvent) {
        // No thread receives any more when the client is closing.
        let _ = self.events.send(event);
    }
}
