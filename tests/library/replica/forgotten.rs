//! Trackers that the others forget and take back.

use super::{knows, same_state, tracker};
use crate::common::kept_tracker::Told;
use crate::common::memory_log::MemoryLog;
use crate::common::relay::Relay;
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::model::id::Origin;
use groupshare::tracker::cluster::other_tracker::LinkStatus;
use groupshare::tracker::state::State;
use std::net::SocketAddr;
use std::sync::Arc;

/// The status of one tracker as another one reports it.
fn status(of: &TestTracker, number: u16) -> Option<LinkStatus> {
    of.server.status().others.into_iter().find(|other| other.number == number).map(|other| other.status)
}

fn is_connected(of: &TestTracker, number: u16) -> bool {
    matches!(status(of, number), Some(LinkStatus::Connected { .. }))
}

fn has_forgotten(of: &TestTracker, number: u16) -> bool {
    status(of, number) == Some(LinkStatus::Forgotten)
}

/// Such a tracker, with the messages to its operator.
fn telling(number: u16, others: &[(u16, SocketAddr)], told: &Told) -> TestTracker {
    TestTracker::start_with(|settings| {
        settings.origin = Origin { tracker: number, incarnation: u64::from(number) * 1000 };
        settings.others = others.iter().map(|&(number, addr)| (number, addr.into())).collect();
        told.set(settings);
    })
}

#[test]
fn all_let_go_of_a_forgotten_tracker_and_take_it_back() {
    // First the tracker that calls all others, then the one that all others call.
    for gone in [3, 1] {
        let told = [(); 3].map(|()| Told::default());
        let one = telling(1, &[], &told[0]);
        let two = telling(2, &[(1, one.addr)], &told[1]);
        let three = telling(3, &[(1, one.addr), (2, two.addr)], &told[2]);
        let all = [&one, &two, &three];
        wait_until("all are connected", || {
            (0..3).all(|t| (1..=3).all(|other| other == t + 1 || is_connected(all[usize::from(t)], other)))
        });
        let lost = all[usize::from(gone) - 1];
        let [stays, says] = if gone == 3 { [&one, &two] } else { [&two, &three] };
        says.server.forget(gone).expect("its disk works");
        assert!(has_forgotten(says, gone), "at once");
        wait_until("the other one has let go of it", || has_forgotten(stays, gone));
        wait_until("its links have ended", || !(1..=3).any(|other| is_connected(lost, other)));
        wait_until("it is told why", || told[usize::from(gone) - 1].has("This tracker number was forgotten"));
        wait_until("the operator hears of it", || {
            told.iter().filter(|told| told.has(&format!("tracker {gone} is forgotten"))).count() == 2
        });

        // It goes on alone, and the others go on without it.
        let _alice = lost.user("alice");
        let _bob = says.user("bob");
        wait_until("the remaining trackers know bob", || knows(stays, "bob"));
        assert!(!knows(stays, "alice") && !knows(says, "alice") && !knows(lost, "bob"));

        stays.server.unforget(gone).expect("its disk works");
        wait_until("all are connected again", || {
            (0..3).all(|t| (1..=3).all(|other| other == t + 1 || is_connected(all[usize::from(t)], other)))
        });
        same_state(&all);
        assert!(all.iter().all(|tracker| knows(tracker, "alice") && knows(tracker, "bob")));
        assert!(told[usize::from(gone) % 3].has(&format!("tracker {gone} is taken back")));
    }
}

