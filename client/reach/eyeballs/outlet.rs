//! A port from which one dial leaves to meet a member who dials as well. Two ports make one connection, so each dial that
//! has a port of its own makes one of its own.

use crate::wire::mirror::Mirrored;
use std::net::{SocketAddr, TcpStream};

/// A port of this client and how others see it. A NAT keeps what it has made of the port while this is there.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// To the tracker that has shown how the port is seen.
    _mapped: TcpStream,
    port: u16,
    seen: Mirrored,
}

impl Outlet {
    /// The port of a connection to a tracker, which has seen it come from there; `None` if the connection has no port.
    pub(crate) fn of(stream: TcpStream, seen: Mirrored) -> Option<Self> {
        let port = stream.local_addr().ok()?.port();
        Some(Self { _mapped: stream, port, seen })
    }

    /// How others see it, as a tracker has shown.
    pub(crate) fn seen(&self) -> Mirrored {
        self.seen
    }

    /// Where a connection leaves that would leave from this address and another port.
    pub(crate) fn instead_of(&self, from: SocketAddr) -> SocketAddr {
        SocketAddr::new(from.ip(), self.port)
    }
}
