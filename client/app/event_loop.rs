//! Reacts to events that no command asked for: pushes of the tracker, peers, ends of downloads, and the clock.

mod addresses;
mod errands;
mod reach_check;

use super::download::{self, look_after};
use super::download_list::DownloadPhase;
use super::folders::commands as folders;
use super::login::{Login, group_lost};
use super::login_session::LoginSession;
use super::node::{Inbox, Node};
use super::resume;
use super::status;
use super::upkeep::keeper;
use crate::client::download::engine::event::EngineEvent;
use crate::client::download::error::DownloadError;
use crate::client::keyring::Put;
use crate::client::output::event::Event;
use crate::client::rpc::event::LinkEvent;
use crate::client::upload::event::SeederEvent;
use crate::model::id::ShareRef;
use crate::model::notice::Notice;
use crate::sys::owned_thread::OwnedThread;
use crate::sys::standstill::stood_still;
use crate::wire::client_tracker::{ReachClass, Reply};
use crossbeam_channel::{self as channel, select};
use errands::Errands;
use reach_check::ReachCheck;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The period of the clock. At each tick the client tells the tracker which pieces have arrived.
const HOLD_PAUSE: Duration = Duration::from_secs(1);
/// The minimum time between two requests for the keys, which the client makes when a peer uses an unknown one.
const KEYS_PAUSE: Duration = Duration::from_secs(1);

/// The minimum time between two requests for a certificate.
const CERTIFICATE_PAUSE: Duration = Duration::from_secs(10);
/// The maximum number of findings about reachability that the client tells its user in one run.
const FINDINGS_MAX: usize = 16;

/// The thread of the event loop. Dropping it ends the thread.
#[derive(Debug)]
pub struct EventLoop {
    close: Option<channel::Sender<()>>,
    thread: OwnedThread,
    addresses: OwnedThread,
}

impl EventLoop {
    pub fn start(login: Arc<Login>, inbox: Inbox) -> io::Result<Self> {
        let (close, closed) = channel::bounded(0);
        let reactor = Reactor {
            errands: Errands::start(login.clone())?,
            login,
            stale: StaleKinds::default(),
            early: Vec::new(),
            found: Vec::new(),
            reach_check: ReachCheck::default(),
        };
        let (login, ends) = (reactor.login.clone(), closed.clone());
        let addresses = OwnedThread::start("addresses", move || addresses::watch(&login, &ends));
        let thread = OwnedThread::start("event-loop", move || reactor.run(&inbox, &closed))?;
        Ok(Self { close: Some(close), thread, addresses: addresses? })
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.close = None;
        self.thread.join();
        self.addresses.join();
    }
}

/// When the client last asked the tracker for each kind of outdated data.
#[derive(Default)]
struct StaleKinds {
    keys: Option<Instant>,
    certificate: Option<Instant>,
    peers: Option<Instant>,
}

/// Whether `done` is at least this long ago. If so, sets `done` to now.
fn passed(done: &mut Option<Instant>, pause: Duration) -> bool {
    let now = Instant::now();
    let recent = done.is_some_and(|done| now.duration_since(done) < pause);
    if !recent {
        *done = Some(now);
    }
    !recent
}

/// One event for the thread.
#[derive(Debug)]
enum Turn {
    Link(LinkEvent),
    Seeder(SeederEvent),
    Engine(EngineEvent),
    Clock,
    Closed,
}

/// Waits for the next events. No channel starves another one: the clock may tick again while a slow tracker still hears
/// of pieces. Events of the link go ahead of the end of a download, because a script ends with its downloads.
fn next_turns(inbox: &Inbox, clock: &channel::Receiver<Instant>, closed: &channel::Receiver<()>) -> Vec<Turn> {
    let links = || inbox.link.try_iter().map(Turn::Link);
    select! {
        recv(inbox.link) -> event => event.into_iter().map(Turn::Link).collect(),
        recv(inbox.seeder) -> event => event.into_iter().map(Turn::Seeder).collect(),
        recv(inbox.engine) -> event => links().chain(event.into_iter().map(Turn::Engine)).collect(),
        recv(clock) -> _ => vec![Turn::Clock],
        recv(closed) -> _ => vec![Turn::Closed],
    }
}

/// The state of the thread.
struct Reactor {
    login: Arc<Login>,
    /// Work for the thread that talks to the tracker.
    errands: Errands,
    stale: StaleKinds,
    /// Pushes for a login whose session does not exist yet.
    early: Vec<(u64, Reply)>,
    /// The reachability findings for each address that the client has told its user.
    found: Vec<(SocketAddr, ReachClass)>,
    /// When the client next asks trackers for their findings.
    reach_check: ReachCheck,
}

impl Reactor {
    fn node(&self) -> &Node {
        self.login.node()
    }

