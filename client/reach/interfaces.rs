//! The addresses of this machine at which the client listens, and an id that distinguishes machines.

use crate::sys::random::random_bytes;
use crate::wire::codec::List;
use crate::wire::contact::{INTERFACES_MAX, Interface};
use if_addrs::{IfAddr, IfOperStatus, get_if_addrs};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;

/// The addresses at which others reach a listener that is bound to `listens`. Addresses that only this machine can use
/// come first. Link-local addresses are left out: they need the name of their link, which differs on each machine.
pub fn own_addresses(listens: IpAddr) -> List<Interface, INTERFACES_MAX> {
    // Without the list of interfaces, the trackers still see the address of this client.
    let all = get_if_addrs().unwrap_or_default().into_iter();
    let up = all.filter(|interface| interface.oper_status != IfOperStatus::Down);
    let addresses = up.map(|interface| match interface.addr {
        IfAddr::V4(addr) => Interface { ip: addr.ip.into(), prefix: addr.prefixlen },
        IfAddr::V6(addr) => Interface { ip: addr.ip.into(), prefix: addr.prefixlen },
    });
    List::first_of(listened_at(listens, addresses.collect()))
}

/// All addresses of this machine. `None` if the system does not tell.
pub(crate) fn all_addresses() -> Option<Vec<IpAddr>> {
    Some(get_if_addrs().ok()?.iter().map(|interface| interface.ip()).collect())
}

/// The addresses at which others reach a listener, in an order that depends only on them.
fn listened_at(listens: IpAddr, mut addresses: Vec<Interface>) -> Vec<Interface> {
    let listens = listens.to_canonical();
    let is_reached = |ip: IpAddr| match listens {
        IpAddr::V4(listens) if listens.is_unspecified() => ip.is_ipv4(),
        // Such a listener accepts IPv4 too.
        IpAddr::V6(listens) if listens.is_unspecified() => true,
        listens => ip == listens,
    };
    addresses.retain(|interface| is_reached(interface.ip) && !is_link_local(interface.ip));
    addresses.sort_by_key(|interface| (!interface.ip.is_loopback(), interface.ip, interface.prefix));
    addresses.dedup();
    if addresses.is_empty() && !listens.is_unspecified() {
        // The listener is bound to this address, even if the list lacks it.
        addresses.push(Interface { ip: listens, prefix: if listens.is_ipv4() { 32 } else { 128 } });
    }
    addresses
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// An id that is equal for clients that reach each other through the loopback interface. That holds for clients in one
/// network namespace, until the system restarts. The id tells nothing else about the machine.
pub fn machine() -> [u8; 16] {
    let read = || {
        let boot = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = fs::metadata("/proc/self/ns/net").ok()?;
        Some([&boot[..], &namespace.dev().to_be_bytes(), &namespace.ino().to_be_bytes()].concat())
    };
    // If the system does not tell, this client counts as alone on its machine.
    let told = read().or_else(|| random_bytes::<32>().ok().map(|bytes| bytes.to_vec())).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &told);
    let mut machine = [0; 16];
    machine.copy_from_slice(&digest.as_ref()[..16]);
    machine
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn interface(text: &str) -> Interface {
        let (ip, prefix) = text.split_once('/').expect("a network");
        Interface { ip: ip.parse().expect("an address"), prefix: prefix.parse().expect("a number") }
    }

    #[test]
    fn told_are_the_addresses_at_which_the_client_listens() {
        const ALL: [&str; 7] = [
            "192.168.1.5/24",
            "fe80::1/64",
            "2001:db8::5/64",
            "127.0.0.1/8",
            "169.254.7.7/16",
            "::1/128",
            "192.168.1.5/24",
        ];
        for (listens, told) in [
            ("0.0.0.0", &["127.0.0.1/8", "192.168.1.5/24"][..]),
            ("::", &["127.0.0.1/8", "::1/128", "192.168.1.5/24", "2001:db8::5/64"]),
            ("127.0.0.1", &["127.0.0.1/8"]),
            ("::ffff:192.168.1.5", &["192.168.1.5/24"]),
            ("2001:db8::5", &["2001:db8::5/64"]),
            ("10.0.0.1", &["10.0.0.1/32"]),
        ] {
            let all = ALL.map(interface).to_vec();
            let told: Vec<_> = told.iter().map(|text| interface(text)).collect();
            assert_eq!(listened_at(listens.parse().expect("an address"), all), told, "{listens}");
        }
    }

    #[test]
    fn this_machine_has_a_loopback_address_and_is_the_same_machine_each_time() {
        let told = own_addresses(Ipv6Addr::UNSPECIFIED.into());
        assert!(told.iter().any(|interface| *interface == interface_of_loopback()), "{told:?}");
        assert_eq!((machine(), machine() == [0; 16]), (machine(), false));
    }

    fn interface_of_loopback() -> Interface {
        Interface { ip: Ipv4Addr::LOCALHOST.into(), prefix: 8 }
    }
}
