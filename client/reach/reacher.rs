//! The ways to one member, in their order: direct at once, called back after 250 ms, punched after 1 s, relayed after 2
//! s. The first way that works wins, and ends the others.
//!
//! All of this is one loop of the dialing thread. A direct connection needs no tracker and wakes no other thread.

use super::calls::{Arrival, Attempt, CallGuard, CallSubject, Calls, OpenableConnection};
use super::eyeballs::outlet::Outlet;
use super::eyeballs::{Dialed, Race, RaceTurn};
use super::identity::Identity;
use super::port::ListeningPort;
use super::punch::{PUNCH_DEADLINE, START_MAX};
use super::unreached::{NoCall, Unreached};
use super::way::Way;
use crate::client::rpc::link::{BegunRequest, TrackerCaller};
use crate::model::digest::KeyId;
use crate::model::id::ShareRef;
use crate::wire::client_tracker::{CallWay, Peer, Reply, Request};
use crate::wire::connection;
use crate::wire::frame::FRAME_LEN_MAX;
use crate::wire::handshake::Secret;
use crate::wire::handshake::peer::peer_greets;
use crate::wire::refusal::{Code, Refusal};
use rustix::net::sockopt::set_socket_linger;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When the first, second and third way through a tracker begin. The first also begins once every address has failed.
const DELAYS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2)];
/// How long a tracker may take to answer a call.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How long a called member may take to dial.
const BACK_DEADLINE: Duration = Duration::from_secs(5);
/// How often a dial checks whether it is its turn to have the member called.
const TURN_LOOK: Duration = Duration::from_millis(100);
/// How long a dial waits for its turn. After that the download tries again a little later.
const TURN_DEADLINE: Duration = Duration::from_secs(10);
/// The longest wait of a dial between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// The member to reach, and for what.
pub struct Sought<'a> {
    pub peer: &'a Peer,
    /// The content, and the share under which the tracker knows it.
    pub subject: CallSubject,
    pub share: ShareRef,
    /// The group's key.
    pub key: (KeyId, &'a Secret),
    /// The way that worked last.
    pub last: Option<Way>,
    /// Whether a relayed connection exists, so that only a better one helps.
    pub better: bool,
    /// Whether this is still the group key, and still the certificate of this client.
    pub is_current: &'a (dyn Fn() -> bool + 'a),
}

impl fmt::Debug for Sought<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sought").field("peer", &self.peer).field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Why a member was not reached.
#[derive(Debug)]
pub enum Miss {
    /// The connection is no longer needed.
    Stopped,
    NoCertificate,
    /// The system lacks resources.
    NotNow,
    Unreached(Box<Unreached>),
}

/// Reaches members.
#[derive(Debug)]
pub struct Reacher {
    pub identity: Arc<Identity>,
    pub port: Arc<ListeningPort>,
    pub calls: Arc<Calls>,
    /// `None` for a client without trackers.
    pub tracker: Option<TrackerCaller>,
}

/// The state of a way through a tracker.
enum CallState {
    Waiting,
    /// A port to dial from is being prepared, for `Punch`.
    Preparing,
    /// The dial waits for the answer as long as it keeps the request.
    Asked {
        _request: BegunRequest,
        at: Instant,
    },
    /// The tracker has passed the call on. A connection may follow until this time.
    Passed(Instant),
    Over(NoCall),
}

struct CallStep {
    way: CallWay,
    delay: Duration,
    state: CallState,
}

