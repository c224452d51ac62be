//! The thread that reacts to what happens by itself: what the tracker says unasked, peers, the ends of downloads, and
//! the clock.

use super::download;
use super::download_list::Phase;
use super::login;
use super::login_session::Account;
use super::node::{Inbox, Node, command_id};
use super::resume;
use super::share;
use crate::client::download::engine::event::EngineEvent;
use crate::client::keyring::Put;
use crate::client::output::event::Event;
use crate::client::rpc::link::LinkEvent;
use crate::client::upload::seeder::SeederEvent;
use crate::model::id::OpOrder;
use crate::sys::owned_thread::OwnedThread;
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::deadlines::HEARTBEAT_INTERVAL;
use crossbeam_channel::{self as channel, select};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the tracker hears which pieces came in: once a second.
const HOLD_PAUSE: Duration = Duration::from_secs(1);
/// How often the tracker is asked for peers, besides what it tells by itself.
const PEERS_PAUSE: Duration = Duration::from_secs(10);
/// How often the keys are asked for because some peer had another one, at most.
const KEYS_PAUSE: Duration = Duration::from_secs(1);

/// The thread.
#[derive(Debug)]
pub struct Steward {
    close: Option<channel::Sender<()>>,
    thread: OwnedThread,
}

impl Steward {
    /// Starts it.
    pub fn start(node: Arc<Node>, inbox: Inbox) -> io::Result<Self> {
        let (close, closed) = channel::bounded(0);
        let now = Instant::now();
        let work = Work { node, held: now, beaten: now, asked: now, keys: None, early: Vec::new(), read: None };
        let thread = OwnedThread::start("steward", move || work.run(&inbox, &closed))?;
        Ok(Self { close: Some(close), thread })
    }
}

impl Drop for Steward {
    fn drop(&mut self) {
        self.close = None;
        self.thread.join();
    }
}

/// What the thread turns to.
#[derive(Debug)]
enum Turn {
    Link(LinkEvent),
    Seeder(SeederEvent),
    Engine(EngineEvent),
    Clock,
    Closed,
}

/// Waits for something to turn to. Nobody waits for ever behind somebody else, as behind a clock that strikes again while
/// slow trackers are told of pieces. But what the tracker has said before a download ends is told before that: a script
/// ends with its downloads.
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

struct Work {
    node: Arc<Node>,
    held: Instant,
    beaten: Instant,
    asked: Instant,
    keys: Option<Instant>,
    /// What was said to a login whose account is not there yet.
    early: Vec<(u64, Reply)>,
    /// The last notice shown to a login, of which the tracker has not been told.
    read: Option<(u64, OpOrder)>,
}

