//! The effect on members when strangers take up a seeder's connections and send nothing, or next to nothing.

use super::leechers::{addr, recorded_download, replayer, seeder, still_serves};
use super::ordeal::Ordeal;
use super::scale;
use crate::common::deadline::LONG;
use crate::common::identity::opening;
use crate::member::{greet, open};
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::handshake::refusal_in_clear;
use groupshare::wire::peer::PeerRequest;
use groupshare::wire::refusal::Code;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Far more than a seeder has places.
const STRANGERS: usize = 300;

/// Connects from one of the loopback addresses.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
    bind(&socket, &SocketAddr::from((from, 0))).expect("a loopback address");
    connect(&socket, &to).expect("the seeder listens");
    socket.into()
}

/// Whether this stranger got the answer that there is no place.
fn is_busy(mut stranger: TcpStream) -> bool {
    stranger.set_read_timeout(Some(LONG)).expect("an option");
    let mut told = Vec::new();
    let _ = stranger.read_to_end(&mut told);
    told == refusal_in_clear(Code::Busy)
}

#[test]
fn members_are_served_while_strangers_hold_all_the_connections_they_can() {
    let ordeal = Ordeal::new();
    let (seeder, _) = seeder(&ordeal);
    let to = addr(&seeder, &ordeal);
    // Some send nothing, some a byte, and some all of a beginning except the last byte.
    let beginning = [&b"GRPSHARE\x00\x04\x02"[..], &[7; 16], &[0, 48], &[1; 47]].concat();
    let stranger = |number: usize, from| {
        let mut stranger = connect_from(from, to);
        let len = [0, 1, 26, beginning.len()][number % 4];
        // A stranger that must give way at once may not get so far.
        let _ = stranger.write_all(&beginning[..len]);
        stranger
    };
    // As many as fit from the address of the members, and from many other addresses.
    let mut near: Vec<_> = (0..STRANGERS).map(|number| stranger(number, Ipv4Addr::LOCALHOST)).collect();
    drop(open(&seeder, &ordeal.subject, 3).expect("there is a place at the first try"));
    still_serves(&seeder, &ordeal);
    let far = (0..scale::of(STRANGERS, 4 * STRANGERS))
        .map(|number| stranger(number, Ipv4Addr::new(127, 9, 9, 1 + (number % 100) as u8)));
    let _far: Vec<_> = far.collect();
    drop(open(&seeder, &ordeal.subject, 3).expect("there is a place at the first try"));
    still_serves(&seeder, &ordeal);
    assert!(is_busy(near.remove(0)), "the first ones had to make room, and know why");
}

#[test]
fn members_are_served_while_somebody_repeats_the_beginnings_of_members_and_holds_them() {
    let ordeal = Ordeal::new();
    let (seeder, _) = seeder(&ordeal);
    let relay = recorded_download(&seeder, &ordeal);
    // The preface and the first message of the handshake.
    let beginning = opening(&relay.said()[0]).to_vec();
    let repeat = |_| {
        let mut replayer = replayer(&seeder, &ordeal, &beginning);
        // The seeder answers it, and the next request never comes.
        replayer.read_exact(&mut [0; 2 + 56]).expect("the handshake is answered");
        replayer
    };
    let _held: Vec<_> = (0..STRANGERS).map(repeat).collect();
    drop(open(&seeder, &ordeal.subject, 3).expect("there is a place at the first try"));
    still_serves(&seeder, &ordeal);
}

/// A socket that writes slowly.
struct Slow(TcpStream);

impl Read for Slow {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Slow {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        for part in buf.chunks(buf.len().div_ceil(7)) {
            std::thread::park_timeout(Duration::from_secs(1));
            self.0.write_all(part)?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_handshake_gives_no_extra_time_for_the_question() {
    let ordeal = Ordeal::new();
    let (seeder, _) = seeder(&ordeal);
    let begun = Instant::now();
    let mut slow = Slow(TcpStream::connect(addr(&seeder, &ordeal)).expect("the seeder listens"));
    let greeted = greet(&mut slow, &seeder, 2, 7);
    let greeted_after = begun.elapsed();
    slow.0.set_read_timeout(Some(LONG)).expect("an option");
    let _ = slow.0.read_to_end(&mut Vec::new());
    // On a very busy machine the handshake alone takes too long.
    if greeted.is_ok() {
        let after = begun.elapsed();
        assert!(after < greeted_after + HANDSHAKE_DEADLINE * 3 / 4, "{greeted_after:?} {after:?}");
    }
}

#[test]
fn strangers_take_no_place_from_members_who_are_there() {
    let ordeal = Ordeal::new();
    let (seeder, _) = seeder(&ordeal);
    let mut members: Vec<_> =
        (0..100).map(|number| open(&seeder, &ordeal.subject, number).expect("there is a place")).collect();
    let _strangers: Vec<_> =
        (0..STRANGERS).map(|_| TcpStream::connect(addr(&seeder, &ordeal)).expect("the seeder listens")).collect();
    members.push(open(&seeder, &ordeal.subject, 100).expect("there is a place for a member"));
    for (receiver, sender) in &mut members {
        sender.send(2, &PeerRequest::KeepAlive {}).expect("sent");
        assert_eq!(receiver.recv(LONG).expect("an answer").request, 2);
    }
}
