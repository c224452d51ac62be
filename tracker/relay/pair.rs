//! Two connections between which the relay passes bytes. Each direction has a thread: that of the connection from
//! which it reads. A direction holds one buffer. So a slow reader costs no memory: the relay reads no further from its
//! far side.

use crate::rate::uplink::UplinkFlow;
use parking_lot::{Condvar, Mutex};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many bytes are read at a time. Few, so that each pair gets its turn soon even among many.
pub(super) const WIDE_LEN: usize = 32 * 1024;
/// The same if there are many pairs.
pub(super) const NARROW_LEN: usize = 8 * 1024;

/// The connections of two members.
#[derive(Debug)]
pub(super) struct Pair {
    ends: [Arc<TcpStream>; 2],
    begun: Instant,
    /// When a byte was last received or sent, in ms since `begun`.
    moved_ms: AtomicU64,
    /// After this long without a byte the pair ends.
    silence: Duration,
    /// How many bytes each direction reads at a time.
    buffer_len: usize,
    /// Set once the pair has ended.
    over: AtomicBool,
    /// The number of directions that still pass bytes.
    open: Mutex<u8>,
    closed: Condvar,
}

impl Pair {
    pub(super) fn new(ends: [Arc<TcpStream>; 2], silence: Duration, buffer_len: usize) -> Self {
        Self {
            ends,
            begun: Instant::now(),
            moved_ms: AtomicU64::new(0),
            silence,
            buffer_len,
            over: AtomicBool::new(false),
            open: Mutex::new(2),
            closed: Condvar::new(),
        }
    }

    /// Passes on the bytes of this side. Returns when neither side sends any more. Reports the bytes to `passed`.
    pub(super) fn pump(&self, side: usize, flow: &UplinkFlow, is_closing: &AtomicBool, passed: &AtomicU64) {
        let (from, to) = (&*self.ends[side], &*self.ends[1 - side]);
        let direction = Direction { pair: self, from, to, flow, is_closing, passed };
        match direction.run() {
            // The other direction may go on. Fails if the far side is gone: then that direction ends too.
            Ok(()) => drop(to.shutdown(Shutdown::Write)),
            // Whatever the error is, the members notice the end of their connection.
            Err(_) => self.end(),
        }
        *self.open.lock() -= 1;
        self.closed.notify_all();
        self.closed.wait_while(&mut self.open.lock(), |open| *open > 0);
    }

    /// Ends both directions.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        for stream in &self.ends {
            // Fails if the connection is gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn moved(&self) {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// How much longer the pair may be silent.
    fn silence_left(&self) -> Duration {
        let until = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)) + self.silence;
        until.saturating_sub(self.begun.elapsed())
    }
}

/// One direction of a pair.
struct Direction<'a> {
    pair: &'a Pair,
    from: &'a TcpStream,
    to: &'a TcpStream,
    flow: &'a UplinkFlow,
    is_closing: &'a AtomicBool,
    passed: &'a AtomicU64,
}

impl Direction<'_> {
    /// Passes bytes until the side has sent its last one.
    ///
    /// # Errors
    /// The pair was silent for too long, or one of the connections is gone.
    fn run(&self) -> io::Result<()> {
        self.to.set_nodelay(true)?;
        self.from.set_read_timeout(Some(self.pair.silence))?;
        self.to.set_write_timeout(Some(self.pair.silence))?;
        let mut buffer = vec![0; self.pair.buffer_len];
        loop {
            let len = self.patiently(|| (&*self.from).read(&mut buffer), TcpStream::set_read_timeout, self.from)?;
            if len == 0 {
                return Ok(());
            }
            self.pass(&buffer[..len])?;
        }
    }

    fn pass(&self, mut bytes: &[u8]) -> io::Result<()> {
        let is_over = || self.pair.over.load(Ordering::Acquire) || self.is_closing.load(Ordering::Acquire);
        while !bytes.is_empty() {
            let allowed = self.flow.wait(bytes.len(), is_over).ok_or(ErrorKind::ConnectionAborted)?;
            let (now, later) = bytes.split_at(allowed);
            bytes = later;
            self.write(now)?;
        }
        Ok(())
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let len = self.patiently(|| (&*self.to).write(bytes), TcpStream::set_write_timeout, self.to)?;
            self.passed.fetch_add(len as u64, Ordering::Relaxed);
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Reads or writes. Waits for as long as bytes move in either direction.
    fn patiently(
        &self,
        mut step: impl FnMut() -> io::Result<usize>,
        set_timeout: impl Fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        stream: &TcpStream,
    ) -> io::Result<usize> {
        loop {
            match step() {
                Ok(len) => {
                    self.pair.moved();
                    return Ok(len);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    let left = self.pair.silence_left();
                    if left.is_zero() {
                        return Err(error);
                    }
                    set_timeout(stream, Some(left))?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
