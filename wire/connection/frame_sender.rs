//! The outgoing direction of a connection, shared by all threads that send on it.
//!
//! A push never waits for a slow far side. The bytes that the socket does not take at once leave with the next frame
//! whose sender waits. The queue of pushes is bounded.

use super::long_frames::{FrameRoom, LongFrame, Payer};
use crate::wire::deadlines::FRAME_DEADLINE;
use crate::wire::frame::{self, Message};
use crate::wire::handshake::features::Features;
use crate::wire::record_layer::{FrameRecords, RECORD_PLAIN_MAX, Sealer};
use crate::wire::transport_keys::TransportKeys;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Most pushes that wait for a far side that does not read. One more makes the far side count as too slow.
const PUSHES_MAX: usize = 256;
/// Most bytes of waiting pushes. A single push may be longer.
const PUSHES_LEN_MAX: usize = 512 * 1024;
/// Waiting pushes take room in steps of this many bytes. Fewer bytes take none.
const PUSHES_LEN_STEP: usize = 8 * 1024;
/// Most pushes that wait before the sender writes them.
const PUSHES_QUEUED_MAX: usize = 32;
/// A write with this many sealed bytes takes no further push.
const PUSHED_AT_ONCE: usize = 16 * 1024;

#[derive(Debug)]
pub struct FrameSender {
    // Immutable.
    stream: Arc<TcpStream>,
    keys: Arc<TransportKeys>,
    bulk: bool,
    /// How long a frame that is not a piece may take, with the pushes around it.
    deadline: Duration,
    // Locked while a thread seals and writes frames. This is the only lock that a thread holds across a write: it
    // orders the frames of the connection. No push waits for it, and the write has a deadline.
    outgoing: Mutex<Outgoing>,
    // Pushes that wait for the thread that writes now, or for room in the socket.
    pushes: Mutex<Pushes>,
    // Set once. Then nothing more leaves.
    over: AtomicBool,
}

/// The far side reads more slowly than this side sends.
#[derive(Debug)]
pub struct TooSlow;

/// Pushes that wait.
#[derive(Debug, Default)]
struct Pushes {
    frames: VecDeque<Zeroizing<Vec<u8>>>,
    /// The sum of the lengths of all frames.
    len: usize,
    /// The room that waiting pushes take, and who pays for it.
    pays: Option<(Arc<FrameRoom>, Payer)>,
    room: Option<LongFrame>,
}

impl Pushes {
    /// Adds a push if the limits allow it. Returns how many wait then.
    fn add(&mut self, frame: Zeroizing<Vec<u8>>, stream: &Arc<TcpStream>) -> Result<usize, TooSlow> {
        let len = self.len + frame.len();
        let is_full = self.frames.len() >= PUSHES_MAX || (len > PUSHES_LEN_MAX && !self.frames.is_empty());
        if is_full || !self.has_room(len, stream) {
            return Err(TooSlow);
        }
        self.len = len;
        self.frames.push_back(frame);
        Ok(self.frames.len())
    }

    /// Whether there is room for `len` bytes now.
    fn has_room(&mut self, len: usize, stream: &Arc<TcpStream>) -> bool {
        let (Some((all, payer)), PUSHES_LEN_STEP..) = (&self.pays, len) else { return true };
        let (len, now) = (len.next_multiple_of(PUSHES_LEN_STEP), Instant::now());
        match &mut self.room {
            Some(room) => room.grow(0, len, now),
            None => {
                self.room = all.whole(*payer, len, stream, now);
                self.room.is_some()
            }
        }
    }

    fn next(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let frame = self.frames.pop_front()?;
        self.len -= frame.len();
        if self.frames.is_empty() {
            self.room = None;
        }
        Some(frame)
    }

    fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// The state of the outgoing stream of bytes.
#[derive(Debug, Default)]
struct Outgoing {
    sealer: Sealer,
    /// The bytes of a sealed push that the socket did not take. They leave before everything else.
    rest: Vec<u8>,
    /// A frame is leaving in parts, and nothing may come between them.
    in_parts: bool,
}

impl FrameSender {
    pub(super) fn new(stream: Arc<TcpStream>, keys: Arc<TransportKeys>, bulk: bool) -> Self {
        let (outgoing, pushes) = (Mutex::new(Outgoing::default()), Mutex::default());
        Self { stream, keys, bulk, deadline: FRAME_DEADLINE, outgoing, pushes, over: AtomicBool::new(false) }
    }

    /// The features that both sides know.
    pub fn features(&self) -> Features {
        self.keys.features()
    }