#[test]
fn a_tracker_ends_the_link_with_a_tracker_that_another_has_forgotten() {
    let told = Told::default();
    let one = tracker(1, &[]);
    let relay = Relay::to(one.addr, |_, _, _| {});
    let two = telling(2, &[(1, relay.addr)], &told);
    let three = tracker(3, &[(2, two.addr)]);
    let _alice = three.user("alice");
    wait_until("alice is known", || knows(&one, "alice"));
    relay.block();
    wait_until("the loss is told", || told.has("tracker 1 is not connected"));
    // It knows that tracker only by its changes, and the others are away.
    one.server.forget(3).expect("its disk works");
    assert!(has_forgotten(&one, 3));
    let _bob = three.user("bob");
    wait_until("bob is known", || knows(&two, "bob"));
    assert!(is_connected(&two, 3));
    relay.unblock();
    wait_until("the link has ended", || has_forgotten(&two, 3) && !is_connected(&three, 2));
    wait_until("ops that the third tracker passed on", || knows(&one, "bob"));
    same_state(&[&one, &two]);
}

#[test]
fn two_sides_that_have_forgotten_each_other_take_each_other_back() {
    let told = Told::default();
    let one = tracker(1, &[]);
    let relay = Relay::to(one.addr, |_, _, _| {});
    let two = telling(2, &[(1, relay.addr)], &told);
    wait_until("they are connected", || is_connected(&one, 2) && is_connected(&two, 1));
    relay.block();
    wait_until("the loss is told", || told.has("tracker 1 is not connected"));
    one.server.forget(2).expect("its disk works");
    two.server.forget(1).expect("its disk works");
    relay.unblock();
    let (_alice, _bob) = (one.user("alice"), two.user("bob"));
    one.server.unforget(2).expect("its disk works");
    assert!(has_forgotten(&two, 1));
    two.server.unforget(1).expect("its disk works");
    wait_until("both know both", || knows(&one, "bob") && knows(&two, "alice"));
    same_state(&[&one, &two]);
    wait_until("they are connected", || is_connected(&one, 2) && is_connected(&two, 1));
}

#[test]
fn a_forgotten_tracker_is_turned_away_also_after_a_restart_of_the_others() {
    let told = Told::default();
    let log = MemoryLog::default();
    let begin = |state: State, incarnation: u64| {
        TestTracker::start_with(|settings| {
            settings.origin = Origin { tracker: 1, incarnation };
            // The tracker with the higher number calls, so the first one never tries this address.
            settings.others = vec![(2, SocketAddr::from(([127, 0, 0, 1], 1)).into())];
            (settings.past, settings.log) = (state.into(), Box::new(log.clone()));
            settings.source = Arc::new(log.clone());
        })
    };
    let one = begin(State::new(), 1);
    one.server.forget(2).expect("its disk works");
    let state = State::clone(&one.server.core().state());
    drop(one);
    let again = begin(state, 2);
    assert!(has_forgotten(&again, 2));
    let two = telling(2, &[(1, again.addr)], &told);
    wait_until("it is told so", || {
        told.has("tracker 1 is not connected: This tracker number was forgotten, say unforget at another tracker: 2")
    });
    assert!(has_forgotten(&again, 2));
    let mut alice = two.user("alice");
    alice.create_group("alone");
    again.server.unforget(2).expect("its disk works");
    wait_until("it is back", || is_connected(&again, 2) && knows(&again, "alice"));
}

fn refused(outcome: Result<(), impl ToString>) -> String {
    outcome.map_or_else(|why| why.to_string(), |()| panic!("it was done"))
}

#[test]
fn a_number_that_cannot_be_forgotten_or_taken_back_is_refused() {
    let one = tracker(1, &[(2, SocketAddr::from(([127, 0, 0, 1], 1)))]);
    for number in [0, 9] {
        let unknown = "no tracker of this number is on the list, has called or made a change";
        assert_eq!(refused(one.server.forget(number)), unknown);
        assert_eq!(refused(one.server.unforget(number)), unknown);
    }
    let own = "it is this one; say it at another tracker";
    assert_eq!([refused(one.server.forget(1)), refused(one.server.unforget(1))], [own, own]);
    assert_eq!(refused(one.server.unforget(2)), "it is not forgotten");
    one.server.forget(2).expect("its disk works");
    one.server.forget(2).expect("as it is already");
    one.server.unforget(2).expect("its disk works");
    assert_eq!(one.server.core().state().op_count(), 2, "saying it again changes nothing");
}
