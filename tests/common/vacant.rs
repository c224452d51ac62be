//! An address of this machine at which nobody listens.

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// An address at which nobody listens. The system gives its port only to a program that asks for exactly that port.
pub(crate) struct Vacant {
    pub addr: SocketAddr,
    _held: OwnedFd,
}

impl Vacant {
    pub(crate) fn at_loopback() -> Self {
        let held = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
        // Without this option such a program would not get the port.
        sockopt::set_socket_reuseaddr(&held, true).expect("known");
        bind(&held, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let addr = getsockname(&held).expect("bound").try_into().expect("an address");
        Self { addr, _held: held }
    }
}
