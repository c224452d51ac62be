//! The state of the link to the trackers: the connection, the waiting callers, and whether it is closing.

use super::error::{ConnectionError, RpcError};
use super::pending::{OnReply, PendingReplies, ReplyTo};
use super::request_window::RequestWindow;
use crate::model::digest::Fingerprint;
use crate::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use crate::wire::codec::Blob;
use crate::wire::connection::FrameSender;
use crate::wire::deadlines::REPLY_DEADLINE;
use crate::wire::frame;
use crossbeam_channel::{self as channel, select};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a request waits for a tracker to be reached at all.
const REACH_DEADLINE: Duration = Duration::from_secs(5);
/// How long a request still waits for its reply once the client is closing.
const FAREWELL: Duration = Duration::from_secs(1);

/// The token with which a session is resumed.
pub(super) type Token = Blob<TOKEN_LEN_MAX>;

struct TrackerConnection {
    sender: Arc<FrameSender>,
    addr: SocketAddr,
    /// The number of the connection, so the loss of an old one does not end a new one.
    generation: u64,
}

#[derive(Default)]
struct LinkFields {
    live: Option<TrackerConnection>,
    token: Option<Token>,
    /// The number of the login, so a message to one login is never taken for a message to the next.
    login: u64,
    fingerprint: Option<Fingerprint>,
    replies: PendingReplies,
    generation: u64,
    /// Why the last round over all trackers failed; `None` before that.
    failure: Option<String>,
    closing: bool,
    /// The socket of the connection in the making.
    connecting: Option<Arc<TcpStream>>,
}

/// A request that has left and has no reply yet.
struct RequestUnderWay {
    id: u32,
    reply: channel::Receiver<Reply>,
    /// The length of its frame, in bytes.
    len: usize,
    sent: Instant,
}

/// A begun request. Dropping this ends the wait for its reply.
pub struct BegunRequest {
    state: Arc<LinkState>,
    id: u32,
}

impl Drop for BegunRequest {
    fn drop(&mut self) {
        let waiting = self.state.fields.lock().replies.give_up(self.id);
        // Outside of the lock.
        drop(waiting);
    }
}

impl fmt::Debug for BegunRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BegunRequest").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The state that the keeper and the callers share. No thread holds its lock during I/O.
pub(super) struct LinkState {
    fields: Mutex<LinkFields>,
    changed: Condvar,
    /// The sender is dropped when the client is closing. From then on callers wait for a reply only briefly.
    open: Mutex<Option<channel::Sender<Infallible>>>,
    closed: channel::Receiver<Infallible>,
}

/// The part for callers.
impl LinkState {
    pub(super) fn new() -> Self {
        let (open, closed) = channel::bounded(0);
        Self { fields: Mutex::default(), changed: Condvar::new(), open: Mutex::new(Some(open)), closed }
    }

