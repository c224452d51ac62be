//! The link to the trackers: keeps one connection to one of them, moves on to the next when it is lost, resumes the
//! session there, and carries requests from any thread.
//!
//! One thread, the keeper, connects and then reads. Whoever makes a request writes it and waits for the reply that
//! bears its id. A request whose connection is lost before the reply is made again on the next one: commands bear ids of
//! their own, so that none is carried out twice.

use super::error::RpcError;
use super::pending::{PendingReplies, REPLY_DEADLINE, reply_deadline};
use crate::model::digest::Fingerprint;
use crate::model::id::ClientId;
use crate::model::name::UserId;
use crate::sys::owned_thread::OwnedThread;
use crate::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX, refusal};
use crate::wire::codec::Blob;
use crate::wire::connection::{self, FrameReceiver, FrameSender, RecvError, TimedStream};
use crate::wire::deadlines::{HANDSHAKE_DEADLINE, IDLE_DEADLINE};
use crate::wire::error::{Code, Refusal};
use crate::wire::frame::{FRAME_LEN_MAX, UNASKED};
use crate::wire::handshake::{self, HandshakeError};
use crossbeam_channel::{self as channel, select};
use parking_lot::{Condvar, Mutex};
use std::convert::Infallible;
use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A tracker accepts the connection within this time or counts as unreachable.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long a request whose connection was lost is made again on the next one.
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How long a step of connecting may take while another tracker is left to be tried; doubled after each round in vain.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a request waits for a tracker to be reached at all.
const REACH_DEADLINE: Duration = Duration::from_secs(5);
/// How long a request still waits for its reply once the client is closing.
const FAREWELL: Duration = Duration::from_secs(1);
/// Shortest and longest pause after all trackers were tried in vain.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// What the link tells the rest of the client.
#[derive(Debug)]
pub enum LinkEvent {
    /// A tracker was reached again and has resumed the session, if there is one. If `Down` has not told: what was lost, why.
    Up(SocketAddr, Option<(SocketAddr, String)>),
    /// The tracker was lost, for this reason, and no other was reached at once.
    Down(SocketAddr, String),
    /// The session could not be resumed: the user has to log in again.
    SessionLost(Refusal),
    /// Something the tracker said unasked, during the login of this number.
    Push(u64, Reply),
    /// The account of a login is there: what was said to it before can be dealt with now.
    Arrived,
}

/// Decides whether the trackers with this fingerprint are the right ones; the text says why not.
pub type CheckFingerprint = Box<dyn Fn(Fingerprint) -> Result<(), String> + Send + Sync>;

struct TrackerConnection {
    sender: Arc<FrameSender>,
    addr: SocketAddr,
    /// Tells connections apart, so that the loss of an old one does not end a new one.
    generation: u64,
}

#[derive(Default)]
struct LinkState {
    live: Option<TrackerConnection>,
    token: Option<Blob<TOKEN_LEN_MAX>>,
    /// Counts the logins, so that what is said to one is never taken as said to the next.
    login: u64,
    fingerprint: Option<Fingerprint>,
    replies: PendingReplies,
    generation: u64,
    /// Why the trackers could not be reached the last time all were tried; none before that.
    failure: Option<String>,
    closing: bool,
    /// The socket on which a connection is being made.
    connecting: Option<Arc<TcpStream>>,
}

struct LinkShared {
    // Immutable.
    trackers: Vec<SocketAddr>,
    client: ClientId,
    check: CheckFingerprint,
    events: channel::Sender<LinkEvent>,
    // Locked.
    state: Mutex<LinkState>,
    changed: Condvar,
    /// The sender is dropped when the client is closing: whoever waits for a reply then does so for a short time only.
    open: Mutex<Option<channel::Sender<Infallible>>>,
    closed: channel::Receiver<Infallible>,
}

/// The link. Dropping it ends the connection and the keeper.
pub struct TrackerLink {
    shared: Arc<LinkShared>,
    keeper: OwnedThread,
}

