//! Who waits for which reply of a tracker, how long, and whether it is the user.

use crate::wire::client_tracker::{Reply, Request};
use crate::wire::deadlines::{REPLY_DEADLINE, WAITED_REPLY_DEADLINE};
use crossbeam_channel as channel;
use std::collections::BTreeMap;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

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

/// A reply that the tracker owes.
struct Owed {
    /// Nobody, once whoever asked has given up.
    reply_to: Option<ReplyTo>,
    is_user: bool,
    /// How long the tracker may take for it.
    longest: Duration,
}

/// All replies that the tracker owes, by the ids of their requests. It answers in order, whoever asks: its time for a reply
/// begins with the one before.
#[derive(Default)]
pub(crate) struct PendingReplies {
    owed: BTreeMap<u32, Owed>,
    /// Since when the oldest has been the next.
    since: Option<Instant>,
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
        self.owed.values().any(|owed| owed.is_user)
    }

    /// Whether this thread asks for the user, who has given up.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.command == Some((thread::current().id(), true))
    }

    /// This thread is about to ask: the id of its request, and where the reply will come.
    pub(crate) fn expect(&mut self, request: &Request, now: Instant) -> (u32, channel::Receiver<Reply>) {
        let (reply_to, reply) = channel::bounded(1);
        (self.expect_with(ReplyTo::Waiter(reply_to), request, now), reply)
    }

    /// This thread is about to ask: the id of its request, whose reply goes there.
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

    /// The reply to this request has come: whoever waits for it.
    pub(crate) fn replied(&mut self, request: u32, now: Instant) -> Option<ReplyTo> {
        let owed = self.owed.remove(&request)?;
        self.since = Some(now);
        owed.reply_to
    }

    /// Nobody waits for the reply to this request any more. The tracker still owes it, before those to later ones.
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

    /// No reply comes any more: all who wait see their channels closed.
    pub(crate) fn close(&mut self) {
        self.owed.clear();
    }
}

/// How long a tracker that works may take to answer.
fn reply_deadline(request: &Request) -> Duration {
    // It may wait there for a turn, or for room for its reply.
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
        assert_eq!(replies.due(), Some(start + WAITED_REPLY_DEADLINE), "also if nobody waits for that any more");
        assert!(replies.replied(first, at(30)).is_none());
        assert_eq!(replies.due(), Some(at(30) + REPLY_DEADLINE), "and the heartbeat's time begins");
        assert!(replies.replied(second, at(31)).is_some());
        assert_eq!(replies.due(), None);
        replies.expect(&quick, at(60));
        assert_eq!(replies.due(), Some(at(60) + REPLY_DEADLINE));
    }
}
