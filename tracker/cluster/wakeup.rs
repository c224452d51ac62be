//! Wakes one waiting thread, however many others call.

use crate::sync::{Condvar, Mutex};
use std::time::Instant;

/// A reason for one thread to look again. Calls before it waits count as one.
#[derive(Default)]
pub struct Wakeup {
    called: Mutex<bool>,
    woken: Condvar,
}

impl Wakeup {
    /// Wakes the thread. If it is not waiting, its next wait returns at once.
    pub fn wake(&self) {
        if !std::mem::replace(&mut *self.called.lock(), true) {
            self.woken.notify_one();
        }
    }

    /// Waits for a call since the last wait, at most until `until`.
    pub fn wait(&self, until: Instant) {
        let mut called = self.called.lock();
        while !*called {
            if self.woken.wait_until(&mut called, until).timed_out() {
                break;
            }
        }
        *called = false;
    }
}
