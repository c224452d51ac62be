//! Network addresses and host names as people write them. This room opens no address and looks up no name.

use super::escape::excerpt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt;

/// Most characters of a wrong address that an error repeats.
const SHOWN_MAX: usize = 60;
/// Longest host name and longest part of one, in bytes (RFC 1035).
const NAME_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: usize = 63;
/// Longest name of a network interface, in bytes.
const ZONE_LEN_MAX: usize = 15;
/// Addresses at which a cloud gives a machine its secrets. IPv4 link-local addresses are others.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Where a tracker listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackerAddr {
    Addr(SocketAddr),
    /// A host name in small letters, or an IPv6 address with `%` and the name of an interface. Every attempt to connect
    /// looks it up.
    Named {
        host: String,
        port: u16,
    },
}

impl TrackerAddr {
    /// The IP address, or the name that a look-up takes.
    pub fn host(&self) -> String {
        match self {
            TrackerAddr::Addr(addr) => addr.ip().to_string(),
            TrackerAddr::Named { host, .. } => host.clone(),
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            TrackerAddr::Addr(addr) => addr.port(),
            TrackerAddr::Named { port, .. } => *port,
        }
    }

    /// Whether a name service decides which machine this is.
    pub fn is_name(&self) -> bool {
        matches!(self, TrackerAddr::Named { host, .. } if !host.contains(':'))
    }

    /// Whether only this machine reaches the address, as far as that is known without a look-up.
    pub fn is_loopback(&self) -> bool {
        match self {
            TrackerAddr::Addr(addr) => addr.ip().to_canonical().is_loopback(),
            // RFC 6761: name services do not decide what these names stand for.
            TrackerAddr::Named { host, .. } => {
                let host = host.strip_suffix('.').unwrap_or(host);
                host == "localhost" || host.ends_with(".localhost")
            }
        }
    }

    /// Whether both lead to the same place without a look-up. That includes an IPv4 address and its form in IPv6
    /// (`::ffff:10.0.0.1`).
    pub(crate) fn is_same(&self, other: &TrackerAddr) -> bool {
        match (self, other) {
            (TrackerAddr::Addr(one), TrackerAddr::Addr(two)) => {
                (one.ip().to_canonical(), one.port(), scope(one)) == (two.ip().to_canonical(), two.port(), scope(two))
            }
            (one, two) => one == two,
        }
    }
}

impl From<SocketAddr> for TrackerAddr {
    fn from(addr: SocketAddr) -> Self {
        TrackerAddr::Addr(addr)
    }
}

impl fmt::Display for TrackerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrackerAddr::Addr(addr) => addr.fmt(f),
            TrackerAddr::Named { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            TrackerAddr::Named { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// The interface on which a link-local address holds.
fn scope(addr: &SocketAddr) -> u32 {
    match addr {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(addr) => addr.scope_id(),
    }
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressError {
    /// The text, or the part before the port, is not an IP address.
    NotAnIp(String),
    /// The text, or the part before the port, is neither an IP address nor a host name.
    NotAHost(String),
    /// The text is an IP address without a port.
    NoPort(String),
    /// The text is not a port number.
    BadPort(String),
}

impl AddressError {
    fn not_an_ip(text: &str) -> Self {
        Self::NotAnIp(excerpt(text, SHOWN_MAX))
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnIp(text) => write!(f, "'{text}' is not an IP address such as 127.0.0.1 or [::1]"),
            Self::NotAHost(text) => {
                write!(f, "'{text}' is neither an IP address such as 127.0.0.1 or [::1] nor the name of a machine")
            }
            Self::NoPort(text) => write!(f, "'{text}' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            Self::BadPort(text) => write!(f, "'{text}' is not a port, which is a number up to 65535"),
        }
    }
}

impl std::error::Error for AddressError {}

/// Whether an address can be the address of a single machine. Trackers tell clients no other addresses.
pub(crate) fn is_of_one_machine(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        // From 224.0.0.0 on come multicast, reserved addresses, and broadcast.
        IpAddr::V4(ip) => (1..224).contains(&ip.octets()[0]) && !ip.is_link_local() && !METADATA_V4.contains(&ip),
        IpAddr::V6(ip) => {
            !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local() && ip != METADATA_V6
        }
    }
}

/// Reads a port number from 0 to 65,535, digits only.
pub(crate) fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits => Ok(port),
        _ => Err(AddressError::BadPort(excerpt(text, SHOWN_MAX))),
    }
}

