//! The effect of one user with hundreds of useless clients on a download.

use super::ordeal::Ordeal;
use crate::common::subject::{all, user};
use crate::common::wait::wait_until;
use crate::member::Member;
use groupshare::model::id::{ClientId, PeerKey};
use groupshare::wire::client_tracker::Peer;
use groupshare::wire::codec::List;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Clients of one user.
const CLIENTS: u16 = 400;

/// How a client treats a connection.
type Doing = fn(TcpStream);

fn says_nothing(mut stream: TcpStream) {
    while matches!(stream.read(&mut [0; 512]), Ok(1..)) {}
}

fn drips(mut stream: TcpStream) {
    while stream.write_all(&[0]).is_ok() {
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// Downloads from an honest member beside the clients of one user, each at an address of its own. Returns how many
/// connections they got until the file was complete, and how long that took.
fn connections_of_a_crowd_that(does: Doing) -> (usize, Duration) {
    let ordeal = Ordeal::new();
    // Every address of 127.0.0.0/8 leads to this machine.
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || does(stream));
        }
    });
    let of_crowd = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let mut client = [9; 16];
        client[..2].copy_from_slice(&[high, low]);
        let addr = SocketAddr::from((Ipv4Addr::new(127, 77, high, low), port));
        let (key, addrs) = (PeerKey([9; 32]), List::first_of(vec![addr]));
        Peer { client: ClientId(client), user: user(9), key, addrs, held: u32::MAX }
    };
    let (victim, honest) = (Member::new(200), Member::new(201));
    honest.seed(&ordeal.data, &ordeal.subject, all(&ordeal.subject));
    victim.download(1, &ordeal.subject);
    let begun = Instant::now();
    victim.engine.peers(1, (1..=CLIENTS).map(of_crowd).collect());
    wait_until("the first are dialed", || connections.load(Ordering::SeqCst) > 0);
    // Each of them claims again and again that it has just come online.
    (1..=CLIENTS).for_each(|number| victim.engine.arrived(1, of_crowd(number)));
    victim.engine.peers(1, vec![honest.peer(201, &ordeal.subject)]);
    victim.expect_finished(&ordeal.data);
    (connections.load(Ordering::SeqCst), begun.elapsed())
}

/// The most dials of one user in this time: two at once, and again after each pause. A pause is half a second, the
/// retry delay of a user, and once less for having come online.
fn most_after(took: Duration) -> usize {
    2 * (2 + took.as_millis() as usize / 500)
}

#[test]
fn hundreds_of_clients_who_say_nothing_are_dialed_like_two() {
    let (connections, took) = connections_of_a_crowd_that(says_nothing);
    assert!(connections <= most_after(took), "{connections} in {took:?}");
}

#[test]
fn hundreds_of_clients_who_hang_up_are_dialed_like_two() {
    let (connections, took) = connections_of_a_crowd_that(drop);
    assert!(connections <= most_after(took), "{connections} in {took:?}");
}

#[test]
fn hundreds_of_clients_who_drip_are_dialed_like_two() {
    let (connections, took) = connections_of_a_crowd_that(drips);
    assert!(connections <= most_after(took), "{connections} in {took:?}");
}
