//! The relay: passes sealed bytes between two members who found no other way to each other. The members' own handshake
//! runs inside, so the tracker sees only ciphertext.

mod pair;
mod tickets;

use crate::model::id::RelayTicket;
use crate::rate::limit::Limit;
use crate::rate::uplink::Uplink;
use crate::sys::random::random_bytes;
use crate::wire::deadlines::IDLE_DEADLINE;
use crate::wire::handshake::refusal_in_clear;
use crate::wire::refusal::{Code, Refusal};
use crate::wire::relay::BOTH_ARE_THERE;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use pair::{NARROW_LEN, Pair, WIDE_LEN};
use parking_lot::Mutex;
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tickets::{Arrival, Ends, NoPlace, PLACES_MAX, PLACES_PER_USER, Tickets};

pub use tickets::{RelayEnd, RelayTickets};

/// How long a ticket is valid.
const TICKET_LIFE: Duration = Duration::from_secs(10);

/// Settings of a relay.
#[derive(Debug, Clone, Copy)]
pub struct RelaySettings {
    /// The cap of all relayed bytes together.
    pub limit: Limit,
    /// How long a pair may pass no byte before it ends.
    pub silence: Duration,
    /// How long a ticket is valid.
    pub ticket_life: Duration,
}

impl RelaySettings {
    pub fn of(limit: Limit) -> Self {
        Self { limit, silence: IDLE_DEADLINE, ticket_life: TICKET_LIFE }
    }
}

/// The load of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLoad {
    pub pairs: usize,
    /// Bytes relayed since the start.
    pub bytes: u64,
    pub limit: Limit,
}

impl fmt::Display for RelayLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs, bytes, limit } = self;
        write!(f, "{pairs} pairs, {} relayed since the start, {limit} at most", crate::model::units::size(*bytes))
    }
}

/// The relay of a tracker.
#[derive(Debug)]
pub struct Relay {
    begun: Instant,
    silence: Duration,
    ticket_life: Duration,
    /// The cap, with turns for the pairs.
    uplink: Arc<Uplink>,
    tickets: Mutex<Tickets<Waiting>>,
    bytes: AtomicU64,
    closing: AtomicBool,
}

/// The first side of a pair, which waits for the other side.
#[derive(Debug)]
struct Waiting {
    stream: Arc<TcpStream>,
    /// Dropped to reject this side.
    tell: Sender<Result<Arc<RelayedPair>, Code>>,
}

/// A pair, and the place that it takes.
#[derive(Debug)]
struct RelayedPair {
    pair: Pair,
    ends: Ends,
}

/// Up to this many pairs read in large pieces.
const WIDE_MAX: usize = 64;
// The bytes that all pairs hold on their way, in both directions.
const _: () = assert!(WIDE_MAX * 2 * WIDE_LEN + (PLACES_MAX - WIDE_MAX) * 2 * NARROW_LEN <= 19 * 1024 * 1024);

/// How many bytes a pair reads at a time, given the number of pairs.
fn buffer_len(pairs: usize) -> usize {
    if pairs <= WIDE_MAX { WIDE_LEN } else { NARROW_LEN }
}

/// The next act of a connection with a valid ticket.
enum Turn {
    /// Wait for the other side until this time.
    Wait(Receiver<Result<Arc<RelayedPair>, Code>>, Duration),
    /// Begin.
    Begin(Arc<RelayedPair>),
}

