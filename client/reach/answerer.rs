//! The called side. A member that cannot reach this client has a tracker call it. This client dials back, dials at the
//! same moment, or goes to the relay. Then it gives pieces as usual.

use super::call_queue::CallQueue;
use super::calls::Calls;
use super::eyeballs::{Race, RaceTurn};
use super::identity::Identity;
use super::port::ListeningPort;
use super::punch::{START_MAX, punch};
use super::relay::Relays;
use super::way::Way;
use crate::client::keyring::Keyring;
use crate::client::rpc::link::TrackerCaller;
use crate::model::digest::{InfoHash, KeyId};
use crate::model::id::GroupRef;
use crate::model::name::UserId;
use crate::sys::owned_thread::OwnedThread;
use crate::wire::certificate::Certificate;
use crate::wire::client_tracker::{CallWay, PassedCall};
use crate::wire::handshake::Secret;
use crate::wire::handshake::peer::peer_greets;
use crate::wire::transport_keys::TransportKeys;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The time for dialing and greeting the caller.
const BACK_DEADLINE: Duration = Duration::from_secs(5);
/// How often a thread checks whether it has to end.
const LOOK: Duration = Duration::from_millis(200);

/// A connection after the handshake that this client made to give pieces.
pub struct MadeConnection {
    pub keys: TransportKeys,
    /// The member that takes pieces.
    pub taker: Certificate,
    pub group: GroupRef,
    /// The group key of the connection.
    pub key: KeyId,
    pub info_hash: InfoHash,
}

impl fmt::Debug for MadeConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeConnection").field("taker", &self.taker).finish_non_exhaustive()
    }
}

/// The seeder, as the answerer needs it.
pub trait Giver: Send + Sync {
    /// Whether the client serves this content.
    fn gives(&self, group: GroupRef, info_hash: InfoHash) -> bool;
    /// Serves a connection on which the far side begins the handshake, like an accepted connection.
    fn accept(&self, stream: TcpStream, way: Way);
    /// Serves on a connection that this client made.
    fn give(&self, stream: TcpStream, made: MadeConnection);
}

/// The parts that an answerer uses.
pub struct AnswererSetup {
    pub identity: Arc<Identity>,
    pub keyring: Arc<Keyring>,
    pub port: Arc<ListeningPort>,
    /// The dials of this client.
    pub calls: Arc<Calls>,
    pub relays: Relays,
    /// `None` for a client without trackers.
    pub tracker: Option<TrackerCaller>,
    pub giver: Arc<dyn Giver>,
}

/// The state that the threads share.
struct AnswererDesk {
    // Immutable.
    identity: Arc<Identity>,
    keyring: Arc<Keyring>,
    port: Arc<ListeningPort>,
    dials: Arc<Calls>,
    relays: Relays,
    tracker: Option<TrackerCaller>,
    giver: Arc<dyn Giver>,
    // Set once.
    closing: AtomicBool,
    // Locked, but never while a call is answered.
    calls: Mutex<CallQueue>,
    // Locked for a moment.
    punches: Mutex<Punches>,
}

/// The current punch of each caller, by its number. A new one ends the former.
#[derive(Debug, Default)]
struct Punches {
    latest: HashMap<UserId, u64>,
    next: u64,
}

impl Punches {
    /// Returns the number for a new punch with this caller.
    fn begin(&mut self, caller: &UserId) -> u64 {
        self.next += 1;
        self.latest.insert(caller.clone(), self.next);
        self.next
    }

    fn end(&mut self, caller: &UserId, number: u64) {
        if self.latest.get(caller) == Some(&number) {
            self.latest.remove(caller);
        }
    }
}

/// Answers calls on threads that start on demand and end when idle.
pub struct Answerer {
    desk: Arc<AnswererDesk>,
    threads: Mutex<Vec<OwnedThread>>,
}

impl fmt::Debug for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answerer").finish_non_exhaustive()
    }
}

