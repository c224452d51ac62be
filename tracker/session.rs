//! One client's session: each request gets its reply. The binary dialect calls `Session::answer`, the dialect for
//! programs `Session::ask`.

mod account;
pub(crate) mod binary_dialect;
mod calls;
pub(crate) mod connection;
mod deferred_reply;
mod events;
mod handshake;
mod holdings;
pub(in crate::tracker) mod lists;
mod page;
mod place;
mod reach;
mod share;

use crate::model::id::{CommandId, UserRef};
use crate::rate::buckets::{Buckets, Pace};
use crate::sys;
use crate::tracker::admission::ConnectionSlot;
use crate::tracker::auth::session_token::TokenClaim;
use crate::tracker::commit::Pending;
use crate::tracker::core::Core;
use crate::tracker::ledger::accept::Change;
use crate::tracker::manifests::{BroughtManifests, Requester};
use crate::tracker::metrics::BegunCommand;
use crate::tracker::presence::Ticket;
use crate::tracker::push::push_channel::PushChannel;
use crate::tracker::push::untold_notices::UntoldNotices;
use crate::tracker::request_turns::RequestTurn;
use crate::tracker::state::{CommandOwner, State};
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::deadlines::ANSWER_DEADLINE;
use crate::wire::refusal::{Code, Refusal};
use place::Place;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often a client may be told to slow down before its requests are delayed.
const TOLD_TO_SLOW_DOWN: Pace = Pace { burst: 32, interval: Duration::from_millis(250) };

/// The state of one client's connection, in either dialect.
pub(crate) struct Session {
    core: Arc<Core>,
    push_channel: Arc<dyn PushChannel>,
    /// The address of the client's end of the connection.
    seen: SocketAddr,
    slot: ConnectionSlot,
    login: Option<ActiveLogin>,
    /// Whether the client is given tokens.
    gives_tokens: bool,
    /// The manifests that the user has brought.
    brought: BroughtManifests,
    /// The notices that follow the reply to a login.
    untold: Option<UntoldNotices>,
    /// A change that is not durable yet: the reply waits for it.
    pending: Option<Pending>,
    /// The deadline for all waits of the present request.
    answer_by: Instant,
    /// Counts how often the client was told to slow down.
    told_to_slow_down: Buckets<()>,
    /// The thread's processor time at its last turn.
    worked: Cell<Duration>,
}

struct ActiveLogin {
    ticket: Ticket,
    user: UserRef,
    /// The latest token of the session.
    token: TokenClaim,
}

impl ActiveLogin {
    /// Whether the login is still valid in this state.
    fn holds(&self, state: &State) -> bool {
        let TokenClaim { user, sessions_since, session, .. } = self.token;
        state.session_holds(user, sessions_since) && !state.has_ended(user, session)
    }
}

impl Drop for Session {
    /// Stops pushing to a connection that is gone, even after a panic.
    fn drop(&mut self) {
        self.log_out();
        self.push_channel.end();
    }
}

impl Session {
    /// `seen` is the address of the client.
    pub(super) fn new(
        core: Arc<Core>,
        push_channel: Arc<dyn PushChannel>,
        seen: SocketAddr,
        slot: ConnectionSlot,
    ) -> Self {
        let seen = SocketAddr::new(seen.ip().to_canonical(), seen.port());
        Self {
            core,
            push_channel,
            seen,
            slot,
            login: None,
            gives_tokens: true,
            brought: BroughtManifests::default(),
            untold: None,
            pending: None,
            answer_by: Instant::now() + ANSWER_DEADLINE,
            told_to_slow_down: Buckets::new(TOLD_TO_SLOW_DOWN),
            worked: Cell::default(),
        }
    }

    /// The session of a program: it gets no token, and ends with its connection.
    pub(super) fn without_tokens(mut self) -> Self {
        self.gives_tokens = false;
        self
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.seen.ip()
    }

    /// The deadline at which a waiting request is refused.
    pub(super) fn answer_by(&self) -> Instant {
        self.answer_by
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.login.is_some()
    }

    /// The user who is logged in.
    pub(super) fn logged_in(&self) -> Option<UserRef> {
        self.login.as_ref().map(|login| login.user)
    }

    /// Whether the change of this user's command is durable.
    pub(super) fn has_made(&self, command: CommandId) -> bool {
        self.logged_in().is_some_and(|user| self.core.state().command(CommandOwner::User(user), command).is_some())
    }

    /// Carries out a request and returns when its change is durable.
    pub(super) fn ask(&mut self, request: Request) -> Result<Reply, Refusal> {
        let reply = self.answer(request)?;
        self.pending.take().map_or(Ok(()), Pending::wait)?;
        // Programs list the notices themselves.
        self.untold = None;
        Ok(reply)
    }

