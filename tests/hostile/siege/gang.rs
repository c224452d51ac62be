//! Attackers: users that share one core and use everything that their tracker answers.

use crate::common::names::{PASSWORD, command, password, unique, user};
use groupshare::model::digest::Fingerprint;
use groupshare::model::id::ClientId;
use groupshare::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;
use groupshare::wire::connection::{self, FrameReceiver, FrameSender, TimedStream};
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::FRAME_LEN_MAX;
use groupshare::wire::handshake;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long an attacker waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// How long an attacker rests after a refused connection.
const REST: Duration = Duration::from_millis(20);

static CLIENTS: AtomicU64 = AtomicU64::new(1 << 40);

/// The attacked tracker, as the network knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub addr: SocketAddr,
    pub fingerprint: Fingerprint,
    /// The port for JSON.
    pub json: SocketAddr,
}

/// Connects from this loopback address.
pub(super) fn connect_from(from: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).ok()?;
    bind(&socket, &SocketAddr::from((from, 0))).ok()?;
    connect(&socket, &to).ok()?;
    Some(socket.into())
}

/// A connection after its handshake.
pub(super) struct Link {
    pub client: ClientId,
    pub receiver: FrameReceiver,
    pub sender: Arc<FrameSender>,
    last: u32,
}

impl Link {
    pub(super) fn to(target: &Target, from: Ipv4Addr) -> Option<Self> {
        let stream = connect_from(from, target.addr)?;
        let shaken = handshake::client_to_tracker(&mut TimedStream::new(&stream, HANDSHAKE_DEADLINE));
        let (keys, shown) = shaken.ok()?;
        assert_eq!(shown, target.fingerprint);
        let (receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, false).ok()?;
        Some(Self { client: ClientId(unique(&CLIENTS)), receiver, sender, last: 0 })
    }

    /// From now on the socket takes as little as the system allows.
    pub(super) fn narrow(&self) {
        // A system that refuses this takes more.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(self.receiver.stream(), 1);
    }

    /// Sends a request. Returns its id if the connection lasts.
    pub(super) fn tell(&mut self, request: &Request) -> Option<u32> {
        self.last += 1;
        self.sender.send(self.last, request).ok().map(|()| self.last)
    }

    /// The reply to this request. Earlier messages are skipped.
    pub(super) fn reply(&mut self, request: u32) -> Option<Reply> {
        loop {
            let frame = self.receiver.recv(ANSWER_MAX).ok()?;
            if frame.request == request {
                return frame.message().ok();
            }
        }
    }

    pub(super) fn ask(&mut self, request: &Request) -> Option<Reply> {
        let number = self.tell(request)?;
        self.reply(number)
    }

    pub(super) fn log_in(&mut self, name: &str) -> Option<Reply> {
        self.ask(&Request::Login { client: self.client, user: user(name), password: password(PASSWORD) })
    }
}

/// What all attackers share.
pub(super) struct Going {
    over: AtomicBool,
    /// How many rounds each of them does. `None` until the end.
    pub rounds: Option<usize>,
    /// How many rounds they did.
    done: AtomicU64,
}

impl Going {
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether another round follows after `done` rounds.
    pub(super) fn goes_on(&self, done: usize) -> bool {
        self.done.fetch_add(u64::from(done > 0), Ordering::Relaxed);
        !self.is_over() && self.rounds.is_none_or(|most| done < most)
    }
}

/// One attacker: a user with an address. Others may have the same one.
#[derive(Clone)]
pub(super) struct Attacker {
    pub target: Target,
    pub name: String,
    pub ip: Ipv4Addr,
    /// How many attackers there are.
    pub of: usize,
    pub going: Arc<Going>,
}

impl Attacker {
    /// A connection with the attacker logged in. Tries until it succeeds or the test ends.
    pub(super) fn link(&self) -> Option<Link> {
        self.link_and_token().map(|(link, _)| link)
    }

    pub(super) fn link_and_token(&self) -> Option<(Link, Blob<TOKEN_LEN_MAX>)> {
        loop {
            let mut link = self.stranger()?;
            if let Some(Reply::LoggedIn { token, .. }) = link.log_in(&self.name) {
                return Some((link, token));
            }
            thread::park_timeout(REST);
        }
    }

