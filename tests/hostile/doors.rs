//! Strangers and programs that take all places at a tracker's ports.

use crate::common::client::Client;
use crate::common::tracker::TestTracker;
use crate::scale;
use groupshare::tracker::admission::Caps;
use groupshare::wire::client_tracker::Request;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

/// A connection from this address of the machine.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from((from, 0))).expect("a loopback address");
    connect(&socket, &to).expect("it listens");
    socket.into()
}

#[test]
fn strangers_in_all_places_keep_nobody_at_another_address_from_logging_in() {
    let early = scale::of(24, 512);
    let tracker = TestTracker::start_with(|settings| {
        settings.caps = Caps { early, per_address: early, ..Caps::default() };
    });
    tracker.user("ann");
    let crowd = Ipv4Addr::new(127, 0, 5, 1);
    let _silent: Vec<TcpStream> = (0..early).map(|_| connect_from(crowd, tracker.addr)).collect();
    for last in 1..=9 {
        // One more stranger for each client that comes.
        let _another = connect_from(crowd, tracker.addr);
        let mut ann = Client::over(connect_from(Ipv4Addr::new(127, 0, 6, last), tracker.addr)).expect("a place");
        ann.log_in("ann");
        ann.done(Request::Heartbeat {});
    }
}
