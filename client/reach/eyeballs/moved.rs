//! The reaction of a race when this machine has lost an address, as after a move to another network.

use super::{Attempt, Race, Stage};
use crate::client::reach::gone::is_from;
use crate::client::reach::way::Way;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

impl Attempt {
    fn local_ip(&self) -> Option<IpAddr> {
        match &self.stage {
            Stage::Resting(_) => None,
            Stage::Connecting(socket) => socket.local_ip(),
            Stage::AtRelay { stream, .. } | Stage::AtMirror { stream, .. } | Stage::Greeting { stream, .. } => {
                stream.local_addr().ok().map(|addr| addr.ip())
            }
        }
    }
}

impl Race<'_> {
    /// Closes the connections in the making from these addresses, because no answer comes there. Dials the member's own
    /// addresses again.
    pub(crate) fn end_from(&mut self, gone: &[IpAddr]) {
        let over = self.attempts.extract_if(.., |attempt| is_from(attempt.local_ip(), gone));
        let direct = over.filter(|attempt| attempt.target.way() == Way::Direct);
        let anew: Vec<SocketAddr> = direct.map(|attempt| attempt.addr).collect();
        if !anew.is_empty() {
            self.waiting.extend(anew);
            self.next = Instant::now();
        }
    }
}
