//! The kinds of places for members, with the rules of each firewall and NAT, and the pairs that must get through.

/// Accepts packets of connections from inside.
const ANSWERS: &str = "ct state established,related accept";

/// A kind of place.
#[derive(Debug)]
pub(crate) struct Kind {
    pub name: &'static str,
    /// Its description, for the legend.
    pub what: &'static str,
    pub wall: Wall,
    pub ipv4: bool,
    pub ipv6: bool,
    /// The address at which its members listen.
    pub listen: &'static str,
    /// Whether both of its members are in one place.
    pub together: bool,
    /// The number of its members' tracker.
    pub tracker: usize,
}

/// The device between a member and the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wall {
    Nothing,
    Drops,
    Rejects,
    /// The NAT keeps a port towards all addresses while the port is free. It accepts packets of connections from
    /// inside.
    PortKept,
    /// The NAT takes a random port for each connection.
    PortByChance,
}

impl Wall {
    pub(crate) fn is_nat(self) -> bool {
        matches!(self, Wall::PortKept | Wall::PortByChance)
    }

    /// The chains of nft.
    pub(crate) fn rules(self) -> Vec<[&'static str; 4]> {
        const INPUT: &str = "type filter hook input priority 0";
        const LOCAL: &str = "iifname != \"wan\" accept";
        const NAT: &str = "type nat hook postrouting priority 100";
        const FORWARD: &str = "type filter hook forward priority 0";
        match self {
            Wall::Nothing => Vec::new(),
            Wall::Drops => vec![[INPUT, LOCAL, ANSWERS, "meta l4proto tcp drop"]],
            Wall::Rejects => vec![[INPUT, LOCAL, ANSWERS, "meta l4proto tcp reject with tcp reset"]],
            Wall::PortKept => vec![
                [NAT, "oifname \"wan\" masquerade", "", ""],
                [INPUT, LOCAL, ANSWERS, "meta l4proto tcp drop"],
                [FORWARD, LOCAL, ANSWERS, "drop"],
            ],
            Wall::PortByChance => vec![
                [NAT, "oifname \"wan\" masquerade random,fully-random", "", ""],
                [INPUT, LOCAL, ANSWERS, "meta l4proto tcp drop"],
                [FORWARD, LOCAL, ANSWERS, "drop"],
            ],
        }
    }
}

const fn kind(name: &'static str, wall: Wall, what: &'static str) -> Kind {
    let listen = "0.0.0.0:18000";
    Kind { name, what, wall, ipv4: true, ipv6: false, listen, together: false, tracker: 1 }
}

/// All kinds.
pub(crate) const KINDS: [Kind; 11] = [
    kind("open", Wall::Nothing, "a public IPv4 address"),
    kind("drops", Wall::Drops, "a firewall that drops"),
    kind("rejects", Wall::Rejects, "a firewall that rejects"),
    kind("nat-ei", Wall::PortKept, "a NAT whose mapping is independent of the endpoint"),
    kind("nat-ad", Wall::PortByChance, "a NAT whose mapping depends on address and port"),
    Kind { together: true, ..kind("lan", Wall::PortKept, "as nat-ei, both members on one network behind it") },
    Kind {
        together: true,
        listen: "127.0.0.1:18000",
        ..kind("loopback", Wall::Nothing, "as open, but listening on 127.0.0.1, both members on one machine")
    },
    Kind { ipv4: false, ipv6: true, listen: "[::]:18000", ..kind("ipv6", Wall::Nothing, "a public IPv6 address") },
    Kind { ipv6: true, listen: "[::]:18000", ..kind("dual", Wall::Nothing, "public addresses of both families") },
    Kind { tracker: 2, ..kind("far", Wall::Nothing, "as open, at another tracker") },
    Kind { tracker: 2, ..kind("far-nat", Wall::PortKept, "as nat-ei, at another tracker") },
];

impl Kind {
    fn is_open(&self) -> bool {
        self.wall == Wall::Nothing && !self.listen.starts_with("127.")
    }

    fn meets(&self, other: &Kind) -> bool {
        self.ipv4 && other.ipv4 || self.ipv6 && other.ipv6
    }

    /// Whether others can know the port of its next connection.
    fn is_predictable(&self) -> bool {
        !matches!(self.wall, Wall::PortByChance | Wall::Nothing)
    }

    /// Whether a giver of this kind must get through to a taker of that kind without a relay.
    pub(crate) fn gives_without_relay(&self, taker: &Kind) -> bool {
        if self.name == taker.name && self.together {
            return true;
        }
        // Two firewalls that refuse at once need connections that cross on the way, and these ways are too short.
        let refuse = self.wall == Wall::Rejects && taker.wall == Wall::Rejects;
        let punched = self.is_predictable() && taker.is_predictable() && !refuse;
        self.meets(taker) && (self.is_open() || taker.is_open() || punched)
    }
}
