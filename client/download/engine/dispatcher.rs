//! The thread of the engine. It parks silent connections under one `poll`, and keeps the clock. A connection with
//! something to deliver goes to a worker of the pool; the downloads take turns.
//!
//! Invariant: a connection is in exactly one place: parked, ready, or with a worker.

use super::entry::TransferEntry;
use super::event::EngineEvent;
use super::message::{EngineMessage, Mailbox};
use super::options::EngineOptions;
use super::workers::Workers;
use crate::client::download::dial_pace::DialPaces;
use crate::client::download::dialer::{DialJob, Dialer};
use crate::client::download::error::DownloadError;
use crate::client::download::obstacle::MemberObstacle;
use crate::client::download::opening::{DialError, DialTarget};
use crate::client::download::peer_connection::{DropReason, PeerConnection, WorkOutcome};
use crate::client::keyring::Keyring;
use crate::client::reach::reacher::Reacher;
use crate::client::reach::way::Way;
use crate::model::id::PeerId;
use crate::sys::owned_thread::OwnedThread;
use crate::sys::standstill::stood_still;
use crate::sys::waker::Waker;
use crate::wire::refusal::Code;
use crossbeam_channel as channel;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the dispatcher looks at the clock while downloads run.
const TICK: Duration = Duration::from_millis(200);

/// All downloads, their connections, and the workers.
pub(super) struct Dispatcher {
    options: EngineOptions,
    workers: Workers,
    dialer: Dialer,
    paces: DialPaces,
    keyring: Arc<Keyring>,
    told: channel::Sender<EngineEvent>,
    inbox: channel::Receiver<EngineMessage>,
    mailbox: Mailbox,
    entries: HashMap<u64, TransferEntry>,
    /// Downloads in the order in which they get a worker.
    rotation: VecDeque<u64>,
    /// Addresses that this machine has lost.
    gone: Vec<IpAddr>,
}

impl Dispatcher {
    /// A dispatcher without downloads, and the mailbox that it reads.
    pub(super) fn new(
        options: EngineOptions,
        (keyring, reacher): (Arc<Keyring>, Arc<Reacher>),
        told: channel::Sender<EngineEvent>,
    ) -> io::Result<(Self, Mailbox)> {
        // Unbounded, but the number of connections and of the user's calls bounds its content.
        let (messages, inbox) = channel::unbounded();
        let mailbox = Mailbox { messages, waker: Arc::new(Waker::new()?) };
        let dialer = Dialer::new((keyring.clone(), reacher), {
            let mailbox = mailbox.clone();
            move |id, peer, result| mailbox.send(EngineMessage::Dialed(id, peer, result))
        });
        let dispatcher = Self {
            workers: Workers::new(&options, mailbox.clone())?,
            options,
            dialer,
            paces: DialPaces::default(),
            keyring,
            told,
            inbox,
            mailbox: mailbox.clone(),
            entries: HashMap::new(),
            rotation: VecDeque::new(),
            gone: Vec::new(),
        };
        Ok((dispatcher, mailbox))
    }

