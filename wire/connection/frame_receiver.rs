//! The incoming direction of a connection. It belongs to one thread, which waits for frames or polls for them.

use super::long_frames::{FrameRoom, LongFrame, Payer};
use crate::wire::codec::DecodeError;
use crate::wire::deadlines::FRAME_DEADLINE;
use crate::wire::frame::{self, Frame, PIECE_KIND};
use crate::wire::handshake::is_timeout;
use crate::wire::record_layer::{Opener, RecordError, SHORT_BUFFER_LEN};
use crate::wire::transport_keys::TransportKeys;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::RecvFlags;
use std::fmt;
use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const _: () = assert!(SHORT_BUFFER_LEN >= frame::HEADER_LEN);

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
    Io(io::Error),
    /// The bytes do not belong to this channel.
    Record(RecordError),
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
            RecvError::Record(error) => write!(f, "{error}"),
            RecvError::Decode(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RecvError {}

impl From<RecordError> for RecvError {
    fn from(error: RecordError) -> Self {
        RecvError::Record(error)
    }
}

impl From<DecodeError> for RecvError {
    fn from(error: DecodeError) -> Self {
        RecvError::Decode(error)
    }
}

/// The incoming direction of a connection.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: Arc<TcpStream>,
    keys: Arc<TransportKeys>,
    /// Bytes that have come in through [`FrameReceiver::poll`].
    polled: u64,
    opener: Opener,
    /// The read timeout of the socket, kept to set it only when it changes.
    timeout: Option<Duration>,
    /// [`FRAME_DEADLINE`], except in tests.
    frame_deadline: Duration,
    bulk: bool,
    /// The room in which long frames wait.
    waits: Option<Box<RoomWait>>,
}

/// The room in which long frames wait.
#[derive(Debug)]
struct RoomWait {
    frames: Arc<FrameRoom>,
    /// The payer for whom the frames count.
    payer: Payer,
    /// The room of the present frame. The frame keeps it until its answer is made.
    room: Option<LongFrame>,
}

impl FrameReceiver {
    pub(super) fn new(stream: Arc<TcpStream>, keys: Arc<TransportKeys>, frame_len_max: usize, bulk: bool) -> Self {
        let (opener, frame_deadline) = (Opener::new(frame_len_max), FRAME_DEADLINE);
        let opener = if bulk { opener.spread(PIECE_KIND) } else { opener };
        Self { stream, keys, polled: 0, opener, timeout: None, frame_deadline, bulk, waits: None }
    }

    /// From now on long frames wait for room here, and count for this payer.
    pub fn set_long_frames(&mut self, frames: &Arc<FrameRoom>, payer: Payer) {
        match &mut self.waits {
            Some(waits) => waits.payer = payer,
            None => self.waits = Some(Box::new(RoomWait { frames: frames.clone(), payer, room: None })),
        }
    }

    /// Waits until this time for the room that the present frame needs.
    fn take_room(&mut self, until: Instant) -> Result<(), RecvError> {
        let Some(RoomWait { frames, payer, room }) = self.waits.as_deref_mut() else {
            return Ok(());
        };
        let has_room = match (self.opener.claimed_len(), room) {
            (0, _) => true,
            (len, Some(room)) => room.grow(self.opener.come_len(), len, until),
            (len, room) => {
                *room = frames.begin(*payer, len, &self.stream, until);
                room.is_some()
            }
        };
        if has_room { Ok(()) } else { Err(RecvError::Slow) }
    }

    /// Frees what the last frame took up.
    fn give_room_back(&mut self) {
        if !self.bulk {
            self.opener.release();
            self.waits.iter_mut().for_each(|waits| waits.room = None);
        }
    }

    /// Changes the length up to which it takes frames.
    pub fn set_frame_len_max(&mut self, frame_len_max: usize) {
        self.opener.set_frame_len_max(frame_len_max);
    }