impl Answerer {
    /// Starts without threads.
    pub fn new(setup: AnswererSetup) -> Self {
        let AnswererSetup { identity, keyring, port, calls: dials, relays, tracker, giver } = setup;
        let (closing, calls, punches) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
        let desk =
            Arc::new(AnswererDesk { identity, keyring, port, dials, relays, tracker, giver, closing, calls, punches });
        Self { desk, threads: Mutex::default() }
    }

    /// Takes a call, unless too many calls wait or the caller may get nothing. Returns at once.
    pub fn answer(&self, call: PassedCall) {
        let now = Instant::now();
        if self.desk.key_for(&call, now).is_none() || !self.desk.calls.lock().put(call, now) {
            return;
        }
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        let desk = self.desk.clone();
        match OwnedThread::start(format!("answer-{}", threads.len()), move || desk.run()) {
            Ok(thread) => threads.push(thread),
            // Another thread answers the call, or the call is lost like a late one.
            Err(_) => self.desk.calls.lock().thread_ends(),
        }
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.desk.closing.store(true, Ordering::Relaxed);
        self.desk.calls.lock().clear();
        self.desk.relays.close();
        // Joins them.
        self.threads.get_mut().clear();
    }
}

impl AnswererDesk {
    fn run(&self) {
        loop {
            // The lock ends with the statement.
            let Some((call, came)) = self.calls.lock().take(Instant::now()) else {
                return;
            };
            let came_to_something = self.answer(&call, came);
            self.calls.lock().done(&call.caller.user, came_to_something);
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The group key for a call that deserves an answer. The caller must be a certified client of another run, the
    /// group one of this user, and the content served here.
    fn key_for(&self, call: &PassedCall, now: Instant) -> Option<(KeyId, Secret)> {
        let certified = self.identity.check(&call.caller, now).is_ok() && call.caller.client != self.identity.client();
        let key = self.keyring.of_group(call.group).filter(|_| certified)?;
        self.giver.gives(call.group, call.info_hash).then_some(key)
    }

    /// Whether the call led to a connection, or cost nothing.
    fn answer(&self, call: &PassedCall, came: Instant) -> bool {
        let Some(key) = self.key_for(call, Instant::now()) else {
            return true;
        };
        match call.way {
            CallWay::Back => self.dial_back(call, (key.0, &key.1)),
            CallWay::Punch => {
                // If both members want pieces of each other, the one with the lower client id takes first.
                let comes_first = call.caller.client < self.identity.client();
                let addrs = self.dials.to_meet(call.caller.key, &call.addrs, comes_first);
                // If this side takes first, nothing is to be done.
                addrs.is_empty() || self.meet(call, &addrs, came)
            }
            CallWay::Relay => self.go_to_relay(call),
        }
    }

    /// Dials the caller at these addresses while the caller dials this client.
    fn meet(&self, call: &PassedCall, addrs: &[SocketAddr], came: Instant) -> bool {
        let start = came + Duration::from_millis(call.start_ms.into()).min(START_MAX);
        let addrs = self.dials.rests.admit(addrs, Instant::now());
        let number = self.punches.lock().begin(&call.caller.user);
        let is_over = || self.is_closing() || self.punches.lock().latest.get(&call.caller.user) != Some(&number);
        let mut met = false;
        let take = |stream, addr| {
            met = true;
            self.dials.rests.accepted(addr, Instant::now());
            self.giver.accept(stream, Way::Punched);
        };
        punch(&self.port, &addrs, start, is_over, take);
        self.punches.lock().end(&call.caller.user, number);
        met
    }

    fn go_to_relay(&self, call: &PassedCall) -> bool {
        let Some(place) = call.relay else {
            return true;
        };
        let addr = self.tracker.as_ref().and_then(TrackerCaller::addr);
        let own = self.identity.certified().map(|certified| certified.tracker).zip(addr);
        let met = self.relays.meet(place.tracker, own, place.ticket);
        met.map(|stream| self.giver.accept(stream, Way::Relayed)).is_ok()
    }

    fn dial_back(&self, call: &PassedCall, key: (KeyId, &Secret)) -> bool {
        let Some(me) = self.identity.shown() else {
            return true;
        };
        let addrs = self.dials.rests.admit(&call.addrs, Instant::now());
        let mut race = Race::new(&addrs, || peer_greets(&me, call.caller.key, key));
        let until = Instant::now() + BACK_DEADLINE;
        while !self.is_closing() && Instant::now() < until {
            match race.run(Some(Instant::now() + LOOK), None) {
                RaceTurn::Met(dialed) => {
                    let failed = |addr| race.faults().iter().any(|fault| fault.addr == addr);
                    let untried = addrs.iter().filter(|&&addr| addr != dialed.addr && !failed(addr));
                    untried.for_each(|addr| self.dials.rests.untried(*addr));
                    self.dials.rests.met(dialed.addr);
                    let made = MadeConnection {
                        keys: dialed.keys,
                        taker: call.caller.clone(),
                        group: call.group,
                        key: key.0,
                        info_hash: call.info_hash,
                    };
                    self.giver.give(dialed.stream, made);
                    return true;
                }
                RaceTurn::Failed => return false,
                RaceTurn::Mirrored | RaceTurn::Woken | RaceTurn::Due => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::call_queue::tests as queue;
    use super::super::identity::tests::{certified, certified_as};
    use super::*;
    use crate::model::address::TrackerAddr;
    use crate::model::id::{ClientId, OpId, Origin, RelayTicket, ShareRef};
    use crate::model::name::GroupId;
    use crate::model::name::tests::user;
    use crate::wire::client_tracker::{GroupKey, RelayPlace};
    use crate::wire::codec::List;
    use crate::wire::handshake::peer::peer_accepts;
    use std::net::TcpListener;
    use std::sync::mpsc;

    const CONTENT: InfoHash = InfoHash([9; 32]);
    const KEY: (KeyId, Secret) = (KeyId([7; 16]), Secret([7; 32]));

    fn group(seq: u64) -> GroupRef {
        GroupRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq })
    }

    /// Serves one content, and reports each connection on which it should give.
    struct Shelf(mpsc::Sender<(UserId, Way)>);

    impl Giver for Shelf {
        fn gives(&self, of: GroupRef, info_hash: InfoHash) -> bool {
            (of, info_hash) == (group(1), CONTENT)
        }

        fn accept(&self, _: TcpStream, _: Way) {}

        fn give(&self, _: TcpStream, made: MadeConnection) {
            self.0.send((made.taker.user, Way::Called)).expect("the test waits");
        }
    }

    /// A member of group 1 that serves the content.
    fn answerer() -> (Answerer, mpsc::Receiver<(UserId, Way)>) {
        answerer_with(Vec::new())
    }

    /// As `answerer`, with these trackers.
    fn answerer_with(trackers: Vec<TrackerAddr>) -> (Answerer, mpsc::Receiver<(UserId, Way)>) {
        let keyring = Arc::new(Keyring::default());
        let name = GroupId::parse("lab").expect("a name");
        keyring.put(GroupKey { group: group(1), name, id: KEY.0, key: KEY.1.clone() });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = Arc::new(ListeningPort::share(&listener).expect("bound"));
        let (gives, given) = mpsc::channel();
        let setup = AnswererSetup {
            identity: Arc::new(certified(1)),
            keyring,
            port,
            calls: Arc::default(),
            relays: Relays::new(trackers).expect("a descriptor"),
            tracker: None,
            giver: Arc::new(Shelf(gives)),
        };
        (Answerer::new(setup), given)
    }

    /// Client 2 of this user.
    fn client_of(name: &str) -> Identity {
        certified_as(2, &user(name))
    }

    /// A call of a client that listens at this address.
    fn call(caller: &Identity, at: SocketAddr) -> PassedCall {
        PassedCall {
            share: ShareRef(group(2).0),
            group: group(1),
            info_hash: CONTENT,
            way: CallWay::Back,
            caller: caller.certificate().expect("certified"),
            addrs: List::first_of(vec![at]),
            start_ms: 0,
            relay: None,
        }
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        (listener, addr)
    }

    /// The number of calls that wait or are being answered.
    fn open(answerer: &Answerer) -> usize {
        queue::open(&answerer.desk.calls.lock())
    }

    #[test]
    fn a_certified_member_is_called_back_and_given_to() {
        let (answerer, given) = answerer();
        let ((listener, at), caller) = (listener(), client_of("ann"));
        answerer.answer(call(&caller, at));
        let (mut stream, _) = listener.accept().expect("called back");
        let accepted = peer_accepts(&mut stream, caller.secret(), |key, certificate| {
            assert_eq!((key, certificate.client), (KEY.0, ClientId([1; 16])));
            Ok(KEY.1)
        });
        accepted.expect("the same group");
        assert_eq!(given.recv(), Ok((user("ann"), Way::Called)));
    }

    #[test]
    fn an_address_that_came_to_nothing_is_dialed_back_no_more_for_a_while_whoever_names_it() {
        let (answerer, _given) = answerer();
        let gone = listener().1;
        for name in ["eve", "ann", "bob", "cleo", "dan", "eli"] {
            answerer.answer(call(&client_of(name), gone));
            let deadline = Instant::now() + Duration::from_secs(60);
            while open(&answerer) > 0 {
                assert!(Instant::now() < deadline, "the answerer waits although no caller is there");
                std::thread::yield_now();
            }
        }
        assert!(answerer.desk.dials.rests.admit(&[gone], Instant::now()).is_empty());
    }

    #[test]
    fn of_two_punches_of_one_caller_the_first_ends() {
        let (mut punches, eve, ann) = (Punches::default(), user("eve"), user("ann"));
        let (first, other, second) = (punches.begin(&eve), punches.begin(&ann), punches.begin(&eve));
        punches.end(&eve, first);
        assert_eq!((punches.latest.get(&eve), punches.latest.get(&ann)), (Some(&second), Some(&other)));
        punches.end(&eve, second);
        punches.end(&ann, other);
        assert!(punches.latest.is_empty());
    }

    #[test]
    fn a_forged_or_own_caller_or_one_for_an_ungiven_share_gets_no_connection() {
        let (answerer, _given) = answerer();
        let good = call(&client_of("ann"), listener().1);
        let forged = Certificate { user: user("eve"), ..good.caller.clone() };
        let own = answerer.desk.identity.certificate().expect("certified");
        let bad = [
            PassedCall { caller: forged, ..good.clone() },
            PassedCall { caller: own, ..good.clone() },
            PassedCall { group: group(2), ..good.clone() },
            PassedCall { info_hash: InfoHash([8; 32]), ..good.clone() },
        ];
        for bad in bad {
            answerer.answer(bad);
            assert_eq!((open(&answerer), answerer.threads.lock().len()), (0, 0));
        }
    }

    #[test]
    fn a_client_that_was_called_to_a_relay_at_which_nobody_comes_closes_at_once() {
        // A tracker that accepts and says nothing, as when the caller does not come.
        let ((relay, at), caller) = (listener(), client_of("eve"));
        let (answerer, _given) = answerer_with(vec![at.into()]);
        let place = RelayPlace { tracker: 1, ticket: RelayTicket([7; 16]) };
        answerer.answer(PassedCall { way: CallWay::Relay, relay: Some(place), ..call(&caller, at) });
        let (_waits, _) = relay.accept().expect("it goes there");
        let begun = Instant::now();
        drop(answerer);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_hundred_calls_of_one_user_take_three_places_and_another_user_is_still_called_back() {
        let (answerer, given) = answerer();
        // The listener accepts and says nothing.
        let (_silent, at) = listener();
        let (eve, ann) = (client_of("eve"), client_of("ann"));
        (0..100).for_each(|_| answerer.answer(call(&eve, at)));
        assert_eq!(open(&answerer), 3);
        let (listener, other) = listener();
        answerer.answer(call(&ann, other));
        let (mut stream, _) = listener.accept().expect("called back");
        peer_accepts(&mut stream, ann.secret(), |_, _| Ok(KEY.1)).expect("the same group");
        assert_eq!(given.recv(), Ok((user("ann"), Way::Called)));
    }
}
