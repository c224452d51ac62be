//! Dials several addresses of one member at once, with a head start for the likely one (RFC 8305), on one thread. Other
//! ways to the same member join the race: sockets that both sides dial at the same moment, and a relayed one.
//!
//! An address counts only after a handshake has proved the member. Another host may answer at an address that has
//! changed hands, or may accept connections and say nothing.

pub mod dial_fault;
mod moved;
pub(crate) mod outlet;

use super::port::ListeningPort;
use super::punch::pace::{KnockPace, LOCAL_PAUSE};
use super::way::Way;
use crate::model::id::RelayTicket;
use crate::sys::net::connecting::Connecting;
use crate::sys::waker::Waker;
use crate::wire::deadlines::HANDSHAKE_DEADLINE;
use crate::wire::handshake::peer::PeerGreeting;
use crate::wire::handshake::{HandshakeError, answer_len};
use crate::wire::mirror::{mirror_greeting, take_mirrored};
use crate::wire::relay::{relay_greeting, take_relay_answer};
use crate::wire::transport_keys::TransportKeys;
use dial_fault::{AddressFault, DialFault};
use outlet::Outlet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long each address waits after the address before it. It does not wait if that address has failed.
const HEAD_START: Duration = Duration::from_millis(100);
/// A member that has not accepted the connection within this time counts as gone.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long both sides wait for a tracker to show how a connection is seen. After that they dial without this
/// knowledge.
const MIRROR_DEADLINE: Duration = Duration::from_secs(2);

/// A connection after a handshake with the right client.
#[derive(Debug)]
pub struct Dialed {
    pub stream: TcpStream,
    pub addr: SocketAddr,
    pub way: Way,
    pub keys: TransportKeys,
}

/// Why a race pauses or ends.
#[derive(Debug)]
pub enum RaceTurn {
    /// The first address with a handshake of the right client. All other connections are closed.
    Met(Box<Dialed>),
    /// Every address has failed.
    Failed,
    /// It is now known how others see the port for meeting, or it will stay unknown.
    Mirrored,
    /// The waker was woken, and is cleared.
    Woken,
    /// The given time has come.
    Due,
}

/// Begins the handshake of one connection. Returns the parser of the answer and the first message.
type Begin<'a> = dyn Fn() -> Result<(PeerGreeting, Vec<u8>), HandshakeError> + 'a;

/// One address in the race.
struct Attempt {
    addr: SocketAddr,
    target: Target,
    deadline: Instant,
    stage: Stage,
}

/// The purpose of a connection.
#[derive(Clone, Copy)]
enum Target {
    /// The member's address.
    Member,
    /// The member's address, until this time, while the member dials too.
    Meeting(Instant, KnockPace),
    /// A tracker with the relay.
    Relay(RelayTicket),
    /// A tracker that shows how it sees the connection.
    Mirror,
}

impl Target {
    fn way(self) -> Way {
        match self {
            Target::Member => Way::Direct,
            Target::Meeting(..) | Target::Mirror => Way::Punched,
            Target::Relay(_) => Way::Relayed,
        }
    }
}

enum Stage {
    /// The attempt was rejected, and is dialed again at this time.
    Resting(Instant),
    Connecting(Connecting),
    /// The relay has the ticket. These bytes of its answer have come.
    AtRelay {
        stream: TcpStream,
        heard: Vec<u8>,
    },
    /// The tracker has the question. These bytes of its answer have come.
    AtMirror {
        stream: TcpStream,
        heard: Vec<u8>,
    },
    /// The first message is sent. These bytes of the answer have come.
    Greeting {
        stream: TcpStream,
        greeting: Box<PeerGreeting>,
        heard: Vec<u8>,
    },
}