impl Reacher {
    /// Reaches a member, or says why not. Other threads end this with [`Attempt::stop`].
    ///
    /// # Errors
    /// No way has worked.
    pub fn reach(&self, wanted: &Sought<'_>, attempt: &Arc<Attempt>) -> Result<OpenableConnection, Miss> {
        let me = self.identity.shown().ok_or(Miss::NoCertificate)?;
        let race = Race::new(&wanted.peer.addrs, || peer_greets(&me, wanted.peer.key, wanted.key));
        let relay = self.identity.certified().is_some_and(|certified| certified.relay);
        let steps = steps(wanted, relay);
        let (guard, begun) = (self.calls.guard(attempt), Instant::now());
        let dial = Dial { reacher: self, wanted, attempt, begun, calls_begun: begun, race, guard, steps };
        let (connection, port) = match dial.run()? {
            Reached::Dialed(dialed) => {
                if dialed.way == Way::Punched {
                    self.calls.rests.met(dialed.addr);
                }
                let port = dialed.stream.local_addr().ok().map(|addr| addr.port());
                (opened_by_dial(*dialed, wanted.key.0)?, port)
            }
            Reached::Given(connection) => (*connection, None),
        };
        // Other dials of the member wait only for a connection between both listening ports.
        let lasting = Some(&connection.sender).filter(|_| port == Some(self.port.addr().port()));
        self.calls.turns.connected(&wanted.subject.peer, connection.way, lasting);
        Ok(connection)
    }
}

fn opened_by_dial(dialed: Dialed, key: KeyId) -> Result<OpenableConnection, Miss> {
    let way = dialed.way;
    if way == Way::Punched {
        // The connection ends with a reset. Otherwise its pair of ports, the only one, would be blocked for a minute.
        let _ = set_socket_linger(&dialed.stream, Some(Duration::ZERO));
    }
    let split = connection::split(dialed.stream, dialed.keys, FRAME_LEN_MAX, true);
    let (receiver, sender) = split.map_err(|_| Miss::NotNow)?;
    Ok(OpenableConnection { receiver, sender, key, way })
}

/// The ways through a tracker. The one that worked last comes first.
fn steps(wanted: &Sought<'_>, relay: bool) -> Vec<CallStep> {
    let mut ways = vec![CallWay::Back, CallWay::Punch, CallWay::Relay];
    ways.sort_by_key(|way| Some(way_of(*way)) != wanted.last);
    ways.retain(|way| !wanted.better || *way != CallWay::Relay);
    let state = |way| match way {
        CallWay::Relay if !relay => CallState::Over(NoCall::Refused(Code::NoRelay)),
        _ => CallState::Waiting,
    };
    ways.into_iter().zip(DELAYS).map(|(way, delay)| CallStep { way, delay, state: state(way) }).collect()
}

fn way_of(way: CallWay) -> Way {
    match way {
        CallWay::Back => Way::Called,
        CallWay::Punch => Way::Punched,
        CallWay::Relay => Way::Relayed,
    }
}

/// A running dial.
struct Dial<'a> {
    reacher: &'a Reacher,
    wanted: &'a Sought<'a>,
    attempt: &'a Arc<Attempt>,
    begun: Instant,
    /// The start of the calls' delays, which is later than `begun` if other dials of the member came first.
    calls_begun: Instant,
    race: Race<'a>,
    guard: CallGuard<'a>,
    steps: Vec<CallStep>,
}

/// The result of a dial.
enum Reached {
    Dialed(Box<Dialed>),
    Given(Box<OpenableConnection>),
}