    /// The socket, for waiting until it is readable.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The socket, for ending the connection.
    pub fn shared_stream(&self) -> &Arc<TcpStream> {
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
        let (frame_deadline, mut until) = (self.frame_deadline, None);
        self.recv_within(|between, now| {
            if between { idle } else { until.get_or_insert(now + frame_deadline).saturating_duration_since(now) }
        })
    }

    /// Waits for the next frame, all of it, until this time.
    pub fn recv_by(&mut self, by: Instant) -> Result<Frame<'_>, RecvError> {
        self.recv_within(|_, now| by.saturating_duration_since(now))
    }

    /// Waits for the next frame. `left` returns how much longer the wait may take. Its arguments are whether this is
    /// between frames, and the time.
    fn recv_within(&mut self, mut left: impl FnMut(bool, Instant) -> Duration) -> Result<Frame<'_>, RecvError> {
        self.opener.next_frame();
        self.give_room_back();
        while !self.opener.advance(&self.keys)? {
            let between = self.opener.is_idle();
            let wait = left(between, Instant::now());
            if wait.is_zero() {
                return Err(if between { RecvError::Idle } else { RecvError::Slow });
            }
            self.take_room(Instant::now() + wait)?;
            self.read(wait)?;
        }
        self.whole()
    }

    /// The frame that is complete.
    fn whole(&mut self) -> Result<Frame<'_>, RecvError> {
        self.waits.iter_mut().filter_map(|waits| waits.room.as_mut()).for_each(LongFrame::settle);
        Ok(self.opener.frame()?)
    }

    /// Waits for the next frame like [`FrameReceiver::recv`]. Whenever bytes have come in, it takes a turn, and reads
    /// and decrypts in that turn. Returns the turn in which the frame became complete.
    pub fn recv_in_turns<T>(
        &mut self,
        idle: Duration,
        mut turn: impl FnMut() -> T,
    ) -> Result<(Frame<'_>, T), RecvError> {
        self.opener.next_frame();
        self.give_room_back();
        let mut until = None;
        if self.opener.has_more() {
            let turn = turn();
            if self.opener.advance(&self.keys)? {
                return self.whole().map(|frame| (frame, turn));
            }
        }
        loop {
            let now = Instant::now();
            let between = self.opener.is_idle();
            let by = if between { now + idle } else { *until.get_or_insert(now + self.frame_deadline) };
            let wait = by.saturating_duration_since(now);
            if wait.is_zero() {
                return Err(if between { RecvError::Idle } else { RecvError::Slow });
            }
            self.take_room(by)?;
            self.wait_for_bytes(wait)?;
            let turn = turn();
            self.read(wait)?;
            if self.opener.advance(&self.keys)? {
                return self.whole().map(|frame| (frame, turn));
            }
        }
    }

    /// Waits this long for bytes, and leaves them in the socket.
    fn wait_for_bytes(&mut self, wait: Duration) -> Result<(), RecvError> {
        self.set_wait(wait)?;
        let peeked = self.stream.peek(&mut [0]);
        self.taken(peeked).map(drop)
    }

    fn read(&mut self, wait: Duration) -> Result<(), RecvError> {
        self.set_wait(wait)?;
        let read = (&*self.stream).read(self.opener.room());
        let len = self.taken(read)?;
        self.opener.filled(len);
        Ok(())
    }

    fn set_wait(&mut self, wait: Duration) -> Result<(), RecvError> {
        if self.timeout != Some(wait) {
            self.stream.set_read_timeout(Some(wait)).map_err(RecvError::Io)?;
            self.timeout = Some(wait);
        }
        Ok(())
    }

    /// How many bytes have come in, from the result of the read.
    fn taken(&self, read: io::Result<usize>) -> Result<usize, RecvError> {
        match read {
            Ok(0) => Err(self.ended()),
            Ok(len) => Ok(len),
            Err(error) if is_timeout(&error) && self.opener.is_idle() => Err(RecvError::Idle),
            Err(error) if is_timeout(&error) => Err(RecvError::Slow),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(RecvError::Io(error)),
        }
    }

    fn ended(&self) -> RecvError {
        if self.opener.is_idle() { RecvError::Closed } else { RecvError::Cut }
    }

    /// Takes the bytes that are there without waiting. True once a frame is complete. [`FrameReceiver::frame`] then
    /// shows it until [`FrameReceiver::next_frame`].
    pub fn poll(&mut self) -> Result<bool, RecvError> {
        self.poll_within(usize::MAX)
    }

    /// The same, with a cap on the bytes that it takes from the socket.
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

    /// Waits this long for bytes. True if some came.
    pub fn wait_readable(&self, within: Duration) -> bool {
        let mut fds = [PollFd::new(&*self.stream, PollFlags::IN)];
        let within = Timespec::try_from(within).ok();
        matches!(rustix::event::poll(&mut fds, within.as_ref()), Ok(1..))
    }

    /// Whether bytes have come in behind the last frame. Never waits.
    pub fn has_more(&self) -> bool {
        self.opener.has_more() || self.wait_readable(Duration::ZERO)
    }

    /// How many bytes [`FrameReceiver::poll`] has taken so far. They tell a slow far side from a silent one.
    pub fn polled(&self) -> u64 {
        self.polled
    }

    /// The frame that [`FrameReceiver::poll`] has completed.
    pub fn frame(&self) -> Result<Frame<'_>, RecvError> {
        Ok(self.opener.frame()?)
    }

    /// Goes on to the next frame.
    pub fn next_frame(&mut self) {
        self.opener.next_frame();
    }

    /// Frees its memory between frames.
    pub fn release(&mut self) {
        self.opener.release();
    }
}

