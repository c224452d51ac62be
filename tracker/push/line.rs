//! The closing of one connection from outside, and its session: whichever comes first.

use super::push_channel::Voice;
use crate::wire::client_tracker::Reply;
use crate::wire::error::Code;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// How the one who closes the tracker and the session come together, whichever is first.
#[derive(Default)]
pub struct Line {
    /// Set once the handshake is done, if there is one.
    voice: OnceLock<Arc<dyn Voice>>,
    closing: AtomicBool,
    told: AtomicBool,
}

impl Line {
    /// The client is spoken with from now on. A tracker that was told to close meanwhile says so now.
    pub fn open(&self, voice: Arc<dyn Voice>) {
        // A line is opened once.
        let _ = self.voice.set(voice);
        if self.closing.load(Ordering::SeqCst) {
            self.tell_closing();
        }
    }

    /// The tracker closes: the client is told, once.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.tell_closing();
    }

    /// What others may do with the client, once it is spoken with.
    pub(crate) fn voice(&self) -> Option<&Arc<dyn Voice>> {
        self.voice.get()
    }

    fn tell_closing(&self) {
        if let Some(voice) = self.voice.get().filter(|_| !self.told.swap(true, Ordering::SeqCst)) {
            voice.push(&Reply::refused(&Code::Closing.into()));
        }
    }
}
