//! The cost of a read of the tracker's state beside an echo. 64 clients send requests to three servers. The first is a
//! tracker. The second answers each request at once, over the same handshake, records and frames. The third echoes
//! bytes over plain TCP. `cargo bench -- reads rounds=5`.

use crate::common::client::Client;
use crate::common::names::group;
use crate::common::tracker::{TestTracker, cluster};
use crate::kit::options::Options;
use crate::kit::rate::{answered, during};
use crate::kit::table::{Table, median};
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::codec::List;
use groupshare::wire::connection::{TimedStream, split};
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::FRAME_LEN_MAX;
use groupshare::wire::handshake::{Caller, tracker_accepts};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 64;
/// Bytes in each direction over plain TCP: about the length of the request.
const ECHOED: usize = 64;
/// Longer than any silence of a client here.
const LONG: Duration = Duration::from_secs(600);

/// A server that serves each connection on a thread of its own until the connection ends.
fn server(serve: impl Fn(TcpStream) + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("connected");
            thread::spawn(move || serve(stream));
        }
    });
    addr
}

/// Answers each request of a client like a tracker without groups.
fn answer(stream: TcpStream) {
    let cluster = cluster();
    let mut far = TimedStream::new(&stream, HANDSHAKE_DEADLINE);
    let accepted = tracker_accepts(&mut far, cluster.static_key(), &cluster.link_key(), || ());
    let Ok(Caller::Client(keys)) = accepted else { panic!("{accepted:?}") };
    let (mut receiver, sender) = split(stream, keys, FRAME_LEN_MAX, false).expect("a socket");
    while let Ok(frame) = receiver.recv(LONG) {
        let request = frame.request;
        if sender.send(request, &Reply::Groups { groups: List::EMPTY, more: false }).is_err() {
            return;
        }
    }
}

/// Echoes every byte.
fn echo(mut stream: TcpStream) {
    stream.set_nodelay(true).expect("a socket");
    let mut bytes = [0; ECHOED];
    while stream.read_exact(&mut bytes).and_then(|()| stream.write_all(&bytes)).is_ok() {}
}

/// Clients send bytes and wait for the echo, each over its own connection. Returns how many echoes came per second.
fn echoed(streams: &mut [TcpStream]) -> f64 {
    let count = AtomicU64::new(0);
    let elapsed = during(|stop| {
        thread::scope(|scope| {
            for stream in streams {
                let count = &count;
                scope.spawn(move || {
                    let mut bytes = [7; ECHOED];
                    while !stop.load(Ordering::Relaxed) {
                        stream.write_all(&bytes).and_then(|()| stream.read_exact(&mut bytes)).expect("echoed");
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
    });
    count.into_inner() as f64 / elapsed.as_secs_f64()
}

pub(crate) fn bench(options: &Options) {
    let tracker = TestTracker::start_with(|_| {});
    let (answers, echoes) = (server(answer), server(echo));
    let mut users: Vec<Client> = (0..CLIENTS).map(|number| tracker.user(&format!("user{number}"))).collect();
    let mut answered_at_once: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(answers)).collect();
    let mut plain: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let stream = TcpStream::connect(echoes).expect("it listens");
            stream.set_nodelay(true).expect("a socket");
            stream
        })
        .collect();
    // The end of the list of groups is the smallest read of the state.
    let read = |clients: &mut [Client]| {
        answered(clients, |_| Request::ListGroups { after: Some(group("h")) }, |_| {}).per_second
    };
    let rounds: Vec<[f64; 3]> = (0..options.number("rounds", 5))
        .map(|_| [read(&mut users), read(&mut answered_at_once), echoed(&mut plain)])
        .collect();
    let rate = |of: usize| median(rounds.iter().map(|round| round[of]));
    let mut table = Table::new(&["64 clients ask without a pause", "answers a second", "tracker: times"]);
    for (of, name) in ["tracker", "echo over the same connections", "echo over plain TCP"].iter().enumerate() {
        let ratio = median(rounds.iter().map(|round| round[0] / round[of]));
        table.line(vec![(*name).to_owned(), format!("{:.0}", rate(of)), format!("{ratio:.2}")]);
    }
    table.print();
}
