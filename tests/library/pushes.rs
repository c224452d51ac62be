//! The unasked messages of a tracker, and its last message.

use crate::common::client::Client;
use crate::common::names::command;
use groupshare::model::id::OpOrder;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::frame::UNASKED;

impl Client {
    /// The next unasked message.
    pub(crate) fn pushed(&mut self) -> Reply {
        match self.unasked.pop_front() {
            Some(push) => push,
            None => match self.next().expect("a push") {
                (UNASKED, push) => push,
                (id, reply) => panic!("a reply to request {id}: {reply:?}"),
            },
        }
    }

    pub(crate) fn read_notices(&mut self, through: OpOrder) {
        self.done(Request::ReadNotices { command: command(), through });
    }
}
