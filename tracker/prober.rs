//! Checks whether clients can be reached: connects to an address and has the client there prove its key.
//!
//! The caller makes sure that an address belongs to the client itself. Otherwise a client could learn about other
//! machines this way.

use crate::model::address::{network_of, place_of};
use crate::model::id::{PeerKey, UserRef};
use crate::rate::nested_turns::{NestedBounds, NestedTurns};
use crate::sys::net::connecting::Connecting;
use crate::sys::owned_thread::OwnedThread;
use crate::sys::waker::Waker;
use crate::wire::client_tracker::ReachClass;
use crate::wire::connection::TimedStream;
use crate::wire::handshake::probe::probe_greets;
use crate::wire::handshake::{HandshakeError, is_timeout};
use crate::wire::refusal::Code;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most probes at a time: one on each thread.
const PROBES_MAX: usize = 8;
/// Sites take turns, and so do the networks of a site and the users of a network. A probe is useful for as long as its
/// client may wait for the answer.
const PROBE_BOUNDS: NestedBounds = NestedBounds { waiting: 64, age: Duration::from_secs(60) };
/// How long the probe of an address may take.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);
/// The most probes for a user within [`SPAN`].
const USER_MAX: usize = 10;
const SPAN: Duration = Duration::from_secs(60);
/// Stack of a thread, in bytes.
const STACK_LEN: usize = 256 * 1024;

/// A client to look for.
pub(crate) struct Probe {
    pub(crate) key: PeerKey,
    /// The few addresses to try in turn, until the client is found.
    pub(crate) addrs: Vec<SocketAddr>,
    /// Called with the address where the client was found, or else with the result for the first address. Called for
    /// every accepted probe, unless the tracker stops.
    pub(crate) told: Box<dyn FnOnce(SocketAddr, ReachClass) + Send>,
}

impl Probe {
    /// The address where the client is found, or else the result for the first address.
    fn find(&self, closing: &Waker) -> Option<(SocketAddr, ReachClass)> {
        let mut first = None;
        for &addr in &self.addrs {
            let found = probe(addr, self.key, PROBE_DEADLINE, closing);
            if found == ReachClass::Reached {
                return Some((addr, found));
            }
            first = first.or(Some((addr, found)));
        }
        first
    }

    /// Too many other probes came first.
    fn give_up(self) {
        if let Some(&addr) = self.addrs.first() {
            (self.told)(addr, ReachClass::NotTried);
        }
    }
}

/// The data that the threads share.
struct ProbeDesk {
    // Immutable.
    closing: Waker,
    // Locked; never while a probe runs.
    jobs: Mutex<ProbeJobs>,
    /// Notified when a probe waits, or when the tracker stops.
    changed: Condvar,
}

struct ProbeJobs {
    queue: NestedTurns<ProbeTurn, UserProbe, 3>,
    /// The users with a probe that waits or is under way: one probe each.
    users: HashSet<UserRef>,
    closed: bool,
}

/// A participant in turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ProbeTurn {
    /// A site of IPv6 or an IPv4 address, or a network in it.
    Place(IpAddr),
    User(UserRef),
}

impl ProbeTurn {
    fn path(user: UserRef, ip: IpAddr) -> [Self; 3] {
        let network = network_of(ip);
        [Self::Place(place_of(ip)), Self::Place(network), Self::User(user)]
    }
}

struct UserProbe {
    user: UserRef,
    probe: Probe,
}

impl ProbeJobs {
    /// Gives up the probes that lose their place.
    fn give_up(&mut self, dropped: Vec<UserProbe>) -> Vec<Probe> {
        let forget = |of: UserProbe| {
            self.users.remove(&of.user);
            of.probe
        };
        dropped.into_iter().map(forget).collect()
    }
}