    /// One more connection with the token of an existing login.
    pub(super) fn again(&self, token: &Blob<TOKEN_LEN_MAX>) -> Option<Link> {
        loop {
            let mut link = self.stranger()?;
            let request = Request::Resume { client: link.client, token: token.clone() };
            if let Some(Reply::LoggedIn { .. }) = link.ask(&request) {
                return Some(link);
            }
            thread::park_timeout(REST);
        }
    }

    /// A connection without a login.
    pub(super) fn stranger(&self) -> Option<Link> {
        while !self.going.is_over() {
            if let Some(link) = Link::to(&self.target, self.ip) {
                return Some(link);
            }
            thread::park_timeout(REST);
        }
        None
    }

    /// Whether the account exists in the end.
    fn is_made(&self) -> bool {
        let Some(mut link) = Link::to(&self.target, self.ip) else { return false };
        let request = Request::CreateUser { command: command(), user: user(&self.name), password: password(PASSWORD) };
        matches!(link.ask(&request), Some(Reply::Done {}))
    }
}

/// How many attackers there are, and from how many addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    pub name: &'static str,
    pub users: usize,
    pub addresses: u8,
}

/// One user at one address.
pub(super) const ONE: Crowd = Crowd { name: "1 user", users: 1, addresses: 1 };
/// Users with addresses of their own.
pub(super) const TEN: Crowd = Crowd { name: "10 users", users: 10, addresses: 10 };
/// Accounts from one address.
pub(super) const HUNDRED: Crowd = Crowd { name: "100 accounts", users: 100, addresses: 1 };
/// A few users, for small scale.
pub(super) const FEW: Crowd = Crowd { name: "3 users", users: 3, addresses: 2 };

/// The action of an attacker until it has done enough.
pub(super) type Worst = fn(&Attacker);

/// Attackers at work. They end when this is dropped.
pub(super) struct Gang {
    going: Arc<Going>,
    threads: Vec<JoinHandle<()>>,
}

impl Gang {
    /// Makes the accounts.
    pub(super) fn of(crowd: Crowd, target: Target, rounds: Option<usize>) -> (Vec<Attacker>, Arc<Going>) {
        let going = Arc::new(Going { over: AtomicBool::new(false), rounds, done: AtomicU64::new(0) });
        let attackers = (0..crowd.users).map(|number| Attacker {
            target,
            name: format!("mallory{number}"),
            ip: Ipv4Addr::new(127, 66, 6, 1 + (number % usize::from(crowd.addresses)) as u8),
            of: crowd.users,
            going: going.clone(),
        });
        let attackers: Vec<_> = attackers.collect();
        attackers.iter().for_each(|attacker| assert!(attacker.is_made(), "accounts are free to make"));
        (attackers, going)
    }

    /// Starts all attackers, on one core.
    pub(super) fn start((attackers, going): (Vec<Attacker>, Arc<Going>), worst: Worst) -> Self {
        let all = going.clone();
        let leader = thread::spawn(move || {
            pin_to_one_core();
            // A new thread has the cores of the thread that starts it.
            let threads = attackers.into_iter().map(|attacker| thread::spawn(move || worst(&attacker)));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().for_each(|thread| thread.join().expect("an attacker never panics"));
        });
        Self { going: all, threads: vec![leader] }
    }

    /// Waits for the attackers to do their rounds.
    pub(super) fn finish(&mut self, by: Duration) {
        let deadline = Instant::now() + by;
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.going.done.load(Ordering::Relaxed)
    }
}

impl Drop for Gang {
    fn drop(&mut self) {
        self.going.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Keeps this thread and its children on the core of attackers.
fn pin_to_one_core() {
    keep_on("0");
}

/// Keeps this thread and its children off the core of attackers, if there is another one.
pub(super) fn keep_off_their_core() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 {
        keep_on(&format!("1-{}", cores - 1));
    }
}

/// Without `taskset` a thread has all cores.
fn keep_on(cores: &str) {
    let me = std::fs::read_link("/proc/thread-self").expect("Linux");
    let id = me.file_name().expect("an id").to_owned();
    if let Err(error) = Command::new("taskset").args(["-cp", cores]).arg(id).output() {
        println!("attackers and others have all cores, since taskset does not run: {error}");
    }
}
