//! A listener: accepts connections on one socket, and turns away those that admission refuses.

use super::connections::{Connections, Encoding};
use super::ignored_places::IgnoredPlaces;
use crate::model::address::place_of;
use crate::sys::net::lingering::LingeringSockets;
use crate::sys::net::socket_filter;
use crate::tracker::admission::Admission;
use crate::tracker::log::{Level, LogKind};
use crate::tracker::warn::Warn;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many connections the system completes before they are accepted: all clients may return at once.
const BACKLOG: i32 = 4096;
/// How many refused connections may stay open at once, so that clients can read the reason.
const LEAVING_MAX: usize = 256;
/// The pause when the system has no descriptor or memory for a connection, unless a connection ends earlier.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(500);

/// Why there is no listening socket at an address.
#[derive(Debug)]
pub struct ListenError {
    pub addr: SocketAddr,
    pub error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.addr, crate::sys::reason(&self.error))
    }
}

impl std::error::Error for ListenError {}

/// A socket bound to this address. The system refuses connections until [`Listener::open`]. When the tracker has
/// ended, the address is free again at once.
///
/// # Errors
/// Those of socket(2) and bind(2).
pub fn bind(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let bound = || {
        let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        match rustix::net::bind(&socket, &addr) {
            // The option ignores connections that an earlier run has left. It also lets another socket with the option
            // bind to the address until one of the two listens. So this socket keeps the option for a moment only.
            Err(Errno::ADDRINUSE) => {
                sockopt::set_socket_reuseaddr(&socket, true)?;
                rustix::net::bind(&socket, &addr)?;
                sockopt::set_socket_reuseaddr(&socket, false)?;
            }
            done => done?,
        }
        Ok(socket.into())
    };
    bound().map_err(|error: Errno| ListenError { addr, error: error.into() })
}

fn start_listening(socket: &TcpListener) -> io::Result<()> {
    // Connections inherit the option. So the connections that this run leaves behind do not block the port in the next
    // run.
    sockopt::set_socket_reuseaddr(socket, true)?;
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// One listening socket of the tracker and the encoding spoken there.
pub struct Listener {
    /// A bound socket. Listens after [`Listener::open`].
    socket: TcpListener,
    encoding: Encoding,
    admission: Arc<Admission>,
    connections: Arc<Connections>,
    closing: AtomicBool,
    /// Connections that were turned away.
    leaving: LingeringSockets<TcpStream>,
    /// Places that make too many connections to handle them one by one.
    ignored: Mutex<IgnoredPlaces>,
    warn: Warn,
}

impl Listener {
    pub fn new(
        socket: TcpListener,
        encoding: Encoding,
        admission: Arc<Admission>,
        connections: Arc<Connections>,
        warn: Warn,
    ) -> Self {
        Self {
            socket,
            encoding,
            admission,
            connections,
            closing: AtomicBool::new(false),
            leaving: LingeringSockets::new(LEAVING_MAX),
            ignored: Mutex::default(),
            warn,
        }
    }

    /// From now on the system completes connections.
    ///
    /// # Errors
    /// Those of listen(2).
    pub fn open(&self) -> io::Result<()> {
        start_listening(&self.socket)
    }

    /// Accepts connections until [`Listener::close`].
    pub fn run(&self) {
        let mut short = false;
        while !self.closing.load(Ordering::Acquire) {
            match self.socket.accept() {
                Ok((stream, addr)) => {
                    short = false;
                    self.take(stream, addr);
                }
                // The connection was given up before it was accepted, or it has an error of its own.
                Err(error) if !is_shortage(&error) => {
                    if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) {
                        // The socket no longer listens.
                        return;
                    }
                }
                Err(error) => {
                    if !short {
                        (self.warn)(&format!("no further connection can be taken: {}", crate::sys::reason(&error)));
                    }
                    short = true;
                    self.leaving.clear();
                    self.admission.wait_freed(SHORTAGE_PAUSE);
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, addr: SocketAddr) {
        // A stranger on a reserved slot is turned away once it has proved to be one.
        let now = Instant::now();
        let reserved = || if self.encoding.is_for_trackers() { self.admission.reserve(addr.ip(), now) } else { None };
        let Some(slot) = self.admission.admit(addr.ip(), self.encoding.door(), now).or_else(reserved) else {
            if !self.admission.tells(addr.ip(), now) {
                // Closing it sends only a reset. If this fails, closing sends an end.
                let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
                if self.admission.tires_of(addr.ip(), now) {
                    self.ignore(addr.ip(), now);
                }
                return;
            }
            let (log, ip) = (self.connections.log(), addr.ip().to_canonical());
            log.event(Level::Info, LogKind::Full.at(ip), "no room for a connection", &[("from", &ip)]);
            return self.turn_away(stream);
        };
        if let Err((stream, error)) = self.connections.serve(&self.encoding, stream, addr, slot) {
            let (log, why) = (self.connections.log(), crate::sys::reason(&error));
            log.event(Level::Warn, LogKind::Full, "no thread for a connection", &[("reason", &why)]);
            self.turn_away(stream);
        }
    }

    /// Ignores this place for a moment.
    fn ignore(&self, ip: IpAddr, now: Instant) {
        let mut ignored = self.ignored.lock();
        if ignored.add(place_of(ip), now, socket_filter::PLACES_MAX) {
            let (log, from) = (self.connections.log(), ip.to_canonical());
            let text = "connections come without end, none is heard for a second or two";
            log.event(Level::Info, LogKind::Full.at(from), text, &[("from", &from)]);
            // If the system refuses it, connections are reset as before.
            let _ = socket_filter::ignore(&self.socket, &ignored.places());
        }
    }

    /// Sends the reason in the clear. The client's first bytes are unread in the socket, so it lingers.
    fn turn_away(&self, stream: TcpStream) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // Fails if the client is gone.
        let _ = rustix::net::send(&stream, &self.encoding.busy(), flags);
        self.leaving.put(stream, Instant::now());
    }

    /// Closes the sockets of clients that had time to read why they were turned away. Also stops ignoring places whose
    /// moment is over.
    pub fn sweep(&self, now: Instant) {
        self.leaving.sweep(now);
        let mut ignored = self.ignored.lock();
        if ignored.forget(now) {
            let _ = socket_filter::ignore(&self.socket, &ignored.places());
        }
    }

    /// Accepts no more connections: the thread in [`Listener::run`] returns.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        // Wakes accept(2), which fails with EINVAL from now on. This fails only if it was done before.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        // While the program keeps the socket, it keeps the address too: no socket with the option can bind to it.
        let _ = sockopt::set_socket_reuseaddr(&self.socket, false);
        self.admission.wake();
        self.leaving.clear();
    }
}

/// Whether the system lacks something that returns when connections end. Other errors of accept(2) concern only the
/// connection to be accepted.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn an_address_is_taken_before_anybody_listens_also_where_an_earlier_run_has_left_connections() {
        let first = bind(([127, 201, 7, 1], 0).into()).expect("a free port");
        let addr = first.local_addr().expect("bound");
        let taken = || bind(addr).expect_err("taken").error.kind();
        assert_eq!(taken(), io::ErrorKind::AddrInUse);
        start_listening(&first).expect("the address is its own");
        let mut client = TcpStream::connect(addr).expect("it listens");
        // The side that closes first keeps the address for a while.
        drop(first.accept().expect("it has called"));
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        drop((client, first));
        let _second = bind(addr).expect("free again");
        assert_eq!(taken(), io::ErrorKind::AddrInUse);
    }
}
