//! The answer to a change: owed until the change is durable, and then given by whoever learns of it first, so that no
//! thread has to be woken for it.

use crate::tracker::commit::{COMMIT_WAIT_MAX, Pending, no_answer};
use crate::tracker::push::slow_consumers::SlowConsumers;
use crate::wire::client_tracker::Reply;
use crate::wire::connection::FrameSender;
use crate::wire::error::Refusal;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Instant;

/// What a connection owes its client: one answer at most, since answers come in the order of requests.
pub(super) struct Owed {
    sender: Arc<FrameSender>,
    slow_consumers: Arc<SlowConsumers>,
    debt: Mutex<Option<Debt>>,
    paid: Condvar,
}

struct Debt {
    request: u32,
    reply: Reply,
    since: Instant,
}

impl Owed {
    pub(super) fn new(sender: Arc<FrameSender>, slow_consumers: Arc<SlowConsumers>) -> Arc<Self> {
        Arc::new(Self { sender, slow_consumers, debt: Mutex::new(None), paid: Condvar::new() })
    }

    /// Gives this answer once the change is durable. Nothing may be owed before.
    pub(super) fn owe(self: &Arc<Self>, request: u32, reply: Reply, pending: Pending) {
        let since = Instant::now();
        *self.debt.lock() = Some(Debt { request, reply, since });
        let owed = self.clone();
        pending.then(Box::new(move |outcome| owed.pay(since, outcome)));
    }

    /// Pays the debt of this time; one that was given up is not paid again. Never waits for the far side.
    fn pay(&self, since: Instant, outcome: Result<(), Refusal>) {
        let mut debt = self.debt.lock();
        if let Some(due) = debt.take_if(|debt| debt.since == since) {
            let reply = outcome.map_or_else(|refusal| Reply::refused(&refusal), |()| due.reply);
            self.sender.queue(due.request, &reply);
            drop(debt);
            self.paid.notify_all();
            self.slow_consumers.flush_on(Arc::<FrameSender>::clone(&self.sender));
        }
    }

    /// Returns when nothing is owed any more: after [`COMMIT_WAIT_MAX`] the client is told that there is no answer.
    pub(super) fn settle(&self) {
        let mut debt = self.debt.lock();
        while let Some(Debt { since, .. }) = *debt {
            if self.paid.wait_until(&mut debt, since + COMMIT_WAIT_MAX).timed_out() {
                drop(debt);
                return self.pay(since, Err(no_answer(COMMIT_WAIT_MAX)));
            }
        }
    }
}
