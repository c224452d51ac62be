//! Groups: their names and founders.

use super::side::{NONE, heal, lab, renamed_group, shared};
use groupshare::tracker::state::Membership;

#[test]
fn a_founder_owns_the_group() {
    let (a, _) = lab();
    assert_eq!(a.owner("lab"), "alice");
    assert_eq!(a.state.membership(a.group("lab"), a.of("alice")), Membership::Owner);
    assert_eq!(a.chain(a.group("lab")), [0; 32]);
}

#[test]
fn the_later_of_two_groups_with_one_name_is_renamed() {
    let (mut a, mut b) = lab();
    a.pause();
    let (later, first) = (a.create_group("bob", "x"), b.create_group("carol", "x"));
    a.share("bob", "x", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!((a.group("x"), a.group("x~2")), (first, later));
    assert_eq!(a.files("x~2"), [shared("f", 1, &["bob"])]);
    assert_eq!(a.notices(a.of("bob")), [renamed_group("x", "x~2")]);
    assert_eq!(a.notices(a.of("carol")), NONE);
}