impl ProbeDesk {
    fn run(&self) {
        while let Some((path, UserProbe { user, probe })) = self.next() {
            let found = probe.find(&self.closing);
            // Before the result is told, because the client may ask again at once.
            let mut jobs = self.jobs.lock();
            jobs.queue.done(&path);
            jobs.users.remove(&user);
            drop(jobs);
            if let Some((addr, found)) = found {
                (probe.told)(addr, found);
            }
        }
    }

    /// Waits for the probe whose turn it is. `None` when the tracker stops.
    fn next(&self) -> Option<([ProbeTurn; 3], UserProbe)> {
        let mut jobs = self.jobs.lock();
        while !jobs.closed {
            let now = Instant::now();
            let old = jobs.queue.drop_old(now);
            let turn = jobs.queue.take(now);
            let dropped = jobs.give_up(old);
            if turn.is_none() && dropped.is_empty() {
                self.changed.wait(&mut jobs);
                continue;
            }
            MutexGuard::unlocked(&mut jobs, || dropped.into_iter().for_each(Probe::give_up));
            if turn.is_some() {
                return turn;
            }
        }
        None
    }
}

/// The threads that probe, and their queue.
pub(crate) struct Prober {
    // Immutable.
    desk: Arc<ProbeDesk>,
    // Locked.
    limit: Mutex<ProbeLimit>,
    threads: Mutex<Vec<OwnedThread>>,
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober").field("open", &self.desk.jobs.lock().users.len()).finish_non_exhaustive()
    }
}

impl Prober {
    /// A prober without threads.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let jobs =
            Mutex::new(ProbeJobs { queue: NestedTurns::new(PROBE_BOUNDS), users: HashSet::new(), closed: false });
        let desk = Arc::new(ProbeDesk { closing: Waker::new()?, jobs, changed: Condvar::new() });
        Ok(Self { desk, limit: Mutex::default(), threads: Mutex::default() })
    }

    /// Starts the threads. [`Prober::close`] must be called before this is dropped.
    ///
    /// # Errors
    /// The system has no room for one.
    pub(crate) fn start(&self) -> io::Result<()> {
        for number in 1..=PROBES_MAX {
            let desk = self.desk.clone();
            let run = move || desk.run();
            self.threads.lock().push(OwnedThread::with_stack(format!("probe-{number}"), STACK_LEN, run)?);
        }
        Ok(())
    }

    /// Whether a user may start a probe now. A true result counts against the limit.
    pub(crate) fn allows(&self, user: UserRef, now: Instant) -> bool {
        self.limit.lock().allows(user, now)
    }

    /// Queues a probe of a client of this user, at this address. Returns false if a probe of the same user is under
    /// way. If too many wait, gives up the last one of the place with most.
    pub(crate) fn probe(&self, user: UserRef, from: IpAddr, probe: Probe, now: Instant) -> bool {
        let mut jobs = self.desk.jobs.lock();
        if jobs.closed || !jobs.users.insert(user) {
            return false;
        }
        let dropped = jobs.queue.put(ProbeTurn::path(user, from), UserProbe { user, probe }, now);
        let dropped = jobs.give_up(dropped);
        drop(jobs);
        self.desk.changed.notify_one();
        dropped.into_iter().for_each(Probe::give_up);
        true
    }

    /// Ends the probes that are under way, and the threads.
    pub(crate) fn close(&self) {
        let mut jobs = self.desk.jobs.lock();
        jobs.closed = true;
        jobs.queue = NestedTurns::new(PROBE_BOUNDS);
        drop(jobs);
        self.desk.changed.notify_all();
        self.desk.closing.wake();
        let threads = std::mem::take(&mut *self.threads.lock());
        // Joins them.
        drop(threads);
    }
}

/// The probes of the last minute.
#[derive(Debug, Default)]
struct ProbeLimit {
    /// The oldest is at the front. Bounded by the limits on logged-in users.
    log: VecDeque<(Instant, UserRef)>,
    of_users: HashMap<UserRef, usize>,
}

