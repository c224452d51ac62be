//! The threads that read, seal and send: a few, whatever the number of connections.

use super::message::{SeederMailbox, SeederMessage};
use crate::client::upload::session::{Desk, HandBack, OthersWait, SessionContext, UploadConnection};
use crate::sys::owned_thread::OwnedThread;
use crate::wire::record_layer::FrameRecords;
use crossbeam_channel::{self as channel, RecvTimeoutError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A worker without work for this long gives its buffer back.
const REST: Duration = Duration::from_secs(1);
/// The stack of a worker, in bytes. Buffers are on the heap.
const STACK_LEN: usize = 256 * 1024;

/// The pool of workers. Each has one connection at a time, and gives it back through the mailbox.
pub(super) struct UploadWorkers {
    // Dropped before the threads, which then end.
    jobs: Option<channel::Sender<Box<UploadConnection>>>,
    threads: Vec<OwnedThread>,
    busy: usize,
    others_wait: Arc<AtomicBool>,
}

impl UploadWorkers {
    /// Starts this many workers.
    pub(super) fn start(count: usize, context: &Arc<SessionContext>, mailbox: &SeederMailbox) -> io::Result<Self> {
        let (jobs, taken) = channel::bounded(count);
        let others_wait = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let worker = Worker {
                context: context.clone(),
                jobs: taken.clone(),
                mailbox: mailbox.clone(),
                others_wait: others_wait.clone(),
            };
            threads.push(OwnedThread::with_stack(format!("upload-{number}"), STACK_LEN, move || worker.run())?);
        }
        Ok(Self { jobs: Some(jobs), threads, busy: 0, others_wait })
    }

    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// The number of workers without a connection.
    pub(super) fn free(&self) -> usize {
        self.threads.len() - self.busy
    }

    /// Whether any worker has a connection.
    pub(super) fn are_busy(&self) -> bool {
        self.busy > 0
    }

    /// Gives a connection to a free worker.
    pub(super) fn give(&mut self, connection: Box<UploadConnection>) {
        self.busy += 1;
        // The channel has room for as many connections as workers, which end only after this.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(connection));
    }

    /// Notes that a worker has handed its connection back.
    pub(super) fn came_back(&mut self) {
        self.busy -= 1;
    }

    /// Notes whether connections wait for a worker now.
    pub(super) fn note_waiting(&self, waiting: bool) {
        self.others_wait.store(waiting, Ordering::Relaxed);
    }
}

impl Drop for UploadWorkers {
    fn drop(&mut self) {
        self.jobs = None;
        self.threads.iter_mut().for_each(OwnedThread::join);
    }
}

struct Worker {
    context: Arc<SessionContext>,
    jobs: channel::Receiver<Box<UploadConnection>>,
    mailbox: SeederMailbox,
    others_wait: Arc<AtomicBool>,
}

impl Worker {
    fn run(&self) {
        let mut records = FrameRecords::default();
        loop {
            let mut connection = match self.jobs.recv_timeout(REST) {
                Ok(connection) => connection,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    records = FrameRecords::default();
                    let Ok(connection) = self.jobs.recv() else { return };
                    connection
                }
            };
            let mut desk = Desk { records: &mut records, others: OthersWait(&self.others_wait) };
            // The panic, already printed, ends the connection, but not the worker.
            let worked = catch_unwind(AssertUnwindSafe(|| connection.work(&self.context, &mut desk)));
            let back = worked.unwrap_or(HandBack::Ends);
            self.mailbox.send(SeederMessage::Back(connection, back));
        }
    }
}
