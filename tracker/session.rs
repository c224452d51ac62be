//! One client's session: requests come in, each gets its reply. The binary dialect is spoken here from the handshake to
//! the end of the connection; another dialect asks with `Session::ask`.

mod account;
mod group;
mod hello;
mod owed;
mod peers;
mod share;

use crate::model::id::{CommandId, OpId, UserRef};
use crate::tracker::admission::ConnectionSlot;
use crate::tracker::commit::Pending;
use crate::tracker::core::Core;
use crate::tracker::ledger::accept::Change;
use crate::tracker::manifests::ManifestUpload;
use crate::tracker::presence::{TTL, Ticket};
use crate::tracker::push::close_handle::CloseHandle;
use crate::tracker::push::push_channel::PushChannel;
use crate::tracker::replication::link;
use crate::tracker::state::State;
use crate::wire::channel::ChannelError;
use crate::wire::client_tracker::{PAGE_MAX, Reply, Request};
use crate::wire::codec::{DecodeError, List};
use crate::wire::connection::{self, FrameReceiver, FrameSender, RecvError, TimedStream};
use crate::wire::error::{Code, Refusal};
use crate::wire::frame::{EARLY_FRAME_LEN_MAX, FRAME_LEN_MAX, UNASKED};
use crate::wire::handshake::Accepted;
use owed::Owed;
use snow::StatelessTransportState;
use std::io::Read;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long the far side may take to read a last reply before the connection is closed under it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Who is logged in on a connection, and what has begun there.
pub(crate) struct Session {
    core: Arc<Core>,
    push_channel: Arc<dyn PushChannel>,
    /// Where the client is.
    ip: IpAddr,
    slot: ConnectionSlot,
    login: Option<Login>,
    upload: Option<ManifestUpload>,
    /// Set by a login: the state whose notices the client is to be told after the reply.
    welcome: Option<Arc<State>>,
    /// Set by a change that is not durable yet: the reply has to wait for it.
    pending: Option<Pending>,
}

/// A connection on which the binary dialect is spoken.
struct Conversation {
    session: Session,
    sender: Arc<FrameSender>,
    owed: Arc<Owed>,
}

/// Who is logged in.
struct Login {
    ticket: Ticket,
    user: UserRef,
    /// The op that set the password with which this login was proved.
    password_set_by: OpId,
}

/// Serves a connection until it ends. Its outgoing half goes to `handle` for whoever wants to end it.
pub(crate) fn serve(core: Arc<Core>, stream: &Arc<TcpStream>, ip: IpAddr, slot: ConnectionSlot, handle: &CloseHandle) {
    let keys = match hello::accept(stream, &core.cluster_key, slot.is_reserved()) {
        Ok(Accepted::Client(keys)) => keys,
        Ok(Accepted::Tracker(keys)) => {
            serve_tracker(&core, stream, keys, slot);
            return hang_up(stream);
        }
        // Whoever was turned away has been told why; anything else is not worth a word.
        Err(_) => return hang_up(stream),
    };
    let Ok((mut receiver, sender)) = connection::split(stream.clone(), keys, EARLY_FRAME_LEN_MAX, false) else {
        return;
    };
    let push_channel: Arc<dyn PushChannel> = Arc::<FrameSender>::clone(&sender);
    handle.open(push_channel.clone());
    let owed = Owed::new(sender.clone(), core.slow_consumers.clone());
    let mut conversation = Conversation { session: Session::new(core, push_channel, ip, slot), sender, owed };
    while conversation.turn(&mut receiver) {}
    conversation.owed.settle();
    // Another thread may be about to tell the client something.
    conversation.sender.finish();
    conversation.session.log_out();
    hang_up(stream);
}

impl Drop for Session {
    /// Nobody is told anything on a connection that is gone, even if it was a panic that ended it.
    fn drop(&mut self) {
        self.log_out();
        self.push_channel.end();
    }
}

/// Serves another tracker, on a thread whose stack is deep enough to fold ops on.
fn serve_tracker(core: &Core, stream: &Arc<TcpStream>, keys: StatelessTransportState, mut slot: ConnectionSlot) {
    thread::scope(|scope| {
        let greeted = || slot.set_tracker();
        let serve = move || link::serve(core, stream, keys, None, greeted);
        let thread = thread::Builder::new().name("link".into()).spawn_scoped(scope, serve);
        // Why it has ended is told by the cluster. Without a thread the other tracker calls again.
        let _ = thread.map(thread::ScopedJoinHandle::join);
    });
}