impl Dial<'_> {
    fn run(mut self) -> Result<Reached, Miss> {
        loop {
            if self.attempt.is_stopped() {
                return Err(Miss::Stopped);
            }
            if self.was_refused() {
                if !(self.wanted.is_current)() {
                    return Err(Miss::NotNow);
                }
                if self.race.faults().iter().any(|fault| fault.fault.code() == Some(Code::BadCertificate)) {
                    self.reacher.identity.doubt();
                }
            }
            for arrival in self.attempt.take() {
                if let Some(given) = self.arrived(arrival) {
                    return Ok(Reached::Given(Box::new(given)));
                }
            }
            let now = Instant::now();
            if !self.begin_due(now) && now >= self.begun + TURN_DEADLINE {
                return Err(Miss::NotNow);
            }
            let Some(mut until) = self.next_due(now) else {
                return Err(Miss::Unreached(Box::new(self.unreached())));
            };
            if self.was_refused() {
                until = until.min(now + TURN_LOOK);
            }
            if self.race.is_over() {
                self.attempt.waker().wait_until(until);
            } else {
                match self.race.run(Some(until), Some(self.attempt.waker())) {
                    RaceTurn::Met(dialed) => return Ok(Reached::Dialed(dialed)),
                    RaceTurn::Mirrored => self.prepared(Instant::now()),
                    RaceTurn::Failed | RaceTurn::Woken | RaceTurn::Due => {}
                }
            }
        }
    }

    /// Whether a host has refused a connection, unencrypted, at one of the addresses. Any host may listen there, so the
    /// dial goes on with the other ways.
    fn was_refused(&self) -> bool {
        self.race.faults().iter().any(|fault| fault.fault.code().is_some())
    }

    fn arrived(&mut self, arrival: Arrival) -> Option<OpenableConnection> {
        match arrival {
            Arrival::Given(connection) => return Some(connection),
            Arrival::Accepted(stream, from) => self.race.adopt(stream, from),
            Arrival::Yield => self.race.stop_meeting(),
            Arrival::Gone(gone) => self.race.end_from(&gone),
            Arrival::Answer(way, answer) => {
                let state = self.answered(way, answer, Instant::now());
                if let CallState::Over(why @ (NoCall::NoTracker | NoCall::Refused(_))) = &state
                    && !matches!(why, NoCall::Refused(Code::NoRelay | Code::NotSeenThere))
                {
                    // A tracker that passes no call on refuses all ways.
                    self.give_up(why);
                }
                if let Some(step) = self.steps.iter_mut().find(|step| step.way == way) {
                    step.state = state;
                }
            }
        }
        None
    }

    /// The state that follows from the tracker's answer to a call.
    fn answered(&mut self, way: CallWay, answer: Option<Reply>, now: Instant) -> CallState {
        let (addrs, start, ticket) = match answer {
            None => return CallState::Over(NoCall::NoTracker),
            Some(Reply::Refused { code, about }) => {
                let Refusal { code, about } = Refusal::received(code, &about);
                let no_place = code == Code::RelayFull;
                return CallState::Over(if no_place { NoCall::NoPlace(about) } else { NoCall::Refused(code) });
            }
            Some(Reply::CallPassed { addrs, start_ms, ticket }) => {
                (addrs, now + Duration::from_millis(start_ms.into()).min(START_MAX), ticket)
            }
            Some(_) => return CallState::Over(NoCall::InVain),
        };
        let tracker = self.reacher.tracker.as_ref().and_then(TrackerCaller::addr);
        match (way, ticket, tracker) {
            (CallWay::Back, ..) => CallState::Passed(now + BACK_DEADLINE),
            (CallWay::Punch, ..) => {
                if self.race.outlet().is_none() {
                    self.guard.expect_from(self.wanted.peer.key, &addrs);
                }
                let rested = self.reacher.calls.rests.admit(&addrs, now);
                self.race.meet(&rested, &self.reacher.port, (start, start + PUNCH_DEADLINE));
                CallState::Passed(start + PUNCH_DEADLINE)
            }
            (CallWay::Relay, Some(ticket), Some(tracker)) => {
                self.race.relay(tracker, ticket);
                CallState::Passed(now)
            }
            (CallWay::Relay, ..) => CallState::Over(NoCall::InVain),
        }
    }

    /// Ends every way that has not begun, for this reason.
    fn give_up(&mut self, why: &NoCall) {
        for step in &mut self.steps {
            if matches!(step.state, CallState::Waiting | CallState::Preparing) {
                step.state = CallState::Over(why.clone());
            }
        }
    }

    /// Begins the ways that are due. Returns false if the dial has to wait for its turn.
    fn begin_due(&mut self, now: Instant) -> bool {
        let direct_over = self.race.is_direct_over();
        for at in 0..self.steps.len() {
            let step = &self.steps[at];
            let due = now >= self.calls_begun + step.delay || at == 0 && direct_over;
            if due && matches!(step.state, CallState::Waiting) {
                if !self.reacher.calls.turns.take(&self.wanted.subject.peer, self.attempt) {
                    // The first way is due again at the next check, and the others follow with their usual delays.
                    self.calls_begun = now + TURN_LOOK - DELAYS[0];
                    return false;
                }
                if at == 0 {
                    self.prefer(self.reacher.calls.turns.last(&self.wanted.subject.peer));
                }
                match (self.steps[at].way, self.reacher.tracker.as_ref().and_then(TrackerCaller::addr)) {
                    (CallWay::Punch, Some(tracker)) => {
                        self.race.mirror(tracker, &self.reacher.port);
                        self.steps[at].state = CallState::Preparing;
                    }
                    _ => self.call(at, now),
                }
            }
        }
        true
    }

    /// Moves the way that has just worked for another dial to the front.
    fn prefer(&mut self, last: Option<Way>) {
        let may_work = |step: &CallStep| Some(way_of(step.way)) == last && matches!(step.state, CallState::Waiting);
        let place = self.steps.iter().position(may_work);
        for at in (1..=place.unwrap_or(0)).rev() {
            let (before, behind) = self.steps.split_at_mut(at);
            std::mem::swap(&mut before[at - 1].way, &mut behind[0].way);
            std::mem::swap(&mut before[at - 1].state, &mut behind[0].state);
        }
    }

    /// Goes on after the port to dial from is ready or has failed. A tracker passes on no other IP than that of the
    /// client's link.
    fn prepared(&mut self, now: Instant) {
        let ip = self.reacher.identity.certified().map(|certified| certified.seen.ip().to_canonical());
        self.race.keep_outlet_of(ip);
        if let Some(at) = self.steps.iter().position(|step| matches!(step.state, CallState::Preparing)) {
            self.call(at, now);
        }
    }

    fn call(&mut self, at: usize, now: Instant) {
        match self.ask(self.steps[at].way) {
            Some(request) => self.steps[at].state = CallState::Asked { _request: request, at: now },
            None => self.give_up(&NoCall::NoTracker),
        }
    }

    /// Asks the tracker to have the member called, without waiting. The member may dial before the answer is here.
    fn ask(&mut self, way: CallWay) -> Option<BegunRequest> {
        if way == CallWay::Back {
            self.guard.expect(self.wanted.subject.clone());
        }
        let Peer { client, user, .. } = self.wanted.peer;
        let share = self.wanted.share;
        let from = self.race.outlet().filter(|_| way == CallWay::Punch).map(Outlet::seen);
        let request = Request::Call { share, user: user.clone(), client: *client, way, from };
        let answer = Answer { attempt: self.attempt.clone(), way, given: false };
        self.reacher.tracker.as_ref()?.begin(&request, Box::new(move |reply| answer.give(reply)))
    }

    /// When the next step is due. `None` if nothing is left to wait for.
    fn next_due(&mut self, now: Instant) -> Option<Instant> {
        let mut due = Vec::new();
        for step in &mut self.steps {
            match step.state {
                CallState::Waiting => due.push(self.calls_begun + step.delay),
                CallState::Asked { at, .. } if now >= at + ANSWER_DEADLINE => {
                    step.state = CallState::Over(NoCall::SilentTracker);
                }
                CallState::Asked { at, .. } => due.push(at + ANSWER_DEADLINE),
                CallState::Passed(until) if until > now => due.push(until),
                CallState::Preparing | CallState::Passed(_) | CallState::Over(_) => {}
            }
        }
        if self.race.is_over() { due.into_iter().min() } else { Some(due.into_iter().min().unwrap_or(now + LOOK)) }
    }

    fn unreached(self) -> Unreached {
        let mut unreached = Unreached { addrs: self.race.into_faults(), ..Unreached::default() };
        for step in self.steps {
            let why = match step.state {
                CallState::Over(why) => Some(why),
                CallState::Passed(_) => Some(NoCall::InVain),
                CallState::Waiting | CallState::Preparing | CallState::Asked { .. } => None,
            };
            match step.way {
                CallWay::Back => unreached.back = why,
                CallWay::Punch => unreached.punch = why,
                CallWay::Relay => unreached.relay = why,
            }
        }
        unreached
    }
}