#[cfg(test)]
mod tests {
    use super::super::long_frames::LongFrames;
    use super::super::split;
    use super::super::tests::{LONG, PIECE, drip, news, pair, pass_piece, piece, sockets};
    use super::*;
    use crate::wire::handshake::tests::keys;
    use crate::wire::peer::PeerReply;
    use crate::wire::record_layer::Sealer;
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn silence_between_frames_is_idle_and_inside_a_frame_slow() {
        let [(near_receiver, _near), (mut far, _far_sender)] = pair(false);
        assert!(matches!(far.recv(Duration::from_millis(10)), Err(RecvError::Idle)));
        near_receiver.stream().write_all(&[0]).expect("goes out");
        far.frame_deadline = Duration::from_millis(10);
        assert!(matches!(far.recv(LONG), Err(RecvError::Slow)));
    }

    #[test]
    fn the_end_between_frames_is_told_from_the_end_inside_one() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
        near.send(1, &PeerReply::Alive {}).expect("goes out");
        near.finish();
        assert!(far.recv(LONG).is_ok());
        assert!(matches!(far.recv(LONG), Err(RecvError::Closed)));
        for cut in [1, 2, 3, 26] {
            let [(near_receiver, near), (mut far, _far_sender)] = pair(false);
            let mut sealer = Sealer::default();
            let sealed = sealer.seal(&near_receiver.keys, &frame::of(1, &PeerReply::Alive {}));
            near_receiver.stream().write_all(&sealed[..cut]).expect("goes out");
            near.finish();
            assert!(matches!(far.recv(LONG), Err(RecvError::Cut)), "{cut}");
        }
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
    fn frames_that_have_to_come_by_a_time_end_the_wait_then_however_they_drip_in() {
        let ((near, far), (near_keys, far_keys)) = (sockets(), keys());
        let bytes = Sealer::default().seal(&near_keys, &piece(1, 1000)).to_vec();
        let dripper = thread::spawn(move || drip(near, &bytes));
        let (mut far, far_sender) = split(far, far_keys, frame::FRAME_LEN_MAX, false).expect("a socket");
        let by = Instant::now() + Duration::from_millis(100);
        assert!(matches!(far.recv_by(by), Err(RecvError::Slow | RecvError::Idle)));
        assert!(Instant::now() >= by);
        far_sender.end();
        assert!(dripper.join().expect("ends") < 1000);
    }

