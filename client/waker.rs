//! Wakes a thread that waits in poll.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// A descriptor that is readable from [`Waker::wake`] to [`Waker::clear`].
#[derive(Debug)]
pub struct Waker {
    fd: OwnedFd,
    awake: AtomicBool,
}

impl Waker {
    /// Makes one; fails when the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { fd, awake: AtomicBool::new(false) })
    }

    /// Wakes the thread; costs no system call if it has been woken already and has not looked yet.
    pub fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            // Cannot fail: the counter is at 0 or 1.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// Looks: what was posted before this is seen after it.
    pub fn clear(&self) {
        if self.awake.swap(false, Ordering::AcqRel) {
            let _ = rustix::io::read(&self.fd, &mut [0; 8]);
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
