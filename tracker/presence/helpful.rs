//! Which addresses of a client can help another one to reach it. Pure.
//!
//! What a client says of itself is a claim. A claim must not be able to point others at a third machine. A tracker
//! believes where a connection comes from and what a handshake has proved. It passes a claimed address on in two cases
//! only. Either the address is private, and the tracker sees both clients at one site. Or it is a loopback address,
//! and both clients are on one machine.

use crate::model::address::is_of_one_machine;
use crate::wire::codec::List;
use crate::wire::contact::{ADDRS_MAX, Contact, Interface};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// The most addresses of each kind to tell, so that no kind crowds out another.
const LOOPBACK_MAX: usize = 1;
const PROVED_MAX: usize = 2;
const PRIVATE_MAX: usize = 3;
const SEEN_MAX: usize = 2;
const _: () = assert!(LOOPBACK_MAX + PROVED_MAX + PRIVATE_MAX + SEEN_MAX <= ADDRS_MAX);
/// Network widths, in leading bits that addresses have in common, at which two machines count as near each other.
const NETWORK_V4: RangeInclusive<u8> = 16..=30;
const NETWORK_V6: RangeInclusive<u8> = 48..=126;

/// The addresses of a client to tell another client, the likeliest first, at most [`ADDRS_MAX`]. `to` is `None` if the
/// other client has not said where it is.
pub fn helpful(of: &Contact, to: Option<&Contact>) -> Vec<SocketAddr> {
    let believed = |addr: &SocketAddr| may_be_told(addr.ip(), of, to);
    let proved = of.proved.iter().copied().map(canonical).filter(believed).take(PROVED_MAX);
    // A proved loopback address is meant for this machine.
    let (named_here, named): (Vec<_>, Vec<_>) = proved.partition(|addr| addr.ip().is_loopback());
    let mut told = named_here;
    told.extend(loopback(of, to).take(LOOPBACK_MAX));
    if !is_for_its_machine_only(of) {
        told.extend(named);
        told.extend(private(of, to).into_iter().take(PRIVATE_MAX));
        told.extend(seen(of).into_iter().filter(believed).take(SEEN_MAX));
    }
    let mut helpful = Vec::new();
    for addr in told {
        let is_of_use = addr.port() != 0 && is_of_one_machine(addr.ip());
        if is_of_use && !helpful.contains(&addr) && !to.is_some_and(|to| is_own(to, addr)) {
            helpful.push(addr);
        }
    }
    helpful
}

/// The addresses of one client, for a meeting at which two clients dial each other at the same time. These are the
/// addresses where the tracker sees the client or a handshake has found it. They are dialed more than once, so claimed
/// ones are left out.
pub fn helpful_to_meet(of: &Contact, to: &Contact) -> Vec<SocketAddr> {
    let believed = |addr: &SocketAddr| may_be_told(addr.ip(), of, Some(to)) && !addr.ip().is_loopback();
    let proved: Vec<_> = of.proved.iter().copied().map(canonical).take(PROVED_MAX).collect();
    let is_evidence = |addr: &SocketAddr| proved.contains(addr) || seen(of).contains(addr);
    helpful(of, Some(to)).into_iter().filter(believed).filter(is_evidence).collect()
}

/// As [`helpful_to_meet`], for a client that dials from a port for this meeting alone, where a tracker sees it. All
/// other known or claimed addresses of the client belong to another port.
pub fn helpful_to_meet_at(seen: SocketAddr, of: &Contact, to: &Contact) -> Vec<SocketAddr> {
    let port = seen.port();
    helpful_to_meet(&Contact { seen, port, announced: None, proved: List::EMPTY, ..of.clone() }, to)
}

/// The address of a client to tell a program. Programs usually run on the tracker's machine. So the address may be a
/// loopback one if the client is on that machine too.
pub fn helpful_to_program(of: &Contact) -> Option<SocketAddr> {
    let here = || claims(of).find(|claim| claim.ip.is_loopback() && of.seen.ip().to_canonical().is_loopback());
    let likely = helpful(of, None).into_iter().next();
    likely.or_else(|| here().map(|claim| SocketAddr::new(claim.ip, of.port)))
}

