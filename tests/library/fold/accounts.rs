//! Accounts: their names and passwords.

use super::side::{NONE, heal, lab, password, session_id, user};
use groupshare::model::notice::Notice;
use groupshare::tracker::ledger::operator::OperatorChange;

#[test]
fn an_account_bears_the_name_it_was_made_under() {
    let (mut a, _) = lab();
    let erin = a.create_user("erin");
    assert_eq!(a.of("erin"), erin);
    assert_eq!(a.state.account(erin).expect("exists").name, user("erin"));
    assert_eq!(a.state.accounts_born(&user("erin")).len(), 1);
}

#[test]
fn the_later_of_two_accounts_with_one_name_is_renamed() {
    let (mut a, mut b) = lab();
    a.pause();
    let (later, first) = (a.create_user("erin"), b.create_user("erin"));
    let of_later = a.create_group("erin", "x");
    heal(&mut a, &mut b);
    assert_eq!(a.of("erin"), first);
    assert_eq!(a.of("erin~2"), later);
    assert_eq!(a.state.owner(of_later), Some(later));
    let born: Vec<_> = a.state.accounts_born(&user("erin")).into_iter().map(|account| account.user).collect();
    assert_eq!(born, [first, later]);
    assert_eq!(a.state.accounts_born(&user("erin~2")).len(), 1);
    assert_eq!(a.notices(later), [Notice::UserRenamed { from: user("erin"), to: user("erin~2") }]);
    assert_eq!(a.notices(first), NONE);
}

#[test]
fn a_changed_password_ends_the_sessions_before() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    let changed = a.change_password("bob", "another");
    heal(&mut a, &mut b);
    assert_eq!(b.state.account(bob).expect("exists").password, password("another"));
    assert!(b.state.session_holds(bob, changed) && !b.state.session_holds(bob, bob.0));
    let again = b.change_password("bob", "a third");
    assert!(b.state.session_holds(bob, again));
    assert_eq!(b.notices(bob), NONE);
}

#[test]
fn a_change_of_a_password_that_was_replaced_is_overridden() {
    let (mut a, mut b) = lab();
    a.pause();
    let (later, first) = (a.change_password("bob", "later"), b.change_password("bob", "first"));
    let bob = a.of("bob");
    assert!(a.state.session_holds(bob, later));
    heal(&mut a, &mut b);
    assert_eq!(a.state.account(bob).expect("exists").password, password("first"));
    assert!(a.state.session_holds(bob, first) && !a.state.session_holds(bob, later));
    assert_eq!(a.notices(bob), [Notice::PasswordOverridden {}]);
}

#[test]
fn a_session_that_was_logged_out_of_is_over_everywhere_and_no_other() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    a.log_out("bob", 7, 1_000);
    heal(&mut a, &mut b);
    assert!(b.state.has_ended(bob, session_id(7)) && b.state.is_token_void(bob, session_id(7), 2_000));
    assert!(!b.state.has_ended(bob, session_id(8)) && !b.state.is_token_void(bob, session_id(8), 1));
    assert!(!b.state.has_ended(a.of("alice"), session_id(7)), "each has sessions of their own");
    assert!(b.state.session_holds(bob, bob.0), "his others go on");
    assert_eq!(b.notices(bob), NONE);
}

#[test]
fn a_session_logged_out_of_on_both_sides_ends_once() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    a.log_out("bob", 7, 1_000);
    b.log_out("bob", 7, 1_001);
    heal(&mut a, &mut b);
    assert!(a.state.has_ended(bob, session_id(7)));
    // Further ended sessions, as many as trackers remember besides.
    for number in 100..1123 {
        a.log_out("bob", number, 2_000);
    }
    assert!(a.state.has_ended(bob, session_id(7)));
}

#[test]
fn of_more_ended_sessions_than_are_known_no_token_of_their_time_counts() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    for number in 0..1024 {
        a.log_out("bob", number, 5_000 + u64::from(number));
    }
    assert!(!a.state.is_token_void(bob, session_id(9_999), 1), "all of them are known");
    a.log_out("bob", 1024, 1_000);
    a.log_out("bob", 1025, 9_000);
    heal(&mut a, &mut b);
    assert!(!b.state.has_ended(bob, session_id(1)) && b.state.has_ended(bob, session_id(2)));
    for number in [0, 1, 9_999] {
        assert!(b.state.is_token_void(bob, session_id(number), 5_001), "a void token is valid again");
        assert!(!b.state.is_token_void(bob, session_id(number), 5_002));
    }
}

/// As if the clock of a tracker were years ahead.
#[test]
fn of_a_logout_before_the_sessions_were_ended_no_time_makes_tokens_void() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    for number in 0..1026 {
        a.log_out("bob", number, 9_000_000);
    }
    assert!(a.state.is_token_void(bob, session_id(9_999), 1_000));
    a.operate(OperatorChange::EndSessions { user: user("bob") });
    for number in 2000..3026 {
        a.log_out("bob", number, 1_000);
    }
    heal(&mut a, &mut b);
    assert!(b.state.is_token_void(bob, session_id(9_999), 1_000));
    assert!(!b.state.is_token_void(bob, session_id(9_999), 1_001));
}

#[test]
fn a_deleted_user_has_no_sessions_to_end() {
    let (mut a, mut b) = lab();
    let bob = a.of("bob");
    b.log_out("bob", 7, 1_000);
    a.pause();
    a.delete("bob");
    b.pause();
    b.pause();
    b.log_out("bob", 8, 1_001);
    heal(&mut a, &mut b);
    assert!(!a.state.has_ended(bob, session_id(7)) && !a.state.has_ended(bob, session_id(8)));
}