/// Passes the tracker's answer on to a dial, or that none will come.
struct Answer {
    attempt: Arc<Attempt>,
    way: CallWay,
    given: bool,
}

impl Answer {
    fn give(mut self, reply: Reply) {
        self.given = true;
        self.attempt.put(Arrival::Answer(self.way, Some(reply)));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.given {
            self.attempt.put(Arrival::Answer(self.way, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::tests::certified;
    use super::*;
    use crate::client::rpc::link::tests::caller_of_one_that_hangs;
    use crate::model::digest::InfoHash;
    use crate::model::id::{ClientId, GroupRef, OpId, Origin, PeerKey};
    use crate::model::name::tests::user;
    use crate::sys::net::connecting::tests::nobody;
    use crate::wire::codec::List;
    use crate::wire::deadlines::HANDSHAKE_DEADLINE;
    use crate::wire::handshake::peer::peer_accepts;
    use crate::wire::handshake::refusal_in_clear;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    const KEY: (KeyId, Secret) = (KeyId([7; 16]), Secret([7; 32]));

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        (listener, addr)
    }

    /// The result of reaching client 2 with this key at this address, without a tracker.
    fn reach(key: PeerKey, addr: SocketAddr, attempt: &Arc<Attempt>) -> Result<Way, Miss> {
        reach_by(None, key, addr, attempt)
    }

    /// As `reach`, with this tracker.
    fn reach_by(
        tracker: Option<TrackerCaller>,
        key: PeerKey,
        addr: SocketAddr,
        attempt: &Arc<Attempt>,
    ) -> Result<Way, Miss> {
        reach_while(&|| true, tracker, (key, addr), attempt)
    }

    /// As `reach_by`, while the group key is current.
    fn reach_while(
        is_current: &dyn Fn() -> bool,
        tracker: Option<TrackerCaller>,
        (key, addr): (PeerKey, SocketAddr),
        attempt: &Arc<Attempt>,
    ) -> Result<Way, Miss> {
        let port = Arc::new(ListeningPort::share(&listener().0).expect("bound"));
        let reacher = Reacher { identity: Arc::new(certified(1)), port, calls: Arc::default(), tracker };
        let id = OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 1 };
        let (client, addrs) = (ClientId([2; 16]), List::first_of(vec![addr]));
        let peer = Peer { client, user: user("bob"), key, addrs, held: 1 };
        let sought = Sought {
            peer: &peer,
            subject: CallSubject { group: GroupRef(id), info_hash: InfoHash([9; 32]), peer: peer.id(), key },
            share: ShareRef(id),
            key: (KEY.0, &KEY.1),
            last: None,
            better: false,
            is_current,
        };
        reacher.reach(&sought, attempt).map(|connection| connection.way)
    }

    #[test]
    fn a_listening_member_is_reached_without_a_tracker() {
        let ((listener, addr), bob) = (listener(), certified(2));
        let key = bob.key();
        let member = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody came");
            peer_accepts(&mut stream, bob.secret(), |_, _| Ok(KEY.1)).expect("the same group")
        });
        let reached = reach(key, addr, &Attempt::new().expect("a descriptor"));
        assert_eq!(reached.expect("it listens"), Way::Direct);
        assert_eq!(member.join().expect("no panic").certificate.client, ClientId([1; 16]));
    }

