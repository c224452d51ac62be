//! Receives the lines of a connection, each within a deadline and with bounded memory.

use super::memory::JsonPayer;
use crate::tracker::presence::TTL;
use crate::wire::connection::LongFrame;
use crate::wire::deadlines::FRAME_DEADLINE;
use crate::wire::handshake::is_timeout;
use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How many bytes of a line a connection may hold without reserved room.
pub(super) const SHORT_LEN: usize = 8 * 1024;
/// How many bytes are read at a time: of a new line, and of a long one.
const CHUNK_LENS: [usize; 2] = [4 * 1024, 16 * 1024];
/// How much room a long line reserves at a time, in bytes.
const STEP_LEN: usize = 64 * 1024;

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReceivedLine<'a> {
    Line(&'a [u8]),
    /// The line was too long and was dropped.
    TooLong,
    /// A long line was dropped, because too many others are on their way.
    Crowded,
}

/// Why no more lines come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoLine {
    /// The far side is gone, or was silent for [`TTL`].
    Gone,
    /// A line took longer than [`FRAME_DEADLINE`].
    Slow,
}

/// The incoming direction of a connection.
pub(super) struct LineReceiver<'a> {
    stream: &'a TcpStream,
    payer: JsonPayer,
    /// The room of a long line, also while it is carried out.
    room: Option<LongFrame>,
    /// The lines already returned, then the bytes received after them.
    buffer: Vec<u8>,
    /// The length of the lines already returned, with their ends.
    given: usize,
    /// [`FRAME_DEADLINE`], except in tests.
    deadline: Duration,
    /// The timeout set on the socket, so that it need not be set again for every read.
    wait: Option<Duration>,
}

impl<'a> LineReceiver<'a> {
    pub(super) fn new(stream: &'a TcpStream, payer: JsonPayer) -> Self {
        Self { stream, payer, room: None, buffer: Vec::new(), given: 0, deadline: FRAME_DEADLINE, wait: None }
    }

    /// Sets the payer for the next lines.
    pub(super) fn set_payer(&mut self, payer: JsonPayer) {
        self.payer = payer;
    }

    /// The next line, of at most `len_max` bytes. Frees the memory of the line before. When something has come in,
    /// takes a turn, and reads and searches for the end in it. Returns the turn in which the end came.
    pub(super) fn next<T>(
        &mut self,
        len_max: usize,
        mut turn: impl FnMut() -> T,
    ) -> Result<(ReceivedLine<'_>, T), NoLine> {
        // So each byte is moved at most once, however short the lines are.
        if self.room.is_some() || self.given >= self.buffer.len() / 2 {
            self.give_back(0);
        }
        let mut until = None;
        let mut searched = self.given;
        // Set if the line has to be dropped.
        let mut lost: Option<ReceivedLine<'static>> = None;
        let mut has_come = self.given < self.buffer.len();
        loop {
            if !has_come {
                self.wait(until)?;
            }
            let turn = turn();
            if !std::mem::take(&mut has_come) {
                self.read()?;
            }
            let until = *until.get_or_insert_with(|| Instant::now() + self.deadline);
            if let Some(end) = self.buffer[searched..].iter().position(|&byte| byte == b'\n') {
                let (begins, end) = (self.given, searched + end);
                self.given = end + 1;
                self.room.iter_mut().for_each(LongFrame::settle);
                let line = match lost {
                    Some(why) => why,
                    None if end - begins > len_max => ReceivedLine::TooLong,
                    None => ReceivedLine::Line(&self.buffer[begins..end]),
                };
                return Ok((line, turn));
            }
            drop(turn);
            // Uses half of the time. In the other half the rest of the line can be skipped.
            lost = lost.or_else(|| self.take_room(len_max, until - self.deadline / 2));
            if lost.is_some() {
                (self.buffer, self.given, self.room) = (Vec::new(), 0, None);
            }
            searched = self.buffer.len();
        }
    }

