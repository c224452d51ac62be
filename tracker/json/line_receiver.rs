//! Receives the lines of a connection, each within a deadline and with bounded memory.

use super::memory_permits::{MemoryPermit, MemoryPermits};
use crate::tracker::presence::TTL;
use crate::wire::deadlines::FRAME_DEADLINE;
use crate::wire::handshake::is_timeout;
use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a line that a connection may hold without a permit.
pub(super) const SHORT_LEN: usize = 64 * 1024;
/// Bytes that are read at once.
const CHUNK_LEN: usize = 4 * 1024;

/// What has come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReceivedLine<'a> {
    Line(&'a [u8]),
    /// The line was longer than allowed and was dropped.
    TooLong,
    /// A long line was dropped, since too many others were under way.
    Crowded,
}

/// Why no line comes any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoLine {
    /// The far side is gone or has said nothing for [`TTL`].
    Gone,
    /// A line took longer than [`FRAME_DEADLINE`].
    Slow,
}

/// The incoming direction of a connection.
pub(super) struct LineReceiver<'a> {
    stream: &'a TcpStream,
    permits: &'a Arc<MemoryPermits>,
    permit: Option<MemoryPermit>,
    /// Lines that were returned, then bytes that came in behind them.
    buffer: Vec<u8>,
    /// The length of the lines that were returned, with their ends.
    given: usize,
    /// [`FRAME_DEADLINE`], but for tests.
    deadline: Duration,
    /// The wait set on the socket, so that it is not set again for every read.
    wait: Option<Duration>,
}

impl<'a> LineReceiver<'a> {
    pub(super) fn new(stream: &'a TcpStream, permits: &'a Arc<MemoryPermits>) -> Self {
        Self { stream, permits, permit: None, buffer: Vec::new(), given: 0, deadline: FRAME_DEADLINE, wait: None }
    }

    /// The next line, of at most `len_max` bytes. Gives back the memory and the permit of the line before. Once something
    /// has come in, takes a turn, and reads and looks for the end in it. Returns the turn in which the end came.
    pub(super) fn next<T>(
        &mut self,
        len_max: usize,
        mut turn: impl FnMut() -> T,
    ) -> Result<(ReceivedLine<'_>, T), NoLine> {
        self.permit = None;
        // So nothing is moved more than once, however short the lines are.
        if self.given >= self.buffer.len() / 2 {
            self.give_back();
        }
        let begins = self.given;
        let mut until = None;
        let mut searched = begins;
        // Set once the line is dropped.
        let mut lost: Option<ReceivedLine<'static>> = None;
        let mut has_come = begins < self.buffer.len();
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
                let end = searched + end;
                self.given = end + 1;
                let line = match lost {
                    Some(why) => why,
                    None if end - begins > len_max => ReceivedLine::TooLong,
                    None => ReceivedLine::Line(&self.buffer[begins..end]),
                };
                return Ok((line, turn));
            }
            drop(turn);
            if lost.is_none() && self.buffer.len() - begins > len_max {
                lost = Some(ReceivedLine::TooLong);
            }
            if lost.is_none() && self.buffer.len() > SHORT_LEN {
                // Half of the time; in the other half the rest of the line can be skipped.
                let permitted = self.is_permitted(until - self.deadline / 2);
                lost = (!permitted).then_some(ReceivedLine::Crowded);
            }
            if lost.is_some() {
                self.buffer.truncate(begins);
            }
            searched = self.buffer.len();
        }
    }

    /// Gives back the memory of the lines that were returned.
    fn give_back(&mut self) {
        self.buffer.drain(..std::mem::take(&mut self.given));
        self.buffer.shrink_to(CHUNK_LEN);
    }

    /// Waits for a memory permit until this time; true if there is one.
    pub(super) fn is_permitted(&mut self, until: Instant) -> bool {
        if self.permit.is_none() {
            self.permit = self.permits.take(until);
        }
        self.permit.is_some()
    }

    /// Waits for more of a line, or for its first bytes if there is no deadline yet.
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

    /// Reads what has come in.
    fn read(&mut self) -> Result<(), NoLine> {
        let len = self.buffer.len();
        let chunk_len = CHUNK_LEN.max(len.min(SHORT_LEN));
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
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// Both ends of a connection.
    fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        (near, listener.accept().expect("accepts").0)
    }

    /// Has this written by a thread of its own, that then leaves the connection open or not.
    fn with_written(bytes: Vec<u8>, close: bool, then: impl FnOnce(&mut LineReceiver<'_>)) {
        let ((near, mut far), permits) = (sockets(), MemoryPermits::new());
        let writer = thread::spawn(move || {
            far.write_all(&bytes).expect("taken");
            (!close).then_some(far)
        });
        then(&mut LineReceiver::new(&near, &permits));
        drop(writer.join());
    }

    fn next<'a>(lines: &'a mut LineReceiver<'_>, len_max: usize) -> Result<ReceivedLine<'a>, NoLine> {
        lines.next(len_max, || ()).map(|(line, ())| line)
    }

    #[test]
    fn a_line_is_read_in_turns_and_its_rest_waited_for_without_one() {
        let ((near, mut far), permits) = (sockets(), MemoryPermits::new());
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
            let mut lines = LineReceiver::new(&near, &permits);
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
        let long = vec![b'x'; 3 * SHORT_LEN];
        let bytes = [b"one\n\n", &long[..], b"\nlast\nwithout an end"].concat();
        with_written(bytes, true, |lines| {
            for line in [b"one", &b""[..], &long, b"last"] {
                assert_eq!(next(lines, 4 * SHORT_LEN), Ok(ReceivedLine::Line(line)));
            }
            assert!(lines.buffer.capacity() < 4 * SHORT_LEN && lines.permit.is_none(), "what was long is given back");
            assert_eq!(next(lines, 10), Err(NoLine::Gone));
        });
    }

    #[test]
    fn a_line_that_is_too_long_is_told_when_it_has_ended_and_the_next_one_is_heard() {
        let bytes = [&vec![b'x'; 10_000_000], &b"\nshort\nninety\n"[..]].concat();
        with_written(bytes, false, |lines| {
            assert_eq!(next(lines, 1000), Ok(ReceivedLine::TooLong));
            assert!(lines.buffer.capacity() < 4 * SHORT_LEN);
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
    fn where_too_many_long_lines_are_under_way_the_next_is_told_and_short_ones_go_on() {
        let bytes = [&vec![b'x'; 2 * SHORT_LEN], &b"\nshort\n"[..]].concat();
        with_written([&bytes[..], &bytes[..]].concat(), false, |lines| {
            let now = Instant::now();
            let held: Vec<MemoryPermit> = std::iter::from_fn(|| lines.permits.take(now)).collect();
            lines.deadline = Duration::from_secs(4);
            assert!(!lines.is_permitted(now));
            assert_eq!(next(lines, 4 * SHORT_LEN), Ok(ReceivedLine::Crowded));
            assert_eq!(next(lines, 4 * SHORT_LEN), Ok(ReceivedLine::Line(b"short")));
            drop(held);
            lines.deadline = FRAME_DEADLINE;
            assert!(matches!(next(lines, 4 * SHORT_LEN), Ok(ReceivedLine::Line(line)) if line.len() == 2 * SHORT_LEN));
        });
    }
}