impl TrackerLink {
    /// Begins to connect. Events go to `events`, whose receiver must be drained.
    pub fn start(
        trackers: Vec<SocketAddr>,
        client: ClientId,
        check: CheckFingerprint,
        events: channel::Sender<LinkEvent>,
    ) -> std::io::Result<Self> {
        let (open, closed) = channel::bounded(0);
        let (state, changed, open) = (Mutex::default(), Condvar::new(), Mutex::new(Some(open)));
        let shared = Arc::new(LinkShared { trackers, client, check, events, state, changed, open, closed });
        let keeper = OwnedThread::start("tracker-link", {
            let shared = shared.clone();
            move || shared.keep()
        })?;
        Ok(Self { shared, keeper })
    }

    /// The fingerprint of the trackers, as soon as one was reached; waits a little for that.
    pub fn fingerprint(&self) -> Result<Fingerprint, RpcError> {
        let known = || self.shared.state.lock().fingerprint;
        if known().is_none() {
            self.shared.reach()?;
        }
        known().ok_or(RpcError::Unexpected)
    }

    /// The tracker that is connected now.
    pub fn tracker(&self) -> Option<SocketAddr> {
        self.shared.state.lock().live.as_ref().map(|live| live.addr)
    }

    /// Makes a request and waits for its reply. A refusal is an error.
    pub fn call(&self, request: &Request) -> Result<Reply, RpcError> {
        let until = Instant::now() + CALL_DEADLINE;
        loop {
            let (sender, generation) = self.shared.reach()?;
            match self.shared.ask(&sender, request)? {
                Some(Reply::Refused { code, about }) => return Err(refusal(code, &about).into()),
                Some(reply) => return Ok(reply),
                None => self.shared.lost(generation),
            }
            if Instant::now() >= until {
                return Err(RpcError::NoTracker("it does not answer".into()));
            }
        }
    }

    /// Logs in; the session is resumed by itself on every later connection. Gives the name and the login's number.
    pub fn log_in(&self, request: &Request) -> Result<(UserId, u64), RpcError> {
        let login = {
            let mut state = self.shared.state.lock();
            state.login += 1;
            state.login
        };
        self.renew(request).map(|user| (user, login))
    }

    /// Makes a request that is answered with a new token.
    pub fn renew(&self, request: &Request) -> Result<UserId, RpcError> {
        match self.call(request)? {
            Reply::LoggedIn { user, .. } => Ok(user),
            _ => Err(RpcError::Unexpected),
        }
    }

    /// Says that the account of the login is there.
    pub fn arrived(&self) {
        self.shared.tell(LinkEvent::Arrived);
    }

    /// Ends the session here and at the tracker.
    pub fn log_out(&self) {
        self.forget_session();
        // The tracker drops the login with the connection anyway, should it not be reached.
        let _ = self.call(&Request::Logout {});
    }

    /// Carries out a command of the user, who may cancel what it asks.
    pub fn for_user<T>(&self, command: impl FnOnce() -> T) -> T {
        self.shared.state.lock().replies.begin_command();
        let done = command();
        self.shared.state.lock().replies.end_command();
        done
    }

    /// The user does not want to wait any longer: what the command asks ends now, and a tracker that owes it a reply counts
    /// as lost. Whoever else asks something goes on.
    pub fn cancel(&self) {
        let mut state = self.shared.state.lock();
        if state.replies.cancel() {
            state.replies.close();
            if let Some(live) = state.live.take() {
                live.sender.end();
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// The client is closing: no further connection is made, and a tracker that does not answer is not waited for.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closing = true;
        if let Some(stream) = state.connecting.take() {
            // Fails only if the connection is gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.open.lock().take();
        self.shared.changed.notify_all();
    }

    /// Ends the session here: it is not resumed any more.
    pub fn forget_session(&self) {
        self.shared.state.lock().token = None;
    }
}

impl Drop for TrackerLink {
    fn drop(&mut self) {
        self.close();
        {
            let mut state = self.shared.state.lock();
            state.replies.close();
            if let Some(live) = &state.live {
                live.sender.end();
            }
        }
        self.keeper.join();
    }
}

impl fmt::Debug for TrackerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackerLink").field("trackers", &self.shared.trackers).finish_non_exhaustive()
    }
}

impl LinkShared {
    /// The connection, waiting a little for one; not for a user who has given up.
    fn reach(&self) -> Result<(Arc<FrameSender>, u64), RpcError> {
        let until = Instant::now() + REACH_DEADLINE;
        let mut state = self.state.lock();
        loop {
            if state.replies.is_cancelled() {
                return Err(RpcError::Cancelled);
            }
            if let Some(live) = &state.live {
                return Ok((live.sender.clone(), live.generation));
            }
            let failure = state.failure.clone();
            let over = state.closing || self.changed.wait_until(&mut state, until).timed_out();
            // Once all trackers were tried in vain, nobody is kept waiting for the next round.
            if let Some(why) = failure.filter(|_| state.live.is_none() && !state.replies.is_cancelled()) {
                return Err(RpcError::NoTracker(why));
            }
            if over {
                return Err(RpcError::NoTracker("no answer in time".into()));
            }
        }
    }

