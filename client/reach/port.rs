//! The port on which this client listens for other members, and connections that leave from it.
//!
//! A NAT maps the source port of a connection. So if the connection to a tracker leaves from the listening port, the
//! tracker sees the port under which others may reach the listener.

use crate::sys::net::connecting::Connecting;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Connections that the system completes before the client accepts them.
const BACKLOG: i32 = 128;

/// Listens at this address. Without an address, listens on a free port of all addresses, of IPv6 and IPv4 if the
/// machine has both. No other program gets the port. A second client is refused even when the first one shares the port
/// with its own sockets.
///
/// # Errors
/// Those of socket(2), bind(2) and listen(2).
pub fn listen(at: Option<SocketAddr>) -> io::Result<TcpListener> {
    match at {
        Some(addr) => listen_at(addr),
        None => listen_at((Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|error| match Errno::from_io_error(&error) {
            // The machine has no IPv6.
            Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => listen_at((Ipv4Addr::UNSPECIFIED, 0).into()),
            _ => Err(error),
        }),
    }
}

fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // So the port is free again right after the client has ended.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &addr)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The listening port, for connections that leave from it.
#[derive(Debug)]
pub struct ListeningPort {
    // Immutable.
    /// The address of the listener. An IPv4 address in IPv6 form is stored as IPv4.
    listener: SocketAddr,
    /// Whether the system shares ports.
    is_shared: bool,
    // Locked.
    /// An address that did not answer to a connection from the port. A device on the way may still take the connection
    /// for an earlier one between the same ports.
    silent: Mutex<Option<SocketAddr>>,
}

impl ListeningPort {
    /// Shares the port of a listener with sockets of the same user that ask for it. Before this call no other socket
    /// gets the port, and afterwards none gets it by accident.
    ///
    /// # Errors
    /// The listener is not bound.
    pub fn share(listener: &TcpListener) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let is_shared = sockopt::set_socket_reuseport(listener, true).is_ok();
        let listener = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        Ok(Self { listener, is_shared, silent: Mutex::default() })
    }

    /// The address of the listener.
    pub fn addr(&self) -> SocketAddr {
        self.listener
    }

    /// The source address and port of a connection to `to`, chosen so that answers to the port come to the listener.
    /// `None` if the connection has to leave from another port.
    pub fn source(&self, to: SocketAddr) -> Option<SocketAddr> {
        let (ip, port) = (self.listener.ip(), self.listener.port());
        if !self.is_shared {
            return None;
        }
        if ip.is_unspecified() {
            return match to {
                SocketAddr::V4(_) => Some((Ipv4Addr::UNSPECIFIED, port).into()),
                SocketAddr::V6(_) if ip.is_ipv6() => Some((Ipv6Addr::UNSPECIFIED, port).into()),
                SocketAddr::V6(_) => None,
            };
        }
        // From an address that the system would not choose, an answer may find no way back.
        (source_ip(to).ok()? == ip).then_some(self.listener)
    }

    /// Connects from the listening port, or from another one if that is impossible.
    ///
    /// # Errors
    /// Those of connect(2); `TimedOut`.
    pub fn connect(&self, to: SocketAddr, within: Duration) -> io::Result<TcpStream> {
        let was_silent = self.silent.lock().take_if(|silent| *silent == to).is_some();
        let Some(from) = self.source(to).filter(|_| !was_silent) else {
            return Connecting::begin(to, None)?.wait(within);
        };
        match Connecting::begin(to, Some(from)) {
            Ok(begun) => begun.wait(within).inspect_err(|error| {
                if error.kind() == io::ErrorKind::TimedOut {
                    *self.silent.lock() = Some(to);
                }
            }),
            // An earlier connection between the same ports lingers, or this client may no longer share the port.
            Err(_) => Connecting::begin(to, None)?.wait(within),
        }
    }
}