impl ProbeLimit {
    fn allows(&mut self, user: UserRef, now: Instant) -> bool {
        while let Some(&(at, user)) = self.log.front()
            && now.saturating_duration_since(at) >= SPAN
        {
            self.log.pop_front();
            let count = self.of_users.get_mut(&user).map(|count| {
                *count -= 1;
                *count
            });
            if count == Some(0) {
                self.of_users.remove(&user);
            }
        }
        let count = self.of_users.entry(user).or_default();
        let allowed = *count < USER_MAX;
        if allowed {
            *count += 1;
            self.log.push_back((now, user));
        }
        allowed
    }
}

/// Checks whether the client with this key listens at an address.
fn probe(addr: SocketAddr, key: PeerKey, within: Duration, closing: &Waker) -> ReachClass {
    let until = Instant::now() + within;
    match prove(addr, key, until, closing) {
        Ok(()) => ReachClass::Reached,
        Err(HandshakeError::Io(error)) => match error.kind() {
            ErrorKind::ConnectionRefused => ReachClass::Refused,
            ErrorKind::Interrupted => ReachClass::NotTried,
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => ReachClass::OtherProgram,
            _ if is_timeout(&error) => ReachClass::NoAnswer,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ReachClass::NoAnswer,
            _ => ReachClass::NotTried,
        },
        // It may be the client: a busy one does not say who it is.
        Err(HandshakeError::Refused(Some(Code::Busy))) => ReachClass::NotTried,
        Err(_) => ReachClass::OtherProgram,
    }
}