/// Lets the far side read what was sent: a socket closed with something unread in it would take that back.
pub(super) fn hang_up(stream: &TcpStream) {
    // Fails if the connection is gone, and then there is nothing to wait for.
    let _ = stream.shutdown(Shutdown::Write);
    let mut rest = TimedStream::new(stream, FAREWELL);
    while let Ok(1..) = rest.read(&mut [0; 512]) {}
}

/// The reason for which a message cannot be taken.
fn malformed(error: &DecodeError) -> Refusal {
    let code = match error {
        DecodeError::UnknownKind(_) => Code::UnknownKind,
        DecodeError::OverCap { .. } => Code::TooLarge,
        DecodeError::Truncated
        | DecodeError::Trailing(_)
        | DecodeError::Utf8
        | DecodeError::Name(_)
        | DecodeError::Value(_) => Code::Malformed,
    };
    Refusal::about(code, error)
}

/// The reason for which bytes are no message at all.
fn out_of_frame(error: &ChannelError) -> Refusal {
    let code = match error {
        ChannelError::FrameTooLong { .. } => Code::TooLarge,
        ChannelError::Forged | ChannelError::Record | ChannelError::Framing => Code::Malformed,
    };
    Refusal::about(code, error)
}

/// Whether a connection ends with this refusal.
fn is_final(code: Code) -> bool {
    matches!(code, Code::Malformed | Code::TooLarge | Code::UnknownKind)
}

impl Conversation {
    /// Takes one request and answers it; false if the connection is to end.
    fn turn(&mut self, receiver: &mut FrameReceiver) -> bool {
        let (id, request) = match receiver.recv(TTL) {
            Ok(frame) => (frame.request, frame.message::<Request>()),
            Err(RecvError::Channel(error)) => return self.refuse_bytes(&out_of_frame(&error)),
            Err(RecvError::Decode(error)) => return self.refuse_bytes(&malformed(&error)),
            Err(RecvError::Closed | RecvError::Cut | RecvError::Idle | RecvError::Slow | RecvError::Io(_)) => {
                return false;
            }
        };
        self.owed.settle();
        if !self.session.is_heard() {
            return false;
        }
        let outcome = match request {
            Ok(_) if id == UNASKED => Err(Refusal::about(Code::Malformed, "a request has no id")),
            Ok(request) => self.session.answer(request),
            Err(error) => Err(malformed(&error)),
        };
        let go_on = !outcome.as_ref().is_err_and(|refusal| is_final(refusal.code));
        let reply = outcome.unwrap_or_else(|refusal| Reply::refused(&refusal));
        let sent = match self.session.pending.take() {
            Some(pending) => {
                self.owed.owe(id, reply, pending);
                true
            }
            None => self.sender.send(id, &reply).is_ok() && self.tell_notices(),
        };
        receiver.set_frame_len_max(if self.session.is_logged_in() { FRAME_LEN_MAX } else { EARLY_FRAME_LEN_MAX });
        sent && go_on
    }

    /// Refuses what cannot even be taken for a request; the connection ends.
    fn refuse_bytes(&self, refusal: &Refusal) -> bool {
        self.owed.settle();
        // If this does not arrive, the end of the connection says it all.
        let _ = self.sender.send(UNASKED, &Reply::refused(refusal));
        false
    }

    /// After a login: tells the notices that the user has not read; false if the connection has ended.
    fn tell_notices(&mut self) -> bool {
        let mut notices = self.session.welcome().into_iter();
        notices.all(|notice| self.sender.send(UNASKED, &notice).is_ok())
    }
}

impl Session {
    /// A session of a client at this address, on which nobody is logged in.
    pub(super) fn new(core: Arc<Core>, push_channel: Arc<dyn PushChannel>, ip: IpAddr, slot: ConnectionSlot) -> Self {
        let ip = ip.to_canonical();
        Self { core, push_channel, ip, slot, login: None, upload: None, welcome: None, pending: None }
    }

    /// Where the client is.
    pub(super) fn ip(&self) -> IpAddr {
        self.ip
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.login.is_some()
    }

    /// Carries out a request and returns when what it has changed is durable.
    pub(super) fn ask(&mut self, request: Request) -> Result<Reply, Refusal> {
        let reply = self.answer(request)?;
        self.pending.take().map_or(Ok(()), Pending::wait)?;
        // Notices wait for a client that shows them to a person.
        self.welcome = None;
        Ok(reply)
    }

