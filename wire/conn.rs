//! A connection after its handshake: frames in and out of a TCP socket.
//!
//! One descriptor serves both directions, and neither direction waits for the other: the receiver belongs to one thread,
//! the sender is shared. A push never waits for a slow far side: what does not go out at once makes the connection end.

use super::channel::{ChannelError, IDLE_BUFFER_LEN, Opener, Sealer};
use super::codec::DecodeError;
use super::frame::{self, Frame, Message};
use super::handshake::is_timeout;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvFlags, SendFlags};
use snow::StatelessTransportState;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// From the first byte of a frame, all of it must have come in or gone out within this time.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(20);
/// A handshake, from the connection to its end.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Pushes that may wait behind a reply being written, before the far side counts as too slow.
const PUSHES_MAX: usize = 256;

/// Why nothing more comes in.
#[derive(Debug)]
pub enum RecvError {
    /// The far side ended the connection between frames.
    Closed,
    /// The far side ended the connection inside a frame.
    Cut,
    /// Nothing came in for as long as the connection may be idle.
    Idle,
    /// A frame took longer than [`FRAME_DEADLINE`].
    Slow,
    /// The socket failed.
    Io(io::Error),
    /// The bytes are not what this channel can carry.
    Channel(ChannelError),
    /// The frame or its message is malformed.
    Decode(DecodeError),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => write!(f, "the connection was closed"),
            RecvError::Cut => write!(f, "the connection was closed inside a message"),
            RecvError::Idle => write!(f, "nothing was heard for too long"),
            RecvError::Slow => write!(f, "a message took too long"),
            RecvError::Io(error) => write!(f, "{error}"),
            RecvError::Channel(error) => write!(f, "{error}"),
            RecvError::Decode(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RecvError {}

impl From<ChannelError> for RecvError {
    fn from(error: ChannelError) -> Self {
        RecvError::Channel(error)
    }
}

impl From<DecodeError> for RecvError {
    fn from(error: DecodeError) -> Self {
        RecvError::Decode(error)
    }
}

/// A socket with one deadline over many reads and writes, for handshakes.
#[derive(Debug)]
pub struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl<'a> Timed<'a> {
    /// Everything must be done within this time from now.
    pub fn new(stream: &'a TcpStream, within: Duration) -> Self {
        Self { stream, until: Instant::now() + within }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buf)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a connection of a socket and the keys of its handshake. `bulk` connections carry pieces and keep their
/// buffers from frame to frame; the others give memory back whenever they are idle.
pub fn split(
    stream: impl Into<Arc<TcpStream>>,
    keys: StatelessTransportState,
    frame_len_max: usize,
    bulk: bool,
) -> io::Result<(Receiver, Arc<Sender>)> {
    let (stream, keys) = (stream.into(), Arc::new(keys));
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(FRAME_DEADLINE))?;
    let receiver = Receiver {
        stream: stream.clone(),
        keys: keys.clone(),
        opener: Opener::new(frame_len_max),
        timeout: None,
        bulk,
    };
    let sender = Sender {
        stream,
        keys,
        bulk,
        sealer: Mutex::new(Sealer::default()),
        pushes: Mutex::new(VecDeque::new()),
        over: AtomicBool::new(false),
    };
    Ok((receiver, Arc::new(sender)))
}

/// The incoming direction of a connection.
#[derive(Debug)]
pub struct Receiver {
    stream: Arc<TcpStream>,
    keys: Arc<StatelessTransportState>,
    opener: Opener,
    /// The read timeout set on the socket, so that it is not set again for every frame.
    timeout: Option<Duration>,
    bulk: bool,
}

impl Receiver {
    /// Takes frames up to another length from now on.
    pub fn set_frame_len_max(&mut self, frame_len_max: usize) {
        self.opener.set_frame_len_max(frame_len_max);
    }

    /// The socket, for waiting until it is readable.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// How many bytes must come in before anything can happen.
    pub fn wanted_len(&self) -> usize {
        self.opener.wanted_len()
    }

    /// True between frames.
    pub fn is_idle(&self) -> bool {
        self.opener.is_idle()
    }

    /// Waits for the next frame: up to `idle` for its first byte, then up to [`FRAME_DEADLINE`] for the rest.
    pub fn recv(&mut self, idle: Duration) -> Result<Frame<'_>, RecvError> {
        self.opener.next_frame();
        let mut until = None;
        while !self.opener.advance(&self.keys)? {
            let now = Instant::now();
            let wait = if self.opener.is_idle() {
                if !self.bulk {
                    self.opener.release();
                }
                idle
            } else {
                let until = *until.get_or_insert(now + FRAME_DEADLINE);
                until.saturating_duration_since(now)
            };
            if wait.is_zero() {
                return Err(RecvError::Slow);
            }
            self.read(wait)?;
        }
        Ok(self.opener.frame()?)
    }

    fn read(&mut self, wait: Duration) -> Result<(), RecvError> {
        if self.timeout != Some(wait) {
            self.stream.set_read_timeout(Some(wait)).map_err(RecvError::Io)?;
            self.timeout = Some(wait);
        }
        match (&*self.stream).read(self.opener.room()) {
            Ok(0) => Err(self.ended()),
            Ok(len) => {
                self.opener.filled(len);
                Ok(())
            }
            Err(error) if is_timeout(&error) && self.opener.is_idle() => Err(RecvError::Idle),
            Err(error) if is_timeout(&error) => Err(RecvError::Slow),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(RecvError::Io(error)),
        }
    }

    fn ended(&self) -> RecvError {
        if self.opener.is_idle() { RecvError::Closed } else { RecvError::Cut }
    }

    /// Takes what has come in without waiting; true once a frame is whole, which [`Receiver::frame`] shows until
    /// [`Receiver::next_frame`].
    pub fn poll(&mut self) -> Result<bool, RecvError> {
        while !self.opener.advance(&self.keys)? {
            match rustix::net::recv(&*self.stream, self.opener.room(), RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(self.ended()),
                Ok((len, _)) => self.opener.filled(len),
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(RecvError::Io(error.into())),
            }
        }
        Ok(true)
    }

    /// Waits until something comes in, or for this long; true if something did.
    pub fn wait_readable(&self, within: Duration) -> bool {
        let mut fds = [PollFd::new(&*self.stream, PollFlags::IN)];
        let within = Timespec::try_from(within).ok();
        matches!(rustix::event::poll(&mut fds, within.as_ref()), Ok(1..))
    }

    /// The frame that [`Receiver::poll`] has found whole.
    pub fn frame(&self) -> Result<Frame<'_>, RecvError> {
        Ok(self.opener.frame()?)
    }

