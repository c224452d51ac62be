//! Whether others can reach a client: the tracker tests the address where it sees the client, and tells the result.

use super::{pushed, refused_code};
use crate::common::client::Client;
use crate::common::identity::{peer_key, secret};
use crate::common::membership::{all_pieces, announcement};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::wire::client_tracker::{ReachClass, Reply, Request};
use groupshare::wire::handshake::peer::peer_accepts;
use groupshare::wire::refusal::Code;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A listener, and how many connections have come.
struct Listens {
    addr: SocketAddr,
    came: Arc<AtomicUsize>,
}

impl Listens {
    /// A listener with the client key of this number.
    fn as_client(number: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (addr, came) = (listener.local_addr().expect("bound"), Arc::<AtomicUsize>::default());
        let count = came.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream.expect("connected");
                let _ = peer_accepts(&mut stream, &secret(number), |_, _| Err(Code::UnknownKey));
            }
        });
        Self { addr, came }
    }

    fn count(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

/// Ann's client with the first key, at this port. It names this address.
fn ann_at(port: u16, named: Option<SocketAddr>) -> Request {
    match announcement(port) {
        Request::Announce { interfaces, machine, round_trip_ms, .. } => {
            Request::Announce { key: peer_key(1), port, interfaces, announced: named, machine, round_trip_ms }
        }
        other => other,
    }
}

fn announce(client: &mut Client, request: Request) {
    assert!(matches!(client.ask(request), Reply::Announced { .. }));
}

fn found(client: &mut Client) -> (SocketAddr, ReachClass) {
    client.done(Request::CheckReach {});
    pushed(client, |push| if let Reply::Reach { addr, found } = push { Some((*addr, *found)) } else { None })
}

#[test]
fn a_client_learns_that_it_is_reached_where_the_tracker_sees_it() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    let here = Listens::as_client(1);
    announce(&mut ann, ann_at(here.addr.port(), None));
    assert_eq!(found(&mut ann), (here.addr, ReachClass::Reached));
}

#[test]
fn a_client_learns_nothing_of_what_else_listens_on_the_trackers_machine() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    let other = Listens::as_client(2);
    for port in [other.addr.port(), 1] {
        announce(&mut ann, ann_at(port, None));
        assert_eq!(found(&mut ann).1, ReachClass::NotTried);
    }
}

#[test]
fn an_address_that_a_client_names_is_told_once_it_was_found_there_and_a_third_partys_never() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    let share = ann.offer("lab", "a.bin", 3, 1).share;
    bob.announce(4002);
    let mut told = || match bob.ask(Request::FindPeers { share }) {
        Reply::Peers { peers, .. } => peers.iter().flat_map(|peer| peer.addrs.to_vec()).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let (third, forwards) = (Listens::as_client(2), Listens::as_client(1));
    let seen = SocketAddr::new(third.addr.ip(), 1);
    announce(&mut ann, ann_at(1, Some(third.addr)));
    ann.hold(share, all_pieces());
    assert_eq!(found(&mut ann).1, ReachClass::NotTried);
    assert_eq!(told(), [seen]);
    announce(&mut ann, ann_at(1, Some(forwards.addr)));
    assert_eq!(told(), [seen], "nobody was found there yet");
    assert_eq!(found(&mut ann), (forwards.addr, ReachClass::Reached));
    assert_eq!(told(), [forwards.addr, seen]);
    announce(&mut ann, ann_at(1, Some(forwards.addr)));
    assert_eq!(told(), [forwards.addr, seen], "it stays proved");
    announce(&mut ann, ann_at(1, None));
    assert_eq!(told(), [seen]);
}

#[test]
fn an_address_from_which_the_client_does_not_come_is_not_tried() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    let (here, elsewhere) = (Listens::as_client(1), TcpListener::bind("127.0.0.2:0").expect("a free port"));
    elsewhere.set_nonblocking(true).expect("a socket");
    announce(&mut ann, ann_at(here.addr.port(), Some(elsewhere.local_addr().expect("bound"))));
    assert_eq!(found(&mut ann), (here.addr, ReachClass::Reached));
    assert!(elsewhere.accept().is_err(), "nobody has come");
}

#[test]
fn ten_times_a_minute_a_user_is_looked_for_and_then_told_that_it_was_not() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    let here = Listens::as_client(1);
    announce(&mut ann, ann_at(here.addr.port(), None));
    let reached = (0..12).filter(|_| found(&mut ann).1 == ReachClass::Reached).count();
    assert_eq!(reached, 10);
    wait_until("all of them have come", || here.count() >= 10);
    assert_eq!(here.count(), 10);
}

#[test]
fn nobody_is_looked_for_who_is_not_logged_in_or_has_not_said_where_to_look() {
    let tracker = TestTracker::start();
    let mut ann = tracker.user("ann");
    let refused = |client: &mut Client| refused_code(&client.ask(Request::CheckReach {}));
    assert_eq!(refused(&mut Client::connect(tracker.addr)), Some(Code::NotLoggedIn));
    assert_eq!(refused(&mut ann), Some(Code::Malformed));
}
