//! What the thread of the seeder is told, and by whom.

use crate::client::upload::session::{Entrance, HandBack, UploadConnection};
use crate::sys::waker::Waker;
use crossbeam_channel as channel;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

pub(super) enum SeederMessage {
    /// A connection that came about in another way than by the listener, with the address of its far side unless it comes
    /// by the relay.
    Entered(TcpStream, Option<IpAddr>, Entrance),
    /// A worker hands a connection back.
    Back(Box<UploadConnection>, HandBack),
    Close,
}

/// Where messages to the thread of the seeder go. Sending never waits.
#[derive(Clone)]
pub(super) struct SeederMailbox {
    pub messages: channel::Sender<SeederMessage>,
    pub waker: Arc<Waker>,
}

impl SeederMailbox {
    pub(super) fn send(&self, message: SeederMessage) {
        // Fails only after the seeder has closed.
        if self.messages.send(message).is_ok() {
            self.waker.wake();
        }
    }
}
