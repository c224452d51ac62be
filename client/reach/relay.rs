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
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The tracker accepts the connection within this time.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

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
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relays").field("trackers", &self.trackers).finish_non_exhaustive()
    }
}

impl Relays {
    pub fn new(trackers: Vec<TrackerAddr>) -> Self {
        Self { trackers, lookups: Mutex::new(Lookups::new()) }
    }

    /// Meets the other side at the tracker with this number, by the ticket that both have. `own` is the number and the
    /// address of the tracker of the client's link: its number may be another one than on this client's list. The
    /// members' handshake runs on the stream that this gives.
    ///
    /// # Errors
    /// The tracker is not found or not reached, or the other side has not come; after 18 s at most.
    pub fn meet(
        &self,
        tracker: u16,
        own: Option<(u16, SocketAddr)>,
        ticket: RelayTicket,
    ) -> Result<TcpStream, RelayError> {
        let addrs = match own {
            Some((number, addr)) if number == tracker => vec![addr],
            _ => self.addrs(tracker)?,
        };
        // A name has at most eight.
        let deadline = CONNECT_DEADLINE / addrs.len() as u32;
        let connected = connect_first(&addrs, |addr| TcpStream::connect_timeout(&addr, deadline));
        let (stream, _) = connected.map_err(|error| RelayError::Meeting(error.into()))?;
        meet(&stream, ticket).map_err(RelayError::Meeting)?;
        Ok(stream)
    }

    /// Where the list has a tracker.
    fn addrs(&self, tracker: u16) -> Result<Vec<SocketAddr>, RelayError> {
        let place = usize::from(tracker).checked_sub(1);
        match place.and_then(|place| self.trackers.get(place)).ok_or(RelayError::Unlisted(tracker))? {
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
