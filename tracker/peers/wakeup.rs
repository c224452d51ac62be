//! A bell: wakes one thread that waits, however many ring.

use crate::sync::{Condvar, Mutex};
use std::time::Instant;

/// A bell.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    woken: Condvar,
}

impl Bell {
    /// Rings, unless somebody has and nobody has heard it yet.
    pub fn ring(&self) {
        if !std::mem::replace(&mut *self.rung.lock(), true) {
            self.woken.notify_one();
        }
    }

    /// Waits until somebody has rung since the last time, or until then.
    pub fn wait(&self, until: Instant) {
        let mut rung = self.rung.lock();
        while !*rung {
            if self.woken.wait_until(&mut rung, until).timed_out() {
                break;
            }
        }
        *rung = false;
    }
}
