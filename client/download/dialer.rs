//! Makes connections to peers on threads of their own, one for each connection in the making. To connect and to shake
//! hands means to wait for the far side. So a peer that never answers does not delay the others.

use super::opening::{DialError, DialTarget, open};
use super::peer_connection::PeerConnection;
use super::transfer::Transfer;
use crate::client::keyring::Keyring;
use crate::client::reach::reacher::Reacher;
use crate::model::id::PeerId;
use crate::sys::owned_thread::OwnedThread;
use crossbeam_channel as channel;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The maximum number of connections in the making at a time: twice as many as one download may have.
const DIALERS_MAX: usize = 128;
/// A thread without work for this long ends.
const REST: Duration = Duration::from_secs(5);
/// The maximum number of connections that wait for a thread.
const QUEUE_LEN: usize = 256;

/// A connection to make.
#[derive(Debug)]
pub(crate) struct DialJob {
    pub transfer: Arc<Transfer>,
    pub target: DialTarget,
}

/// Takes the number of the download, the peer, and the result of the job.
type OnDialed = Box<dyn Fn(u64, PeerId, Result<PeerConnection, DialError>) + Send + Sync>;

/// The state that the threads share.
struct DialQueue {
    // Immutable.
    jobs: channel::Receiver<DialJob>,
    keyring: Arc<Keyring>,
    reacher: Arc<Reacher>,
    on_dialed: OnDialed,
    // Counted.
    /// Jobs that wait or are under way.
    open: AtomicUsize,
    threads: AtomicUsize,
}

impl DialQueue {
    fn run(&self) {
        loop {
            match self.jobs.recv_timeout(REST) {
                Ok(job) => self.dial(job),
                Err(_) => {
                    self.threads.fetch_sub(1, Ordering::SeqCst);
                    // A thread that has just queued a job may count on this one.
                    if self.jobs.is_empty() {
                        return;
                    }
                    self.threads.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn dial(&self, DialJob { transfer, target }: DialJob) {
        let id = transfer.id();
        // The download may have ended while the job was queued.
        let result = if transfer.is_stopped() {
            Err(DialError::NotNow)
        } else {
            let opened = open(&transfer, &target, &self.reacher, &self.keyring);
            opened.map(|opened| PeerConnection::new(transfer, &target.peer, opened))
        };
        self.open.fetch_sub(1, Ordering::SeqCst);
        (self.on_dialed)(id, target.peer.id(), result);
    }
}

/// Dials on threads that start on demand and end when idle.
pub(crate) struct Dialer {
    jobs: Option<channel::Sender<DialJob>>,
    queue: Arc<DialQueue>,
    threads: Mutex<Vec<OwnedThread>>,
}

impl Dialer {
    /// Starts without threads. Each thread calls `on_dialed` with the result of its job.
    pub(crate) fn new(
        (keyring, reacher): (Arc<Keyring>, Arc<Reacher>),
        on_dialed: impl Fn(u64, PeerId, Result<PeerConnection, DialError>) + Send + Sync + 'static,
    ) -> Self {
        let (sender, jobs) = channel::bounded(QUEUE_LEN);
        let (open, threads) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let on_dialed = Box::new(on_dialed);
        let queue = Arc::new(DialQueue { jobs, keyring, reacher, on_dialed, open, threads });
        Self { jobs: Some(sender), queue, threads: Mutex::default() }
    }

    /// Queues a job. Returns false if the queue is full.
    pub(crate) fn dial(&self, job: DialJob) -> bool {
        self.queue.open.fetch_add(1, Ordering::SeqCst);
        let taken = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        if taken {
            // After the job is queued: a thread about to end looks at the queue once more.
            self.add_thread();
        } else {
            self.queue.open.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }

    /// Starts another thread if there are fewer threads than open jobs, and fewer than the limit.
    fn add_thread(&self) {
        let (open, count) = (self.queue.open.load(Ordering::SeqCst), self.queue.threads.load(Ordering::SeqCst));
        if count >= open.min(DIALERS_MAX) {
            return;
        }
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        let queue = self.queue.clone();
        self.queue.threads.fetch_add(1, Ordering::SeqCst);
        match OwnedThread::start(format!("dial-{count}"), move || queue.run()) {
            Ok(thread) => threads.push(thread),
            // An existing thread does the job, or else the next one that starts.
            Err(_) => drop(self.queue.threads.fetch_sub(1, Ordering::SeqCst)),
        }
    }

    /// Takes no more jobs, and waits for those under way. Each job has its own deadlines.
    pub(crate) fn close(&mut self) {
        self.jobs = None;
        // Joins them.
        self.threads.get_mut().clear();
    }
}