    #[test]
    fn a_member_is_dialed_anew_when_the_address_from_which_it_is_dialed_is_gone() {
        let ((listener, addr), bob) = (listener(), certified(2));
        let (key, attempt) = (bob.key(), Attempt::new().expect("a descriptor"));
        let moves = attempt.clone();
        let member = thread::spawn(move || {
            let (mut silent, _) = listener.accept().expect("somebody came");
            moves.end_from(&["192.0.2.1".parse().expect("an address"), addr.ip()]);
            let (mut stream, _) = listener.accept().expect("somebody came again");
            let met = peer_accepts(&mut stream, bob.secret(), |_, _| Ok(KEY.1)).map(drop);
            silent.read_to_end(&mut Vec::new()).expect("it was closed");
            met
        });
        let begun = Instant::now();
        assert_eq!(reach(key, addr, &attempt).expect("it listens"), Way::Direct);
        assert!(begun.elapsed() < HANDSHAKE_DEADLINE, "{:?}", begun.elapsed());
        member.join().expect("no panic").expect("the same group");
    }

    #[test]
    fn one_line_tells_of_a_member_that_is_away_and_cannot_be_called() {
        let (_held, addr) = nobody();
        let missed = reach(PeerKey([2; 32]), addr, &Attempt::new().expect("a descriptor"));
        let Err(Miss::Unreached(why)) = missed else { panic!("{missed:?}") };
        let expected = format!("{addr} refused the connection, cannot be called (no tracker), no relay");
        assert_eq!(why.to_string(), expected);
    }

