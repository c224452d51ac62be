//! A relay that records all bytes, and can hold them back.

use super::relay::Relay;
use parking_lot::{Condvar, Mutex};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

pub(crate) struct Wiretap {
    relay: Relay,
    tape: Arc<Tape>,
}

#[derive(Default)]
struct Tape {
    /// The connection, whether the connecting side sent the bytes, and the bytes.
    passed: Mutex<Vec<(usize, bool, Vec<u8>)>>,
    held: Mutex<bool>,
    released: Condvar,
}

impl Wiretap {
    /// A wiretap that connects every caller to `to`.
    pub(crate) fn to(to: SocketAddr) -> Self {
        let tape = Arc::<Tape>::default();
        let kept = tape.clone();
        let relay = Relay::to(to, move |connection, asked, bytes| {
            kept.passed.lock().push((connection, asked, bytes.to_vec()));
            kept.released.wait_while(&mut kept.held.lock(), |held| *held);
        });
        Self { relay, tape }
    }

    /// Holds back all further bytes.
    pub(crate) fn hold(&self) {
        *self.tape.held.lock() = true;
    }

    /// Passes on the bytes that were held back, and all further ones.
    pub(crate) fn release(&self) {
        *self.tape.held.lock() = false;
        self.tape.released.notify_all();
    }

    /// Everything that went through or is held back: the connection, whether the connecting side sent the bytes, and
    /// the bytes.
    pub(crate) fn passed(&self) -> Vec<(usize, bool, Vec<u8>)> {
        self.tape.passed.lock().clone()
    }
}

impl Deref for Wiretap {
    type Target = Relay;

    fn deref(&self) -> &Relay {
        &self.relay
    }
}
