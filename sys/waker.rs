//! Wakes a thread that waits in poll.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The pause after an error of accept(2).
const PAUSE: Duration = Duration::from_millis(100);
/// Longest wait in one call of poll. Nothing is lost when it passes.
const LONG_WAIT: Duration = Duration::from_secs(3600);

/// A descriptor that is readable from [`Waker::wake`] to [`Waker::clear`].
#[derive(Debug)]
pub struct Waker {
    fd: OwnedFd,
    awake: AtomicBool,
}

impl Waker {
    /// Fails if the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { fd, awake: AtomicBool::new(false) })
    }

    /// Wakes the thread. This costs no system call if an earlier wake is still unseen.
    pub fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            // Cannot fail: the counter is at 0 or 1.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// Resets the waker, for a caller that found its descriptor readable. Everything posted before this call is visible
    /// after it.
    pub fn clear(&self) {
        self.clear_with(|| {});
    }

    /// Waits until a descriptor is readable, or writable. Does not clear the waker.
    ///
    /// # Errors
    /// `Interrupted` if the waker is awake; `TimedOut`.
    pub fn wait_beside(&self, other: impl AsFd, writable: bool, until: Instant) -> io::Result<()> {
        let flags = if writable { PollFlags::OUT } else { PollFlags::IN };
        loop {
            let timeout =
                Timespec::try_from(until.saturating_duration_since(Instant::now())).map_err(io::Error::other)?;
            let mut fds = [PollFd::new(self, PollFlags::IN), PollFd::new(&other, flags)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) if !fds[0].revents().is_empty() => return Err(io::ErrorKind::Interrupted.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Accepts connections from a nonblocking listener until the waker is awake.
    pub fn accept_beside<T>(&self, listener: impl AsFd, accept: impl Fn() -> io::Result<T>, mut take: impl FnMut(T)) {
        loop {
            match self.wait_beside(&listener, false, Instant::now() + LONG_WAIT) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                Err(_) => return,
            }
            match accept() {
                Ok(connection) => take(connection),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The process has no descriptor left. One may be free for the next connection.
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Waits until a wake or until this time, and clears the waker.
    pub fn wait_until(&self, until: Instant) {
        let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        // An interruption counts as the end of the time.
        if matches!(poll(&mut [PollFd::new(self, PollFlags::IN)], timeout.as_ref()), Ok(1..)) {
            self.clear();
        }
    }

    /// Waits until a wake, until one of these descriptors is readable, or until this time. Clears the waker. True if it
    /// was woken.
    pub fn wait_for_any(&self, others: &[BorrowedFd<'_>], until: Instant) -> bool {
        let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        let all = [self.as_fd()].into_iter().chain(others.iter().copied());
        let mut fds: Vec<_> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // An interruption counts as the end of the time.
        let woken = poll(&mut fds, timeout.as_ref()).is_ok() && !fds[0].revents().is_empty();
        if woken {
            self.clear();
        }
        woken
    }

    /// The order matters. A wake between the two steps finds the mark still set and writes nothing, and the thread sees
    /// its cause after this. In the other order the read would take that wake's write, and its mark would silence all
    /// later wakes.
    fn clear_with(&self, between: impl FnOnce()) {
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
        between();
        self.awake.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(waker: &Waker) -> bool {
        let mut fds = [PollFd::new(waker, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
    }

    #[test]
    fn a_wake_in_the_middle_of_a_look_keeps_no_later_wake_silent() {
        let waker = Waker::new().expect("a descriptor");
        waker.wake();
        waker.clear_with(|| waker.wake());
        waker.wake();
        assert!(readable(&waker));
        waker.clear();
        assert!(!readable(&waker));
    }
}
