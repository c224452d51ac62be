//! Owners of a group: new and former ones, their additions, and access to the group.

use super::side::{
    NOBODY, NONE, Side, accepted, deleted, given, group, heal, lab, lab_with_request, overridden, rejected, removed,
    taken, user,
};
use groupshare::model::notice::Notice;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::tracker::ledger::accept::Change;
use groupshare::wire::refusal::Code;

/// Two sides of the lab. Alice founded it, bob owns it too, and carol is a member.
fn two_owners() -> (Side, Side) {
    let (mut a, mut b) = lab();
    a.make_owner("alice", "bob");
    read_all(&mut a, "bob");
    heal(&mut a, &mut b);
    (a, b)
}

/// Bob and carol own the lab, which alice has left.
fn without_founder() -> (Side, Side) {
    let (mut a, mut b) = two_owners();
    a.make_owner("alice", "carol");
    a.leave("alice", "lab");
    read_all(&mut a, "carol");
    heal(&mut a, &mut b);
    (a, b)
}

fn read_all(side: &mut Side, name: &str) {
    let (through, _) = *side.state.notices(side.of(name), 99).last().expect("there is one");
    side.read(name, through).expect("it is read");
}

fn made(by: &str) -> Notice {
    Notice::OwnerMade { group: group("lab"), by: user(by) }
}

fn dropped(by: &str) -> Notice {
    Notice::OwnerDropped { group: group("lab"), by: user(by) }
}

fn added(by: &str) -> Notice {
    Notice::Added { group: group("lab"), by: user(by) }
}

impl Side {
    fn make_owner(&mut self, by: &str, name: &str) {
        self.run(Change::MakeOwner { user: self.of(by), group: group("lab"), target: user(name) });
    }

    fn drop_owner(&mut self, by: &str, name: &str) {
        self.run(Change::DropOwner { user: self.of(by), group: group("lab"), target: user(name) });
    }

    fn add_member(&mut self, by: &str, name: &str) {
        self.run(Change::AddMember { user: self.of(by), group: group("lab"), target: user(name) });
    }

    fn set_group(&mut self, by: &str, access: GroupAccess) {
        self.run(Change::SetGroup { user: self.of(by), group: group("lab"), access });
    }

    fn set_adding(&mut self, name: &str, allowed: bool) {
        self.run(Change::SetAdding { user: self.of(name), allowed });
    }

    fn owners(&self) -> Vec<String> {
        let name = |user| self.state.account(user).expect("exists").name.to_string();
        self.state.owners(self.group("lab")).map(name).collect()
    }

    /// Whether this user is in the lab only because an owner added the user.
    fn is_added(&self, name: &str) -> bool {
        self.state.is_added(self.group("lab"), self.of(name))
    }

    fn access(&self) -> GroupAccess {
        self.state.access(self.group("lab")).expect("it is there")
    }

    /// The unread notices of the user with this name.
    fn told(&self, name: &str) -> Vec<Notice> {
        self.notices(self.of(name))
    }
}

#[test]
fn a_member_is_made_an_owner() {
    let (mut a, _) = lab();
    let chain = a.chain(a.group("lab"));
    a.make_owner("alice", "bob");
    assert_eq!(a.owners(), ["alice", "bob"]);
    assert_eq!((a.owner("lab"), a.told("bob")), ("alice".to_owned(), vec![made("alice")]));
    a.make_owner("bob", "carol");
    a.drop_owner("bob", "carol");
    assert_eq!(a.owners(), ["alice", "bob"]);
    assert_eq!(a.told("carol"), [made("bob"), dropped("bob")]);
    assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
    assert_eq!(a.chain(a.group("lab")), chain, "a dropped owner keeps the key");
    a.remove("bob", "lab", "carol");
    assert_ne!(a.chain(a.group("lab")), chain, "a removed one does not");
}

