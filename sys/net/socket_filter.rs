//! A listening socket that ignores some places: the system drops their packets, and no thread works for them.

use socket2::{SockFilter, SockRef};
use std::io;
use std::net::{IpAddr, TcpListener};

/// Most places that a socket ignores.
pub const PLACES_MAX: usize = 64;

/// The whole packet passes.
const HEAR: SockFilter = SockFilter::new(RETURN, 0, 0, u32::MAX);
/// The system drops the packet.
const DROP: SockFilter = SockFilter::new(RETURN, 0, 0, 0);

// Instructions of the classic Berkeley packet filter (linux/filter.h), each with a constant.
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const SHIFT_RIGHT: u16 = (libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// Where the IP header begins, for a load instruction.
const IP_HEADER: u32 = libc::SKF_NET_OFF as u32;
/// Where the IP header has the sender's address.
const FROM_V4: u32 = IP_HEADER + 12;
const FROM_V6: u32 = IP_HEADER + 8;

/// From now on the system drops all packets to a listening socket from these addresses; under IPv6 from the /48 of
/// each. A client there gets no answer, and its system tries again after 1, 3 and 7 s. Without addresses the socket
/// hears everybody. Existing connections go on. Places beyond [`PLACES_MAX`] are not ignored.
///
/// # Errors
/// Those of setsockopt(2).
pub fn ignore(socket: &TcpListener, places: &[IpAddr]) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if places.is_empty() { socket.detach_filter() } else { socket.attach_filter(&program(places)) }
}

fn program(places: &[IpAddr]) -> Vec<SockFilter> {
    let (mut four, mut six) = (vec![SockFilter::new(LOAD_WORD, 0, 0, FROM_V4)], Vec::new());
    for place in places.iter().take(PLACES_MAX) {
        match place.to_canonical() {
            IpAddr::V4(ip) => four.extend([SockFilter::new(JUMP_IF_EQUAL, 0, 1, ip.to_bits()), DROP]),
            IpAddr::V6(ip) => {
                let site = (ip.to_bits() >> 80) as u64;
                six.extend([
                    SockFilter::new(LOAD_WORD, 0, 0, FROM_V6),
                    SockFilter::new(JUMP_IF_EQUAL, 0, 4, (site >> 16) as u32),
                    SockFilter::new(LOAD_WORD, 0, 0, FROM_V6 + 4),
                    SockFilter::new(AND, 0, 0, 0xffff_0000),
                    SockFilter::new(JUMP_IF_EQUAL, 0, 1, (site as u32) << 16),
                    DROP,
                ]);
            }
        }
    }
    four.push(HEAR);
    six.push(HEAR);
    // The first four bits are the version.
    let begin = [
        SockFilter::new(LOAD_BYTE, 0, 0, IP_HEADER),
        SockFilter::new(SHIFT_RIGHT, 0, 0, 4),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, 6),
        SockFilter::new(JUMP, 0, 0, six.len() as u32),
    ];
    begin.into_iter().chain(six).chain(four).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
    use std::time::Duration;

    /// Long enough for a connection on this machine, and shorter than the pause before the system's next attempt.
    const MOMENT: Duration = Duration::from_millis(600);

    fn listening(ip: IpAddr) -> (TcpListener, SocketAddr) {
        let socket = TcpListener::bind((ip, 0)).expect("a free port");
        let addr = socket.local_addr().expect("bound");
        (socket, addr)
    }

    fn is_heard(from: Ipv4Addr, addr: SocketAddr) -> bool {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        rustix::net::bind(&socket, &SocketAddr::from((from, 0))).expect("an address of this machine");
        let socket = socket2::Socket::from(socket);
        socket.connect_timeout(&addr.into(), MOMENT).is_ok()
    }

    #[test]
    fn an_ignored_address_gets_no_answer_and_every_other_one_does() {
        let (socket, addr) = listening(Ipv4Addr::new(127, 201, 44, 1).into());
        let [one, other, third] = [2, 3, 4].map(|last| Ipv4Addr::new(127, 201, 44, last));
        ignore(&socket, &[one.into(), Ipv6Addr::LOCALHOST.into(), other.into()]).expect("set");
        assert_eq!([one, other, third].map(|from| is_heard(from, addr)), [false, false, true]);
        ignore(&socket, &[other.into()]).expect("set");
        assert_eq!([one, other, third].map(|from| is_heard(from, addr)), [true, false, true]);
        ignore(&socket, &[]).expect("set");
        assert_eq!([one, other, third].map(|from| is_heard(from, addr)), [true, true, true]);
    }

    #[test]
    fn under_ipv6_all_of_a_site_is_ignored_and_ipv4_beside_it_on_the_same_socket() {
        // Some machines have no IPv6.
        let Ok(socket) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return };
        let port = socket.local_addr().expect("bound").port();
        let here = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        let by_v6 = || TcpStream::connect_timeout(&here, MOMENT).is_ok();
        if !by_v6() {
            return;
        }
        let (from, addr) = (Ipv4Addr::new(127, 201, 44, 9), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let elsewhere = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
        let same_site = Ipv6Addr::new(0, 0, 0, 9, 0, 0, 0, 0);
        ignore(&socket, &[elsewhere.into()]).expect("set");
        assert!(by_v6() && is_heard(from, addr));
        ignore(&socket, &[elsewhere.into(), same_site.into()]).expect("set");
        assert!(!by_v6() && is_heard(from, addr));
        ignore(&socket, &[from.into()]).expect("set");
        assert!(by_v6() && !is_heard(from, addr));
    }

    #[test]
    fn more_places_than_there_may_be_are_heard() {
        let (socket, addr) = listening(Ipv4Addr::new(127, 201, 45, 1).into());
        let places: Vec<IpAddr> = (0..200).map(|last| Ipv4Addr::new(127, 201, 45, 20 + last).into()).collect();
        let sites = (0..200).map(|site| Ipv6Addr::new(0x2001, 0xdb8, site, 0, 0, 0, 0, 0).into()).collect::<Vec<_>>();
        ignore(&socket, &sites).expect("the longest program fits");
        ignore(&socket, &places).expect("set");
        let [first, last] = [20, 219].map(|last| Ipv4Addr::new(127, 201, 45, last));
        assert_eq!([first, last].map(|from| is_heard(from, addr)), [false, true]);
    }
}
