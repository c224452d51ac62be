//! A full house: the cost of thousands of idle logged-in clients for a tracker, and their effect on the active ones.
//! Also a storm of connections, and strangers that connect and stay silent.
//! `cargo bench -- load idle=10000 rounds=5 only=idle,storm,silent`.

use crate::common::client::Client;
use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::kit::options::Options;
use crate::kit::table::{Table, median};
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::handshake::HandshakeError;
use groupshare::wire::refusal::Code;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Clients that send requests all the time.
const ACTIVE: usize = 64;
/// File descriptors of a tracker that are not for connections. Each connection needs two.
const DESCRIPTORS_KEPT: u64 = 512;
/// The number of groups in the list.
const GROUPS: usize = 50;
/// How long the answers of one round are timed.
const MEASURED: Duration = Duration::from_secs(2);
/// How many scrapes of the metrics are timed.
const SCRAPES: usize = 20;
/// The longest median time of a scrape that passes.
const SCRAPE_MAX: Duration = Duration::from_millis(20);
/// How often an idle client sends a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Connections from one address of this machine. A tracker accepts more.
const PER_ADDRESS: usize = 400;
/// Active clients of one address. An hour allows more new accounts there.
const ACTIVE_PER_ADDRESS: usize = 4;
/// Idle clients of one user. More may log in without a pause.
const PER_USER: usize = 90;
/// Connections of a storm.
const STORM: usize = 2_000;
/// Threads that open the connections.
const OPENERS: usize = 100;
/// Strangers. A tracker accepts fewer connections without a login.
const SILENT: usize = 4_200;

/// A socket for the connection with this number, from its address of this machine.
fn socket_from(network: u8, number: usize, to: SocketAddr) -> Result<TcpStream, HandshakeError> {
    let SocketAddr::V4(to) = to else { panic!("an installation has IPv4 addresses") };
    let place = (number / PER_ADDRESS) as u8;
    let from = SocketAddrV4::new(Ipv4Addr::new(127, network, 1 + place, 1), 0);
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).map_err(std::io::Error::from)?;
    bind(&socket, &from).and_then(|()| connect(&socket, &to)).map_err(std::io::Error::from)?;
    Ok(socket.into())
}

/// A tracker as its users run it, with active clients.
struct House {
    installation: Installation,
    tracker: Program,
    active: Vec<Client>,
    /// The address of the metrics.
    door: SocketAddr,
}

impl House {
    fn start() -> Self {
        let installation = Installation::of(2);
        let (own, door) = (installation.addrs[0], installation.addrs[1]);
        installation.list(&format!("{own}\n"));
        let mut tracker = Program::start(&mut installation.command(&["--metrics", &door.to_string()]));
        tracker.expect(&format!("metrics on {door}"));
        let mut active: Vec<_> = (0..ACTIVE)
            .map(|number| {
                let stream = socket_from(5, number * PER_ADDRESS / ACTIVE_PER_ADDRESS, own).expect("it runs");
                let mut client = Client::over_to(stream, installation.fingerprint()).expect("let in");
                client.create_user(&format!("active{number}"));
                client.log_in(&format!("active{number}"));
                client
            })
            .collect();
        (0..GROUPS).for_each(|number| active[0].create_group(&format!("group{number:02}")));
        Self { installation, tracker, active, door }
    }

    fn addr(&self) -> SocketAddr {
        self.installation.addrs[0]
    }

    /// All active clients list the groups for a while, each as fast as the answers come. Returns the 99th percentile of
    /// the answer times, and the number of answers per second.
    fn ask(&mut self) -> (Duration, f64) {
        let begun = Instant::now();
        let mut times: Vec<Duration> = thread::scope(|scope| {
            let asking: Vec<_> =
                self.active.iter_mut().map(|client| scope.spawn(move || list(client, begun))).collect();
            asking.into_iter().flat_map(|thread| thread.join().expect("answered")).collect()
        });
        times.sort_unstable();
        (times[times.len() * 99 / 100], times.len() as f64 / begun.elapsed().as_secs_f64())
    }
}

