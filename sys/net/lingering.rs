//! Half-closed sockets that stay open for a moment.

use parking_lot::Mutex;
use rustix::net::{Shutdown, shutdown};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a socket stays open, unless too many newer ones come.
const STAY: Duration = Duration::from_secs(2);

/// Sockets whose far side gets time to read the last bytes. A close with unread input would make the far side lose
/// them.
#[derive(Debug)]
pub struct LingeringSockets<S> {
    len_max: usize,
    /// In the order in which they came, each with its time. Never more than `len_max`.
    sockets: Mutex<VecDeque<(Instant, S)>>,
}

impl<S: AsFd> LingeringSockets<S> {
    /// Room for `len_max` sockets. One more closes the oldest.
    pub fn new(len_max: usize) -> Self {
        Self { len_max, sockets: Mutex::default() }
    }

    /// Ends the outgoing direction of a socket and keeps it open for a moment.
    pub fn put(&self, socket: S, now: Instant) {
        // This fails if the connection is gone. Then nobody reads.
        let _ = shutdown(&socket, Shutdown::Write);
        let mut sockets = self.sockets.lock();
        while sockets.len() >= self.len_max || sockets.front().is_some_and(|(since, _)| is_over(*since, now)) {
            sockets.pop_front();
        }
        sockets.push_back((now, socket));
    }

    /// Closes the sockets whose time is up.
    pub fn sweep(&self, now: Instant) {
        let mut sockets = self.sockets.lock();
        while sockets.front().is_some_and(|(since, _)| is_over(*since, now)) {
            sockets.pop_front();
        }
    }

    /// When the time of the next socket is up.
    pub fn due(&self) -> Option<Instant> {
        self.sockets.lock().front().map(|(since, _)| *since + STAY)
    }

    /// Closes all sockets now.
    pub fn clear(&self) {
        self.sockets.lock().clear();
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= STAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::os::unix::net::UnixStream;

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().expect("a pair of sockets")
    }

    /// Whether the socket at the other end is closed in both directions.
    fn is_closed(far: &UnixStream) -> bool {
        far.set_nonblocking(true).expect("a socket");
        rustix::io::write(far, b"x") == Err(rustix::io::Errno::PIPE)
    }

    #[test]
    fn the_far_side_sees_the_end_at_once_and_may_write_until_the_time_is_over() {
        let lingering = LingeringSockets::new(2);
        let start = Instant::now();
        let (near, mut far) = pair();
        lingering.put(near, start);
        assert_eq!(far.read(&mut [0; 1]).map_err(|error| error.kind()), Ok::<_, ErrorKind>(0));
        lingering.sweep(start + STAY - Duration::from_millis(1));
        assert!(!is_closed(&far));
        assert_eq!(lingering.due(), Some(start + STAY));
        lingering.sweep(start + STAY);
        assert!(is_closed(&far));
        assert_eq!(lingering.due(), None);
    }

    #[test]
    fn one_too_many_closes_the_oldest_and_a_late_one_those_whose_time_is_over() {
        let lingering = LingeringSockets::new(2);
        let start = Instant::now();
        let (nears, fars): (Vec<_>, Vec<_>) = (0..4).map(|_| pair()).unzip();
        let mut nears = nears.into_iter();
        let mut put = |now| lingering.put(nears.next().expect("one of four"), now);
        (0..3).for_each(|_| put(start));
        assert_eq!(fars.iter().map(is_closed).collect::<Vec<_>>(), [true, false, false, false]);
        put(start + STAY);
        assert_eq!(fars.iter().map(is_closed).collect::<Vec<_>>(), [true, true, true, false]);
        lingering.clear();
        assert!(fars.iter().all(is_closed));
    }
}
