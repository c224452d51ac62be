//! TCP connections in the making, without a waiting thread for each.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Connects to the first of these addresses that accepts. There must be at least one address.
///
/// # Errors
/// The error of the first address, which is the preferred one.
pub(crate) fn connect_first(
    addrs: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> io::Result<TcpStream>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut failure = None;
    for &addr in addrs {
        match connect(addr) {
            Ok(stream) => return Ok((stream, addr)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// One connection in the making. Its descriptor becomes writable once the outcome is known.
#[derive(Debug)]
pub struct Connecting {
    socket: OwnedFd,
}

impl Connecting {
    /// Begins to connect. With `from` the connection leaves from that address and port. Several sockets of this user
    /// may share the port if each of them allows it. Without `from` the connection has a port of its own.
    ///
    /// # Errors
    /// Those of socket(2), bind(2) and connect(2) that are known at once.
    pub fn begin(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<Self> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        if let Some(from) = from {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            sockopt::set_socket_reuseport(&socket, true)?;
            rustix::net::bind(&socket, &from)?;
        }
        match rustix::net::connect(&socket, &to) {
            // An interrupted connect(2) goes on by itself.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Self { socket }),
            Err(error) => Err(error.into()),
        }
    }

    /// The address from which the connection leaves, once that is known.
    pub fn local_ip(&self) -> Option<IpAddr> {
        let local = rustix::net::getsockname(&self.socket).ok()?;
        SocketAddr::try_from(local).ok().map(|local| local.ip())
    }

    /// The outcome, for a caller that found the descriptor writable: the stream, in blocking mode.
    ///
    /// # Errors
    /// The far side has not accepted the connection.
    pub fn outcome(self) -> io::Result<TcpStream> {
        sockopt::socket_error(&self.socket)??;
        let stream = TcpStream::from(self.socket);
        // Without a far side the connection is not yet accepted.
        stream.peer_addr()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// The far side has not accepted the connection; `TimedOut` at the deadline.
    pub fn wait(self, within: Duration) -> io::Result<TcpStream> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], Some(&timeout)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return self.outcome(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Connecting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rustix::net::{bind, getsockname, socket};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const LONG: Duration = Duration::from_secs(60);

    /// An address at which nobody listens, and the socket that reserves its port meanwhile.
    pub(crate) fn nobody() -> (OwnedFd, SocketAddr) {
        let held = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
        bind(&held, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let addr = getsockname(&held).expect("bound").try_into().expect("an address");
        (held, addr)
    }

    #[test]
    fn of_several_addresses_the_first_at_which_somebody_listens_is_taken() {
        let here = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (listens, (_held, nobody)) = (here.local_addr().expect("bound"), nobody());
        let connect = |addr| TcpStream::connect_timeout(&addr, LONG);
        let (_, reached) = connect_first(&[nobody, listens], connect).expect("the second one");
        assert_eq!(reached, listens);
        let why = connect_first(&[nobody, nobody], connect).expect_err("nobody is there");
        assert_eq!(why.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_connection_comes_about_or_says_why_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let mut near = Connecting::begin(addr, None).expect("begun").wait(LONG).expect("it listens");
        let (mut far, _) = listener.accept().expect("connected");
        far.write_all(b"x").expect("room");
        let mut byte = [0];
        near.read_exact(&mut byte).expect("it waits for what comes");
        let (_held, nobody) = nobody();
        let refused = Connecting::begin(nobody, None).and_then(|begun| begun.wait(LONG));
        assert_eq!(refused.expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_connection_that_nobody_accepts_ends_with_its_time() {
        // For a listener that does not accept, the system accepts one or two connections and no more.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        rustix::net::listen(&listener, 0).expect("it listens");
        let addr = listener.local_addr().expect("bound");
        let moment = Duration::from_millis(50);
        let mut outcomes = (0..8).map(|_| Connecting::begin(addr, None).and_then(|begun| begun.wait(moment)));
        let mut accepted = Vec::new();
        let failure = outcomes.find_map(|outcome| outcome.map(|stream| accepted.push(stream)).err());
        assert_eq!(failure.expect("the system is full").kind(), io::ErrorKind::TimedOut);
    }
}