/// The time and the length of a scrape.
fn scrape(door: SocketAddr) -> (Duration, usize) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(door).expect("it answers");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: tracker\r\n\r\n").expect("taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    (begun.elapsed(), answer.len())
}

/// Prints how long a scrape takes, and fails if that is too long.
fn measure_scrapes(door: SocketAddr, idle: usize) {
    let mut scrapes: Vec<_> = (0..SCRAPES).map(|_| scrape(door)).collect();
    scrapes.sort_unstable();
    let (middle, bytes) = scrapes[SCRAPES / 2];
    println!(
        "a scrape beside {idle} idle clients: {:.2} ms in the median of {SCRAPES}, {:.2} ms at most, {bytes} bytes",
        middle.as_secs_f64() * 1e3,
        scrapes[SCRAPES - 1].0.as_secs_f64() * 1e3,
    );
    assert!(middle < SCRAPE_MAX, "a scrape takes {middle:?}");
}

fn list(client: &mut Client, begun: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    while begun.elapsed() < MEASURED {
        let start = Instant::now();
        match client.ask(Request::ListGroups { after: None }) {
            Reply::Groups { groups, more: false } => assert_eq!(groups.len(), GROUPS),
            other => panic!("{other:?}"),
        }
        times.push(start.elapsed());
    }
    times
}

/// Logs in this many clients by tokens of a few users. A login by password is slow on purpose.
fn idle_clients(house: &House, count: usize) -> Vec<Client> {
    let fingerprint = house.installation.fingerprint();
    let mut token = None;
    (0..count)
        .map(|number| {
            let stream = socket_from(1, number, house.addr()).expect("a place for it");
            let mut client = Client::over_to(stream, fingerprint).expect("let in");
            match &token {
                Some(token) if number % PER_USER != 0 => {
                    let reply = client.resume(token);
                    assert!(matches!(reply, Reply::LoggedIn { .. }), "{reply:?}");
                }
                _ => {
                    let name = format!("idle{number}");
                    client.create_user(&name);
                    token = Some(client.log_in(&name));
                }
            }
            client
        })
        .collect()
}

/// Sends a heartbeat for each client in turn, spread evenly over the interval.
fn keep_alive(clients: &mut [Client], over: &AtomicBool) {
    let pause = HEARTBEAT / clients.len().max(1) as u32;
    for turn in 0.. {
        let number = turn % clients.len().max(1);
        let due = Instant::now() + pause;
        if over.load(Ordering::Relaxed) {
            return;
        }
        clients[number].done(Request::Heartbeat {});
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn measure_idle(count: usize, rounds: usize) {
    let (mut quiet, mut full) = (House::start(), House::start());
    quiet.ask();
    full.ask();
    let before = full.tracker.resident();
    let start = Instant::now();
    let mut clients = idle_clients(&full, count);
    println!("\n{count} clients are let in by token, one after the other, in {:.1?}", start.elapsed());
    let each = |house: &House| (house.tracker.resident().saturating_sub(before)) as f64 / count as f64 / 1024.0;
    println!(
        "resident memory of the tracker for each: {:.1} KiB, besides {:.1} MiB",
        each(&full),
        before as f64 / 1048576.0
    );
    let over = AtomicBool::new(false);
    let mut table = Table::new(&["64 clients list 50 groups", "p99 ms", "answers a second"]);
    thread::scope(|scope| {
        let keeper = scope.spawn(|| keep_alive(&mut clients, &over));
        let rounds: Vec<_> = (0..rounds).map(|_| [quiet.ask(), full.ask()]).collect();
        measure_scrapes(full.door, count);
        over.store(true, Ordering::Relaxed);
        keeper.join().expect("all live");
        let p99 = |house: usize| median(rounds.iter().map(|round| round[house].0)).as_secs_f64() * 1e3;
        let rate = |house: usize| median(rounds.iter().map(|round| round[house].1));
        for (house, name) in ["alone", "beside the idle ones"].iter().enumerate() {
            table.line(vec![(*name).to_owned(), format!("{:.2}", p99(house)), format!("{:.0}", rate(house))]);
        }
        table.line(vec!["ratio".to_owned(), format!("{:.2}", p99(1) / p99(0)), format!("{:.2}", rate(1) / rate(0))]);
    });
    table.print();
    println!("resident memory of the tracker for each idle client afterwards: {:.1} KiB", each(&full));
}

/// Clients that all connect at the same moment.
fn measure_storm() {
    let house = House::start();
    let (fingerprint, addr) = (house.installation.fingerprint(), house.addr());
    let ready = Barrier::new(OPENERS + 1);
    let (opened, served) = thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS)
            .map(|opener| {
                let ready = &ready;
                scope.spawn(move || {
                    ready.wait();
                    let begun = Instant::now();
                    let numbers = opener * STORM / OPENERS..(opener + 1) * STORM / OPENERS;
                    let streams: Vec<_> =
                        numbers.map(|number| socket_from(2, number, addr).expect("connected")).collect();
                    let opened = begun.elapsed();
                    let clients: Vec<_> = streams
                        .into_iter()
                        .map(|stream| {
                            let mut client = Client::over_to(stream, fingerprint).expect("let in");
                            assert_eq!(client.refused(Request::ListGroups { after: None }), Code::NotLoggedIn);
                            client
                        })
                        .collect();
                    (opened, begun.elapsed(), clients)
                })
            })
            .collect();
        ready.wait();
        let all: Vec<_> = openers.into_iter().map(|opener| opener.join().expect("served")).collect();
        (all.iter().map(|one| one.0).max(), all.iter().map(|one| one.1).max())
    });
    println!(
        "\n{STORM} connections at once: the last is open after {:.2?}, the last is answered after {:.2?}; none is refused",
        opened.expect("some"),
        served.expect("some")
    );
}

