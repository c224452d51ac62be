//! The thread of the seeder. It takes connections from the listener, parks waiting ones under one `poll`, and keeps
//! their time. A connection that can go on goes to a worker; members take turns.
//!
//! Invariant: a connection is in exactly one place: parked, ready, or with a worker.

use super::message::{SeederMailbox, SeederMessage};
use super::workers::UploadWorkers;
use crate::client::reach::calls::Calls;
use crate::client::reach::way::Way;
use crate::client::upload::origin::ConnectionOrigin;
use crate::client::upload::session::{Awaited, Entrance, HandBack, SessionContext, UploadConnection};
use crate::client::upload::turns::Turns;
use crate::model::name::UserId;
use crate::sys::standstill::stood_still;
use crossbeam_channel as channel;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause after an error of the listener, which most likely is a lack of descriptors.
const DEAF_PAUSE: Duration = Duration::from_millis(100);
/// The maximum number of new connections at a time, before the thread looks at the others.
const ACCEPTED_MAX: usize = 32;
/// The minimum and the maximum number of workers. While one of two shakes hands, the other goes on.
const WORKERS_MIN: usize = 2;
const WORKERS_MAX: usize = 4;

/// A connection that waits.
struct Parked {
    connection: Box<UploadConnection>,
    awaited: Awaited,
    /// The deadline of the connection.
    until: Option<Instant>,
}

pub(super) struct UploadDispatcher {
    context: Arc<SessionContext>,
    calls: Arc<Calls>,
    listener: TcpListener,
    inbox: channel::Receiver<SeederMessage>,
    mailbox: SeederMailbox,
    workers: UploadWorkers,
    parked: BTreeMap<u64, Parked>,
    ready: HashMap<u64, Box<UploadConnection>>,
    /// Connections at a worker, and their users when they were given to it.
    busy: HashMap<u64, Option<UserId>>,
    /// Ready connections of members.
    turns: Turns,
    /// Ready connections that have not opened anything yet.
    early: VecDeque<u64>,
    /// The number of connections so far.
    last: u64,
    /// The thread takes nothing from the listener before this time.
    deaf_until: Option<Instant>,
}

impl UploadDispatcher {
    pub(super) fn new(
        context: Arc<SessionContext>,
        calls: Arc<Calls>,
        listener: TcpListener,
        (inbox, mailbox): (channel::Receiver<SeederMessage>, SeederMailbox),
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = UploadWorkers::start(cores.clamp(WORKERS_MIN, WORKERS_MAX), &context, &mailbox)?;
        Ok(Self {
            context,
            calls,
            listener,
            inbox,
            mailbox,
            turns: Turns::new(workers.count()),
            workers,
            parked: BTreeMap::new(),
            ready: HashMap::new(),
            busy: HashMap::new(),
            early: VecDeque::new(),
            last: 0,
            deaf_until: None,
        })
    }

    /// Works until it gets `Close`.
    pub(super) fn run(mut self) {
        loop {
            self.wait();
            // Handles the messages behind `Close` too: a worker may be handing its connection back.
            while let Ok(message) = self.inbox.try_recv() {
                match message {
                    SeederMessage::Entered(stream, ip, entrance) => self.take_in(stream, ip, entrance),
                    SeederMessage::Back(connection, back) => self.take_back(connection, back),
                    SeederMessage::Close => return self.close(),
                }
            }
            self.dispatch();
        }
    }

    /// The time of the next step that needs no event.
    fn due(&self, now: Instant) -> Option<Instant> {
        let of_parked = self.parked.values().flat_map(|parked| {
            let waits = matches!(parked.awaited, Awaited::Limiter | Awaited::Row);
            [parked.until, waits.then(|| parked.connection.turn_due(parked.awaited, now)).flatten()]
        });
        let turn = if self.workers.free() > 0 { self.turns.due(now) } else { None };
        let (late, left) = (self.context.admission.late_due(now), self.context.leaving.due());
        of_parked.chain([self.deaf_until, turn, late, left]).flatten().min()
    }

    /// Waits until a connection can go on, and moves it from parked to ready.
    fn wait(&mut self) {
        let begun = Instant::now();
        let timeout = self.due(begun).map(|due| due.saturating_duration_since(begun));
        let (listens, events) = self.poll(timeout);
        let now = Instant::now();
        if let Some(lost) = timeout.and_then(|timeout| stood_still(timeout, now - begun)) {
            // Data that came meanwhile is still to be read.
            self.parked.values_mut().filter_map(|parked| parked.until.as_mut()).for_each(|until| *until += lost);
        }
        for (id, event) in events {
            let Some(parked) = self.parked.get(&id) else { continue };
            let goes_on = match parked.awaited {
                Awaited::Limiter | Awaited::Row => {
                    parked.connection.turn_due(parked.awaited, now).is_some_and(|due| due <= now)
                }
                Awaited::Bytes | Awaited::Room => event.intersects(PollFlags::IN | PollFlags::OUT),
            };
            if event.intersects(PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR | PollFlags::NVAL) {
                self.end(id);
            } else if goes_on {
                self.make_ready(id);
            } else if parked.until.is_some_and(|until| until <= now) {
                self.end(id);
            }
        }
        self.deaf_until = self.deaf_until.filter(|until| now < *until);
        if listens {
            self.accept(now);
        }
        self.context.admission.end_late(now);
        self.context.leaving.sweep(now);
    }

