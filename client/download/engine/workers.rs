//! The threads that take data from connections.

use super::message::{EngineMessage, Mailbox};
use super::options::EngineOptions;
use crate::client::download::peer_connection::PeerConnection;
use crate::client::rate::downlink::Downlink;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A pool of workers. Each works on one connection at a time, and gives it back through the mailbox.
pub(super) struct Workers {
    pool: rayon::ThreadPool,
    count: usize,
    busy: usize,
    downlink: Arc<Downlink>,
    mailbox: Mailbox,
    /// Set while a connection waits for a worker. Workers look at this between frames.
    others_wait: Arc<AtomicBool>,
}

impl Workers {
    pub(super) fn new(options: &EngineOptions, mailbox: Mailbox) -> io::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.workers)
            .thread_name(|number| format!("worker-{number}"))
            .build()
            .map_err(io::Error::other)?;
        let (count, downlink) = (options.workers, options.downlink.clone());
        Ok(Self { pool, count, busy: 0, downlink, mailbox, others_wait: Arc::default() })
    }

    /// The number of workers without a connection.
    pub(super) fn free(&self) -> usize {
        self.count - self.busy
    }

    /// Whether any worker has a connection.
    pub(super) fn are_busy(&self) -> bool {
        self.busy > 0
    }

    /// Gives a connection to a free worker.
    pub(super) fn give(&mut self, mut connection: PeerConnection) {
        self.busy += 1;
        let (downlink, mailbox) = (self.downlink.clone(), self.mailbox.clone());
        let others_wait = self.others_wait.clone();
        self.pool.spawn(move || {
            let outcome = connection.work(&downlink, || others_wait.load(Ordering::Relaxed));
            mailbox.send(EngineMessage::Returned(connection, outcome));
        });
    }

    /// Notes that a worker has given its connection back.
    pub(super) fn came_back(&mut self) {
        self.busy -= 1;
    }

    /// Notes whether connections wait now.
    pub(super) fn note_waiting(&self, waiting: bool) {
        self.others_wait.store(waiting, Ordering::Relaxed);
    }
}
