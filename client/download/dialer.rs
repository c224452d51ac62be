//! Makes connections to peers: connecting and the handshake wait for the far side, so threads of their own do it. There
//! are as many as connections are being made: peers that never answer keep nobody else waiting.

use super::peer_connection::{DialError, PeerConnection};
use super::transfer::Transfer;
use crate::client::keyring::Keyring;
use crate::model::id::ClientId;
use crate::model::name::UserId;
use crate::sys::owned_thread::OwnedThread;
use crate::wire::client_tracker::Peer;
use crossbeam_channel as channel;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Most connections that are being made at once: twice as many as one download may have.
const DIALERS_MAX: usize = 128;
/// A thread ends when it has had no connection to make for this long.
const REST: Duration = Duration::from_secs(5);
/// Connections that wait to be made.
const QUEUE_LEN: usize = 256;

/// A connection to make.
#[derive(Debug)]
pub(crate) struct DialJob {
    pub transfer: Arc<Transfer>,
    /// To whom.
    pub peer: Peer,
}

/// Is told what became of a job.
type OnDialed = Box<dyn Fn(u64, ClientId, Result<PeerConnection, DialError>) + Send + Sync>;

/// What the threads share.
struct DialQueue {
    // Immutable.
    queue: channel::Receiver<DialJob>,
    keyring: Arc<Keyring>,
    me: UserId,
    on_dialed: OnDialed,
    // Counted.
    /// Jobs that wait or are under way.
    open: AtomicUsize,
    threads: AtomicUsize,
}

impl DialQueue {
    fn run(&self) {
        loop {
            match self.queue.recv_timeout(REST) {
                Ok(job) => self.dial(job),
                Err(_) => {
                    self.threads.fetch_sub(1, Ordering::SeqCst);
                    // A job that came just now was left to this thread, as long as it counted.
                    if self.queue.is_empty() {
                        return;
                    }
                    self.threads.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn dial(&self, DialJob { transfer, peer }: DialJob) {
        let id = transfer.id();
        // Nobody waits any more for what was queued when the download ended.
        let result = if transfer.is_stopped() {
            Err(DialError::NotNow)
        } else {
            PeerConnection::dial(transfer, &peer, &self.keyring, &self.me)
        };
        self.open.fetch_sub(1, Ordering::SeqCst);
        (self.on_dialed)(id, peer.client, result);
    }
}

/// The threads.
pub(crate) struct Dialer {
    jobs: Option<channel::Sender<DialJob>>,
    work: Arc<DialQueue>,
    threads: Mutex<Vec<OwnedThread>>,
}

impl Dialer {
    /// Has nothing to do yet; what becomes of a job goes to `on_dialed`.
    pub(crate) fn new(
        keyring: Arc<Keyring>,
        me: UserId,
        on_dialed: impl Fn(u64, ClientId, Result<PeerConnection, DialError>) + Send + Sync + 'static,
    ) -> Self {
        let (jobs, queue) = channel::bounded(QUEUE_LEN);
        let (open, threads) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = Arc::new(DialQueue { queue, keyring, me, on_dialed: Box::new(on_dialed), open, threads });
        Self { jobs: Some(jobs), work, threads: Mutex::default() }
    }

    /// Puts a job in the queue; false if the queue is full.
    pub(crate) fn dial(&self, job: DialJob) -> bool {
        self.work.open.fetch_add(1, Ordering::SeqCst);
        let taken = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        if taken {
            // Only now: a thread that has rested long enough ends unless it sees the job.
            self.add_thread();
        } else {
            self.work.open.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }

    /// Starts another thread if there are fewer than open jobs, and than there may be.
    fn add_thread(&self) {
        let (open, count) = (self.work.open.load(Ordering::SeqCst), self.work.threads.load(Ordering::SeqCst));
        if count >= open.min(DIALERS_MAX) {
            return;
        }
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        let work = self.work.clone();
        self.work.threads.fetch_add(1, Ordering::SeqCst);
        match OwnedThread::start(format!("dial-{count}"), move || work.run()) {
            Ok(thread) => threads.push(thread),
            // The job is done by a thread that is there, or with the next one.
            Err(_) => drop(self.work.threads.fetch_sub(1, Ordering::SeqCst)),
        }
    }

    /// Takes no more jobs and waits for those that are under way, each of which has its deadlines.
    pub(crate) fn close(&mut self) {
        self.jobs = None;
        // Joins them.
        self.threads.get_mut().clear();
    }
}