#[test]
fn an_owner_made_on_both_sides_is_one_once() {
    let (mut a, mut b) = lab();
    a.make_owner("alice", "bob");
    b.make_owner("alice", "bob");
    heal(&mut a, &mut b);
    assert_eq!(a.owners(), ["alice", "bob"]);
    assert_eq!(a.told("bob"), [made("alice")]);
    assert_eq!(a.told("alice"), NONE);
}

#[test]
fn a_member_who_has_departed_becomes_no_owner() {
    let (mut a, mut b) = lab();
    b.leave("bob", "lab");
    a.pause();
    a.make_owner("alice", "bob");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.told("alice")), (vec!["alice".to_owned()], vec![overridden("bob")]));
}

#[test]
fn a_dropped_owner_makes_nobody_an_owner() {
    let (mut a, mut b) = two_owners();
    b.drop_owner("alice", "bob");
    a.pause();
    a.make_owner("bob", "carol");
    heal(&mut a, &mut b);
    assert_eq!(a.owners(), ["alice"]);
    assert_eq!(a.told("bob"), [dropped("alice"), overridden("carol")]);
}

#[test]
fn of_owners_who_drop_each_other_one_is_left() {
    for carol_first in [false, true] {
        let (mut a, mut b) = without_founder();
        if carol_first {
            a.pause()
        } else {
            b.pause()
        };
        a.drop_owner("bob", "carol");
        b.drop_owner("carol", "bob");
        heal(&mut a, &mut b);
        let (left, gone) = if carol_first { ("carol", "bob") } else { ("bob", "carol") };
        assert_eq!(a.owners(), [left]);
        assert_eq!(a.told(gone), [dropped(left), overridden(left)]);
        assert_eq!((a.told(left), a.members("lab").len()), (vec![], 2));
    }
}

#[test]
fn of_owners_who_remove_each_other_one_is_left() {
    let (mut a, mut b) = without_founder();
    a.remove("bob", "lab", "carol");
    b.pause();
    b.remove("carol", "lab", "bob");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.members("lab")), (vec!["bob".to_owned()], vec!["bob".to_owned()]));
    assert_eq!(a.told("carol"), [removed("lab"), overridden("bob")]);
}

#[test]
fn an_owner_who_is_dropped_and_removed_is_gone() {
    for removed_first in [false, true] {
        let (mut a, mut b) = two_owners();
        a.make_owner("alice", "carol");
        heal(&mut a, &mut b);
        if removed_first {
            a.pause()
        } else {
            b.pause()
        };
        a.drop_owner("alice", "bob");
        b.remove("carol", "lab", "bob");
        heal(&mut a, &mut b);
        assert_eq!((a.owners().len(), a.members("lab").len()), (2, 2));
        assert_eq!(a.told("alice"), NONE);
        assert_eq!(a.told("carol"), [made("alice")], "her decision stands");
        let told = if removed_first { vec![removed("lab")] } else { vec![dropped("alice"), removed("lab")] };
        assert_eq!(a.told("bob"), told);
    }
}

#[test]
fn an_owner_made_elsewhere_is_removed_by_another_owner_all_the_same() {
    let (mut a, mut b) = two_owners();
    b.make_owner("bob", "carol");
    a.pause();
    a.remove("alice", "lab", "carol");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.members("lab").len()), (vec!["alice".to_owned(), "bob".to_owned()], 2));
    assert_eq!(a.told("carol"), [made("bob"), removed("lab")]);
}

#[test]
fn an_owner_is_not_removed_by_who_was_dropped() {
    let (mut a, mut b) = without_founder();
    b.drop_owner("bob", "carol");
    a.pause();
    a.remove("carol", "lab", "bob");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.members("lab").len()), (vec!["bob".to_owned()], 2));
    assert_eq!(a.told("carol"), [dropped("bob"), overridden("bob")]);
}