    /// From now on waiting pushes take room here, and count for this payer.
    pub fn set_push_room(&self, pushes: &Arc<FrameRoom>, payer: Payer) {
        self.pushes.lock().pays = Some((pushes.clone(), payer));
    }

    /// Sends a message, waiting up to [`FRAME_DEADLINE`] for the far side to take it.
    pub fn send<M: Message>(&self, request: u32, message: &M) -> io::Result<()> {
        self.send_frame(&frame::of(request, message))
    }

    /// Sends a frame made with [`frame::begin`] and [`frame::end`].
    pub fn send_frame(&self, frame: &[u8]) -> io::Result<()> {
        self.send_between(|outgoing, until| {
            // Sealing needs no more memory than one record.
            frame
                .chunks(RECORD_PLAIN_MAX)
                .try_for_each(|part| self.write_all(outgoing.sealer.seal(&self.keys, part), until))
        })
    }

    /// Begins a frame that leaves in parts, for a caller that does not wait. Pushes wait until the frame has ended.
    /// Returns false and begins nothing while earlier bytes wait for room.
    pub fn begin_parts(&self) -> bool {
        let mut outgoing = self.outgoing.lock();
        outgoing.in_parts = self.write_pushes(&mut outgoing);
        outgoing.in_parts
    }

    /// Seals the next records of that frame in place. Returns the bytes to send.
    pub fn seal_part<'a>(&self, part: &'a mut FrameRecords) -> &'a [u8] {
        self.outgoing.lock().sealer.seal_in_place(&self.keys, part)
    }

    /// Sends as many of these bytes as the socket has room for now. Returns how many, 0 without room.
    pub fn send_some(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_over() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        match rustix::net::send(&*self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(len) => Ok(len),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a frame that left in parts.
    pub fn end_parts(&self) {
        self.outgoing.lock().in_parts = false;
        self.flush();
    }

    /// Waits this long for room in the socket. True if there is some.
    pub fn wait_writable(&self, within: Duration) -> bool {
        let within = Timespec::try_from(within).ok();
        matches!(poll(&mut [PollFd::new(&*self.stream, PollFlags::OUT)], within.as_ref()), Ok(1..))
    }

    /// Writes a frame. Pushes that waited for room leave before it, and pushes that came meanwhile leave behind it. The
    /// caller may wait for the far side, so it writes these pushes too. The frame and the pushes have one deadline
    /// together.
    fn send_between(&self, write: impl FnOnce(&mut Outgoing, Instant) -> io::Result<()>) -> io::Result<()> {
        let result = {
            let mut outgoing = self.outgoing.lock();
            let until = Instant::now() + self.deadline;
            let result = self
                .write_all(&std::mem::take(&mut outgoing.rest), until)
                .and_then(|()| self.write_waiting(&mut outgoing, until))
                .and_then(|()| write(&mut outgoing, until))
                .and_then(|()| self.write_waiting(&mut outgoing, until));
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

    fn write_waiting(&self, outgoing: &mut Outgoing, until: Instant) -> io::Result<()> {
        std::iter::from_fn(|| self.next_push())
            .try_for_each(|push| self.write_all(outgoing.sealer.seal(&self.keys, &push), until))
    }

    /// Writes all bytes before the deadline. Parts of a piece have no such deadline.
    fn write_all(&self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.over.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            // A piece may take as long as its bytes move. Each write has the socket's own timeout.
            let written = if self.bulk { (&*self.stream).write(bytes) } else { self.write_by(bytes, until) };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes some of these bytes as soon as there is room.
    fn write_by(&self, bytes: &[u8], until: Instant) -> io::Result<usize> {
        match rustix::net::send(&*self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => {}
            sent => return Ok(sent?),
        }
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&*self.stream, PollFlags::OUT)], Some(&timeout))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Sends an unasked message without ever waiting. Bytes without room in the socket leave with the next frame, at
    /// the latest with the answer to a heartbeat. A far side that is too slow is cut off. It learns what it missed when
    /// it comes back.
    pub fn push<M: Message>(&self, message: &M) {
        if self.queue(frame::UNASKED, message).is_err() {
            self.end();
        }
        self.flush();
    }

    /// The first half of a push, or of an answer that must not wait. The message leaves with the next
    /// [`FrameSender::flush`], so several messages need one write. If many wait already, this flushes at once.
    ///
    /// # Errors
    /// Too many messages wait already, and this one is dropped. The caller must end the connection.
    pub fn queue<M: Message>(&self, request: u32, message: &M) -> Result<(), TooSlow> {
        if self.is_over() {
            return Ok(());
        }
        let frame = frame::of(request, message);
        let waiting = self.pushes.lock().add(frame, &self.stream)?;
        if waiting >= PUSHES_QUEUED_MAX {
            self.flush();
        }
        Ok(())
    }

    /// Whether no push waits. A caller that merges its messages while one waits is never cut off because of them.
    pub fn is_clear(&self) -> bool {
        !self.is_over() && self.pushes.lock().is_empty()
    }

    /// Writes waiting pushes as far as the socket has room. If another thread is writing, that thread writes them.
    pub fn flush(&self) {
        if !self.pushes.lock().is_empty() {
            self.flush_rest();
        }
    }

    /// The same for bytes that had no room before, too. True if something may be left.
    pub fn flush_rest(&self) -> bool {
        loop {
            let Some(mut outgoing) = self.outgoing.try_lock() else { return true };
            let room = self.write_pushes(&mut outgoing);
            if !self.bulk {
                outgoing.sealer.release();
            }
            // The lock must be free before this looks at the queue again. Otherwise a push could stay behind.
            drop(outgoing);
            if !room || self.pushes.lock().is_empty() {
                return !room && !self.is_over();
            }
        }
    }

    /// Writes waiting pushes as far as the socket takes them at once. False if something is left.
    fn write_pushes(&self, outgoing: &mut Outgoing) -> bool {
        if outgoing.in_parts {
            return false;
        }
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
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.end();
                    return false;
                }
            }
        }
    }

    fn next_push(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.pushes.lock().next()
    }

    /// The address of this end; `None` if the system does not tell.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.stream.local_addr().ok().map(|addr| addr.ip())
    }

    /// Ends the connection in both directions. The receiver sees it as closed.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        // This fails only if the connection is gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Ends the outgoing direction behind everything sent and pushed, so that the far side reads all of it. Waits for a
    /// push that another thread is writing.
    pub fn finish(&self) {
        self.write_pushes(&mut self.outgoing.lock());
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Whether this side has ended the connection.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LONG, PIECE, data_of, news, pair, pass_piece, piece};
    use super::super::{LongFrames, RecvError};
    use super::*;
    use crate::wire::peer::PeerReply;
    use std::io::Read;
    use std::thread;

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
                        let Ok(PeerReply::News { pieces }) = frame.message() else { panic!("not news") };
                        heard[pieces[0] as usize].push(pieces[1]);
                        assert!(pieces[2..].iter().all(|&n| n == pieces[1]), "torn");
                    }
                    Ok(frame) => {
                        assert_eq!(frame.request, pieces + 1, "out of order");
                        pieces += 1;
                        assert_eq!(data_of(&frame), piece(pieces, PIECE)[frame::HEADER_LEN..]);
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
        near.send_frame(&piece(PIECES + 1, PIECE)).expect("the frame leaves with the waiting pushes");
        near.finish();
        let (pieces, heard) = reader.join().expect("the reader has no complaint");
        assert_eq!(pieces, PIECES + 1);
        assert!(heard.iter().all(|heard| heard.iter().copied().eq(0..PUSHES)), "{heard:?}");
    }

    /// A small buffer acts like a slow link: most of the time the socket has no room.
    fn squeeze(sender: &FrameSender) {
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
        near.send(ROUNDS + 1, &PeerReply::Alive {}).expect("the frame leaves with the waiting pushes");
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
            scope.spawn(|| near.send(1, &PeerReply::Alive {}).expect("goes out once the far side reads"));
            let mut frames = (0..pushed + 2).map(|_| far.recv(LONG).expect("comes in").message().expect("a message"));
            for n in 0..pushed {
                assert_eq!(frames.next(), Some(news(&[n; 4000])));
            }
            let last = [frames.next(), frames.next()];
            assert!(last.contains(&Some(PeerReply::Alive {})) && last.contains(&Some(news(&[pushed; 4000]))));
        });
    }

    #[test]
    fn a_push_never_waits_for_a_far_side_that_does_not_read() {
        let [(_near_receiver, near), _far] = pair(false);
        let start = Instant::now();
        // The sockets of both sides hold far less than this, in pushes of 16 KB.
        let pushes = (0..100_000).find(|&n| {
            near.push(&news(&[n; 4000]));
            near.is_over()
        });
        assert!(pushes.is_some_and(|pushes| pushes as usize >= PUSHES_LEN_MAX / 16_100), "{pushes:?}");
        // A push that waited would take as long as a write may take.
        assert!(start.elapsed() < FRAME_DEADLINE);
        near.push(&news(&[1]));
        assert!(near.pushes.lock().len <= PUSHES_LEN_MAX);
        assert!(near.send(1, &PeerReply::Alive {}).is_err());
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
        near.send(1, &PeerReply::Alive {}).expect("goes out");
        for n in 0..PUSHES_MAX as u32 {
            assert_eq!(far.recv(LONG).expect("comes in").message(), Ok(news(&[n])));
        }
        assert_eq!(far.recv(LONG).expect("comes in").message(), Ok(PeerReply::Alive {}));
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
    fn long_pushes_that_wait_end_the_connection_of_whoever_has_most_of_them() {
        let ends: Vec<_> = (0..9).map(|_| pair(false)).collect();
        let frames = LongFrames::new();
        let writing: Vec<_> = ends
            .iter()
            .zip([1, 1, 1, 1, 1, 1, 1, 1, 2])
            .map(|([(_, near), _], network)| {
                near.set_push_room(&frames.pushes, Payer::new([127, 0, 0, network].into(), None));
                near.outgoing.lock()
            })
            .collect();
        let fill = |near: &FrameSender| (0..31).for_each(|_| near.push(&news(&[0; 4000])));
        let [.., [(_, honest), _]] = &ends[..] else { panic!("some") };
        ends[..8].iter().for_each(|[(_, near), _]| fill(near));
        let ended = ends.iter().filter(|[(_, near), _]| near.is_over()).count();
        assert_eq!(ended, 4, "half of what a network may take");
        fill(honest);
        assert!(!honest.is_over());
        honest.push(&news(&[0; 4000]));
        assert!(!honest.is_over());
        honest.push(&news(&[0; 4000]));
        assert!(honest.is_over(), "one connection too much");
        drop(writing);
        honest.pushes.lock().frames.clear();
        ends.iter().for_each(|[(_, near), _]| while near.next_push().is_some() {});
        let whole =
            frames.pushes.whole(Payer::new([127, 0, 0, 1].into(), None), 1 << 20, &honest.stream, Instant::now());
        assert!(whole.is_some(), "the room of waiting pushes is free");
    }

    #[test]
    fn a_message_queued_before_an_answer_leaves_before_it() {
        let [(_, sender), (mut receiver, _)] = pair(false);
        sender.queue(1, &news(&[1])).expect("there is room");
        sender.send(2, &news(&[2])).expect("sent");
        for request in [1, 2] {
            assert_eq!(receiver.recv(LONG).expect("a frame").request, request);
        }
    }

    #[test]
    fn a_message_pushed_while_somebody_writes_goes_out_before_the_end() {
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
        let [(mut near_receiver, mut near), _far] = pair(false);
        let near = Arc::get_mut(&mut near).expect("nobody else has it");
        near.deadline = Duration::from_millis(20);
        while near.send_frame(&piece(1, PIECE)).is_ok() {}
        assert!(near.is_over());
        assert!(matches!(near_receiver.recv(LONG), Err(RecvError::Closed)));
    }

    /// The far side takes a part of the frame well within the deadline each time. The whole frame is late all the same.
    #[test]
    fn a_far_side_that_takes_a_long_frame_bit_by_bit_has_one_deadline_for_all_of_it() {
        let [(_near_receiver, mut near), (_far_receiver, far)] = pair(false);
        squeeze(&near);
        rustix::net::sockopt::set_socket_recv_buffer_size(&*far.stream, 64 * 1024).expect("set");
        let deadline = Duration::from_millis(200);
        Arc::get_mut(&mut near).expect("nobody else has it").deadline = deadline;
        thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let (mut bytes, mut taken) = (vec![0; 64 * 1024], 0);
                while let Ok(len @ 1..) = (&*far.stream).read(&mut bytes) {
                    taken += len;
                    thread::park_timeout(deadline / 4);
                }
                taken
            });
            let begun = Instant::now();
            assert!(near.send_frame(&piece(1, 4 * 1024 * 1024)).is_err() && near.is_over());
            assert!(begun.elapsed() >= deadline);
            // With a deadline for each step the whole frame would arrive.
            let taken = taking.join().expect("no panic");
            assert!(taken < 2 * 1024 * 1024, "{taken} bytes");
        });
    }

    #[test]
    fn an_idle_sender_gives_its_buffers_back() {
        let [(_near_receiver, near), (mut far, _far_sender)] = pair(false);
        pass_piece(&near, &mut far);
        near.send(2, &news(&[0; 4000])).expect("goes out");
        near.push(&news(&[0; 4000]));
        for _ in 0..2 {
            assert_eq!(far.recv(LONG).expect("comes in").message(), Ok(news(&[0; 4000])));
        }
        let outgoing = near.outgoing.lock();
        let kept = [outgoing.sealer.capacity(), outgoing.rest.capacity()];
        assert_eq!(kept, [0, 0]);
    }
}