/// The source address that the system chooses for another address. Sends nothing.
fn source_ip(to: SocketAddr) -> io::Result<std::net::IpAddr> {
    let any: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn loopback(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    fn port_of(listener: &TcpListener) -> u16 {
        listener.local_addr().expect("bound").port()
    }

    #[test]
    fn without_an_address_all_addresses_are_listened_at_on_a_free_port() {
        let (one, two) = (listen(None).expect("a free port"), listen(None).expect("another one"));
        let addr = one.local_addr().expect("bound");
        assert!(addr.ip().is_unspecified() && addr.port() != 0, "{addr}");
        assert_ne!(addr.port(), port_of(&two));
        TcpStream::connect(loopback(addr.port())).expect("IPv4 is among them");
        if addr.is_ipv6() && TcpListener::bind("[::1]:0").is_ok() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, addr.port())).expect("and so is IPv6");
        }
    }

    #[test]
    fn the_port_of_another_client_is_refused_also_while_connections_leave_from_it() {
        let tracker = listen(Some(loopback(0))).expect("a free port");
        let one = listen(Some(loopback(0))).expect("a free port");
        let port = port_of(&one);
        let refused = |when: &str| {
            for taken in [loopback(port), (Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()] {
                let refused = listen(Some(taken)).expect_err("taken").kind();
                let kinds = [io::ErrorKind::AddrInUse, io::ErrorKind::Unsupported];
                assert!(kinds.contains(&refused), "{when}, {taken}: {refused}");
            }
        };
        refused("alone");
        let shared = ListeningPort::share(&one).expect("shared");
        refused("shared");
        let link = shared.connect(tracker.local_addr().expect("bound"), LONG).expect("it listens");
        assert_eq!(link.local_addr().expect("bound").port(), port);
        refused("in use");
        drop((one, link));
        listen(Some(loopback(port))).expect("free again");
    }

    #[test]
    fn a_connection_leaves_from_the_listening_port_of_either_family_and_others_still_reach_the_listener() {
        let here = listen(None).expect("a free port");
        let shared = ListeningPort::share(&here).expect("shared");
        let near: [SocketAddr; 2] = [loopback(0), (Ipv6Addr::LOCALHOST, 0).into()];
        for tracker in near.into_iter().filter_map(|addr| listen(Some(addr)).ok()) {
            let at = tracker.local_addr().expect("bound");
            if at.is_ipv6() && shared.addr().is_ipv4() {
                continue;
            }
            let link = shared.connect(at, LONG).expect("it listens");
            let (_accepted, from) = tracker.accept().expect("connected");
            assert_eq!((from.port(), from.ip()), (shared.addr().port(), at.ip()));
            let peer = TcpStream::connect(SocketAddr::new(at.ip(), shared.addr().port())).expect("it listens");
            let (_, from) = here.accept().expect("the listener has it");
            assert_eq!(from.port(), peer.local_addr().expect("bound").port());
            drop(link);
        }
    }

    #[test]
    fn a_second_connection_between_the_same_ports_leaves_from_another_one() {
        let (here, tracker) = (listen(Some(loopback(0))).expect("free"), listen(Some(loopback(0))).expect("free"));
        let shared = ListeningPort::share(&here).expect("shared");
        let at = tracker.local_addr().expect("bound");
        let port = |stream: &TcpStream| stream.local_addr().expect("bound").port();
        let first = shared.connect(at, LONG).expect("it listens");
        let second = shared.connect(at, LONG).expect("it listens");
        assert_eq!((port(&first) == port_of(&here), port(&second) == port_of(&here)), (true, false));
        // This side closes first, so it keeps the pair of ports for a minute.
        drop((first, second));
        drop((tracker.accept().expect("connected"), tracker.accept().expect("connected")));
        shared.connect(at, LONG).expect("a client whose link was lost comes back at once");
    }

    #[test]
    fn a_listener_for_this_machine_only_lets_connections_to_others_leave_from_elsewhere() {
        let here = listen(Some(loopback(0))).expect("a free port");
        let shared = ListeningPort::share(&here).expect("shared");
        let port = port_of(&here);
        assert_eq!(shared.source(loopback(5000)), Some(loopback(port)));
        assert_eq!(shared.source("203.0.113.7:5000".parse().expect("an address")), None);
        assert_eq!(shared.source("[::1]:5000".parse().expect("an address")), None);
    }

    #[test]
    fn the_next_attempt_leaves_from_another_port_if_nobody_has_answered() {
        let here = listen(Some(loopback(0))).expect("a free port");
        let shared = ListeningPort::share(&here).expect("shared");
        let tracker = listen(Some(loopback(0))).expect("a free port");
        rustix::net::listen(&tracker, 0).expect("it listens");
        let at = tracker.local_addr().expect("bound");
        let full: Vec<_> = (0..2).map(|_| Connecting::begin(at, None).expect("begun")).collect();
        let silent = shared.connect(at, Duration::from_millis(50)).expect_err("nobody accepts");
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
        assert_eq!(*shared.silent.lock(), Some(at));
        drop(full);
        tracker.accept().expect("the first one");
        let stream = shared.connect(at, LONG).expect("there is room again");
        assert_ne!(stream.local_addr().expect("bound").port(), port_of(&here));
        assert_eq!(*shared.silent.lock(), None);
    }
}
