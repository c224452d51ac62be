//! Dials the other trackers. Of any two, the one with the higher number dials, and again when the link is lost.

use super::link::serve;
use super::link_error::LinkError;
use crate::model::address::TrackerAddr;
use crate::sys::net::resolve::{LOOKUP_DEADLINE, Lookups};
use crate::sys::owned_thread::OwnedThread;
use crate::tracker::core::Core;
use crate::wire::connection::TimedStream;
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::handshake::tracker_to_tracker;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Pause before the second call; it doubles with every call that fails.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Threads that dial, one for each tracker with a lower number. Dropping it ends them and their links.
pub(crate) struct LinkDialer {
    dialed: Vec<DialedTracker>,
}

/// Links to trackers that are dialed no longer. Dropping this waits for their ends.
pub struct EndedLinks {
    _dialed: Vec<DialedTracker>,
}

/// Another tracker and the thread that dials it. Dropping it ends both the thread and the link.
struct DialedTracker {
    number: u16,
    addr: TrackerAddr,
    stop: Arc<DialerStop>,
    thread: OwnedThread,
}

impl Drop for DialedTracker {
    fn drop(&mut self) {
        self.stop.close();
        self.thread.join();
    }
}

/// Tells a dialing thread to end.
struct DialerStop {
    state: Mutex<DialerState>,
    told: Condvar,
    /// Disconnected once it is time to end: a thread may wait for a name.
    closed: Receiver<Infallible>,
}

struct DialerState {
    /// Dropped, and gone from here, once it is time to end.
    open: Option<Sender<Infallible>>,
    /// The connection on which the thread may wait for the other tracker.
    calling: Option<Arc<TcpStream>>,
}

impl DialerStop {
    fn new() -> Self {
        let (open, closed) = bounded(0);
        Self { state: Mutex::new(DialerState { open: Some(open), calling: None }), told: Condvar::new(), closed }
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.open = None;
        // Fails if the connection is gone already.
        let _ = state.calling.take().map(|stream| stream.shutdown(Shutdown::Both));
        drop(state);
        self.told.notify_all();
    }

    /// The thread waits on this connection from now on, or on none; false if it is time to end.
    fn set_calling(&self, stream: Option<Arc<TcpStream>>) -> bool {
        let mut state = self.state.lock();
        state.calling = stream;
        state.open.is_some()
    }

    /// Waits for this long; false if it is time to end.
    fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while state.open.is_some() {
            if self.told.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.open.is_some()
    }
}

impl LinkDialer {
    /// Starts a thread for each tracker with a lower number.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(core: &Arc<Core>) -> io::Result<Self> {
        let mut dialer = Self { dialed: Vec::new() };
        let EndedLinks { .. } = dialer.set_others(core, &core.cluster.table().listed())?;
        Ok(dialer)
    }

    /// Dials these trackers from now on, as far as their numbers are lower, and no others. Does not wait for the links that
    /// end: they may be busy.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn set_others(&mut self, core: &Arc<Core>, others: &[(u16, TrackerAddr)]) -> io::Result<EndedLinks> {
        let own = core.cluster.me().origin.tracker;
        let is_same =
            |old: &DialedTracker| others.iter().any(|(number, addr)| (*number, addr) == (old.number, &old.addr));
        let (same, mut changed): (Vec<_>, Vec<_>) = self.dialed.drain(..).partition(is_same);
        self.dialed = same;
        changed.iter().for_each(|old| old.stop.close());
        for (number, addr) in others.iter().filter(|(number, _)| *number < own) {
            if self.dialed.iter().any(|old| old.number == *number) {
                continue;
            }
            let (number, addr, stop) = (*number, addr.clone(), Arc::new(DialerStop::new()));
            let (core, to, told) = (core.clone(), addr.clone(), stop.clone());
            let before = changed.iter().position(|old| old.number == number).map(|at| changed.swap_remove(at));
            let run = move || {
                // Of two links to one tracker, the older one ends first.
                drop(before);
                keep_calling(&core, number, &to, &told);
            };
            let thread = OwnedThread::start(format!("link-{number}"), run)?;
            self.dialed.push(DialedTracker { number, addr, stop, thread });
        }
        Ok(EndedLinks { _dialed: changed })
    }
}

impl Drop for LinkDialer {
    fn drop(&mut self) {
        self.dialed.iter().for_each(|dialed| dialed.stop.close());
        // Joins them.
        self.dialed.clear();
    }
}

fn keep_calling(core: &Core, number: u16, addr: &TrackerAddr, stop: &DialerStop) {
    let mut lookups = Lookups::new();
    let mut pause = PAUSE_MIN;
    loop {
        let begun = Instant::now();
        // A tracker that is forgotten may be taken back.
        if !core.cluster.table().is_forgotten(number) {
            let reached = reach(addr, &mut lookups, &stop.closed);
            let ended = reached.and_then(|stream| talk(core, number, stream, stop));
            stop.set_calling(None);
            if let Err(why) = ended {
                core.cluster.lost(number, &why);
            }
        }
        // A link that lasted was a good one.
        pause = if begun.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        if !stop.pause(pause) {
            return;
        }
    }
}

/// Connects to the first address of the other tracker that accepts.
fn reach(tracker: &TrackerAddr, lookups: &mut Lookups, closed: &Receiver<Infallible>) -> Result<TcpStream, LinkError> {
    let addrs = match tracker {
        TrackerAddr::Addr(addr) => vec![*addr],
        TrackerAddr::Named { host, port } => {
            lookups.find(host, *port, LOOKUP_DEADLINE, closed).map_err(LinkError::Lookup)?
        }
    };
    let mut failure = None;
    for addr in addrs {
        match TcpStream::connect_timeout(&addr, CONNECT_MAX) {
            Ok(stream) => return Ok(stream),
            // Of several the first is the one that was to be taken.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(LinkError::System(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into())))
}

fn talk(core: &Core, number: u16, stream: TcpStream, stop: &DialerStop) -> Result<(), LinkError> {
    let stream = Arc::new(stream);
    if !stop.set_calling(Some(stream.clone())) {
        return Ok(());
    }
    let (key_id, key) = core.cluster_key.link_key();
    let keys = tracker_to_tracker(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE), key_id, &key);
    serve(core, &stream, keys.map_err(LinkError::Handshake)?, Some(number), || {})
}
