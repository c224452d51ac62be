//! Accounts: new users, and refusals.

use super::client::Client;
use super::names::{command, group};
use super::tracker::{TestTracker, loopback};
use groupshare::tracker::server::ServerSettings;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::{Code, Refusal};

impl TestTracker {
    pub(crate) fn start_with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        Self::start_at(loopback().into(), change)
    }

    /// A client that is logged in as a new user.
    pub(crate) fn user(&self, name: &str) -> Client {
        let mut client = self.client();
        client.create_user(name);
        client.log_in(name);
        client
    }
}

impl Client {
    /// Sends a request that the tracker must refuse.
    pub(crate) fn refused(&mut self, request: Request) -> Code {
        match self.ask(request) {
            Reply::Refused { code, about } => Refusal::received(code, &about).code,
            other => panic!("not refused but {other:?}"),
        }
    }

    pub(crate) fn leave(&mut self, name: &str) {
        self.done(Request::LeaveGroup { command: command(), group: group(name) });
    }
}
