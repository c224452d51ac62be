//! Trackers that operators forget and take back.

use super::side::{Side, heal, lab, password, user};
use groupshare::model::id::{CommandId, OpId};
use groupshare::model::op::OpBody;
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::tracker::state::{CommandOwner, State};
use std::sync::Arc;

const NO_TRACKER: [u16; 0] = [];

/// The forgotten trackers, which are the same on both sides.
fn forgotten(a: &Side, b: &Side) -> Vec<u16> {
    assert_eq!(a.state.digest(), b.state.digest());
    let numbers: Vec<u16> = a.state.forgotten().collect();
    assert!((0..99).all(|number| a.state.is_forgotten(number) == numbers.contains(&number)));
    numbers
}

/// Tracker 3 has made an account.
fn three() -> (Side, Side) {
    let (mut a, mut b) = lab();
    let mut third = Side::new(3);
    third.create_user("erin");
    heal(&mut a, &mut third);
    heal(&mut a, &mut b);
    (a, b)
}

#[test]
fn a_tracker_is_forgotten_everywhere() {
    let (mut a, mut b) = three();
    assert_eq!(forgotten(&a, &b), NO_TRACKER);
    a.forget(3);
    assert!(a.state.caused().is_empty(), "no user is told");
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), [3]);
    assert!(b.state.user_named(&user("erin")).is_some(), "its earlier ops stay");
}

#[test]
fn a_tracker_that_never_issued_an_op_can_be_forgotten() {
    let (mut a, mut b) = lab();
    assert!(!a.state.knows_tracker(3));
    a.forget(3);
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), [3]);
    assert!(b.state.knows_tracker(3));
}

#[test]
fn forgetting_on_both_sides_counts_once() {
    let (mut a, mut b) = three();
    a.forget(3);
    a.forget(3);
    b.forget(3);
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), [3]);
    b.unforget(3);
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), NO_TRACKER);
}

#[test]
fn a_forgotten_tracker_is_taken_back_everywhere() {
    let (mut a, mut b) = three();
    a.forget(3);
    heal(&mut a, &mut b);
    b.unforget(3);
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), NO_TRACKER);
    a.forget(3);
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), [3], "and may be forgotten again");
}

#[test]
fn taking_back_what_is_not_forgotten_does_nothing() {
    let (mut a, mut b) = three();
    a.unforget(3);
    a.unforget(9);
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), NO_TRACKER);
    assert!(!a.state.knows_tracker(9));
}

#[test]
fn of_forgetting_and_taking_back_the_later_holds() {
    for taken_back_last in [true, false] {
        let (mut a, mut b) = three();
        a.forget(3);
        heal(&mut a, &mut b);
        if taken_back_last {
            b.pause()
        } else {
            a.pause()
        };
        a.unforget(3);
        a.forget(3);
        b.unforget(3);
        assert_ne!(a.state.is_forgotten(3), b.state.is_forgotten(3));
        heal(&mut a, &mut b);
        assert_eq!(forgotten(&a, &b).is_empty(), taken_back_last);
    }
}

#[test]
fn ops_of_a_forgotten_tracker_count() {
    let (mut a, mut b) = lab();
    a.forget(2);
    heal(&mut a, &mut b);
    b.create_user("erin");
    b.forget(1);
    heal(&mut a, &mut b);
    assert!(a.state.user_named(&user("erin")).is_some());
    assert_eq!(forgotten(&a, &b), [1, 2]);
    b.unforget(2);
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), [1], "also if it says so itself");
}

/// A client may choose any command id.
#[test]
fn no_command_keeps_a_tracker_from_being_forgotten() {
    let (mut a, mut b) = lab();
    let erin = a.add(CommandId::NONE, OpBody::CreateUser { name: user("erin"), password: password("p") });
    a.forget(2);
    a.forget(3);
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), [2, 3]);
    assert_eq!(
        a.state.command(CommandOwner::NewUser(&user("erin")), CommandId::NONE),
        Some(erin.id),
        "nor is the command forgotten for that"
    );
    a.unforget(2);
    let again = a.add(CommandId::NONE, OpBody::CreateUser { name: user("erin"), password: password("p") });
    heal(&mut a, &mut b);
    assert_eq!(forgotten(&a, &b), [3]);
    assert_eq!(a.state.canonical(again.id), erin.id);
}

/// A floor that trackers 1 and 2 have to agree on. No op lies below it.
fn floor(lamport: u64) -> Arc<FloorProposal> {
    let (after, mark) = (FloorMark::default(), FloorMark { lamport, base: [7; 32] });
    Arc::new(FloorProposal { after, mark, vector: Vec::new(), participants: vec![1, 2] })
}

fn propose(side: &mut Side, lamport: u64) -> OpId {
    side.add(CommandId::NONE, OpBody::ProposeFloor { floor: floor(lamport) }).id
}

/// The proposals, each with the trackers that are ready.
fn proposals(state: &State) -> Vec<(OpId, Vec<u16>)> {
    state.proposals().map(|(id, _, ready)| (id, ready.iter().copied().collect())).collect()
}

#[test]
fn participants_are_ready_for_the_last_proposal() {
    let (mut a, mut b) = three();
    let mut third = Side::new(3);
    let first = propose(&mut a, 2);
    heal(&mut a, &mut b);
    heal(&mut a, &mut third);
    b.add(CommandId::NONE, OpBody::ReadyForFloor { proposal: first });
    third.add(CommandId::NONE, OpBody::ReadyForFloor { proposal: first });
    heal(&mut b, &mut third);
    assert_eq!(proposals(&b.state), [(first, vec![2])], "tracker 3 is no participant");
    // Meanwhile tracker 1 has made another proposal.
    let second = propose(&mut a, 3);
    heal(&mut a, &mut b);
    assert_eq!(proposals(&b.state), [(second, vec![])]);
    b.add(CommandId::NONE, OpBody::ReadyForFloor { proposal: first });
    assert_eq!(proposals(&b.state), [(second, vec![])]);
}

#[test]
fn a_floor_that_is_there_is_not_proposed() {
    let (mut a, _) = lab();
    let lamport = a.state.lamport();
    propose(&mut a, lamport + 1);
    assert_eq!(proposals(&a.state), [], "its own op would lie below it");
    a.state.prune(lamport);
    let proposal = propose(&mut a, lamport);
    a.add(CommandId::NONE, OpBody::PromiseFloor { proposal, floor: floor(lamport) });
    assert_eq!((proposals(&a.state), a.state.gate()), (vec![], None));
}

#[test]
fn a_promise_holds_without_its_proposal() {
    let (mut a, mut b) = lab();
    let (first, promised) = (propose(&mut a, 2), floor(2));
    assert_eq!(a.state.gate(), None);
    propose(&mut a, 3);
    a.add(CommandId::NONE, OpBody::PromiseFloor { proposal: first, floor: Arc::clone(&promised) });
    heal(&mut a, &mut b);
    assert_eq!(b.state.gate(), Some(&promised));
    let id = OpId { origin: Side::new(3).origin, seq: 1 };
    assert!(promised.excludes(id, 2) && !promised.excludes(id, 3));
}
