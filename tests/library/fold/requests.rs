//! Requests to join a group, and the owners' decisions about them.

use super::side::{NOBODY, NONE, accepted, group, heal, lab, lab_with_request, overridden, rejected, renamed_group};
use groupshare::model::notice::Notice;
use groupshare::tracker::state::Membership;

#[test]
fn a_request_waits_for_the_owner() {
    let (a, _) = lab_with_request();
    assert_eq!(a.waiting("lab"), ["dave"]);
    assert_eq!(a.state.membership(a.group("lab"), a.of("dave")), Membership::Waiting);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
}

#[test]
fn a_request_of_a_member_is_overridden() {
    let (mut a, mut b) = lab();
    b.ask("dave", "lab");
    b.admit("alice", "lab", "dave");
    a.pause();
    a.ask("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    let overridden = Notice::RequestOverridden { group: group("lab") };
    assert_eq!(a.notices(a.of("dave")), [accepted("lab"), overridden]);
}

#[test]
fn a_request_made_on_both_sides_is_one() {
    let (mut a, mut b) = lab();
    a.ask("dave", "lab");
    b.ask("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.waiting("lab"), ["dave"]);
    assert_eq!(a.notices(a.of("dave")), NONE);
}

#[test]
fn a_request_to_a_group_without_members_is_turned_down() {
    let (mut a, mut b) = lab();
    b.empty_lab();
    a.pause();
    a.ask("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.state.group_named(&group("lab")), None);
    assert_eq!(a.notices(a.of("dave")), [rejected("lab")]);
}

#[test]
fn an_accepted_user_is_a_member() {
    let (mut a, _) = lab_with_request();
    let chain = a.chain(a.group("lab"));
    a.admit("alice", "lab", "dave");
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.notices(a.of("dave")), [accepted("lab")]);
    assert_eq!(a.chain(a.group("lab")), chain, "a new member gets the present key");
}

#[test]
fn acceptance_on_both_sides_is_one() {
    let (mut a, mut b) = lab_with_request();
    a.admit("alice", "lab", "dave");
    b.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    assert_eq!(a.notices(a.of("dave")), [accepted("lab")]);
    assert_eq!(a.notices(a.of("alice")), NONE);
}

#[test]
fn acceptance_of_a_withdrawn_request_is_overridden() {
    for withdrawn in [true, false] {
        let (mut a, mut b) = lab_with_request();
        if withdrawn {
            b.leave("dave", "lab");
        } else {
            b.reject("alice", "lab", "dave");
        }
        a.pause();
        a.admit("alice", "lab", "dave");
        heal(&mut a, &mut b);
        assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
        assert_eq!(a.notices(a.of("alice")), [overridden("dave")]);
    }
}

#[test]
fn acceptance_by_an_owner_who_left_stands() {
    let (mut a, mut b) = lab_with_request();
    b.leave("alice", "lab");
    a.pause();
    a.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["bob", "carol", "dave"]);
    assert_eq!(a.owner("lab"), "bob");
    assert_eq!(a.notices(a.of("dave")), [accepted("lab")]);
}

#[test]
fn acceptance_revives_a_group_without_members() {
    let (mut a, mut b) = lab_with_request();
    let lab = a.group("lab");
    b.empty_lab();
    let chain = b.chain(lab);
    a.pause();
    a.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.group("lab"), lab);
    assert_eq!(a.owner("lab"), "dave");
    assert_eq!(a.members("lab"), ["dave"]);
    assert_eq!(a.chain(lab), chain, "departures of before count on");
    assert_eq!(a.notices(a.of("dave")), [rejected("lab"), accepted("lab")]);
}

#[test]
fn a_revived_group_whose_name_is_taken_is_renamed() {
    let (mut a, mut b) = lab_with_request();
    let old = a.group("lab");
    b.empty_lab();
    let new = b.create_group("carol", "lab");
    a.pause();
    a.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.group("lab"), a.group("lab~2")), (new, old));
    assert_eq!(a.owner("lab~2"), "dave");
    let told = [rejected("lab"), renamed_group("lab", "lab~2"), accepted("lab~2")];
    assert_eq!(a.notices(a.of("dave")), told);
}

#[test]
fn a_rejected_request_is_gone() {
    let (mut a, _) = lab_with_request();
    a.reject("alice", "lab", "dave");
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.notices(a.of("dave")), [rejected("lab")]);
    a.ask("dave", "lab");
    assert_eq!(a.waiting("lab"), ["dave"]);
}

#[test]
fn rejection_after_acceptance_is_overridden() {
    let (mut a, mut b) = lab_with_request();
    b.admit("alice", "lab", "dave");
    a.pause();
    a.reject("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    assert_eq!(a.notices(a.of("alice")), [overridden("dave")]);
}

#[test]
fn rejection_of_a_withdrawn_request_does_nothing() {
    let (mut a, mut b) = lab_with_request();
    b.leave("dave", "lab");
    a.pause();
    a.reject("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.notices(a.of("alice")), NONE);
    assert_eq!(a.notices(a.of("dave")), NONE);
}

#[test]
fn rejection_by_an_owner_who_left_stands() {
    let (mut a, mut b) = lab_with_request();
    b.leave("alice", "lab");
    a.pause();
    a.reject("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.notices(a.of("dave")), [rejected("lab")]);
}