#[test]
fn a_plain_member_is_removed_by_who_was_dropped_elsewhere() {
    let (mut a, mut b) = two_owners();
    b.drop_owner("alice", "bob");
    a.pause();
    a.remove("bob", "lab", "carol");
    heal(&mut a, &mut b);
    assert_eq!((a.members("lab").len(), a.told("carol")), (2, vec![removed("lab")]));
}

#[test]
fn nobody_else_removes_or_drops_the_founder() {
    let (mut a, _) = two_owners();
    let refused = |side: &mut Side, change| side.try_run(change).map(|_| ()).expect_err("it is refused");
    let (bob, lab) = (a.of("bob"), group("lab"));
    let remove = Change::RemoveMember { user: bob, group: lab.clone(), target: user("alice") };
    assert_eq!(refused(&mut a, remove.clone()), Code::FounderStays);
    let drop_alice = Change::DropOwner { user: bob, group: lab, target: user("alice") };
    assert_eq!(refused(&mut a, drop_alice), Code::FounderStays);
    a.drop_owner("alice", "alice");
    assert_eq!((a.owners(), a.told("alice")), (vec!["bob".to_owned()], vec![]));
    assert_eq!(refused(&mut a, remove.clone()), Code::FounderStays, "she founded it all the same");
    a.leave("alice", "lab");
    a.ask("alice", "lab");
    a.admit("bob", "lab", "alice");
    a.run(remove);
    assert_eq!(a.members("lab"), ["bob", "carol"], "a founder who returns is a plain member");
}

#[test]
fn of_owners_who_all_drop_themselves_one_is_left() {
    let (mut a, mut b) = two_owners();
    a.drop_owner("alice", "alice");
    b.pause();
    b.drop_owner("bob", "bob");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.told("bob")), (vec!["bob".to_owned()], vec![overridden("bob")]));
    let last = Change::DropOwner { user: a.of("bob"), group: group("lab"), target: user("bob") };
    assert_eq!(a.try_run(last).map(|_| ()), Err(Code::LastOwner));
}

#[test]
fn an_owner_dropped_on_both_sides_is_dropped_once() {
    let (mut a, mut b) = two_owners();
    a.drop_owner("alice", "bob");
    b.drop_owner("alice", "bob");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.told("bob")), (vec!["alice".to_owned()], vec![dropped("alice")]));
    assert_eq!(a.told("alice"), NONE);
}

#[test]
fn of_making_and_dropping_an_owner_the_later_holds() {
    for dropped_last in [false, true] {
        let (mut a, mut b) = two_owners();
        a.make_owner("alice", "carol");
        heal(&mut a, &mut b);
        a.drop_owner("alice", "bob");
        if dropped_last {
            b.pause()
        } else {
            a.pause()
        };
        a.make_owner("alice", "bob");
        b.drop_owner("carol", "bob");
        heal(&mut a, &mut b);
        assert_eq!(a.owners().contains(&"bob".to_owned()), !dropped_last);
    }
}

#[test]
fn the_next_owner_follows_and_after_the_last_the_next_in_rank() {
    let (mut a, _) = lab();
    a.make_owner("alice", "carol");
    a.leave("alice", "lab");
    assert_eq!((a.owner("lab"), a.owners().len()), ("carol".to_owned(), 1), "bob is in it longer");
    a.leave("carol", "lab");
    assert_eq!((a.owner("lab"), a.told("bob")), ("bob".to_owned(), vec![]));
}

#[test]
fn owners_who_leave_on_both_sides_are_succeeded_once() {
    let (mut a, mut b) = two_owners();
    a.leave("alice", "lab");
    b.leave("bob", "lab");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.members("lab")), (vec!["carol".to_owned()], vec!["carol".to_owned()]));
}

#[test]
fn a_drop_of_an_owner_who_left_meanwhile_changes_nothing() {
    let (mut a, mut b) = two_owners();
    b.leave("bob", "lab");
    a.pause();
    a.drop_owner("alice", "bob");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.told("alice"), a.told("bob")), (vec!["alice".to_owned()], vec![], vec![]));
}

