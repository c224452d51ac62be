//! Calling the other trackers: of any two, the one with the higher number calls, and calls again when the link is lost.

use super::link::serve;
use crate::sys::owned_thread::OwnedThread;
use crate::tracker::core::Core;
use crate::wire::connection::TimedStream;
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::handshake::tracker_to_tracker;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Pause before the second call; it doubles with every call that fails.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Threads that call, one for each tracker with a lower number. Dropping it ends them and their links.
pub(crate) struct Dialer {
    threads: Vec<(Arc<Closing>, OwnedThread)>,
}

/// How the one who closes the tracker and a thread that calls come together.
#[derive(Default)]
struct Closing {
    inner: Mutex<Inner>,
    told: Condvar,
}

#[derive(Default)]
struct Inner {
    closed: bool,
    /// The connection on which the thread may wait for the other tracker.
    calling: Option<Arc<TcpStream>>,
}

impl Closing {
    fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        // Fails if the connection is gone already.
        let _ = inner.calling.take().map(|stream| stream.shutdown(Shutdown::Both));
        drop(inner);
        self.told.notify_all();
    }

    /// The thread waits on this connection from now on, or on none; false if it is time to end.
    fn set_calling(&self, stream: Option<Arc<TcpStream>>) -> bool {
        let mut inner = self.inner.lock();
        inner.calling = stream;
        !inner.closed
    }

    /// Waits for this long; false if it is time to end.
    fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut inner = self.inner.lock();
        while !inner.closed {
            if self.told.wait_until(&mut inner, until).timed_out() {
                break;
            }
        }
        !inner.closed
    }
}

impl Dialer {
    /// Starts calling.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(core: &Arc<Core>) -> io::Result<Self> {
        let me = core.replica.me();
        let mut dialer = Self { threads: Vec::new() };
        for &(number, addr) in me.others.iter().filter(|(number, _)| *number < me.origin.tracker) {
            let closing: Arc<Closing> = Arc::default();
            let (core, told) = (core.clone(), closing.clone());
            let run = move || keep_calling(&core, number, addr, &told);
            dialer.threads.push((closing, OwnedThread::start(format!("link-{number}"), run)?));
        }
        Ok(dialer)
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        self.threads.iter().for_each(|(closing, _)| closing.close());
        // Joins them.
        self.threads.clear();
    }
}

fn keep_calling(core: &Core, number: u16, addr: SocketAddr, closing: &Closing) {
    let mut pause = PAUSE_MIN;
    while !core.replica.table().is_retired(number) {
        let begun = Instant::now();
        let ended = call(core, number, addr, closing);
        closing.set_calling(None);
        if let Err(why) = ended {
            core.replica.lost(number, &why);
        }
        // A link that lasted was a good one.
        pause = if begun.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        if !closing.pause(pause) {
            return;
        }
    }
}

fn call(core: &Core, number: u16, addr: SocketAddr, closing: &Closing) -> Result<(), String> {
    let stream = TcpStream::connect_timeout(&addr, CONNECT_MAX).map_err(|error| crate::sys::reason(&error))?;
    let stream = Arc::new(stream);
    if !closing.set_calling(Some(stream.clone())) {
        return Ok(());
    }
    let (key_id, key) = core.cluster_key.link_key();
    let keys = tracker_to_tracker(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE), key_id, &key);
    let keys = keys.map_err(|error| error.to_string())?;
    serve(core, &stream, keys, Some(number), || {})
}
