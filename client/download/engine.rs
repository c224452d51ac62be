//! The engine of all downloads. One thread parks the silent connections under one poll, keeps the clock, and hands every
//! connection that has something to deliver to a worker of the pool, in turn among the downloads.
//!
//! Invariant: a connection is in exactly one place: parked, ready, or with a worker.

mod entry;
mod message;

use super::dialer::{DialJob, Dialer};
use super::live::Download;
use super::peer_connection::{DialError, DropReason, PeerLink, Step};
use crate::client::download::engine::message::{Event, Post};
use crate::client::keyring::Keyring;
use crate::client::rate::downlink::Downlink;
use crate::model::id::{ClientId, GroupRef};
use crate::model::name::UserId;
use crate::sys::waker::Waker;
use crate::wire::client_tracker::Peer;
use crossbeam_channel as channel;
use entry::Entry;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the clock is looked at while downloads run.
const TICK: Duration = Duration::from_millis(200);
/// Most workers that the pool may have.
pub const WORKERS_MAX: usize = 64;
/// Fewest workers that the pool has by itself: while one waits for the disk the other goes on.
const WORKERS_LEAST: usize = 2;
/// Most workers that the pool has by itself: the complete-file hash, which is one chain, lets no more be of use to one
/// download.
const WORKERS_MOST: usize = 8;

/// As many workers as there are cores, within bounds. More than can run at a time would interrupt the one that takes
/// the complete-file hash on, and leave it behind.
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(WORKERS_LEAST, usize::from).clamp(WORKERS_LEAST, WORKERS_MOST)
}

/// What the engine tells the rest of the client.
#[derive(Debug)]
pub enum SwarmEvent {
    /// A peer has brought its first piece of the download with this number.
    FirstPiece(u64),
    /// The file is complete, verified, and has its name.
    Finished(Arc<Download>, PathBuf),
    /// The download cannot go on; says why.
    Failed(Arc<Download>, String),
    /// A peer or this client has an old key of this group: the keys should be asked for again.
    StaleKey(GroupRef),
}

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct SwarmOptions {
    /// Workers of the pool.
    pub workers: usize,
    /// How long a download waits for a member that holds what is missing before it fails; none: for ever.
    pub patience: Option<Duration>,
    /// How fast pieces may come in.
    pub downlink: Arc<Downlink>,
}

/// The engine.
pub struct Swarm {
    post: Post,
    thread: Option<JoinHandle<()>>,
}

impl Swarm {
    /// Starts the engine. What it tells goes to `told`, whose receiver must be drained.
    pub fn start(
        options: SwarmOptions,
        keyring: Arc<Keyring>,
        me: UserId,
        told: channel::Sender<SwarmEvent>,
    ) -> io::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.workers)
            .thread_name(|number| format!("fetch-{number}"))
            .build()
            .map_err(io::Error::other)?;
        // Unbounded, but what is in it is bounded by connections and by the calls of the user.
        let (events, inbox) = channel::unbounded();
        let post = Post { events, waker: Arc::new(Waker::new()?) };
        let dialer = Dialer::new(keyring.clone(), me, {
            let post = post.clone();
            move |download, client, result| post.send(Event::Dialed(download, client, result))
        });
        let engine = Engine {
            options,
            pool,
            dialer,
            keyring,
            told,
            inbox,
            post: post.clone(),
            entries: HashMap::new(),
            turn: VecDeque::new(),
            busy: 0,
            others_wait: Arc::new(AtomicBool::new(false)),
        };
        let thread = std::thread::Builder::new().name("swarm".into()).spawn(move || engine.run())?;
        Ok(Self { post, thread: Some(thread) })
    }

    /// Begins a download.
    pub fn add(&self, download: Arc<Download>) {
        self.post.send(Event::Add(download));
    }

    /// Ends a download without finishing it, or before it is added; nothing is written any more when this returns.
    pub fn remove(&self, download: &Download) {
        download.stop();
        let (done, wait) = channel::bounded(1);
        self.post.send(Event::Remove(download.id(), done));
        // Closed without a message if the download was not there.
        let _ = wait.recv();
    }

    /// Clients that hold pieces.
    pub fn peers(&self, download: u64, peers: Vec<Peer>) {
        self.post.send(Event::Peers(download, peers));
    }

    /// Drops the connections made under a key of this group; they are made again under the new one.
    pub fn drop_group(&self, group: GroupRef) {
        self.post.send(Event::DropGroup(group));
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.post.send(Event::Close);
        if let Some(thread) = self.thread.take() {
            // A panic of the engine was printed when it happened.
            let _ = thread.join();
        }
    }
}