/// Turns an IPv4 address in IPv6 form into an IPv4 one.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The addresses that a client claims to listen at.
fn claims(of: &Contact) -> impl Iterator<Item = Interface> + '_ {
    of.interfaces.iter().map(|claim| Interface { ip: claim.ip.to_canonical(), prefix: claim.prefix })
}

/// Whether a client listens at loopback addresses only.
fn is_for_its_machine_only(of: &Contact) -> bool {
    !of.interfaces.is_empty() && claims(of).all(|claim| claim.ip.is_loopback())
}

/// The loopback addresses, for clients on the same machine.
fn loopback<'a>(of: &'a Contact, to: Option<&Contact>) -> impl Iterator<Item = SocketAddr> + 'a {
    let is_near = to.is_some_and(|to| to.machine == of.machine);
    let near = claims(of).filter(move |claim| is_near && claim.ip.is_loopback());
    near.map(|claim| SocketAddr::new(claim.ip, of.port))
}

/// The private addresses, for clients at the same site. Those in a network of the other client come first.
fn private(of: &Contact, to: Option<&Contact>) -> Vec<SocketAddr> {
    let Some(to) = to else { return Vec::new() };
    let (of_ip, to_ip) = (of.seen.ip().to_canonical(), to.seen.ip().to_canonical());
    let shares_network = |claim: &Interface| claims(to).any(|own| is_one_network(&own, claim));
    // A client on the tracker's machine is in that machine's networks. Elsewhere, a network with the same numbers is
    // another network.
    let is_beside_tracker = of_ip.is_loopback() && is_in_trackers_site(to_ip);
    let is_one_site = is_one_public_address(of_ip, to_ip);
    let may_help = |claim: &Interface| is_one_site || is_beside_tracker && shares_network(claim);
    let mut told: Vec<_> =
        claims(of).filter(|claim| is_private(claim.ip) && is_host(claim) && may_help(claim)).collect();
    told.sort_by_key(|claim| !shares_network(claim));
    told.into_iter().map(|claim| SocketAddr::new(claim.ip, of.port)).collect()
}

/// Where the tracker sees a client: at its listening port. If a NAT lies between, the port of the link comes before
/// that. A NAT passes nothing to the listening port unless it is set up to.
fn seen(of: &Contact) -> Vec<SocketAddr> {
    let ip = of.seen.ip().to_canonical();
    let is_mapped = !of.interfaces.is_empty() && claims(of).all(|claim| claim.ip != ip);
    match (is_mapped, ip.is_loopback()) {
        // The link comes from the tracker's machine, but the client does not listen at this address.
        (true, true) => Vec::new(),
        (true, false) => vec![SocketAddr::new(ip, of.seen.port()), SocketAddr::new(ip, of.port)],
        (false, _) => vec![SocketAddr::new(ip, of.port)],
    }
}

/// Whether a believed address leads to the same machine when the other client uses it.
fn may_be_told(ip: IpAddr, of: &Contact, to: Option<&Contact>) -> bool {
    let Some(to) = to else { return true };
    let to_ip = to.seen.ip().to_canonical();
    match ip {
        ip if ip.is_loopback() => to.machine == of.machine,
        // It means a machine of the tracker's site; at another site it means a different one.
        ip if is_private(ip) => is_in_trackers_site(to_ip),
        _ => true,
    }
}

/// Whether a connection from this address comes from the tracker's own site.
fn is_in_trackers_site(ip: IpAddr) -> bool {
    is_private(ip) || ip.is_loopback()
}

/// Whether connections from these two addresses come from one site: the same IPv4 address, as behind a NAT, or one
/// IPv6 network of 64 bits.
fn is_one_public_address(one: IpAddr, two: IpAddr) -> bool {
    match (one, two) {
        (IpAddr::V4(one), IpAddr::V4(two)) => one == two,
        (IpAddr::V6(one), IpAddr::V6(two)) => one.octets()[..8] == two.octets()[..8],
        _ => false,
    }
}

/// Whether two interfaces are on one network: the same plausible width, and the same leading bits.
fn is_one_network(one: &Interface, two: &Interface) -> bool {
    let widths = if one.ip.is_ipv4() { NETWORK_V4 } else { NETWORK_V6 };
    widths.contains(&one.prefix)
        && (one.prefix, one.ip.is_ipv4()) == (two.prefix, two.ip.is_ipv4())
        && bits(one.ip).0 >> host_len(one) == bits(two.ip).0 >> host_len(two)
}