impl Attempt {
    fn poll_fd(&self) -> Option<PollFd<'_>> {
        match &self.stage {
            Stage::Resting(_) => None,
            Stage::Connecting(socket) => Some(PollFd::new(socket, PollFlags::OUT)),
            Stage::AtRelay { stream, .. } | Stage::AtMirror { stream, .. } | Stage::Greeting { stream, .. } => {
                Some(PollFd::new(stream, PollFlags::IN))
            }
        }
    }

    /// When the attempt has something to do without an event.
    fn due(&self) -> Instant {
        match self.stage {
            Stage::Resting(again) => again.min(self.deadline),
            _ => self.deadline,
        }
    }

    /// Goes on as far as possible without waiting.
    fn go_on(self, begin: &Begin<'_>, now: Instant) -> Result<Progress, AddressFault> {
        let Self { addr, target, deadline, stage } = self;
        let fault = |fault| AddressFault { addr, fault };
        let goes_on = |deadline, stage| Ok(Progress::GoesOn(Self { addr, target, deadline, stage }));
        match stage {
            Stage::Resting(again) => goes_on(deadline, Stage::Resting(again)),
            Stage::Connecting(socket) => {
                let stream = socket.outcome().map_err(|error| fault(DialFault::Connect(error)))?;
                let stage = match target {
                    Target::Relay(ticket) => at_relay(stream, ticket),
                    Target::Mirror => at_mirror(stream),
                    Target::Member | Target::Meeting(..) => greeted(stream, begin),
                };
                let deadline = if matches!(target, Target::Mirror) { deadline } else { now + HANDSHAKE_DEADLINE };
                goes_on(deadline, stage.map_err(|error| fault(DialFault::Handshake(error)))?)
            }
            Stage::AtRelay { mut stream, mut heard } => {
                let there = take_relay_answer(&mut stream, &mut heard);
                if there.map_err(|error| fault(DialFault::Handshake(error)))? {
                    let stage = greeted(stream, begin).map_err(|error| fault(DialFault::Handshake(error)))?;
                    return goes_on(now + HANDSHAKE_DEADLINE, stage);
                }
                goes_on(deadline, Stage::AtRelay { stream, heard })
            }
            Stage::AtMirror { mut stream, mut heard } => {
                let seen = take_mirrored(&mut stream, &mut heard);
                Ok(match seen.map_err(|error| fault(DialFault::Handshake(error)))? {
                    None => Progress::GoesOn(Self { addr, target, deadline, stage: Stage::AtMirror { stream, heard } }),
                    Some(seen) => Progress::Mirrored(Outlet::of(stream, seen)),
                })
            }
            Stage::Greeting { mut stream, greeting, mut heard } => {
                let whole = hear(&mut stream, &mut heard).map_err(|error| fault(DialFault::Handshake(error)))?;
                if !whole {
                    return goes_on(deadline, Stage::Greeting { stream, greeting, heard });
                }
                let keys = greeting.hear(&heard).and_then(|keys| {
                    stream.set_nonblocking(false)?;
                    Ok(keys)
                });
                let keys = keys.map_err(|error| fault(DialFault::Handshake(error)))?;
                Ok(Progress::Met(Box::new(Dialed { stream, addr, way: target.way(), keys })))
            }
        }
    }
}

/// Begins the handshake. Nothing was sent before, so the first message fits into the empty socket buffer.
fn greeted(mut stream: TcpStream, begin: &Begin<'_>) -> Result<Stage, HandshakeError> {
    stream.set_nonblocking(true)?;
    let (greeting, hello) = begin()?;
    stream.write_all(&hello)?;
    Ok(Stage::Greeting { stream, greeting: Box::new(greeting), heard: Vec::new() })
}

/// Sends the ticket.
fn at_relay(mut stream: TcpStream, ticket: RelayTicket) -> Result<Stage, HandshakeError> {
    stream.set_nonblocking(true)?;
    stream.write_all(&relay_greeting(ticket))?;
    Ok(Stage::AtRelay { stream, heard: Vec::new() })
}

/// Asks how the tracker sees the connection.
fn at_mirror(mut stream: TcpStream) -> Result<Stage, HandshakeError> {
    stream.set_nonblocking(true)?;
    stream.write_all(&mirror_greeting())?;
    Ok(Stage::AtMirror { stream, heard: Vec::new() })
}

/// The result of an attempt that went on.
enum Progress {
    GoesOn(Attempt),
    Mirrored(Option<Outlet>),
    Met(Box<Dialed>),
}

