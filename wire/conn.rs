//! A connection after its handshake: frames in and out of a TCP socket.
//!
//! One descriptor serves both directions, and neither direction waits for the other: the receiver belongs to one thread,
//! the sender is shared. A push never waits for a slow far side: what the socket does not take at once goes out with the
//! next frame that somebody waits for, and a far side that leaves too much waiting is cut off.

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

/// From the first byte of a frame, all of it must have come in or gone out within this time. A piece may take longer, as
/// long as bytes of it move within this time: a link may be slow.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(20);
/// A handshake, from the connection to its end.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A side with nothing to say says so after this long, so that the other side knows that it is there.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// A side that has heard nothing for this long ends the connection.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(45);
/// Pushes that may wait for a far side that does not read, before it counts as too slow.
const PUSHES_MAX: usize = 256;
/// Pushes that are queued before they are written.
const PUSHES_QUEUED_MAX: usize = 32;
/// Sealed bytes after which no further push joins a write.
const PUSHED_AT_ONCE: usize = 16 * 1024;

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
        polled: 0,
        frame_deadline: FRAME_DEADLINE,
        bulk,
    };
    let sender = Sender {
        stream,
        keys,
        bulk,
        outgoing: Mutex::new(Outgoing::default()),
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
    /// Bytes that have come in through [`Receiver::poll`].
    polled: u64,
    opener: Opener,
    /// The read timeout set on the socket, so that it is not set again for every frame.
    timeout: Option<Duration>,
    /// [`FRAME_DEADLINE`], but for tests.
    frame_deadline: Duration,
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
                let until = *until.get_or_insert(now + self.frame_deadline);
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
        self.poll_within(usize::MAX)
    }

    /// The same, but takes this many bytes from the socket at most.
    pub fn poll_within(&mut self, len_max: usize) -> Result<bool, RecvError> {
        let end = self.polled.saturating_add(len_max as u64);
        while !self.opener.advance(&self.keys)? {
            let room = self.opener.room();
            let left = usize::try_from(end - self.polled).unwrap_or(usize::MAX);
            let len = room.len().min(left);
            if len == 0 {
                return Ok(false);
            }
            match rustix::net::recv(&*self.stream, &mut room[..len], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(self.ended()),
                Ok((len, _)) => {
                    self.polled += len as u64;
                    self.opener.filled(len);
                }
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

    /// How many bytes have come in through [`Receiver::poll`] so far: whether a far side that has not completed a frame
    /// is silent or slow.
    pub fn polled(&self) -> u64 {
        self.polled
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
    // Locked while frames are sealed and written. The one lock that is held across a write: it orders the frames of
    // this connection, no push waits for it, and the write has a deadline.
    outgoing: Mutex<Outgoing>,
    // Pushes that wait for whoever writes now, or for room in the socket.
    pushes: Mutex<VecDeque<Vec<u8>>>,
    // Set once; nothing goes out any more.
    over: AtomicBool,
}

/// Where the outgoing stream of bytes stands.
#[derive(Debug, Default)]
struct Outgoing {
    sealer: Sealer,
    /// What the socket did not take of a push that is sealed already: it goes out before anything else.
    rest: Vec<u8>,
}

impl Sender {
    /// Sends a message, waiting up to [`FRAME_DEADLINE`] for the far side to take it.
    pub fn send<M: Message>(&self, request: u32, message: &M) -> io::Result<()> {
        self.send_frame(&frame::of(request, message))
    }

    /// Sends a frame made with [`frame::begin`] and [`frame::end`].
    pub fn send_frame(&self, frame: &[u8]) -> io::Result<()> {
        self.send_paced(frame, Some)
    }

    /// Sends a frame in steps: before each, `allow` is told how many bytes are left, waits as long as it likes, and gives
    /// how many of them may leave now, or none when nothing more is to be sent.
    pub fn send_paced(&self, frame: &[u8], allow: impl Fn(usize) -> Option<usize>) -> io::Result<()> {
        let result = {
            let mut outgoing = self.outgoing.lock();
            let result = self.write_frame(&mut outgoing, frame, allow);
            if !self.bulk {
                outgoing.sealer.release();
            }
            result
        };
        if result.is_err() {
            self.end();
        }
        self.flush();
        result
    }

    /// Writes a frame between the pushes that waited for room and those that came meanwhile. Who sends a frame may
    /// wait for the far side, so pushes that had to wait are taken along.
    fn write_frame(
        &self,
        outgoing: &mut Outgoing,
        frame: &[u8],
        allow: impl Fn(usize) -> Option<usize>,
    ) -> io::Result<()> {
        self.write_all(&std::mem::take(&mut outgoing.rest))?;
        self.write_waiting(outgoing)?;
        let mut sealed = outgoing.sealer.seal(&self.keys, frame);
        while !sealed.is_empty() {
            let (now, later) = sealed.split_at(allow(sealed.len()).ok_or(io::ErrorKind::NotConnected)?);
            self.write_all(now)?;
            sealed = later;
        }
        self.write_waiting(outgoing)
    }

    fn write_waiting(&self, outgoing: &mut Outgoing) -> io::Result<()> {
        std::iter::from_fn(|| self.next_push())
            .try_for_each(|push| self.write_all(outgoing.sealer.seal(&self.keys, &push)))
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
            // Each write has the socket's own timeout; this bounds a far side that takes a byte now and then, where
            // others may wait for it.
            if !bytes.is_empty() && !self.bulk && Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Sends a message that nobody asked for, without ever waiting. What the socket has no room for goes out with the
    /// next frame that is sent, at the latest with the answer to a heartbeat. A far side that is too slow is cut off:
    /// it will learn what it missed when it comes back.
    pub fn push<M: Message>(&self, message: &M) {
        self.queue(frame::UNASKED, message);
        self.flush();
    }

    /// The first half of a push, also of an answer that must not wait: the message leaves with the next
    /// [`Sender::flush`], so that several need one write. Where many wait already, that is now.
    pub fn queue<M: Message>(&self, request: u32, message: &M) {
        if self.is_over() {
            return;
        }
        let waiting = {
            let mut pushes = self.pushes.lock();
            if pushes.len() < PUSHES_MAX {
                pushes.push_back(frame::of(request, message));
                pushes.len()
            } else {
                usize::MAX
            }
        };
        match waiting {
            usize::MAX => self.end(),
            PUSHES_QUEUED_MAX.. => self.flush(),
            _ => {}
        }
    }

    /// Whether no push waits. Who merges what it has to say while one does, and says it when none does, is never cut off
    /// for it.
    pub fn is_clear(&self) -> bool {
        !self.is_over() && self.pushes.lock().is_empty()
    }

    /// Writes waiting pushes without waiting, unless somebody else is writing, who will do it then.
    pub fn flush(&self) {
        if !self.pushes.lock().is_empty() {
            self.flush_rest();
        }
    }

    /// The same with what had no room before; whether something may be left.
    pub fn flush_rest(&self) -> bool {
        loop {
            let Some(mut outgoing) = self.outgoing.try_lock() else { return true };
            let room = self.write_pushes(&mut outgoing);
            if !self.bulk {
                outgoing.sealer.release();
            }
            // The lock is free again before the queue is looked at once more, so that no push is left behind.
            drop(outgoing);
            if !room || self.pushes.lock().is_empty() {
                return !room && !self.is_over();
            }
        }
    }

    /// Writes waiting pushes as far as the socket takes them at once; false if it takes no more.
    fn write_pushes(&self, outgoing: &mut Outgoing) -> bool {
        loop {
            while outgoing.rest.len() < PUSHED_AT_ONCE {
                let Some(push) = self.next_push() else {
                    break;
                };
                outgoing.rest.extend_from_slice(outgoing.sealer.seal(&self.keys, &push));
            }
            if outgoing.rest.is_empty() {
                return true;
            }
            match rustix::net::send(&*self.stream, &outgoing.rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(len) if len == outgoing.rest.len() => outgoing.rest = Vec::new(),
                Ok(len) => drop(outgoing.rest.drain(..len)),
                Err(rustix::io::Errno::AGAIN) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    self.end();
                    return false;
                }
            }
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

    /// Ends the outgoing direction after what was sent and pushed, so that the far side reads all of it. A push that
    /// somebody else is about to write is waited for.
    pub fn finish(&self) {
        self.write_pushes(&mut self.outgoing.lock());
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Whether the connection was ended from this side.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

const _: () = assert!(IDLE_BUFFER_LEN >= frame::HEADER_LEN);

#[cfg(test)]
mod tests {
    use super::super::channel::RECORD_PLAIN_MAX;
    use super::super::codec::{List, Tail};
    use super::super::handshake::{self, HandshakeError, tests::keys};
    use super::super::peer::Answer;
    use super::*;
    use crate::model::digest::KeyId;
    use std::net::TcpListener;
    use std::thread;

    const PIECE: usize = 512 * 1024;
    /// Longer than any test takes, even on a busy machine.
    const LONG: Duration = Duration::from_secs(60);

    /// Two sockets that are connected to each other.
    fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        (near, listener.accept().expect("accepts").0)
    }

    /// Both ends of a connection.
    fn pair(bulk: bool) -> [(Receiver, Arc<Sender>); 2] {
        let ((near, far), (near_keys, far_keys)) = (sockets(), keys());
        let end = |stream, keys| split(stream, keys, frame::FRAME_LEN_MAX, bulk).expect("a socket");
        [end(near, near_keys), end(far, far_keys)]
    }

    fn news(pieces: &[u32]) -> Answer {
        Answer::News { pieces: List::new(pieces.to_vec()).expect("few") }
    }

    /// A `Piece` whose data has this length and tells by its first bytes which one it is.
    fn piece(request: u32, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        frame::begin(&mut out, request, &Answer::Piece { data: Tail { len: 0 } });
        out.extend((0..len).map(|at| (at as u32 ^ request) as u8));
        frame::end(&mut out);
        out
    }

    #[test]
    fn pushes_of_many_threads_between_large_frames_arrive_whole_and_in_order() {
        const PUSHERS: u32 = 4;
        const PUSHES: u32 = 50;
        const PIECES: u32 = 40;
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(true);
        let reader = thread::spawn(move || {
            let mut heard = vec![Vec::new(); PUSHERS as usize];
            let mut pieces = 0;
            loop {
                match far.recv(LONG) {
                    Ok(frame) if frame.request == frame::UNASKED => {
                        let Ok(Answer::News { pieces }) = frame.message() else { panic!("not news") };
                        heard[pieces[0] as usize].push(pieces[1]);
                        assert!(pieces[2..].iter().all(|&n| n == pieces[1]), "torn");
                    }
                    Ok(frame) => {
                        assert_eq!(frame.request, pieces + 1, "out of order");
                        pieces += 1;
                        assert_eq!(frame.body, &piece(pieces, PIECE)[frame::HEADER_LEN..]);
                    }
                    Err(RecvError::Closed) => return (pieces, heard),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        thread::scope(|scope| {
            for pusher in 0..PUSHERS {
                let near = &near;
                scope.spawn(move || {
                    for n in 0..PUSHES {
                        near.push(&news(&[pusher, n, n, n, n]));
                    }
                });
            }
            for request in 1..=PIECES {
                near.send_frame(&piece(request, PIECE)).expect("goes out");
            }
        });
        near.send_frame(&piece(PIECES + 1, PIECE)).expect("goes out, and what waits with it");
        near.finish();
        let (pieces, heard) = reader.join().expect("the reader has no complaint");
        assert_eq!(pieces, PIECES + 1);
        assert!(heard.iter().all(|heard| heard.iter().copied().eq(0..PUSHES)), "{heard:?}");
    }

    /// What a slow link does, a small buffer does as well: there is no room in the socket most of the time.
    fn squeeze(sender: &Sender) {
        rustix::net::sockopt::set_socket_send_buffer_size(&*sender.stream, 64 * 1024).expect("set");
    }

    #[test]
    fn pushes_directly_behind_a_large_frame_do_not_cut_off_a_far_side_that_reads() {
        const ROUNDS: u32 = 50;
        const PUSHES: u32 = 20;
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(true);
        squeeze(&near);
        let reader = thread::spawn(move || {
            let mut frames = 0;
            loop {
                match far.recv(LONG) {
                    Ok(_) => frames += 1,
                    Err(RecvError::Closed) => return frames,
                    Err(error) => panic!("{error} after {frames}"),
                }
            }
        });
        for request in 1..=ROUNDS {
            near.send_frame(&piece(request, PIECE)).expect("goes out");
            for n in 0..PUSHES {
                near.push(&news(&[n; 1000]));
            }
        }
        near.send(ROUNDS + 1, &Answer::Alive {}).expect("goes out, and what waits with it");
        near.finish();
        assert_eq!(reader.join().expect("the reader has no complaint"), ROUNDS * (1 + PUSHES) + 1);
    }

    #[test]
    fn a_push_that_was_cut_by_a_full_socket_goes_on_before_the_next_frame() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
        squeeze(&near);
        let mut pushed = 0;
        while near.outgoing.lock().rest.is_empty() {
            near.push(&news(&[pushed; 4000]));
            pushed += 1;
        }
        near.push(&news(&[pushed; 4000]));
        assert!(!near.is_over());
        thread::scope(|scope| {
            scope.spawn(|| near.send(1, &Answer::Alive {}).expect("goes out once the far side reads"));
            let mut frames = (0..pushed + 2).map(|_| far.recv(LONG).expect("comes in").message().expect("a message"));
            for n in 0..pushed {
                assert_eq!(frames.next(), Some(news(&[n; 4000])));
            }
            let last = [frames.next(), frames.next()];
            assert!(last.contains(&Some(Answer::Alive {})) && last.contains(&Some(news(&[pushed; 4000]))));
        });
    }

    #[test]
    fn a_push_never_waits_for_a_far_side_that_does_not_read() {
        let [(_near_receiver, near), _far] = pair(false);
        let start = Instant::now();
        // The most that the sockets of both sides hold by far, in pushes of 16 KB.
        let pushes = (0..100_000).find(|&n| {
            near.push(&news(&[n; 4000]));
            near.is_over()
        });
        assert!(pushes.is_some_and(|pushes| pushes as usize >= PUSHES_MAX), "{pushes:?}");
        // A push that waits would wait for as long as a write may take.
        assert!(start.elapsed() < FRAME_DEADLINE);
        near.push(&news(&[1]));
        assert!(near.pushes.lock().len() <= PUSHES_MAX);
        assert!(near.send(1, &Answer::Alive {}).is_err());
    }

    #[test]
    fn pushes_that_overflow_free_a_sender_that_waits_for_the_same_far_side() {
        let [(_near_receiver, near), _far] = pair(true);
        thread::scope(|scope| {
            let sender = scope.spawn(|| while near.send_frame(&piece(1, PIECE)).is_ok() {});
            while !near.is_over() {
                near.push(&news(&[1; 4000]));
            }
            sender.join().expect("ends");
        });
    }

    #[test]
    fn pushes_wait_in_order_while_somebody_writes_and_the_one_too_many_ends_the_connection() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
        let writing = near.outgoing.lock();
        for n in 0..PUSHES_MAX as u32 {
            near.push(&news(&[n]));
        }
        drop(writing);
        near.send(1, &Answer::Alive {}).expect("goes out");
        for n in 0..PUSHES_MAX as u32 {
            assert_eq!(far.recv(LONG).expect("comes in").message(), Ok(news(&[n])));
        }
        assert_eq!(far.recv(LONG).expect("comes in").message(), Ok(Answer::Alive {}));
        let writing = near.outgoing.lock();
        for n in 0..PUSHES_MAX as u32 {
            near.push(&news(&[n]));
        }
        assert!(!near.is_over());
        near.push(&news(&[0]));
        assert!(near.is_over());
        drop(writing);
    }

    #[test]
    fn what_was_queued_before_an_answer_leaves_before_it() {
        let [(_, sender), (mut receiver, _)] = pair(false);
        sender.queue(1, &news(&[1]));
        sender.send(2, &news(&[2])).expect("sent");
        for request in [1, 2] {
            assert_eq!(receiver.recv(LONG).expect("a frame").request, request);
        }
    }

    #[test]
    fn what_was_pushed_while_somebody_wrote_goes_out_before_the_end() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
        thread::scope(|scope| {
            let writing = near.outgoing.lock();
            near.push(&news(&[1]));
            scope.spawn(|| near.finish());
            drop(writing);
        });
        assert_eq!(far.recv(LONG).expect("comes in").message(), Ok(news(&[1])));
        assert!(matches!(far.recv(LONG), Err(RecvError::Closed)));
    }

    #[test]
    fn a_write_that_takes_too_long_ends_the_connection() {
        let [(mut near_receiver, near), _far] = pair(false);
        near.stream.set_write_timeout(Some(Duration::from_millis(20))).expect("set");
        while near.send_frame(&piece(1, PIECE)).is_ok() {}
        assert!(near.is_over());
        assert!(matches!(near_receiver.recv(LONG), Err(RecvError::Closed)));
    }

    #[test]
    fn frames_of_every_length_come_through_and_one_over_the_cap_does_not() {
        let [(_near_receiver, near), (mut far, far_sender)] = pair(false);
        let (near, header) = (&near, frame::HEADER_LEN);
        let cap = frame::FRAME_LEN_MAX + frame::LENGTH_LEN - header;
        let record = RECORD_PLAIN_MAX - header;
        let lens = [0, 1, 4096, record - 1, record, record + 1, PIECE, cap];
        thread::scope(move |scope| {
            scope.spawn(move || {
                for (request, len) in (1..).zip(lens) {
                    near.send_frame(&piece(request, len)).expect("goes out");
                }
                near.send_frame(&piece(0, cap + 1))
            });
            for (request, len) in (1..).zip(lens) {
                let frame = far.recv(LONG).expect("comes in");
                assert_eq!((frame.request, frame.body), (request, &piece(request, len)[header..]));
                assert_eq!(frame.message(), Ok(Answer::Piece { data: Tail { len: len as u32 } }));
                assert_eq!(frame.tail(len as u32), frame.body);
            }
            let too_long = ChannelError::FrameTooLong { len: frame::FRAME_LEN_MAX + 1, max: frame::FRAME_LEN_MAX };
            assert!(matches!(far.recv(LONG), Err(RecvError::Channel(error)) if error == too_long));
            // The rest of that frame is never read, and its sender learns so.
            drop((far, far_sender));
        });
    }

    #[test]
    fn the_cap_changes_with_the_login() {
        let ((near, far), (near_keys, far_keys)) = (sockets(), keys());
        let (_near_receiver, near) = split(near, near_keys, frame::FRAME_LEN_MAX, false).expect("a socket");
        let (mut far, _far_sender) = split(far, far_keys, frame::EARLY_FRAME_LEN_MAX, false).expect("a socket");
        let body = frame::EARLY_FRAME_LEN_MAX + frame::LENGTH_LEN - frame::HEADER_LEN;
        near.send_frame(&piece(1, body)).expect("goes out");
        assert_eq!(far.recv(LONG).expect("just fits").body.len(), body);
        far.set_frame_len_max(frame::FRAME_LEN_MAX);
        near.send_frame(&piece(2, body + 1)).expect("goes out");
        assert_eq!(far.recv(LONG).expect("fits now").body.len(), body + 1);
        far.set_frame_len_max(frame::EARLY_FRAME_LEN_MAX);
        near.send_frame(&piece(3, body + 1)).expect("goes out");
        assert!(matches!(far.recv(LONG), Err(RecvError::Channel(ChannelError::FrameTooLong { .. }))));
    }

    #[test]
    fn the_end_between_frames_is_told_from_the_end_inside_one() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
        near.send(1, &Answer::Alive {}).expect("goes out");
        near.finish();
        assert!(far.recv(LONG).is_ok());
        assert!(matches!(far.recv(LONG), Err(RecvError::Closed)));
        for cut in [1, 2, 3, 26] {
            let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
            let mut sealer = Sealer::default();
            let sealed = sealer.seal(&near.keys, &frame::of(1, &Answer::Alive {}));
            (&*near.stream).write_all(&sealed[..cut]).expect("goes out");
            near.finish();
            assert!(matches!(far.recv(LONG), Err(RecvError::Cut)), "{cut}");
        }
    }

    #[test]
    fn silence_between_frames_is_idle_and_inside_a_frame_slow() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
        assert!(matches!(far.recv(Duration::from_millis(10)), Err(RecvError::Idle)));
        (&*near.stream).write_all(&[0]).expect("goes out");
        far.frame_deadline = Duration::from_millis(10);
        assert!(matches!(far.recv(LONG), Err(RecvError::Slow)));
    }

    /// Writes byte by byte, and between two of them waits a little for the other side to end the connection; how many
    /// bytes it wrote by then.
    fn drip(mut stream: TcpStream, bytes: &[u8]) -> usize {
        stream.set_read_timeout(Some(Duration::from_millis(5))).expect("set");
        let ended = |mut stream: &TcpStream| match stream.read(&mut [0; 256]) {
            Ok(len) => len == 0,
            Err(error) => !is_timeout(&error),
        };
        bytes.iter().take_while(|&&byte| stream.write_all(&[byte]).is_ok() && !ended(&stream)).count()
    }

    #[test]
    fn a_frame_that_drips_in_is_cut_off_by_the_deadline_over_all_of_it() {
        let ((near, far), (near_keys, far_keys)) = (sockets(), keys());
        let bytes = Sealer::default().seal(&near_keys, &piece(1, 1000)).to_vec();
        let dripper = thread::spawn(move || drip(near, &bytes));
        let (mut far, far_sender) = split(far, far_keys, frame::FRAME_LEN_MAX, false).expect("a socket");
        far.frame_deadline = Duration::from_millis(100);
        assert!(matches!(far.recv(LONG), Err(RecvError::Slow)));
        far_sender.end();
        assert!(dripper.join().expect("ends") < 1000);
    }

    #[test]
    fn a_handshake_that_drips_in_is_cut_off_by_the_deadline_over_all_of_it() {
        let (near, far) = sockets();
        let mut bytes = handshake::MAGIC.to_vec();
        bytes.extend([0, 1, 1, 0, 200]);
        bytes.extend([0; 200]);
        let dripper = thread::spawn(move || drip(near, &bytes));
        let mut timed = Timed::new(&far, Duration::from_millis(100));
        let (key, link) = (handshake::Secret([1; 32]), (KeyId([2; 16]), handshake::Secret([3; 32])));
        let error = handshake::tracker_accepts(&mut timed, &key, &link).map(drop);
        assert!(matches!(error, Err(HandshakeError::Io(error)) if is_timeout(&error)));
        drop(far);
        assert!(dripper.join().expect("ends") < 200);
    }

    #[test]
    fn a_tracker_that_accepts_and_says_nothing_does_not_hold_the_client() {
        let (near, _far) = sockets();
        let error = handshake::client_to_tracker(&mut Timed::new(&near, Duration::from_millis(20))).map(drop);
        let Err(error) = error else { panic!("nobody answered") };
        assert_eq!(error.to_string(), "no answer in time");
    }

    #[test]
    fn ending_a_connection_wakes_whoever_waits_for_a_frame() {
        let [(mut receiver, sender), _far] = pair(false);
        let reader = thread::spawn(move || receiver.recv(LONG).map(drop));
        sender.end();
        assert!(matches!(reader.join().expect("ends"), Err(RecvError::Closed)));
        assert!(sender.is_over());
    }

    #[test]
    fn polling_takes_what_is_there_and_never_waits() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(true);
        let sealed = Sealer::default().seal(&near.keys, &piece(9, 1)).to_vec();
        for (at, &byte) in sealed.iter().enumerate() {
            assert!(!far.poll().expect("no error"), "{at}");
            // Up to its length, a record announces what it still takes.
            assert_eq!(far.wanted_len(), if at < 2 { 2 - at } else { sealed.len() - at });
            (&*near.stream).write_all(&[byte]).expect("goes out");
            wait_readable(far.stream());
        }
        assert!(far.poll().expect("no error"));
        assert_eq!(far.frame().expect("a frame").request, 9);
        far.next_frame();
        assert!(far.is_idle() && !far.poll().expect("no error"));
        near.finish();
        wait_readable(far.stream());
        assert!(matches!(far.poll(), Err(RecvError::Closed)));
    }

    fn wait_readable(stream: &TcpStream) {
        stream.set_read_timeout(Some(LONG)).expect("set");
        stream.peek(&mut [0]).expect("something comes");
    }

    #[test]
    fn an_idle_connection_gives_its_buffers_back() {
        let [(mut near, near_sender), (mut far, far_sender)] = pair(false);
        thread::scope(|scope| {
            scope.spawn(|| near_sender.send_frame(&piece(1, PIECE)).expect("goes out"));
            assert_eq!(far.recv(LONG).expect("comes in").body.len(), PIECE);
        });
        far_sender.send(1, &news(&[0; 4000])).expect("goes out");
        far_sender.push(&news(&[0; 4000]));
        for _ in 0..2 {
            assert_eq!(near.recv(LONG).expect("comes in").message(), Ok(news(&[0; 4000])));
        }
        for (receiver, sender) in [(&mut near, &near_sender), (&mut far, &far_sender)] {
            assert!(matches!(receiver.recv(Duration::from_millis(1)), Err(RecvError::Idle)));
            let outgoing = sender.outgoing.lock();
            let kept = [outgoing.sealer.capacity(), outgoing.rest.capacity()];
            assert!(kept.iter().chain(&receiver.opener.capacities()).all(|&len| len <= IDLE_BUFFER_LEN), "{kept:?}");
        }
    }
}