    /// Works until it gets `Close`.
    pub(super) fn run(mut self) {
        let mut next_tick = Instant::now();
        loop {
            let begun = Instant::now();
            let timeout = (!self.entries.is_empty()).then(|| next_tick.saturating_duration_since(begun));
            self.wait(timeout);
            if let Some(lost) = timeout.and_then(|timeout| stood_still(timeout, begun.elapsed())) {
                self.entries.values_mut().for_each(|entry| entry.peers.forgive(lost));
            }
            let messages: Vec<_> = self.inbox.try_iter().collect();
            for message in messages {
                if matches!(message, EngineMessage::Close) {
                    return self.close();
                }
                self.handle(message);
            }
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(now);
            }
            self.dispatch();
            self.reap();
        }
    }

    /// Waits until a parked connection is readable, a message comes, or the time is up. Then moves readable connections
    /// from parked to ready. A connection that the rate limiter holds back counts as readable at its time, and not
    /// before.
    fn wait(&mut self, timeout: Option<Duration>) {
        let connections = || self.entries.values().flat_map(|entry| &entry.parked);
        let due = connections().filter_map(PeerConnection::not_before).min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = timeout.into_iter().chain(due).min();
        let mut readable = {
            let mut fds = vec![PollFd::new(&*self.mailbox.waker, PollFlags::IN)];
            let open = connections().filter(|connection| connection.not_before().is_none());
            fds.extend(open.map(|connection| PollFd::new(connection.stream(), PollFlags::IN)));
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            // After an error, such as a signal, no connection counts as readable. The next call sees them.
            let some = matches!(rustix::event::poll(&mut fds, timeout.as_ref()), Ok(1..));
            if some && !fds[0].revents().is_empty() {
                self.mailbox.waker.clear();
            }
            let readable: Vec<bool> = fds.iter().skip(1).map(|fd| some && !fd.revents().is_empty()).collect();
            readable.into_iter()
        };
        let now = Instant::now();
        for entry in self.entries.values_mut() {
            for connection in std::mem::take(&mut entry.parked) {
                let ready = connection.not_before().map_or_else(|| readable.next() == Some(true), |when| when <= now);
                if ready { entry.ready.push_back(connection) } else { entry.parked.push(connection) }
            }
        }
    }

    fn handle(&mut self, message: EngineMessage) {
        match message {
            EngineMessage::Add(transfer) if transfer.is_stopped() => {}
            EngineMessage::Add(transfer) => {
                self.rotation.push_back(transfer.id());
                self.entries.insert(transfer.id(), TransferEntry::new(transfer, Instant::now(), &self.options));
            }
            EngineMessage::Remove(id, done) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.stop();
                    entry.removed = Some(done);
                }
            }
            EngineMessage::Decided(id) => match self.entries.get_mut(&id) {
                Some(entry) if entry.transfer.is_complete() => entry.complete(),
                _ => self.ask_parked(id),
            },
            EngineMessage::Peers(id, peers) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.peers.learn(peers);
                    Self::dial(&self.dialer, &mut self.paces, entry, Instant::now());
                }
            }
            EngineMessage::Arrived(id, peer) => {
                // The next tick dials this peer, because other members choose how often a peer arrives.
                if let Some(entry) = self.entries.get_mut(&id) {
                    let (id, now) = (peer.id(), Instant::now());
                    entry.peers.learn(vec![peer]);
                    entry.peers.arrived(&id, now);
                }
            }
            EngineMessage::Retry => {
                let now = Instant::now();
                for entry in self.entries.values_mut() {
                    entry.peers.retry(now);
                    Self::dial(&self.dialer, &mut self.paces, entry, now);
                }
            }
            EngineMessage::Gone(gone) => {
                self.gone = gone;
                for entry in self.entries.values_mut() {
                    // Workers may hold connections from these addresses. `park` drops those later.
                    let now = Instant::now();
                    entry.hang_up_from(&self.gone, now);
                    entry.peers.retry(now);
                    Self::dial(&self.dialer, &mut self.paces, entry, now);
                }
            }
            EngineMessage::DropGroup(group) => {
                for entry in self.entries.values_mut().filter(|entry| entry.transfer.subject().group == group) {
                    // Workers may hold connections under the old key. `park` drops those later.
                    let now = Instant::now();
                    entry.hang_up(now);
                    entry.peers.retry(now);
                }
            }
            EngineMessage::Dialed(id, peer, result) => self.dialed(id, &peer, result),
            EngineMessage::Returned(connection, outcome) => self.returned(connection, outcome),
            EngineMessage::Finished(id, result) => self.finished(id, result),
            EngineMessage::Close => {}
        }
    }

    fn dialed(&mut self, id: u64, peer: &PeerId, result: Result<PeerConnection, DialError>) {
        let now = Instant::now();
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        match result {
            Ok(connection) => {
                entry.peers.connected(peer, connection.way(), now, connection.is_useful());
                if connection.way() != Way::Relayed {
                    entry.drop_relayed(peer);
                }
                if entry.is_over() || entry.peers.has_lied(peer) {
                    entry.peers.lost(peer, now, false);
                    return;
                }
                self.park(connection);
            }
            Err(_) if entry.peers.way_to(peer).1 => entry.peers.found_no_better(peer, now),
            Err(DialError::UnknownKey) => {
                entry.peers.lost(peer, now, false);
                self.tell(EngineEvent::StaleKey(self.entries[&id].transfer.subject().group));
            }
            Err(DialError::NoCertificate) => {
                entry.peers.lost(peer, now, false);
                self.tell(EngineEvent::StaleCertificate);
            }
            Err(DialError::OtherClient(why)) => {
                entry.peers.elsewhere(peer, now, *why);
                self.tell(EngineEvent::StalePeer(id));
            }
            Err(DialError::NotNow) => entry.peers.lost(peer, now, false),
            Err(DialError::Busy(place)) => entry.peers.put_off(peer, now, MemberObstacle::Busy(place)),
            Err(DialError::NotServed) => entry.peers.put_off(peer, now, MemberObstacle::NotServed),
            Err(DialError::Failed) => entry.peers.lost(peer, now, true),
            Err(DialError::Unreached(why)) => {
                let group = entry.transfer.subject().group;
                let stale = [
                    (Code::UnknownKey, EngineEvent::StaleKey(group)),
                    (Code::BadCertificate, EngineEvent::StaleCertificate),
                    (Code::OtherClient, EngineEvent::StalePeer(id)),
                ];
                // Any peer can say so. A question to the tracker does no harm.
                let told =
                    stale.into_iter().filter(|(code, _)| why.says(*code)).map(|(_, event)| event).collect::<Vec<_>>();
                entry.peers.missed(peer, now, *why);
                told.into_iter().for_each(|event| self.tell(event));
            }
        }
    }

    /// Lets a connection request pieces once more, because pieces may have gone back while a worker held it. Then parks
    /// the connection. Drops a connection from a lost address, under an old key, or without use.
    fn park(&mut self, mut connection: PeerConnection) {
        let id = connection.transfer().id();
        let key = self.keyring.of_group(connection.transfer().subject().group).map(|(id, _)| id);
        let is_gone = connection.is_from(&self.gone);
        if is_gone || key != Some(connection.key()) {
            if let Some(entry) = self.entries.get_mut(&id) {
                let now = Instant::now();
                entry.peers.lost(connection.peer(), now, false);
                if is_gone {
                    entry.peers.retry(now);
                }
            }
            return;
        }
        let asked = connection.ask();
        match (asked, self.entries.get_mut(&id)) {
            (Ok(()), Some(entry)) if connection.may_have_come() => entry.ready.push_back(connection),
            (Ok(()), Some(entry)) => entry.parked.push(connection),
            (Err(reason), Some(_)) => self.drop_connection(connection, reason),
            (_, None) => {}
        }
    }

    fn returned(&mut self, connection: PeerConnection, outcome: WorkOutcome) {
        self.workers.came_back();
        let id = connection.transfer().id();
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.busy -= 1;
        if entry.is_over() || entry.peers.has_lied(connection.peer()) {
            entry.peers.lost(connection.peer(), Instant::now(), false);
            return;
        }
        let goes_on = matches!(outcome, WorkOutcome::Waits | WorkOutcome::Yields);
        let way_to = entry.peers.way_to(connection.peer()).0;
        if goes_on && connection.way() == Way::Relayed && way_to != Some(Way::Relayed) {
            entry.peers.replaced(connection.peer());
            drop(connection);
            return self.ask_parked(id);
        }
        let lied = matches!(outcome, WorkOutcome::Drops(DropReason::Lied(_)));
        let now = Instant::now();
        if !lied && connection.has_delivered() && entry.peers.delivered(connection.peer(), now) {
            Self::dial(&self.dialer, &mut self.paces, entry, now);
            let _ = self.told.send(EngineEvent::FirstPiece(id));
        }
        match outcome {
            WorkOutcome::Waits => self.park(connection),
            WorkOutcome::Yields => entry.ready.push_back(connection),
            WorkOutcome::Drops(reason) => self.drop_connection(connection, reason),
            WorkOutcome::Completes => {
                drop(connection);
                entry.complete();
            }
            WorkOutcome::Stops(why) => {
                drop(connection);
                entry.stop();
                entry.failed = Some(why);
            }
        }
    }

    fn drop_connection(&mut self, connection: PeerConnection, reason: DropReason) {
        let id = connection.transfer().id();
        let peer = connection.peer().clone();
        let now = Instant::now();
        if let Some(entry) = self.entries.get_mut(&id) {
            match connection.blame(reason) {
                DropReason::Lost => entry.peers.lost(&peer, now, true),
                DropReason::Busy => entry.peers.lost(&peer, now, false),
                DropReason::GaveBad => entry.gave_bad((&peer, connection.since()), now),
                DropReason::Lied(lie) => entry.lied(&peer, lie),
            }
        }
        // The pieces of the connection go back to the picker, and idle connections may ask for them.
        drop(connection);
        self.ask_parked(id);
    }

    /// Lets every parked connection ask for pieces, because some went back.
    fn ask_parked(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        for (connection, reason) in entry.sift_parked(PeerConnection::ask) {
            self.drop_connection(connection, reason);
        }
    }

    /// Starts the finisher of a download whose pieces are all here. Its check, sync and rename may take long.
    fn finish(mailbox: &Mailbox, id: u64, entry: &mut TransferEntry) {
        let (transfer, mailbox) = (entry.transfer.clone(), mailbox.clone());
        let started = OwnedThread::start(format!("finish-{id}"), move || {
            let result = transfer.finish();
            mailbox.send(EngineMessage::Finished(id, result));
        });
        match started {
            Ok(thread) => entry.finisher = Some(thread),
            Err(error) => entry.failed = Some(DownloadError::NoThread(error)),
        }
    }

    fn finished(&mut self, id: u64, result: Result<PathBuf, DownloadError>) {
        let Some(mut entry) = self.entries.remove(&id) else {
            return;
        };
        self.rotation.retain(|other| *other != id);
        // Joins the thread, which has already sent its last message.
        entry.finisher = None;
        // A caller of `remove` that comes too late sees that the sender is dropped.
        self.tell(match result {
            Ok(path) => EngineEvent::Finished(entry.transfer, path),
            Err(why) => EngineEvent::Failed(entry.transfer, why),
        });
    }

    fn tell(&self, event: EngineEvent) {
        // The send fails only while the client closes.
        let _ = self.told.send(event);
    }

    fn tick(&mut self, now: Instant) {
        let ids: Vec<_> = self.entries.keys().copied().collect();
        for id in ids {
            let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.is_over()) else {
                continue;
            };
            entry.transfer.tick(now);
            entry.transfer.note_obstacles(entry.peers.obstacles(now));
            entry.count_connections(now);
            let failed = entry.sift_parked(|connection| connection.check_time(now));
            entry.drop_left();
            let useful = entry.is_useful();
            if let Err(why) = entry.peers.check_patience(now, useful) {
                entry.stop();
                entry.failed = Some(why);
                continue;
            }
            entry.make_room(now);
            Self::dial(&self.dialer, &mut self.paces, entry, now);
            for (connection, reason) in failed {
                self.drop_connection(connection, reason);
            }
            self.entries[&id].transfer.recall();
            // Pieces may have gone back, and refused ones may be asked for again.
            self.ask_parked(id);
        }
    }

    fn dial(dialer: &Dialer, paces: &mut DialPaces, entry: &mut TransferEntry, now: Instant) {
        if entry.is_over() {
            return;
        }
        for peer in entry.peers.due(now, paces) {
            let id = peer.id();
            let (last, better) = entry.peers.way_to(&id);
            let job = DialJob { transfer: entry.transfer.clone(), target: DialTarget { peer, last, better } };
            if !dialer.dial(job) {
                entry.peers.lost(&id, now, false);
            }
        }
    }

    /// Gives ready connections to free workers. The downloads take turns.
    fn dispatch(&mut self) {
        while self.workers.free() > 0 {
            let Some(next) =
                self.rotation.iter().position(|id| self.entries.get(id).is_some_and(|e| !e.ready.is_empty()))
            else {
                break;
            };
            let Some(id) = self.rotation.remove(next) else {
                break;
            };
            self.rotation.push_back(id);
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            let Some(connection) = entry.ready.pop_front() else {
                continue;
            };
            entry.busy += 1;
            self.workers.give(connection);
        }
        self.workers.note_waiting(self.entries.values().any(|entry| !entry.ready.is_empty()));
    }

    /// Ends downloads that are over and have no connection at a worker.
    fn reap(&mut self) {
        for (id, entry) in &mut self.entries {
            let idle = entry.busy == 0 && entry.finisher.is_none();
            if entry.complete && idle && entry.removed.is_none() && entry.failed.is_none() {
                Self::finish(&self.mailbox, *id, entry);
            }
        }
        let over = |entry: &TransferEntry| entry.busy == 0 && entry.finisher.is_none() && entry.is_over();
        let ids: Vec<_> = self.entries.iter().filter(|(_, entry)| over(entry)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(entry) = self.entries.remove(&id) else {
                continue;
            };
            self.rotation.retain(|other| *other != id);
            match (entry.removed, entry.failed) {
                // The waiting caller may be gone.
                (Some(done), _) => drop(done.send(())),
                (None, Some(why)) => self.tell(EngineEvent::Failed(entry.transfer, why)),
                (None, None) => {}
            }
        }
    }

    /// Ends everything. Unfinished files stay as they are, for a later run to resume.
    fn close(mut self) {
        for entry in self.entries.values_mut() {
            entry.transfer.give_up();
            entry.stop();
            entry.removed.get_or_insert_with(|| channel::bounded(1).0);
        }
        self.dialer.close();
        // Workers return their connection after the current frame.
        while self.workers.are_busy() {
            match self.inbox.recv() {
                Ok(EngineMessage::Returned(..)) => self.workers.came_back(),
                Ok(_) => {}
                Err(_) => return,
            }
        }
        // Joins the finishers: a complete file gets its name even while the client closes.
        drop(self.entries);
    }
}