/// Reads the available bytes of an answer, and none behind it. Returns whether the answer is complete.
fn hear(stream: &mut impl Read, heard: &mut Vec<u8>) -> Result<bool, HandshakeError> {
    loop {
        let (had, len) = (heard.len(), answer_len(heard)?);
        if had >= len {
            return Ok(true);
        }
        heard.resize(len, 0);
        let read = stream.read(&mut heard[had..]);
        heard.truncate(had + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The race between the addresses of one member. Dropping it closes all connections in the making.
pub struct Race<'a> {
    begin: Box<Begin<'a>>,
    /// The port of dials to addresses that also dial back. A port for this race alone, if there is one, replaces the
    /// listening port.
    port: Option<&'a ListeningPort>,
    outlet: Option<Outlet>,
    /// Whether a tracker is being asked how others see a port.
    is_mirroring: bool,
    /// Not dialed yet.
    waiting: VecDeque<SocketAddr>,
    /// When to dial the next address.
    next: Instant,
    attempts: Vec<Attempt>,
    faults: Vec<AddressFault>,
}

impl fmt::Debug for Race<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race").field("waiting", &self.waiting).field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl<'a> Race<'a> {
    /// A race that dials nothing yet. The likely address is the first; a repeated address is dialed once. `begin`
    /// begins the handshake of each connection.
    pub fn new(addrs: &[SocketAddr], begin: impl Fn() -> Result<(PeerGreeting, Vec<u8>), HandshakeError> + 'a) -> Self {
        let mut waiting = VecDeque::with_capacity(addrs.len());
        for addr in addrs {
            if !waiting.contains(addr) {
                waiting.push_back(*addr);
            }
        }
        let (attempts, faults) = (Vec::new(), Vec::new());
        let (port, outlet, is_mirroring) = (None, None, false);
        let (begin, next) = (Box::new(begin), Instant::now());
        Self { begin, port, outlet, is_mirroring, waiting, next, attempts, faults }
    }

    /// Takes a port for meeting, and asks a tracker how others see it. [`RaceTurn::Mirrored`] follows, unless the
    /// member is met before.
    pub(super) fn mirror(&mut self, tracker: SocketAddr, port: &ListeningPort) {
        self.is_mirroring = true;
        let free = port.source(tracker).map(|from| SocketAddr::new(from.ip(), 0));
        if let Some(socket) = free.and_then(|free| Connecting::begin(tracker, Some(free)).ok()) {
            let (deadline, stage) = (Instant::now() + MIRROR_DEADLINE, Stage::Connecting(socket));
            self.attempts.push(Attempt { addr: tracker, target: Target::Mirror, deadline, stage });
        }
    }

    /// The port for meeting, if it is known how others see it.
    pub(super) fn outlet(&self) -> Option<&Outlet> {
        self.outlet.as_ref()
    }

    /// Gives the port up if others see it at another IP than this.
    pub(super) fn keep_outlet_of(&mut self, ip: Option<IpAddr>) {
        self.outlet = self.outlet.take().filter(|outlet| Some(outlet.seen().addr.ip()) == ip);
    }

    /// Dials these addresses from the port for meeting a few times, in the given time. The member does so too.
    pub(super) fn meet(&mut self, addrs: &[SocketAddr], port: &'a ListeningPort, (from, until): (Instant, Instant)) {
        self.port = Some(port);
        let target = Target::Meeting(until, KnockPace::default());
        let attempt = |&addr| Attempt { addr, target, deadline: until, stage: Stage::Resting(from) };
        self.attempts.extend(addrs.iter().map(attempt));
    }

    /// Stops dialing addresses that also dial back.
    pub(super) fn stop_meeting(&mut self) {
        self.attempts.retain(|attempt| attempt.target.way() != Way::Punched);
    }

    /// Shakes hands on a socket from the member, which has dialed at the same time as this side.
    pub(super) fn adopt(&mut self, stream: TcpStream, addr: SocketAddr) {
        if let Ok(stage) = greeted(stream, &*self.begin) {
            let deadline = Instant::now() + HANDSHAKE_DEADLINE;
            // The address is not dialed again.
            let target = Target::Meeting(Instant::now(), KnockPace::default());
            self.attempts.push(Attempt { addr, target, deadline, stage });
        }
    }

    /// Goes to the relay of this tracker.
    pub(super) fn relay(&mut self, tracker: SocketAddr, ticket: RelayTicket) {
        // A relay that cannot be dialed is a failed way.
        if let Ok(socket) = Connecting::begin(tracker, None) {
            let (deadline, stage) = (Instant::now() + CONNECT_DEADLINE, Stage::Connecting(socket));
            self.attempts.push(Attempt { addr: tracker, target: Target::Relay(ticket), deadline, stage });
        }
    }

    /// Whether every address of the member has failed.
    pub(super) fn is_direct_over(&self) -> bool {
        self.waiting.is_empty() && self.attempts.iter().all(|attempt| attempt.target.way() != Way::Direct)
    }

    /// The failed addresses so far, in the order of their failures.
    pub fn faults(&self) -> &[AddressFault] {
        &self.faults
    }

    /// The failed addresses.
    pub fn into_faults(self) -> Vec<AddressFault> {
        self.faults
    }

    /// Whether no address is left.
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.attempts.is_empty() && !self.is_mirroring
    }

    /// Dials until the right client is met, every address has failed, `waker` is woken, or `until` has come. After the
    /// last two, the caller may call it again.
    pub fn run(&mut self, until: Option<Instant>, waker: Option<&Waker>) -> RaceTurn {
        loop {
            let now = Instant::now();
            self.dial_next(now);
            self.expire(now);
            self.dial_again(now);
            let mirrors = |attempt: &Attempt| matches!(attempt.target, Target::Mirror);
            if self.is_mirroring && !self.attempts.iter().any(mirrors) {
                self.is_mirroring = false;
                return RaceTurn::Mirrored;
            }
            if self.is_over() {
                return RaceTurn::Failed;
            }
            if until.is_some_and(|until| now >= until) {
                return RaceTurn::Due;
            }
            match self.wait(until, waker) {
                Ready::Woken => return RaceTurn::Woken,
                Ready::Attempts(ready) => {
                    if let Some(dialed) = self.go_on(&ready) {
                        self.waiting.clear();
                        self.attempts.clear();
                        return RaceTurn::Met(dialed);
                    }
                }
            }
        }
    }

    /// Dials the addresses that are due.
    fn dial_next(&mut self, now: Instant) {
        while now >= self.next
            && let Some(addr) = self.waiting.pop_front()
        {
            match Connecting::begin(addr, None) {
                Ok(socket) => {
                    let stage = Stage::Connecting(socket);
                    let (target, deadline) = (Target::Member, now + CONNECT_DEADLINE);
                    self.attempts.push(Attempt { addr, target, deadline, stage });
                    self.next = now + HEAD_START;
                }
                Err(error) => self.faults.push(AddressFault { addr, fault: DialFault::Connect(error) }),
            }
        }
    }

    /// Removes the attempts that are out of time.
    fn expire(&mut self, now: Instant) {
        let over = self.attempts.extract_if(.., |attempt| now >= attempt.deadline);
        // A failure of another way is no fault of an address.
        for Attempt { addr, stage, .. } in over.filter(|attempt| attempt.target.way() == Way::Direct) {
            let error = io::ErrorKind::TimedOut.into();
            let fault = match stage {
                Stage::Resting(_) | Stage::Connecting(_) => DialFault::Connect(error),
                Stage::AtRelay { .. } | Stage::AtMirror { .. } | Stage::Greeting { .. } => {
                    DialFault::Handshake(HandshakeError::Io(error))
                }
            };
            self.faults.push(AddressFault { addr, fault });
        }
    }

    /// Dials rejected attempts again after their rest.
    fn dial_again(&mut self, now: Instant) {
        for attempt in &mut self.attempts {
            if matches!(attempt.stage, Stage::Resting(again) if again <= now) {
                let from = self.port.and_then(|port| port.source(attempt.addr));
                let from = from.map(|from| self.outlet.as_ref().map_or(from, |outlet| outlet.instead_of(from)));
                attempt.stage = match Connecting::begin(attempt.addr, from) {
                    Ok(socket) => Stage::Connecting(socket),
                    Err(_) => Stage::Resting(now + LOCAL_PAUSE),
                };
            }
        }
    }

    /// Waits for the next step. Returns which attempts can go on.
    fn wait(&self, until: Option<Instant>, waker: Option<&Waker>) -> Ready {
        let deadlines = self.attempts.iter().map(Attempt::due);
        let next = (!self.waiting.is_empty()).then_some(self.next);
        let end = deadlines.chain(next).chain(until).min();
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds: Vec<_> = self.attempts.iter().filter_map(Attempt::poll_fd).collect();
        fds.extend(waker.map(|waker| PollFd::from_borrowed_fd(waker.as_fd(), PollFlags::IN)));
        // After an interruption the loop looks again, as after a due time.
        let some = matches!(poll(&mut fds, timeout.as_ref()), Ok(1..));
        let is_ready = |fd: &PollFd<'_>| some && !fd.revents().is_empty();
        match (waker, fds.last()) {
            (Some(waker), Some(fd)) if is_ready(fd) => {
                waker.clear();
                Ready::Woken
            }
            _ => {
                let mut fds = fds.iter();
                let ready = |attempt: &Attempt| attempt.poll_fd().is_some() && fds.next().is_some_and(is_ready);
                Ready::Attempts(self.attempts.iter().map(ready).collect())
            }
        }
    }

    /// Goes on with the attempts that can.
    fn go_on(&mut self, ready: &[bool]) -> Option<Box<Dialed>> {
        let now = Instant::now();
        for (attempt, ready) in std::mem::take(&mut self.attempts).into_iter().zip(ready) {
            if !ready {
                self.attempts.push(attempt);
                continue;
            }
            let (addr, target) = (attempt.addr, attempt.target);
            match (attempt.go_on(&*self.begin, now), target) {
                (Ok(Progress::GoesOn(attempt)), _) => self.attempts.push(attempt),
                (Ok(Progress::Mirrored(outlet)), _) => self.outlet = outlet,
                (Ok(Progress::Met(dialed)), _) => return Some(dialed),
                // The far side may reject this dial because it has not dialed yet itself. A later attempt gets through.
                (Err(AddressFault { fault, .. }), Target::Meeting(until, mut pace)) if now < until => {
                    let pause = match fault {
                        DialFault::Connect(_) => pace.rejected(),
                        DialFault::Handshake(_) => pace.met_another(),
                    };
                    if let Some(pause) = pause {
                        let (target, stage) = (Target::Meeting(until, pace), Stage::Resting(now + pause));
                        self.attempts.push(Attempt { addr, target, deadline: until, stage });
                    }
                }
                (Err(_), Target::Meeting(..) | Target::Relay(_) | Target::Mirror) => {}
                (Err(fault), Target::Member) => {
                    self.faults.push(fault);
                    // The next address does not have to wait for its turn.
                    self.next = now;
                }
            }
        }
        None
    }
}

