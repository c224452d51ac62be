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
    /// The line that was returned last, then bytes that came in behind it.
    buffer: Vec<u8>,
    /// The length of the line that was returned last, with its end.
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

    /// The next line, of at most `len_max` bytes. Gives back the memory and the permit of the line before.
    pub(super) fn next(&mut self, len_max: usize) -> Result<ReceivedLine<'_>, NoLine> {
        self.buffer.drain(..std::mem::take(&mut self.given));
        self.buffer.shrink_to(CHUNK_LEN);
        self.permit = None;
        let mut until = (!self.buffer.is_empty()).then(|| Instant::now() + self.deadline);
        let mut searched = 0;
        // Set once the line is dropped.
        let mut lost: Option<ReceivedLine<'static>> = None;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|&byte| byte == b'\n') {
                let len = searched + end;
                self.given = len + 1;
                return Ok(match lost {
                    Some(why) => why,
                    None if len > len_max => ReceivedLine::TooLong,
                    None => ReceivedLine::Line(&self.buffer[..len]),
                });
            }
            if lost.is_none() && self.buffer.len() > len_max {
                lost = Some(ReceivedLine::TooLong);
            }
            if lost.is_none() && self.buffer.len() > SHORT_LEN {
                // Half of the time; in the other half the rest of the line can be skipped.
                let permitted = self.is_permitted(until.map_or_else(Instant::now, |until| until - self.deadline / 2));
                lost = (!permitted).then_some(ReceivedLine::Crowded);
            }
            if lost.is_some() {
                self.buffer.clear();
            }
            searched = self.buffer.len();
            self.read(until)?;
            until.get_or_insert_with(|| Instant::now() + self.deadline);
        }
    }

    /// Waits for a memory permit until this time; true if there is one.
    pub(super) fn is_permitted(&mut self, until: Instant) -> bool {
        if self.permit.is_none() {
            self.permit = self.permits.take(until);
        }
        self.permit.is_some()
    }

    /// Reads more of a line, or its first bytes if there is no deadline yet.
    fn read(&mut self, until: Option<Instant>) -> Result<(), NoLine> {
        let wait = until.map_or(TTL, |until| until.saturating_duration_since(Instant::now()));
        if wait.is_zero() {
            return Err(NoLine::Slow);
        }
        if self.wait != Some(wait) {
            self.stream.set_read_timeout(Some(wait)).map_err(|_| NoLine::Gone)?;
            self.wait = Some(wait);
        }
        let len = self.buffer.len();
        let chunk_len = CHUNK_LEN.max(len.min(SHORT_LEN));
        self.buffer.resize(len + chunk_len, 0);
        let mut stream = self.stream;
        let read = stream.read(&mut self.buffer[len..]);
        self.buffer.truncate(len + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(NoLine::Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if is_timeout(&error) && until.is_some() => Err(NoLine::Slow),
            Err(_) => Err(NoLine::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
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

    #[test]
    fn lines_come_one_by_one_however_they_were_written() {
        let long = vec![b'x'; 3 * SHORT_LEN];
        let bytes = [b"one\n\n", &long[..], b"\nlast\nwithout an end"].concat();
        with_written(bytes, true, |lines| {
            for line in [b"one", &b""[..], &long, b"last"] {
                assert_eq!(lines.next(4 * SHORT_LEN), Ok(ReceivedLine::Line(line)));
            }
            assert!(lines.buffer.capacity() < 4 * SHORT_LEN && lines.permit.is_none(), "what was long is given back");
            assert_eq!(lines.next(10), Err(NoLine::Gone));
        });
    }

    #[test]
    fn a_line_that_is_too_long_is_told_when_it_has_ended_and_the_next_one_is_heard() {
        let bytes = [&vec![b'x'; 10_000_000], &b"\nshort\nninety\n"[..]].concat();
        with_written(bytes, false, |lines| {
            assert_eq!(lines.next(1000), Ok(ReceivedLine::TooLong));
            assert!(lines.buffer.capacity() < 4 * SHORT_LEN);
            assert_eq!(lines.next(5), Ok(ReceivedLine::Line(b"short")));
            assert_eq!(lines.next(5), Ok(ReceivedLine::TooLong));
        });
    }

    #[test]
    fn a_line_without_end_is_given_up_in_time() {
        with_written(b"never".to_vec(), false, |lines| {
            lines.deadline = Duration::from_millis(20);
            assert_eq!(lines.next(1000), Err(NoLine::Slow));
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
            assert_eq!(lines.next(4 * SHORT_LEN), Ok(ReceivedLine::Crowded));
            assert_eq!(lines.next(4 * SHORT_LEN), Ok(ReceivedLine::Line(b"short")));
            drop(held);
            lines.deadline = FRAME_DEADLINE;
            assert!(matches!(lines.next(4 * SHORT_LEN), Ok(ReceivedLine::Line(line)) if line.len() == 2 * SHORT_LEN));
        });
    }
}
