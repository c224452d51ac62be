//! The explorer's locks, conditions and channels, with the interface of parking_lot and crossbeam as far as the
//! explored rooms use it.
//!
//! Time stands still for a scheduler. The deadline of a condition never passes, so a wait that only the deadline would
//! end shows as a deadlock. The deadline of a channel serves to gather messages. It passes once other threads had a
//! turn and no message came.

use shuttle::sync;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Instant;

pub use shuttle::sync::atomic;

/// Threads whose turns the explorer gives.
pub mod thread {
    pub use shuttle::thread::*;
    pub use std::thread::panicking;
}

/// Channels without a bound.
pub mod channel {
    use shuttle::sync::mpsc;
    use shuttle::thread;
    use std::time::Instant;

    pub use shuttle::sync::mpsc::Sender;

    pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel();
        (sender, Receiver(receiver))
    }

    /// The receiving end of a channel.
    #[derive(Debug)]
    pub struct Receiver<T>(mpsc::Receiver<T>);

    impl<T> Receiver<T> {
        /// Waits for the next value. An error if all senders are gone.
        pub fn recv(&self) -> Result<T, mpsc::RecvError> {
            self.0.recv()
        }

        /// The next value, if it comes while the other threads have one turn.
        pub fn recv_deadline(&self, _: Instant) -> Result<T, mpsc::TryRecvError> {
            thread::yield_now();
            self.0.try_recv()
        }
    }
}

/// A lock without poisoning.
#[derive(Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: self, held: Some(self.hold()) }
    }

    fn hold(&self) -> sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

pub struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    /// `None` only within calls that release the lock for a while.
    held: Option<sync::MutexGuard<'a, T>>,
}

impl<T> MutexGuard<'_, T> {
    /// Releases the lock while `run` runs.
    pub fn unlocked<U>(guard: &mut Self, run: impl FnOnce() -> U) -> U {
        guard.held = None;
        let outcome = run();
        guard.held = Some(guard.lock.hold());
        outcome
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("held between calls")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("held between calls")
    }
}

#[derive(Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// A condition without a waiting thread.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Releases the lock until a notification.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect("held between calls");
        guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// The same. The deadline never passes.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> Woken {
        self.wait(guard);
        Woken
    }

    /// Wakes one waiting thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// The wait has ended by a notification.
#[derive(Debug)]
pub struct Woken;

impl Woken {
    /// Whether the deadline ended the wait. It never does.
    pub fn timed_out(&self) -> bool {
        false
    }
}

/// A lock for one writer or many readers, without poisoning.
#[derive(Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    /// Waits until no thread writes.
    pub fn read(&self) -> sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no thread reads or writes.
    pub fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
