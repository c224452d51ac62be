//! A restart of a tracker in the same process: for its clients, for its operator, and for programs that want its
//! address.

use super::refused_code;
use crate::common::client::Client;
use crate::common::kept_tracker::{KeptSetup, KeptTracker, Told};
use crate::common::names::group;
use crate::common::wait::wait_until;
use crossbeam_channel::{Receiver, Sender, bounded};
use groupshare::tracker::net::listener::bind;
use groupshare::tracker::server::Server;
use groupshare::tracker::server::kept_server::KeptServer;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

fn is_served(client: &mut Client) -> bool {
    matches!(client.ask(Request::ListMembers { group: group("lab"), after: None }), Reply::Members { .. })
}

/// A new connection, once the tracker answers.
fn reconnected(addr: SocketAddr) -> Client {
    let mut client = None;
    wait_until("it answers", || {
        client = Client::try_connect(addr).ok();
        client.is_some()
    });
    client.expect("connected")
}

#[test]
fn a_tracker_that_asks_for_it_is_started_anew_and_serves_the_same_clients() {
    let tracker = KeptTracker::start(KeptSetup::new(1, &[]));
    let mut alice = Client::connect(tracker.addr);
    alice.create_user("alice");
    let token = alice.log_in("alice");
    alice.create_group("lab");
    for round in 1..=3 {
        tracker.look(|server| {
            server.core().restart.ask(&format!("round {round}"));
            server.core().restart.ask("whoever asks later is not heard");
        });
        let told = alice.until_end();
        assert_eq!(told.last().and_then(|(_, reply)| refused_code(reply)), Some(Code::Closing));
        alice = reconnected(tracker.addr);
        assert!(matches!(alice.resume(&token), Reply::LoggedIn { .. }), "the session goes on");
        assert!(is_served(&mut alice));
        alice.create_group(&format!("round{round}"));
        assert!(tracker.has_told(&format!("the tracker starts anew: round {round}")));
    }
    assert!(!tracker.has_told("whoever asks later"));
    assert_eq!(tracker.look(|server| server.status().groups), 4);
    // A stop is no restart, and a start after it finds the same state.
    let again = KeptTracker::start(tracker.stop());
    assert_eq!((again.state().group_count(), again.has_told("starts anew")), (4, false));
}

#[test]
fn a_session_that_was_logged_out_of_stays_over_when_the_tracker_starts_anew() {
    let tracker = KeptTracker::start(KeptSetup::new(1, &[]));
    let mut alice = Client::connect(tracker.addr);
    alice.create_user("alice");
    let token = alice.log_in("alice");
    alice.done(Request::Logout {});
    let other = alice.log_in("alice");
    let again = KeptTracker::start(tracker.stop());
    let resumed = |token| Client::connect(again.addr).resume(token);
    assert_eq!(refused_code(&resumed(&token)), Some(Code::SessionEnded));
    assert!(matches!(resumed(&other), Reply::LoggedIn { .. }));
}

/// A kept server whose next start waits for the test.
struct Held {
    addr: SocketAddr,
    server: KeptServer,
    setup: KeptSetup,
    /// The next start has begun.
    begun: (Sender<()>, Receiver<()>),
    /// The start may go on, or is to fail.
    go_on: (Sender<bool>, Receiver<bool>),
    stop: (Sender<()>, Receiver<()>),
}

impl Held {
    fn new() -> Self {
        let setup = KeptSetup::new(1, &[]);
        let server = setup.start(&Told::default());
        let addr = server.addr();
        Self { addr, server: KeptServer::new(server), setup, begun: bounded(1), go_on: bounded(1), stop: bounded(1) }
    }

    /// Keeps the server. A failed start has the test's words.
    fn keep(&self) -> Result<(), String> {
        let start = || {
            self.begun.0.send(()).expect("the test listens");
            match self.go_on.1.recv().expect("the test says so") {
                true => Ok(self.setup.start(&Told::default())),
                false => Err("the disk is gone".to_owned()),
            }
        };
        self.server.keep(&self.stop.1, |_| {}, start)
    }

    /// Begins a restart of the server, and waits until the old server is gone.
    fn begin(&self) {
        self.server.look(|server| server.core().restart.ask("a test")).expect("it runs");
        self.begun.1.recv().expect("it is started");
    }
}

#[test]
fn between_two_starts_the_operator_is_answered_and_nobody_else_gets_the_address() {
    let held = Held::new();
    thread::scope(|scope| {
        let kept = scope.spawn(|| held.keep());
        held.begin();
        assert!(held.server.look(Server::status).is_none(), "at once");
        let refused = TcpStream::connect(held.addr).expect_err("a client goes on to the next tracker at once");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        // The standard library may bind an address that an earlier run has left.
        assert_eq!(TcpListener::bind(held.addr).expect_err("taken").kind(), ErrorKind::AddrInUse);
        assert_eq!(bind(held.addr).expect_err("taken").error.kind(), ErrorKind::AddrInUse);
        held.go_on.0.send(true).expect("it waits");
        reconnected(held.addr).done(Request::Heartbeat {});
        assert_eq!(held.server.look(|server| server.status().addr), Some(held.addr));
        held.stop.0.send(()).expect("it listens");
        assert_eq!(kept.join().expect("no panic"), Ok(()));
    });
}

#[test]
fn a_stop_is_heard_while_the_tracker_is_started_anew() {
    let held = Held::new();
    thread::scope(|scope| {
        let kept = scope.spawn(|| held.keep());
        held.begin();
        held.stop.0.send(()).expect("it listens");
        held.go_on.0.send(true).expect("it waits");
        assert_eq!(kept.join().expect("no panic"), Ok(()));
    });
}

#[test]
fn a_start_that_fails_ends_the_tracker_with_its_error() {
    let held = Held::new();
    thread::scope(|scope| {
        let kept = scope.spawn(|| held.keep());
        held.begin();
        held.go_on.0.send(false).expect("it waits");
        assert_eq!(kept.join().expect("no panic"), Err("the disk is gone".to_owned()));
    });
    assert!(held.server.look(Server::status).is_none());
}
