//! The engine of all downloads: it connects to peers, takes pieces from them, and tells how each download ends.

mod dispatcher;
mod entry;
pub mod event;
mod message;
pub mod options;
mod workers;

use super::transfer::Transfer;
use crate::client::keyring::Keyring;
use crate::client::reach::reacher::Reacher;
use crate::model::id::GroupRef;
use crate::sys::owned_thread::OwnedThread;
use crate::wire::client_tracker::Peer;
use crossbeam_channel as channel;
use dispatcher::Dispatcher;
use event::EngineEvent;
use message::{EngineMessage, Mailbox};
use options::EngineOptions;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// The engine as the rest of the client sees it. Every call but `remove` returns at once.
pub struct Engine {
    mailbox: Mailbox,
    thread: OwnedThread,
}

impl Engine {
    /// Starts the engine. The engine reaches members through `reacher`, under keys of the keyring. Its events go to
    /// `told`, whose receiver must be drained.
    pub fn start(
        options: EngineOptions,
        reach: (Arc<Keyring>, Arc<Reacher>),
        told: channel::Sender<EngineEvent>,
    ) -> io::Result<Self> {
        let (dispatcher, mailbox) = Dispatcher::new(options, reach, told)?;
        let thread = OwnedThread::start("engine", move || dispatcher.run())?;
        Ok(Self { mailbox, thread })
    }

    /// Begins a download.
    pub fn add(&self, transfer: Arc<Transfer>) {
        self.mailbox.send(EngineMessage::Add(transfer));
    }

    /// Ends a download that is not complete, even before it is added. Nothing writes to its file after this returns.
    pub fn remove(&self, transfer: &Transfer) {
        transfer.give_up();
        let (done, wait) = channel::bounded(1);
        self.mailbox.send(EngineMessage::Remove(transfer.id(), done));
        // The dispatcher drops the sender if it does not have the download.
        let _ = wait.recv();
    }

    /// Tells that the search in the old version has ended for the download with this number.
    pub fn decided(&self, transfer: u64) {
        self.mailbox.send(EngineMessage::Decided(transfer));
    }

    /// Tells which clients hold pieces of the download with this number.
    pub fn peers(&self, transfer: u64, peers: Vec<Peer>) {
        self.mailbox.send(EngineMessage::Peers(transfer, peers));
    }

    /// Tells that a peer with pieces of the download with this number has just come online.
    pub fn arrived(&self, transfer: u64, peer: Peer) {
        self.mailbox.send(EngineMessage::Arrived(transfer, peer));
    }

    /// Tells that the network is back. The engine dials all peers at once, even after failures.
    pub fn retry(&self) {
        self.mailbox.send(EngineMessage::Retry);
    }

    /// Ends the connections from these addresses, which this machine has lost, and dials all peers at once. Forgets the
    /// addresses of earlier calls: connections from those do not end any more.
    pub(crate) fn end_from(&self, gone: Vec<IpAddr>) {
        self.mailbox.send(EngineMessage::Gone(gone));
    }

    /// Drops the connections made under a key of this group. The engine makes them again under the new key.
    pub fn drop_group(&self, group: GroupRef) {
        self.mailbox.send(EngineMessage::DropGroup(group));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.mailbox.send(EngineMessage::Close);
        self.thread.join();
    }
}