    /// Waits until `by` for the room of the coming line. If the line has to be dropped, returns why.
    fn take_room(&mut self, len_max: usize, by: Instant) -> Option<ReceivedLine<'static>> {
        let come = self.buffer.len() - self.given;
        if come > len_max {
            return Some(ReceivedLine::TooLong);
        }
        if come <= SHORT_LEN {
            return None;
        }
        let len = come.next_multiple_of(STEP_LEN) + STEP_LEN;
        let has_room = match &mut self.room {
            Some(room) => room.grow(come, len, by),
            None => {
                self.room = self.payer.line(len, by);
                // One block for the whole line: only received bytes take memory, and nothing is moved again.
                let mut long = Vec::with_capacity(len_max + CHUNK_LENS[1]);
                long.extend_from_slice(&self.buffer[self.given..]);
                (self.buffer, self.given) = (long, 0);
                self.room.is_some()
            }
        };
        (!has_room).then_some(ReceivedLine::Crowded)
    }

    /// Frees the returned line if it was long. What was parsed from it takes `len` bytes.
    pub(super) fn parsed(&mut self, len: usize) {
        if self.room.is_some() {
            self.give_back(len);
        }
    }

    /// Frees the returned lines, and all but `len` bytes of the room.
    fn give_back(&mut self, len: usize) {
        self.buffer.drain(..std::mem::take(&mut self.given));
        self.buffer.shrink_to(CHUNK_LENS[0]);
        match &mut self.room {
            Some(room) if len > 0 => room.shrink(len),
            room => *room = None,
        }
    }

    /// Waits for more of a line. Without a deadline, waits for the first bytes of one.
    fn wait(&mut self, until: Option<Instant>) -> Result<(), NoLine> {
        let wait = until.map_or(TTL, |until| until.saturating_duration_since(Instant::now()));
        if wait.is_zero() {
            return Err(NoLine::Slow);
        }
        if self.wait != Some(wait) {
            self.stream.set_read_timeout(Some(wait)).map_err(|_| NoLine::Gone)?;
            self.wait = Some(wait);
        }
        match self.stream.peek(&mut [0]) {
            Err(error) if is_timeout(&error) && until.is_some() => Err(NoLine::Slow),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(NoLine::Gone),
            _ => Ok(()),
        }
    }

    /// Reads the received bytes.
    fn read(&mut self) -> Result<(), NoLine> {
        let len = self.buffer.len();
        let chunk_len = if self.room.is_some() { CHUNK_LENS[1] } else { CHUNK_LENS[0] };
        self.buffer.resize(len + chunk_len, 0);
        let mut stream = self.stream;
        let read = stream.read(&mut self.buffer[len..]);
        self.buffer.truncate(len + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(1..) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Ok(0) | Err(_) => Err(NoLine::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::JsonMemory;
    use super::*;
    use std::io::Write;
    use std::net::{IpAddr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// Both ends of a connection.
    fn sockets() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        (Arc::new(near), listener.accept().expect("accepts").0)
    }

    /// A thread writes these bytes, and then closes the connection or leaves it open.
    fn with_written(bytes: Vec<u8>, close: bool, then: impl FnOnce(&mut LineReceiver<'_>)) {
        let (near, mut far) = sockets();
        let writer = thread::spawn(move || {
            far.write_all(&bytes).expect("taken");
            (!close).then_some(far)
        });
        then(&mut LineReceiver::new(&near, payer(&JsonMemory::new(), &near, 1)));
        drop(writer.join());
    }

    /// A user in this network, with this connection.
    fn payer(memory: &Arc<JsonMemory>, stream: &Arc<TcpStream>, network: u8) -> JsonPayer {
        JsonPayer::new(memory, stream, IpAddr::from([127, 0, network, 1]), None)
    }

    fn next<'a>(lines: &'a mut LineReceiver<'_>, len_max: usize) -> Result<ReceivedLine<'a>, NoLine> {
        lines.next(len_max, || ()).map(|(line, ())| line)
    }

    #[test]
    fn a_line_is_read_in_turns_and_its_rest_waited_for_without_one() {
        let (near, mut far) = sockets();
        let (turns, taken) = (Arc::new(()), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                far.write_all(b"begun").expect("taken");
                let deadline = Instant::now() + FRAME_DEADLINE;
                while taken.load(Ordering::SeqCst) == 0 || Arc::strong_count(&turns) > 1 {
                    assert!(Instant::now() < deadline, "it waits in its turn");
                    thread::yield_now();
                }
                far.write_all(b" and ended\n").expect("taken");
            });
            let mut lines = LineReceiver::new(&near, payer(&JsonMemory::new(), &near, 1));
            let turn = || {
                taken.fetch_add(1, Ordering::SeqCst);
                turns.clone()
            };
            let (line, turn) = lines.next(1000, turn).expect("a line");
            assert_eq!((line, Arc::strong_count(&turns)), (ReceivedLine::Line(b"begun and ended"), 2));
            drop(turn);
        });
    }

    #[test]
    fn lines_come_one_by_one_however_they_were_written() {
        let long = vec![b'x'; 3 * STEP_LEN];
        let bytes = [b"one\n\n", &long[..], b"\nlast\nwithout an end"].concat();
        with_written(bytes, true, |lines| {
            for line in [b"one", &b""[..], &long, b"last"] {
                assert_eq!(next(lines, 4 * STEP_LEN), Ok(ReceivedLine::Line(line)));
            }
            assert!(lines.buffer.capacity() < 4 * STEP_LEN && lines.room.is_none(), "what was long is given back");
            assert_eq!(next(lines, 10), Err(NoLine::Gone));
        });
    }

    #[test]
    fn a_line_that_is_too_long_is_told_when_it_has_ended_and_the_next_one_is_heard() {
        let bytes = [&vec![b'x'; 10_000_000], &b"\nshort\nninety\n"[..]].concat();
        with_written(bytes, false, |lines| {
            assert_eq!(next(lines, 1000), Ok(ReceivedLine::TooLong));
            assert!(lines.buffer.capacity() < 4 * STEP_LEN);
            assert_eq!(next(lines, 5), Ok(ReceivedLine::Line(b"short")));
            assert_eq!(next(lines, 5), Ok(ReceivedLine::TooLong));
        });
    }

    #[test]
    fn a_line_without_end_is_given_up_in_time() {
        with_written(b"never".to_vec(), false, |lines| {
            lines.deadline = Duration::from_millis(20);
            assert_eq!(next(lines, 1000), Err(NoLine::Slow));
        });
    }

    #[test]
    fn long_lines_hold_bounded_memory_and_short_ones_go_on() {
        let bytes = [&vec![b'x'; 2 * STEP_LEN], &b"\nshort\n"[..]].concat();
        with_written([&bytes[..], &bytes[..]].concat(), false, |lines| {
            let now = Instant::now();
            let held: Vec<LongFrame> = std::iter::from_fn(|| lines.payer.line(STEP_LEN, now)).collect();
            lines.deadline = Duration::from_secs(4);
            assert_eq!(next(lines, 4 * STEP_LEN), Ok(ReceivedLine::Crowded));
            assert_eq!(next(lines, 4 * STEP_LEN), Ok(ReceivedLine::Line(b"short")));
            drop(held);
            lines.deadline = FRAME_DEADLINE;
            assert!(matches!(next(lines, 4 * STEP_LEN), Ok(ReceivedLine::Line(line)) if line.len() == 2 * STEP_LEN));
            assert!(lines.room.is_some());
            lines.give_back(0);
            assert!(lines.room.is_none() && lines.buffer.capacity() <= CHUNK_LENS[1]);
        });
    }

    #[test]
    fn unfinished_lines_of_one_network_leave_room_for_the_longest_line_of_another() {
        let (near, mut far) = sockets();
        let memory = JsonMemory::new();
        let (others, mine) = (payer(&memory, &near, 2), payer(&memory, &near, 1));
        let now = Instant::now();
        let held: Vec<LongFrame> = std::iter::from_fn(|| others.line(STEP_LEN, now)).collect();
        assert!(held.len() > 10);
        thread::scope(|scope| {
            scope.spawn(move || far.write_all(&[&vec![b'x'; 5 << 20], &b"\n"[..]].concat()).expect("taken"));
            let mut lines = LineReceiver::new(&near, mine);
            assert!(matches!(next(&mut lines, 8 << 20), Ok(ReceivedLine::Line(line)) if line.len() == 5 << 20));
        });
    }
}