struct Engine {
    options: SwarmOptions,
    pool: rayon::ThreadPool,
    dialer: Dialer,
    keyring: Arc<Keyring>,
    told: channel::Sender<SwarmEvent>,
    inbox: channel::Receiver<Event>,
    post: Post,
    entries: HashMap<u64, Entry>,
    /// Downloads in the order in which they get the next worker.
    turn: VecDeque<u64>,
    /// Workers that hold a connection.
    busy: usize,
    /// Whether a connection waits for a worker; workers look at it between frames.
    others_wait: Arc<AtomicBool>,
}

impl Engine {
    fn run(mut self) {
        let mut next_tick = Instant::now();
        loop {
            let timeout = (!self.entries.is_empty()).then(|| next_tick.saturating_duration_since(Instant::now()));
            self.wait(timeout);
            let events: Vec<_> = self.inbox.try_iter().collect();
            for event in events {
                if matches!(event, Event::Close) {
                    return self.close();
                }
                self.handle(event);
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

    /// Waits until a parked connection is readable, somebody wakes the engine, or the time is up; moves what can be
    /// worked on from parked to ready. A connection that waits for the limit is not looked at before its time.
    fn wait(&mut self, timeout: Option<Duration>) {
        let links = || self.entries.values().flat_map(|entry| &entry.parked);
        let due = links().filter_map(PeerLink::not_before).min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = timeout.into_iter().chain(due).min();
        let mut readable = {
            let mut fds = vec![PollFd::new(&*self.post.waker, PollFlags::IN)];
            let open = links().filter(|link| link.not_before().is_none());
            fds.extend(open.map(|link| PollFd::new(link.stream(), PollFlags::IN)));
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            // An error (a signal) counts as nothing readable; the next turn sees what is.
            let some = matches!(rustix::event::poll(&mut fds, timeout.as_ref()), Ok(1..));
            if some && !fds[0].revents().is_empty() {
                self.post.waker.clear();
            }
            let readable: Vec<bool> = fds.iter().skip(1).map(|fd| some && !fd.revents().is_empty()).collect();
            readable.into_iter()
        };
        let now = Instant::now();
        for entry in self.entries.values_mut() {
            for link in std::mem::take(&mut entry.parked) {
                let ready = link.not_before().map_or_else(|| readable.next() == Some(true), |when| when <= now);
                if ready { entry.ready.push_back(link) } else { entry.parked.push(link) }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Add(download) if download.is_stopped() => {}
            Event::Add(download) => {
                self.turn.push_back(download.id());
                self.entries.insert(download.id(), Entry::new(download, Instant::now(), &self.options));
            }
            Event::Remove(id, done) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.stop();
                    entry.removed = Some(done);
                }
            }
            Event::Peers(id, peers) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.candidates.learn(peers);
                    Self::dial(&self.dialer, id, entry, Instant::now());
                }
            }
            Event::DropGroup(group) => {
                for entry in self.entries.values_mut().filter(|entry| entry.download.subject().group == group) {
                    // Those that a worker holds are found to be out of date when they are parked.
                    let now = Instant::now();
                    entry.hang_up(now);
                    entry.candidates.retry(now);
                }
            }
            Event::Dialed(id, client, result) => self.dialed(id, client, result),
            Event::Returned(link, step) => self.returned(link, step),
            Event::Finished(id, result) => self.finished(id, result),
            Event::Close => {}
        }
    }

