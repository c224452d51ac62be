//! A socket with one deadline over many reads and writes, for handshakes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A socket with one deadline over many reads and writes, for handshakes.
#[derive(Debug)]
pub struct TimedStream<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl<'a> TimedStream<'a> {
    /// All reads and writes must end within this time from now.
    pub fn new(stream: &'a TcpStream, within: Duration) -> Self {
        Self::until(stream, Instant::now() + within)
    }

    /// All reads and writes must end by this time.
    pub fn until(stream: &'a TcpStream, until: Instant) -> Self {
        Self { stream, until }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for TimedStream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buf)
    }
}

impl Write for TimedStream<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{drip, sockets};
    use super::*;
    use crate::model::digest::KeyId;
    use crate::wire::handshake::{self, HandshakeError, is_timeout};
    use std::thread;

    #[test]
    fn a_handshake_that_drips_in_is_cut_off_by_the_deadline_over_all_of_it() {
        let (near, far) = sockets();
        let mut bytes = handshake::MAGIC.to_vec();
        bytes.extend([0, 1, 1, 0, 200]);
        bytes.extend([0; 200]);
        let dripper = thread::spawn(move || drip(near, &bytes));
        let mut timed = TimedStream::new(&far, Duration::from_millis(100));
        let (key, link) = (handshake::Secret([1; 32]), (KeyId([2; 16]), handshake::Secret([3; 32])));
        let error = handshake::tracker_accepts(&mut timed, &key, &link, || ()).map(drop);
        assert!(matches!(error, Err(HandshakeError::Io(error)) if is_timeout(&error)));
        drop(far);
        assert!(dripper.join().expect("ends") < 200);
    }

    #[test]
    fn a_tracker_that_accepts_and_says_nothing_does_not_hold_the_client() {
        let (near, _far) = sockets();
        let error = handshake::client_to_tracker(&mut TimedStream::new(&near, Duration::from_millis(20))).map(drop);
        let Err(error) = error else { panic!("nobody answered") };
        assert_eq!(error.to_string(), "no answer in time");
    }
}