/// Connects and makes the client prove its key.
fn prove(addr: SocketAddr, key: PeerKey, until: Instant, closing: &Waker) -> Result<(), HandshakeError> {
    let connecting = Connecting::begin(addr, None)?;
    closing.wait_beside(&connecting, true, until)?;
    let stream = connecting.outcome()?;
    let (greeting, bytes) = probe_greets(key)?;
    let mut timed = TimedStream::until(&stream, until);
    timed.write_all(&bytes)?;
    closing.wait_beside(&stream, false, until)?;
    greeting.hear(&mut timed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{OpId, Origin};
    use crate::sys::net::connecting::tests::nobody;
    use crossbeam_channel as channel;
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn user(number: u64) -> UserRef {
        UserRef(OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: number })
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        (listener, addr)
    }

    /// A listener that says this to each connection, and keeps it open.
    fn says(what: &'static [u8]) -> SocketAddr {
        let (listener, addr) = listener();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a prober");
            let said = stream.write_all(what);
            (listener, stream, said, thread::park())
        });
        addr
    }

    fn look(addr: SocketAddr, within: Duration) -> ReachClass {
        probe(addr, PeerKey([9; 32]), within, &Waker::new().expect("a descriptor"))
    }

    #[test]
    fn a_probe_tells_a_class_and_not_the_answer() {
        let (_held, nobody) = nobody();
        assert_eq!(look(nobody, LONG), ReachClass::Refused);
        assert_eq!(look(says(b"SSH-2.0-OpenSSH_9.9\r\n"), LONG), ReachClass::OtherProgram);
        assert_eq!(
            look(says(b"\0\x30012345678901234567890123456789012345678901234567"), LONG),
            ReachClass::OtherProgram
        );
        assert_eq!(look(says(&[0, 0, 0, Code::Busy as u8]), LONG), ReachClass::NotTried);
        assert_eq!(look(says(b""), Duration::from_millis(50)), ReachClass::NoAnswer);
        let (leaves, addr) = listener();
        let leaving = thread::spawn(move || drop(leaves.accept()));
        assert_eq!(look(addr, LONG), ReachClass::OtherProgram);
        leaving.join().expect("no panic");
    }

    #[test]
    fn a_tracker_that_stops_waits_for_no_probe() {
        let prober = Prober::new().expect("a descriptor");
        prober.start().expect("threads");
        let ((tell, told), begun) = (channel::unbounded(), Instant::now());
        for number in 0..PROBES_MAX as u64 {
            let (addr, tell) = (says(b""), tell.clone());
            let told = Box::new(move |_, found| tell.send(found).unwrap_or_default());
            assert!(prober.probe(user(number), HERE, Probe { key: PeerKey([9; 32]), addrs: vec![addr], told }, begun));
        }
        prober.close();
        assert!(begun.elapsed() < PROBE_DEADLINE, "{:?}", begun.elapsed());
        assert!(told.try_iter().all(|found| found == ReachClass::NotTried));
        let late = Probe { key: PeerKey([9; 32]), addrs: vec![says(b"")], told: Box::new(|_, _| {}) };
        assert!(!prober.probe(user(99), HERE, late, begun));
    }

    #[test]
    fn a_crowd_at_one_address_leaves_probes_to_others() {
        let prober = Prober::new().expect("a descriptor");
        let given_up: Arc<Mutex<Vec<u64>>> = Arc::default();
        let now = Instant::now();
        let put = |number: u64, from: [u8; 4]| {
            let given_up = given_up.clone();
            let told = Box::new(move |_, _| given_up.lock().push(number));
            let addrs = vec![SocketAddr::from((from, 9))];
            prober.probe(user(number), from.into(), Probe { key: PeerKey([9; 32]), addrs, told }, now)
        };
        let crowd = PROBE_BOUNDS.waiting as u64 + 36;
        assert!((0..crowd).all(|number| put(number, [192, 0, 2, 1])));
        assert_eq!(given_up.lock().len(), 36, "they hear at once that there is no room");
        given_up.lock().clear();
        assert!(put(1000, [192, 0, 2, 2]) && put(1001, [192, 0, 2, 3]));
        assert!(given_up.lock().iter().all(|number| *number < crowd), "{:?}", given_up.lock());
        let next: Vec<UserRef> = (0..3).filter_map(|_| prober.desk.next()).map(|(_, turn)| turn.user).collect();
        assert!(next.contains(&user(1000)) && next.contains(&user(1001)), "{next:?}");
    }

    #[test]
    fn a_user_has_one_probe_that_waits() {
        let prober = Prober::new().expect("a descriptor");
        let probe = || Probe { key: PeerKey([9; 32]), addrs: Vec::new(), told: Box::new(|_, _| {}) };
        let now = Instant::now();
        assert!(prober.probe(user(1), HERE, probe(), now) && !prober.probe(user(1), HERE, probe(), now));
        assert!(prober.probe(user(2), HERE, probe(), now));
    }

    #[test]
    fn a_client_that_waits_in_vain_hears_that_nothing_was_tried() {
        let prober = Prober::new().expect("a descriptor");
        let (tell, told) = channel::unbounded();
        let (nobody, now) = (SocketAddr::from(([192, 0, 2, 1], 9)), Instant::now());
        let put = |number, now| {
            let tell = tell.clone();
            let told = Box::new(move |addr, found| tell.send((number, addr, found)).unwrap_or_default());
            assert!(prober.probe(user(number), HERE, Probe { key: PeerKey([9; 32]), addrs: vec![nobody], told }, now));
        };
        put(1, now);
        put(2, now + PROBE_BOUNDS.age);
        assert!(told.try_recv().is_err(), "both wait");
        put(3, now + PROBE_BOUNDS.age + Duration::from_millis(1));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [(1, nobody, ReachClass::NotTried)]);
    }

    #[test]
    fn a_user_has_ten_probes_a_minute() {
        let (mut limit, begun) = (ProbeLimit::default(), Instant::now());
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        assert!((0..USER_MAX as u64).all(|second| limit.allows(user(1), at(second))));
        assert!(!limit.allows(user(1), at(59)), "the eleventh");
        assert!(limit.allows(user(2), at(59)), "another user");
        assert!(limit.allows(user(1), at(60)) && !limit.allows(user(1), at(60)));
        assert!(limit.allows(user(2), at(600)) && limit.of_users.len() == 1, "what is over is forgotten");
    }
}