    /// Goes on to the next frame.
    pub fn next_frame(&mut self) {
        self.opener.next_frame();
    }

    /// Gives back memory above what an idle connection may keep.
    pub fn release(&mut self) {
        self.opener.release();
    }
}

/// The outgoing direction of a connection, shared by all who have something to say on it.
#[derive(Debug)]
pub struct Sender {
    // Immutable.
    stream: Arc<TcpStream>,
    keys: Arc<StatelessTransportState>,
    bulk: bool,
    // Locked while a frame is sealed and written. The one lock that is held across a write: it orders the frames of
    // this connection, nobody else waits for it, and the write has a deadline.
    sealer: Mutex<Sealer>,
    // Frames that wait for whoever writes now.
    pushes: Mutex<VecDeque<Vec<u8>>>,
    // Set once; nothing goes out any more.
    over: AtomicBool,
}

impl Sender {
    /// Sends a message, waiting up to [`FRAME_DEADLINE`] for the far side to take it.
    pub fn send<M: Message>(&self, request: u32, message: &M) -> io::Result<()> {
        self.send_frame(&frame::of(request, message))
    }

    /// Sends a frame made with [`frame::begin`] and [`frame::end`].
    pub fn send_frame(&self, frame: &[u8]) -> io::Result<()> {
        let result = {
            let mut sealer = self.sealer.lock();
            let result = self.write_all(sealer.seal(&self.keys, frame));
            if !self.bulk {
                sealer.release();
            }
            result
        };
        if result.is_err() {
            self.end();
        }
        self.flush_pushes();
        result
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let until = Instant::now() + FRAME_DEADLINE;
        while !bytes.is_empty() {
            if self.over.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            match (&*self.stream).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // Each write has the socket's own timeout; this bounds a far side that takes a byte now and then.
            if !bytes.is_empty() && Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Sends a message that nobody asked for, without ever waiting. A far side that is too slow to take it is cut off:
    /// it will learn what it missed when it comes back.
    pub fn push<M: Message>(&self, message: &M) {
        {
            let mut pushes = self.pushes.lock();
            if pushes.len() >= PUSHES_MAX {
                drop(pushes);
                return self.end();
            }
            pushes.push_back(frame::of(frame::UNASKED, message));
        }
        self.flush_pushes();
    }

    /// Writes waiting pushes unless somebody else is writing, who will do it then.
    fn flush_pushes(&self) {
        while !self.pushes.lock().is_empty() {
            let Some(mut sealer) = self.sealer.try_lock() else {
                return;
            };
            while let Some(frame) = self.next_push() {
                let sealed = sealer.seal(&self.keys, &frame);
                let sent = rustix::net::send(&*self.stream, sealed, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                if sent != Ok(sealed.len()) {
                    self.end();
                }
            }
            if !self.bulk {
                sealer.release();
            }
            // The lock is free again before the queue is looked at once more, so that no push is left behind.
        }
    }

    fn next_push(&self) -> Option<Vec<u8>> {
        self.pushes.lock().pop_front()
    }

    /// Ends the connection in both directions; the receiver sees it as closed.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        // Fails only if the connection is gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Ends the outgoing direction after what was sent, so that the far side reads all of it.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Whether the connection was ended from this side.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

const _: () = assert!(IDLE_BUFFER_LEN >= frame::HEADER_LEN);
