//! Contacts: the identity and the addresses of a running client, as its tracker knows them.

use super::certificate::Certificate;
use super::codec::{List, wire_struct};
use crate::model::id::PeerKey;
use std::net::{IpAddr, SocketAddr};

/// Most interfaces that a client names.
pub const INTERFACES_MAX: usize = 16;
/// Most addresses of one client that trackers tell others.
pub const ADDRS_MAX: usize = 8;
/// Most addresses of one client that a handshake has proved.
pub const PROVED_MAX: usize = 4;

/// An address of the machine on which a client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    pub ip: IpAddr,
    /// How many leading bits all addresses of its network share.
    pub prefix: u8,
}
wire_struct!(Interface { ip, prefix });

/// Where a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    pub certificate: Certificate,
    /// Where its connection to its tracker comes from.
    pub seen: SocketAddr,
    /// The port at which it listens.
    pub port: u16,
    /// The addresses at which the client listens, if it tells them.
    pub interfaces: List<Interface, INTERFACES_MAX>,
    /// Another address at which the client is reachable, set by its user.
    pub announced: Option<SocketAddr>,
    /// Addresses at which a handshake has reached the client.
    pub proved: List<SocketAddr, PROVED_MAX>,
    /// Equal for clients that reach each other through the loopback interface.
    pub machine: [u8; 16],
    /// How long the client's tracker takes to answer it.
    pub round_trip_ms: u16,
}
wire_struct!(Contact { certificate, seen, port, interfaces, announced, proved, machine, round_trip_ms });

impl Contact {
    /// The client's key.
    pub fn key(&self) -> PeerKey {
        self.certificate.key
    }

    /// Whether another contact leads to the same client at the same addresses.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let place = |contact: &Self| (contact.key(), contact.seen, contact.port, contact.announced, contact.machine);
        place(self) == place(other) && self.interfaces == other.interfaces && self.proved == other.proved
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::id::ClientId;
    use crate::model::name::UserId;

    /// A client that listens at this port of the loopback interface.
    pub(crate) fn contact(port: u16) -> Contact {
        let user = UserId::parse("bob").expect("a name");
        Contact {
            certificate: Certificate::new((ClientId([1; 16]), user, PeerKey([2; 32])), 7, |_| [3; 64]),
            seen: ([127, 0, 0, 1], 40_000).into(),
            port,
            interfaces: List::EMPTY,
            announced: None,
            proved: List::EMPTY,
            machine: [4; 16],
            round_trip_ms: 1,
        }
    }

    #[test]
    fn a_renewed_certificate_leads_to_the_same_place_and_another_port_or_key_does_not() {
        let (old, elsewhere) = (contact(1), contact(2));
        let mut new = old.clone();
        new.certificate.end += 1;
        new.round_trip_ms = 9;
        assert!(old.is_same_place(&new) && !old.is_same_place(&elsewhere));
        new.certificate.key = PeerKey([9; 32]);
        assert!(!old.is_same_place(&new));
    }
}
