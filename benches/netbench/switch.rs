//! The switch between the machines. It takes packets from their TUN devices and passes them on as late as the links
//! demand.
//!
//! One thread does everything. It checks for packets at most every 0.1 ms, so that one check finds many of them.

use super::link::{Access, Queue, Way};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::thread::{NanosleepRelativeResult, nanosleep};
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tun_rs::SyncDevice;

/// The pause between two checks.
const PAUSE: Duration = Duration::from_micros(100);
/// Packets taken from one device before the next device has its turn.
const TURN: usize = 64;
/// Longer than any packet with its header.
const PACKET_MAX: usize = 65_535 + BURST_HEADER_LEN;
/// The header of every packet of a device that takes bursts: `struct virtio_net_hdr`.
const BURST_HEADER_LEN: usize = 10;

/// The bytes that a machine has sent and received. Headers do not count, and repeated bytes count again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub sent: u64,
    pub got: u64,
    /// Packets with or without payload.
    pub packets: u64,
    /// Packets without room in a queue, or lost at random.
    pub lost: u64,
}

/// A machine as the switch sees it.
struct Port {
    up: Queue,
    down: Queue,
    traffic: Traffic,
}

struct State {
    ports: Vec<Port>,
    addrs: HashMap<Ipv4Addr, usize>,
    due: BinaryHeap<Reverse<Due>>,
    order: u64,
    /// Buffers of packets that have left.
    spare: Vec<Vec<u8>>,
    bursts: bool,
}

/// A packet on its way.
struct Due {
    at: u64,
    order: u64,
    /// The machine that the packet is for.
    to: usize,
    /// Whether the packet has passed the link of that machine.
    through: bool,
    packet: Vec<u8>,
}

/// What the switch reads from a packet.
struct Seen {
    addr: Ipv4Addr,
    /// How many packets it is on the wire.
    count: u64,
    /// Bytes on the wire.
    wire_len: usize,
    /// Bytes that TCP carries.
    carried: u64,
}

