//! A bell: wakes one thread that waits, however many ring.

use parking_lot::{Condvar, Mutex};
use std::time::Instant;

#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    woken: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        if !std::mem::replace(&mut *self.rung.lock(), true) {
            self.woken.notify_one();
        }
    }

    /// Waits until somebody has rung since the last time, or until then.
    pub(super) fn wait(&self, until: Instant) {
        let mut rung = self.rung.lock();
        while !*rung {
            if self.woken.wait_until(&mut rung, until).timed_out() {
                break;
            }
        }
        *rung = false;
    }
}
