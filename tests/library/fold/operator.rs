//! Actions of operators on accounts and groups.

use super::side::{
    NOBODY, NONE, Side, accepted, deleted, file, given, ground_gone, group, heal, lab, lab_with_request, nothing,
    overridden, password, rejected, renamed_group, shared, taken, user,
};
use groupshare::model::id::{GroupRef, UserRef};
use groupshare::model::notice::{ChangeKind, Notice, UnplacedChange};
use groupshare::model::op::OpBody;
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::ledger::operator::{OperatorChange, accept_operator};
use groupshare::tracker::state::AccountStanding::{Active, Deleted, Disabled};
use groupshare::tracker::state::{AccountStanding, Membership};
use groupshare::wire::refusal::Code;

fn make_user(side: &mut Side, name: &str) -> UserRef {
    UserRef(side.operate(OperatorChange::MakeUser { name: user(name), password: password("made") }).id)
}

fn standing(side: &Side, user: UserRef) -> AccountStanding {
    side.state.account(user).expect("exists").standing
}

#[test]
fn a_reset_is_not_undone_by_a_change_against_the_old_password() {
    for reset_first in [true, false] {
        let (mut a, mut b) = lab();
        let bob = a.of("bob");
        if reset_first {
            a.pause()
        } else {
            b.pause()
        }
        let changed = a.change_password("bob", "own");
        let reset = b.reset("bob", "operator's");
        heal(&mut a, &mut b);
        assert_eq!(a.state.account(bob).expect("exists").password, password("operator's"));
        assert!(a.state.session_holds(bob, reset) && !a.state.session_holds(bob, changed));
        let told: &[Notice] = if reset_first {
            &[Notice::PasswordReset {}, Notice::PasswordOverridden {}]
        } else {
            &[Notice::PasswordReset {}]
        };
        assert_eq!(a.notices(bob), told);
        // The user goes on from there.
        a.change_password("bob", "own again");
        heal(&mut a, &mut b);
        assert_eq!(b.state.account(bob).expect("exists").password, password("own again"));
    }
}

#[test]
fn the_later_of_two_resets_holds() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    a.pause();
    let (later, first) = (a.reset("bob", "later"), b.reset("bob", "first"));
    heal(&mut a, &mut b);
    assert_eq!(b.state.account(bob).expect("exists").password, password("later"));
    assert!(b.state.session_holds(bob, later) && !b.state.session_holds(bob, first));
    assert_eq!(b.notices(bob), [Notice::PasswordReset {}, Notice::PasswordReset {}]);
}

#[test]
fn an_operators_account_is_renamed_like_any_other() {
    let (mut a, mut b) = lab();
    a.pause();
    let (later, first) = (make_user(&mut a, "erin"), b.create_user("erin"));
    heal(&mut a, &mut b);
    assert_eq!((a.of("erin"), a.of("erin~2")), (first, later));
    assert_eq!(a.notices(later), [Notice::UserRenamed { from: user("erin"), to: user("erin~2") }]);
    assert!(a.state.session_holds(later, later.0));
}

#[test]
fn sessions_end_everywhere_and_the_password_stays() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    let before = a.state.account(bob).expect("exists");
    assert!(b.state.session_holds(bob, bob.0));
    let kicked = a.operate(OperatorChange::EndSessions { user: user("bob") }).id;
    b.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    for side in [&a, &b] {
        assert!(!side.state.session_holds(bob, bob.0) && side.state.session_holds(bob, kicked));
        let after = side.state.account(bob).expect("exists");
        assert_eq!((&after.password, after.password_op), (&before.password, before.password_op));
        assert_eq!(side.notices(bob), [Notice::SessionsEnded {}]);
        assert_eq!(side.files("lab"), [shared("f", 1, &["bob"])]);
    }
}

