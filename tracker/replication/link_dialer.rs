//! Dials the other trackers. Of two trackers the one with the higher number dials, and dials again when the link is
//! lost.

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

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// The pause before the second attempt. It doubles with every failed attempt.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Threads that dial, one for each tracker with a lower number. Dropping this ends them and their links.
pub(crate) struct LinkDialer {
    dialed: Vec<DialedTracker>,
}

/// Links to trackers that are no longer dialed. Dropping this waits for their end.
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
    /// Disconnected when the thread has to end. The thread may be waiting for a name.
    closed: Receiver<Infallible>,
}

struct DialerState {
    /// Dropped when the thread has to end.
    open: Option<Sender<Infallible>>,
    /// The connection on which the thread may be waiting for the other tracker.
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

    /// Notes the connection on which the thread waits. Returns false if the thread has to end.
    fn set_calling(&self, stream: Option<Arc<TcpStream>>) -> bool {
        let mut state = self.state.lock();
        state.calling = stream;
        state.open.is_some()
    }

    /// Waits for this long. Returns false if the thread has to end.
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

    /// From now on dials exactly those of these trackers that have lower numbers. Does not wait for links that end:
    /// they may be busy.
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
                // The older of two links to one tracker ends first.
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
        // The cluster may take a forgotten tracker back.
        if !core.cluster.table().is_forgotten(number) {
            let reached = reach(addr, &mut lookups, &stop.closed);
            let ended = reached.and_then(|stream| talk(core, number, stream, stop));
            stop.set_calling(None);
            if let Err(why) = ended {
                core.cluster.lost(number, &why);
            }
        }
        // After a link that lasted, the pause begins at its minimum.
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
            // Tells the failure of the first address, which is the preferred one.
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