/// Reads an IPv4 or IPv6 address, the latter with or without brackets.
pub(crate) fn parse_ip(text: &str) -> Result<IpAddr, AddressError> {
    let bare = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => text.parse::<IpAddr>(),
    };
    bare.map_err(|_| AddressError::not_an_ip(text))
}

/// An IP address or host name without its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    /// An IPv6 address with the number of an interface.
    Scoped(Ipv6Addr, u32),
    Name(String),
}

impl Host {
    pub(crate) fn at(self, port: u16) -> TrackerAddr {
        match self {
            Host::Ip(ip) => SocketAddr::new(ip, port).into(),
            Host::Scoped(ip, scope) => {
                let mut addr = SocketAddr::new(ip.into(), port);
                if let SocketAddr::V6(addr) = &mut addr {
                    addr.set_scope_id(scope);
                }
                addr.into()
            }
            Host::Name(host) => TrackerAddr::Named { host, port },
        }
    }
}

/// Reads an IP address, an IPv6 address with a `%zone`, or a host name. IPv6 may stand in brackets.
pub(crate) fn parse_host(text: &str) -> Result<Host, AddressError> {
    if let Ok(ip) = parse_ip(text) {
        return Ok(Host::Ip(ip));
    }
    let not_a_host = || AddressError::NotAHost(excerpt(text, SHOWN_MAX));
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let Some((ip, zone)) = bare.split_once('%') else {
        return if is_host_name(text) { Ok(Host::Name(text.to_ascii_lowercase())) } else { Err(not_a_host()) };
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| not_a_host())?;
    if let Ok(scope) = zone.parse() {
        return Ok(Host::Scoped(ip, scope));
    }
    let may_be_zone = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if zone.is_empty() || zone.len() > ZONE_LEN_MAX || !zone.bytes().all(may_be_zone) {
        return Err(not_a_host());
    }
    Ok(Host::Name(format!("{ip}%{zone}")))
}

/// Whether a text can be a host name: letters, digits, `-` and `_`, in parts between dots. The last part is no number:
/// a text that ends in a number is a wrong IP address.
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=LABEL_LEN_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= NAME_LEN_MAX && text.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads `HOST:PORT`, with an IPv6 address in brackets.
pub(crate) fn parse_tracker_address(text: &str) -> Result<TrackerAddr, AddressError> {
    let lacks_port = match parse_host(text) {
        Ok(Host::Name(name)) => !name.is_empty(),
        Ok(Host::Ip(_) | Host::Scoped(..)) => true,
        Err(_) => false,
    };
    if lacks_port {
        return Err(AddressError::NoPort(excerpt(text, SHOWN_MAX)));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| AddressError::NotAHost(excerpt(text, SHOWN_MAX)))?;
    let host = parse_host(host)?;
    Ok(host.at(parse_port(port)?))
}

/// Reads `IP:PORT`, with an IPv6 address in brackets.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if parse_ip(text).is_ok() {
        return Err(AddressError::NoPort(excerpt(text, SHOWN_MAX)));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(AddressError::not_an_ip(text));
    };
    let ip = parse_ip(host)?;
    Ok(SocketAddr::new(ip, parse_port(port)?))
}

/// The network that counts as one address. Under IPv6 that is a whole /64, since any host can choose among its
/// addresses.
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

/// The /48 of an IPv6 address: what a site usually gets, with 65,536 networks in it. `None` under IPv4.
pub fn site_of(ip: IpAddr) -> Option<IpAddr> {
    match ip.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80))),
    }
}

/// The network that counts as one party: under IPv6 the site, under IPv4 the address itself.
pub fn place_of(ip: IpAddr) -> IpAddr {
    site_of(ip).unwrap_or(network_of(ip))
}

