//! The reply to a change, which waits until the change is durable. The thread that learns of this first queues the
//! reply, so no other thread has to wake.

use crate::tracker::commit::{COMMIT_WAIT_MAX, Pending, PendingProbe};
use crate::tracker::core::Core;
use crate::tracker::metrics::{BegunCommand, Metrics};
use crate::tracker::push::slow_consumers::{SlowConsumers, queue_or_cut_off};
use crate::wire::client_tracker::Reply;
use crate::wire::connection::FrameSender;
use crate::wire::refusal::Refusal;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Instant;

/// The reply that a connection owes its client: at most one, since replies come in the order of requests.
pub(super) struct DeferredReply {
    sender: Arc<FrameSender>,
    slow_consumers: Arc<SlowConsumers>,
    metrics: Arc<Metrics>,
    owed: Mutex<Option<OwedReply>>,
    given: Condvar,
}

struct OwedReply {
    request: u32,
    reply: Reply,
    command: BegunCommand,
    since: Instant,
    probe: PendingProbe,
}

impl DeferredReply {
    pub(super) fn new(sender: Arc<FrameSender>, core: &Core) -> Arc<Self> {
        let (slow_consumers, metrics) = (core.slow_consumers.clone(), core.oversight.metrics.clone());
        Arc::new(Self { sender, slow_consumers, metrics, owed: Mutex::new(None), given: Condvar::new() })
    }

    /// Gives this reply once the command's change is durable. No other reply may be owed.
    pub(super) fn defer(self: &Arc<Self>, request: u32, command: BegunCommand, reply: Reply, pending: Pending) {
        let since = Instant::now();
        *self.owed.lock() = Some(OwedReply { request, reply, command, since, probe: pending.probe() });
        let this = self.clone();
        pending.then(Box::new(move |outcome| this.give(since, outcome)));
    }

    /// Gives the reply owed since then, unless it was given up. Never waits for the client.
    fn give(&self, since: Instant, outcome: Result<(), Refusal>) {
        let mut owed = self.owed.lock();
        if let Some(due) = owed.take_if(|owed| owed.since == since) {
            self.metrics.answered(due.command, outcome.as_ref().err().map(|refusal| refusal.code));
            let reply = outcome.map_or_else(|refusal| Reply::refused(&refusal), |()| due.reply);
            queue_or_cut_off(&self.sender, due.request, &reply);
            drop(owed);
            self.given.notify_all();
            self.slow_consumers.flush_on(Arc::<FrameSender>::clone(&self.sender));
        }
    }

    /// Whether a reply is owed.
    pub(super) fn is_owed(&self) -> bool {
        self.owed.lock().is_some()
    }

    /// Returns when no reply is owed. After [`COMMIT_WAIT_MAX`] tells the client that there is no answer.
    pub(super) fn settle(&self) {
        let mut owed = self.owed.lock();
        while let Some(OwedReply { since, .. }) = *owed {
            if self.given.wait_until(&mut owed, since + COMMIT_WAIT_MAX).timed_out() {
                let refusal = owed.as_ref().map(|owed| owed.probe.no_answer(COMMIT_WAIT_MAX));
                drop(owed);
                return refusal.into_iter().for_each(|refusal| self.give(since, Err(refusal)));
            }
        }
    }
}
