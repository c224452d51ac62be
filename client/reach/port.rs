//! The port on which this client listens for other members.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// Connections that the system completes before they are accepted.
const BACKLOG: i32 = 128;

/// Listens at this address; without one on a free port of all addresses, of IPv6 and IPv4 where the machine has both.
/// Nobody else gets the port: a second client is refused, also where the first one shares it with its own sockets.
///
/// # Errors
/// Those of socket(2), bind(2) and listen(2).
pub fn listen(at: Option<SocketAddr>) -> io::Result<TcpListener> {
    match at {
        Some(addr) => listen_at(addr),
        None => listen_at((Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|error| match Errno::from_io_error(&error) {
            // A machine without IPv6.
            Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => listen_at((Ipv4Addr::UNSPECIFIED, 0).into()),
            _ => Err(error),
        }),
    }
}

fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Free again at once when the client has ended.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &addr)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn loopback(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn without_an_address_all_addresses_are_listened_at_on_a_free_port() {
        let (one, two) = (listen(None).expect("a free port"), listen(None).expect("another one"));
        let addr = one.local_addr().expect("bound");
        assert!(addr.ip().is_unspecified() && addr.port() != 0, "{addr}");
        assert_ne!(addr.port(), two.local_addr().expect("bound").port());
        TcpStream::connect(loopback(addr.port())).expect("IPv4 is among them");
        if addr.is_ipv6() && TcpListener::bind("[::1]:0").is_ok() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, addr.port())).expect("and so is IPv6");
        }
    }

    #[test]
    fn the_port_of_another_client_is_refused() {
        let one = listen(Some(loopback(0))).expect("a free port");
        let port = one.local_addr().expect("bound").port();
        for taken in [loopback(port), (Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()] {
            let refused = listen(Some(taken)).expect_err("taken").kind();
            assert!(matches!(refused, io::ErrorKind::AddrInUse | io::ErrorKind::Unsupported), "{taken}: {refused}");
        }
        drop(one);
        listen(Some(loopback(port))).expect("free again");
    }
}