/// A thread that moves packets between devices until it is dropped.
pub(crate) struct Switch {
    state: Arc<Mutex<State>>,
    over: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// One device for each machine. Either all of them take bursts, or none. At first their links have no effect.
    pub(crate) fn start(devices: Vec<SyncDevice>, bursts: bool) -> Self {
        let port = |number: usize| {
            let queue = |way: u64| Queue::new(Way::FREE, 2 * number as u64 + way);
            Port { up: queue(0), down: queue(1), traffic: Traffic::default() }
        };
        let state = State {
            ports: (0..devices.len()).map(port).collect(),
            addrs: HashMap::new(),
            due: BinaryHeap::new(),
            order: 0,
            spare: Vec::new(),
            bursts,
        };
        let state = Arc::new(Mutex::new(state));
        let over = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).expect("a descriptor"));
        let thread = {
            let (state, over) = (state.clone(), over.clone());
            thread::Builder::new().name("switch".to_owned()).spawn(move || run(&devices, &state, &over))
        };
        Self { state, over, thread: Some(thread.expect("a thread")) }
    }

    /// Packets for this address now go to this machine, or to nobody.
    pub(crate) fn lead(&self, addr: Ipv4Addr, to: Option<usize>) {
        let addrs = &mut self.state.lock().addrs;
        match to {
            Some(machine) => drop(addrs.insert(addr, machine)),
            None => drop(addrs.remove(&addr)),
        }
    }

    /// Gives a machine another link.
    pub(crate) fn link(&self, machine: usize, access: Access) {
        let port = &mut self.state.lock().ports[machine];
        port.up.way = access.up;
        port.down.way = access.down;
    }

    /// The bytes that a machine has sent and received since the start.
    pub(crate) fn traffic(&self, machine: usize) -> Traffic {
        self.state.lock().ports[machine].traffic
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        rustix::io::write(&self.over, &1_u64.to_ne_bytes()).expect("a counter");
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(devices: &[SyncDevice], state: &Mutex<State>, over: &OwnedFd) {
    // For this thread alone. Without the right to do this, the rows are less precise while all cores work.
    let _ = rustix::process::setpriority_process(None, -15);
    let begun = Instant::now();
    let mut buffer = vec![0; PACKET_MAX];
    let mut fds: Vec<_> = devices.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect();
    fds.push(PollFd::new(over, PollFlags::IN));
    let mut next: Option<u64> = None;
    loop {
        let now = begun.elapsed().as_nanos() as u64;
        let timeout = next.map(|at| timespec(Duration::from_nanos(at.saturating_sub(now))));
        poll(&mut fds, timeout.as_ref()).expect("devices");
        if fds.last().is_some_and(|over| !over.revents().is_empty()) {
            return;
        }
        let mut state = state.lock();
        let now = begun.elapsed().as_nanos() as u64;
        state.hand_on(now, devices);
        for (number, device) in devices.iter().enumerate() {
            if !fds[number].revents().is_empty() {
                state.take(now, number, device, &mut buffer);
            }
        }
        next = state.due.peek().map(|Reverse(due)| due.at);
        drop(state);
        let NanosleepRelativeResult::Ok = nanosleep(&timespec(PAUSE)) else { continue };
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

impl State {
    /// Takes the packets that a machine has sent.
    fn take(&mut self, now: u64, from: usize, device: &SyncDevice, buffer: &mut [u8]) {
        for _ in 0..TURN {
            let Ok(len) = device.recv(buffer) else { return };
            let packet = &buffer[..len];
            let Some(seen) = read(packet, self.bursts) else { continue };
            let port = &mut self.ports[from];
            port.traffic.packets += seen.count;
            port.traffic.sent += seen.carried;
            // Some addresses belong to no machine.
            let Some(&to) = self.addrs.get(&seen.addr) else { continue };
            match port.up.pass(now, seen.wire_len) {
                Some(at) => {
                    let mut copy = self.spare.pop().unwrap_or_default();
                    copy.clear();
                    copy.extend_from_slice(packet);
                    self.later(at, to, false, copy);
                }
                None => port.traffic.lost += seen.count,
            }
        }
    }

    fn later(&mut self, at: u64, to: usize, through: bool, packet: Vec<u8>) {
        self.order += 1;
        self.due.push(Reverse(Due { at, order: self.order, to, through, packet }));
    }

    /// Passes on every packet whose time has come.
    fn hand_on(&mut self, now: u64, devices: &[SyncDevice]) {
        while self.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.due.pop() else { return };
            let Some(seen) = read(&due.packet, self.bursts) else { continue };
            let port = &mut self.ports[due.to];
            if due.through {
                port.traffic.got += seen.carried;
                // The machine may have no room, like a real one.
                let _ = devices[due.to].send(&due.packet);
                self.spare.push(due.packet);
            } else if let Some(at) = port.down.pass(due.at, seen.wire_len) {
                self.later(at, due.to, true, due.packet);
            } else {
                port.traffic.lost += seen.count;
                self.spare.push(due.packet);
            }
        }
    }
}

/// Reads a packet of IPv4. A packet from a device with bursts may stand for many.
fn read(packet: &[u8], bursts: bool) -> Option<Seen> {
    let (before, packet) = packet.split_at_checked(if bursts { BURST_HEADER_LEN } else { 0 })?;
    let (first, addr) = (packet.first()?, packet.get(16..20)?);
    if first >> 4 != 4 {
        return None;
    }
    let ip_len = usize::from(first & 15) * 4;
    let headers = match (packet[9], packet.get(ip_len + 12)) {
        (6, Some(offset)) => ip_len + usize::from(offset >> 4) * 4,
        _ => packet.len(),
    };
    let carried = packet.len().saturating_sub(headers);
    // `gso_size`, in the byte order of the machine: the payload of each packet except the last.
    let each = before.get(4..6).map_or(0, |size| usize::from(u16::from_ne_bytes([size[0], size[1]])));
    let count = if each == 0 { 1 } else { carried.div_ceil(each).max(1) };
    Some(Seen {
        addr: Ipv4Addr::new(addr[0], addr[1], addr[2], addr[3]),
        count: count as u64,
        wire_len: packet.len() + (count - 1) * headers,
        carried: carried as u64,
    })
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