    /// Takes note that the client is there. False if it was silent for so long that nobody knows of its login any more:
    /// then the connection ends, and the client says everything again on the next one.
    pub(super) fn is_heard(&mut self) -> bool {
        let Some(login) = &self.login else {
            return true;
        };
        if self.core.presence.heard(&login.ticket, Instant::now()) {
            return true;
        }
        if self.core.state().password_holds(login.user, login.password_set_by) {
            return false;
        }
        // The login is over because the password was changed elsewhere, and the client was told so.
        self.log_out();
        true
    }

    /// Carries out a request.
    fn answer(&mut self, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::CreateUser { command, user, password } => self.create_user(command, user, password),
            Request::Login { client, user, password } => self.log_in_by_password(client, &user, password),
            Request::Resume { client, token } => self.log_in_by_token(client, token.as_bytes()),
            Request::Logout {} => {
                self.user()?;
                self.log_out();
                Ok(Reply::Done {})
            }
            Request::ChangePassword { command, old, new } => self.change_password(command, old, new),
            Request::CreateGroup { command, group } => self.change(command, |user| Change::CreateGroup { user, group }),
            Request::JoinGroup { command, group } => self.change(command, |user| Change::JoinGroup { user, group }),
            Request::LeaveGroup { command, group } => self.change(command, |user| Change::LeaveGroup { user, group }),
            Request::ListRequests { group, after } => self.list_requests(&group, after.as_ref()),
            Request::AcceptRequest { command, group, user: target } => {
                self.change(command, |user| Change::AcceptRequest { user, group, target })
            }
            Request::RejectRequest { command, group, user: target } => {
                self.change(command, |user| Change::RejectRequest { user, group, target })
            }
            Request::RemoveMember { command, group, user: target } => {
                self.change(command, |user| Change::RemoveMember { user, group, target })
            }
            Request::ListGroups { after } => self.list_groups(after.as_ref()),
            Request::ListMembers { group, after } => self.list_members(&group, after.as_ref()),
            Request::ListFiles { group, after } => self.list_files(&group, after.as_ref()),
            Request::PutManifest { group, info_hash, total, offset, part } => {
                self.put_manifest(&group, (info_hash, total, offset), part.as_bytes())
            }
            Request::ShareFile { command, group, name, content } => self.share_file(command, group, name, content),
            Request::StopShare { command, group, name } => {
                self.change(command, |user| Change::StopShare { user, group, name })
            }
            Request::FindShare { group, name } => self.find_share(&group, &name),
            Request::GetManifest { share, offset } => self.get_manifest(share, offset),
            Request::Announce { ip, port } => self.announce(ip, port),
            Request::Hold { share, holding } => self.hold(share, &holding),
            Request::FindPeers { share } => self.find_peers(share),
            Request::ListKeys { after } => self.list_keys(after.as_ref()),
            Request::Heartbeat {} => Ok(Reply::Done {}),
            Request::ReadNotices { command, through } => {
                // Told are those of the durable state; the leading one may hold others by now.
                let state = self.core.state();
                let shown = |user| state.notices_digest(user, through);
                self.change(command, |user| Change::ReadNotices { user, through, shown: shown(user) })
            }
        }
    }

    /// Who is logged in. A login whose password was changed since, at whatever tracker, ends here.
    fn user(&mut self) -> Result<UserRef, Refusal> {
        let login = self.login.as_ref().ok_or(Code::NotLoggedIn)?;
        if self.core.state().password_holds(login.user, login.password_set_by) {
            return Ok(login.user);
        }
        self.log_out();
        Err(Code::SessionEnded.into())
    }

    /// Makes a change for whoever is logged in. The reply holds once it is durable.
    fn change(&mut self, command: CommandId, change: impl FnOnce(UserRef) -> Change) -> Result<Reply, Refusal> {
        let user = self.user()?;
        (_, self.pending) = self.core.committer.begin(command, &change(user))?;
        Ok(Reply::Done {})
    }
}

/// A page of a list, of which one entry more than fits was asked for, and whether there is another page.
fn page<T>(rows: Vec<T>) -> (List<T, PAGE_MAX>, bool) {
    let more = rows.len() > PAGE_MAX;
    (List::first_of(rows), more)
}

/// How many entries to ask for, so that it shows whether there is another page.
const PAGE_AND_ONE: usize = PAGE_MAX + 1;