/// Why a wait has ended.
enum Ready {
    Woken,
    /// Whether each attempt can go on.
    Attempts(Vec<bool>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::reach::identity::tests::certified;
    use crate::model::digest::KeyId;
    use crate::model::id::PeerKey;
    use crate::sys::net::connecting::tests::nobody;
    use crate::wire::handshake::peer::{peer_accepts, peer_greets};
    use crate::wire::handshake::{Secret, public_key, refusal_in_clear};
    use crate::wire::mirror::{Mirrored, mirror_answer};
    use crate::wire::refusal::Code;
    use std::net::TcpListener;
    use std::thread;

    const KEY: (KeyId, Secret) = (KeyId([7; 16]), Secret([7; 32]));
    const MEMBER: Secret = Secret([8; 32]);
    const LONG: Duration = Duration::from_secs(60);

    fn race(addrs: &[SocketAddr]) -> Race<'static> {
        let (me, their) = (certified(1).shown().expect("certified"), PeerKey(public_key(&MEMBER)));
        Race::new(addrs, move || peer_greets(&me, their, (KEY.0, &KEY.1)))
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        (listener, addr)
    }

    #[test]
    fn the_client_keeps_the_address_a_tracker_shows_and_waits_for_no_silent_one() {
        let port = ListeningPort::share(&listener().0).expect("bound");
        let (tracker, at) = listener();
        let seen = Mirrored { addr: ([192, 0, 2, 7], 51_000).into(), token: [7; 40] };
        let answers = [mirror_answer(seen), refusal_in_clear(Code::Busy).to_vec(), Vec::new()];
        let shows = thread::spawn(move || {
            answers.map(|answer| {
                let (mut stream, from) = tracker.accept().expect("asked");
                stream.read_exact(&mut [0; 11]).expect("the preface");
                stream.write_all(&answer).expect("room");
                from
            })
        });
        let mut sources = Vec::new();
        for _ in 0..3 {
            let mut race = race(&[]);
            race.mirror(at, &port);
            assert!(!race.is_over() && matches!(race.run(None, None), RaceTurn::Mirrored) && race.is_over());
            sources.push(race.outlet().map(|outlet| (outlet.instead_of(at).port(), outlet.seen())));
            race.keep_outlet_of(Some(at.ip()));
            assert!(race.outlet().is_none(), "it is seen elsewhere than the client");
        }
        let from = shows.join().expect("no panic");
        assert_eq!(sources, [Some((from[0].port(), seen)), None, None]);
        assert!(from.iter().all(|from| from.port() != port.addr().port()));
    }