impl Relay {
    pub fn new(settings: RelaySettings) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            silence: settings.silence,
            ticket_life: settings.ticket_life,
            uplink: Uplink::new(settings.limit),
            tickets: Mutex::default(),
            bytes: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        })
    }

    /// Tickets for two clients. Each is valid once, for a few seconds. The relayed bytes count as the caller's part of
    /// the cap.
    ///
    /// # Errors
    /// `RelayFull` if one of the users has all places of a user, or if no place is free. Also if callers at the
    /// caller's address have as many places as are free. `Unavailable` without random bytes.
    pub fn issue(&self, from: (RelayEnd, IpAddr), to: RelayEnd, now: Instant) -> Result<RelayTickets, Refusal> {
        let ticket = || random_bytes().map(RelayTicket).map_err(|error| Refusal::about(Code::Unavailable, error));
        let tickets = RelayTickets { caller: ticket()?, called: ticket()? };
        let now = self.at(now);
        let issued = self.tickets.lock().issue(tickets, Ends::new(from, to), now, now + self.ticket_life);
        match issued {
            Ok(()) => Ok(tickets),
            Err(NoPlace::User(user)) => {
                Err(Refusal::about(Code::RelayFull, format_args!("{user} has {PLACES_PER_USER} places already")))
            }
            Err(NoPlace::Address) => {
                Err(Refusal::about(Code::RelayFull, "your address already has as many places as are still free"))
            }
            Err(NoPlace::Relay) => {
                Err(Refusal::about(Code::RelayFull, format_args!("all {PLACES_MAX} places are taken")))
            }
        }
    }

    /// Serves a connection that came with a ticket, until it ends. Calls `admitted` once the ticket has proved valid.
    pub(crate) fn serve(&self, stream: &Arc<TcpStream>, ticket: RelayTicket, admitted: impl FnOnce()) {
        let turn = self.turn(stream, ticket, admitted);
        let (pair, side) = match turn.and_then(|turn| self.begin(turn, ticket)) {
            Ok(begun) => begun,
            Err(code) => {
                // Fails if the client is gone.
                let _ = (&**stream).write_all(&refusal_in_clear(code));
                return;
            }
        };
        let flow = self.uplink.join(&pair.ends.from.user);
        pair.pair.pump(side, &flow, &self.closing, &self.bytes);
        if side == 0 {
            self.tickets.lock().release(&pair.ends);
        }
    }

    fn turn(&self, stream: &Arc<TcpStream>, ticket: RelayTicket, admitted: impl FnOnce()) -> Result<Turn, Code> {
        let (tell, told) = bounded(1);
        let mut tickets = self.tickets.lock();
        // Under the lock, so that the closing relay also rejects a side that begins to wait now.
        if self.closing.load(Ordering::Acquire) {
            return Err(Code::Closing);
        }
        let first = Waiting { stream: stream.clone(), tell };
        let arrival = tickets.redeem(ticket, first, self.begun.elapsed()).ok_or(Code::BadTicket)?;
        // Before the other side hears of it.
        admitted();
        match arrival {
            Arrival::First(until) => Ok(Turn::Wait(told, until)),
            Arrival::Full(first) => {
                // The first side waits until this is sent or dropped, so it is there.
                let _ = first.tell.send(Err(Code::RelayFull));
                Err(Code::RelayFull)
            }
            Arrival::Second(first, ends) => {
                let buffer_len = buffer_len(tickets.pairs());
                drop(tickets);
                for mut stream in [&*first.stream, &**stream] {
                    // The socket has room for the first byte. If this fails, the pair ends by itself.
                    let _ = stream.write_all(&[BOTH_ARE_THERE]);
                }
                let pair = Pair::new([first.stream, stream.clone()], self.silence, buffer_len);
                let pair = Arc::new(RelayedPair { pair, ends });
                // The first side waits until this is sent or dropped, so it is there.
                let _ = first.tell.send(Ok(pair.clone()));
                Ok(Turn::Begin(pair))
            }
        }
    }

    /// Waits for the other side if it is not there yet. Returns the pair, and which side of it this is.
    fn begin(&self, turn: Turn, ticket: RelayTicket) -> Result<(Arc<RelayedPair>, usize), Code> {
        let (told, until) = match turn {
            Turn::Begin(pair) => return Ok((pair, 1)),
            Turn::Wait(told, until) => (told, until),
        };
        let pair = match told.recv_timeout(until.saturating_sub(self.begun.elapsed())) {
            Err(RecvTimeoutError::Timeout) => {
                self.tickets.lock().give_up(ticket);
                // The other side may have come at the last moment: then its message comes at once. Otherwise the
                // ticket is void by now.
                told.recv().ok()
            }
            told => told.ok(),
        };
        let closing = self.closing.load(Ordering::Acquire);
        let pair = pair.unwrap_or(Err(if closing { Code::Closing } else { Code::BadTicket }))?;
        Ok((pair, 0))
    }

    fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    pub fn load(&self) -> RelayLoad {
        RelayLoad {
            pairs: self.tickets.lock().pairs(),
            bytes: self.bytes.load(Ordering::Relaxed),
            limit: self.uplink.limit(),
        }
    }

    /// Takes no more connections and rejects waiting ones. Pairs end with their connections.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.tickets.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_pairs_each_holds_little_on_its_way() {
        assert_eq!(
            [1, WIDE_MAX, WIDE_MAX + 1, PLACES_MAX].map(buffer_len),
            [WIDE_LEN, WIDE_LEN, NARROW_LEN, NARROW_LEN]
        );
    }
}
