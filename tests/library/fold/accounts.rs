//! Accounts: their names and passwords.

use super::side::{NONE, heal, lab, password, user};
use groupshare::model::notice::Notice;

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
