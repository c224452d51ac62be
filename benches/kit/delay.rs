//! A relay to a tracker far away: it delays every byte by the same time, and no byte waits for another.

use crossbeam_channel::unbounded;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Returns an address. A client that connects there reaches `to` with this round trip. The threads end with this
/// process.
pub(crate) fn relay(to: SocketAddr, round_trip: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = TcpStream::connect(to).expect("it runs");
            for (from, to) in [(&near, &far), (&far, &near)] {
                from.set_nodelay(true).expect("a socket");
                delay(from.try_clone().expect("descriptors"), to.try_clone().expect("descriptors"), round_trip / 2);
            }
        }
    });
    addr
}

fn delay(mut from: TcpStream, mut to: TcpStream, by: Duration) {
    let (came, due) = unbounded::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if came.send((Instant::now() + by, buffer[..len].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (at, bytes) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