    /// The fingerprint of the trackers, once one was reached.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        self.fields.lock().fingerprint
    }

    /// The currently connected tracker.
    pub(super) fn tracker(&self) -> Option<SocketAddr> {
        self.fields.lock().live.as_ref().map(|live| live.addr)
    }

    /// The connection and its number. Waits a little for one, unless the user has given up.
    pub(super) fn reach(&self) -> Result<(Arc<FrameSender>, u64), RpcError> {
        let until = Instant::now() + REACH_DEADLINE;
        let mut fields = self.fields.lock();
        loop {
            if fields.replies.is_cancelled() {
                return Err(RpcError::Cancelled);
            }
            if let Some(live) = &fields.live {
                return Ok((live.sender.clone(), live.generation));
            }
            let failure = fields.failure.clone();
            let over = fields.closing || self.changed.wait_until(&mut fields, until).timed_out();
            // After a failed round over all trackers, no caller waits for the next round.
            if let Some(why) = failure.filter(|_| fields.live.is_none() && !fields.replies.is_cancelled()) {
                return Err(RpcError::NoTracker(why));
            }
            if over {
                return Err(RpcError::NoTracker("no answer in time".into()));
            }
        }
    }

    /// Sends all requests without a reply in `replies`, and adds their replies in order. No request waits for the
    /// replies before it. Returns false if the connection is lost or the tracker is silent; then some replies are
    /// missing.
    pub(super) fn ask_all(
        &self,
        sender: &FrameSender,
        requests: &[Request],
        replies: &mut Vec<Reply>,
    ) -> Result<bool, RpcError> {
        let mut under_way = VecDeque::new();
        let answered = self.ask_in_turn(sender, requests, replies, &mut under_way);
        let mut fields = self.fields.lock();
        under_way.iter().for_each(|request| drop(fields.replies.give_up(request.id)));
        answered
    }

    fn ask_in_turn(
        &self,
        sender: &FrameSender,
        requests: &[Request],
        replies: &mut Vec<Reply>,
        under_way: &mut VecDeque<RequestUnderWay>,
    ) -> Result<bool, RpcError> {
        let mut window = RequestWindow::new();
        while replies.len() < requests.len() {
            while let Some(request) = requests.get(replies.len() + under_way.len()).filter(|_| window.has_room()) {
                let (id, reply) = self.expect_reply(request)?;
                let frame = frame::of(id, request);
                window.sent(frame.len());
                under_way.push_back(RequestUnderWay { id, reply, len: frame.len(), sent: Instant::now() });
                if sender.send_frame(&frame).is_err() {
                    return Ok(false);
                }
            }
            let reply = under_way.front().and_then(|first| self.await_reply(&first.reply));
            let (Some(reply), Some(first)) = (reply, under_way.pop_front()) else { return Ok(false) };
            window.replied(first.len, first.sent.elapsed());
            replies.push(reply);
        }
        Ok(true)
    }

    /// Sends a request without waiting. Returns `None` without a connection, or if too much data waits on it. Only the
    /// end of the connection or of the returned value ends the wait for the reply.
    pub(super) fn begin(self: &Arc<Self>, request: &Request, on_reply: OnReply) -> Option<BegunRequest> {
        let (sender, id) = {
            let mut fields = self.fields.lock();
            let sender = fields.live.as_ref()?.sender.clone();
            (sender, fields.replies.expect_with(ReplyTo::Callback(on_reply), request, Instant::now()))
        };
        let begun = BegunRequest { state: self.clone(), id };
        sender.queue(id, request).ok()?;
        sender.flush();
        Some(begun)
    }

    /// The id for a request, and the channel of its reply. Fails if the user has given up.
    fn expect_reply(&self, request: &Request) -> Result<(u32, channel::Receiver<Reply>), RpcError> {
        let replies = &mut self.fields.lock().replies;
        if replies.is_cancelled() { Err(RpcError::Cancelled) } else { Ok(replies.expect(request, Instant::now())) }
    }

    /// The reply; `None` if the connection is lost, or if the tracker has taken too long for the next reply.
    fn await_reply(&self, reply: &channel::Receiver<Reply>) -> Option<Reply> {
        loop {
            let (due, now) = (self.fields.lock().replies.due(), Instant::now());
            // No reply is due if this one came a moment ago and is being handed over.
            let due = due.unwrap_or(now + REPLY_DEADLINE);
            select! {
                recv(reply) -> reply => return reply.ok(),
                recv(self.closed) -> _ => return reply.recv_timeout(FAREWELL).ok(),
                default(due.saturating_duration_since(now)) => {}
            }
            if due <= now {
                return None;
            }
        }
    }

    /// Ends the connection with this number, on which a reply is missing.
    pub(super) fn lose(&self, generation: u64) {
        let mut fields = self.fields.lock();
        if let Some(live) = fields.live.take_if(|live| live.generation == generation) {
            live.sender.end();
            fields.replies.close();
        }
    }

    /// Ends the connection if `is_gone` is true of its local address. This includes a connection in the making.
    pub(super) fn end_from(&self, is_gone: impl Fn(IpAddr) -> bool) {
        let mut fields = self.fields.lock();
        if let Some(live) = fields.live.take_if(|live| live.sender.local_ip().is_some_and(&is_gone)) {
            live.sender.end();
            fields.replies.close();
        }
        let local_ip = |stream: &TcpStream| stream.local_addr().ok().map(|addr| addr.ip());
        if let Some(stream) = fields.connecting.take_if(|stream| local_ip(stream).is_some_and(&is_gone)) {
            // This fails only if the connection is already gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The number of a new login.
    pub(super) fn next_login(&self) -> u64 {
        let mut fields = self.fields.lock();
        fields.login += 1;
        fields.login
    }

    /// Ends the session here, so it is not resumed any more.
    pub(super) fn forget_session(&self) {
        self.fields.lock().token = None;
    }

    /// From now on this thread asks on behalf of the user.
    pub(super) fn begin_command(&self) {
        self.fields.lock().replies.begin_command();
    }

    /// Ends what `begin_command` began.
    pub(super) fn end_command(&self) {
        self.fields.lock().replies.end_command();
    }

    /// Ends the requests of the command. A tracker that owes a reply to one of these requests counts as lost.
    pub(super) fn cancel(&self) {
        let mut fields = self.fields.lock();
        if fields.replies.cancel() {
            fields.replies.close();
            if let Some(live) = fields.live.take() {
                live.sender.end();
            }
        }
        drop(fields);
        self.changed.notify_all();
    }

    /// Closes the link: it makes no further connection, and waits only briefly for a tracker.
    pub(super) fn close(&self) {
        let mut fields = self.fields.lock();
        fields.closing = true;
        if let Some(stream) = fields.connecting.take() {
            // This fails only if the connection is already gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(fields);
        self.open.lock().take();
        self.changed.notify_all();
    }

    /// Ends the current connection. Waiting callers get no reply.
    pub(super) fn end_connection(&self) {
        let mut fields = self.fields.lock();
        fields.replies.close();
        if let Some(live) = &fields.live {
            live.sender.end();
        }
    }
}

/// The part for the keeper.
impl LinkState {
    /// Disconnected once the link is closing.
    pub(super) fn closed(&self) -> &channel::Receiver<Infallible> {
        &self.closed
    }

    pub(super) fn is_closing(&self) -> bool {
        self.fields.lock().closing
    }

    /// The number of the last login.
    pub(super) fn login(&self) -> u64 {
        self.fields.lock().login
    }

    pub(super) fn token(&self) -> Option<Token> {
        self.fields.lock().token.clone()
    }

    /// Replaces the token with the one that the resumed session got. A logout in the meantime stands.
    pub(super) fn renew_token(&self, token: Token) {
        let mut fields = self.fields.lock();
        if fields.token.is_some() {
            fields.token = Some(token);
        }
    }

    /// Notes the socket of a connection in the making, which closing the link ends.
    ///
    /// # Errors
    /// `Closing`.
    pub(super) fn begin_connecting(&self, stream: &Arc<TcpStream>) -> Result<(), ConnectionError> {
        let mut fields = self.fields.lock();
        if fields.closing {
            return Err(ConnectionError::Closing);
        }
        fields.connecting = Some(stream.clone());
        Ok(())
    }

    pub(super) fn end_connecting(&self) {
        self.fields.lock().connecting = None;
    }

    /// Notes that the connection is ready for requests.
    ///
    /// # Errors
    /// `Closing`.
    pub(super) fn connected(
        &self,
        addr: SocketAddr,
        sender: Arc<FrameSender>,
        fingerprint: Fingerprint,
    ) -> Result<(), ConnectionError> {
        let mut fields = self.fields.lock();
        fields.generation += 1;
        fields.fingerprint = Some(fingerprint);
        fields.failure = None;
        fields.live = Some(TrackerConnection { sender, addr, generation: fields.generation });
        if fields.closing {
            return Err(ConnectionError::Closing);
        }
        drop(fields);
        self.changed.notify_all();
        Ok(())
    }

    /// Notes the end of the connection. Waiting callers see their channel closed, and ask again on the next one.
    pub(super) fn disconnected(&self) {
        let mut fields = self.fields.lock();
        fields.replies.close();
        fields.live = None;
    }

    /// Tells the waiting callers why a round over all trackers failed, and pauses before the next round.
    pub(super) fn pause_after(&self, failure: String, pause: Duration) {
        let mut fields = self.fields.lock();
        fields.failure = Some(failure);
        self.changed.notify_all();
        if !fields.closing {
            self.changed.wait_for(&mut fields, pause);
        }
    }

    /// Hands a reply over to its caller.
    pub(super) fn hand_over(&self, request: u32, reply: Reply) {
        let mut fields = self.fields.lock();
        let Some(reply_to) = fields.replies.replied(request, Instant::now()) else {
            return;
        };
        // Stores the token here, so the session goes on even if this connection is lost right after.
        match &reply {
            Reply::LoggedIn { token, .. } => fields.token = Some(token.clone()),
            // A session that was given up meanwhile is not resumed.
            Reply::Announced { token, .. } if fields.token.is_some() => fields.token = Some(token.clone()),
            _ => {}
        }
        drop(fields);
        reply_to.give(reply);
    }
}