    /// A member that shakes hands with every visitor, until the test ends.
    fn member() -> SocketAddr {
        let (listener, addr) = listener();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("connected");
                // A race that has found another address leaves.
                let _ = peer_accepts(&mut stream, &MEMBER, |_, _| Ok(KEY.1));
            }
        });
        addr
    }

    /// A host that sends this to every visitor, and keeps the connections.
    fn says(what: &'static [u8]) -> SocketAddr {
        let (listener, addr) = listener();
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("connected");
                stream.write_all(what).expect("room");
                held.push(stream);
            }
        });
        addr
    }

    /// An address that neither accepts nor refuses, as behind a firewall that drops packets.
    fn silent() -> (TcpListener, Vec<Connecting>, SocketAddr) {
        let (listener, addr) = listener();
        rustix::net::listen(&listener, 0).expect("it listens");
        let full = (0..4).map(|_| Connecting::begin(addr, None).expect("begun")).collect();
        (listener, full, addr)
    }

    fn met(race: &mut Race<'_>) -> Box<Dialed> {
        match race.run(Some(Instant::now() + LONG), None) {
            RaceTurn::Met(dialed) => dialed,
            other => panic!("{other:?}: {:?}", race.faults()),
        }
    }

    fn words(race: &Race<'_>) -> Vec<String> {
        race.faults().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_address_at_which_the_member_is_wins_and_the_others_say_why_not() {
        let ((_held, refuses), here) = (nobody(), member());
        let mut race = race(&[refuses, here, refuses]);
        let dialed = met(&mut race);
        assert_eq!((dialed.addr, words(&race)), (here, vec![format!("{refuses} refused the connection")]));
        assert!(race.is_over());
    }

    #[test]
    fn an_address_that_says_nothing_holds_nobody_up() {
        let (_listener, _full, drops) = silent();
        let (accepts, here) = (says(b""), member());
        let began = Instant::now();
        assert_eq!(met(&mut race(&[drops, accepts, here])).addr, here);
        assert!(began.elapsed() < CONNECT_DEADLINE, "{:?}", began.elapsed());
    }

    #[test]
    fn an_address_at_which_somebody_else_answers_does_not_win() {
        let others: [(&[u8], &str); 6] = [
            (b"HTTP/1.1 400 Bad Request", "is another program"),
            (b"\0\x30012345678901234567890123456789012345678901234567", "is another client"),
            (&refusal_in_clear(Code::Busy), "is busy"),
            (&[0, 0, 255, 255], "is another program"),
            (&[0, 1, 7], "is another client"),
            (&[0, 0], "does not answer"),
        ];
        let here = member();
        for (said, words) in others {
            let said: &'static [u8] = said.to_vec().leak();
            let other = says(said);
            let mut race = race(&[other, here]);
            assert_eq!(met(&mut race).addr, here);
            let faults: Vec<_> = race.faults().iter().map(ToString::to_string).collect();
            assert!(faults.is_empty() || faults == [format!("{other} {words}")], "{faults:?}");
        }
    }

    #[test]
    fn every_address_has_its_own_failure_in_words() {
        let ((_held, refuses), busy) = (nobody(), says(refusal_in_clear(Code::Busy).to_vec().leak()));
        let (unknown, web) = (says(refusal_in_clear(Code::UnknownKey).to_vec().leak()), says(b"HTTP/1.1 400"));
        let nowhere: SocketAddr = "[::ffff:0.0.0.1]:1".parse().expect("an address");
        let mut race = race(&[refuses, busy, unknown, web, nowhere]);
        assert!(matches!(race.run(None, None), RaceTurn::Failed));
        let mut faults = words(&race);
        faults.sort();
        let mut expected = vec![
            format!("{refuses} refused the connection"),
            format!("{busy} is busy"),
            format!("{unknown} refused: {}", Code::UnknownKey.words()),
            format!("{web} is another program"),
        ];
        expected.sort();
        faults.retain(|fault| !fault.starts_with(&nowhere.to_string()));
        assert_eq!(faults, expected);
        assert_eq!(race.into_faults().len(), 5);
    }

    #[test]
    fn an_address_at_which_both_are_to_meet_is_dialed_a_few_times() {
        let port = ListeningPort::share(&listener().0).expect("bound");
        let ((_held, refuses), (web, at)) = (nobody(), listener());
        let mut race = race(&[]);
        let now = Instant::now();
        race.meet(&[refuses, at], &port, (now, now + LONG));
        let came = thread::spawn(move || {
            let mut came = 0;
            for stream in web.incoming() {
                let mut stream = stream.expect("connected");
                let mut said = [0; 5];
                match stream.read_exact(&mut said) {
                    Ok(()) if said == *b"leave" => return came,
                    _ => came += 1,
                }
                // The reader of this may leave first.
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request");
            }
            came
        });
        assert!(matches!(race.run(Some(now + LONG), None), RaceTurn::Failed));
        assert!(race.faults().is_empty(), "it says nothing of an address that both were to meet there");
        TcpStream::connect(at).and_then(|mut stream| stream.write_all(b"leave")).expect("it listens");
        assert_eq!(came.join().expect("no panic"), 3);
    }

    #[test]
    fn the_race_stops_for_a_waker_and_for_the_time_and_goes_on_after_that() {
        let (_listener, _full, drops) = silent();
        let waker = Waker::new().expect("a descriptor");
        let mut race = race(&[drops]);
        waker.wake();
        assert!(matches!(race.run(None, Some(&waker)), RaceTurn::Woken));
        assert!(matches!(race.run(Some(Instant::now() + HEAD_START), Some(&waker)), RaceTurn::Due));
        race.expire(Instant::now() + CONNECT_DEADLINE);
        assert!(matches!(race.run(None, Some(&waker)), RaceTurn::Failed));
        assert_eq!(words(&race), [format!("{drops} does not answer")]);
    }

    #[test]
    fn of_an_answer_nothing_is_read_that_comes_after_it() {
        let mut heard = Vec::new();
        let mut said: &[u8] = &[0, 3, 1, 2, 3, 9, 9];
        assert!(hear(&mut said, &mut heard).expect("whole"));
        assert_eq!((heard, said), (vec![0, 3, 1, 2, 3], &[9, 9][..]));
        let mut cut: &[u8] = &[0, 3, 1];
        let cut = hear(&mut cut, &mut Vec::new()).expect_err("cut");
        assert!(matches!(cut, HandshakeError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof));
    }
}
