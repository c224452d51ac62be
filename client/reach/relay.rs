//! The relay of a tracker: where it is, and how the other member is met there.

use crate::model::address::TrackerAddr;
use crate::model::id::RelayTicket;
use crate::sys::connecting::connect_first;
use crate::sys::resolve::{LOOKUP_DEADLINE, Lookups, lookup_reason};
use crate::wire::connection::TimedStream;
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::handshake::HandshakeError;
use crate::wire::relay::meet_at_relay;
use crossbeam_channel::never;
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::iter;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The tracker accepts the connection within this time.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// Most trackers at which a ticket is tried, the first included.
const TRIES_MAX: usize = 4;
/// No other tracker is tried after this time: the ticket has been good for about as long.
const TRIES_END: Duration = Duration::from_secs(10);

/// Why two members have not met at a relay; the end of a line, without a full stop.
#[derive(Debug)]
pub enum RelayError {
    /// The client's list does not have the tracker with this number.
    Unlisted(u16),
    /// The name of the tracker is not found.
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
    /// The connections on which somebody is waited for; `None` once the client is closing.
    waiting: Mutex<Option<Vec<Arc<TcpStream>>>>,
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relays").field("trackers", &self.trackers).finish_non_exhaustive()
    }
}

impl Relays {
    pub fn new(trackers: Vec<TrackerAddr>) -> Self {
        Self { trackers, lookups: Mutex::new(Lookups::new()), waiting: Mutex::new(Some(Vec::new())) }
    }

    /// The client is closing: nobody is waited for any more.
    pub fn close(&self) {
        for stream in self.waiting.lock().take().into_iter().flatten() {
            // Fails only if the connection is gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Meets the other side at the tracker with this number, by the ticket that both have. `own` is the number and the
    /// address of the tracker of the client's link. The members' handshake runs on the stream that this gives.
    ///
    /// A number is a place in the list of the trackers. The client's list may have another order, so a ticket that is
    /// refused is tried at its other trackers.
    ///
    /// # Errors
    /// That of the tracker at this place of the list: it is not found, not reached, or the other side has not come;
    /// after 28 s at most.
    pub fn meet(
        &self,
        tracker: u16,
        own: Option<(u16, SocketAddr)>,
        ticket: RelayTicket,
    ) -> Result<TcpStream, RelayError> {
        let other = match own {
            Some((number, addr)) if number == tracker => return self.meet_at(&[addr], ticket),
            Some((_, addr)) => Some(addr),
            None => None,
        };
        let place = usize::from(tracker).checked_sub(1).filter(|place| *place < self.trackers.len());
        let place = place.ok_or(RelayError::Unlisted(tracker))?;
        let rest = (0..self.trackers.len()).filter(|at| *at != place);
        let (mut failure, begun) = (None, Instant::now());
        for at in iter::once(place).chain(rest).take(TRIES_MAX).take_while(|_| begun.elapsed() < TRIES_END) {
            if self.waiting.lock().is_none() {
                break;
            }
            let met = match self.addrs(&self.trackers[at]) {
                // The client's own tracker has another number.
                Ok(addrs) if other.is_some_and(|other| addrs.contains(&other)) => continue,
                Ok(addrs) => self.meet_at(&addrs, ticket),
                Err(error) => Err(error),
            };
            match met {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or(RelayError::Unlisted(tracker)))
    }

    /// Meets the other side at the first of these addresses that accepts.
    fn meet_at(&self, addrs: &[SocketAddr], ticket: RelayTicket) -> Result<TcpStream, RelayError> {
        // A name has at most eight.
        let deadline = CONNECT_DEADLINE / addrs.len() as u32;
        let connected = connect_first(addrs, |addr| TcpStream::connect_timeout(&addr, deadline));
        let failed = |error: io::Error| RelayError::Meeting(error.into());
        let (stream, _) = connected.map_err(failed)?;
        let waits = Arc::new(stream.try_clone().map_err(failed)?);
        match &mut *self.waiting.lock() {
            Some(waiting) => waiting.push(waits.clone()),
            None => return Err(failed(io::ErrorKind::Interrupted.into())),
        }
        let met = meet(&stream, ticket).map_err(RelayError::Meeting);
        if let Some(waiting) = &mut *self.waiting.lock() {
            waiting.retain(|other| !Arc::ptr_eq(other, &waits));
        }
        met.map(|()| stream)
    }

    fn addrs(&self, tracker: &TrackerAddr) -> Result<Vec<SocketAddr>, RelayError> {
        match tracker {
            TrackerAddr::Addr(addr) => Ok(vec![*addr]),
            TrackerAddr::Named { host, port } => {
                let found = self.lookups.lock().find(host, *port, LOOKUP_DEADLINE, &never());
                found.map_err(RelayError::Lookup)
            }
        }
    }
}

fn meet(stream: &TcpStream, ticket: RelayTicket) -> Result<(), HandshakeError> {
    stream.set_nodelay(true)?;
    meet_at_relay(&mut TimedStream::new(stream, HANDSHAKE_DEADLINE), ticket)?;
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn whoever_waits_at_a_relay_is_let_go_when_the_client_closes() {
        // It accepts and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let relays = Relays::new(vec![TrackerAddr::Addr(addr)]);
        let begun = Instant::now();
        thread::scope(|scope| {
            let waits = scope.spawn(|| relays.meet(1, Some((1, addr)), RelayTicket([7; 16])));
            let (_silent, _) = listener.accept().expect("somebody came");
            relays.close();
            assert!(waits.join().expect("no panic").is_err());
        });
        assert!(begun.elapsed() < HANDSHAKE_DEADLINE / 2, "nothing was waited for");
        assert!(relays.meet(1, Some((1, addr)), RelayTicket([7; 16])).is_err());
    }
}
