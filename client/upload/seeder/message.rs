//! The messages to the thread of the seeder.

use crate::client::upload::session::{Entrance, HandBack, UploadConnection};
use crate::sys::waker::Waker;
use crossbeam_channel as channel;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

pub(super) enum SeederMessage {
    /// A connection that did not come through the listener. The address is that of its far side, and is missing for a
    /// relayed one.
    Entered(TcpStream, Option<IpAddr>, Entrance),
    /// A worker hands a connection back.
    Back(Box<UploadConnection>, HandBack),
    Close,
}

/// The channel to the thread of the seeder. Sending never waits.
#[derive(Clone)]
pub(super) struct SeederMailbox {
    pub messages: channel::Sender<SeederMessage>,
    pub waker: Arc<Waker>,
}

impl SeederMailbox {
    pub(super) fn send(&self, message: SeederMessage) {
        // This fails only after the seeder has closed.
        if self.messages.send(message).is_ok() {
            self.waker.wake();
        }
    }
}