    fn run(mut self, inbox: &Inbox, closed: &channel::Receiver<()>) {
        let clock = channel::tick(HOLD_PAUSE);
        loop {
            let begun = Instant::now();
            let turns = next_turns(inbox, &clock, closed);
            if let (Some(lost), Some(session)) = (stood_still(HOLD_PAUSE, begun.elapsed()), self.login.session()) {
                session.downloads().forgive(lost);
            }
            for turn in turns {
                match turn {
                    Turn::Link(event) => self.link(event),
                    Turn::Seeder(event) => self.seeder(event),
                    Turn::Engine(event) => self.engine(event),
                    Turn::Clock => self.tick(),
                    Turn::Closed => return self.node().reporter.tell_rest(),
                }
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.node().catalog.list().iter().for_each(|served| served.stats().tick(now));
        self.tell_progress(now);
        self.node().reporter.tell_left_out();
        if let Some(session) = self.login.session() {
            resume::give_up(&session, now);
            session.downloads().running().iter().for_each(|transfer| download::follow(&session, transfer));
        }
        if self.node().link.tracker().is_some() && self.node().identity.is_due(now) {
            self.renew();
        }
        let reach = self.node().link.tracker().is_some() && self.reach_check.is_due(now);
        self.errands.note(|noted| {
            noted.reach |= reach;
            noted.clock = true;
        });
    }

    /// Tells a program how far the downloads are.
    fn tell_progress(&self, now: Instant) {
        let Some(session) = self.login.session().filter(|_| self.node().reporter.is_json()) else {
            return;
        };
        for tracked in session.downloads().list() {
            if matches!(tracked.phase, DownloadPhase::Running(_)) {
                session.event(&Event::DownloadProgress(status::download(&tracked, now)));
            }
        }
    }

    fn link(&mut self, event: LinkEvent) {
        let reporter = &self.node().reporter;
        match event {
            LinkEvent::Down(tracker, why) => {
                reporter.event(&Event::TrackerLost { tracker, why: why.to_string() });
            }
            LinkEvent::Up(tracker, lost) => {
                let lost = lost.map(|(tracker, why)| (tracker, why.to_string()));
                reporter.event(&Event::TrackerReached { tracker, lost });
                self.errands.note(|noted| noted.reached = true);
            }
            LinkEvent::SessionLost(refusal) => {
                self.login.lose(refusal.to_string());
            }
            LinkEvent::Push(login, push) => self.push(login, push),
            LinkEvent::Arrived => {
                for (login, push) in std::mem::take(&mut self.early) {
                    self.push(login, push);
                }
            }
        }
    }

    /// Handles a push for the current session. Keeps a push for a session still to come, and drops one for a session
    /// that is over.
    fn push(&mut self, login: u64, push: Reply) {
        let session = self.login.session();
        match session.filter(|session| session.number() >= login) {
            Some(session) if session.number() == login => self.push_to(&session, push),
            Some(_) => {}
            None => {
                self.early.retain(|(other, _)| *other == login);
                self.early.push((login, push));
            }
        }
    }

    fn push_to(&mut self, session: &Arc<LoginSession>, push: Reply) {
        match push {
            Reply::NewKey { key } => {
                let group = key.group;
                match self.node().keyring.put(key) {
                    Put::AsItWas => {}
                    Put::Rekeyed => session.drop_connections(group),
                    // If the client loses the tracker right now, it asks the next one for all keys anyway.
                    Put::Renamed => self.errands.note(|noted| noted.keys = true),
                }
            }
            Reply::GroupLost { group, name } => group_lost(session, group, &name),
            Reply::PeerUp { share, peer } => {
                for download in session.downloads().running() {
                    if download.share() == share {
                        session.engine().arrived(download.id(), peer.clone());
                    }
                }
            }
            Reply::ShareEnded { share } => self.share_ended(session, share),
            // The client keeps serving the old version: others may be in the middle of it.
            Reply::Superseded { old, .. } => {
                let running = session.downloads().running();
                let of_old = running.iter().filter(|download| download.share() == old);
                of_old.for_each(|download| look_after::superseded(session, download));
            }
            Reply::Noticed { order, notice } => {
                if matches!(notice, Notice::UserRenamed { .. }) {
                    self.renew();
                }
                if !folders::needs_nobody(session, &notice) {
                    session.notice(notice, order);
                }
                self.errands.note(|noted| noted.read = noted.read.max(Some((session.number(), order))));
            }
            Reply::SessionOver {} => {
                self.node().link.forget_session();
                let why = "The session was ended, by you elsewhere or by the operator; please login again";
                self.login.lose(why.to_owned());
            }
            Reply::Reach { addr, found } => self.reach_found(addr, found),
            Reply::JoinRequested { group, user } => {
                session.event(&Event::JoinRequested { group, user });
            }
            Reply::GroupChanged { group, names, more } => session.follows().changed(group, names.into_vec(), more),
            Reply::Called { call } => self.node().answerer.answer(call),
            // Such replies only answer requests. The client ignores a tracker that sends one unasked.
            Reply::Refused { .. }
            | Reply::Done {}
            | Reply::LoggedIn { .. }
            | Reply::Groups { .. }
            | Reply::Users { .. }
            | Reply::Members { .. }
            | Reply::Files { .. }
            | Reply::Share { .. }
            | Reply::ManifestPart { .. }
            | Reply::Announced { .. }
            | Reply::CallPassed { .. }
            | Reply::Found { .. }
            | Reply::Peers { .. }
            | Reply::Keys { .. } => {}
        }
    }

    /// Notes that the user no longer shares something. A share without a record here needs no request.
    fn share_ended(&self, session: &LoginSession, share: ShareRef) {
        if !session.slot().shares_numbered(share).is_empty() {
            self.errands.note(|noted| noted.ended.extend([(session.number(), share)]));
        }
    }

    /// Tells where others cannot reach this client, once for each finding.
    fn reach_found(&mut self, addr: SocketAddr, found: ReachClass) {
        self.reach_check.heard(found, Instant::now());
        if matches!(found, ReachClass::Reached | ReachClass::NotTried) || self.found.contains(&(addr, found)) {
            return;
        }
        if self.found.len() < FINDINGS_MAX {
            self.found.push((addr, found));
            self.node().reporter.event(&Event::NotReached { addr, found });
        }
    }

    fn seeder(&mut self, event: SeederEvent) {
        match event {
            SeederEvent::UnknownKey(_) => self.stale_key(),
            SeederEvent::Complaint { user, group, info_hash, piece } => {
                if let Some(session) = self.login.session() {
                    keeper::complain(&session, user, (group, info_hash), piece);
                }
            }
            SeederEvent::Broken { group, info_hash, unreadable } => {
                let session = self.login.session();
                let alarmed = session.is_some_and(|session| keeper::alarm(&session, (group, info_hash), unreadable));
                // Served content without a share is a download, which checks its own file.
                if !alarmed {
                    self.node().catalog.remove(group, info_hash);
                }
            }
        }
    }

    fn stale_key(&mut self) {
        if self.login.session().is_some() && passed(&mut self.stale.keys, KEYS_PAUSE) {
            self.errands.note(|noted| noted.keys = true);
        }
    }

    /// Asks for a new certificate.
    fn renew(&mut self) {
        if passed(&mut self.stale.certificate, CERTIFICATE_PAUSE) {
            self.errands.note(|noted| noted.certificate = true);
        }
    }

    fn engine(&mut self, event: EngineEvent) {
        let Some(session) = self.login.session() else {
            return;
        };
        match event {
            // The transfer belongs to the session before this one. The next login of its user finds the file complete.
            EngineEvent::Finished(transfer, _) | EngineEvent::Failed(transfer, _)
                if !session.downloads().owns(&transfer) => {}
            EngineEvent::FirstPiece(id) => self.errands.note(|noted| noted.first_pieces.extend([id])),
            EngineEvent::Finished(transfer, _) => {
                download::finished(&session, &transfer);
                self.errands.note(|noted| noted.finished = true);
            }
            // The thread that stopped the transfer also resumes it.
            EngineEvent::Failed(_, DownloadError::Closing) => {}
            EngineEvent::Failed(transfer, error) => download::engine_failed(&session, &transfer, &error),
            EngineEvent::StaleKey(_) => self.stale_key(),
            EngineEvent::StaleCertificate => self.renew(),
            EngineEvent::StalePeer(id) => {
                if passed(&mut self.stale.peers, KEYS_PAUSE) {
                    self.errands.note(|noted| noted.stale_peers.extend([id]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_download_is_told_after_what_the_tracker_said_and_however_often_the_clock_strikes() {
        let ((link_says, link), (engine_says, engine)) = (channel::unbounded(), channel::unbounded());
        let (_seeder_says, seeder) = channel::bounded(1);
        let (_open, closed) = channel::bounded(0);
        let (strike, clock) = channel::bounded(1);
        let inbox = Inbox { link, seeder, engine };
        for id in 0..100 {
            link_says.send(LinkEvent::Arrived).expect("there is room");
            engine_says.send(EngineEvent::FirstPiece(id)).expect("there is room");
            let mut said = false;
            for turns in 0.. {
                assert!(turns < 1000, "only the clock gets a turn");
                // The clock ticks again, as if the work had taken longer than a second.
                let _ = strike.try_send(Instant::now());
                let turns = next_turns(&inbox, &clock, &closed);
                said |= turns.iter().any(|turn| matches!(turn, Turn::Link(LinkEvent::Arrived)));
                if matches!(turns.last(), Some(Turn::Engine(EngineEvent::FirstPiece(first))) if *first == id) {
                    break;
                }
            }
            assert!(said, "the tracker has said something before");
        }
    }
}
