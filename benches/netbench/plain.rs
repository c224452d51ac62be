//! Plain TCP: arbitrary bytes over some connections, from one machine to another.
//!
//! Both sides are processes of their own: this same program with other arguments.

use super::network::Site;
use crate::common::program::Program;
use crate::kit::program;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const GIVE: &str = "plain-give";
const TAKE: &str = "plain-take";
const PORT: u16 = 7000;
/// How much one call sends or takes.
const CHUNK_LEN: usize = 256 * 1024;

/// Runs one of the two sides if this process was started as one. Otherwise returns false.
pub(crate) fn is_side(args: &[String]) -> bool {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [GIVE, addr] => give(addr.parse().expect("an address")),
        [TAKE, size, ref givers @ ..] => take(size.parse().expect("a number"), givers),
        _ => return false,
    }
    true
}

/// Sends to every connection, without an end.
fn give(addr: SocketAddr) {
    let listener = TcpListener::bind(addr).expect("an address of this machine");
    println!("ready");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let chunk = vec![7; CHUNK_LEN];
            thread::spawn(move || while stream.write_all(&chunk).is_ok() {});
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Takes this many bytes over connections to these addresses. An address may occur several times. Prints the total
/// time, and the time of the second half.
fn take(size: u64, givers: &[&str]) {
    let begun = Instant::now();
    let got = AtomicU64::new(0);
    let half_us = AtomicU64::new(0);
    thread::scope(|scope| {
        for giver in givers {
            scope.spawn(|| {
                let addr: SocketAddr = giver.parse().expect("an address");
                let mut stream = TcpStream::connect(addr).expect("it listens");
                let mut chunk = vec![0; CHUNK_LEN];
                while got.load(Ordering::Relaxed) < size {
                    let now = stream.read(&mut chunk).expect("it gives") as u64;
                    let before = got.fetch_add(now, Ordering::Relaxed);
                    let passes = |bytes: u64| before < bytes && before + now >= bytes;
                    let us = begun.elapsed().as_micros() as u64;
                    if passes(size / 2) {
                        half_us.store(us, Ordering::Relaxed);
                    }
                    if passes(size) {
                        println!("took {us} {}", us - half_us.load(Ordering::Relaxed));
                    }
                }
            });
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// How long plain TCP took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainTaken {
    pub all: Duration,
    /// The time of the second half of the bytes. Slow start does not affect it.
    pub second_half: Duration,
}

/// Serves bytes to every caller.
pub(crate) struct Plain {
    _givers: Vec<Program>,
    addrs: Vec<String>,
}

impl Plain {
    pub(crate) fn start(sites: &[Site]) -> Self {
        let addrs: Vec<String> = sites.iter().map(|site| format!("{}:{PORT}", site.addr)).collect();
        let give = |(site, addr): (&Site, &String)| {
            let mut giver = program::start(site.command(this_program()).args([GIVE, addr.as_str()]));
            giver.expect("ready");
            giver
        };
        Self { _givers: sites.iter().zip(&addrs).map(give).collect(), addrs }
    }

    /// Takes this many bytes over this many connections to each giver.
    pub(crate) fn take(&self, site: &Site, size: u64, connections: usize) -> PlainTaken {
        self.begin(site, size, connections).end()
    }

    /// Begins to take this many bytes.
    pub(crate) fn begin(&self, site: &Site, size: u64, connections: usize) -> PlainTaking {
        let mut command = site.command(this_program());
        command.arg(TAKE).arg(size.to_string());
        for _ in 0..connections {
            command.args(&self.addrs);
        }
        PlainTaking(program::start(&mut command))
    }
}

/// A transfer that is running.
pub(crate) struct PlainTaking(Program);

impl PlainTaking {
    pub(crate) fn end(mut self) -> PlainTaken {
        let line = self.0.expect("took ").text;
        let mut times = line.split(' ').skip(1).map(|us| Duration::from_micros(us.parse().expect("a number")));
        let mut next = || times.next().expect("two times");
        PlainTaken { all: next(), second_half: next() }
    }
}

fn this_program() -> std::path::PathBuf {
    std::env::current_exe().expect("Linux tells")
}
