//! Departures from a group: members that leave or are removed, the next owner, and the chain.

use super::side::{NOBODY, NONE, group, heal, lab, lab_with_request, overridden, rejected, removed, shared};
use groupshare::tracker::state::Membership;

#[test]
fn leaving_withdraws_the_shares_and_changes_the_chain() {
    let (mut a, _) = lab();
    a.create_group("bob", "other");
    a.share("bob", "lab", "mine", 1);
    a.share("bob", "lab", "ours", 2);
    a.share("alice", "lab", "ours", 2);
    a.share("bob", "other", "mine", 1);
    let lab = a.group("lab");
    let chain = a.chain(lab);
    a.leave("bob", "lab");
    assert_eq!(a.files("lab"), [shared("ours", 2, &["alice"])]);
    assert_eq!(a.files("other"), [shared("mine", 1, &["bob"])]);
    assert_ne!(a.chain(lab), chain);
    assert_eq!(a.state.membership(lab, a.of("bob")), Membership::Stranger);
}

#[test]
fn the_next_in_rank_succeeds_the_owner() {
    let (mut a, _) = lab();
    a.leave("alice", "lab");
    assert_eq!(a.owner("lab"), "bob");
    a.leave("bob", "lab");
    assert_eq!(a.owner("lab"), "carol");
}

#[test]
fn the_last_to_leave_hides_the_group() {
    let (mut a, _) = lab_with_request();
    let old = a.group("lab");
    a.empty_lab();
    assert_eq!(a.state.group_named(&group("lab")), None);
    assert_eq!(a.state.groups_after(None, 9, a.of("alice")), []);
    assert_eq!(a.notices(a.of("dave")), [rejected("lab")]);
    let new = a.create_group("dave", "lab");
    assert_ne!(new, old);
    assert_eq!(a.group("lab"), new);
}

#[test]
fn leaving_withdraws_a_request() {
    let (mut a, _) = lab_with_request();
    let chain = a.chain(a.group("lab"));
    a.leave("dave", "lab");
    assert_eq!(a.waiting("lab"), NOBODY);
    assert_eq!(a.chain(a.group("lab")), chain);
}

#[test]
fn a_withdrawal_after_acceptance_is_a_departure() {
    let (mut a, mut b) = lab_with_request();
    let chain = a.chain(a.group("lab"));
    b.admit("alice", "lab", "dave");
    a.pause();
    a.leave("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
    assert_ne!(a.chain(a.group("lab")), chain, "dave had the key");
}

#[test]
fn leaving_after_removal_does_nothing() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    let chain = b.chain(b.group("lab"));
    a.pause();
    a.leave("bob", "lab");
    heal(&mut a, &mut b);
    assert_eq!(a.chain(a.group("lab")), chain);
    assert_eq!(a.notices(a.of("bob")), [removed("lab")]);
}

#[test]
fn rejoining_restores_nothing() {
    let (mut a, _) = lab();
    a.share("alice", "lab", "f", 1);
    a.leave("alice", "lab");
    a.ask("alice", "lab");
    a.admit("bob", "lab", "alice");
    assert_eq!(a.owner("lab"), "bob");
    assert_eq!(a.files("lab"), []);
    a.leave("bob", "lab");
    assert_eq!(a.owner("lab"), "carol");
}

#[test]
fn a_removed_member_is_gone_with_all_shares() {
    let (mut a, _) = lab();
    a.share("bob", "lab", "f", 1);
    let chain = a.chain(a.group("lab"));
    a.remove("alice", "lab", "bob");
    assert_eq!(a.members("lab"), ["alice", "carol"]);
    assert_eq!(a.files("lab"), []);
    assert_ne!(a.chain(a.group("lab")), chain);
    assert_eq!(a.notices(a.of("bob")), [removed("lab")]);
}

#[test]
fn removal_on_both_sides_is_one_departure() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    let chain = b.chain(b.group("lab"));
    a.pause();
    a.remove("alice", "lab", "bob");
    heal(&mut a, &mut b);
    assert_eq!(a.chain(a.group("lab")), chain);
    assert_eq!(a.notices(a.of("bob")), [removed("lab")]);
    assert_eq!(a.notices(a.of("alice")), NONE);
}

#[test]
fn removal_by_an_owner_who_left_stands() {
    let (mut a, mut b) = lab();
    b.leave("alice", "lab");
    a.pause();
    a.remove("alice", "lab", "carol");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["bob"]);
    assert_eq!(a.notices(a.of("carol")), [removed("lab")]);
}

#[test]
fn removal_of_the_new_owner_is_overridden() {
    let (mut a, mut b) = lab();
    b.leave("alice", "lab");
    a.pause();
    a.remove("alice", "lab", "bob");
    heal(&mut a, &mut b);
    assert_eq!(a.owner("lab"), "bob");
    assert_eq!(a.notices(a.of("alice")), [overridden("bob")]);
    assert_eq!(a.notices(a.of("bob")), NONE);
}

#[test]
fn departures_on_both_sides_make_one_chain() {
    let (mut a, mut b) = lab();
    let lab = a.group("lab");
    a.leave("bob", "lab");
    b.leave("carol", "lab");
    let (of_a, of_b) = (a.chain(lab), b.chain(lab));
    heal(&mut a, &mut b);
    assert_eq!(a.chain(lab), b.chain(lab));
    assert!(a.chain(lab) != of_a && a.chain(lab) != of_b, "neither bob nor carol has been told this key");
}
