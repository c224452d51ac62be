//! Dials that wait for a connection from outside: of a called member, or of one that dials at the same moment.

use super::call_turns::CallTurns;
use super::punch::pace::AddressRests;
use super::way::Way;
use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::{GroupRef, PeerId, PeerKey};
use crate::sys::waker::Waker;
use crate::wire::client_tracker::{CallWay, Reply};
use crate::wire::connection::{FrameReceiver, FrameSender};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a called member has to prove and to offer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallSubject {
    pub group: GroupRef,
    pub info_hash: InfoHash,
    /// The called client, and the key of its run. Its certificate has to name both.
    pub peer: PeerId,
    pub key: PeerKey,
}

/// A connection after its handshake, ready for `Open`.
pub struct OpenableConnection {
    pub receiver: FrameReceiver,
    pub sender: Arc<FrameSender>,
    /// The group key of the connection.
    pub key: KeyId,
    pub way: Way,
}

impl fmt::Debug for OpenableConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenableConnection").field("way", &self.way).finish_non_exhaustive()
    }
}

/// An event from another thread for a dial.
#[derive(Debug)]
pub(super) enum Arrival {
    /// The tracker has answered a call; `None` if it cannot do so any more.
    Answer(CallWay, Option<Reply>),
    /// The called member has dialed.
    Given(OpenableConnection),
    /// The listener has accepted a connection from an address that is being dialed at the same moment.
    Accepted(TcpStream, SocketAddr),
    /// The member wants pieces too, and comes first, because one pair of ports makes only one connection.
    Yield,
    /// This machine has lost these addresses.
    Gone(Vec<IpAddr>),
}

/// A running dial, as other threads see it.
pub struct Attempt {
    waker: Waker,
    fields: Mutex<AttemptFields>,
}

#[derive(Default)]
struct AttemptFields {
    arrivals: Vec<Arrival>,
    /// The connection on which the dial waits for the far side.
    sender: Option<Arc<FrameSender>>,
    stopped: bool,
}

impl Attempt {
    /// # Errors
    /// The process is out of descriptors.
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { waker: Waker::new()?, fields: Mutex::default() }))
    }

    /// Ends the dial, wherever it waits.
    pub fn stop(&self) {
        let mut fields = self.fields.lock();
        fields.stopped = true;
        if let Some(sender) = fields.sender.take() {
            sender.end();
        }
        drop(fields);
        self.waker.wake();
    }

    /// Ends the connections in the making from these addresses, which this machine has lost.
    pub fn end_from(&self, gone: &[IpAddr]) {
        self.put(Arrival::Gone(gone.to_vec()));
    }

    /// Whether the dial was ended.
    pub fn is_stopped(&self) -> bool {
        self.fields.lock().stopped
    }

    /// Notes that the dial now waits for the far side of this connection. Returns false if it was stopped.
    pub fn waits_on(&self, sender: &Arc<FrameSender>) -> bool {
        let mut fields = self.fields.lock();
        fields.sender = Some(sender.clone());
        !fields.stopped
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn put(&self, arrival: Arrival) {
        self.fields.lock().arrivals.push(arrival);
        self.waker.wake();
    }

    pub(super) fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.fields.lock().arrivals)
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

/// A dial to an address whose member dials back at the same moment.
#[derive(Debug)]
struct Meeting {
    /// The member's key.
    sought: PeerKey,
    attempt: Arc<Attempt>,
}

/// The waiting dials. The dialer bounds their number.
#[derive(Debug, Default)]
pub struct Calls {
    called: Mutex<HashMap<CallSubject, Vec<Arc<Attempt>>>>,
    /// Dials by the addresses at which both sides dial at the same moment.
    punched: Mutex<HashMap<SocketAddr, Vec<Meeting>>>,
    /// The number of these addresses. The listener checks it for every connection.
    punched_count: AtomicUsize,
    /// The turns for having a member called.
    pub(super) turns: CallTurns<Attempt>,
    /// Addresses of failed dials, whichever member named them.
    pub(super) rests: AddressRests,
}

/// A dial waits until this is dropped.
#[derive(Debug)]
pub(super) struct CallGuard<'a> {
    calls: &'a Calls,
    attempt: &'a Arc<Attempt>,
    subject: Option<CallSubject>,
    punched: Vec<SocketAddr>,
}

impl Calls {
    /// Gives the connection of a called member to a dial that waits for it.
    ///
    /// # Errors
    /// No dial waits for it, and the connection comes back.
    pub fn give(&self, subject: &CallSubject, connection: OpenableConnection) -> Result<(), Box<OpenableConnection>> {
        let mut called = self.called.lock();
        let Some(attempt) = called.get_mut(subject).and_then(Vec::pop) else {
            return Err(Box::new(connection));
        };
        attempt.put(Arrival::Given(connection));
        Ok(())
    }

    /// Gives an accepted connection to the dial that dials its address at the same moment.
    ///
    /// # Errors
    /// No dial waits for it, and the connection comes back.
    pub fn accepted(&self, stream: TcpStream, from: SocketAddr) -> Result<(), TcpStream> {
        if self.punched_count.load(Ordering::Relaxed) == 0 {
            return Err(stream);
        }
        let from = canonical(from);
        match self.punched.lock().get(&from).and_then(|attempts| attempts.last()) {
            Some(Meeting { attempt, .. }) => {
                attempt.put(Arrival::Accepted(stream, from));
                Ok(())
            }
            None => Err(stream),
        }
    }