#[test]
fn of_disabling_and_enabling_the_later_holds() {
    for disabled_last in [true, false] {
        let (mut a, mut b) = lab();
        let bob = a.of("bob");
        let first = a.disable("bob");
        heal(&mut a, &mut b);
        assert_eq!((standing(&b, bob), b.state.session_holds(bob, first)), (Disabled, false));
        if disabled_last {
            a.pause()
        } else {
            b.pause()
        }
        b.enable("bob");
        a.enable("bob");
        let again = a.disable("bob");
        heal(&mut a, &mut b);
        assert_eq!(standing(&a, bob), if disabled_last { Disabled } else { Active });
        assert!(!a.state.session_holds(bob, bob.0), "the sessions before have ended for good");
        assert!(!a.state.session_holds(bob, again));
    }
}

#[test]
fn a_session_that_began_on_the_other_side_of_a_disabling_ends_when_the_account_is_enabled() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    a.disable("bob");
    b.pause();
    let changed = b.change_password("bob", "another");
    assert!(b.state.session_holds(bob, changed), "the other side has not heard of it");
    heal(&mut a, &mut b);
    a.enable("bob");
    heal(&mut a, &mut b);
    assert!(!a.state.session_holds(bob, changed) && !b.state.session_holds(bob, changed));
}

#[test]
fn disabling_on_both_sides_counts_once() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    a.disable("bob");
    b.disable("bob");
    heal(&mut a, &mut b);
    assert_eq!(a.notices(bob), [Notice::AccountDisabled {}]);
    a.enable("bob");
    b.enable("bob");
    heal(&mut a, &mut b);
    assert_eq!(a.notices(bob), [Notice::AccountDisabled {}, Notice::AccountEnabled {}]);
}

#[test]
fn changes_of_a_disabled_user_count() {
    let (mut a, mut b) = lab();
    let alice = a.of("alice");
    b.disable("alice");
    a.pause();
    let share = a.share("alice", "lab", "f", 1);
    a.remove("alice", "lab", "bob");
    let changed = a.change_password("alice", "another");
    heal(&mut a, &mut b);
    assert_eq!(a.members("lab"), ["alice", "carol"]);
    assert!(a.state.is_sharer(share, alice));
    assert_eq!(a.owner("lab"), "alice");
    assert_eq!(a.state.account(alice).expect("exists").password, password("another"));
    assert!(standing(&a, alice) == Disabled && !a.state.session_holds(alice, changed));
}

#[test]
fn a_deleted_users_groups_pass_on() {
    let (mut a, mut b) = lab_with_request();
    a.create_group("alice", "own");
    a.ask("dave", "own");
    a.create_group("dave", "art");
    a.ask("alice", "art");
    a.share("alice", "lab", "f", 1);
    a.disable("alice");
    heal(&mut a, &mut b);
    let (alice, chain, own) = (a.of("alice"), a.chain(a.group("lab")), a.group("own"));
    a.delete("alice");
    heal(&mut a, &mut b);
    assert_eq!((b.members("lab"), b.owner("lab")), (vec!["bob".to_owned(), "carol".to_owned()], "bob".to_owned()));
    assert_eq!(b.waiting("lab"), ["dave"]);
    assert_ne!(b.chain(b.group("lab")), chain, "she had the key");
    assert_eq!((b.files("lab"), b.waiting("art")), (vec![], NOBODY.map(str::to_owned).to_vec()));
    assert_eq!((b.state.group_named(&group("own")), b.state.member_count(own)), (None, 0));
    assert_eq!(b.notices(b.of("bob")), [given("lab")]);
    assert_eq!(b.notices(b.of("carol")), NONE);
    assert_eq!(b.notices(b.of("dave")), [rejected("own")]);
    assert_eq!(b.notices(alice), NONE);
    assert!(standing(&b, alice) == Deleted && !b.state.session_holds(alice, alice.0));
}