    #[test]
    fn a_tracker_that_hangs_in_a_call_keeps_no_slow_member_from_answering() {
        let ((listener, addr), bob) = (listener(), certified(2));
        let key = bob.key();
        let (tracker, mut far) = caller_of_one_that_hangs();
        let member = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody came");
            // Bob answers once the tracker was asked to call him.
            far.read_exact(&mut [0; 16]).expect("it was asked");
            peer_accepts(&mut stream, bob.secret(), |_, _| Ok(KEY.1)).expect("the same group");
            far
        });
        let reached = reach_by(Some(tracker), key, addr, &Attempt::new().expect("a descriptor"));
        assert_eq!(reached.expect("he answers"), Way::Direct);
        member.join().expect("no panic");
    }

    /// A host that refuses every visitor with this code, unencrypted.
    fn refuses(code: Code) -> SocketAddr {
        let (listener, addr) = listener();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("connected");
                stream.write_all(&refusal_in_clear(code)).expect("room");
                // The reader of this may leave first.
                let _ = stream.read(&mut [0; 1024]);
            }
        });
        addr
    }

    #[test]
    fn a_stranger_who_refuses_in_the_clear_keeps_no_member_from_being_called() {
        for code in [Code::Busy, Code::UnknownKey, Code::BadCertificate, Code::OtherClient] {
            let (tracker, mut far) = caller_of_one_that_hangs();
            let attempt = Attempt::new().expect("a descriptor");
            let (stops, addr) = (attempt.clone(), refuses(code));
            let dialing = thread::spawn(move || reach_by(Some(tracker), PeerKey([2; 32]), addr, &attempt));
            far.read_exact(&mut [0; 16]).expect("the tracker is asked to have the member called");
            stops.stop();
            assert!(matches!(dialing.join().expect("no panic"), Err(Miss::Stopped)), "{code:?}");
        }
    }

    #[test]
    fn a_refusal_in_the_clear_is_told_as_the_reason_of_its_address() {
        let addr = refuses(Code::Busy);
        let missed = reach(PeerKey([2; 32]), addr, &Attempt::new().expect("a descriptor"));
        let Err(Miss::Unreached(why)) = missed else { panic!("{missed:?}") };
        assert_eq!(why.to_string(), format!("{addr} is busy, cannot be called (no tracker), no relay"));
    }

    #[test]
    fn a_dial_with_a_key_that_has_been_replaced_ends_once_somebody_refuses_it() {
        let (tracker, _far) = caller_of_one_that_hangs();
        let (addr, attempt) = (refuses(Code::UnknownKey), Attempt::new().expect("a descriptor"));
        let missed = reach_while(&|| false, Some(tracker), (PeerKey([2; 32]), addr), &attempt);
        assert!(matches!(missed, Err(Miss::NotNow)), "{missed:?}");
    }

    #[test]
    fn a_dial_that_nobody_needs_any_more_ends_at_once() {
        // The listener accepts and says nothing.
        let (_silent, addr) = listener();
        let attempt = Attempt::new().expect("a descriptor");
        let dialing = {
            let attempt = attempt.clone();
            thread::spawn(move || reach(PeerKey([2; 32]), addr, &attempt))
        };
        attempt.stop();
        assert!(matches!(dialing.join().expect("no panic"), Err(Miss::Stopped)));
    }
}
