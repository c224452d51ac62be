//! A group with several owners, as its members see it: a tracker and three clients. Each of them is killed in the
//! middle.

use crate::common::installation::Installation;

#[test]
fn owners_share_the_work_and_the_group_outlives_kills_and_the_founder() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut alice = installation.user("alice", &[]);
    let mut bob = installation.user("bob", &[]);
    let mut carol = installation.user("carol", &[]);
    alice.told("create_group lab", "Group created");
    alice.told("add_member lab bob", "Member added");
    bob.expect("alice has made you a member of lab; leave_group lab leaves it");
    alice.told("make_owner lab bob", "Owner made");
    bob.expect("alice has made you an owner of lab");
    bob.told("list_groups", "lab  2 members, owner alice and 1 other, you are an owner");
    // The tracker is killed, and its earlier answers still count.
    tracker.kill();
    let _tracker = installation.tracker(1);
    // Owners who are online hear of a request to join.
    alice.until("list_members lab", "alice  online, owner");
    bob.until("list_members lab", "bob  online, owner");
    carol.until("join_group lab", "Request sent");
    bob.expect("carol asks to join lab: accept_request lab carol");
    alice.expect("carol asks to join lab: accept_request lab carol");
    alice.kill();
    bob.told("accept_request lab carol", "Request accepted");
    carol.expect("You are a member of lab now");
    // Nobody removes the founder, not even while she is away.
    bob.told("remove_member lab alice", "Only the founder can end the founder's membership");
    bob.told("drop_owner lab alice", "Only the founder can end the founder's membership");
    bob.told("make_owner lab carol", "Owner made");
    carol.expect("bob has made you an owner of lab");
    bob.kill();
    carol.told("drop_owner lab bob", "Owner dropped");
    let mut bob = installation.user_again("bob");
    bob.expect("carol has dropped you as an owner of lab; you stay a member");
    bob.told("remove_member lab carol", "You are not the owner of this group");
    let mut alice = installation.user_again("alice");
    alice.told("leave_group lab", "Left the group");
    carol.until("list_groups", "lab  2 members, owner carol, you are the owner");
    carol.told("drop_owner lab carol", "The group needs an owner, make another one first");
    carol.told("remove_member lab bob", "Member removed");
    bob.expect("You were removed from lab");
}

#[test]
fn a_group_is_opened_and_closed_and_who_forbids_it_is_not_added() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut alice = installation.user("alice", &[]);
    let mut bob = installation.user("bob", &[]);
    alice.told("create_group lab", "Group created");
    bob.told("set_adding forbid", "Owners cannot add you to groups");
    alice.told("add_member lab bob", "That user cannot be added by owners, but can ask to join");
    alice.told("set_group lab closed", "Nobody can ask to join any more");
    tracker.kill();
    let _tracker = installation.tracker(1);
    bob.until("join_group lab", "The group is closed");
    bob.told("list_groups", "lab  1 member, owner alice, closed");
    alice.until("set_group lab ask", "Users have to ask to join now");
    bob.told("join_group lab", "Request sent");
    alice.expect("bob asks to join lab");
    // A user with a pending request gets in.
    alice.told("set_group lab open", "Everybody can join now");
    bob.expect("You are a member of lab now");
    bob.told("leave_group lab", "Left the group");
    bob.told("join_group lab", "Request sent");
    bob.expect("You are a member of lab now");
    bob.kill();
    alice.told("remove_member lab bob", "Member removed");
    let mut bob = installation.user_again("bob");
    bob.expect("You were removed from lab");
    bob.told("set_adding allow", "Owners can add you to groups");
    alice.told("add_member lab bob", "Member added");
    bob.expect("alice has made you a member of lab");
    alice.told("set_group lab maybe", "'maybe' is not open, ask or closed");
}