    /// Waits until it is this client's turn.
    pub(super) fn turn(&self) -> RequestTurn {
        let now = sys::thread_time();
        let worked = now.saturating_sub(self.worked.replace(now));
        self.core.turns.take(self.ip(), self.logged_in(), worked)
    }

    /// Delays a client, without a turn, that was told to slow down again and again: asking is cheap.
    pub(super) fn rest_after(&mut self, refusal: Option<Code>) {
        if let Some(Code::SlowDown | Code::QuotaReached) = refusal {
            let now = Instant::now();
            self.told_to_slow_down.take(&(), now);
            thread::sleep(self.told_to_slow_down.wait(&(), 0, now));
        }
    }

    /// Counts a command that has been answered.
    pub(super) fn note_answered(&self, command: BegunCommand, refusal: Option<Code>) {
        self.core.oversight.metrics.answered(command, refusal);
    }

    /// A request has come, so the client is alive. Ends an upload that takes too long. Returns false if the login has
    /// expired by silence. Then the connection ends, and the client announces everything again on the next one.
    pub(super) fn is_heard(&mut self) -> bool {
        let now = Instant::now();
        self.answer_by = now + ANSWER_DEADLINE;
        self.brought.end_stale(now);
        let Some(login) = &self.login else {
            return true;
        };
        if self.core.presence.heard(&login.ticket, now) {
            return true;
        }
        if login.holds(&self.core.state()) {
            return false;
        }
        // The session has ended, and the client was told that.
        self.log_out();
        true
    }

    fn carry_out(&mut self, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::CreateUser { command, user, password } => self.create_user(command, user, password),
            Request::Login { client, user, password } => self.log_in_by_password(client, &user, password),
            Request::Resume { client, token } => self.log_in_by_token(client, token.as_bytes()),
            Request::Logout {} => self.end_session(),
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
            Request::MakeOwner { command, group, user: target } => {
                self.change(command, |user| Change::MakeOwner { user, group, target })
            }
            Request::DropOwner { command, group, user: target } => {
                self.change(command, |user| Change::DropOwner { user, group, target })
            }
            Request::AddMember { command, group, user: target } => {
                self.change(command, |user| Change::AddMember { user, group, target })
            }
            Request::SetGroup { command, group, access } => {
                self.change(command, |user| Change::SetGroup { user, group, access })
            }
            Request::SetAdding { command, allowed } => self.change(command, |user| Change::SetAdding { user, allowed }),
            Request::ListGroups { after } => self.list_groups(after.as_ref()),
            Request::ListMembers { group, after } => self.list_members(&group, after.as_ref()),
            Request::ListFiles { group, after } => self.list_files(&group, after.as_ref()),
            Request::FindFiles { group, pattern, after } => self.find_files(group.as_ref(), &pattern, after),
            Request::PutManifest { group, info_hash, total, offset, part } => {
                self.put_manifest(&group, (info_hash, total, offset), part.as_bytes())
            }
            Request::ShareFile { command, group, name, content } => self.share_file(command, group, name, content),
            Request::StopShare { command, group, name } => {
                self.change(command, |user| Change::StopShare { user, group, name })
            }
            Request::FindShare { group, name } => self.find_share(&group, &name),
            Request::GetManifest { share, offset } => self.get_manifest(share, offset),
            Request::Announce { key, port, interfaces, announced, machine, round_trip_ms } => {
                self.announce(Place { key, port, interfaces, announced, machine, round_trip_ms })
            }
            Request::Hold { share, holding } => self.hold(share, &holding),
            Request::FindPeers { share } => self.find_peers(share),
            Request::ListKeys { after } => self.list_keys(after.as_ref()),
            Request::Call { share, user, client, way, from } => self.call(share, (&user, client), way, from),
            Request::CheckReach {} => self.check_reach(),
            Request::Follow { groups } => self.follow(&groups),
            Request::Heartbeat {} => Ok(Reply::Done {}),
            Request::ReadNotices { command, through } => self.read_notices(command, through),
        }
    }

    /// The requester for turns over manifests.
    fn requester(&self, user: UserRef) -> Requester {
        Requester::User(self.ip(), user, self.answer_by)
    }

    /// The user who is logged in. If the login is no longer valid, ends it here, whichever tracker made it void.
    fn user(&mut self) -> Result<UserRef, Refusal> {
        let login = self.login.as_ref().ok_or(Code::NotLoggedIn)?;
        if login.holds(&self.core.state()) {
            return Ok(login.user);
        }
        self.log_out();
        Err(Code::SessionEnded.into())
    }

    /// Makes a change for the logged-in user. The reply is valid once the change is durable.
    fn change(&mut self, command: CommandId, change: impl FnOnce(UserRef) -> Change) -> Result<Reply, Refusal> {
        let user = self.user()?;
        (_, self.pending) = self.core.committer.begin(command, &change(user))?;
        Ok(Reply::Done {})
    }
}
