//! What a tracker says unasked, and what it says last.

use crate::common::client::Client;
use crate::common::names::command;
use groupshare::model::id::OpOrder;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::connection::RecvError;
use groupshare::wire::frame::UNASKED;

impl Client {
    /// The next message that comes unasked.
    pub(crate) fn pushed(&mut self) -> Reply {
        match self.unasked.pop_front() {
            Some(push) => push,
            None => match self.next().expect("a push") {
                (UNASKED, push) => push,
                (id, reply) => panic!("a reply to request {id}: {reply:?}"),
            },
        }
    }

    /// Waits until the tracker ends the connection; gives what came before.
    pub(crate) fn until_end(&mut self) -> Vec<(u32, Reply)> {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Ok(message) => all.push(message),
                Err(RecvError::Closed | RecvError::Cut | RecvError::Io(_)) => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn read_notices(&mut self, through: OpOrder) {
        self.done(Request::ReadNotices { command: command(), through });
    }
}