    /// Sends a request and waits for the reply; none if the connection is lost or the tracker is silent.
    fn ask(&self, sender: &FrameSender, request: &Request) -> Result<Option<Reply>, RpcError> {
        let (id, reply) = {
            let replies = &mut self.state.lock().replies;
            if replies.is_cancelled() {
                return Err(RpcError::Cancelled);
            }
            replies.expect()
        };
        let answer = match sender.send(id, request) {
            Ok(()) => self.await_reply(&reply, reply_deadline(request)),
            Err(_) => None,
        };
        self.state.lock().replies.take(id);
        Ok(answer)
    }

    fn await_reply(&self, reply: &channel::Receiver<Reply>, deadline: Duration) -> Option<Reply> {
        select! {
            recv(reply) -> reply => reply.ok(),
            recv(self.closed) -> _ => reply.recv_timeout(FAREWELL).ok(),
            default(deadline) => None,
        }
    }

    /// Ends a connection that was lost.
    fn lost(&self, generation: u64) {
        let mut state = self.state.lock();
        if let Some(live) = state.live.take_if(|live| live.generation == generation) {
            live.sender.end();
            state.replies.close();
        }
    }

    fn keep(&self) {
        let mut order = self.trackers.clone();
        let (mut pause, mut patience) = (PAUSE.0, PATIENCE);
        let (mut was_up, mut lost) = (false, None);
        loop {
            match self.connect_first(&order, patience) {
                Ok((addr, receiver, sender)) => {
                    if was_up {
                        self.tell(LinkEvent::Up(addr, lost.take()));
                    }
                    (was_up, pause, patience) = (true, PAUSE.0, PATIENCE);
                    lost = Some((addr, self.read(receiver, &sender)));
                    // As the list has them, so that a preferred one is come back to; the one that was lost is the last.
                    order.clone_from(&self.trackers);
                    order.sort_by_key(|other| *other == addr);
                }
                Err(why) => {
                    if let Some((addr, why)) = lost.take() {
                        self.tell(LinkEvent::Down(addr, why));
                    }
                    self.failed(why, pause);
                    pause = (pause * 2).min(PAUSE.1);
                    patience = (patience * 2).min(REPLY_DEADLINE);
                }
            }
            if self.state.lock().closing {
                return;
            }
        }
    }

    /// Connects to the first tracker that can be reached; says why none can. One that hangs keeps from the next for
    /// `patience` and no longer.
    fn connect_first(
        &self,
        order: &[SocketAddr],
        patience: Duration,
    ) -> Result<(SocketAddr, FrameReceiver, Arc<FrameSender>), String> {
        let mut failures = Vec::new();
        for (place, &addr) in order.iter().enumerate() {
            let is_last = place + 1 == order.len();
            let connected = self.connect(addr, if is_last { REPLY_DEADLINE } else { patience });
            self.state.lock().connecting = None;
            match connected {
                Ok((receiver, sender)) => return Ok((addr, receiver, sender)),
                Err(why) => failures.push(format!("{addr}: {why}")),
            }
            if self.state.lock().closing {
                break;
            }
        }
        Err(failures.join("; "))
    }

    fn failed(&self, why: String, pause: Duration) {
        let mut state = self.state.lock();
        state.failure = Some(why);
        self.changed.notify_all();
        if !state.closing {
            self.changed.wait_for(&mut state, pause);
        }
    }

    fn tell(&self, event: LinkEvent) {
        // Nobody listens any more when the client is closing.
        let _ = self.events.send(event);
    }

