//! Network namespaces with cables between them: a router in the place of the internet, sites, and machines behind NATs.

use crate::common::namespaces::{at, begin, fed, machine};
use std::fmt::Write as _;
use std::process::Command;

/// The namespace of the router.
const ROUTER: &str = "internet";

/// The internet of a test: public addresses that are reserved for documents. All of them lead to one router.
pub(crate) struct Network {
    sites: u8,
}

/// A namespace with a cable to the internet.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub name: String,
    /// Its number, from 1. It is a part of the site's addresses.
    number: u8,
}

impl Site {
    pub(crate) fn ipv4(&self) -> String {
        format!("203.0.113.{}", 4 * self.number + 2)
    }

    pub(crate) fn ipv6(&self) -> String {
        format!("2001:db8:{}::2", self.number)
    }

    /// A command that runs a program there.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        at(&self.name, program)
    }

    /// Sets rules of nft.
    pub(crate) fn rules(&self, rules: &str) {
        fed(self.command("nft").args(["-f", "-"]), rules);
    }

    /// Gives this machine another address, for which it never gets a packet.
    pub(crate) fn pretend(&self, ipv4: &str) {
        fed(self.command("sh").args(["-es"]), &format!("ip addr add {ipv4}/32 dev lo\n"));
    }

    /// From now on counts the packets that match in the `input` or `output` of nft.
    pub(crate) fn watch(&self, hook: &str, matching: &str) {
        self.rules(&format!(
            "table inet watch {{\ncounter tries {{\n}}\nchain watched {{\ntype filter hook {hook} priority -300\n\
             {matching} counter name tries\n}}\n}}\n"
        ));
    }

    /// How many packets have matched.
    pub(crate) fn watched(&self) -> u64 {
        let output = self.command("nft").args(["list", "counter", "inet", "watch", "tries"]).output().expect("nft");
        let text = String::from_utf8(output.stdout).expect("text");
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count: {text}"))
    }
}

impl Network {
    /// The caller must be in fresh namespaces.
    pub(crate) fn new() -> Self {
        begin();
        machine(ROUTER);
        let script = "echo 1 > /proc/sys/net/ipv4/ip_forward\necho 1 > /proc/sys/net/ipv6/conf/all/forwarding\n";
        fed(at(ROUTER, "sh").args(["-es"]), script);
        Self { sites: 0 }
    }

    /// A namespace with these families of addresses on the internet.
    pub(crate) fn site(&mut self, name: &str, ipv4: bool, ipv6: bool) -> Site {
        self.sites += 1;
        let site = Site { name: name.to_owned(), number: self.sites };
        machine(name);
        cable((name, "wan"), (ROUTER, name));
        let mut both = [String::new(), String::new()];
        if ipv4 {
            let gateway = format!("203.0.113.{}", 4 * site.number + 1);
            let _ = writeln!(both[0], "ip addr add {}/30 dev wan\nip route add default via {gateway}", site.ipv4());
            let _ = writeln!(both[1], "ip addr add {gateway}/30 dev {name}");
        }
        if ipv6 {
            let gateway = format!("2001:db8:{}::1", site.number);
            let _ = writeln!(both[0], "ip addr add {}/64 dev wan nodad", site.ipv6());
            let _ = writeln!(both[0], "ip route add default via {gateway}");
            let _ = writeln!(both[1], "ip addr add {gateway}/64 dev {name} nodad");
        }
        for (namespace, script) in [name, ROUTER].into_iter().zip(&both) {
            fed(at(namespace, "sh").args(["-es"]), script);
        }
        site
    }

    /// Takes the IPv4 address from this site and gives it another one, as in another network.
    pub(crate) fn moves(&mut self, site: &Site) {
        self.sites += 1;
        let there = Site { name: site.name.clone(), number: self.sites };
        let gateway = format!("203.0.113.{}", 4 * there.number + 1);
        let ends = format!("ip addr flush dev {0}\nip addr add {gateway}/30 dev {0}\n", site.name);
        fed(at(ROUTER, "sh").args(["-es"]), &ends);
        let begins = format!(
            "ip addr flush dev wan\nip addr add {}/30 dev wan\nip route add default via {gateway}\n",
            there.ipv4()
        );
        fed(site.command("sh").args(["-es"]), &begins);
    }

    /// A machine on the network behind this site. The site is a router for 192.168.1.0/24, the same network behind
    /// every NAT.
    pub(crate) fn behind(&self, nat: &Site, number: u8) -> Site {
        let name = format!("{}-{number}", nat.name);
        let cable_name = format!("lan{number}");
        if number == 2 {
            let script = "echo 1 > /proc/sys/net/ipv4/ip_forward\nip link add name lan type bridge\n\
                          ip addr add 192.168.1.1/24 dev lan\nip link set lan up\n";
            fed(nat.command("sh").args(["-es"]), script);
        }
        machine(&name);
        cable((&name, "wan"), (&nat.name, &cable_name));
        fed(nat.command("sh").args(["-es"]), &format!("ip link set {cable_name} master lan\n"));
        let site = Site { name, number: nat.number };
        let script = format!("ip addr add 192.168.1.{number}/24 dev wan\nip route add default via 192.168.1.1\n");
        fed(site.command("sh").args(["-es"]), &script);
        site
    }
}

/// A cable between two namespaces, with the name of each end.
fn cable(one: (&str, &str), other: (&str, &str)) {
    let script =
        format!("ip link add name {} netns {} type veth peer name {} netns {}\n", one.1, one.0, other.1, other.0);
    fed(Command::new("sh").args(["-es"]), &script);
    for (namespace, end) in [one, other] {
        fed(at(namespace, "sh").args(["-es"]), &format!("ip link set {end} up\n"));
    }
}
