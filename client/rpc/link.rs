//! The link to the trackers: one connection to one of them, on which any thread makes requests.
//!
//! One thread, the keeper, connects and then reads. It moves on to the next tracker when the connection is lost, and
//! resumes the session there. Whoever makes a request writes it and waits for the reply that bears its id; whoever makes
//! many writes further ones meanwhile. A request whose connection is lost before the reply is made again on the next
//! one. Commands bear ids of their own, so no tracker carries one out twice.

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

/// How long a request whose connection was lost is made again on others.
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// The link. Dropping it ends the connection and the keeper.
pub struct TrackerLink {
    state: Arc<LinkState>,
    events: channel::Sender<LinkEvent>,
    keeper: OwnedThread,
}

impl TrackerLink {
    /// Begins to connect, by `connect`. Events go to `events`, whose receiver must be drained.
    ///
    /// # Errors
    /// There is no room for a thread.
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

    /// The fingerprint of the trackers, as soon as one was reached; waits a little for that.
    pub fn fingerprint(&self) -> Result<Fingerprint, RpcError> {
        if self.state.fingerprint().is_none() {
            self.state.reach()?;
        }
        self.state.fingerprint().ok_or(RpcError::Unexpected)
    }

    /// The tracker that is connected now.
    pub fn tracker(&self) -> Option<SocketAddr> {
        self.state.tracker()
    }

    /// Makes a request and waits for its reply. A refusal is an error.
    pub fn call(&self, request: &Request) -> Result<Reply, RpcError> {
        let replies = self.call_all(std::slice::from_ref(request))?;
        replies.into_iter().next().ok_or(RpcError::Unexpected)?.map_err(RpcError::from)
    }

    /// Makes many requests, each without waiting for the reply to the one before. Gives their replies in order. A refusal
    /// is the answer to its own request, and the others go on.
    ///
    /// The tracker answers others of this client behind what is under way, so how much that is has a bound. It suits
    /// questions and holdings; each change waits for the tracker's disk.
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

    /// Asks without waiting; the link may end meanwhile.
    pub fn caller(&self) -> TrackerCaller {
        TrackerCaller { state: self.state.clone() }
    }

    /// Logs in; the session is resumed by itself on every later connection. Gives the name and the login's number.
    pub fn log_in(&self, request: &Request) -> Result<(UserId, u64), RpcError> {
        let login = self.state.next_login();
        self.renew(request).map(|user| (user, login))
    }

    /// Makes a request that is answered with a new token.
    pub fn renew(&self, request: &Request) -> Result<UserId, RpcError> {
        match self.call(request)? {
            Reply::LoggedIn { user, .. } => Ok(user),
            _ => Err(RpcError::Unexpected),
        }
    }

    /// Says that the session of the login is there.
    pub fn arrived(&self) {
        // Nobody listens any more when the client is closing.
        let _ = self.events.send(LinkEvent::Arrived);
    }

    /// Ends the session here and at the tracker.
    pub fn log_out(&self) {
        // As long as the tracker has not answered, a lost connection is resumed: it is to end the session, too. If none
        // can be reached, the tokens live out their day, and nobody has them.
        let _ = self.call(&Request::Logout {});
        self.forget_session();
    }

    /// Carries out a command of the user, who may cancel what it asks.
    pub fn for_user<T>(&self, command: impl FnOnce() -> T) -> T {
        self.state.begin_command();
        let done = command();
        self.state.end_command();
        done
    }

    /// The user does not want to wait any longer: what the command asks ends now, and a tracker that owes it a reply counts
    /// as lost. Whoever else asks something goes on.
    pub fn cancel(&self) {
        self.state.cancel();
    }

    /// Ends the connection if it is from such an address, which this machine has no more.
    pub(crate) fn end_from(&self, is_gone: impl Fn(IpAddr) -> bool) {
        self.state.end_from(is_gone);
    }

    /// The client is closing: no further connection is made, and a tracker that does not answer is not waited for.
    pub fn close(&self) {
        self.state.close();
    }

    /// Ends the session here: it is not resumed any more.
    pub fn forget_session(&self) {
        self.state.forget_session();
    }
}

/// Asks the tracker that is connected, and never waits.
#[derive(Clone)]
pub struct TrackerCaller {
    state: Arc<LinkState>,
}

impl TrackerCaller {
    /// Makes a request, also of a tracker that hangs. `on_reply` gets the reply on the thread that reads; it is dropped
    /// without one when the connection or what this gives ends before. `None` if no tracker is connected.
    pub fn begin(&self, request: &Request, on_reply: OnReply) -> Option<BegunRequest> {
        self.state.begin(request, on_reply)
    }

    /// The tracker that is connected now.
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

    /// Asks a tracker that hangs, and the far end of the connection to it.
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