impl Work {
    fn run(mut self, inbox: &Inbox, closed: &channel::Receiver<()>) {
        let clock = channel::tick(HOLD_PAUSE);
        loop {
            for turn in next_turns(inbox, &clock, closed) {
                match turn {
                    Turn::Link(event) => {
                        self.link(event);
                        if inbox.link.is_empty() {
                            self.tell_read();
                        }
                    }
                    Turn::Seeder(event) => self.seeder(event),
                    Turn::Engine(event) => self.engine(event),
                    Turn::Clock => self.tick(),
                    Turn::Closed => return,
                }
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.node.serving.list().iter().for_each(|served| served.takers().tick(now));
        self.tell_progress(now);
        if let Some(account) = self.node.account() {
            resume::give_up(&self.node, &account, now);
        }
        if self.node.link.tracker().is_none() {
            return;
        }
        if now.duration_since(self.beaten) >= HEARTBEAT_INTERVAL {
            self.beaten = now;
            let _ = self.node.link.call(&Request::Heartbeat {});
        }
        let Some(account) = self.node.account() else {
            return;
        };
        let ask = now.duration_since(self.asked) >= PEERS_PAUSE;
        if ask {
            self.asked = now;
            share::tell_untold(&self.node, &account);
            if account.unheard.swap(false, Ordering::Relaxed) {
                self.announce(&account);
            }
        }
        for download in account.downloads.running() {
            // What does not reach the tracker now is told with the next announcement.
            let _ = download::hold_more(&self.node, &download);
            if ask {
                let _ = download::find_peers(&self.node, &account, &download);
                download::look_after_stranded(&self.node, &account, &download);
            }
        }
        self.held = now;
    }

    /// Tells a program how far the downloads are.
    fn tell_progress(&self, now: Instant) {
        let Some(account) = self.node.account().filter(|_| self.node.reporter.is_json()) else {
            return;
        };
        for tracked in account.downloads.list() {
            if matches!(tracked.phase, Phase::Running(_)) {
                self.node.reporter.event(&Event::DownloadProgress(download::status(&tracked, now)));
            }
        }
    }

    /// Tells a tracker everything about this client.
    fn announce(&self, account: &Arc<Account>) {
        match login::announce_all(&self.node, account) {
            // What a login could not bring back because the tracker was lost comes back now.
            Ok(()) => {
                let node = self.node.clone();
                account.help("restore".into(), move |account| {
                    share::restore(&node, account);
                    resume::go_on(&node, account);
                });
            }
            Err(error) => self.node.reporter.event(&Event::Warning(error.to_string())),
        }
    }

    /// Tells the tracker which notices were shown.
    fn tell_read(&mut self) {
        let Some((login, through)) = self.read.take() else {
            return;
        };
        if self.node.account().is_some_and(|account| account.login == login) {
            // Should it not reach the tracker, the notices are shown once more.
            let _ = self.node.link.call(&Request::ReadNotices { command: command_id(), through });
        }
    }

    fn link(&mut self, event: LinkEvent) {
        let reporter = &self.node.reporter;
        match event {
            LinkEvent::Down(tracker, why) => reporter.event(&Event::TrackerLost { tracker, why }),
            LinkEvent::Up(tracker, lost) => {
                reporter.event(&Event::TrackerReached { tracker, lost });
                if let Some(account) = self.node.account() {
                    self.announce(&account);
                }
            }
            LinkEvent::SessionLost(refusal) => {
                login::lose(&self.node, refusal.to_string());
            }
            LinkEvent::Push(login, push) => self.push(login, push),
            LinkEvent::Arrived => {
                for (login, push) in std::mem::take(&mut self.early) {
                    self.push(login, push);
                }
            }
        }
    }

    /// Deals with a push to the login of the account that is there; keeps one to a login whose account is to come, and
    /// drops one to a login that is over.
    fn push(&mut self, login: u64, push: Reply) {
        let account = self.node.account();
        match account.filter(|account| account.login >= login) {
            Some(account) if account.login == login => self.push_to(&account, push),
            Some(_) => {}
            None => {
                self.early.retain(|(other, _)| *other == login);
                self.early.push((login, push));
            }
        }
    }

    fn push_to(&mut self, account: &Arc<Account>, push: Reply) {
        match push {
            Reply::NewKey { key } => {
                let group = key.group;
                match self.node.keyring.put(key) {
                    Put::AsItWas => {}
                    Put::Rekeyed => self.node.drop_connections(group),
                    // Should the tracker be lost just now, the next one is asked for all keys anyway.
                    Put::Renamed => drop(self.node.refresh_keys()),
                }
            }
            Reply::GroupLost { group, name } => login::group_lost(&self.node, account, group, &name),
            Reply::PeerUp { share, peer } => {
                for download in account.downloads.running() {
                    if download.share() == share {
                        account.engine.peers(download.id(), vec![peer.clone()]);
                    }
                }
            }
            Reply::ShareEnded { share } => login::share_ended(&self.node, account, share),
            Reply::Noticed { order, notice } => {
                self.node.reporter.event(&Event::Notice(notice));
                self.read = self.read.max(Some((account.login, order)));
            }
            Reply::SessionOver {} => {
                self.node.link.forget_session();
                login::lose(&self.node, "The password was changed elsewhere; please login again".to_owned());
            }
            Reply::JoinRequested { group, user } => {
                self.node.reporter.event(&Event::JoinRequested { group, user });
            }
            // Replies to requests do not come unasked; a tracker that sends one has nothing to tell with it.
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
            | Reply::Peers { .. }
            | Reply::Keys { .. } => {}
        }
    }

    fn seeder(&mut self, event: SeederEvent) {
        match event {
            SeederEvent::UnknownKey(_) => self.stale_key(),
            SeederEvent::Broken { group, info_hash, why } => {
                if let Some(account) = self.node.account() {
                    share::broken(&self.node, &account, group, info_hash, &why);
                }
            }
        }
    }

    fn stale_key(&mut self) {
        let now = Instant::now();
        let recent = self.keys.is_some_and(|asked| now.duration_since(asked) < KEYS_PAUSE);
        if !recent && self.node.account().is_some() {
            self.keys = Some(now);
            // Who needs the key asks again.
            let _ = self.node.refresh_keys();
        }
    }

    fn engine(&mut self, event: EngineEvent) {
        let Some(account) = self.node.account() else {
            return;
        };
        match event {
            // Of the account that was logged in before; its next login finds the file complete.
            EngineEvent::Finished(download, _) | EngineEvent::Failed(download, _)
                if !account.downloads.owns(&download) => {}
            // Others who begin now hear at once what is to be had here.
            EngineEvent::FirstPiece(id) => {
                for download in account.downloads.running().iter().filter(|download| download.id() == id) {
                    let _ = download::hold_more(&self.node, download);
                }
            }
            EngineEvent::Finished(download, path) => self.complete(&account, &download, &path),
            EngineEvent::Failed(download, why) => {
                download::unserve(&self.node, &download);
                download::fail(&self.node, &account, download.id(), &why.to_string());
            }
            EngineEvent::StaleKey(_) => self.stale_key(),
        }
    }

    fn complete(
        &self,
        account: &Arc<Account>,
        download: &crate::client::download::transfer::Transfer,
        path: &std::path::Path,
    ) {
        // Shared before it is told: who reads that a download is complete may ask others to take it from here.
        download::share(&self.node, account, download.id(), download.subject(), path);
        download::finished(&self.node, account, download, path);
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
                assert!(turns < 1000, "nothing but the clock gets a turn");
                // As when the work of a second has taken longer than that.
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
