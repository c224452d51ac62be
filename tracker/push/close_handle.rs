//! Tells one connection from outside that the tracker closes. The session may open the handle before or after that.

use super::push_channel::PushChannel;
use crate::wire::client_tracker::Reply;
use crate::wire::refusal::Code;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The server's handle on a connection, to close it. The client is told once.
#[derive(Default)]
pub(crate) struct CloseHandle {
    /// Set by the session, after the handshake if there is one.
    channel: OnceLock<Arc<dyn PushChannel>>,
    closing: AtomicBool,
    told: AtomicBool,
}

impl CloseHandle {
    /// Connects the handle with the client. Called once. If the tracker is closing already, tells the client now.
    pub(crate) fn open(&self, channel: Arc<dyn PushChannel>) {
        let _ = self.channel.set(channel);
        if self.closing.load(Ordering::SeqCst) {
            self.tell_closing();
        }
    }

    /// Tells the client that the tracker closes, now or as soon as the handle is open.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.tell_closing();
    }

    /// `None` until the handle is open.
    pub(crate) fn channel(&self) -> Option<&Arc<dyn PushChannel>> {
        self.channel.get()
    }

    fn tell_closing(&self) {
        if let Some(channel) = self.channel.get().filter(|_| !self.told.swap(true, Ordering::SeqCst)) {
            channel.push(&Reply::refused(&Code::Closing.into()));
        }
    }
}