    fn dialed(&mut self, id: u64, client: ClientId, result: Result<PeerLink, DialError>) {
        let now = Instant::now();
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        match result {
            Ok(link) => {
                entry.candidates.connected(client);
                if entry.is_over() || entry.candidates.has_lied(client) {
                    entry.candidates.lost(client, now, false);
                    return;
                }
                self.park(link);
            }
            Err(DialError::UnknownKey) => {
                entry.candidates.lost(client, now, false);
                self.tell(SwarmEvent::StaleKey(self.entries[&id].download.subject().group));
            }
            Err(DialError::NotNow) => entry.candidates.lost(client, now, false),
            Err(DialError::Failed) => entry.candidates.lost(client, now, true),
        }
    }

    /// Parks a connection, after one more look whether there is something to ask: pieces may have come back while no
    /// worker held it.
    fn park(&mut self, mut link: PeerLink) {
        let id = link.download().id();
        let key = self.keyring.of_group(link.download().subject().group).map(|(id, _)| id);
        if key != Some(link.key()) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.candidates.lost(link.client(), Instant::now(), false);
            }
            return;
        }
        let asked = link.ask();
        match (asked, self.entries.get_mut(&id)) {
            (Ok(()), Some(entry)) => entry.parked.push(link),
            (Err(reason), Some(_)) => self.drop_link(link, reason),
            (_, None) => {}
        }
    }

    fn returned(&mut self, link: PeerLink, step: Step) {
        self.busy -= 1;
        let id = link.download().id();
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.busy -= 1;
        if entry.is_over() || entry.candidates.has_lied(link.client()) {
            entry.candidates.lost(link.client(), Instant::now(), false);
            return;
        }
        let lied = matches!(step, Step::Drops(DropReason::Lied(_)));
        if !lied && link.has_delivered() && entry.candidates.delivered(link.client()) {
            Self::dial(&self.dialer, id, entry, Instant::now());
            let _ = self.told.send(SwarmEvent::FirstPiece(id));
        }
        match step {
            Step::Waits => self.park(link),
            Step::Yields => entry.ready.push_back(link),
            Step::Drops(reason) => self.drop_link(link, reason),
            Step::Completes => {
                drop(link);
                entry.complete = true;
                entry.stop();
            }
            Step::Stops(why) => {
                drop(link);
                entry.stop();
                entry.failed = Some(why);
            }
        }
    }

    fn drop_link(&mut self, link: PeerLink, reason: DropReason) {
        let id = link.download().id();
        let client = link.client();
        let now = Instant::now();
        if let Some(entry) = self.entries.get_mut(&id) {
            match reason {
                DropReason::Lost => entry.candidates.lost(client, now, true),
                DropReason::Lied(what) => entry.lied(client, link.user(), &what),
            }
        }
        // Its pieces go back with it, and those that have nothing to do may take them.
        drop(link);
        self.ask_parked(id);
    }

    /// Pieces went back: every parked connection of the download may have something to ask now.
    fn ask_parked(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        for (link, reason) in entry.sift_parked(PeerLink::ask) {
            self.drop_link(link, reason);
        }
    }

    /// Every piece is here: a thread of its own checks the whole, syncs and renames, which may take long.
    fn finish(post: &Post, id: u64, entry: &mut Entry) {
        let (download, to_engine) = (entry.download.clone(), post.clone());
        let spawned = std::thread::Builder::new().name(format!("finish-{id}")).spawn(move || {
            let result = download.finish();
            to_engine.send(Event::Finished(id, result));
        });
        match spawned {
            Ok(thread) => entry.finisher = Some(thread),
            Err(error) => entry.failed = Some(format!("no thread can be started: {error}")),
        }
    }

    fn finished(&mut self, id: u64, result: Result<PathBuf, String>) {
        let Some(mut entry) = self.entries.remove(&id) else {
            return;
        };
        self.turn.retain(|other| *other != id);
        if let Some(thread) = entry.finisher.take() {
            // It has sent its last message.
            let _ = thread.join();
        }
        // A removal that comes too late is answered by dropping its channel.
        self.tell(match result {
            Ok(path) => SwarmEvent::Finished(entry.download, path),
            Err(why) => SwarmEvent::Failed(entry.download, why),
        });
    }

    fn tell(&self, event: SwarmEvent) {
        // Nobody listens any more when the client is closing.
        let _ = self.told.send(event);
    }

    fn tick(&mut self, now: Instant) {
        let ids: Vec<_> = self.entries.keys().copied().collect();
        for id in ids {
            let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.is_over()) else {
                continue;
            };
            entry.download.tick(now);
            let failed = entry.sift_parked(|link| link.check_time(now));
            let useful = entry.is_useful();
            if let Err(why) = entry.candidates.check_patience(now, useful) {
                entry.stop();
                entry.failed = Some(why);
                continue;
            }
            Self::dial(&self.dialer, id, entry, now);
            for (link, reason) in failed {
                self.drop_link(link, reason);
            }
            self.entries[&id].download.recall();
            // Pieces may have gone back, and what was left to others may be asked for by now.
            self.ask_parked(id);
        }
    }

    fn dial(dialer: &Dialer, id: u64, entry: &mut Entry, now: Instant) {
        if entry.is_over() {
            return;
        }
        for peer in entry.candidates.due(now) {
            let client = peer.client;
            let job = DialJob { id, download: entry.download.clone(), peer };
            if !dialer.dial(job) {
                entry.candidates.lost(client, now, false);
            }
        }
    }

    /// Gives ready connections to free workers, in turn among the downloads.
    fn dispatch(&mut self) {
        while self.busy < self.options.workers {
            let Some(place) = self.turn.iter().position(|id| self.entries.get(id).is_some_and(|e| !e.ready.is_empty()))
            else {
                break;
            };
            let Some(id) = self.turn.remove(place) else {
                break;
            };
            self.turn.push_back(id);
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            let Some(mut link) = entry.ready.pop_front() else {
                continue;
            };
            entry.busy += 1;
            self.busy += 1;
            let (post, others_wait) = (self.post.clone(), self.others_wait.clone());
            let downlink = self.options.downlink.clone();
            self.pool.spawn(move || {
                let step = link.work(&downlink, || others_wait.load(Ordering::Relaxed));
                post.send(Event::Returned(link, step));
            });
        }
        let waiting = self.entries.values().any(|entry| !entry.ready.is_empty());
        self.others_wait.store(waiting, Ordering::Relaxed);
    }

    /// Ends what is over, once no worker holds any of its connections.
    fn reap(&mut self) {
        for (id, entry) in &mut self.entries {
            let idle = entry.busy == 0 && entry.finisher.is_none();
            if entry.complete && idle && entry.removed.is_none() && entry.failed.is_none() {
                Self::finish(&self.post, *id, entry);
            }
        }
        let over = |entry: &Entry| entry.busy == 0 && entry.finisher.is_none() && entry.is_over();
        let ids: Vec<_> = self.entries.iter().filter(|(_, entry)| over(entry)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(entry) = self.entries.remove(&id) else {
                continue;
            };
            self.turn.retain(|other| *other != id);
            match (entry.removed, entry.failed) {
                // The one who asked may be gone.
                (Some(done), _) => drop(done.send(())),
                (None, Some(why)) => self.tell(SwarmEvent::Failed(entry.download, why)),
                (None, None) => {}
            }
        }
    }

    /// Ends everything; files in download stay as they are and can be resumed.
    fn close(mut self) {
        for entry in self.entries.values_mut() {
            entry.stop();
            entry.removed.get_or_insert_with(|| channel::bounded(1).0);
        }
        self.dialer.close();
        // Workers return after the frame they are at.
        self.others_wait.store(true, Ordering::Relaxed);
        while self.busy > 0 {
            match self.inbox.recv() {
                Ok(Event::Returned(..)) => self.busy -= 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        for entry in self.entries.into_values() {
            if let Some(thread) = entry.finisher {
                // A file that is complete gets its name even while the client is closing.
                let _ = thread.join();
            }
        }
    }
}