    #[test]
    fn polling_takes_what_is_there_and_never_waits() {
        let [(near_receiver, near), (mut far, _far_sender)] = pair(true);
        let sealed = Sealer::default().seal(&near_receiver.keys, &piece(9, 1)).to_vec();
        for (at, &byte) in sealed.iter().enumerate() {
            assert!(!far.poll().expect("no error"), "{at}");
            // Up to its length, a record announces what it still takes.
            assert_eq!(far.wanted_len(), if at < 2 { 2 - at } else { sealed.len() - at });
            near_receiver.stream().write_all(&[byte]).expect("goes out");
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

    #[test]
    fn a_frame_is_read_in_turns_and_its_rest_waited_for_without_one() {
        let [(near_receiver, _near), (mut far, _far_sender)] = pair(false);
        let sealed = Sealer::default().seal(&near_receiver.keys, &piece(9, 1)).to_vec();
        let (begun, rest) = sealed.split_at(5);
        let (turns, taken) = (Arc::new(()), AtomicUsize::new(0));
        let turn = || {
            taken.fetch_add(1, Ordering::SeqCst);
            turns.clone()
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                near_receiver.stream().write_all(begun).expect("goes out");
                let deadline = Instant::now() + LONG;
                while taken.load(Ordering::SeqCst) == 0 || Arc::strong_count(&turns) > 1 {
                    assert!(Instant::now() < deadline, "it waits in its turn");
                    thread::yield_now();
                }
                near_receiver.stream().write_all(rest).expect("goes out");
            });
            let (frame, turn) = far.recv_in_turns(LONG, turn).expect("comes in");
            assert_eq!((frame.request, Arc::strong_count(&turns)), (9, 2));
            drop(turn);
        });
    }

    #[test]
    fn a_long_frame_waits_for_room_among_those_of_its_network_and_keeps_it_until_the_next_one() {
        let frames = LongFrames::new();
        let [ours, other] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|ip| Payer::new(ip.into(), None));
        let long = piece(1, PIECE);
        let (now, stream) = (Instant::now(), Arc::new(sockets().0));
        let taken: Vec<_> = std::iter::from_fn(|| frames.incoming.whole(ours, 10_000, &stream, now)).collect();
        for (payer, comes) in [(other, true), (ours, false)] {
            let [(_near_receiver, near), (mut far, far_sender)] = pair(false);
            far.set_long_frames(&frames.incoming, payer);
            far.frame_deadline = if comes { LONG } else { Duration::from_millis(50) };
            thread::scope(|scope| {
                let sent = scope.spawn(|| near.send_frame(&long).and_then(|()| near.send(2, &PeerReply::Alive {})));
                assert_eq!(far.recv(LONG).is_ok(), comes);
                let has_room = |far: &FrameReceiver| far.waits.as_ref().is_some_and(|waits| waits.room.is_some());
                assert_eq!(has_room(&far), comes, "it is being answered");
                assert_eq!(far.recv(LONG).is_ok(), comes, "a short one");
                assert!(!has_room(&far));
                far_sender.end();
                let _ = sent.join().expect("ends");
            });
        }
        drop(taken);
    }

    fn wait_readable(stream: &TcpStream) {
        stream.set_read_timeout(Some(LONG)).expect("set");
        stream.peek(&mut [0]).expect("something comes");
    }

    #[test]
    fn an_idle_receiver_gives_its_buffers_back() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
        pass_piece(&near, &mut far);
        near.send(2, &news(&[0; 4000])).expect("goes out");
        assert_eq!(far.recv(LONG).expect("comes in").message(), Ok(news(&[0; 4000])));
        assert!(matches!(far.recv_in_turns(Duration::from_millis(1), || ()), Err(RecvError::Idle)));
        assert_eq!(far.opener.capacity(), 0);
    }
}