/// The order is a part of the canonical form.
#[test]
fn a_deleted_users_groups_pass_on_in_the_order_in_which_they_were_made() {
    let (mut a, _) = lab();
    for name in ["zoo", "art"] {
        a.create_group("alice", name);
        a.ask("bob", name);
        a.admit("alice", name, "bob");
    }
    a.delete("alice");
    let told = [accepted("zoo"), accepted("art"), given("lab"), given("zoo"), given("art")];
    assert_eq!(a.notices(a.of("bob")), told);
}

#[test]
fn the_name_of_a_deleted_user_stays_reserved() {
    let (mut a, mut b) = lab();
    let first = a.create_user("erin");
    a.delete("erin");
    b.pause();
    let later = b.create_user("erin");
    heal(&mut a, &mut b);
    assert_eq!((a.state.user_named(&user("erin")), a.of("erin~2")), (None, later));
    assert!(a.state.is_user_name_taken(&user("erin")));
    assert_eq!(a.state.account(first).expect("the row stays").name, user("erin"));
    assert_eq!(a.notices(later), [Notice::UserRenamed { from: user("erin"), to: user("erin~2") }]);
    let born: Vec<UserRef> = a.state.accounts_born(&user("erin")).into_iter().map(|account| account.user).collect();
    assert_eq!(born, [later], "login under the name finds the one that is there");
    let again = OperatorChange::MakeUser { name: user("erin"), password: password("made") };
    assert_eq!(accept_operator(&a.state, &again).expect_err("is refused").code, Code::UserExists);
}

#[test]
fn a_deletion_is_final() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    a.delete("bob");
    b.pause();
    b.reset("bob", "another");
    b.operate(OperatorChange::EndSessions { user: user("bob") });
    b.disable("bob");
    b.enable("bob");
    b.give("lab", "bob");
    let last = b.delete("bob");
    heal(&mut a, &mut b);
    assert_eq!((a.members("lab"), a.owner("lab")), (vec!["alice".to_owned(), "carol".to_owned()], "alice".to_owned()));
    assert!(standing(&a, bob) == Deleted && !a.state.session_holds(bob, last));
    assert_eq!((a.notices(bob), a.notices(a.of("alice"))), (vec![], vec![]));
}

#[test]
fn late_changes_of_a_deleted_user_have_no_effect() {
    let (mut a, mut b) = lab();
    b.create_group("alice", "art");
    heal(&mut a, &mut b);
    let bob = a.of("bob");
    a.delete("bob");
    b.pause();
    b.ask("bob", "art");
    b.change_password("bob", "another");
    b.leave("bob", "lab");
    let change = UnplacedChange { kind: ChangeKind::LeaveGroup, group: None, file: None };
    b.run(Change::NoteUnplaced { user: bob, change });
    heal(&mut a, &mut b);
    assert_eq!((a.waiting("art"), a.notices(bob)), (vec![], vec![]));
    assert_eq!(a.state.account(bob).expect("the row stays").password, password(""));
    assert_eq!(a.state.membership(a.group("art"), bob), Membership::Stranger);
}

#[test]
fn a_group_made_by_a_deleted_user_is_there_for_those_let_in() {
    let (mut a, mut b) = lab();
    a.delete("bob");
    b.pause();
    let made = b.create_group("bob", "den");
    heal(&mut a, &mut b);
    assert_eq!((a.state.group_named(&group("den")), a.state.member_count(made)), (None, 0));

    let (mut a, mut b) = lab();
    a.delete("bob");
    b.pause();
    let made = b.create_group("bob", "den");
    b.ask("dave", "den");
    b.admit("bob", "den", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.group("den"), a.owner("den"), a.members("den")), (made, "dave".to_owned(), vec!["dave".to_owned()]));
    assert_eq!(a.notices(a.of("dave")), [rejected("den"), accepted("den")]);
}

#[test]
fn a_share_of_a_deleted_user_stays_with_those_who_joined_it() {
    let (mut a, mut b) = lab();
    a.delete("bob");
    b.pause();
    b.share("bob", "lab", "f", 1);
    b.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"])]);
}

