//! Makes connections to peers: connecting and the handshake wait for the far side, so threads of their own do it.

use super::download::Download;
use super::keyring::Keyring;
use super::peer_link::{DialError, PeerLink};
use crate::model::id::ClientId;
use crate::model::name::UserId;
use crate::wire::client_tracker::Peer;
use crossbeam_channel as channel;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Connections that are being made at once.
const DIALERS: usize = 8;
/// Connections that wait to be made.
const QUEUE_LEN: usize = 256;

/// A connection to make.
#[derive(Debug)]
pub struct DialJob {
    /// The number of the download.
    pub id: u64,
    /// The download.
    pub download: Arc<Download>,
    /// To whom.
    pub peer: Peer,
}

/// The threads.
pub struct Dialer {
    jobs: Option<channel::Sender<DialJob>>,
    threads: Vec<JoinHandle<()>>,
}

impl Dialer {
    /// Starts the threads; what becomes of a job goes to `done`.
    pub fn start(
        keyring: Arc<Keyring>,
        me: UserId,
        done: impl Fn(u64, ClientId, Result<PeerLink, DialError>) + Send + Clone + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = channel::bounded::<DialJob>(QUEUE_LEN);
        let threads = (0..DIALERS).map(|number| {
            let (queue, keyring, me, done) = (queue.clone(), keyring.clone(), me.clone(), done.clone());
            std::thread::Builder::new().name(format!("dial-{number}")).spawn(move || {
                for DialJob { id, download, peer } in queue {
                    // Nobody waits any more for what was queued when the download ended.
                    let result = if download.is_stopped() {
                        Err(DialError::NotNow)
                    } else {
                        PeerLink::dial(download, &peer, &keyring, &me)
                    };
                    done(id, peer.client, result);
                }
            })
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self { jobs: Some(jobs), threads })
    }

    /// Puts a job in the queue; false if the queue is full.
    pub fn dial(&self, job: DialJob) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    /// Takes no more jobs and waits for those that are under way, each of which has its deadlines.
    pub fn close(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}