    /// Whether a new connection waits, and the events of each parked connection.
    fn poll(&self, timeout: Option<Duration>) -> (bool, Vec<(u64, PollFlags)>) {
        let listens = if self.deaf_until.is_none() { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = vec![PollFd::new(&*self.mailbox.waker, PollFlags::IN), PollFd::new(&self.listener, listens)];
        fds.extend(self.parked.values().map(|parked| {
            let flags = match parked.awaited {
                Awaited::Bytes => PollFlags::IN,
                Awaited::Room => PollFlags::OUT,
                Awaited::Limiter => PollFlags::empty(),
                // Another member may get the place of the connection.
                Awaited::Row => PollFlags::RDHUP,
            };
            PollFd::new(parked.connection.stream(), flags)
        }));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // After an error, such as a signal, nothing has happened. The next call sees the events.
        let some = matches!(rustix::event::poll(&mut fds, timeout.as_ref()), Ok(1..));
        let event = |fd: &PollFd<'_>| if some { fd.revents() } else { PollFlags::empty() };
        if !event(&fds[0]).is_empty() {
            self.mailbox.waker.clear();
        }
        let events = self.parked.keys().copied().zip(fds[2..].iter().map(event)).collect();
        (!event(&fds[1]).is_empty(), events)
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_MAX {
            match self.listener.accept() {
                Ok((stream, from)) => {
                    // This client may be dialing the same member right now, to take pieces from it.
                    if let Err(stream) = self.calls.accepted(stream, from) {
                        self.take_in(stream, Some(from.ip()), Entrance::Taken(Way::Direct));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.deaf_until = Some(now + DEAF_PAUSE);
                    return;
                }
            }
        }
    }

    /// Gives a connection an early place.
    fn take_in(&mut self, stream: TcpStream, ip: Option<IpAddr>, entrance: Entrance) {
        self.last += 1;
        let (id, stream) = (self.last, Arc::new(stream));
        let origin = ip.map_or_else(|| ConnectionOrigin::relayed(id), ConnectionOrigin::of);
        // The worker of such a connection finds that nothing more comes in.
        let given_up = self.context.admission.enter(id, stream.clone(), origin);
        given_up.into_iter().for_each(|id| self.end(id));
        let connection = UploadConnection::new(id, stream, entrance, Instant::now());
        self.ready.insert(id, Box::new(connection));
        self.early.push_back(id);
    }

    fn take_back(&mut self, mut connection: Box<UploadConnection>, back: HandBack) {
        self.workers.came_back();
        let (id, now) = (connection.id(), Instant::now());
        if let Some(user) = self.busy.remove(&id).flatten() {
            self.turns.end(&user, connection.has_given(), now);
        }
        match back {
            HandBack::Waits(awaited) => {
                let until = connection.deadline(awaited, now);
                self.parked.insert(id, Parked { connection, awaited, until });
            }
            HandBack::Yields => self.queue(connection),
            HandBack::Ends => self.finish(*connection),
        }
    }

    fn make_ready(&mut self, id: u64) {
        if let Some(parked) = self.parked.remove(&id) {
            self.queue(parked.connection);
        }
    }

    fn queue(&mut self, connection: Box<UploadConnection>) {
        let id = connection.id();
        match connection.user() {
            Some(user) => self.turns.wait(user, id),
            None => self.early.push_back(id),
        }
        self.ready.insert(id, connection);
    }

    /// Ends a connection that no worker has.
    fn end(&mut self, id: u64) {
        if let Some(connection) = self.ready.remove(&id) {
            match connection.user() {
                Some(user) => self.turns.give_up(user, id),
                None => self.early.retain(|early| *early != id),
            }
            self.finish(*connection);
        } else if let Some(parked) = self.parked.remove(&id) {
            self.finish(*parked.connection);
        }
    }

    fn finish(&self, connection: UploadConnection) {
        let id = connection.id();
        connection.close(&self.context);
        self.context.admission.leave(id);
    }

    /// Gives ready connections to free workers. While others wait, connections that have opened nothing yet get only
    /// one worker.
    fn dispatch(&mut self) {
        while self.workers.free() > 0 {
            let early_works = self.busy.values().any(Option::is_none);
            let early = if early_works { None } else { self.early.pop_front() };
            let next = early.or_else(|| self.turns.next(Instant::now())).or_else(|| self.early.pop_front());
            let Some(connection) = next.and_then(|id| self.ready.remove(&id)) else { break };
            self.busy.insert(connection.id(), connection.user().cloned());
            self.workers.give(connection);
        }
        self.workers.note_waiting(!self.ready.is_empty());
    }

    /// Ends everything.
    fn close(mut self) {
        self.context.admission.end_all();
        // Workers find that their connections are over.
        while self.workers.are_busy() {
            match self.inbox.recv() {
                Ok(SeederMessage::Back(connection, _)) => {
                    self.workers.came_back();
                    self.finish(*connection);
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let ids: Vec<_> = self.parked.keys().chain(self.ready.keys()).copied().collect();
        ids.into_iter().for_each(|id| self.end(id));
        self.context.leaving.clear();
    }
}
