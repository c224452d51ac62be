//! A port from which one dial leaves to meet a member who dials as well. Two ports make one connection, so each dial that
//! has a port of its own makes one of its own.

use crate::wire::client_tracker::CallSource;
use crate::wire::mirror::Mirrored;
use std::net::{SocketAddr, TcpStream};

/// A port of this client and how others see it. A NAT keeps what it has made of the port while this is there.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// To the tracker that has shown how the port is seen.
    _mapped: TcpStream,
    source: CallSource,
}

impl Outlet {
    /// The port of a connection to a tracker, which has seen it come from there; `None` if the connection has no port.
    pub(crate) fn of(stream: TcpStream, seen: Mirrored) -> Option<Self> {
        let port = stream.local_addr().ok()?.port();
        Some(Self { _mapped: stream, source: CallSource { port, seen } })
    }

    /// What a tracker is told of it.
    pub(crate) fn source(&self) -> CallSource {
        self.source
    }

    /// Where a connection leaves that would leave from this address and another port.
    pub(crate) fn instead_of(&self, from: SocketAddr) -> SocketAddr {
        SocketAddr::new(from.ip(), self.source.port)
    }
}
