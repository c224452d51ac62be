//! Trackers that agree on floors by themselves, and obstacles to that.

use crate::common::client::Client;
use crate::common::kept_tracker::{KeptSetup, KeptTracker};
use crate::common::names::{command, group};
use crate::common::wait::wait_until;
use groupshare::model::op::floor::FloorMark;
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::wire::client_tracker::Request;
use std::net::SocketAddr;
use std::time::Duration;

const PACE: FloorPace = FloorPace { margin: 32, step: 32, pause: Duration::from_millis(500) };

fn paced(number: u16, others: &[(u16, SocketAddr)]) -> KeptTracker {
    let mut setup = KeptSetup::new(number, others);
    setup.floor_pace = PACE;
    KeptTracker::start(setup)
}

fn floor(tracker: &KeptTracker) -> FloorMark {
    tracker.look(|server| server.core().committer.standing().floor.mark)
}

fn agree(trackers: &[&KeptTracker]) {
    wait_until("equal states on equal floors", || {
        let all: Vec<_> = trackers.iter().map(|tracker| (floor(tracker), tracker.state().digest())).collect();
        all.windows(2).all(|pair| pair[0] == pair[1])
    });
}

fn client(tracker: &KeptTracker, name: &str) -> Client {
    let mut client = Client::connect(tracker.addr);
    client.create_user(name);
    client.log_in(name);
    client
}

/// A user that makes and leaves groups. Nobody else takes their names meanwhile.
fn churn(client: &mut Client, name: &str, rounds: usize) {
    for round in 0..rounds {
        let group = group(&format!("{name}{round}"));
        client.done(Request::CreateGroup { command: command(), group: group.clone() });
        client.done(Request::LeaveGroup { command: command(), group });
    }
}

fn status(tracker: &KeptTracker) -> String {
    tracker.look(|server| server.status().to_string())
}

#[test]
fn trackers_that_take_changes_agree_on_floor_after_floor() {
    let one = paced(1, &[]);
    let two = paced(2, &[(1, one.addr)]);
    let three = paced(3, &[(1, one.addr), (2, two.addr)]);
    let trackers = [&one, &two, &three];
    let mut clients = [(&one, "alice"), (&two, "bob"), (&three, "carol")].map(|(at, name)| (client(at, name), name));
    for _ in 0..3 {
        let before = floor(&one);
        clients.iter_mut().for_each(|(client, name)| churn(client, name, 40));
        wait_until("the next floor", || trackers.iter().all(|tracker| floor(tracker) > before));
    }
    agree(&trackers);
    assert!(trackers.iter().all(|tracker| !tracker.has_told("starts anew")), "nobody had to take a base");
    // Groups that were made and left below the floor leave no trace anywhere.
    assert_eq!(one.state().group_count(), 0);
    let again = KeptTracker::start(three.stop());
    agree(&[&one, &two, &again]);
}

#[test]
fn a_tracker_that_is_away_holds_the_floor_back_until_it_is_forgotten() {
    let one = paced(1, &[]);
    let two = paced(2, &[(1, one.addr)]);
    let (mut alice, mut bob) = (client(&one, "alice"), client(&two, "bob"));
    churn(&mut bob, "bob", 40);
    wait_until("a floor", || floor(&one).lamport > 0);
    agree(&[&one, &two]);
    let (before, two) = (floor(&one), two.stop());
    churn(&mut alice, "alice", 80);
    wait_until("it is told", || status(&one).contains("held back for"));
    assert!(status(&one).contains("by tracker 2: it is not connected"), "{}", status(&one));
    assert_eq!(floor(&one), before);
    one.look(|server| server.forget(2).expect("it is another one"));
    wait_until("the floor goes on", || floor(&one) > before);
    wait_until("nobody holds it back", || !status(&one).contains("held back"));
    // It comes back with the ops of the others.
    one.look(|server| server.unforget(2).expect("it was forgotten"));
    let two = KeptTracker::start(two);
    agree(&[&one, &two]);
}
