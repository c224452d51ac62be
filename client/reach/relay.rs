//! The relay of a tracker: its address, and how two members meet there.

use crate::model::address::TrackerAddr;
use crate::model::id::RelayTicket;
use crate::sys::net::connecting::{Connecting, connect_first};
use crate::sys::net::resolve::{Lookups, lookup_reason};
use crate::sys::waker::Waker;
use crate::wire::handshake::HandshakeError;
use crate::wire::relay::{relay_greeting, take_relay_answer};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write};
use std::iter;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a tracker may take to accept the connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// The longest wait for the other member, over all tried trackers. The caller was told to come at the same time.
const MEETING_DEADLINE: Duration = Duration::from_secs(4);
/// The maximum number of trackers at which a ticket is tried, including the first.
const TRIES_MAX: usize = 4;

/// Why two members have not met at a relay. Ends a line, without a full stop.
#[derive(Debug)]
pub enum RelayError {
    /// The client's list does not have the tracker with this number.
    Unlisted(u16),
    /// The look-up of the tracker's name has failed.
    Lookup(io::Error),
    /// The tracker cannot be reached or has refused, or the other side has not come.
    Meeting(HandshakeError),
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayError::Unlisted(number) => write!(f, "tracker {number} is not on the list"),
            RelayError::Lookup(error) => write!(f, "{}", lookup_reason(error)),
            RelayError::Meeting(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RelayError {}

/// The relays of an installation.
pub struct Relays {
    /// The list of trackers, number 1 first.
    trackers: Vec<TrackerAddr>,
    lookups: Mutex<Lookups>,
    /// Woken once the client is closing, and never cleared.
    closing: Waker,
    /// Dropped once the client is closing. This wakes threads that wait for a look-up.
    open: Mutex<Option<Sender<Infallible>>>,
    until_closing: Receiver<Infallible>,
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relays").field("trackers", &self.trackers).finish_non_exhaustive()
    }
}

impl Relays {
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(trackers: Vec<TrackerAddr>) -> io::Result<Self> {
        let (open, until_closing) = bounded(0);
        let (lookups, open) = (Mutex::new(Lookups::new()), Mutex::new(Some(open)));
        Ok(Self { trackers, lookups, closing: Waker::new()?, open, until_closing })
    }

    /// Notes that the client is closing. All waits end.
    pub fn close(&self) {
        self.open.lock().take();
        self.closing.wake();
    }

    /// Meets the other member at the tracker with this number, by the ticket of that tracker. `own` is the number and
    /// the address of the tracker of the client's link. The members' handshake runs on the returned stream.
    ///
    /// A number is a place in the list of the trackers. The client's list may have another order, so it tries a refused
    /// ticket at its other trackers.
    ///
    /// # Errors
    /// The tracker at this place of the list is not found or not reached, or the other member has not come. Returns
    /// after `MEETING_DEADLINE` at the latest, and at once when the client closes.
    pub fn meet(
        &self,
        tracker: u16,
        own: Option<(u16, SocketAddr)>,
        ticket: RelayTicket,
    ) -> Result<TcpStream, RelayError> {
        let until = Instant::now() + MEETING_DEADLINE;
        let other = match own {
            Some((number, addr)) if number == tracker => return self.meet_at(&[addr], ticket, until),
            Some((_, addr)) => Some(addr),
            None => None,
        };
        let place = usize::from(tracker).checked_sub(1).filter(|place| *place < self.trackers.len());
        let place = place.ok_or(RelayError::Unlisted(tracker))?;
        let rest = (0..self.trackers.len()).filter(|at| *at != place);
        let mut failure = None;
        for at in iter::once(place).chain(rest).take(TRIES_MAX).take_while(|_| Instant::now() < until) {
            let met = match self.addrs(&self.trackers[at], until) {
                // The client's own tracker has another number.
                Ok(addrs) if other.is_some_and(|other| addrs.contains(&other)) => continue,
                Ok(addrs) => self.meet_at(&addrs, ticket, until),
                Err(error) => Err(error),
            };
            match met {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or(RelayError::Unlisted(tracker)))
    }

    /// Meets the other member at the first of these addresses that accepts.
    fn meet_at(&self, addrs: &[SocketAddr], ticket: RelayTicket, until: Instant) -> Result<TcpStream, RelayError> {
        // A name has at most eight addresses.
        let each = CONNECT_DEADLINE / addrs.len() as u32;
        let connected = connect_first(addrs, |addr| self.connect(addr, until.min(Instant::now() + each)));
        let (stream, _) = connected.map_err(|error| RelayError::Meeting(error.into()))?;
        self.wait(&stream, ticket, until).map_err(RelayError::Meeting)?;
        Ok(stream)
    }

    fn connect(&self, addr: SocketAddr, until: Instant) -> io::Result<TcpStream> {
        let connecting = Connecting::begin(addr, None)?;
        self.closing.wait_beside(&connecting, true, until)?;
        connecting.outcome()
    }

    /// Sends the ticket and waits for the other member.
    fn wait(&self, mut stream: &TcpStream, ticket: RelayTicket, until: Instant) -> Result<(), HandshakeError> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        // Nothing was sent before, so the ticket fits into the socket's buffer.
        stream.write_all(&relay_greeting(ticket))?;
        let mut heard = Vec::new();
        while !take_relay_answer(&mut stream, &mut heard)? {
            self.closing.wait_beside(stream, false, until)?;
        }
        Ok(stream.set_nonblocking(false)?)
    }

    fn addrs(&self, tracker: &TrackerAddr, until: Instant) -> Result<Vec<SocketAddr>, RelayError> {
        match tracker {
            TrackerAddr::Addr(addr) => Ok(vec![*addr]),
            TrackerAddr::Named { host, port } => {
                let left = until.saturating_duration_since(Instant::now());
                let found = self.lookups.lock().find(host, *port, left, &self.until_closing);
                found.map_err(RelayError::Lookup)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A tracker that accepts and says nothing, and a client that has no other tracker.
    fn silent() -> (TcpListener, SocketAddr, Relays) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        (listener, addr, Relays::new(vec![TrackerAddr::Addr(addr)]).expect("a descriptor"))
    }

    #[test]
    fn a_closing_client_lets_go_of_the_caller_that_waits_at_a_relay() {
        let (listener, addr, relays) = silent();
        let begun = Instant::now();
        thread::scope(|scope| {
            let waits = scope.spawn(|| relays.meet(1, Some((1, addr)), RelayTicket([7; 16])));
            let (_silent, _) = listener.accept().expect("somebody came");
            relays.close();
            assert!(waits.join().expect("no panic").is_err());
        });
        assert!(begun.elapsed() < MEETING_DEADLINE, "the call waited");
        assert!(relays.meet(1, Some((1, addr)), RelayTicket([7; 16])).is_err());
    }

    #[test]
    fn a_caller_that_does_not_come_is_waited_for_in_bounds() {
        let (_listener, addr, relays) = silent();
        let begun = Instant::now();
        // The client's own tracker, and another one of the list, fail in the same way.
        for own in [Some((1, addr)), None] {
            assert!(relays.meet(1, own, RelayTicket([7; 16])).is_err());
        }
        let took = begun.elapsed();
        assert!(took >= MEETING_DEADLINE * 2 && took < MEETING_DEADLINE * 4, "{took:?}");
    }
}