/// Whether an address is neither the address of its network nor its broadcast address.
fn is_host(claim: &Interface) -> bool {
    let (bits, len) = bits(claim.ip);
    let host_len = len.saturating_sub(u32::from(claim.prefix));
    if !claim.ip.is_ipv4() || host_len < 2 {
        return true;
    }
    let mask = (1u128 << host_len) - 1;
    ![0, mask].contains(&(bits & mask))
}

/// The bits of an address, and their number.
fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(ip) => (ip.to_bits().into(), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    }
}

/// How many bits number the machines within a network.
fn host_len(interface: &Interface) -> u32 {
    bits(interface.ip).1.saturating_sub(u32::from(interface.prefix))
}

/// Whether the other client itself listens at this address, or its own link comes from it.
fn is_own(to: &Contact, addr: SocketAddr) -> bool {
    let seen = canonical(to.seen);
    let is_here = seen.ip() == addr.ip() || claims(to).any(|own| own.ip == addr.ip());
    addr == seen || addr.port() == to.port && is_here
}

/// Whether an address belongs to a network apart from the internet.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        // 100.64.0.0/10 is for the NATs of providers (RFC 6598). Overlay networks use it too.
        IpAddr::V4(ip) => ip.is_private() || ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64,
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::contact::tests::contact;

    const PORT: u16 = 18_000;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn interface(text: &str) -> Interface {
        let (ip, prefix) = text.split_once('/').expect("a network");
        Interface { ip: ip.parse().expect("an address"), prefix: prefix.parse().expect("a number") }
    }

    /// A client on a machine of its own that listens at these addresses, at port 18000.
    fn at(machine: u8, seen: &str, interfaces: &[&str]) -> Contact {
        let interfaces = List::new(interfaces.iter().map(|text| interface(text)).collect()).expect("few");
        Contact { seen: addr(seen), interfaces, machine: [machine; 16], ..contact(PORT) }
    }

    /// A client that asks: in the same places, with another port.
    fn asks(machine: u8, seen: &str, interfaces: &[&str]) -> Contact {
        Contact { port: 18_001, ..at(machine, seen, interfaces) }
    }

    fn told(of: &Contact, to: &Contact) -> Vec<String> {
        helpful(of, Some(to)).iter().map(ToString::to_string).collect()
    }

    const LOOPBACK: [&str; 2] = ["127.0.0.1/8", "::1/128"];
    const OPEN: [&str; 2] = ["127.0.0.1/8", "203.0.113.5/24"];
    const HOME: [&str; 2] = ["127.0.0.1/8", "192.168.1.5/24"];

    /// A client elsewhere on the internet, in a home network with the same numbers as every other.
    fn stranger() -> Contact {
        asks(9, "198.51.100.9:41000", &["127.0.0.1/8", "192.168.1.9/24"])
    }

    #[test]
    fn every_asker_gets_the_addresses_that_can_help_it() {
        let open = at(1, "203.0.113.5:18000", &OPEN);
        let behind_nat = at(1, "203.0.113.7:40001", &HOME);
        let ipv6 = at(1, "[2001:db8:1::5]:18000", &["2001:db8:1::5/64", "fd00::5/64"]);
        let for_itself = at(1, "203.0.113.5:40001", &LOOPBACK);
        let at_tracker = at(1, "127.0.0.1:18000", &["127.0.0.1/8", "192.168.1.5/24"]);
        let in_site = at(1, "192.168.1.5:18000", &HOME);
        let silent = at(1, "203.0.113.5:40001", &[]);
        let same_home = asks(2, "203.0.113.7:40002", &["192.168.1.6/24"]);
        let same_site = asks(2, "192.168.1.6:18001", &["192.168.1.6/24"]);
        let beside_tracker = asks(2, "127.0.0.1:40000", &["192.168.7.6/24"]);
        let same_machine = asks(1, "203.0.113.5:40002", &OPEN);
        for (case, of, to, addrs) in [
            ("a public address", &open, &stranger(), &["203.0.113.5:18000"][..]),
            ("one machine", &open, &same_machine, &["127.0.0.1:18000", "203.0.113.5:18000"]),
            ("a NAT", &behind_nat, &stranger(), &["203.0.113.7:40001", "203.0.113.7:18000"]),
            ("one NAT", &behind_nat, &same_home, &["192.168.1.5:18000", "203.0.113.7:40001", "203.0.113.7:18000"]),
            ("IPv6", &ipv6, &stranger(), &["[2001:db8:1::5]:18000"]),
            (
                "one network of IPv6",
                &ipv6,
                &asks(2, "[2001:db8:1::6]:18001", &[]),
                &["[fd00::5]:18000", "[2001:db8:1::5]:18000"],
            ),
            ("listens for its machine only", &for_itself, &stranger(), &[]),
            ("the same, one NAT", &for_itself, &same_home, &[]),
            ("the same, one machine", &for_itself, &same_machine, &["127.0.0.1:18000"]),
            ("on the tracker's machine", &at_tracker, &stranger(), &[]),
            ("the same, in a network of that machine", &at_tracker, &same_site, &["192.168.1.5:18000"]),
            (
                "the same, one machine",
                &at_tracker,
                &asks(1, "127.0.0.1:18001", &["192.168.1.7/24"]),
                &["127.0.0.1:18000", "192.168.1.5:18000"],
            ),
            ("the tracker's site", &in_site, &same_site, &["192.168.1.5:18000"]),
            ("the same, on the tracker's machine", &in_site, &beside_tracker, &["192.168.1.5:18000"]),
            ("the same, from elsewhere", &in_site, &stranger(), &[]),
            ("says nothing of its addresses", &silent, &stranger(), &["203.0.113.5:18000"]),
        ] {
            assert_eq!(told(of, to), addrs, "{case}");
        }
        assert_eq!(helpful(&open, None), [addr("203.0.113.5:18000")]);
        assert_eq!(helpful(&for_itself, None), []);
    }

    #[test]
    fn clients_that_both_dial_meet_where_the_tracker_sees_them_and_at_no_claimed_address() {
        let behind_nat = at(1, "203.0.113.7:40001", &HOME);
        let same_home = asks(2, "203.0.113.7:40002", &["192.168.1.6/24"]);
        let in_site = at(1, "192.168.1.5:18000", &["127.0.0.1/8", "192.168.1.5/24", "10.1.2.3/24"]);
        let same_site = asks(2, "192.168.1.6:18001", &["192.168.1.6/24", "10.1.2.4/24"]);
        let at_tracker = at(1, "127.0.0.1:18000", &["127.0.0.1/8", "192.168.1.5/24"]);
        let same_machine = asks(1, "127.0.0.1:18001", &["127.0.0.1/8"]);
        let mut proved = at(1, "203.0.113.7:40001", &HOME);
        proved.proved = List::first_of(vec![addr("203.0.113.7:7000")]);
        for (case, of, to, addrs) in [
            ("a NAT", &behind_nat, &stranger(), &["203.0.113.7:40001", "203.0.113.7:18000"][..]),
            ("one NAT", &behind_nat, &same_home, &["203.0.113.7:40001", "203.0.113.7:18000"]),
            ("proved", &proved, &same_home, &["203.0.113.7:7000", "203.0.113.7:40001", "203.0.113.7:18000"]),
            ("the tracker's site", &in_site, &same_site, &["192.168.1.5:18000"]),
            ("the same, from elsewhere", &in_site, &stranger(), &[]),
            ("on the tracker's machine", &at_tracker, &same_site, &[]),
            ("the same, one machine", &at_tracker, &same_machine, &[]),
        ] {
            let told: Vec<_> = helpful_to_meet(of, to).iter().map(ToString::to_string).collect();
            assert_eq!(told, addrs, "{case}");
        }
    }

    #[test]
    fn an_address_that_a_client_names_counts_once_it_is_proved() {
        let mut of = at(1, "203.0.113.7:40001", &HOME);
        of.announced = Some(addr("203.0.113.7:7000"));
        assert_eq!(told(&of, &stranger()), ["203.0.113.7:40001", "203.0.113.7:18000"]);
        of.proved = List::first_of(vec![addr("[::ffff:203.0.113.7]:7000"), addr("203.0.113.7:18000")]);
        assert_eq!(told(&of, &stranger()), ["203.0.113.7:7000", "203.0.113.7:18000", "203.0.113.7:40001"]);
    }

    #[test]
    fn a_proved_address_of_the_trackers_site_is_told_there_only() {
        let mut of = at(1, "192.168.1.5:18000", &HOME);
        of.proved = List::first_of(vec![addr("192.168.1.5:7000")]);
        assert_eq!(told(&of, &stranger()), [""; 0]);
        assert_eq!(told(&of, &asks(2, "192.168.1.6:1", &[])), ["192.168.1.5:7000", "192.168.1.5:18000"]);
        of.seen = addr("127.0.0.1:18000");
        of.proved = List::first_of(vec![addr("127.0.0.1:18000")]);
        assert_eq!(told(&of, &asks(2, "192.168.1.6:1", &[])), [""; 0], "a loopback address is for its own machine");
    }

    #[test]
    fn a_loopback_address_that_is_named_and_proved_comes_before_the_one_at_which_the_client_listens() {
        let mut of = at(1, "127.0.0.1:40000", &["127.0.0.1/8"]);
        of.proved = List::first_of(vec![addr("127.0.0.1:7000")]);
        let to = asks(1, "127.0.0.1:40001", &["127.0.0.1/8"]);
        assert_eq!(told(&of, &to), ["127.0.0.1:7000", "127.0.0.1:18000"]);
    }

    /// A client cannot send others to a machine by claiming its address.
    #[test]
    fn a_third_party_whose_address_is_announced_gets_no_attempt() {
        let seen = ["198.51.100.66:18000"];
        let home = asks(2, "203.0.113.7:40002", &["192.168.1.6/24", "10.0.0.6/8", "172.16.0.6/12"]);
        let tracker_site = asks(3, "192.168.1.6:18001", &["192.168.1.6/24"]);
        let askers = [&stranger(), &home, &tracker_site, &asks(4, "[2001:db8:1::6]:1", &["fd00::6/64"])];
        for claim in [
            "203.0.113.99/24",
            "203.0.113.99/0",
            "203.0.113.7/32",
            "192.168.1.1/24",
            "192.168.1.1/0",
            "10.0.0.1/8",
            "172.16.0.1/12",
            "100.64.0.1/10",
            "169.254.169.254/16",
            "100.100.100.200/32",
            "224.0.0.1/4",
            "255.255.255.255/32",
            "0.0.0.0/0",
            "0.0.0.1/8",
            "::/0",
            "::1/128",
            "127.0.0.1/8",
            "2001:db8:1::1/64",
            "fe80::1/64",
            "ff02::1/16",
            "fd00::1/64",
            "fd00:ec2::254/64",
            "::ffff:192.168.1.1/120",
        ] {
            let mut of = at(66, seen[0], &["198.51.100.66/24", claim]);
            of.announced = Some(addr("203.0.113.99:80"));
            for to in askers {
                assert_eq!(told(&of, to), seen, "{claim}");
            }
        }
    }

    #[test]
    fn behind_one_public_address_private_addresses_of_single_machines_are_told_and_no_others() {
        let to = asks(2, "203.0.113.7:40002", &["192.168.1.6/24"]);
        for (claim, is_told) in [
            ("192.168.1.5/24", true),
            ("10.1.2.3/8", true),
            ("172.31.0.1/12", true),
            ("100.64.3.4/10", true),
            ("fd12::5/64", true),
            ("192.168.1.0/24", false),
            ("192.168.1.255/24", false),
            ("172.32.0.1/12", false),
            ("203.0.113.99/24", false),
            ("8.8.8.8/0", false),
            ("169.254.169.254/16", false),
            ("100.100.100.200/10", false),
            ("fd00:ec2::254/64", false),
            ("fe80::5/64", false),
            ("2001:db8::5/64", false),
            ("224.0.0.5/4", false),
            ("0.0.0.0/0", false),
        ] {
            let of = at(1, "203.0.113.7:40001", &["192.168.99.99/32", claim]);
            let claimed = SocketAddr::new(interface(claim).ip, PORT);
            assert_eq!(helpful(&of, Some(&to)).contains(&claimed), is_told, "{claim}");
        }
    }

    #[test]
    fn only_a_network_of_a_sane_width_that_both_are_on_is_one_network() {
        for (one, two, is_one) in [
            ("192.168.1.5/24", "192.168.1.6/24", true),
            ("10.1.0.5/16", "10.1.9.6/16", true),
            ("fd00::5/64", "fd00::6/64", true),
            ("192.168.1.5/24", "192.168.2.6/24", false),
            ("192.168.1.5/24", "192.168.1.6/16", false),
            ("192.168.1.5/0", "192.168.1.6/0", false),
            ("10.0.0.5/8", "10.0.0.6/8", false),
            ("10.0.0.5/15", "10.0.0.6/15", false),
            ("10.0.0.5/31", "10.0.0.4/31", false),
            ("10.0.0.5/32", "10.0.0.5/32", false),
            ("10.0.0.5/255", "10.0.0.5/255", false),
            ("fd00::5/0", "fd00::6/0", false),
            ("fd00::5/47", "fd00::6/47", false),
            ("fd00::5/128", "fd00::5/128", false),
            ("fd00::5/255", "fd00::5/255", false),
            ("10.0.0.5/64", "fd00::6/64", false),
        ] {
            assert_eq!(is_one_network(&interface(one), &interface(two)), is_one, "{one} {two}");
            let (of, to) = (at(1, "127.0.0.1:18000", &["127.0.0.1/8", one]), asks(2, "10.9.9.9:1", &[two]));
            assert_eq!(helpful(&of, Some(&to)).len(), usize::from(is_one), "{one} {two}");
        }
    }

    #[test]
    fn nobody_is_told_its_own_address() {
        let (of, to) = (at(1, "203.0.113.7:40001", &HOME), at(2, "203.0.113.7:18000", &["192.168.1.6/24"]));
        assert_eq!(told(&of, &to), ["192.168.1.5:18000", "203.0.113.7:40001"]);
        let to = at(2, "203.0.113.7:40001", &["192.168.1.5/24"]);
        assert_eq!(told(&of, &to), [""; 0]);
        for one in [at(1, "203.0.113.5:18000", &OPEN), at(1, "127.0.0.1:40000", &OPEN), at(1, "[::1]:1", &LOOPBACK)] {
            assert_eq!(told(&one, &one), [""; 0]);
        }
    }

    #[test]
    fn many_addresses_keep_no_kind_out_and_the_network_of_the_asker_comes_first() {
        let many: Vec<String> = (1..=14).map(|number| format!("172.{}.0.1/16", 16 + number)).collect();
        let mut claims: Vec<&str> = many.iter().map(String::as_str).collect();
        claims.extend(["127.0.0.1/8", "192.168.1.5/24"]);
        let mut of = at(1, "203.0.113.7:40001", &claims);
        of.proved = List::first_of((1..=4).map(|port| SocketAddr::new(of.seen.ip(), port)).collect());
        let to = asks(1, "203.0.113.7:40002", &["192.168.1.6/24"]);
        let expected = [
            "127.0.0.1:18000",
            "203.0.113.7:1",
            "203.0.113.7:2",
            "192.168.1.5:18000",
            "172.17.0.1:18000",
            "172.18.0.1:18000",
            "203.0.113.7:40001",
            "203.0.113.7:18000",
        ];
        assert_eq!((told(&of, &to), expected.len()), (expected.map(str::to_owned).to_vec(), ADDRS_MAX));
    }

    #[test]
    fn a_client_that_dials_from_a_port_of_its_own_is_met_only_where_the_tracker_sees_that_port() {
        let mut behind_nat = at(1, "203.0.113.7:40001", &HOME);
        behind_nat.proved = List::first_of(vec![addr("203.0.113.7:7000")]);
        let met = |of: &Contact, seen: &str| helpful_to_meet_at(addr(seen), of, &stranger());
        assert_eq!(met(&behind_nat, "203.0.113.7:51000"), [addr("203.0.113.7:51000")]);
        assert_eq!(met(&at(1, "203.0.113.5:18000", &OPEN), "203.0.113.5:51000"), [addr("203.0.113.5:51000")]);
        assert_eq!(met(&at(1, "192.168.1.5:18000", &HOME), "192.168.1.5:51000"), [], "one of the tracker's site");
    }

    #[test]
    fn a_port_on_which_no_client_can_listen_is_not_told() {
        assert_eq!(told(&Contact { port: 0, ..at(1, "203.0.113.5:40001", &OPEN) }, &stranger()), [""; 0]);
    }
}