#[test]
fn whom_an_operator_gives_the_group_owns_it_alone() {
    let (mut a, mut b) = two_owners();
    b.make_owner("bob", "carol");
    a.pause();
    a.give("lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!(a.owners(), ["dave"]);
    assert_eq!(a.told("dave"), [given("lab")]);
    assert_eq!(a.told("carol"), [made("bob"), taken("lab", "dave")]);
    assert_eq!((a.told("alice"), a.told("bob")), (vec![taken("lab", "dave")], vec![taken("lab", "dave")]));
    a.remove("dave", "lab", "alice");
    assert_eq!(a.members("lab"), ["bob", "carol", "dave"], "the founder is a member like any other");
    a.leave("dave", "lab");
    assert_eq!(a.owners(), ["bob"]);
}

#[test]
fn an_owner_who_is_given_the_group_owns_it_alone() {
    let (mut a, _) = two_owners();
    a.give("lab", "bob");
    assert_eq!((a.owners(), a.told("bob")), (vec!["bob".to_owned()], vec![given("lab")]));
    assert_eq!(a.told("alice"), [taken("lab", "bob")]);
}

#[test]
fn a_gift_of_a_group_overrides_what_owners_decide_about_owners() {
    let (mut a, mut b) = two_owners();
    b.give("lab", "dave");
    a.pause();
    a.make_owner("alice", "carol");
    a.drop_owner("alice", "bob");
    heal(&mut a, &mut b);
    assert_eq!(a.owners(), ["dave"]);
    assert_eq!(a.told("alice"), [taken("lab", "dave"), overridden("carol")]);
}

#[test]
fn a_deleted_owner_is_followed_by_the_others() {
    let (mut a, mut b) = two_owners();
    a.delete("alice");
    b.make_owner("bob", "carol");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.told("bob")), (vec!["bob".to_owned(), "carol".to_owned()], vec![]));
}

#[test]
fn all_owners_hear_of_a_request() {
    let (mut a, _) = two_owners();
    a.ask("dave", "lab");
    let to: Vec<_> = a.state.caused().iter().map(|effect| effect.to).collect();
    assert_eq!(to, [a.of("alice"), a.of("bob")]);
    a.admit("bob", "lab", "dave");
    assert_eq!(a.told("dave"), [accepted("lab")]);
}

#[test]
fn owners_of_a_deleted_group_depart() {
    let (mut a, _) = two_owners();
    a.delete_group("lab");
    assert_eq!((a.told("alice"), a.told("bob")), (vec![deleted("lab")], vec![deleted("lab")]));
}

#[test]
fn a_user_is_added_without_a_request() {
    let (mut a, _) = two_owners();
    a.add_member("bob", "dave");
    assert_eq!(a.members("lab"), ["alice", "bob", "carol", "dave"]);
    assert_eq!(a.told("dave"), [added("bob")]);
    assert!(a.is_added("dave"));
    a.leave("dave", "lab");
    assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
    assert!(!a.is_added("dave"));
}

#[test]
fn a_user_who_waits_is_added() {
    let (mut a, mut b) = lab_with_request();
    a.add_member("alice", "dave");
    assert_eq!((a.waiting("lab"), a.told("dave")), (vec![], vec![added("alice")]));
    assert!(!a.is_added("dave"), "it was dave's choice too");
    b.pause();
    b.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.members("lab").len(), a.told("dave"), a.told("alice")), (4, vec![added("alice")], vec![]));
}

#[test]
fn an_added_user_who_shares_or_has_asked_to_join_is_there_by_choice() {
    let (mut a, mut b) = two_owners();
    a.add_member("bob", "dave");
    a.share("dave", "lab", "f", 1);
    assert!(!a.is_added("dave"));
    a.stop("dave", "lab", "f");
    assert!(!a.is_added("dave"));
    a.leave("dave", "lab");
    heal(&mut a, &mut b);
    a.add_member("bob", "dave");
    b.pause();
    b.ask("dave", "lab");
    heal(&mut a, &mut b);
    assert_eq!((a.members("lab").len(), a.is_added("dave")), (4, false));
}