    /// Connects to one tracker and resumes the session; the connection is ready for requests then.
    fn connect(&self, addr: SocketAddr, patience: Duration) -> Result<(FrameReceiver, Arc<FrameSender>), String> {
        let stream =
            TcpStream::connect_timeout(&addr, CONNECT_DEADLINE.min(patience)).map_err(|error| match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
                std::io::ErrorKind::TimedOut => "no answer in time".to_owned(),
                _ => error.to_string(),
            })?;
        let stream = Arc::new(stream);
        {
            let mut state = self.state.lock();
            if state.closing {
                return Err("closing".into());
            }
            state.connecting = Some(stream.clone());
        }
        let handshake = handshake::client_to_tracker(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE.min(patience)));
        let (keys, fingerprint) = handshake.map_err(|error: HandshakeError| error.to_string())?;
        (self.check)(fingerprint)?;
        let (mut receiver, sender) =
            connection::split(stream, keys, FRAME_LEN_MAX, false).map_err(|error| error.to_string())?;
        let token = self.state.lock().token.clone();
        if let Some(token) = token {
            self.resume(&mut receiver, &sender, token, patience)?;
        }
        let mut state = self.state.lock();
        state.generation += 1;
        state.fingerprint = Some(fingerprint);
        state.failure = None;
        state.live = Some(TrackerConnection { sender: sender.clone(), addr, generation: state.generation });
        if state.closing {
            return Err("closing".into());
        }
        drop(state);
        self.changed.notify_all();
        Ok((receiver, sender))
    }

    fn resume(
        &self,
        receiver: &mut FrameReceiver,
        sender: &FrameSender,
        token: Blob<TOKEN_LEN_MAX>,
        patience: Duration,
    ) -> Result<(), String> {
        const ID: u32 = u32::MAX;
        sender.send(ID, &Request::Resume { client: self.client, token }).map_err(|error| error.to_string())?;
        loop {
            let frame = receiver.recv(patience).map_err(|error| error.to_string())?;
            let reply = frame.message::<Reply>().map_err(|error| error.to_string())?;
            match reply {
                push if frame.request == UNASKED => self.tell_push(push),
                Reply::LoggedIn { token, .. } => {
                    let mut state = self.state.lock();
                    // A logout in the meantime stands.
                    if state.token.is_some() {
                        state.token = Some(token);
                    }
                    return Ok(());
                }
                Reply::Refused { code, about } => {
                    let refusal = refusal(code, &about);
                    if refusal.code != Code::SessionEnded {
                        return Err(refusal.to_string());
                    }
                    self.state.lock().token = None;
                    self.tell(LinkEvent::SessionLost(refusal));
                    return Ok(());
                }
                _ => return Err(RpcError::Unexpected.to_string()),
            }
        }
    }

    /// Reads until the connection ends; says why it did.
    fn read(&self, mut receiver: FrameReceiver, sender: &Arc<FrameSender>) -> String {
        let why = loop {
            let frame = match receiver.recv(IDLE_DEADLINE) {
                Ok(frame) => frame,
                Err(RecvError::Closed) if sender.is_over() => break "it did not answer".to_owned(),
                Err(RecvError::Closed) => break "it closed the connection".to_owned(),
                Err(error) => break error.to_string(),
            };
            let reply = match frame.message::<Reply>() {
                Ok(reply) => reply,
                Err(error) => break error.to_string(),
            };
            if frame.request != UNASKED {
                self.hand_over(frame.request, reply);
            } else if let Reply::Refused { code, about } = reply {
                break refusal(code, &about).to_string();
            } else {
                self.tell_push(reply);
            }
        };
        sender.end();
        let mut state = self.state.lock();
        // Those who wait see their channel closed, and ask again on the next connection.
        state.replies.close();
        state.live = None;
        why
    }

    fn tell_push(&self, push: Reply) {
        let login = self.state.lock().login;
        self.tell(LinkEvent::Push(login, push));
    }

    /// Gives a reply to the one who asked.
    fn hand_over(&self, request: u32, reply: Reply) {
        let mut state = self.state.lock();
        if let Some(reply_to) = state.replies.take(request) {
            // Kept here, so that the session goes on even if this connection is lost right after.
            if let Reply::LoggedIn { token, .. } = &reply {
                state.token = Some(token.clone());
            }
            // The one who asked may have given up; then the reply is of no use.
            let _ = reply_to.try_send(reply);
        }
    }
}
