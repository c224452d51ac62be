//! Machines in namespaces of their own, each with a link to a switch.

use super::link::Access;
use super::switch::{Switch, Traffic};
use crate::common::namespaces::{at, begin, fed, machine};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;
use tun_rs::{DeviceBuilder, SyncDevice};

/// Longest packet with its headers. Nearly every real link has this limit.
const MTU: u16 = 1500;
/// How many packets a machine may pass to its device before the switch takes them. More than that may be on their way.
const DEVICE_QUEUE: u32 = 20_000;
/// The settings of each machine. TCP buffers have twice the room that the longest fat link needs, and a connection
/// inherits nothing from earlier ones.
const SETTINGS: &str = "
cd /proc/sys/net/ipv4
echo '4096 131072 67108864' > tcp_rmem
echo '4096 131072 67108864' > tcp_wmem
echo 1 > tcp_no_metrics_save
";

/// The route to all others, with the default congestion control of Linux.
const ROUTE: &str = "ip route add default dev wan congctl cubic\n";

/// Machines around one switch.
pub(crate) struct Star {
    switch: Switch,
    count: usize,
    moves: u8,
}

/// One of the machines.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub number: usize,
    pub addr: Ipv4Addr,
}

impl Site {
    fn name(&self) -> String {
        name(self.number)
    }

    /// A command that runs a program there.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        at(&self.name(), program)
    }
}

fn name(number: usize) -> String {
    format!("m{number}")
}

fn addr(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, u8::try_from(number + 1).expect("few machines"))
}

impl Star {
    /// A star to be made in fresh namespaces. There may be several, one after the other. With `bursts` the machines
    /// pass on packets of one connection by the dozen, as to a network card with TSO. A burst takes as long on the wire
    /// as its packets, and is lost as a whole. So bursts suit fat links without random loss.
    pub(crate) fn new(count: usize, bursts: bool) -> Self {
        let devices = (0..count).map(|number| set_up(number, bursts)).collect();
        let switch = Switch::start(devices, bursts);
        (0..count).for_each(|number| switch.lead(addr(number), Some(number)));
        Self { switch, count, moves: 0 }
    }

    /// Prepares a place for the names of machines. The caller calls it once.
    pub(crate) fn begin() {
        begin();
    }

    pub(crate) fn site(&self, number: usize) -> Site {
        assert!(number < self.count, "there are {} machines", self.count);
        Site { number, addr: addr(number) }
    }

    /// Gives a machine another link.
    pub(crate) fn link(&self, site: &Site, access: Access) {
        self.switch.link(site.number, access);
    }

    pub(crate) fn traffic(&self, site: &Site) -> Traffic {
        self.switch.traffic(site.number)
    }

    /// Takes the address from this machine and gives it another one, as in another network.
    pub(crate) fn moves(&mut self, site: &Site) {
        self.moves += 1;
        let addr = Ipv4Addr::new(198, 51, 100, self.moves);
        self.switch.lead(addr, Some(site.number));
        self.switch.lead(site.addr, None);
        let script = format!("ip addr flush dev wan\nip addr add {addr}/32 dev wan\n{ROUTE}");
        fed(site.command("sh").args(["-es"]), &script);
    }
}

impl Drop for Star {
    fn drop(&mut self) {
        let mut script = String::new();
        for number in 0..self.count {
            let _ = writeln!(script, "ip netns del {}", name(number));
        }
        // Otherwise the namespaces end with this program.
        let _ = Command::new("sh").args(["-c", &script]).status();
    }
}

/// A machine and its end of the cable.
fn set_up(number: usize, bursts: bool) -> SyncDevice {
    let name = name(number);
    machine(&name);
    let builder = DeviceBuilder::new().name(&name).mtu(MTU).tx_queue_len(DEVICE_QUEUE).offload(bursts);
    let device = builder.inherit_enable_state().build_sync().expect("a TUN device");
    device.set_nonblocking(true).expect("a device");
    fed(Command::new("sh").args(["-es"]), &format!("ip link set {name} netns {name} name wan\n"));
    let addr = addr(number);
    let script = format!("ip addr add {addr}/32 dev wan\nip link set wan up\n{ROUTE}{SETTINGS}");
    fed(at(&name, "sh").args(["-es"]), &script);
    device
}