/// How many times the limit of a network a site has.
pub const SITE_SHARE: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_links_and_metadata_are_no_address_of_one_machine() {
        let is_of_one = |text: &str| is_of_one_machine(text.parse().expect(text));
        for text in ["192.0.2.9", "10.0.0.1", "100.64.0.1", "127.0.0.1", "2001:db8::1", "fd00::1", "::1"] {
            assert!(is_of_one(text), "{text}");
        }
        for text in [
            "224.0.0.1",
            "::ffff:224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "169.254.1.1",
            "100.100.100.200",
            "192.0.0.192",
            "::",
            "ff02::1",
            "fe80::1",
            "fd00:ec2::254",
        ] {
            assert!(!is_of_one(text), "{text}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        for (text, address) in [
            ("127.0.0.1:18000", "127.0.0.1:18000"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:5000", "[::1]:5000"),
            ("10.0.0.1:0080", "10.0.0.1:80"),
        ] {
            assert_eq!(parse_address(text), Ok(address.parse().expect("an address")), "{text}");
        }
        assert_eq!(parse_ip("[::1]"), parse_ip("::1"));
    }

    #[test]
    fn a_tracker_has_an_address_or_a_name_and_zones_are_kept() {
        for (text, shown, is_name) in [
            ("127.0.0.1:5000", "127.0.0.1:5000", false),
            ("[::1]:5000", "[::1]:5000", false),
            ("[fe80::1%3]:5000", "[fe80::1%3]:5000", false),
            ("[fe80::1%eth0]:5000", "[fe80::1%eth0]:5000", false),
            ("localhost:5000", "localhost:5000", true),
            ("Tracker_1.Example.ORG:5000", "tracker_1.example.org:5000", true),
            ("tracker.example.org.:5000", "tracker.example.org.:5000", true),
            ("7zip:1", "7zip:1", true),
        ] {
            let addr = parse_tracker_address(text).expect(text);
            assert_eq!((addr.to_string().as_str(), addr.is_name()), (shown, is_name));
            assert_eq!(parse_tracker_address(shown), Ok(addr));
        }
        assert_eq!(parse_host("fe80::1%3").map(|host| host.at(5)), parse_tracker_address("[fe80::1%3]:5"));
        for (text, error) in [
            ("tracker", "'tracker' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            ("fe80::1%eth0", "'fe80::1%eth0' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            ("tracker:x", "'x' is not a port, which is a number up to 65535"),
            ("1.2.3:5", "'1.2.3' is neither an IP address such as 127.0.0.1 or [::1] nor the name of a machine"),
        ] {
            assert_eq!(parse_tracker_address(text).expect_err(text).to_string(), error);
        }
        let long = |len: usize| format!("{}:5", "a".repeat(len));
        assert!(parse_tracker_address(&long(LABEL_LEN_MAX)).is_ok());
        assert!(parse_tracker_address(&long(LABEL_LEN_MAX + 1)).is_err());
        let parts = |len: usize| format!("{}aaa:5", "a.".repeat(len / 2 - 1));
        assert!(parse_tracker_address(&parts(NAME_LEN_MAX - 1)).is_ok());
        assert!(parse_tracker_address(&parts(NAME_LEN_MAX + 1)).is_err());
        for wrong in ["-a:5", "a-:5", "a..b:5", ".a:5", "a b:5", "\u{e4}:5", "[a]:5", "::1%:5", "[fe80::1%a/b]:5", ":5"]
        {
            assert!(parse_tracker_address(wrong).is_err(), "{wrong}");
        }
        let zone = |len: usize| parse_host(&format!("fe80::1%{}", "e".repeat(len)));
        assert!(zone(ZONE_LEN_MAX).is_ok() && zone(ZONE_LEN_MAX + 1).is_err());
    }

    #[test]
    fn a_tracker_on_this_machine_is_told_from_others_by_its_address_and_by_its_name() {
        for (text, is_loopback) in [
            ("127.0.0.1:5000", true),
            ("127.3.2.1:5000", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]:5000", true),
            ("localhost:5000", true),
            ("tracker.localhost.:5000", true),
            ("192.0.2.7:5000", false),
            ("[2001:db8::7]:5000", false),
            ("localhost.example:5000", false),
            ("tracker.example:5000", false),
        ] {
            assert_eq!(parse_tracker_address(text).expect(text).is_loopback(), is_loopback, "{text}");
        }
    }

    #[test]
    fn the_error_says_what_is_wrong_with_an_address() {
        for (text, error) in [
            ("localhost:5000", "'localhost' is not an IP address such as 127.0.0.1 or [::1]"),
            ("127.0.0.1", "'127.0.0.1' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            ("::1", "'::1' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            ("127.0.0.1:65536", "'65536' is not a port, which is a number up to 65535"),
            ("127.0.0.1:", "'' is not a port, which is a number up to 65535"),
            ("127.0.0.1:+5", "'+5' is not a port, which is a number up to 65535"),
            ("[127.0.0.1]:5", "'[127.0.0.1]' is not an IP address such as 127.0.0.1 or [::1]"),
            ("\u{1b}c", r"'\u{1b}c' is not an IP address such as 127.0.0.1 or [::1]"),
        ] {
            assert_eq!(parse_address(text).expect_err(text).to_string(), error);
        }
    }
}
