//! Users who resume a session at another tracker.

use super::client::Client;
use groupshare::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;

impl Client {
    pub(crate) fn resume(&mut self, token: &Blob<TOKEN_LEN_MAX>) -> Reply {
        self.ask(Request::Resume { client: self.id, token: token.clone() })
    }
}