#[test]
fn acceptance_of_a_deleted_user_is_overridden() {
    let (mut a, mut b) = lab_with_request();
    a.delete("dave");
    b.pause();
    b.admit("alice", "lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.members("lab"), a.waiting("lab")), (["alice", "bob", "carol"].map(str::to_owned).to_vec(), vec![]));
    assert_eq!(a.notices(a.of("alice")), [overridden("dave")]);
}

#[test]
fn a_group_is_given_to_a_stranger() {
    for name in ["dave", "bob"] {
        let (mut a, mut b) = lab();
        let chain = a.chain(a.group("lab"));
        a.give("lab", name);
        heal(&mut a, &mut b);
        assert_eq!(
            (b.owner("lab").as_str(), b.state.member_count(b.group("lab"))),
            (name, if name == "dave" { 4 } else { 3 })
        );
        assert_eq!(b.chain(b.group("lab")), chain, "nobody has departed");
        assert_eq!(b.notices(b.of(name)), [given("lab")]);
        assert_eq!(b.notices(b.of("alice")), [taken("lab", name)]);
        // The order of their joining stays.
        b.leave(name, "lab");
        assert_eq!(b.owner("lab"), "alice");
    }
}

#[test]
fn the_gift_of_a_group_lets_in_a_new_owner_who_waited() {
    let (mut a, mut b) = lab_with_request();
    a.give("lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!((b.owner("lab").as_str(), b.waiting("lab")), ("dave", vec![]));
    assert_eq!(b.state.requests_of(b.of("dave")), []);
}

#[test]
fn give_and_leave_in_both_orders() {
    for given_first in [true, false] {
        let (mut a, mut b) = lab();
        if given_first {
            b.pause()
        } else {
            a.pause()
        }
        a.give("lab", "bob");
        b.leave("bob", "lab");
        heal(&mut a, &mut b);
        let (owner, members): (_, &[&str]) =
            if given_first { ("alice", &["alice", "carol"]) } else { ("bob", &["alice", "bob", "carol"]) };
        assert_eq!(
            (a.owner("lab").as_str(), a.members("lab")),
            (owner, members.iter().map(|name| (*name).to_owned()).collect())
        );
        assert_eq!(a.notices(a.of("bob")), [given("lab")]);
    }
}

#[test]
fn removal_of_whom_the_group_was_given_is_overridden() {
    let (mut a, mut b) = lab();
    a.give("lab", "bob");
    b.pause();
    b.remove("alice", "lab", "bob");
    heal(&mut a, &mut b);
    assert_eq!(a.owner("lab"), "bob");
    assert_eq!(a.notices(a.of("alice")), [taken("lab", "bob"), overridden("bob")]);
}

#[test]
fn a_given_group_without_members_is_revived() {
    let (mut a, mut b) = lab();
    b.empty_lab();
    let taken_name = b.create_group("bob", "lab");
    a.pause();
    let lab = a.group("lab");
    a.give("lab", "dave");
    heal(&mut a, &mut b);
    assert_eq!((a.group("lab"), a.group("lab~2")), (taken_name, lab));
    assert_eq!((a.owner("lab~2").as_str(), a.members("lab~2")), ("dave", vec!["dave".to_owned()]));
    assert_eq!(a.notices(a.of("dave")), [renamed_group("lab", "lab~2"), given("lab~2")]);
}

#[test]
fn of_two_gives_the_later_holds() {
    let (mut a, mut b) = lab();
    a.pause();
    a.give("lab", "dave");
    b.give("lab", "bob");
    heal(&mut a, &mut b);
    assert_eq!(a.owner("lab"), "dave");
    assert_eq!(a.notices(a.of("alice")), [taken("lab", "bob")]);
    assert_eq!(a.notices(a.of("bob")), [given("lab"), taken("lab", "dave")]);
    a.leave("dave", "lab");
    assert_eq!(a.owner("lab"), "alice", "who joined first");
}

#[test]
fn everybody_departs_from_a_deleted_group() {
    let (mut a, mut b) = lab_with_request();
    a.share("bob", "lab", "f", 1);
    let (lab, chain) = (a.group("lab"), a.chain(a.group("lab")));
    a.delete_group("lab");
    heal(&mut a, &mut b);
    assert_eq!((b.state.group_named(&group("lab")), b.state.member_count(lab), b.state.share_count()), (None, 0, 0));
    assert_ne!(b.chain(lab), chain);
    for name in ["alice", "bob", "carol", "dave"] {
        assert_eq!(b.notices(b.of(name)), [deleted("lab")], "{name}");
        assert_eq!((b.state.groups_of(b.of(name), None, 9), b.state.requests_of(b.of(name))), (vec![], vec![]));
    }
    // The name is free.
    let again = b.create_group("dave", "lab");
    assert_ne!(again, lab);
}

#[test]
fn nothing_revives_a_deleted_group() {
    let (mut a, mut b) = lab_with_request();
    let lab = a.group("lab");
    a.delete_group("lab");
    b.pause();
    b.admit("alice", "lab", "dave");
    b.give("lab", "bob");
    b.leave("carol", "lab");
    heal(&mut a, &mut b);
    assert_eq!((a.state.group_named(&group("lab")), a.state.member_count(lab)), (None, 0));
    assert_eq!(a.notices(a.of("alice")), [deleted("lab"), ground_gone(ChangeKind::AcceptRequest)]);
    assert_eq!(a.notices(a.of("bob")), [deleted("lab")]);
    assert_eq!(a.notices(a.of("carol")), [deleted("lab"), ground_gone(ChangeKind::LeaveGroup)]);
    assert_eq!(a.notices(a.of("dave")), [deleted("lab")]);
}

#[test]
fn sharers_hear_that_their_late_shares_in_a_deleted_group_are_gone() {
    let (mut a, mut b) = lab();
    b.share("alice", "lab", "g", 2);
    heal(&mut a, &mut b);
    let lab = a.group("lab");
    a.delete_group("lab");
    b.pause();
    b.share("bob", "lab", "f", 1);
    b.share("carol", "lab", "g", 2);
    b.stop("alice", "lab", "g");
    heal(&mut a, &mut b);
    let gone = |kind| [deleted("lab"), ground_gone(kind)];
    assert_eq!(a.notices(a.of("bob")), gone(ChangeKind::CreateShare));
    assert_eq!(a.notices(a.of("carol")), gone(ChangeKind::JoinShare));
    assert_eq!(a.notices(a.of("alice")), gone(ChangeKind::LeaveShare));
    assert_eq!((a.state.share_count(), a.state.share_named(lab, &file("f"))), (0, None));
}

#[test]
fn an_operators_change_about_nothing_is_nothing() {
    let (mut a, _) = lab();
    let before = (a.members("lab"), a.owner("lab"), a.chain(a.group("lab")));
    let (u, g) = (UserRef(nothing()), GroupRef(nothing()));
    let (alice, lab) = (a.of("alice"), a.group("lab"));
    let bodies = [
        OpBody::ResetPassword { user: u, password: password("x") },
        OpBody::EndSessions { user: UserRef(lab.0) },
        OpBody::DisableUser { user: u },
        OpBody::EnableUser { user: u },
        OpBody::DeleteUser { user: UserRef(lab.0) },
        OpBody::GiveGroup { group: g, user: alice },
        OpBody::GiveGroup { group: lab, user: u },
        OpBody::GiveGroup { group: lab, user: alice },
        OpBody::DeleteGroup { group: GroupRef(alice.0) },
    ];
    for body in bodies {
        let command = a.command();
        a.add(command, body);
        assert_eq!(a.state.caused(), []);
    }
    assert_eq!((a.members("lab"), a.owner("lab"), a.chain(a.group("lab"))), before);
    assert!(["alice", "bob", "carol", "dave"].iter().all(|name| a.notices(a.of(name)).is_empty()));
}