    /// The member with this key calls, and offers these addresses to meet. Returns the addresses at which this client
    /// dials. The result is empty if a dial of this client already seeks the same member. But if the member
    /// `comes_first`, that dial yields instead. Addresses at which a dial seeks another member are left out, because
    /// one pair of ports makes only one connection.
    pub(super) fn to_meet(&self, caller: PeerKey, addrs: &[SocketAddr], comes_first: bool) -> Vec<SocketAddr> {
        let punched = self.punched.lock();
        let dials = |addr: &SocketAddr| punched.get(&canonical(*addr)).into_iter().flatten();
        let own: Vec<_> = addrs.iter().flat_map(dials).filter(|dial| dial.sought == caller).collect();
        if comes_first {
            own.iter().for_each(|dial| dial.attempt.put(Arrival::Yield));
        } else if !own.is_empty() {
            return Vec::new();
        }
        let is_free = |addr: &&SocketAddr| dials(addr).all(|dial| dial.sought == caller);
        addrs.iter().filter(is_free).copied().collect()
    }

    /// A guard for a dial that waits for nothing yet.
    pub(super) fn guard<'a>(&'a self, attempt: &'a Arc<Attempt>) -> CallGuard<'a> {
        CallGuard { calls: self, attempt, subject: None, punched: Vec::new() }
    }
}

impl CallGuard<'_> {
    /// Makes the dial wait for a called member.
    pub(super) fn expect(&mut self, subject: CallSubject) {
        self.subject = Some(subject.clone());
        self.calls.called.lock().entry(subject).or_default().push(self.attempt.clone());
    }

    /// Makes the dial wait for connections from these addresses, of the member with this key.
    pub(super) fn expect_from(&mut self, sought: PeerKey, addrs: &[SocketAddr]) {
        let mut punched = self.calls.punched.lock();
        for addr in addrs.iter().copied().map(canonical) {
            punched.entry(addr).or_default().push(Meeting { sought, attempt: self.attempt.clone() });
            self.punched.push(addr);
        }
        self.calls.punched_count.store(punched.len(), Ordering::Relaxed);
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        let is_other = |other: &Arc<Attempt>| !Arc::ptr_eq(other, self.attempt);
        if let Some(subject) = &self.subject {
            let mut called = self.calls.called.lock();
            if let Some(attempts) = called.get_mut(subject) {
                attempts.retain(is_other);
                if attempts.is_empty() {
                    called.remove(subject);
                }
            }
        }
        if !self.punched.is_empty() {
            let mut punched = self.calls.punched.lock();
            punched.values_mut().for_each(|attempts| attempts.retain(|dial| is_other(&dial.attempt)));
            punched.retain(|_, attempts| !attempts.is_empty());
            self.calls.punched_count.store(punched.len(), Ordering::Relaxed);
        }
    }
}

/// The listener for all addresses shows IPv4 addresses as IPv6.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const BOB: PeerKey = PeerKey([2; 32]);
    const EVE: PeerKey = PeerKey([5; 32]);

    fn addr(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn an_accepted_connection_goes_to_the_dial_that_knocks_there_and_no_other() {
        let calls = Calls::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let attempt = Attempt::new().expect("a descriptor");
        let stream = calls.accepted(stream, addr(1)).expect_err("nobody knocks");
        let mut guard = calls.guard(&attempt);
        guard.expect_from(BOB, &[addr(1)]);
        let stream = calls.accepted(stream, addr(2)).expect_err("nobody knocks there");
        let as_v6 = SocketAddr::new(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into(), 1);
        assert!(calls.accepted(stream, as_v6).is_ok(), "the IPv6 form of an IPv4 address counts too");
        assert!(matches!(attempt.take()[..], [Arrival::Accepted(_, from)] if from == addr(1)));
        drop(guard);
        assert_eq!(calls.punched_count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn of_two_who_knock_at_each_other_one_yields() {
        let (calls, attempt) = (Calls::default(), Attempt::new().expect("a descriptor"));
        let mut guard = calls.guard(&attempt);
        assert_eq!(calls.to_meet(BOB, &[addr(1)], true), [addr(1)]);
        guard.expect_from(BOB, &[addr(1), addr(2)]);
        assert!(calls.to_meet(BOB, &[addr(9), addr(2)], false).is_empty() && attempt.take().is_empty());
        assert_eq!(calls.to_meet(BOB, &[addr(9), addr(2)], true), [addr(9), addr(2)]);
        assert!(matches!(attempt.take()[..], [Arrival::Yield]));
    }

    #[test]
    fn a_member_under_a_foreign_address_ends_no_dial_and_is_not_met_there() {
        let (calls, attempt) = (Calls::default(), Attempt::new().expect("a descriptor"));
        let mut guard = calls.guard(&attempt);
        guard.expect_from(BOB, &[addr(1)]);
        for comes_first in [true, false] {
            assert_eq!(calls.to_meet(EVE, &[addr(1), addr(2)], comes_first), [addr(2)]);
        }
        assert!(attempt.take().is_empty());
        drop(guard);
        assert_eq!(calls.to_meet(EVE, &[addr(1)], true), [addr(1)], "no dial seeks a member at this address");
    }
}
