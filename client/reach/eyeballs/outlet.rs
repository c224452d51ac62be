//! A port from which one dial leaves to meet a member that dials too. Two ports make one connection, so each dial with
//! a port of its own makes a connection of its own.

use crate::wire::mirror::Mirrored;
use std::net::{SocketAddr, TcpStream};

/// A port of this client, and how others see it. A NAT keeps its mapping of the port while this exists.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// The connection to the tracker that has shown how others see the port.
    _mapped: TcpStream,
    port: u16,
    seen: Mirrored,
}

impl Outlet {
    /// The port of a connection to a tracker that has seen it come from `seen`. `None` if the connection has no port.
    pub(crate) fn of(stream: TcpStream, seen: Mirrored) -> Option<Self> {
        let port = stream.local_addr().ok()?.port();
        Some(Self { _mapped: stream, port, seen })
    }

    /// How others see the port, according to a tracker.
    pub(crate) fn seen(&self) -> Mirrored {
        self.seen
    }

    /// The source for a connection that would otherwise leave from this address and another port.
    pub(crate) fn instead_of(&self, from: SocketAddr) -> SocketAddr {
        SocketAddr::new(from.ip(), self.port)
    }
}