/// Strangers that connect and stay silent.
fn measure_silent() {
    let mut house = House::start();
    house.ask();
    let alone = house.ask();
    let begun = Instant::now();
    let _silent: Vec<_> = (0..SILENT).map(|number| socket_from(3, number, house.addr()).expect("connected")).collect();
    let beside = house.ask();
    let fingerprint = house.installation.fingerprint();
    let knock = || Client::over_to(socket_from(4, 0, house.addr())?, fingerprint);
    let first = knock().err();
    let (mut told, mut let_in) = (first.as_ref().map(ToString::to_string), first.is_none());
    while !let_in {
        thread::sleep(Duration::from_millis(100));
        match knock() {
            Ok(_) => let_in = true,
            Err(error) => told = Some(error.to_string()),
        }
    }
    println!(
        "\n{SILENT} strangers connect and say nothing: p99 of the {ACTIVE} {:.2?} before and {:.2?} meanwhile; somebody new is told {:?}, \
         and let in {:.1?} after they began",
        alone.0,
        beside.0,
        told.unwrap_or_default(),
        begun.elapsed()
    );
}

/// Measures beside this many idle clients, if a tracker may have the file descriptors for them.
fn measure_idle_if_possible(count: usize, rounds: usize, allowed: Option<u64>) {
    let needed = (2 * (count + ACTIVE)) as u64 + DESCRIPTORS_KEPT;
    match allowed.filter(|allowed| *allowed < needed) {
        Some(allowed) => println!(
            "Left out: {count} idle clients need {needed} file descriptors, and the hard limit is {allowed}. Raise it with \
             ulimit -Hn, or ask for less, for example load only=idle idle={}",
            (allowed.saturating_sub(DESCRIPTORS_KEPT) / 2).saturating_sub(ACTIVE as u64)
        ),
        None => measure_idle(count, rounds),
    }
}

pub(crate) fn bench(options: &Options) {
    let allowed = groupshare::sys::raise_descriptor_limit().expect("allowed");
    let only = options.words("only", "idle,storm,silent");
    for part in &only {
        match part.as_str() {
            "idle" => measure_idle_if_possible(options.number("idle", 10_000), options.number("rounds", 5), allowed),
            "storm" => measure_storm(),
            "silent" => measure_silent(),
            other => panic!("{other} is unknown, the parts are idle, storm, silent"),
        }
    }
}
