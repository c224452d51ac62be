//! Who waits for which reply of a tracker, how long, and whether it is the user.

use crate::wire::client_tracker::{Reply, Request};
use crossbeam_channel as channel;
use std::collections::HashMap;
use std::thread::{self, ThreadId};
use std::time::Duration;

/// A reply comes within this time, or the connection counts as lost.
pub(crate) const REPLY_DEADLINE: Duration = Duration::from_secs(10);
/// The same for what may have to wait for its turn at the tracker: weighing passwords, checking manifests.
const TURN_DEADLINE: Duration = Duration::from_secs(30);

/// Takes a reply on the thread that reads. It is dropped without one if the connection is lost before.
pub type OnReply = Box<dyn FnOnce(Reply) + Send>;

/// Where a reply goes.
pub(crate) enum ReplyTo {
    Waiter(channel::Sender<Reply>),
    Callback(OnReply),
}

impl ReplyTo {
    pub(crate) fn give(self, reply: Reply) {
        match self {
            // The one who asked may have given up; then the reply is of no use.
            ReplyTo::Waiter(waiter) => drop(waiter.try_send(reply)),
            ReplyTo::Callback(callback) => callback(reply),
        }
    }
}

/// Whoever waits for a reply.
struct Waiting {
    reply_to: ReplyTo,
    is_user: bool,
}

/// All who wait, by the ids of their requests.
#[derive(Default)]
pub(crate) struct PendingReplies {
    waiting: HashMap<u32, Waiting>,
    last_request: u32,
    /// The thread that carries out a command of the user, and whether the user has given up waiting for what it asks.
    command: Option<(ThreadId, bool)>,
}

impl PendingReplies {
    /// From now on this thread asks for the user.
    pub(crate) fn begin_command(&mut self) {
        self.command = Some((thread::current().id(), false));
    }

    /// And from now on it does not.
    pub(crate) fn end_command(&mut self) {
        self.command = None;
    }

    /// The user gives up waiting for what the command asks; whether a reply to it was owed.
    pub(crate) fn cancel(&mut self) -> bool {
        if let Some((_, cancelled)) = &mut self.command {
            *cancelled = true;
        }
        self.waiting.values().any(|waiting| waiting.is_user)
    }

    /// Whether this thread asks for the user, who has given up.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.command == Some((thread::current().id(), true))
    }

    /// This thread is about to ask: the id of its request, and where the reply will come.
    pub(crate) fn expect(&mut self) -> (u32, channel::Receiver<Reply>) {
        let (reply_to, reply) = channel::bounded(1);
        (self.expect_with(ReplyTo::Waiter(reply_to)), reply)
    }

    /// This thread is about to ask: the id of its request, whose reply goes there.
    pub(crate) fn expect_with(&mut self, reply_to: ReplyTo) -> u32 {
        self.last_request = self.last_request.checked_add(1).unwrap_or(1);
        let is_user = self.command.is_some_and(|(thread, _)| thread == thread::current().id());
        self.waiting.insert(self.last_request, Waiting { reply_to, is_user });
        self.last_request
    }

    /// The one who waits for the reply to this request, and does so no longer.
    pub(crate) fn take(&mut self, request: u32) -> Option<ReplyTo> {
        self.waiting.remove(&request).map(|waiting| waiting.reply_to)
    }

    /// No reply comes any more: all who wait see their channels closed.
    pub(crate) fn close(&mut self) {
        self.waiting.clear();
    }
}

/// How long a tracker that works may take to answer.
pub(crate) fn reply_deadline(request: &Request) -> Duration {
    match request {
        Request::CreateUser { .. }
        | Request::Login { .. }
        | Request::ChangePassword { .. }
        | Request::PutManifest { .. }
        | Request::ShareFile { .. }
        | Request::GetManifest { .. } => TURN_DEADLINE,
        _ => REPLY_DEADLINE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin, ShareRef};

    #[test]
    fn what_waits_for_a_turn_at_the_tracker_is_waited_for_longer() {
        let share = ShareRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 });
        assert_eq!(reply_deadline(&Request::GetManifest { share, offset: 0 }), TURN_DEADLINE);
        assert_eq!(reply_deadline(&Request::FindPeers { share }), REPLY_DEADLINE);
    }
}
