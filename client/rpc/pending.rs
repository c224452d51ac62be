//! The replies that callers wait for, how long each may take, and whether the user waits.

use crate::wire::client_tracker::{Reply, Request};
use crate::wire::deadlines::{REPLY_DEADLINE, WAITED_REPLY_DEADLINE};
use crossbeam_channel as channel;
use std::collections::BTreeMap;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Takes a reply on the reading thread. Dropped without one if the connection is lost before.
pub type OnReply = Box<dyn FnOnce(Reply) + Send>;

/// The receiver of a reply.
pub(crate) enum ReplyTo {
    Waiter(channel::Sender<Reply>),
    Callback(OnReply),
}

impl ReplyTo {
    pub(crate) fn give(self, reply: Reply) {
        match self {
            // The caller may have given up. Then the reply has no use.
            ReplyTo::Waiter(waiter) => drop(waiter.try_send(reply)),
            ReplyTo::Callback(callback) => callback(reply),
        }
    }
}

/// A reply that the tracker owes.
struct Owed {
    /// `None` once the caller has given up.
    reply_to: Option<ReplyTo>,
    is_user: bool,
    /// How long the tracker may take for it.
    longest: Duration,
}

/// All replies that the tracker owes, by the ids of their requests. The tracker answers all callers in order, so the
/// time for a reply begins with the reply before.
#[derive(Default)]
pub(crate) struct PendingReplies {
    owed: BTreeMap<u32, Owed>,
    /// Since when the oldest owed reply has been the next one.
    since: Option<Instant>,
    last_request: u32,
    /// The thread that carries out a command of the user, and whether the user has given up waiting.
    command: Option<(ThreadId, bool)>,
}

impl PendingReplies {
    /// From now on this thread asks on behalf of the user.
    pub(crate) fn begin_command(&mut self) {
        self.command = Some((thread::current().id(), false));
    }

    /// Ends what `begin_command` began.
    pub(crate) fn end_command(&mut self) {
        self.command = None;
    }

    /// The user gives up waiting for the command. Returns whether a reply to it was owed.
    pub(crate) fn cancel(&mut self) -> bool {
        if let Some((_, cancelled)) = &mut self.command {
            *cancelled = true;
        }
        self.owed.values().any(|owed| owed.is_user)
    }

    /// Whether this thread asks on behalf of a user who has given up.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.command == Some((thread::current().id(), true))
    }

    /// Registers a request of this thread. Returns its id, and the channel of the reply.
    pub(crate) fn expect(&mut self, request: &Request, now: Instant) -> (u32, channel::Receiver<Reply>) {
        let (reply_to, reply) = channel::bounded(1);
        (self.expect_with(ReplyTo::Waiter(reply_to), request, now), reply)
    }

    /// Registers a request of this thread with this receiver. Returns its id.
    pub(crate) fn expect_with(&mut self, reply_to: ReplyTo, request: &Request, now: Instant) -> u32 {
        self.last_request = self.last_request.checked_add(1).unwrap_or(1);
        let is_user = self.command.is_some_and(|(thread, _)| thread == thread::current().id());
        if self.owed.is_empty() {
            self.since = Some(now);
        }
        let owed = Owed { reply_to: Some(reply_to), is_user, longest: reply_deadline(request) };
        self.owed.insert(self.last_request, owed);
        self.last_request
    }

    /// Takes the receiver of the reply that has come.
    pub(crate) fn replied(&mut self, request: u32, now: Instant) -> Option<ReplyTo> {
        let owed = self.owed.remove(&request)?;
        self.since = Some(now);
        owed.reply_to
    }

    /// The caller of this request no longer waits. The tracker still owes the reply, before those to later requests.
    pub(crate) fn give_up(&mut self, request: u32) -> Option<ReplyTo> {
        let owed = self.owed.get_mut(&request)?;
        owed.is_user = false;
        owed.reply_to.take()
    }

    /// When the tracker counts as lost unless it has answered.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (_, next) = self.owed.first_key_value()?;
        Some(self.since? + next.longest)
    }

    /// No reply comes any more. All waiting callers see their channels closed.
    pub(crate) fn close(&mut self) {
        self.owed.clear();
    }
}

/// How long a working tracker may take to answer.
fn reply_deadline(request: &Request) -> Duration {
    // The request may wait at the tracker for its turn, or for room for its reply.
    let takes_turns = matches!(
        request,
        Request::CreateUser { .. }
            | Request::Login { .. }
            | Request::ChangePassword { .. }
            | Request::PutManifest { .. }
            | Request::ShareFile { .. }
    );
    let may_wait = takes_turns || request.long_reply_len().is_some();
    if may_wait { WAITED_REPLY_DEADLINE } else { REPLY_DEADLINE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin, ShareRef};
    use crate::wire::deadlines::{ANSWER_DEADLINE, HANDSHAKE_DEADLINE};

    #[test]
    fn a_client_waits_longer_than_the_tracker_and_behind_a_request_that_waits_as_long_as_for_that() {
        let share = ShareRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 });
        let (waits, quick) = (Request::FindPeers { share }, Request::Heartbeat {});
        assert!(reply_deadline(&waits) >= ANSWER_DEADLINE + HANDSHAKE_DEADLINE);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut replies = PendingReplies::default();
        assert_eq!(replies.due(), None);
        let (first, _reply) = replies.expect(&waits, start);
        let (second, _reply) = replies.expect(&quick, at(1));
        assert_eq!(replies.due(), Some(start + WAITED_REPLY_DEADLINE), "the heartbeat is answered behind the other");
        assert!(replies.give_up(first).is_some() && replies.give_up(first).is_none());
        assert_eq!(
            replies.due(),
            Some(start + WAITED_REPLY_DEADLINE),
            "the deadline stays after the caller has given up"
        );
        assert!(replies.replied(first, at(30)).is_none());
        assert_eq!(replies.due(), Some(at(30) + REPLY_DEADLINE), "the time of the heartbeat begins now");
        assert!(replies.replied(second, at(31)).is_some());
        assert_eq!(replies.due(), None);
        replies.expect(&quick, at(60));
        assert_eq!(replies.due(), Some(at(60) + REPLY_DEADLINE));
    }
}
