//! Calling the other trackers: of any two, the one with the higher number calls, and calls again when the link is lost.

use super::link::serve;
use crate::tracker::core::Core;
use crate::wire::conn::{HANDSHAKE_DEADLINE, Timed};
use crate::wire::handshake::tracker_to_tracker;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Pause before the second call; it doubles with every call that fails.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Threads that call, one for each tracker with a lower number. Dropping it ends them; the links are ended by
/// [`super::Replica::close`].
pub struct Dialer {
    closing: Arc<Closing>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Closing {
    closed: Mutex<bool>,
    told: Condvar,
}

impl Closing {
    /// Waits for this long; false if it is time to end.
    fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut closed = self.closed.lock();
        while !*closed {
            if self.told.wait_until(&mut closed, until).timed_out() {
                break;
            }
        }
        !*closed
    }
}

impl Dialer {
    /// Starts calling.
    ///
    /// Errors: no thread can be started.
    pub fn start(core: &Arc<Core>) -> io::Result<Self> {
        let me = &core.replica.me;
        let mut dialer = Self { closing: Arc::default(), threads: Vec::new() };
        for &(number, addr) in me.others.iter().filter(|(number, _)| *number < me.origin.tracker) {
            let (core, closing) = (Arc::clone(core), Arc::clone(&dialer.closing));
            let run = move || keep_calling(&core, number, addr, &closing);
            dialer.threads.push(thread::Builder::new().name(format!("link-{number}")).spawn(run)?);
        }
        Ok(dialer)
    }

    /// Calls no more.
    pub fn close(&self) {
        *self.closing.closed.lock() = true;
        self.closing.told.notify_all();
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has printed so.
            let _ = thread.join();
        }
    }
}

fn keep_calling(core: &Core, number: u16, addr: SocketAddr, closing: &Closing) {
    let mut pause = PAUSE_MIN;
    while !core.replica.roll.is_retired(number) {
        let begun = Instant::now();
        if let Err(why) = call(core, number, addr) {
            core.replica.lost(number, &why);
        }
        // A link that lasted was a good one.
        pause = if begun.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        if !closing.pause(pause) {
            return;
        }
    }
}

fn call(core: &Core, number: u16, addr: SocketAddr) -> Result<(), String> {
    let stream = TcpStream::connect_timeout(&addr, CONNECT_MAX).map_err(|error| crate::sys::reason(&error))?;
    let (key_id, key) = core.identity.link_key();
    let keys = tracker_to_tracker(&mut Timed::new(&stream, HANDSHAKE_DEADLINE), key_id, &key);
    let keys = keys.map_err(|error| error.to_string())?;
    serve(core, &Arc::new(stream), keys, Some(number), || {})
}