#[test]
fn a_user_added_on_both_sides_is_added_once() {
    let (mut a, mut b) = two_owners();
    a.add_member("alice", "dave");
    b.pause();
    b.add_member("bob", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.members("lab").len(), a.told("dave"), a.told("bob")), (4, vec![added("alice")], vec![]));
}

#[test]
fn a_user_who_forbids_adding_is_added_to_no_group_from_then_on() {
    for forbids_last in [false, true] {
        let (mut a, mut b) = lab();
        if forbids_last {
            b.pause()
        } else {
            a.pause()
        };
        a.add_member("alice", "dave");
        b.set_adding("dave", false);
        let add = Change::AddMember { user: b.of("alice"), group: group("lab"), target: user("dave") };
        assert_eq!(b.try_run(add).map(|_| ()), Err(Code::AddingForbidden));
        heal(&mut a, &mut b);
        assert_eq!(a.members("lab").contains(&"dave".to_owned()), forbids_last);
        let told = if forbids_last { vec![] } else { vec![overridden("dave")] };
        assert_eq!((a.told("alice"), a.told("dave").len()), (told, usize::from(forbids_last)));
    }
    let (mut a, _) = lab();
    a.set_adding("dave", false);
    a.set_adding("dave", true);
    a.add_member("alice", "dave");
}

#[test]
fn of_forbidding_and_allowing_the_later_holds() {
    let (mut a, mut b) = lab();
    a.set_adding("dave", false);
    heal(&mut a, &mut b);
    a.set_adding("dave", true);
    b.pause();
    let again = Change::SetAdding { user: b.of("dave"), allowed: false };
    assert_eq!(b.try_run(again), Ok(None), "it is so already");
    heal(&mut a, &mut b);
    assert!(!a.state.forbids_adding(a.of("dave")));
}

#[test]
fn the_later_of_a_departure_and_an_addition_holds() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    b.add_member("alice", "bob");
    a.pause();
    a.leave("bob", "lab");
    heal(&mut a, &mut b);
    assert_eq!(
        (a.members("lab"), a.told("bob")),
        (vec!["alice".to_owned(), "carol".to_owned()], vec![removed("lab"), added("alice")])
    );
    a.add_member("alice", "bob");
    assert_eq!(a.members("lab"), ["alice", "bob", "carol"]);
}

#[test]
fn a_deleted_user_is_added_to_nothing() {
    let (mut a, mut b) = lab();
    b.delete("dave");
    a.pause();
    a.add_member("alice", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.members("lab").len(), a.told("alice")), (3, vec![overridden("dave")]));
}

#[test]
fn adding_revives_a_group_without_members() {
    let (mut a, mut b) = lab();
    a.empty_lab();
    b.pause();
    b.add_member("alice", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.owners(), a.told("dave")), (vec!["dave".to_owned()], vec![added("alice")]));
}

#[test]
fn an_open_group_lets_everybody_in() {
    let (mut a, _) = lab_with_request();
    a.set_group("alice", GroupAccess::Open);
    assert_eq!((a.waiting("lab"), a.members("lab").len()), (vec![], 4));
    assert_eq!(a.told("dave"), [accepted("lab")]);
    a.create_user("erin");
    a.ask("erin", "lab");
    assert_eq!((a.members("lab").len(), a.told("erin")), (5, vec![accepted("lab")]));
}

