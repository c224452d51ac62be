//! Others log in and out, make accounts, or guess passwords, as fast as they can. Honest users still can log in.

use super::scale;
use crate::common::client::Client;
use crate::common::names::{command, password, user};
use crate::common::tracker::TestTracker;
use groupshare::model::id::ClientId;
use groupshare::tracker::auth::login_throttle::Paces;
use groupshare::tracker::auth::passwords::Params;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const EVE: Ipv4Addr = Ipv4Addr::new(127, 0, 66, 1);
const ANN: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 1);
/// More than may wait for a password check.
const CONNECTIONS: usize = 150;

/// A client that connects from this address.
fn client_from(from: Ipv4Addr, tracker: &TestTracker) -> Client {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
    bind(&socket, &SocketAddr::from((from, 0))).expect("a loopback address");
    connect(&socket, &tracker.addr).expect("the tracker listens");
    Client::over(socket.into()).expect("a channel")
}

/// A tracker with its default settings, and passwords that take a while to check.
fn tracker() -> TestTracker {
    TestTracker::start_with(|settings| {
        settings.paces = Paces::default();
        settings.password_params = Params::new(1024, 1, 1, None).expect("valid");
    })
}

/// Logs in and out again this many times.
fn all_get_in(tracker: &TestTracker, name: &str, times: usize) {
    for _ in 0..times {
        let mut client = client_from(ANN, tracker);
        client.log_in(name);
        client.done(Request::Logout {});
    }
}

/// Attacks on many connections from one address while an honest client works. Returns how often each was done.
fn meanwhile(tracker: &TestTracker, attack: impl Fn(&mut Client, usize) -> Reply + Sync, honest: impl FnOnce()) {
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..CONNECTIONS {
            let (attack, over, answers) = (&attack, &over, &answers);
            scope.spawn(move || {
                let mut client = client_from(EVE, tracker);
                while !over.load(Ordering::Relaxed) {
                    attack(&mut client, number);
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while answers.load(Ordering::Relaxed) < 30 {
            thread::yield_now();
        }
        honest();
        over.store(true, Ordering::Relaxed);
        // A client that waits because of its pace gets its answer at the end.
        tracker.server.core().throttle.close();
    });
}

#[test]
fn everybody_logs_in_while_one_account_logs_in_and_out_on_many_connections() {
    let tracker = tracker();
    for name in ["ann", "eve"] {
        tracker.client().create_user(name);
    }
    let in_and_out = |client: &mut Client, _| {
        client.ask(client.login_request("eve"));
        client.ask(Request::Logout {})
    };
    meanwhile(&tracker, in_and_out, || all_get_in(&tracker, "ann", scale::of(20, 200)));
}

#[test]
fn everybody_logs_in_while_many_accounts_of_one_address_do() {
    let tracker = tracker();
    tracker.client().create_user("ann");
    (0..CONNECTIONS).for_each(|number| tracker.client().create_user(&format!("eve {number}")));
    let in_and_out = |client: &mut Client, number| {
        client.ask(client.login_request(&format!("eve {number}")));
        client.ask(Request::Logout {})
    };
    meanwhile(&tracker, in_and_out, || all_get_in(&tracker, "ann", scale::of(20, 200)));
}

#[test]
fn everybody_logs_in_while_accounts_are_made_on_many_connections() {
    let tracker = tracker();
    tracker.client().create_user("ann");
    let made = AtomicUsize::new(0);
    let make = |client: &mut Client, _| {
        let name = user(&format!("eve {}", made.fetch_add(1, Ordering::Relaxed)));
        client.ask(Request::CreateUser { command: command(), user: name, password: password("mine") })
    };
    meanwhile(&tracker, make, || all_get_in(&tracker, "ann", scale::of(20, 200)));
}

#[test]
fn guesses_at_one_address_keep_nobody_out_at_another() {
    let tracker = tracker();
    tracker.client().create_user("ann");
    let mut eve = client_from(EVE, &tracker);
    let guess = |eve: &mut Client| {
        eve.refused(Request::Login { client: ClientId([6; 16]), user: user("ann"), password: password("a guess") })
    };
    while guess(&mut eve) == Code::BadLogin {}
    all_get_in(&tracker, "ann", 1);
}
