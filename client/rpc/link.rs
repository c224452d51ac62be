//! The link to the trackers: one connection to one of them, on which any thread makes requests.
//!
//! One thread, the keeper, connects and then reads. After a lost connection it moves on to the next tracker, and
//! resumes the session there. A caller writes its request and waits for the reply with its id. A caller with many
//! requests writes further ones meanwhile. If the connection is lost before the reply, the request goes out again on
//! the next one. Commands have ids of their own, so no tracker carries one out twice.

use super::error::RpcError;
use super::event::LinkEvent;
use super::keeper::{CheckFingerprint, Connect, Keeper};
pub use super::link_state::BegunRequest;
use super::link_state::LinkState;
pub use super::pending::OnReply;
use crate::model::address::TrackerAddr;
use crate::model::digest::Fingerprint;
use crate::model::id::ClientId;
use crate::model::name::UserId;
use crate::sys::owned_thread::OwnedThread;
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::refusal::Refusal;
use crossbeam_channel as channel;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a request is repeated on further connections after a lost one.
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// The link. Dropping it ends the connection and the keeper.
pub struct TrackerLink {
    state: Arc<LinkState>,
    events: channel::Sender<LinkEvent>,
    keeper: OwnedThread,
}

impl TrackerLink {
    /// Begins to connect, through `connect`. Events go to `events`, whose receiver must be drained.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub fn start(
        trackers: Vec<TrackerAddr>,
        client: ClientId,
        connect: Connect,
        check: CheckFingerprint,
        events: channel::Sender<LinkEvent>,
    ) -> io::Result<Self> {
        let state = Arc::new(LinkState::new());
        let keeper = Keeper { trackers, client, connect, check, events: events.clone(), state: state.clone() };
        let keeper = OwnedThread::start("tracker-link", move || keeper.run())?;
        Ok(Self { state, events, keeper })
    }

    /// The fingerprint of the trackers, once one was reached. Waits a little for that.
    pub fn fingerprint(&self) -> Result<Fingerprint, RpcError> {
        if self.state.fingerprint().is_none() {
            self.state.reach()?;
        }
        self.state.fingerprint().ok_or(RpcError::Unexpected)
    }

    /// The currently connected tracker.
    pub fn tracker(&self) -> Option<SocketAddr> {
        self.state.tracker()
    }

    /// Makes a request and waits for its reply. A refusal is an error.
    pub fn call(&self, request: &Request) -> Result<Reply, RpcError> {
        let replies = self.call_all(std::slice::from_ref(request))?;
        replies.into_iter().next().ok_or(RpcError::Unexpected)?.map_err(RpcError::from)
    }

    /// Makes many requests, each without waiting for the reply to the one before. Returns the replies in order. A
    /// refusal is the answer to its own request, and the others go on.
    ///
    /// The tracker answers other requests of this client only after those under way, so their number is bounded. This
    /// call suits questions and holdings. A change waits for the tracker's disk each time.
    pub fn call_all(&self, requests: &[Request]) -> Result<Vec<Result<Reply, Refusal>>, RpcError> {
        let mut replies = Vec::with_capacity(requests.len());
        let mut until = None;
        while replies.len() < requests.len() {
            let (sender, generation) = self.state.reach()?;
            let answered = replies.len();
            if self.state.ask_all(&sender, requests, &mut replies)? {
                break;
            }
            self.state.lose(generation);
            let now = Instant::now();
            if replies.len() > answered {
                until = None;
            }
            if now >= *until.get_or_insert(now + CALL_DEADLINE) {
                return Err(RpcError::NoTracker("it does not answer".into()));
            }
        }
        let refusals = replies.into_iter().map(|reply| match reply {
            Reply::Refused { code, about } => Err(Refusal::received(code, &about)),
            reply => Ok(reply),
        });
        Ok(refusals.collect())
    }

    /// Makes requests without waiting. The link may end meanwhile.
    pub fn caller(&self) -> TrackerCaller {
        TrackerCaller { state: self.state.clone() }
    }

    /// Logs in. Every later connection resumes the session by itself. Returns the user's name and the login's number.
    pub fn log_in(&self, request: &Request) -> Result<(UserId, u64), RpcError> {
        let login = self.state.next_login();
        self.renew(request).map(|user| (user, login))
    }

    /// Makes a request whose answer has a new token.
    pub fn renew(&self, request: &Request) -> Result<UserId, RpcError> {
        match self.call(request)? {
            Reply::LoggedIn { user, .. } => Ok(user),
            _ => Err(RpcError::Unexpected),
        }
    }

    /// Says that the session of the login exists.
    pub fn arrived(&self) {
        // No thread receives any more when the client is closing.
        let _ = self.events.send(LinkEvent::Arrived);
    }

    /// Ends the session here and at the tracker.
    pub fn log_out(&self) {
        // Until the tracker has answered, a lost connection is resumed, because the logout must end the session there
        // too. If no tracker can be reached, the tokens expire within a day, and no client has them any more.
        let _ = self.call(&Request::Logout {});
        self.forget_session();
    }

    /// Carries out a command of the user, who may cancel its requests.
    pub fn for_user<T>(&self, command: impl FnOnce() -> T) -> T {
        self.state.begin_command();
        let done = command();
        self.state.end_command();
        done
    }

    /// Ends the requests of the command, because the user does not want to wait. A tracker that owes a reply to one of
    /// these requests counts as lost. Other callers go on.
    pub fn cancel(&self) {
        self.state.cancel();
    }

    /// Ends the connection if it is from an address that this machine has lost.
    pub(crate) fn end_from(&self, is_gone: impl Fn(IpAddr) -> bool) {
        self.state.end_from(is_gone);
    }

    /// Closes the link: it makes no further connection, and waits only briefly for a tracker.
    pub fn close(&self) {
        self.state.close();
    }

    /// Ends the session here, so it is not resumed any more.
    pub fn forget_session(&self) {
        self.state.forget_session();
    }
}

/// Asks the connected tracker, and never waits.
#[derive(Clone)]
pub struct TrackerCaller {
    state: Arc<LinkState>,
}

impl TrackerCaller {
    /// Makes a request, even to a hanging tracker. `on_reply` gets the reply on the reading thread. If the connection
    /// or the returned value ends before, `on_reply` is dropped without one. Returns `None` if no tracker is connected.
    pub fn begin(&self, request: &Request, on_reply: OnReply) -> Option<BegunRequest> {
        self.state.begin(request, on_reply)
    }

    /// The currently connected tracker.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.state.tracker()
    }
}

impl fmt::Debug for TrackerCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackerCaller").finish_non_exhaustive()
    }
}

impl Drop for TrackerLink {
    fn drop(&mut self) {
        self.state.close();
        self.state.end_connection();
        self.keeper.join();
    }
}

impl fmt::Debug for TrackerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackerLink").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::connection;
    use crate::wire::frame::FRAME_LEN_MAX;
    use crate::wire::handshake::tests::keys;
    use std::net::{TcpListener, TcpStream};

    /// A caller of a hanging tracker, and the far end of the connection to it.
    pub(crate) fn caller_of_one_that_hangs() -> (TrackerCaller, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(addr).expect("it listens");
        let (far, _) = listener.accept().expect("connected");
        let (_receiver, sender) = connection::split(stream, keys().0, FRAME_LEN_MAX, false).expect("a socket");
        let state = Arc::new(LinkState::new());
        state.connected(addr, sender, Fingerprint([0; 32])).expect("it is open");
        (TrackerCaller { state }, far)
    }
}
