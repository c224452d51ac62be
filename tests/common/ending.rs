//! What a client receives until its tracker ends the connection.

use super::client::Client;
use groupshare::wire::client_tracker::Reply;
use groupshare::wire::connection::RecvError;

impl Client {
    /// Waits until the tracker ends the connection. Returns what came before.
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
}