#[test]
fn a_closed_group_turns_down_who_waits_and_who_asks() {
    let (mut a, mut b) = lab_with_request();
    b.leave("dave", "lab");
    b.ask("dave", "lab");
    a.set_group("alice", GroupAccess::Closed);
    assert_eq!((a.waiting("lab"), a.told("dave")), (vec![], vec![rejected("lab")]));
    let ask = Change::JoinGroup { user: a.of("dave"), group: group("lab") };
    assert_eq!(a.try_run(ask).map(|_| ()), Err(Code::GroupClosed));
    b.pause();
    b.create_user("erin");
    b.ask("erin", "lab");
    heal(&mut a, &mut b);
    assert_eq!((a.waiting("lab"), a.told("erin")), (vec![], vec![rejected("lab")]));
    a.add_member("alice", "erin");
    assert_eq!(a.members("lab").len(), 4, "owners can add any user");
}

#[test]
fn of_two_choices_of_who_gets_in_the_later_holds() {
    let (mut a, mut b) = lab_with_request();
    a.set_group("alice", GroupAccess::Open);
    b.pause();
    b.set_group("alice", GroupAccess::Closed);
    heal(&mut a, &mut b);
    assert_eq!((a.access(), a.members("lab").len()), (GroupAccess::Closed, 4));
    assert_eq!(a.told("dave"), [accepted("lab")], "the first one had let him in");
    let again = Change::SetGroup { user: a.of("alice"), group: group("lab"), access: GroupAccess::Closed };
    assert_eq!(a.try_run(again), Ok(None), "it is so already");
}

#[test]
fn the_access_that_an_owner_dropped_elsewhere_has_set_stands() {
    let (mut a, mut b) = two_owners();
    b.drop_owner("alice", "bob");
    a.pause();
    a.set_group("bob", GroupAccess::Closed);
    heal(&mut a, &mut b);
    assert_eq!((a.access(), a.told("bob")), (GroupAccess::Closed, vec![dropped("alice")]));
}

#[test]
fn a_group_without_members_keeps_who_gets_in() {
    let (mut a, mut b) = lab_with_request();
    a.empty_lab();
    b.pause();
    b.set_group("alice", GroupAccess::Open);
    b.create_user("erin");
    b.add_member("alice", "erin");
    heal(&mut a, &mut b);
    assert_eq!((a.told("erin"), a.told("dave")), (vec![added("alice")], vec![rejected("lab")]));
    assert_eq!(
        (a.access(), a.owners(), a.waiting("lab")),
        (GroupAccess::Open, vec!["erin".to_owned()], vec!["dave".to_owned()])
    );
    a.admit("erin", "lab", "dave");
}

#[test]
fn only_owners_decide_about_owners() {
    let (mut a, _) = lab();
    let (carol, lab) = (a.of("carol"), group("lab"));
    let (group, target) = (lab.clone(), user("bob"));
    for change in [
        Change::MakeOwner { user: carol, group: group.clone(), target: target.clone() },
        Change::DropOwner { user: carol, group: group.clone(), target: user("alice") },
        Change::AddMember { user: carol, group: group.clone(), target: user("dave") },
        Change::SetGroup { user: carol, group, access: GroupAccess::Open },
    ] {
        assert_eq!(a.try_run(change).map(|_| ()), Err(Code::NotOwner));
    }
    let alice = a.of("alice");
    let about = |name: &str, make: bool| match make {
        true => Change::MakeOwner { user: alice, group: lab.clone(), target: user(name) },
        false => Change::DropOwner { user: alice, group: lab.clone(), target: user(name) },
    };
    for (change, code) in [
        (about("dave", true), Code::TargetNotMember),
        (about("alice", true), Code::AlreadyOwner),
        (about("alice", false), Code::LastOwner),
        (about("bob", false), Code::TargetNotOwner),
        (Change::AddMember { user: alice, group: lab.clone(), target: user("bob") }, Code::AlreadyMember),
    ] {
        assert_eq!(a.try_run(change.clone()).map(|_| ()), Err(code), "{change:?}");
    }
    assert_eq!(a.waiting("lab"), NOBODY);
}
